//! What is said about failures.

use crate::kernel::image::words;
use crate::kernel::units::{Micros, OrderId, VesselId};

words! {
    /// What failures led to.
    #[serde(rename = "resilience::Event")]
    pub enum Event {
        /// A vessel failed too often in a row and is cut off.
        BreakerOpened = 0 {
            /// Which one.
            vessel: VesselId,
            /// Failures in a row.
            failures: u32,
            /// Until when.
            until: Micros,
        },
        /// A vessel that was cut off may have one order, as a probe.
        BreakerProbing = 1 {
            /// Which one.
            vessel: VesselId,
        },
        /// A probe succeeded.
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
    }
}
