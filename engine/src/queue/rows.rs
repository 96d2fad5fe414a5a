//! Who waits, and what each has been served while others waited.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, ModelId, TenantId};
use crate::models::rows::Class;

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

row! {
    /// What the classes weigh against each other while orders of several of them wait for one model.
    pub struct Shares {
        /// The share of each class: it is served so many tokens for every one of a class whose share is 1.
        pub classes: [u32; 3],
        /// What is lent to a class for those orders that have waited beyond its patience.
        pub overdue: u32,
    }
}

row! {
    /// The queue of one model, for as long as somebody waits in it.
    pub struct Line {
        /// The ticket of the one who began it.
        pub first: u64,
        /// What each class has been served since, in tokens divided by its share, times 4 096.
        pub served: [u64; 3],
        /// What the class that was served last had been served before.
        pub floor: u64,
        /// The same of the tenants of each class.
        pub floors: [u64; 3],
        /// Orders that wait, by class.
        pub queued: [u32; 3],
    }
}

row! {
    /// Where a tenant stands among those who take turns in one class of a model's queue, for as long as
    /// somebody waits in that queue.
    pub struct Turn {
        /// What it has been served since, in tokens.
        pub served: u64,
        /// For which model.
        pub model: ModelId,
        /// Which tenant.
        pub tenant: TenantId,
        /// Its orders that wait there.
        pub queued: u32,
        /// In which class.
        pub class: Class,
    }
}

impl Shares {
    /// The largest share.
    pub const MOST: u32 = 1_000;
}
