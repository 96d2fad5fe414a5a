//! Who waits, what each has been served while others waited, and what was routed lately.

use crate::kernel::image::row;
use crate::kernel::units::{Micros, ModelId, Ppm, TenantId, Tokens};
use crate::models::rows::{Class, Order};

row! {
    /// What the queue has counted, in one row.
    pub struct Waiting {
        /// Tickets given out so far.
        pub tickets: u64,
        /// Orders that wait.
        pub queued: u64,
        /// Tokens that they may have, prompts and longest answers together.
        pub tokens: Tokens,
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
    /// When batch orders begin together: those that wait for a model gather until they come to so much.
    pub struct GatherRule {
        /// So much, prompts and longest answers together; zero is never: each of them goes by itself.
        pub tokens: Tokens,
        /// For how long one of them gathers at most.
        pub wait: Micros,
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
        /// Batch orders among them that gather.
        pub gathering: u32,
        /// Their tokens, prompts and longest answers together.
        pub gathered: Tokens,
        /// When they are released at the latest.
        pub ripe_at: Micros,
        /// The last ticket that was given out before those were released who gathered until then.
        pub released: u64,
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

impl Shares {
    /// The largest share.
    pub const MOST: u32 = 1_000;
}

impl GatherRule {
    /// The longest that an order may gather: room for others is made meanwhile, and it wants to be served.
    pub(crate) const WAIT_MOST: Micros = Micros(86_400_000_000);

    /// Since when an order in the queue has waited for room: while it gathers it waits for others.
    pub(crate) fn since(&self, order: &Order) -> Micros {
        if order.gathers { order.queued + self.wait } else { order.queued }
    }
}

impl Line {
    /// Whether an order that waits here with this ticket still gathers, if it did when it came.
    pub(crate) fn holds(&self, gathers: bool, ticket: u64) -> bool {
        gathers && ticket > self.released
    }

    /// How many wait for room.
    pub(crate) fn ready(&self) -> u64 {
        let queued: u64 = self.queued.iter().map(|count| u64::from(*count)).sum();
        queued.saturating_sub(self.gathering.into())
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
