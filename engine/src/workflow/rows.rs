//! What the exchange as a whole has counted, and the keys that it remembers.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, OrderId, Ppm, TenantId};
use crate::models::rows::Class;
use crate::resilience::rows::Outcomes;

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
        /// What became of legs lately, but for probes.
        pub legs: Outcomes,
        /// What was routed lately.
        pub flow: Flow,
    }
}

row! {
    /// What was routed lately: in a span of time that is not over yet, and in the one before it.
    #[derive(Copy, Default)]
    pub struct Flow {
        /// When the present span began.
        pub since: Micros,
        /// What was routed in it.
        pub present: Routed,
        /// What was routed in the span before.
        pub before: Routed,
    }
}

row! {
    /// What was routed in a span of time.
    #[derive(Copy, Default)]
    pub struct Routed {
        /// Orders of each class, or those that expired while they waited to be.
        pub orders: [u32; 3],
        /// Those of them that had waited for too much of their time.
        pub late: [u32; 3],
        /// Attempts of theirs that were made because a call had failed, but for those that came to a good end.
        pub retries: u32,
    }
}

impl Flow {
    /// The same at this moment, to count on: what is too old is forgotten.
    pub(crate) fn at(&self, now: Micros, window: Micros) -> Self {
        let next = self.since + window;
        if now < next {
            *self
        } else if now < next + window {
            Self { since: next, present: Routed::default(), before: self.present }
        } else {
            Self { since: now, ..Self::default() }
        }
    }

    /// The share of the orders of a class that were late; none where there were fewer than `least`.
    pub(crate) fn late(&self, class: Class, least: u32) -> Ppm {
        let of = |counts: &[u32; 3]| counts.get(class as usize).copied().map_or(0, u64::from);
        let orders = of(&self.present.orders).saturating_add(of(&self.before.orders));
        let late = of(&self.present.late).saturating_add(of(&self.before.late));
        if orders < u64::from(least) { Ppm::ZERO } else { Ppm::ratio(late, orders) }
    }

    /// Attempts that were made because a call had failed and have come to no good end, and all others.
    pub(crate) fn retries(&self) -> (u64, u64) {
        let sum =
            |routed: &Routed| routed.orders.iter().map(|count| u64::from(*count)).sum::<u64>();
        let all = sum(&self.present).saturating_add(sum(&self.before));
        let retries =
            u64::from(self.present.retries).saturating_add(u64::from(self.before.retries));
        (retries, all.saturating_sub(retries))
    }
}
