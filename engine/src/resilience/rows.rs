//! What failures are counted by, and the rules for them.

use crate::kernel::image::{code, row};
use crate::kernel::units::Micros;

code! {
    /// The circuit breaker before a vessel.
    pub enum Breaker {
        /// Work passes.
        Closed = 0,
        /// No work passes until the breaker's time is up.
        Open = 1,
        /// One order passes; its outcome decides.
        Probing = 2,
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
