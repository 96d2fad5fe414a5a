//! Sums by tenant, what predictions are made of, and incidents.

mod incidents;

use core::ops::{AddAssign, SubAssign};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::rows::Limits;
use crate::kernel::image::row;
use crate::kernel::sketch::Sketch;
use crate::kernel::units::{
    LengthSlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, PicoUsd, Ppm, TenantId, Tokens,
    clamp,
};
use crate::models::rows::{Class, Demand};

pub use incidents::{Concern, Incident, IncidentRule, Notice, Severity};

row! {
    /// Money that adds up exactly, however much of it there is.
    #[derive(Copy, Default)]
    pub struct Money {
        /// Whole micro-dollars.
        pub micros: MicroUsd,
        /// Pico-dollars besides, fewer than a million.
        pub picos: u32,
    }
}

impl Money {
    /// All of it in pico-dollars.
    pub fn in_picos(self) -> u128 {
        let whole = u128::from(self.micros.0).saturating_mul(1_000_000);
        whole.saturating_add(u128::from(self.picos))
    }

    /// As a statement tells it: to the nearest micro-dollar, halves up.
    pub fn rounded(self) -> MicroUsd {
        self.micros + MicroUsd(u64::from(self.picos >= 500_000))
    }
}

impl AddAssign<PicoUsd> for Money {
    fn add_assign(&mut self, amount: PicoUsd) {
        let picos = u64::from(self.picos).saturating_add(amount.0 % 1_000_000);
        self.micros += MicroUsd(amount.0 / 1_000_000) + MicroUsd(picos / 1_000_000);
        self.picos = (picos % 1_000_000) as u32;
    }
}

impl SubAssign<PicoUsd> for Money {
    fn sub_assign(&mut self, amount: PicoUsd) {
        let left = self.in_picos().saturating_sub(u128::from(amount.0));
        self.micros = MicroUsd(clamp(left / 1_000_000));
        self.picos = (left % 1_000_000) as u32;
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self += PicoUsd(u64::from(other.picos));
        self.micros += other.micros;
    }
}

impl Account {
    /// What was charged, exactly.
    pub fn charged(&self) -> Money {
        Money { micros: self.cost, picos: self.cost_picos }
    }

    /// What all completed legs of settled orders are worth, exactly.
    pub fn worth(&self) -> Money {
        Money { micros: self.burnt, picos: self.burnt_picos }
    }
}

row! {
    /// What a tenant with a budget has been charged in a period, and what is set aside for its orders. That
    /// the next period has begun is noted when it asks for something again, or is charged.
    pub struct Spending {
        /// When the period began.
        pub since: Micros,
        /// Set aside for orders that are live.
        pub reserved: Money,
        /// Charged in the period.
        pub spent: Money,
    }
}

row! {
    /// What is set aside for a live order of a tenant with a budget.
    pub struct Reserve {
        /// The most that it can be charged.
        pub amount: PicoUsd,
    }
}

impl Spending {
    /// The same at this moment, where periods are so long: a new one begins with nothing spent.
    pub(crate) fn at(&self, now: Micros, period: Micros) -> Self {
        let passed = (now - self.since).0.checked_div(period.0).unwrap_or(0);
        if passed == 0 {
            return self.clone();
        }
        let since = self.since + Micros(passed.saturating_mul(period.0));
        Self { since, reserved: self.reserved, spent: Money::default() }
    }

    /// A budget in pico-dollars.
    pub(crate) fn whole(budget: MicroUsd) -> u128 {
        Money { micros: budget, picos: 0 }.in_picos()
    }

    /// What is left of a budget, in pico-dollars.
    pub(crate) fn left(&self, budget: MicroUsd) -> u128 {
        let budget = Self::whole(budget);
        budget.saturating_sub(self.spent.in_picos()).saturating_sub(self.reserved.in_picos())
    }
}

row! {
    /// What share of the worth of its last attempt is charged for an order that was not served.
    pub struct Charge {
        /// For one that failed.
        pub failed: Ppm,
        /// For one whose deadline passed.
        pub expired: Ppm,
        /// For one that its tenant withdrew.
        pub cancelled: Ppm,
    }
}

row! {
    /// What a tenant has used, and what its limits have left.
    pub struct Account {
        /// The theoretical arrival time of its next order (`Allowance::pass`).
        pub arrival: Micros,
        /// The same of its next token.
        pub token_arrival: Micros,
        /// Orders that have not ended.
        pub live: u64,
        /// Orders ended, by end state, in the order of `End`.
        pub ended: [u64; 5],
        /// Prompt tokens of orders that were settled: served, or worked on in part.
        pub tokens_in: Tokens,
        /// Prompt tokens found in a vessel's prefix cache.
        pub cached: Tokens,
        /// Tokens generated.
        pub tokens_out: Tokens,
        /// The fuel that it took.
        pub energy: Millijoules,
        /// What was charged, in whole micro-dollars; with `cost_picos` it is exact.
        pub cost: MicroUsd,
        /// What all completed legs of settled orders are worth, charged or not, likewise.
        pub burnt: MicroUsd,
        /// Charged besides, in pico-dollars: fewer than a million.
        pub cost_picos: u32,
        /// Worth besides, likewise.
        pub burnt_picos: u32,
        /// Orders that wait in the queue.
        pub queued: u32,
    }
}

row! {
    /// What predictions are made of.
    pub struct Forecast {
        /// The answers of a tenant's, or of a class's, that there have to be before theirs are believed to say
        /// how long the next one is.
        pub samples: u32,
        /// Before that: the share of the longest answer that one is expected to have.
        pub prior: Ppm,
        /// The legs of a vessel that there have to be before it is taken to be as fast as they were.
        pub legs: u32,
        /// With every such span that passes, those that there were weigh half for that.
        pub window: Micros,
    }
}

impl Forecast {
    /// The most samples that can be asked for: no more are remembered at all times.
    pub(crate) const SAMPLES_MAX: u32 = Sketch::MOST / 2;
}

row! {
    /// How long the answers were that orders of one kind got: of a model and a class, that allowed about as long ones, of
    /// one tenant or of all.
    pub struct Lengths {
        /// So long, or shorter, is half of them.
        pub usual: Tokens,
        /// So long, or shorter, are 95 of 100.
        pub late: Tokens,
        /// Of which model.
        pub model: ModelId,
        /// Whose; `NONE` where it is everybody's.
        pub tenant: TenantId,
        /// How many are counted; one less for each answer of another tenant's that found its place taken since.
        pub samples: u32,
        /// Of which class.
        pub class: Class,
        /// How long they might have been: the power of two that is not above that.
        pub allowed_log2: u8,
        /// The longest of each bucket, and how many it counts; those of old count less.
        pub sketch: Sketch,
    }
}

impl Lengths {
    /// Rows of tenants for each tenant that there may be.
    const PER_TENANT: u32 = 8;
    /// Classes.
    const CLASSES: u32 = 3;
    /// Powers of two that are told apart.
    const POWERS: u32 = 22;

    /// So much is much.
    const MANY: u32 = 64;

    /// Whether an order is counted where so many are: by the two highest bits of the product of its number and 2^64
    /// divided by the golden ratio (Fibonacci hashing: Knuth, TAOCP 3, 6.4), which no rhythm of arrivals follows.
    pub(crate) fn counts(samples: u32, order: OrderId) -> bool {
        samples < Self::MANY || order.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0
    }

    /// None, so far, of what this order is one of.
    pub(crate) fn none(demand: &Demand, tenant: TenantId) -> Self {
        let (usual, late, sketch) = (Tokens::ZERO, Tokens::ZERO, Sketch::default());
        let (model, class, allowed_log2) = (demand.model, demand.class, Self::power(demand));
        Self { usual, late, model, tenant, samples: 0, class, allowed_log2, sketch }
    }

    /// Whether an order is one of those that are counted here, for this tenant or for all.
    pub(crate) fn holds(&self, demand: &Demand, tenant: TenantId) -> bool {
        let own = (self.model, self.class, self.allowed_log2, self.tenant);
        own == (demand.model, demand.class, Self::power(demand), tenant)
    }

    /// How long an answer is allowed.
    fn power(demand: &Demand) -> u8 {
        let power = demand.tokens_out_max.0.checked_ilog2().unwrap_or(0);
        power.min(Self::POWERS.saturating_sub(1)) as u8
    }

    /// How many rows there may be.
    pub(crate) fn places(limits: &Limits) -> u32 {
        let own = limits.tenants.saturating_mul(Self::PER_TENANT);
        Self::of_everybody(limits).saturating_add(own)
    }

    fn of_everybody(limits: &Limits) -> u32 {
        limits.models.saturating_mul(Self::CLASSES).saturating_mul(Self::POWERS)
    }

    /// Where everybody's are counted.
    pub(crate) fn of_all(demand: &Demand) -> LengthSlot {
        let class =
            demand.model.0.saturating_mul(Self::CLASSES).saturating_add(demand.class as u32);
        let power = u32::from(Self::power(demand));
        LengthSlot(class.saturating_mul(Self::POWERS).saturating_add(power))
    }

    /// Where a tenant's are counted, unless the place is another one's: by XXH3-64 of the images of model, class,
    /// power and tenant.
    pub(crate) fn of_one(limits: &Limits, demand: &Demand, tenant: TenantId) -> Option<LengthSlot> {
        let ([a, b, c, d], [e, f, g, h]) = (demand.model.0.to_le_bytes(), tenant.0.to_le_bytes());
        let image = [a, b, c, d, demand.class as u8, Self::power(demand), e, f, g, h];
        let first = Self::of_everybody(limits);
        let places = Self::places(limits).saturating_sub(first);
        let place = xxh3_64(&image).checked_rem(u64::from(places))?;
        u32::try_from(place).ok().map(|place| LengthSlot(first.saturating_add(place)))
    }

    /// Counts one more.
    pub(crate) fn note(&mut self, tokens: Tokens) {
        self.sketch.add(tokens.0);
        self.samples = self.sketch.count();
        self.usual = Tokens(self.sketch.quantile(Ppm(500_000)));
        self.late = Tokens(self.sketch.quantile(Ppm(950_000)));
    }
}

#[cfg(test)]
mod tests {
    use super::Lengths;
    use crate::kernel::units::{OrderId, OrderSlot};

    /// Up to 64 every order counts; from there on a quarter of them, of whichever tenant that sends every fourth.
    #[test]
    fn where_much_is_known_a_quarter_counts() {
        let order = |number| OrderId::new(number, OrderSlot(0));
        assert!((1..100).all(|number| Lengths::counts(63, order(number))));
        for first in 0..4u64 {
            let every_fourth = (0..4_000).map(|turn| order(first + 4 * turn));
            let counted = every_fourth.filter(|order| Lengths::counts(64, *order)).count();
            assert!((900..=1_100).contains(&counted), "{first}: {counted}");
        }
    }
}
