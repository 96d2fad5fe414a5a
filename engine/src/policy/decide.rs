//! Which rules come into force, and when the level moves.

mod burn;

use alloc::boxed::Box;
use core::cmp::Reverse;
use core::ops::Add;

use arrayvec::ArrayVec;

use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{Micros, PolicyVersion, Ppm};
use crate::models::rows::{Class, VesselStatus};
use crate::policy::rows::{
    Drift, Escalation, OverrideEnd, Policy, PolicyLevel, Signal, Signals, Stance,
};
use crate::policy::words::{Command, Event, Refusal as Rules};
use crate::queue::decide::{note_all, reconsider};
use crate::refusal::Refusal;
use crate::resilience::rows::Breaker;
use crate::state::State;
use crate::telemetry::decide::incidents;
use crate::telemetry::rows::Concern;
use crate::transaction::Transaction;

/// Whether a level admits orders of a class.
pub(crate) fn admits(level: PolicyLevel, class: Class) -> bool {
    match level {
        PolicyLevel::Normal => true,
        PolicyLevel::Elevated => class != Class::Batch,
        PolicyLevel::Restricted => class == Class::Interactive,
        PolicyLevel::Halted => false,
    }
}

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::SetPolicy(policy) => set(tx, policy),
        Command::RollBackPolicy { to } => roll_back(tx, *to),
        Command::Override { level, until } => hold(tx, *level, *until),
        Command::EndOverride => withdraw(tx),
    }
}

/// Puts a policy in force.
fn set(tx: &mut Transaction, policy: &Policy) -> Result<(), Refusal> {
    if let Some(fault) = policy.faults().into_iter().next() {
        return Err(Rules::Invalid { fault }.into());
    }
    let (version, before) = (next_version(tx.state())?, overcommit(tx.state()));
    tx.emit(Event::PolicyChanged { version, policy: Box::new(policy.clone()) });
    note_overcommit(tx, before);
    reconsider(tx);
    Ok(())
}

/// Puts the rules of an earlier version in force again.
fn roll_back(tx: &mut Transaction, to: PolicyVersion) -> Result<(), Refusal> {
    let unknown = Rules::Unknown { version: to };
    let policy = Box::new(tx.state().tables.policies.get(to).cloned().ok_or(unknown)?);
    let (version, before) = (next_version(tx.state())?, overcommit(tx.state()));
    tx.emit(Event::PolicyRolledBack { version, to, policy });
    note_overcommit(tx, before);
    reconsider(tx);
    Ok(())
}

fn overcommit(state: &State) -> u32 {
    state.policy().map_or(0, |(_, policy)| policy.overcommit_percent)
}

/// Where vessels may be given more of their memory than before, or less, whoever waits is looked at.
fn note_overcommit(tx: &mut Transaction, before: u32) {
    if overcommit(tx.state()) != before {
        note_all(tx);
    }
}

fn next_version(state: &State) -> Result<PolicyVersion, Refusal> {
    let max = state.limits().map_or(0, |limits| limits.policies);
    if state.tables.policies.len() >= max {
        return Err(Config::Full { bound: Bound::Policies, max: u64::from(max) }.into());
    }
    Ok(state.tables.policies.vacancy())
}

/// Has a level hold until then.
fn hold(tx: &mut Transaction, level: PolicyLevel, until: Micros) -> Result<(), Refusal> {
    let state = tx.state();
    let (_, policy) = state.policy().ok_or(Rules::NoPolicy)?;
    if until <= tx.now() {
        return Err(Rules::Invalid { fault: "until is not ahead".into() }.into());
    }
    let (asked, max) = (until - tx.now(), policy.escalation.override_max);
    if asked > max {
        return Err(Rules::OverrideTooLong { asked, max }.into());
    }
    let from = state.stance().map_or(PolicyLevel::Normal, |stance| stance.level);
    tx.emit(Event::LevelOverridden { from, level, until });
    Ok(())
}

/// Has the level be what the risk says, before the override of it is over.
fn withdraw(tx: &mut Transaction) -> Result<(), Refusal> {
    if tx.state().stance().is_none_or(|stance| stance.override_until == Micros::ZERO) {
        return Err(Rules::NoOverride.into());
    }
    look(tx, Some(OverrideEnd::Withdrawn));
    Ok(())
}

/// Reviews the risk, at its time or when an override is over.
pub(crate) fn review(tx: &mut Transaction) {
    let until = tx.state().stance().map_or(Micros::ZERO, |stance| stance.override_until);
    let over = until != Micros::ZERO && until <= tx.now();
    look(tx, over.then_some(OverrideEnd::Expired));
}

/// Reviews the risk and moves the level by what becomes of the work, and not by a count of who is there:
/// legs that fail, a queue that fills, orders that wait for too much of the time they have, each class's
/// for the levels that turn it or a less urgent one away. Each adds to the risk as the policy weighs it. Up at once to
/// where the risk is, down by one step and only once the level has held for its dwell time and the risk is below what the
/// policy says of it. An override holds the level; once that is over the level is where the risk is, up or down.
fn look(tx: &mut Transaction, over: Option<OverrideEnd>) {
    let state = tx.state();
    let (Some((_, policy)), Some(stance)) = (state.policy(), state.stance()) else { return };
    let Some(found) = find(state, &policy.escalation) else { return };
    let (levels, stance) = (policy.escalation.clone(), stance.clone());
    let next = tx.now() + levels.review;
    if let Some(reason) = over {
        tx.emit(found.told(next));
        let (from, level) = (stance.level, levels.level_at(found.risks()));
        tx.emit(Event::OverrideEnded { from, level, reason });
    } else {
        tx.emit(found.told(stance.review_by(next)));
        if stance.override_until == Micros::ZERO {
            move_level(tx, &levels, &stance, &found);
        }
    }
    burn::look(tx);
    let height = tx.state().stance().map_or(0, |stance| stance.level as u64);
    let (lost, level) = (lost(tx.state()), Ppm::ratio(height, LEVELS));
    incidents::look(tx, |concern| match concern {
        Concern::Failing => found.failing,
        Concern::Pressure => found.pressure,
        Concern::Late => found.late.into_iter().max().unwrap_or(Ppm::ZERO),
        Concern::CutOff => found.cut_off,
        Concern::Drift => Ppm::ratio(found.drift.sum.0, levels.drift.threshold.0),
        Concern::Lost => lost,
        Concern::Level => level,
    });
}

/// How many levels there are above normal.
const LEVELS: u64 = PolicyLevel::ALL.len() as u64 - 1;

/// What a review finds.
struct Found {
    failing: Ppm,
    pressure: Ppm,
    late: [Ppm; 3],
    cut_off: Ppm,
    drift: Drift,
    /// What each signal adds to the risk of elevated, of restricted and of halted, in the order of their numbers.
    parts: [[Ppm; Signal::ALL.len()]; 3],
}

impl Found {
    /// The risk of each level: the sum of its parts, and no more than one.
    fn risks(&self) -> [Ppm; 3] {
        self.parts.map(|parts| parts.into_iter().fold(Ppm::ZERO, Add::add).min(Ppm::ONE))
    }

    /// What is told of it.
    fn told(&self, next: Micros) -> Event {
        let [risk, ..] = self.risks();
        let Self { failing, pressure, late, cut_off, drift, .. } = *self;
        Event::RiskReviewed { risk, failing, pressure, late, cut_off, drift, next }
    }

    /// The fewest signals that reach this threshold of a level, the greatest first.
    fn reasons(&self, level: PolicyLevel, threshold: Ppm) -> Signals {
        let Some(place) = place(level) else { return Signals::new() };
        let parts = self.parts.get(place).into_iter().flatten().copied();
        let mut parts: ArrayVec<(Ppm, Signal), { Signal::ALL.len() }> =
            parts.zip(Signal::ALL.iter().copied()).collect();
        parts.sort_unstable_by_key(|(part, signal)| (Reverse(*part), *signal));
        let mut sum = Ppm::ZERO;
        let needed = parts.into_iter().take_while(|(part, _)| {
            let needed = sum < threshold;
            sum += *part;
            needed
        });
        needed.map(|(_, signal)| signal).collect()
    }
}

/// The place of a level among those above normal.
fn place(level: PolicyLevel) -> Option<usize> {
    (level as usize).checked_sub(1)
}

/// Looks at everything that the risk is made of.
fn find(state: &State, levels: &Escalation) -> Option<Found> {
    let (calls, flow, waiting) = (state.calls()?, state.flow()?, state.waiting()?);
    let (now, weights) = (state.now(), &levels.weights);
    let failing = calls.failing(now, levels.window, levels.calls);
    let [counted, ..] = calls.counts(now, levels.window);
    let enough = counted >= u64::from(levels.calls);
    let drift = state.stance()?.drift.after(&levels.drift, enough.then_some(failing));
    let queue = state.limits().map_or(1, |limits| limits.queued);
    let pressure = Ppm::ratio(waiting.queued, u64::from(queue));
    let flow = flow.at(now, levels.window);
    let late = [Class::Interactive, Class::Standard, Class::Batch]
        .map(|class| flow.late(class, levels.calls));
    let cut_off = cut_off(state);
    // A class that is turned away is no reason to turn away a more urgent one.
    let [interactive, standard, batch] = late;
    let restricted = interactive.max(standard);
    let parts = [restricted.max(batch), restricted, interactive].map(|late| {
        [
            failing.share(weights.failing),
            pressure.share(weights.pressure),
            late.share(weights.late),
            cut_off.share(weights.cut_off),
            if drift.alarm { weights.drift } else { Ppm::ZERO },
        ]
    });
    Some(Found { failing, pressure, late, cut_off, drift, parts })
}

/// The share of the slots of vessels that are up which lie behind open breakers.
fn cut_off(state: &State) -> Ppm {
    let (mut all, mut behind) = (0u64, 0u64);
    for (id, vessel) in state.tables.vessels.iter() {
        if vessel.status != VesselStatus::Up {
            continue;
        }
        let slots = u64::from(vessel.manifest.slots);
        all = all.saturating_add(slots);
        if state.tables.loads.get(id).is_some_and(|load| load.breaker == Breaker::Open) {
            behind = behind.saturating_add(slots);
        }
    }
    Ppm::ratio(behind, all)
}

/// The share of the slots of vessels that are lost, of all that are not retired and were not sent away.
fn lost(state: &State) -> Ppm {
    let (mut all, mut lost) = (0u64, 0u64);
    for (_, vessel) in state.tables.vessels.iter() {
        if vessel.held || vessel.status == VesselStatus::Retired {
            continue;
        }
        let slots = u64::from(vessel.manifest.slots);
        all = all.saturating_add(slots);
        if vessel.status == VesselStatus::Lost {
            lost = lost.saturating_add(slots);
        }
    }
    Ppm::ratio(lost, all)
}

/// Moves the level to where the risk is, if it may.
fn move_level(tx: &mut Transaction, levels: &Escalation, stance: &Stance, found: &Found) {
    let (from, risks) = (stance.level, found.risks());
    let reached = levels.level_at(risks);
    let of = |level: PolicyLevel, each: [Ppm; 3]| {
        place(level).and_then(|place| each.get(place).copied()).unwrap_or(Ppm::ZERO)
    };
    if reached > from {
        let reasons = found.reasons(reached, of(reached, levels.begins()));
        let risk = of(reached, risks);
        tx.emit(Event::LevelChanged { from, to: reached, risk, reasons });
    } else if of(from, risks) < of(from, levels.ends())
        && tx.now() >= stance.level_since + levels.dwell
    {
        let (to, risk, reasons) = (below(from), of(from, risks), Signals::new());
        tx.emit(Event::LevelChanged { from, to, risk, reasons });
    }
}

fn below(level: PolicyLevel) -> PolicyLevel {
    match level {
        PolicyLevel::Normal | PolicyLevel::Elevated => PolicyLevel::Normal,
        PolicyLevel::Restricted => PolicyLevel::Elevated,
        PolicyLevel::Halted => PolicyLevel::Restricted,
    }
}
