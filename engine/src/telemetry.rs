//! What is left of finished work: sums by tenant, and what it says about work to come.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub mod health;

pub(crate) mod check;

pub use rows::{Account, Charge, Forecast, Lengths, Money, Reserve, Spending};
pub use words::{Event, Refusal};
