//! How rules come into force, and how the level moves.

use crate::jobs::rows::Wait;
use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, Ppm, TenantId};
use crate::kernel::wheel::Due;
use crate::models::rows::{End, Promise};
use crate::policy::rows::{BurnAlert, BurnWindow, Policy, PolicyLevel, Sla};
use crate::policy::words::{Event, Refusal};
use crate::queue::fold::reorder;
use crate::refusal::Refusal as Any;
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
            reorder(state);
            review_at(state, at)
        }
        Event::RiskReviewed { risk, drift, next, .. } => {
            let stance = state.edit_stance()?;
            stance.risk = *risk;
            stance.drift = *drift;
            stance.reviews = stance.reviews.saturating_add(1);
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
        Event::BurnSeen { tenant, window, .. } => alert(state, *tenant, *window, |alert, now| {
            *alert = BurnAlert { since: now, raised: false };
        }),
        Event::BurnRaised { tenant, window, .. } => alert(state, *tenant, *window, |alert, now| {
            *alert = BurnAlert { since: alert.since.min(now), raised: true };
        }),
        Event::BurnCleared { tenant, window, .. } => alert(state, *tenant, *window, |alert, _| {
            *alert = BurnAlert { since: Micros::MAX, raised: false };
        }),
    }
}

fn alert(
    state: &mut State,
    tenant: TenantId,
    window: BurnWindow,
    change: impl FnOnce(&mut BurnAlert, Micros),
) -> Result<(), Breach> {
    let now = state.now;
    let row = state.tables.sla.edit(tenant, &mut state.writer)?;
    if let Some(alert) = row.alerts.get_mut(window as usize) {
        change(alert, now);
    }
    Ok(())
}

/// A tenant is promised this from now on. What was counted stands for as long as something is.
pub(crate) fn note_promise(
    state: &mut State,
    tenant: TenantId,
    promise: &Promise,
) -> Result<(), Breach> {
    let (promised, counted) =
        (promise.objective > Ppm::ZERO, state.tables.sla.get(tenant).is_some());
    match (promised, counted) {
        (true, false) => state.tables.sla.insert(tenant, Sla::NONE, &mut state.writer),
        (false, true) => state.tables.sla.remove(tenant, &mut state.writer),
        _ => Ok(()),
    }
}

/// An order has ended so: was it as good as its tenant was promised? One that was withdrawn does not count.
pub(crate) fn note_end(
    state: &mut State,
    tenant: TenantId,
    end: End,
    first_token: Micros,
    latency: Micros,
) -> Result<(), Breach> {
    if state.tables.sla.get(tenant).is_none() || end == End::Cancelled {
        return Ok(());
    }
    let contract = state.tables.tenants.get(tenant);
    let kept = contract.is_none_or(|contract| contract.sla.kept(first_token, latency));
    count(state, tenant, end == End::Completed && kept)
}

/// An order was refused: it counts if the level turned it away.
pub(crate) fn note_refused(
    state: &mut State,
    tenant: TenantId,
    refusal: &Any,
) -> Result<(), Breach> {
    let turned_away = matches!(refusal, Any::Policy(Refusal::LevelForbids { .. }));
    if turned_away && state.tables.sla.get(tenant).is_some() {
        return count(state, tenant, false);
    }
    Ok(())
}

fn count(state: &mut State, tenant: TenantId, good: bool) -> Result<(), Breach> {
    let now = state.now;
    state.tables.sla.edit(tenant, &mut state.writer)?.note(now, good);
    Ok(())
}

fn set_level(state: &mut State, level: PolicyLevel) -> Result<(), Breach> {
    let now = state.now;
    let stance = state.edit_stance()?;
    if stance.level != level {
        stance.level = level;
        stance.level_since = now;
        return state.wake_jobs_for(Wait::Level);
    }
    Ok(())
}

fn review_at(state: &mut State, at: Micros) -> Result<(), Breach> {
    state.edit_stance()?.review_at = at;
    state.set_timer(at, Due::Review);
    Ok(())
}
