//! The rules in force: versioned, validated, and a level that tightens and relaxes with risk.

mod sla;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

use crate::kernel::image::{code, row};
use crate::kernel::units::{Micros, PolicyVersion, Ppm, Tokens, clamp};
use crate::queue::rows::{GatherRule, Shares};
use crate::resilience::rows::{BreakerRule, OverloadRule, RetryRule};
use crate::routing::rows::{Choice, Weights};
use crate::telemetry::rows::{Charge, Forecast, IncidentRule};

pub use sla::{Burn, BurnAlert, BurnWindow, Sla, SlaRule, SlaWindow};

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

code! {
    /// What speaks for a risk.
    pub enum Signal {
        /// Legs that fail.
        Failing = 0,
        /// The queue that fills.
        Pressure = 1,
        /// Orders that wait for too much of the time they have.
        Late = 2,
        /// Slots behind open breakers.
        CutOff = 3,
        /// More legs that fail than usually do.
        Drift = 4,
    }
}

/// How many signals there are.
const SIGNALS: usize = Signal::ALL.len();

/// Signals, the greatest first.
pub type Signals = ArrayVec<Signal, SIGNALS>;

row! {
    /// How much each input adds to the risk: so much for all of it, in millionths.
    pub struct RiskWeights {
        /// The share of legs that fail.
        pub failing: Ppm,
        /// How full the queue is.
        pub pressure: Ppm,
        /// The share of orders that are late, of the class of which it is greatest.
        pub late: Ppm,
        /// The share of slots behind open breakers.
        pub cut_off: Ppm,
        /// That more legs fail than usually do: all or nothing.
        pub drift: Ppm,
    }
}

row! {
    /// When more legs fail than usually do.
    pub struct DriftRule {
        /// How much more than usual may fail at every review.
        pub slack: Ppm,
        /// What exceeds that may add up to less than this.
        pub threshold: Ppm,
        /// What is usual is a mean of about so many reviews.
        pub reviews: u32,
    }
}

row! {
    /// Whether more legs fail than usually do (one-sided cumulative sum: Page, Biometrika 41, 1954).
    #[derive(Copy, Default)]
    pub struct Drift {
        /// The share that usually fails: a mean in which every review weighs as much as those before it together
        /// do by their number, up to that of the policy.
        pub usual: Ppm,
        /// What exceeded that and the slack, added up; what falls short of it is taken off, down to nothing.
        pub sum: Ppm,
        /// How many reviews the mean is of.
        pub reviews: u32,
        /// Whether the sum has reached the threshold.
        pub alarm: bool,
    }
}

impl Drift {
    /// The same after a review that finds so large a share of legs failed. Where there were too few legs to say,
    /// as many as usual are taken to have, and nothing is learnt.
    ///
    /// The sum stops at twice the threshold, so that a shift which is over is forgotten in time. A mean of n
    /// reviews is moved by a n-th of what a share differs, rounded down: it may stay off by n millionths.
    pub(crate) fn after(&self, rule: &DriftRule, failing: Option<Ppm>) -> Self {
        let first = self.reviews == 0;
        let seen = failing.unwrap_or(self.usual);
        // The first one is compared with itself.
        let usual = if first { seen } else { self.usual };
        let most = rule.threshold + rule.threshold;
        let sum = (self.sum + seen - usual - rule.slack).min(most);
        let alarm = sum >= rule.threshold;
        if failing.is_none() {
            return Self { sum, alarm, ..*self };
        }
        let reviews = self.reviews.saturating_add(1).min(rule.reviews);
        let part = |differs: Ppm| Ppm(differs.0.checked_div(u64::from(reviews)).unwrap_or(0));
        Self { usual: usual + part(seen - usual) - part(usual - seen), sum, reviews, alarm }
    }
}

row! {
    /// The risk at which each level above normal begins, and how it is left again.
    pub struct Escalation {
        /// Risk at which the level becomes elevated.
        pub elevated: Ppm,
        /// Risk below which it may be so no more.
        pub elevated_below: Ppm,
        /// Risk at which it becomes restricted.
        pub restricted: Ppm,
        /// Risk below which it may be so no more.
        pub restricted_below: Ppm,
        /// Risk at which it becomes halted.
        pub halted: Ppm,
        /// Risk below which it may be so no more.
        pub halted_below: Ppm,
        /// What the risk is made of.
        pub weights: RiskWeights,
        /// When more legs fail than usually do.
        pub drift: DriftRule,
        /// How long a level holds before it may be relaxed.
        pub dwell: Micros,
        /// How often the risk is reviewed.
        pub review: Micros,
        /// For how long a leg that failed counts: for this long at least, and for twice as long at most.
        pub window: Micros,
        /// The legs, or orders of a class, that there have to be in that time before a share of them is a risk.
        pub calls: u32,
        /// The share of its time that an order may wait in the queue before it counts as late.
        pub late: Ppm,
        /// The longest that the level may be overridden at once; zero is never.
        pub override_max: Micros,
    }
}

code! {
    /// Why the level is overridden no more.
    pub enum OverrideEnd {
        /// Its time was over.
        Expired = 0,
        /// Somebody withdrew it.
        Withdrawn = 1,
    }
}

/// The most vessels that a policy may have drawn as candidates for a route.
pub const CANDIDATES_MAX: u8 = 64;

/// The longest that another vessel may be waited with, in percent of the usual time.
const HEDGE_MOST: u32 = 10_000;
/// The most that a vessel may be given of its memory, in percent.
const OVERCOMMIT_MOST: u32 = 10_000;

/// The most attempts that a policy may allow an order.
const ATTEMPTS_MAX: u16 = 16;

row! {
    /// The rules of one version.
    pub struct Policy {
        /// By what routes are chosen.
        pub route_by: Choice,
        /// What a route is judged by.
        pub weights: Weights,
        /// How many vessels are drawn as candidates for a route.
        pub candidates: u8,
        /// Up to how many percent of its slots the vessel gets of what belongs to it, where that is how routes are chosen.
        pub home_percent: u32,
        /// For how long a vessel is believed to hold a prefix that it has worked.
        pub prefix_age: Micros,
        /// For how long the key of an order that was served stands for it.
        pub key_age: Micros,
        /// What the classes weigh against each other while several of them wait.
        pub shares: Shares,
        /// How long an order of each class may wait before its class is lent a larger share for it.
        pub patience: [Micros; 3],
        /// How long an order of each class lives when it names no deadline of its own.
        pub lifetime: [Micros; 3],
        /// For how long the next slot of its vessel is kept for an order that found none free when its berth began.
        pub berth_grace: Micros,
        /// A leg times out after this multiple of its predicted time behind all that is aboard, in percent.
        pub timeout_percent: u32,
        /// A leg never times out sooner than this.
        pub timeout_min: Micros,
        /// For how long a vessel's answer to a stop is awaited.
        pub stop: Micros,
        /// How failures are retried.
        pub retry: RetryRule,
        /// After how long another vessel is asked to work an order of each class as well: this multiple, in percent, of
        /// the time that 95 of 100 such legs take there; zero is never.
        pub hedge_percent: [u32; 3],
        /// Whether an interactive order that finds no room takes the place of a batch order of whose answer nothing is there
        /// yet.
        pub preempt: bool,
        /// How much a vessel may be given for its memory, in percent, prompts and longest answers together: most answers
        /// are shorter.
        pub overcommit_percent: u32,
        /// Whether those of each class who wait go by what they may cost at most, the most first, and then by when they came.
        pub price_time: [bool; 3],
        /// When batch orders begin together.
        pub gather: GatherRule,
        /// How vessels are cut off.
        pub breaker: BreakerRule,
        /// How vessels are left in peace that say they have no room.
        pub overload: OverloadRule,
        /// What is charged for work that led to nothing.
        pub charge: Charge,
        /// What predictions are made of.
        pub forecast: Forecast,
        /// How the level moves.
        pub escalation: Escalation,
        /// When a tenant's errors are told of.
        pub sla: SlaRule,
        /// When incidents are told, and how severe they are.
        pub incidents: IncidentRule,
    }
}

row! {
    /// The policy in force and the level that it is at, in one row.
    pub struct Stance {
        /// The policy in force.
        pub policy: PolicyVersion,
        /// The level in force.
        pub level: PolicyLevel,
        /// When the level last changed.
        pub level_since: Micros,
        /// The risk at the last review.
        pub risk: Ppm,
        /// When the risk is reviewed next; zero before a policy is in force.
        pub review_at: Micros,
        /// Until when the level is overridden; zero where it is not.
        pub override_until: Micros,
        /// How often the risk has been reviewed.
        pub reviews: u64,
        /// Whether more legs fail than usually do.
        pub drift: Drift,
    }
}

impl Stance {
    /// When the risk is reviewed that would be at this time: at the end of an override at the latest.
    pub(crate) fn review_by(&self, at: Micros) -> Micros {
        if self.override_until == Micros::ZERO { at } else { at.min(self.override_until) }
    }
}

impl Policy {
    /// The longest that an answer to a stop may be awaited: somebody's slot is taken meanwhile.
    const STOP_MOST: Micros = Micros(86_400_000_000);

    /// How long a leg may last that should take so long, before it counts as failed.
    pub(crate) fn timeout(&self, within: Micros) -> Micros {
        let patience = u128::from(within.0).saturating_mul(u128::from(self.timeout_percent)) / 100;
        Micros(clamp(patience)).max(self.timeout_min)
    }

    /// Everything in which these rules contradict themselves, each fault naming its fields.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(String::from(text));
            }
        };
        let Weights { time, cost, energy, .. } = self.weights;
        fault(time == 0 && cost == 0 && energy == 0, "weights: time, cost and energy are all 0");
        fault(self.candidates == 0, "candidates is 0");
        fault(self.candidates > CANDIDATES_MAX, "candidates is above 64");
        let home = self.home_percent;
        fault(home == 0 || home > 100, "home_percent is 0 or above 100");
        let most = Shares::MOST;
        fault(self.shares.overdue > most, "shares.overdue is above 1000");
        for (place, class) in ["interactive", "standard", "batch"].into_iter().enumerate() {
            let zero = |spans: &[Micros; 3]| spans.get(place) == Some(&Micros::ZERO);
            let share = self.shares.classes.get(place).copied().unwrap_or(0);
            fault(share == 0 || share > most, &format!("shares.{class} is 0 or above 1000"));
            fault(zero(&self.patience), &format!("patience.{class} is 0"));
            fault(zero(&self.lifetime), &format!("lifetime.{class} is 0"));
            let hedge = self.hedge_percent.get(place).copied().unwrap_or(0);
            let odd = hedge != 0 && !(100..=HEDGE_MOST).contains(&hedge);
            fault(odd, &format!("hedge_percent.{class} is neither 0 nor 100 to 10000"));
        }
        let odd = !matches!(self.overcommit_percent, 0 | 100..=OVERCOMMIT_MOST);
        fault(odd, "overcommit_percent is neither 0 nor 100 to 10000");
        fault(self.stop > Self::STOP_MOST, "stop is above a day");
        fault(self.timeout_percent < 100, "timeout_percent is below 100: sooner than predicted");
        let RetryRule { attempts, backoff, backoff_max, budget, .. } = self.retry;
        fault(attempts == 0, "retry.attempts is 0");
        fault(attempts > ATTEMPTS_MAX, "retry.attempts is above 16");
        fault(backoff > backoff_max, "retry.backoff is above retry.backoff_max");
        fault(budget > Ppm::ONE, "retry.budget is above 1000000");
        let GatherRule { tokens, wait } = self.gather;
        let odd = tokens > Tokens::ZERO && (wait.0 == 0 || wait > GatherRule::WAIT_MOST);
        fault(odd, "gather.wait is 0 or above a day, but gather.tokens is not 0");
        let OverloadRule { pause, pause_max } = self.overload;
        fault(pause.0 == 0, "overload.pause is 0");
        fault(pause > pause_max, "overload.pause is above overload.pause_max");
        let Charge { failed, expired, cancelled } = self.charge;
        for (end, share) in [("failed", failed), ("expired", expired), ("cancelled", cancelled)] {
            fault(share > Ppm::ONE, &format!("charge.{end} is above 1000000"));
        }
        let Forecast { samples, prior, legs, window } = self.forecast;
        fault(samples == 0, "forecast.samples is 0");
        fault(samples > Forecast::SAMPLES_MAX, "forecast.samples is above 127");
        fault(prior > Ppm::ONE, "forecast.prior is above 1000000");
        fault(legs == 0, "forecast.legs is 0");
        fault(window.0 == 0, "forecast.window is 0");
        let BreakerRule { failures, failing, slow, slow_percent, calls, window, .. } = self.breaker;
        let BreakerRule { open, open_max, probes, cut_off, .. } = self.breaker;
        let trips = failures > 0 || failing > Ppm::ZERO || slow > Ppm::ZERO;
        fault(trips && open.0 == 0, "breaker.open is 0, but something trips it");
        fault(open > open_max, "breaker.open is above breaker.open_max");
        fault(failing > Ppm::ONE, "breaker.failing is above 1000000, which no share exceeds");
        fault(slow > Ppm::ONE, "breaker.slow is above 1000000, which no share exceeds");
        fault(slow_percent < 100, "breaker.slow_percent is below 100: faster than predicted");
        fault(calls == 0, "breaker.calls is 0");
        fault(window.0 == 0, "breaker.window is 0");
        fault(probes == 0, "breaker.probes is 0");
        fault(cut_off > Ppm::ONE, "breaker.cut_off is above 1000000, which no share exceeds");
        let Escalation { dwell, review, window, calls, late, .. } = self.escalation;
        fault(window.0 == 0, "escalation.window is 0");
        fault(late == Ppm::ZERO || late > Ppm::ONE, "escalation.late is 0 or above 1000000");
        fault(calls == 0, "escalation.calls is 0");
        self.escalation.risk_faults(&mut fault);
        fault(review.0 == 0, "escalation.review is 0");
        fault(dwell < review, "escalation.dwell is below escalation.review");
        for (name, burn) in ["hour", "six_hours", "three_days"].into_iter().zip(self.sla.burns) {
            fault(burn == Ppm::ZERO, &format!("sla.{name} is 0"));
        }
        let SlaRule { clear, orders, .. } = self.sla;
        fault(clear == Ppm::ZERO || clear > Ppm::ONE, "sla.clear is 0 or above 1000000");
        fault(orders == 0, "sla.orders is 0");
        self.incidents.faults(&mut fault);
        faults
    }
}

impl Escalation {
    /// The most that a weight may be.
    const WEIGHT_MOST: Ppm = Ppm(10_000_000);

    /// The most reviews that a mean may be of.
    const REVIEWS_MOST: u32 = 10_000;

    /// What is wrong with thresholds, weights and drift.
    fn risk_faults(&self, fault: &mut impl FnMut(bool, &str)) {
        let Self { elevated, restricted, halted, .. } = *self;
        fault(elevated >= restricted, "escalation.elevated is not below escalation.restricted");
        fault(restricted >= halted, "escalation.restricted is not below escalation.halted");
        fault(halted > Ppm::ONE, "escalation.halted is above 1000000, which no risk exceeds");
        let [low, middle, high] = self.ends();
        for (name, at, below) in [
            ("elevated", elevated, low),
            ("restricted", restricted, middle),
            ("halted", halted, high),
        ] {
            let text = format!("escalation.{name}_below is not below escalation.{name}");
            fault(below >= at, &text);
        }
        fault(low == Ppm::ZERO, "escalation.elevated_below is 0, below which no risk is");
        // Where those at which levels begin do not ascend either, that is enough.
        fault(
            low > middle && elevated < restricted,
            "escalation.elevated_below is above escalation.restricted_below",
        );
        fault(
            middle > high && restricted < halted,
            "escalation.restricted_below is above escalation.halted_below",
        );
        let RiskWeights { failing, pressure, late, cut_off, drift } = self.weights;
        let weights = [
            ("failing", failing),
            ("pressure", pressure),
            ("late", late),
            ("cut_off", cut_off),
            ("drift", drift),
        ];
        let none = weights.iter().all(|(_, weight)| *weight == Ppm::ZERO);
        fault(none, "escalation.weights: all are 0");
        for (name, weight) in weights {
            let text = format!("escalation.weights.{name} is above 10000000");
            fault(weight > Self::WEIGHT_MOST, &text);
        }
        let DriftRule { slack, threshold, reviews } = self.drift;
        fault(
            slack == Ppm::ZERO || slack > Ppm::ONE,
            "escalation.drift.slack is 0 or above 1000000",
        );
        fault(threshold == Ppm::ZERO, "escalation.drift.threshold is 0");
        fault(
            reviews == 0 || reviews > Self::REVIEWS_MOST,
            "escalation.drift.reviews is 0 or above 10000",
        );
    }

    /// The risks at which elevated, restricted and halted begin.
    pub(crate) fn begins(&self) -> [Ppm; 3] {
        [self.elevated, self.restricted, self.halted]
    }

    /// Those below which they may be left.
    pub(crate) fn ends(&self) -> [Ppm; 3] {
        [self.elevated_below, self.restricted_below, self.halted_below]
    }

    /// The highest level whose threshold its risk has reached: those of elevated, restricted and halted.
    pub(crate) fn level_at(&self, [elevated, restricted, halted]: [Ppm; 3]) -> PolicyLevel {
        if halted >= self.halted {
            PolicyLevel::Halted
        } else if restricted >= self.restricted {
            PolicyLevel::Restricted
        } else if elevated >= self.elevated {
            PolicyLevel::Elevated
        } else {
            PolicyLevel::Normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Drift, DriftRule};
    use crate::kernel::units::Ppm;

    /// A tenth usually fails, and a twentieth more is let pass: 350 000 is 200 000 too many, which is the threshold.
    #[test]
    fn the_alarm_is_given_at_the_threshold() {
        let rule = DriftRule { slack: Ppm(50_000), threshold: Ppm(200_000), reviews: 4 };
        let usual = Drift::default().after(&rule, Some(Ppm(100_000)));
        for (failing, alarm) in [(349_999, false), (350_000, true)] {
            assert_eq!(usual.after(&rule, Some(Ppm(failing))).alarm, alarm, "{failing}");
        }
    }
}
