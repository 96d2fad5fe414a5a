//! Identity as a fact: proved outside, recorded with every command, judged here by scope alone.

pub mod rows;
pub mod words;

pub(crate) mod decide;

pub use rows::{Scope, Scopes, Source};
pub use words::Refusal;
