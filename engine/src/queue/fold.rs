//! How orders come to wait, and leave.

use alloc::collections::VecDeque;

use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, OrderId};
use crate::kernel::wheel::Due;
use crate::models::rows::Stage;
use crate::queue::index::Lane;
use crate::queue::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderQueued { order, ticket, .. } => fold_queued(state, *order, *ticket),
        Event::ServiceDeferred { at } => {
            state.edit_waiting()?.serve_at = *at;
            state.set_timer(*at, Due::Queue);
            Ok(())
        }
        Event::ServiceResumed => {
            state.edit_waiting()?.serve_at = Micros::MAX;
            Ok(())
        }
    }
}

fn fold_queued(state: &mut State, order: OrderId, ticket: u64) -> Result<(), Breach> {
    let now = state.now;
    let row = state.edit_order(order)?;
    row.stage = Stage::Queued;
    row.ticket = ticket;
    row.queued = now;
    let (lane, deadline) = ((row.demand.model, row.demand.class), row.deadline);
    let waiting = state.edit_waiting()?;
    waiting.tickets = ticket;
    waiting.queued = waiting.queued.saturating_add(1);
    let queued = waiting.queued;
    state.wake_order(order, deadline)?;
    state.index.lanes.entry(lane).or_default().push_back((ticket, order));
    sweep(state, lane, queued);
    Ok(())
}

/// Drops the entries of those who left once they are the most of a lane, so that memory follows the
/// orders that wait and not those that have waited.
fn sweep(state: &mut State, lane: Lane, queued: u64) {
    let held = state.index.lanes.get(&lane).map_or(0, VecDeque::len);
    if held as u64 <= queued.saturating_mul(2).saturating_add(64) {
        return;
    }
    if let Some(mut entries) = state.index.lanes.remove(&lane) {
        entries.retain(|(ticket, order)| waits(state, *ticket, *order));
        state.index.lanes.insert(lane, entries);
    }
}

/// Takes an order out of those that wait, before its stage changes.
pub(crate) fn leave(state: &mut State, order: OrderId) -> Result<(), Breach> {
    let row = state.edit_order(order)?;
    if row.stage != Stage::Queued {
        return Ok(());
    }
    let lane = (row.demand.model, row.demand.class);
    row.stage = Stage::Backoff;
    let waiting = state.edit_waiting()?;
    waiting.queued = waiting.queued.saturating_sub(1);
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

fn waits(state: &State, ticket: u64, order: OrderId) -> bool {
    state.order(order).is_some_and(|row| row.stage == Stage::Queued && row.ticket == ticket)
}
