//! Sums by tenant.

use crate::kernel::image::row;
use crate::kernel::units::{MicroUsd, Micros, Millijoules, Tokens};

row! {
    /// What a tenant has used, and what its limits have left.
    pub struct Account {
        /// The theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).
        pub arrival: Micros,
        /// Orders that have not ended.
        pub live: u64,
        /// Orders ended, by end state, in the order of `End`.
        pub ended: [u64; 5],
        /// Prompt tokens of orders that were settled: served, or charged for a part.
        pub tokens_in: Tokens,
        /// Prompt tokens found in a vessel's prefix cache.
        pub cached: Tokens,
        /// Tokens generated.
        pub tokens_out: Tokens,
        /// What was charged.
        pub cost: MicroUsd,
        /// What was burnt.
        pub energy: Millijoules,
    }
}
