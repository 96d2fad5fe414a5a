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
        /// The share of calls that are slow which trips it; zero is never.
        pub slow: Ppm,
        /// A call is slow that takes longer than this multiple of its predicted time, in percent.
        pub slow_percent: u32,
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
        /// Those of them that were slow.
        pub slow: u32,
        /// Calls in the span before.
        pub calls_before: u32,
        /// Those of them that failed.
        pub failed_before: u32,
        /// Those of them that were slow.
        pub slow_before: u32,
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It was answered in time.
    Good,
    /// It was answered, and took too long.
    Slow,
    /// It failed.
    Failed,
}

impl Outcomes {
    /// Counts a call.
    pub(crate) fn note(&mut self, now: Micros, window: Micros, call: Call) {
        *self = self.at(now, window);
        self.calls = self.calls.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(call == Call::Failed));
        self.slow = self.slow.saturating_add(u32::from(call == Call::Slow));
    }

    /// The share of calls that failed; none where there were fewer than `least`.
    pub(crate) fn failing(&self, now: Micros, window: Micros, least: u32) -> Ppm {
        // Mostly none has, and nothing is to be divided.
        if self.failed == 0 && self.failed_before == 0 {
            return Ppm::ZERO;
        }
        let lately = self.at(now, window);
        lately.share(lately.failed, lately.failed_before, least)
    }

    /// The share of calls that were slow; none where there were fewer than `least`.
    pub(crate) fn slow(&self, now: Micros, window: Micros, least: u32) -> Ppm {
        let lately = self.at(now, window);
        lately.share(lately.slow, lately.slow_before, least)
    }

    /// Calls that count, those of them that failed and those that were slow.
    pub(crate) fn counts(&self, now: Micros, window: Micros) -> [u64; 3] {
        let lately = self.at(now, window);
        let sum = |present: u32, before: u32| u64::from(present).saturating_add(before.into());
        [
            sum(lately.calls, lately.calls_before),
            sum(lately.failed, lately.failed_before),
            sum(lately.slow, lately.slow_before),
        ]
    }

    fn share(&self, some: u32, before: u32, least: u32) -> Ppm {
        let some = u64::from(some).saturating_add(u64::from(before));
        let calls = u64::from(self.calls).saturating_add(u64::from(self.calls_before));
        if calls < u64::from(least) { Ppm::ZERO } else { Ppm::ratio(some, calls) }
    }

    /// The same at this moment: what is too old is forgotten.
    fn at(&self, now: Micros, window: Micros) -> Self {
        let next = self.since + window;
        if now < next {
            *self
        } else if now < next + window {
            let Self { calls, failed, slow, .. } = *self;
            let before = Self { calls_before: calls, failed_before: failed, ..Self::default() };
            Self { since: next, slow_before: slow, ..before }
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
        /// The shortest wait before a further attempt; the longest is three times the one before it.
        pub backoff: Micros,
        /// The longest wait.
        pub backoff_max: Micros,
        /// The attempts that may be made because a call has failed, as a share of all others lately, to which
        /// they count themselves once they have come to a good end.
        pub budget: Ppm,
        /// How many of them may be made lately whatever else there is.
        pub least: u32,
    }
}

row! {
    /// That another vessel works an order's last leg as well. Its legs are the last two of the route until one of them
    /// is dropped.
    pub struct Hedge {
        /// When the leg was handed to the other vessel.
        pub dispatched: Micros,
        /// How long it should take there at most, behind all that was aboard.
        pub within: Micros,
    }
}

row! {
    /// For how long a vessel is left in peace that said it had no room.
    pub struct OverloadRule {
        /// For how long at first; doubled each time until it completes a leg.
        pub pause: Micros,
        /// The longest that it is.
        pub pause_max: Micros,
    }
}
