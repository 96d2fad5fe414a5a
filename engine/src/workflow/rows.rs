//! What the exchange as a whole has counted, and the keys that it remembers.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, OrderId, TenantId};

row! {
    /// An idempotency key that is remembered, and the order it stands for.
    pub struct RememberedKey {
        /// Until when it stands for an order that was served; without end while the order is live.
        pub until: Micros,
        /// The key: `Demand::key_of`.
        #[serde(with = "crate::kernel::units::hex64")] pub key: u64,
        /// What was asked for under it: `Demand::fingerprint`.
        #[serde(with = "crate::kernel::units::hex64")] pub fingerprint: u64,
        /// The order that was opened under it.
        pub order: OrderId,
        /// Whose key.
        pub tenant: TenantId,
    }
}

impl RememberedKey {
    /// Until when the key of a live order stands for it.
    pub(crate) const LIVE: Micros = Micros::MAX;
    /// The latest moment until which the key of an order that was served may stand for it.
    pub(crate) const LATEST: Micros = Micros(u64::MAX - 1);

    /// Whether its order is live.
    pub(crate) fn is_live(&self) -> bool {
        self.until == Self::LIVE
    }
}

row! {
    /// What the exchange as a whole has counted, in one row.
    pub struct Control {
        /// The time of the last record.
        pub now: Micros,
        /// Orders submitted so far; the number of the last one.
        pub orders: u64,
    }
}
