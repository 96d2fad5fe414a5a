//! The queue: who may submit how fast, and who waits before whom.

pub mod rows;
pub mod words;

pub(crate) mod index;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use rows::{Flow, GatherRule, Line, Routed, Shares, Turn, Waiting};
pub use words::{Event, Refusal};
