//! What the exchange as a whole has counted, and the keys that it remembers.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, OrderId, TenantId};

row! {
    /// An idempotency key that is remembered, and the order it stands for.
    pub struct RememberedKey {
        /// Whose key.
        pub tenant: TenantId,
        /// The key.
        pub key: u64,
        /// The order that was opened under it.
        pub order: OrderId,
    }
}

row! {
    /// What the exchange as a whole has counted, in one row.
    pub struct Control {
        /// The time of the last record.
        pub now: Micros,
        /// Orders submitted so far; the number of the last one.
        pub orders: u64,
        /// Idempotency keys remembered so far.
        pub keys: u64,
    }
}
