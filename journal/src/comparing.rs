//! Comparing: where two histories part, and in what.

pub mod diff;
pub mod divergence;
pub mod search;
