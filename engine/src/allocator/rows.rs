//! Berths.

use crate::kernel::image::row;
use crate::kernel::units::{OrderId, VesselId};
use crate::models::rows::Window;

row! {
    /// Capacity of one vessel, reserved for a window of time.
    pub struct Berth {
        /// Whose capacity.
        pub vessel: VesselId,
        /// For whom.
        pub order: OrderId,
        /// When.
        pub window: Window,
    }
}
