//! Who may submit how fast, and who waits before whom.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371): one moment a tenant. Waiting
//! orders stand in lanes, one a model and class, first come first; between the classes the one goes
//! first whose head has waited longest beyond the patience of its class, so that no class starves.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::event::Event;
use crate::exchange::Transaction;
use crate::models::{Account, Class, Stage, Tenant};
use crate::refusal::{Bound, Refusal};
use crate::routing;
use crate::state::State;
use crate::table::Breach;
use crate::units::{Micros, ModelId, OrderId, VesselId};

/// Where an order stands while it waits.
pub(crate) type Lane = (ModelId, Class);

/// The most orders that one command takes out of the queue.
const PUMP_MAX: usize = 64;

/// The tenant's next theoretical arrival time, if its rate lets an order pass at `now`.
pub(crate) fn pass(tenant: &Tenant, account: &Account, now: Micros) -> Result<Micros, Refusal> {
    if tenant.rate == 0 {
        return Ok(account.arrival);
    }
    // Rounded up: rounded down, two of three microseconds would let half as many again pass.
    let interval = Micros::SECOND.0.div_ceil(u64::from(tenant.rate));
    let tolerance = interval.saturating_mul(u64::from(tenant.burst.saturating_sub(1)));
    let retry_at = account.arrival - Micros(tolerance);
    if now < retry_at {
        return Err(Refusal::RateLimited { retry_at });
    }
    Ok(account.arrival.max(now) + Micros(interval))
}

/// Refuses when no further order may wait.
pub(crate) fn check_room(state: &State) -> Result<(), Refusal> {
    let max = state.limits().map_or(0, |limits| u64::from(limits.queued));
    let queued = state.control().map_or(0, |control| control.queued);
    if queued >= max { Err(Refusal::Full { bound: Bound::Queue, max }) } else { Ok(()) }
}

/// Has an order wait.
pub(crate) fn enqueue(tx: &mut Transaction, order: OrderId) {
    let Some(control) = tx.state().control() else { return };
    let (ticket, ahead) = (control.tickets.saturating_add(1), control.queued);
    tx.emit(Event::OrderQueued { order, ticket, ahead });
}

/// Routes waiting orders now that `vessel` has room.
pub(crate) fn pump(tx: &mut Transaction, vessel: VesselId) {
    let Some(row) = tx.state().tables.vessels.get(vessel) else { return };
    if !tx.state().index.open.contains(vessel.0) {
        return;
    }
    let models = row.manifest.models.iter();
    let mut lanes: Vec<Lane> =
        models.flat_map(|model| Class::ALL.iter().map(|class| (*model, *class))).collect();
    let mut moved = Vec::new();
    for _ in 0..PUMP_MAX {
        // Once it is full, those lanes are left whose head has changed: the new one may fit elsewhere.
        if !tx.state().index.open.contains(vessel.0) {
            lanes.retain(|lane| moved.contains(lane));
        }
        let Some((lane, order)) = next(tx.state(), &lanes) else { return };
        if routing::route(tx, order, VesselId::NONE) {
            moved.push(lane);
        } else {
            // Its head does not fit into what is open; a lane is never overtaken from within.
            lanes.retain(|other| *other != lane);
        }
    }
}

/// Routes those who wait in one lane, as far as there is room: its head has changed.
pub(crate) fn pump_lane(tx: &mut Transaction, lane: Lane) {
    for _ in 0..PUMP_MAX {
        let Some((_, order)) = head(tx.state(), lane) else { return };
        if !routing::route(tx, order, VesselId::NONE) {
            return;
        }
    }
}

/// Whether somebody waits in a lane.
pub(crate) fn occupied(state: &State, lane: Lane) -> bool {
    head(state, lane).is_some()
}

/// The order to go first among those that head these lanes.
fn next(state: &State, lanes: &[Lane]) -> Option<(Lane, OrderId)> {
    let patience = state.policy()?.1.patience;
    let heads = lanes.iter().filter_map(|lane| {
        let (ticket, order) = head(state, *lane)?;
        let queued = state.order(order)?.queued;
        let patience = patience.get(lane.1 as usize).copied()?;
        Some((queued + patience, ticket, *lane, order))
    });
    heads.min().map(|(_, _, lane, order)| (lane, order))
}

fn head(state: &State, lane: Lane) -> Option<(u64, OrderId)> {
    let lane = state.index.lanes.get(&lane)?;
    lane.iter().copied().find(|(ticket, order)| waits(state, *ticket, *order))
}

fn waits(state: &State, ticket: u64, order: OrderId) -> bool {
    state.order(order).is_some_and(|row| row.stage == Stage::Queued && row.ticket == ticket)
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    if let Event::OrderQueued { order, ticket, .. } = event {
        let now = state.now;
        let row = state.edit_order(*order)?;
        row.stage = Stage::Queued;
        row.ticket = *ticket;
        row.queued = now;
        let (lane, deadline) = ((row.demand.model, row.demand.class), row.deadline);
        let control = state.edit_control()?;
        control.tickets = *ticket;
        control.queued = control.queued.saturating_add(1);
        let queued = control.queued;
        state.wake_order(*order, deadline)?;
        state.index.lanes.entry(lane).or_default().push_back((*ticket, *order));
        sweep(state, lane, queued);
    }
    Ok(())
}

/// Drops the entries of those who left once they are the most of a lane, so that memory follows the
/// orders that wait and not those that have waited.
fn sweep(state: &mut State, lane: (ModelId, Class), queued: u64) {
    let held = state.index.lanes.get(&lane).map_or(0, VecDeque::len);
    if held as u64 <= queued.saturating_mul(2).saturating_add(64) {
        return;
    }
    if let Some(mut entries) = state.index.lanes.remove(&lane) {
        entries.retain(|(ticket, order)| waits(state, *ticket, *order));
        state.index.lanes.insert(lane, entries);
    }
}

/// Takes an order out of the count of those that wait, before its stage changes.
pub(crate) fn leave(state: &mut State, order: OrderId) -> Result<(), Breach> {
    let row = state.edit_order(order)?;
    if row.stage != Stage::Queued {
        return Ok(());
    }
    let lane = (row.demand.model, row.demand.class);
    row.stage = Stage::Backoff;
    let control = state.edit_control()?;
    control.queued = control.queued.saturating_sub(1);
    while let Some((ticket, order)) =
        state.index.lanes.get(&lane).and_then(|lane| lane.front().copied())
    {
        if waits(state, ticket, order) {
            break;
        }
        if let Some(lane) = state.index.lanes.get_mut(&lane) {
            lane.pop_front();
        }
    }
    Ok(())
}
