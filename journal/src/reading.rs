//! Reading: what a directory holds, how its end is to be taken, and its frames one after another.

pub mod journal;
pub mod opening;
mod pages;
pub mod schema;

pub(crate) mod ahead;
pub mod batches;
pub mod records;
pub mod stream;

pub mod recovery;
pub mod span;
pub mod walk;
