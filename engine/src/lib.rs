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

mod transaction;

mod fold;

pub mod state;

pub mod command;
pub mod effect;
pub mod event;
pub mod refusal;

pub mod allocator;
pub mod config;
pub mod jobs;
pub mod models;
pub mod policy;
pub mod queue;
pub mod resilience;
pub mod routing;
pub mod security;
pub mod telemetry;
pub mod workflow;

pub mod statistics;

pub mod kernel;

pub use command::{Command, Stamp};
pub use effect::{Effect, effects};
pub use event::Event;
pub use exchange::Exchange;
pub use kernel::{bits, draw, fixed, image, sketch, table, units, wheel};
pub use refusal::Refusal;
pub use state::tables::Tables;
pub use state::{Root, State};

/// Names this build of the engine: its version and a hash of its sources.
pub const BUILD: &str = env!("TENSORFORGE_BUILD");
