//! The simulated fleet of TensorForge: demand from traces and generators, vessels in virtual time.
//!
//! A [`Trace`] says what is asked, a [`Fleet`] who serves, a policy file under which rules. A [`Sim`]
//! plays the world around one exchange: it sends what tenants and vessels would send and performs the
//! effects that come back. The same inputs give the same commands on every machine.

#![forbid(unsafe_code)]

pub mod document;
pub mod draw;
pub mod fleet;
pub mod generate;
pub mod policy;
pub mod preset;
pub mod scenario;
pub mod sim;
pub mod trace;

mod cache;
mod vessel;

pub use document::DocumentError;
pub use fleet::Fleet;
pub use generate::Recipe;
pub use policy::{parse_policy, read_policy};
pub use sim::{Sim, SimError};
pub use trace::{Format, Key, Row, Trace, TraceError};
