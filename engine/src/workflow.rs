//! The life of an order, from its submission to the one state in which it ends.

pub mod machine;
pub mod refusal;
pub mod rows;
pub mod words;

pub(crate) mod index;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use refusal::Refusal;
pub use rows::{Control, RememberedKey, Stop};
pub use words::{BATCH_MAX, Command, Event, Fault, Outcome, Withheld};
