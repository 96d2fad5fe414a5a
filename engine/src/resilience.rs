//! What failures lead to: a circuit breaker before each vessel, and retries that wait ever longer.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub use rows::{Breaker, BreakerRule, Hedge, Outcomes, OverloadRule, RetryRule};
pub use words::Event;
