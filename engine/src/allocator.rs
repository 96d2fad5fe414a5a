//! Capacity: what a route holds, what work costs, and berths.

pub mod rows;
pub mod words;

pub(crate) mod index;

pub(crate) mod fold;

pub(crate) mod cost;
pub(crate) mod decide;

pub(crate) mod check;

pub use rows::Berth;
pub use words::{Command, Event, Refusal};
