//! Which rules come into force, and when the level moves.

use alloc::boxed::Box;

use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{PolicyVersion, Ppm};
use crate::models::rows::Class;
use crate::policy::rows::{Policy, PolicyLevel};
use crate::policy::words::{Command, Event, Refusal as Rules};
use crate::refusal::Refusal;
use crate::state::State;
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
    }
}

/// Puts a policy in force.
fn set(tx: &mut Transaction, policy: &Policy) -> Result<(), Refusal> {
    if let Some(fault) = policy.faults().into_iter().next() {
        return Err(Rules::Invalid { fault }.into());
    }
    let version = next_version(tx.state())?;
    tx.emit(Event::PolicyChanged { version, policy: Box::new(policy.clone()) });
    Ok(())
}

/// Puts the rules of an earlier version in force again.
fn roll_back(tx: &mut Transaction, to: PolicyVersion) -> Result<(), Refusal> {
    let unknown = Rules::Unknown { version: to };
    let policy = Box::new(tx.state().tables.policies.get(to).cloned().ok_or(unknown)?);
    let version = next_version(tx.state())?;
    tx.emit(Event::PolicyRolledBack { version, to, policy });
    Ok(())
}

fn next_version(state: &State) -> Result<PolicyVersion, Refusal> {
    let max = state.limits().map_or(0, |limits| limits.policies);
    if state.tables.policies.len() >= max {
        return Err(Config::Full { bound: Bound::Policies, max: u64::from(max) }.into());
    }
    Ok(state.tables.policies.vacancy())
}

/// Reviews the risk and moves the level by what becomes of the work, and not by a count of who is there:
/// legs that fail, a queue that fills, orders that wait for too much of the time they have, each class's
/// for the levels that turn it or a less urgent one away. Up at once to where the risk is, down by one
/// step and only once the level has held for its dwell time and the risk is clear of the threshold.
pub(crate) fn review(tx: &mut Transaction) {
    let state = tx.state();
    let (Some((_, policy)), Some(stance)) = (state.policy(), state.stance()) else { return };
    let (Some(calls), Some(flow)) = (state.calls(), state.flow()) else { return };
    let Some(waiting) = state.waiting() else { return };
    let levels = policy.escalation.clone();
    let (from, since) = (stance.level, stance.level_since);
    let failing = calls.failing(tx.now(), levels.window, levels.calls);
    let queue = state.limits().map_or(1, |limits| limits.queued);
    let pressure = Ppm::ratio(waiting.queued, u64::from(queue));
    let flow = flow.at(tx.now(), levels.window);
    let late = [Class::Interactive, Class::Standard, Class::Batch]
        .map(|class| flow.late(class, levels.calls));
    // A class that is turned away is no reason to turn away a more urgent one.
    let [interactive, standard, batch] = late;
    let halted = failing.max(pressure).max(interactive);
    let restricted = halted.max(standard);
    let risks = [restricted.max(batch), restricted, halted];
    let [risk, ..] = risks;
    let next = tx.now() + levels.review;
    tx.emit(Event::RiskReviewed { risk, failing, pressure, late, next });
    let reached = levels.level_at(risks);
    let relaxed = levels.level_at(risks.map(|risk| risk + levels.hysteresis));
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
