//! What failures are counted by, and the rules for them.

use crate::kernel::image::{code, row};
use crate::kernel::units::{Micros, Ppm};

code! {
    /// The circuit breaker before a vessel.
    pub enum Breaker {
        /// Work passes.
        Closed = 0,
        /// No work passes until the breaker's time is up.
        Open = 1,
        /// A few orders pass; their outcomes decide.
        Probing = 2,
    }
}

row! {
    /// When a vessel's circuit breaker trips, and for how long.
    pub struct BreakerRule {
        /// Failures in a row that trip it; zero is never.
        pub failures: u32,
        /// The share of calls that fail which trips it; zero is never.
        pub failing: Ppm,
        /// The calls that there have to be before a share of them says anything.
        pub calls: u32,
        /// For how long a call counts: for this long at least, and for twice as long at most.
        pub window: Micros,
        /// How long it stays open before a probe may pass; doubled each time that it opens again soon.
        pub open: Micros,
        /// The longest that it stays open; it opens again soon if that is within this time.
        pub open_max: Micros,
        /// How many orders have to succeed as probes before it closes, and the most that pass until then.
        pub probes: u32,
        /// The share of the vessels of a model that may be cut off at once; one always may.
        pub cut_off: Ppm,
    }
}

row! {
    /// What became of calls lately: in a span of time that is not over yet, and in the one before it.
    #[derive(Copy, Default)]
    pub struct Outcomes {
        /// When the present span began.
        pub since: Micros,
        /// Calls in it.
        pub calls: u32,
        /// Those of them that failed.
        pub failed: u32,
        /// Calls in the span before.
        pub calls_before: u32,
        /// Those of them that failed.
        pub failed_before: u32,
    }
}

impl Outcomes {
    /// Counts a call.
    pub(crate) fn note(&mut self, now: Micros, window: Micros, failed: bool) {
        *self = self.at(now, window);
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(failed));
    }

    /// The share of calls that failed; none where there were fewer than `least`.
    pub(crate) fn failing(&self, now: Micros, window: Micros, least: u32) -> Ppm {
        let Self { calls, failed, calls_before, failed_before, .. } = self.at(now, window);
        let calls = u64::from(calls).saturating_add(u64::from(calls_before));
        let failed = u64::from(failed).saturating_add(u64::from(failed_before));
        if calls < u64::from(least) { Ppm::ZERO } else { Ppm::ratio(failed, calls) }
    }

    /// The same at this moment: what is too old is forgotten.
    fn at(&self, now: Micros, window: Micros) -> Self {
        let next = self.since + window;
        if now < next {
            *self
        } else if now < next + window {
            let (calls_before, failed_before) = (self.calls, self.failed);
            Self { since: next, calls: 0, failed: 0, calls_before, failed_before }
        } else {
            Self { since: now, ..Self::default() }
        }
    }
}

row! {
    /// How a failed attempt is tried again.
    pub struct RetryRule {
        /// Attempts in all, the first included.
        pub attempts: u16,
        /// The wait before the second attempt; doubled for each further one, with keyed jitter.
        pub backoff: Micros,
        /// The longest wait.
        pub backoff_max: Micros,
    }
}
