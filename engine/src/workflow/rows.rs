//! What the exchange as a whole has counted, the keys that it remembers, and the stops that it awaits.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, OrderId, PicoUsd, Ppm, TenantId, Tokens, VesselId};
use crate::models::rows::{LegKind, Usage};

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

impl Stop {
    /// What it may come to in the memory of its vessel.
    pub(crate) fn size(&self) -> Tokens {
        self.tokens_in + self.tokens_out_max
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

row! {
    /// A leg that was told to stop. Its slot is taken until its vessel has said what it had worked by then, or the
    /// patience of the policy ends.
    pub struct Stop {
        /// Until when an answer is awaited.
        pub until: Micros,
        /// The most that it may be charged, where its tenant has a budget; so much is set aside.
        pub reserved: Option<PicoUsd>,
        /// Of which order.
        pub order: OrderId,
        /// What is taken to have been worked if there is no answer.
        pub estimate: Usage,
        /// The share of its worth that is charged.
        pub share: Ppm,
        /// Tokens of the prompt.
        pub tokens_in: Tokens,
        /// The most tokens that it may have generated.
        pub tokens_out_max: Tokens,
        /// For whom it gives its place up; zero for nobody.
        pub by: OrderId,
        /// Who pays.
        pub tenant: TenantId,
        /// Where.
        pub vessel: VesselId,
        /// In which attempt.
        pub attempt: u16,
        /// What was being done.
        pub kind: LegKind,
        /// Which leg.
        pub leg: u8,
        /// Whether the order has ended with it; else it failed, and is tried again or was.
        pub ended: bool,
    }
}
