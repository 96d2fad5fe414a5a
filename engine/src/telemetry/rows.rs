//! Sums by tenant.

use core::ops::{AddAssign, SubAssign};

use crate::kernel::image::row;
use crate::kernel::units::{MicroUsd, Micros, Millijoules, PicoUsd, Ppm, Tokens, clamp};

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
    }
}
