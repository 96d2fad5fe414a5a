//! How breakers trip and close, and how long an order that failed waits.

use crate::kernel::table::{Breach, Only};
use crate::kernel::units::{Micros, VesselId};
use crate::models::fold::alter_load;
use crate::models::rows::{Load, Stage};
use crate::resilience::rows::{Breaker, Call, Outcomes};
use crate::resilience::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::BreakerOpened { vessel, until, trips, .. } => {
            let (until, trips) = (*until, *trips);
            fold_breaker(state, *vessel, Breaker::Open, |load| {
                load.retry_at = until;
                load.trips = trips;
            })
        }
        Event::BreakerProbing { vessel, probes } => {
            let probes = *probes;
            fold_breaker(state, *vessel, Breaker::Probing, |load| load.probes = probes)
        }
        Event::BreakerClosed { vessel } => fold_breaker(state, *vessel, Breaker::Closed, |load| {
            load.failures = 0;
            load.outcomes = Outcomes::default();
        }),
        Event::RetryScheduled { order, at, .. } | Event::RetryPostponed { order, at, .. } => {
            state.edit_order(*order)?.stage = Stage::Backoff;
            state.wake_order(*order, *at)
        }
        Event::VesselPaused { vessel, pauses, until } => {
            let (pauses, until) = (*pauses, *until);
            alter_load(state, *vessel, |load| {
                load.pauses = pauses;
                load.paused = until;
            })?;
            state.wake_vessel(*vessel)
        }
        Event::VesselResumed { vessel } => {
            alter_load(state, *vessel, |load| load.paused = Micros::ZERO)?;
            state.wake_vessel(*vessel)
        }
    }
}

fn fold_breaker(
    state: &mut State,
    vessel: VesselId,
    breaker: Breaker,
    change: impl FnOnce(&mut Load),
) -> Result<(), Breach> {
    let now = state.now;
    alter_load(state, vessel, |load| {
        load.breaker = breaker;
        load.turned = now;
        change(load);
    })?;
    state.wake_vessel(vessel)
}

/// Whether a leg that is done at this moment took too long.
pub(crate) fn is_slow(state: &State, dispatched: Micros, within: Micros) -> bool {
    let percent = state.policy().map_or(0, |(_, policy)| policy.breaker.slow_percent);
    let most = u128::from(within.0).saturating_mul(u128::from(percent));
    u128::from((state.now - dispatched).0).saturating_mul(100) > most
}

/// A vessel has worked a leg that was dispatched at `dispatched`, or failed it: its breaker and the risk
/// count that. While it is probed only probes count, and they say nothing about the exchange.
pub(crate) fn note_outcome(
    state: &mut State,
    vessel: VesselId,
    dispatched: Micros,
    call: Call,
) -> Result<(), Breach> {
    let now = state.now;
    let Some((window, risk_window)) =
        state.policy().map(|(_, policy)| (policy.breaker.window, policy.escalation.window))
    else {
        return Ok(());
    };
    let load = state.tables.loads.edit(vessel, &mut state.writer)?;
    if load.breaker != Breaker::Closed {
        let probe = load.breaker == Breaker::Probing && load.turned <= dispatched;
        if probe && call == Call::Good {
            alter_load(state, vessel, |load| load.probes = load.probes.saturating_sub(1))?;
        }
        return Ok(());
    }
    load.outcomes.note(now, window, call);
    load.failures = if call == Call::Failed { load.failures.saturating_add(1) } else { 0 };
    state.tables.calls.edit(Only, &mut state.writer)?.note(now, risk_window, call);
    Ok(())
}
