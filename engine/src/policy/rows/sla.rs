//! How well tenants are served that were promised something, and how fast that uses up what may go wrong.
//!
//! Multi-window, multi-burn-rate alerts (The Site Reliability Workbook, ch. 5: O'Reilly 2018): a rate of errors is
//! a multiple of what the objective allows, and is told where it is high over a long window and over a short one, so
//! that it is neither told of a moment, nor for long after it is over.

use core::array;

use crate::kernel::image::{code, row};
use crate::kernel::units::{Micros, Ppm, clamp};
use crate::models::rows::Promise;

code! {
    /// How far back an alert looks.
    pub enum BurnWindow {
        /// An hour, and its last five minutes.
        Hour = 0,
        /// Six hours, and the last thirty minutes of them.
        SixHours = 1,
        /// Three days, and the last six hours of them.
        ThreeDays = 2,
    }
}

/// How many alerts a tenant may have.
const ALERTS: usize = BurnWindow::ALL.len();

/// How many spans a window is told by: four that are over, and the present one.
const SPANS: usize = 5;

row! {
    /// When a tenant's errors are told of.
    pub struct SlaRule {
        /// How fast errors may use up what the objective allows, over an hour, six hours and three days: 1 000 000
        /// is as fast as it allows.
        pub burns: [Ppm; 3],
        /// An alert is over below this share of that, over its short window.
        pub clear: Ppm,
        /// For how long it has to last before it is told.
        pub hold: Micros,
        /// The orders that there have to be in the long window.
        pub orders: u32,
    }
}

row! {
    /// What became of a tenant's orders in a window of time. It is counted in spans of a fourth of the window, which begin
    /// at multiples of that: so an order counts for as long as the window is at least, and for a fourth longer at most.
    #[derive(Copy, Default)]
    pub struct SlaWindow {
        /// Which span was the last in which something was counted.
        pub span: u64,
        /// Orders that were as good as promised, in that span and in the four before it, the latest first.
        pub good: [u32; 5],
        /// Orders that were not.
        pub bad: [u32; 5],
    }
}

impl SlaWindow {
    /// The same at this moment, where spans are so long.
    fn at(&self, now: Micros, width: Micros) -> Self {
        let span = now.0.checked_div(width.0).unwrap_or(0).max(self.span);
        let passed = usize::try_from(span.saturating_sub(self.span)).unwrap_or(usize::MAX);
        let moved = |counts: &[u32; SPANS]| {
            array::from_fn(|place| {
                let before = place.checked_sub(passed).and_then(|place| counts.get(place));
                before.copied().unwrap_or(0)
            })
        };
        Self { span, good: moved(&self.good), bad: moved(&self.bad) }
    }

    /// Orders that were good, and those that were not.
    fn sums(&self) -> [u64; 2] {
        [&self.good, &self.bad].map(|counts| counts.iter().map(|count| u64::from(*count)).sum())
    }
}

row! {
    /// Whether a tenant's errors use up too fast what is allowed.
    #[derive(Copy)]
    pub struct BurnAlert {
        /// Since when they have; never where they do not.
        pub since: Micros,
        /// Whether that was told.
        pub raised: bool,
    }
}

row! {
    /// What became of the orders of a tenant that was promised something.
    pub struct Sla {
        /// Orders that were as good as promised, since that was promised.
        pub good: u64,
        /// Orders that failed, expired, were turned away by the level, or were served too late.
        pub bad: u64,
        /// Of five minutes, thirty minutes, an hour, six hours and three days.
        pub windows: [SlaWindow; 5],
        /// Of an hour, six hours and three days.
        pub alerts: [BurnAlert; 3],
    }
}

/// What a review makes of one of a tenant's alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    /// How fast errors use up what is allowed, over the long window.
    pub long: Ppm,
    /// The same over the short one.
    pub short: Ppm,
    /// Orders in the long one.
    pub orders: u64,
}

impl Sla {
    /// None so far.
    pub(crate) const NONE: Self = Self {
        good: 0,
        bad: 0,
        windows: [SlaWindow { span: 0, good: [0; SPANS], bad: [0; SPANS] }; 5],
        alerts: [BurnAlert { since: Micros::MAX, raised: false }; ALERTS],
    };

    /// How long the windows are.
    pub const WINDOWS: [Micros; 5] = [
        Micros(300_000_000),
        Micros(1_800_000_000),
        Micros(3_600_000_000),
        Micros(21_600_000_000),
        Micros(259_200_000_000),
    ];

    /// The places of the long and of the short window of each alert.
    const PAIRS: [[usize; 2]; ALERTS] = [[2, 0], [3, 1], [4, 3]];

    /// How long a span of a window is.
    fn width(window: Micros) -> Micros {
        Micros(window.0 / 4)
    }

    /// Counts an order.
    pub(crate) fn note(&mut self, now: Micros, good: bool) {
        let total = if good { &mut self.good } else { &mut self.bad };
        *total = total.saturating_add(1);
        for (window, length) in self.windows.iter_mut().zip(Self::WINDOWS) {
            *window = window.at(now, Self::width(length));
            let counts = if good { &mut window.good } else { &mut window.bad };
            let [present, ..] = counts;
            *present = present.saturating_add(1);
        }
    }

    /// Orders that were good and those that were not, in each window.
    pub fn counts(&self, now: Micros) -> [[u64; 2]; 5] {
        let mut lengths = Self::WINDOWS.into_iter();
        self.windows.map(|window| {
            let width = Self::width(lengths.next().unwrap_or(Micros::ZERO));
            window.at(now, width).sums()
        })
    }

    /// How fast errors use up what is allowed, over each window.
    pub fn burns(&self, now: Micros, promise: &Promise) -> [Ppm; 5] {
        self.counts(now).map(|counts| burn(counts, promise.objective))
    }

    /// How fast errors use up what is allowed, for each alert.
    pub fn alerted(&self, now: Micros, promise: &Promise) -> [Burn; ALERTS] {
        let counts = self.counts(now);
        let of = |place: usize| counts.get(place).copied().unwrap_or([0; 2]);
        Self::PAIRS.map(|[long, short]| {
            let [good, bad] = of(long);
            Burn {
                long: burn([good, bad], promise.objective),
                short: burn(of(short), promise.objective),
                orders: good.saturating_add(bad),
            }
        })
    }

    /// The share that is left of what may go wrong within three days.
    pub fn budget_left(&self, now: Micros, promise: &Promise) -> Ppm {
        let [.., most] = self.burns(now, promise);
        Ppm::ONE - most
    }

    /// The share of all orders that were good; all of none.
    pub fn compliance(&self) -> Ppm {
        match self.good.saturating_add(self.bad) {
            0 => Ppm::ONE,
            all => Ppm::ratio(self.good, all),
        }
    }
}

/// How many times as many errors there are as the objective allows, rounded down; none of none.
fn burn([good, bad]: [u64; 2], objective: Ppm) -> Ppm {
    let all = u128::from(good.saturating_add(bad));
    let allowed = all.saturating_mul(u128::from((Ppm::ONE - objective).0));
    let errors = u128::from(bad).saturating_mul(1_000_000_000_000);
    Ppm(clamp(errors.checked_div(allowed).unwrap_or(0)))
}
