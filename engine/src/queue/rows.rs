//! Who waits.

use crate::kernel::image::row;
use crate::kernel::units::Micros;

row! {
    /// What the queue has counted, in one row.
    pub struct Waiting {
        /// Tickets given out so far.
        pub tickets: u64,
        /// Orders that wait.
        pub queued: u64,
        /// When those who wait are to be served again, because a record could not serve them all.
        pub serve_at: Micros,
    }
}
