//! The configuration: how much the exchange may hold at once, set once.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub use rows::{Bound, Limits};
pub use words::{Command, Event, Refusal};
