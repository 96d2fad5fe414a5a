//! What is left of finished work: sums by tenant, what it says about work to come, and what is wrong.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub mod health;

pub(crate) mod check;

pub use rows::{
    Account, Charge, Concern, Forecast, Incident, IncidentRule, Lengths, Money, Notice, Reserve,
    Severity, Spending,
};
pub use words::{Command, Event, Refusal};
