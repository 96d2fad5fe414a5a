//! Judges of the journal's bytes: how they are written, what is found when they are not as written,
//! and what a crash leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod committing;
mod damage;
mod faults;
mod flips;
mod golden;
mod hostile;
mod life;
mod salvaging;
#[cfg(unix)]
mod strange;
mod torn;
