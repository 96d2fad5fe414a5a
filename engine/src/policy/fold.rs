//! How rules come into force, and how the level moves.

use crate::kernel::table::Breach;
use crate::kernel::units::Micros;
use crate::kernel::wheel::Due;
use crate::policy::rows::{Policy, PolicyLevel};
use crate::policy::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::PolicyChanged { version, policy }
        | Event::PolicyRolledBack { version, policy, .. } => {
            let rules = Policy::clone(policy);
            state.tables.policies.insert(*version, rules, &mut state.writer)?;
            let at = state.now + policy.escalation.review;
            let stance = state.edit_stance()?;
            stance.policy = *version;
            let at = stance.review_by(at);
            review_at(state, at)
        }
        Event::RiskReviewed { risk, drift, next, .. } => {
            let stance = state.edit_stance()?;
            stance.risk = *risk;
            stance.drift = *drift;
            review_at(state, *next)
        }
        Event::LevelChanged { to, .. } => set_level(state, *to),
        Event::LevelOverridden { level, until, .. } => {
            set_level(state, *level)?;
            let stance = state.edit_stance()?;
            stance.override_until = *until;
            let at = stance.review_by(stance.review_at);
            review_at(state, at)
        }
        Event::OverrideEnded { level, .. } => {
            set_level(state, *level)?;
            state.edit_stance()?.override_until = Micros::ZERO;
            Ok(())
        }
    }
}

fn set_level(state: &mut State, level: PolicyLevel) -> Result<(), Breach> {
    let now = state.now;
    let stance = state.edit_stance()?;
    if stance.level != level {
        stance.level = level;
        stance.level_since = now;
    }
    Ok(())
}

fn review_at(state: &mut State, at: Micros) -> Result<(), Breach> {
    state.edit_stance()?.review_at = at;
    state.set_timer(at, Due::Review);
    Ok(())
}
