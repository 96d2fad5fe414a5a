//! What about an order stands in the way. Apart from the other words, which tell of every refusal.

use alloc::string::String;

use crate::kernel::image::words;
use crate::kernel::units::{Micros, OrderId};

words! {
    /// What about an order stood in the way.
    #[serde(rename = "workflow::Refusal")]
    pub enum Refusal {
        /// The command is older than the record before it.
        TimeRegressed = 0 {
            /// The time of the record before it.
            now: Micros,
        },
        /// No order of that number is live, or none of the sender's.
        Unknown = 1 {
            /// The number.
            order: u64,
        },
        /// A part of the demand is outside of what it may be.
        Invalid = 2 {
            /// The field and what is wrong with it.
            fault: String,
        },
        /// The report speaks of an attempt or a leg that is over.
        Stale = 3,
        /// The order is not in the stage that the command needs.
        WrongStage = 4,
        /// The demand names a key under which something else was asked for.
        KeyConflict = 5 {
            /// The order that the key stands for.
            order: OrderId,
            /// What was ordered under it: `Demand::fingerprint`.
            #[serde(with = "crate::kernel::units::hex64")] ordered: u64,
            /// What is asked for now, likewise.
            #[serde(with = "crate::kernel::units::hex64")] asked: u64,
        },
    }
}
