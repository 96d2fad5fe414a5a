//! Who takes part: tenants, regions, models and vessels; and the orders that pass between them.

pub mod rows;
pub mod words;

pub(crate) mod index;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use rows::*;
pub use words::{Command, Event, LossCause, Refusal, Thing};
