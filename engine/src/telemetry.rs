//! What is left of finished work: sums by tenant.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use rows::{Account, Charge, Money, Reserve, Spending};
pub use words::{Event, Refusal};
