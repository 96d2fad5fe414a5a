//! What is said about failures.

use crate::kernel::image::words;
use crate::kernel::units::{Micros, OrderId, Ppm, VesselId};

words! {
    /// What failures led to.
    #[serde(rename = "resilience::Event")]
    pub enum Event {
        /// A vessel failed too often and is cut off.
        BreakerOpened = 0 {
            /// Which one.
            vessel: VesselId,
            /// Failures in a row.
            failures: u32,
            /// The share of its calls that have failed lately; zero where they were too few.
            failing: Ppm,
            /// The share of its calls that have been slow lately; zero where they were too few.
            slow: Ppm,
            /// How often it has been opened soon after it was last, this time included.
            trips: u32,
            /// Until when.
            until: Micros,
        },
        /// A vessel that was cut off may have a few orders, as probes.
        BreakerProbing = 1 {
            /// Which one.
            vessel: VesselId,
            /// How many.
            probes: u32,
        },
        /// Its probes succeeded.
        BreakerClosed = 2 {
            /// Which vessel's.
            vessel: VesselId,
        },
        /// An order will be tried again.
        RetryScheduled = 3 {
            /// Which one.
            order: OrderId,
            /// Attempts made so far.
            attempts: u16,
            /// When.
            at: Micros,
        },
        /// An order whose call failed waits on, since too many are tried again already.
        RetryPostponed = 4 {
            /// Which one.
            order: OrderId,
            /// Attempts made lately because a call had failed, but for those that came to a good end.
            retries: u64,
            /// All other attempts made lately.
            others: u64,
            /// Until when it waits.
            at: Micros,
        },
        /// A vessel said that it had no room, and is left in peace.
        VesselPaused = 5 {
            /// Which one.
            vessel: VesselId,
            /// How often since it last completed a leg, this time included.
            pauses: u32,
            /// Until when.
            until: Micros,
        },
        /// It is given work again.
        VesselResumed = 6 {
            /// Which one.
            vessel: VesselId,
        },
    }
}
