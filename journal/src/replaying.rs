//! Replaying: the state after any record, from the beginning or from a snapshot.

pub mod replay;
pub mod snapshot;
