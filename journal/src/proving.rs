//! Proving: whether this build makes of a journal what the journal claims, and where it first does not.

pub mod bisect;
pub mod verify;

mod suspects;
