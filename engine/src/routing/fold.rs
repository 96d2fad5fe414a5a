//! How an order goes on its way, and what its vessel is believed to hold from then on.

use arrayvec::ArrayVec;

use crate::allocator::fold::take;
use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, OrderId, PrefixSlot, Tokens, VesselId};
use crate::models::rows::{Leg, Stage, capacity_legs};
use crate::queue::fold::{leave, let_others, note_routed};
use crate::routing::rows::{Choice, Holder, Prefix};
use crate::routing::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::OrderRouted { order, attempt, route, .. } = event;
    let retry = state.order(*order).is_some_and(|row| row.retry);
    note_routed(state, *order, retry)?;
    leave(state, *order)?;
    let_others(state, order.slot())?;
    let row = state.edit_order(*order)?;
    row.stage = Stage::Running;
    row.attempt = *attempt;
    row.leg = 0;
    row.route = route.clone();
    // Every attempt works the prompt and the answer anew. Nobody pays twice for that, and yet it was worked.
    row.cached = Tokens::ZERO;
    row.tokens_out = Tokens::ZERO;
    row.first_token = Micros::ZERO;
    row.wasted += core::mem::take(&mut row.cost);
    let (model, size) = (row.demand.model, row.demand.size());
    if state.policy().is_some_and(|(_, policy)| policy.route_by == Choice::RoundRobin) {
        let row = state.tables.models.edit(model, &mut state.writer)?;
        row.turns = row.turns.saturating_add(1);
    }
    take(state, order.slot(), size, route)?;
    believe(state, *order, route)
}

/// Notes that the vessel which works an order's prompt will hold it.
pub(crate) fn believe(state: &mut State, order: OrderId, route: &[Leg]) -> Result<(), Breach> {
    let Some(places) = state.limits().map(|limits| limits.prefixes) else { return Ok(()) };
    let tables = &mut state.tables;
    let Some(row) = tables.orders.get(order.slot()).filter(|row| !row.demand.prefix.is_empty())
    else {
        return Ok(());
    };
    let vessel = capacity_legs(route).next().map_or(VesselId::NONE, |leg| leg.vessel);
    let starts = tables.loads.get(vessel).map_or(0, |load| load.starts);
    let holder = Holder { vessel, starts, at: state.now };
    for mark in &row.demand.prefix {
        let Some(slot) = prefix_slot(places, mark.hash) else { continue };
        let known = tables.prefixes.get(slot).is_some_and(|row| row.hash == mark.hash);
        if !known {
            let row = Prefix { hash: mark.hash, tokens: mark.tokens, holders: ArrayVec::new() };
            tables.prefixes.put(slot, row, &mut state.writer)?;
        }
        let row = tables.prefixes.edit(slot, &mut state.writer)?;
        row.tokens = mark.tokens;
        row.note(holder);
    }
    Ok(())
}

/// Where a prefix is remembered, of so many places.
pub(crate) fn prefix_slot(places: u32, hash: u64) -> Option<PrefixSlot> {
    let place = hash.checked_rem(u64::from(places))?;
    u32::try_from(place).ok().map(PrefixSlot)
}
