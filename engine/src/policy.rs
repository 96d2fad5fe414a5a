//! The rules in force: versioned, validated, and a level that tightens and relaxes with risk.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::event::Event;
use crate::exchange::Transaction;
use crate::image::{code, row};
use crate::models::{Breaker, Class, VesselStatus};
use crate::refusal::{Bound, Refusal, Thing};
use crate::state::State;
use crate::table::Breach;
use crate::units::{Micros, PolicyVersion, Ppm};
use crate::wheel::Due;

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
        /// How long an order of each class may wait before it is due; among those that wait, the one
        /// that is due first goes first.
        pub patience: [Micros; 3],
        /// How long an order of each class lives when it names no deadline of its own.
        pub lifetime: [Micros; 3],
        /// A leg times out after this multiple of its predicted time behind all that is aboard, in percent.
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

impl Policy {
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
        fault(self.candidates > 64, "candidates is above 64");
        for (place, class) in ["interactive", "standard", "batch"].into_iter().enumerate() {
            let zero = |spans: &[Micros; 3]| spans.get(place) == Some(&Micros::ZERO);
            fault(zero(&self.patience), &format!("patience.{class} is 0"));
            fault(zero(&self.lifetime), &format!("lifetime.{class} is 0"));
        }
        fault(self.timeout_percent < 100, "timeout_percent is below 100: sooner than predicted");
        let RetryRule { attempts, backoff, backoff_max } = self.retry;
        fault(attempts == 0, "retry.attempts is 0");
        fault(backoff > backoff_max, "retry.backoff is above retry.backoff_max");
        let BreakerRule { failures, open } = self.breaker;
        fault(failures > 0 && open.0 == 0, "breaker.open is 0, but breaker.failures is not");
        let Escalation { elevated, restricted, halted, hysteresis, dwell, review } =
            self.escalation;
        fault(elevated >= restricted, "escalation.elevated is not below escalation.restricted");
        fault(restricted >= halted, "escalation.restricted is not below escalation.halted");
        fault(halted > Ppm::ONE, "escalation.halted is above 1000000, which no risk exceeds");
        fault(hysteresis >= elevated, "escalation.hysteresis is not below escalation.elevated");
        fault(review.0 == 0, "escalation.review is 0");
        fault(dwell < review, "escalation.dwell is below escalation.review");
        faults
    }
}

impl Escalation {
    /// The level whose threshold a risk has reached.
    fn level_at(&self, risk: Ppm) -> PolicyLevel {
        if risk >= self.halted {
            PolicyLevel::Halted
        } else if risk >= self.restricted {
            PolicyLevel::Restricted
        } else if risk >= self.elevated {
            PolicyLevel::Elevated
        } else {
            PolicyLevel::Normal
        }
    }
}

/// Whether a level admits orders of a class.
pub(crate) fn admits(level: PolicyLevel, class: Class) -> bool {
    match level {
        PolicyLevel::Normal => true,
        PolicyLevel::Elevated => class != Class::Batch,
        PolicyLevel::Restricted => class == Class::Interactive,
        PolicyLevel::Halted => false,
    }
}

/// Puts a policy in force.
pub(crate) fn set(tx: &mut Transaction, policy: &Policy) -> Result<(), Refusal> {
    if let Some(fault) = policy.faults().into_iter().next() {
        return Err(Refusal::Invalid { fault });
    }
    let version = next_version(tx.state())?;
    tx.emit(Event::PolicyChanged { version, policy: Box::new(policy.clone()) });
    Ok(())
}

/// Puts the rules of an earlier version in force again.
pub(crate) fn roll_back(tx: &mut Transaction, to: PolicyVersion) -> Result<(), Refusal> {
    let unknown = Refusal::Unknown { thing: Thing::Policy, id: u64::from(to.0) };
    let policy = Box::new(tx.state().tables.policies.get(to).cloned().ok_or(unknown)?);
    let version = next_version(tx.state())?;
    tx.emit(Event::PolicyRolledBack { version, to, policy });
    Ok(())
}

fn next_version(state: &State) -> Result<PolicyVersion, Refusal> {
    let max = state.limits().map_or(0, |limits| limits.policies);
    if state.tables.policies.len() >= max {
        return Err(Refusal::Full { bound: Bound::Policies, max: u64::from(max) });
    }
    Ok(state.tables.policies.vacancy())
}

/// Reviews the risk and moves the level: up at once to where the risk is, down by one step and only
/// once the level has held for its dwell time and the risk is clear of the threshold.
pub(crate) fn review(tx: &mut Transaction) {
    let (Some((_, policy)), Some(control)) = (tx.state().policy(), tx.state().control()) else {
        return;
    };
    let levels = policy.escalation.clone();
    let (from, since) = (control.level, control.level_since);
    let failing = Ppm::ratio(control.failed, control.completed.saturating_add(control.failed));
    let queue = tx.state().limits().map_or(1, |limits| limits.queued);
    let pressure = Ppm::ratio(control.queued, u64::from(queue));
    let lost = lost_share(tx.state());
    let risk = failing.max(pressure).max(lost);
    let next = tx.now() + levels.review;
    tx.emit(Event::RiskReviewed { risk, failing, pressure, lost, next });
    let reached = levels.level_at(risk);
    let relaxed = levels.level_at(risk + levels.hysteresis);
    let to = if reached > from {
        reached
    } else if relaxed < from && tx.now() >= since + levels.dwell {
        below(from)
    } else {
        return;
    };
    tx.emit(Event::LevelChanged { from, to, risk });
}

fn below(level: PolicyLevel) -> PolicyLevel {
    match level {
        PolicyLevel::Normal | PolicyLevel::Elevated => PolicyLevel::Normal,
        PolicyLevel::Restricted => PolicyLevel::Elevated,
        PolicyLevel::Halted => PolicyLevel::Restricted,
    }
}

/// The share of vessels that should take work and do not: lost, or cut off by their breaker.
fn lost_share(state: &State) -> Ppm {
    let mut counted = [0u64; 2];
    for (id, vessel) in state.tables.vessels.iter() {
        let open = state.tables.loads.get(id).is_none_or(|load| load.breaker != Breaker::Open);
        let place = match vessel.status {
            VesselStatus::Up if open => 0,
            VesselStatus::Up | VesselStatus::Lost => 1,
            VesselStatus::Draining | VesselStatus::Drained => continue,
        };
        if let Some(count) = counted.get_mut(place) {
            *count = count.saturating_add(1);
        }
    }
    let [working, missing] = counted;
    Ppm::ratio(missing, working.saturating_add(missing))
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::PolicyChanged { version, policy }
        | Event::PolicyRolledBack { version, policy, .. } => {
            state.tables.policies.insert(*version, Policy::clone(policy), state.seq)?;
            let at = state.now + policy.escalation.review;
            state.edit_control()?.policy = *version;
            review_at(state, at)
        }
        Event::RiskReviewed { risk, next, .. } => {
            let control = state.edit_control()?;
            control.risk = *risk;
            control.completed = 0;
            control.failed = 0;
            review_at(state, *next)
        }
        Event::LevelChanged { to, .. } => {
            let now = state.now;
            let control = state.edit_control()?;
            control.level = *to;
            control.level_since = now;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn review_at(state: &mut State, at: Micros) -> Result<(), Breach> {
    state.edit_control()?.review_at = at;
    state.set_timer(at, Due::Review);
    Ok(())
}
