//! What is said by the allocator.

use crate::kernel::image::words;
use crate::kernel::units::{BerthId, OrderId, VesselId};
use crate::models::rows::Window;

words! {
    /// What capacity was reserved, and given back.
    #[serde(rename = "allocator::Event")]
    pub enum Event {
        /// An order holds capacity for its window.
        OrderBerthed = 0 {
            /// Which one.
            order: OrderId,
            /// What it holds.
            berth: BerthId,
            /// On which vessel.
            vessel: VesselId,
            /// For which window.
            window: Window,
            /// Berths of that vessel that overlap the window, this one not counted.
            overlapping: u32,
        },
        /// An order's berth was given back.
        BerthReleased = 1 {
            /// Whose.
            order: OrderId,
            /// Which one.
            berth: BerthId,
        },
    }
}

words! {
    /// What capacity is missing.
    #[serde(rename = "allocator::Refusal")]
    pub enum Refusal {
        /// No vessel has a berth left for the window.
        NoBerth = 0,
    }
}
