//! Berths.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, OrderId, VesselId};
use crate::models::rows::Window;

row! {
    /// Capacity of one vessel, reserved for a window of time: a slot for an order, or all of them for
    /// maintenance.
    pub struct Berth {
        /// When.
        pub window: Window,
        /// For whom; nobody where it is for maintenance.
        pub order: Option<OrderId>,
        /// Whose capacity.
        pub vessel: VesselId,
        /// How many slots.
        pub slots: u32,
        /// Whether its window has begun and its slots are kept, whoever else waits for them.
        pub open: bool,
    }
}

impl Berth {
    /// More slots than any vessel has: whoever takes these takes all.
    pub const ALL: u32 = 1 << 20;
    /// The most berths of one vessel.
    pub const OF_VESSEL_MAX: usize = 64;

    /// When its vessel is to be looked at for it: of maintenance, when that begins or ends.
    pub(crate) fn due(&self) -> Option<Micros> {
        let due = if self.open { self.window.until } else { self.window.from };
        self.order.is_none().then_some(due)
    }

    /// Whether its window and another one have a moment in common.
    pub(crate) fn overlaps(&self, window: &Window) -> bool {
        self.window.from < window.until && window.from < self.window.until
    }
}
