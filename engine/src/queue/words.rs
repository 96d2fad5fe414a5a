//! What is said by the queue.

use crate::kernel::image::words;
use crate::kernel::units::{Micros, OrderId};

words! {
    /// Who waits.
    #[serde(rename = "queue::Event")]
    pub enum Event {
        /// An order waits for a vessel with room.
        OrderQueued = 0 {
            /// Which one.
            order: OrderId,
            /// Its place.
            ticket: u64,
            /// Orders waiting before it, of all classes and models.
            ahead: u64,
        },
        /// There is room, but the record has no room for those who wait: they are served by another.
        ServiceDeferred = 1 {
            /// When: at once.
            at: Micros,
        },
        /// Those who wait are served, as far as there is room.
        ServiceResumed = 2,
    }
}

words! {
    /// Why an order was not let in.
    #[serde(rename = "queue::Refusal")]
    pub enum Refusal {
        /// The tenant submits faster than its contract allows.
        RateLimited = 0 {
            /// When the next order would pass.
            retry_at: Micros,
        },
    }
}
