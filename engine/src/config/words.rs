//! What is said to and by the configuration.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::config::rows::{Bound, Limits};
use crate::kernel::image::words;

/// What the configuration is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "config::Command")]
pub enum Command {
    /// Sets the bounds of the exchange; the first command of a journal, and never repeated.
    Configure(Limits),
}

words! {
    /// What was configured.
    #[serde(rename = "config::Event")]
    pub enum Event {
        /// The bounds of the exchange were set.
        Configured = 0 (limits: Limits),
    }
}

words! {
    /// Which bound stood in the way.
    #[serde(rename = "config::Refusal")]
    pub enum Refusal {
        /// The exchange has no bounds yet.
        NotConfigured = 0,
        /// The exchange has its bounds already.
        AlreadyConfigured = 1,
        /// A bound is outside of what it may be.
        Invalid = 2 {
            /// The field and what is wrong with it.
            fault: String,
        },
        /// There is no room for another one.
        Full = 3 {
            /// Of what.
            bound: Bound,
            /// How many there may be.
            max: u64,
        },
    }
}
