//! Sums by tenant.

use core::ops::AddAssign;

use crate::kernel::image::row;
use crate::kernel::units::{MicroUsd, Micros, Millijoules, PicoUsd, Ppm, Tokens};

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
    const MICRO: u64 = 1_000_000;

    /// As a statement tells it: to the nearest micro-dollar, halves up.
    pub fn rounded(self) -> MicroUsd {
        self.micros + MicroUsd(u64::from(u64::from(self.picos) >= Self::MICRO / 2))
    }
}

impl AddAssign<PicoUsd> for Money {
    fn add_assign(&mut self, amount: PicoUsd) {
        let picos = u64::from(self.picos).saturating_add(amount.0 % Self::MICRO);
        self.micros += MicroUsd(amount.0 / Self::MICRO) + MicroUsd(picos / Self::MICRO);
        self.picos = (picos % Self::MICRO) as u32;
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self += PicoUsd(u64::from(other.picos));
        self.micros += other.micros;
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
        /// The theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).
        pub arrival: Micros,
        /// Orders that have not ended.
        pub live: u64,
        /// Orders ended, by end state, in the order of `End`.
        pub ended: [u64; 5],
        /// Prompt tokens of orders that were settled: served, or charged for a part.
        pub tokens_in: Tokens,
        /// Prompt tokens found in a vessel's prefix cache.
        pub cached: Tokens,
        /// Tokens generated.
        pub tokens_out: Tokens,
        /// The fuel that it took.
        pub energy: Millijoules,
        /// What was charged.
        pub cost: Money,
        /// What was worked is worth, charged or not.
        pub burnt: Money,
    }
}
