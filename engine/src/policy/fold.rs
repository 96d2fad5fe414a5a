//! How rules come into force, and how the level moves.

use crate::kernel::table::Breach;
use crate::kernel::units::Micros;
use crate::kernel::wheel::Due;
use crate::policy::rows::Policy;
use crate::policy::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::PolicyChanged { version, policy }
        | Event::PolicyRolledBack { version, policy, .. } => {
            let rules = Policy::clone(policy);
            state.tables.policies.insert(*version, rules, &mut state.writer)?;
            let at = state.now + policy.escalation.review;
            state.edit_stance()?.policy = *version;
            review_at(state, at)
        }
        Event::RiskReviewed { risk, drift, next, .. } => {
            let stance = state.edit_stance()?;
            stance.risk = *risk;
            stance.drift = *drift;
            review_at(state, *next)
        }
        Event::LevelChanged { to, .. } => {
            let now = state.now;
            let stance = state.edit_stance()?;
            stance.level = *to;
            stance.level_since = now;
            Ok(())
        }
    }
}

fn review_at(state: &mut State, at: Micros) -> Result<(), Breach> {
    state.edit_stance()?.review_at = at;
    state.set_timer(at, Due::Review);
    Ok(())
}
