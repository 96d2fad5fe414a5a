//! The pure reducer of TensorForge.
//!
//! A [`Command`] is decided into [`Event`]s against the
//! [`State`]; events are folded into it; the state knows its digest after every
//! record. Nothing here can read a clock, a file, the environment or a randomly seeded map: the crate
//! is `no_std` and holds no unsafe code.

#![no_std]
#![forbid(unsafe_code)]
// A command that panics would take the exchange down with it; every path is decided or refused.
#![warn(
    clippy::arithmetic_side_effects,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::float_arithmetic,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test that panics has found something"
    )
)]

extern crate alloc;

mod check;
pub mod exchange;
pub mod state;

pub mod command;
pub mod effect;
pub mod event;
pub mod refusal;

mod allocator;
pub mod config;
mod fleet;
pub mod models;
pub mod policy;
mod queue;
mod resilience;
mod routing;
pub mod security;
mod telemetry;
mod workflow;

pub mod bits;
pub mod draw;
pub mod image;
pub mod table;
pub mod units;
pub mod wheel;

pub use command::{Command, Stamp};
pub use effect::{Effect, effects};
pub use event::Event;
pub use exchange::Exchange;
pub use state::{Root, State, Tables};

/// Names this build of the engine: its version and a hash of its sources.
pub const BUILD: &str = env!("TENSORFORGE_BUILD");
