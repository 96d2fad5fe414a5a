//! The rules in force: versioned, validated, and a level that tightens and relaxes with risk.

use crate::image::{code, row};
use crate::units::{Micros, Ppm};

code! {
    /// How tightly the exchange admits, loosest first.
    pub enum PolicyLevel {
        /// Everyone is admitted.
        Normal = 0,
        /// Batch work is turned away.
        Elevated = 1,
        /// Interactive work alone is admitted.
        Restricted = 2,
        /// Nobody is admitted.
        Halted = 3,
    }
}

row! {
    /// What each objective weighs in the score of a route, in points; a lower score wins.
    pub struct Weights {
        /// Points for each millisecond until the answer is expected to be complete.
        pub time: u32,
        /// Points for each micro-dollar.
        pub cost: u32,
        /// Points for each joule.
        pub energy: u32,
        /// Points for the vessel that failed this order last.
        pub avoid: u32,
    }
}

row! {
    /// When a vessel's circuit breaker trips, and for how long.
    pub struct BreakerRule {
        /// Failures in a row that trip it; zero is never.
        pub failures: u32,
        /// How long it stays open before a probe may pass.
        pub open: Micros,
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

row! {
    /// The risk at which each level above normal begins, and how it is left again.
    pub struct Escalation {
        /// Risk at which the level becomes elevated.
        pub elevated: Ppm,
        /// Risk at which it becomes restricted.
        pub restricted: Ppm,
        /// Risk at which it becomes halted.
        pub halted: Ppm,
        /// How far below its threshold the risk has to be before a level is left.
        pub hysteresis: Ppm,
        /// How long a level holds before it may be relaxed.
        pub dwell: Micros,
        /// How often the risk is reviewed.
        pub review: Micros,
    }
}

row! {
    /// The rules of one version.
    pub struct Policy {
        /// What a route is judged by.
        pub weights: Weights,
        /// How many vessels are drawn as candidates for a route.
        pub candidates: u8,
        /// How long an order of each class may wait before it is as urgent as a fresh one above it.
        pub patience: [Micros; 3],
        /// How long an order of each class lives when it names no deadline of its own.
        pub lifetime: [Micros; 3],
        /// A leg times out after this multiple of its predicted time, in percent.
        pub timeout_percent: u32,
        /// A leg never times out sooner than this.
        pub timeout_min: Micros,
        /// How failures are retried.
        pub retry: RetryRule,
        /// How vessels are cut off.
        pub breaker: BreakerRule,
        /// How the level moves.
        pub escalation: Escalation,
    }
}
