//! How breakers trip and close, and how long an order that failed waits.

use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, VesselId};
use crate::models::fold::alter_load;
use crate::models::rows::{Load, Stage};
use crate::resilience::rows::{Breaker, Outcomes};
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
        Event::RetryScheduled { order, at, .. } => {
            state.edit_order(*order)?.stage = Stage::Backoff;
            state.wake_order(*order, *at)
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

/// A vessel has worked a leg that was dispatched at `dispatched`, or failed it: its breaker and the risk
/// count that. While it is probed only probes count, and they say nothing about the exchange.
pub(crate) fn note_outcome(
    state: &mut State,
    vessel: VesselId,
    dispatched: Micros,
    failed: bool,
) -> Result<(), Breach> {
    let now = state.now;
    let Some((window, risk_window)) =
        state.policy().map(|(_, policy)| (policy.breaker.window, policy.escalation.window))
    else {
        return Ok(());
    };
    let load = state.tables.loads.edit(vessel, &mut state.writer)?;
    if load.breaker != Breaker::Closed {
        if load.breaker == Breaker::Probing && load.turned <= dispatched && !failed {
            alter_load(state, vessel, |load| load.probes = load.probes.saturating_sub(1))?;
        }
        return Ok(());
    }
    load.outcomes.note(now, window, failed);
    load.failures = if failed { load.failures.saturating_add(1) } else { 0 };
    state.edit_control()?.legs.note(now, risk_window, failed);
    Ok(())
}
