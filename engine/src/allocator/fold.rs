//! How capacity is taken and given back.

use crate::allocator::rows::Berth;
use crate::allocator::words::Event;
use crate::kernel::table::Breach;
use crate::kernel::units::{BerthId, OrderId, OrderSlot, Tokens, VesselId};
use crate::models::fold::{alter_load, is_gone};
use crate::models::rows::{Leg, Load, Route, Stage, Window, capacity_legs};
use crate::queue::fold::{give_up, leave, let_others, settle_turn};
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderBerthed { order, berth, vessel, window, .. } => {
            let row = state.edit_order(*order)?;
            row.stage = Stage::Berthed;
            row.berth = *berth;
            reserve(state, *berth, *vessel, Some(*order), window)?;
            state.wake_order(*order, window.from)
        }
        Event::BerthReleased { order, berth } => {
            give_back(state, *berth)?;
            state.edit_order(*order)?.berth = BerthId::NONE;
            Ok(())
        }
        Event::MaintenancePlanned { berth, vessel, window } => {
            reserve(state, *berth, *vessel, None, window)?;
            state.wake_vessel(*vessel)
        }
        Event::BerthOpened { berth, vessel, order, slots, until } => {
            state.tables.berths.edit(*berth, &mut state.writer)?.open = true;
            alter_load(state, *vessel, |load| load.kept = load.kept.saturating_add(*slots))?;
            match order {
                Some(order) => state.wake_order(*order, *until),
                None => state.wake_vessel(*vessel),
            }
        }
        Event::MaintenanceEnded { berth, vessel } => {
            give_back(state, *berth)?;
            state.wake_vessel(*vessel)
        }
        Event::OrderPreempted { order, .. } => {
            let held: Route = state.edit_order(*order)?.held().iter().cloned().collect();
            let row = state.edit_order(*order)?;
            row.stage = Stage::Backoff;
            row.bounced = row.bounced.saturating_add(1);
            let deadline = row.deadline;
            settle_turn(state, *order, 0)?;
            let size = state.edit_order(*order)?.demand.size();
            release(state, order.slot(), size, &held)?;
            state.wake_order(*order, deadline)
        }
        Event::OrderHeldBack { order, at, .. } | Event::OrderTooDear { order, at, .. } => {
            give_up(state, *order)?;
            leave(state, *order)?;
            let row = state.edit_order(*order)?;
            row.stage = Stage::Backoff;
            row.ticket = 0;
            state.wake_order(*order, *at)
        }
        Event::OrderCrowdedOut { order, vessel, decode, at, .. } => {
            leave(state, *order)?;
            let_others(state, order.slot())?;
            for vessel in [*vessel, *decode].into_iter().filter(|id| *id != VesselId::NONE) {
                state.tables.loads.edit(vessel, &mut state.writer)?.keeps_for = order.slot();
                state.index.kept.insert((order.slot(), vessel));
            }
            state.edit_order(*order)?.stage = Stage::Backoff;
            state.wake_order(*order, *at)
        }
    }
}

fn reserve(
    state: &mut State,
    berth: BerthId,
    vessel: VesselId,
    order: Option<OrderId>,
    window: &Window,
) -> Result<(), Breach> {
    let slots = if order.is_some() { 1 } else { Berth::ALL };
    let row = Berth { window: window.clone(), order, vessel, slots, open: false };
    state.tables.berths.insert(berth, row, &mut state.writer)?;
    state.index.berths.entry(vessel).or_default().push(berth);
    Ok(())
}

/// A berth is held no more, nor are the slots that were kept for it.
fn give_back(state: &mut State, berth: BerthId) -> Result<(), Breach> {
    let Some(row) = state.tables.berths.get(berth).cloned() else {
        return state.tables.berths.remove(berth, &mut state.writer);
    };
    state.tables.berths.remove(berth, &mut state.writer)?;
    if let Some(berths) = state.index.berths.get_mut(&row.vessel) {
        berths.retain(|other| *other != berth);
        if berths.is_empty() {
            state.index.berths.remove(&row.vessel);
        }
    }
    if row.open {
        alter_load(state, row.vessel, |load| load.kept = load.kept.saturating_sub(row.slots))?;
    }
    Ok(())
}

/// Takes the capacity that every leg of the route of an order of this size needs.
pub(crate) fn take(
    state: &mut State,
    order: OrderSlot,
    size: Tokens,
    route: &[Leg],
) -> Result<(), Breach> {
    for leg in capacity_legs(route) {
        if let Some(deciding) = &mut state.index.deciding {
            deciding.aboard.join(order, leg.vessel);
        }
        change_used(state, leg.vessel, |load| {
            load.used = load.used.saturating_add(1);
            load.held += size;
            load.backlog += leg.work;
        })?;
    }
    Ok(())
}

/// Gives back the capacity that an order of this size holds for these legs.
pub(crate) fn release(
    state: &mut State,
    order: OrderSlot,
    size: Tokens,
    legs: &[Leg],
) -> Result<(), Breach> {
    let now = state.now;
    for leg in capacity_legs(legs) {
        if let Some(deciding) = &mut state.index.deciding {
            deciding.aboard.leave(order, leg.vessel);
        }
        change_used(state, leg.vessel, |load| {
            load.used = load.used.saturating_sub(1);
            load.held -= size;
            load.backlog -= leg.work;
            // Whoever left may not have had its prompt worked; what is aboard has no more than it takes in all.
            load.prompts = load.prompts.min(now + load.backlog);
        })?;
    }
    Ok(())
}

/// Takes a slot of a vessel, for what is to stop there and may be of this size.
pub(crate) fn hold(state: &mut State, vessel: VesselId, size: Tokens) -> Result<(), Breach> {
    change_used(state, vessel, |load| {
        load.used = load.used.saturating_add(1);
        load.held += size;
    })
}

/// Gives that slot back.
pub(crate) fn let_go(state: &mut State, vessel: VesselId, size: Tokens) -> Result<(), Breach> {
    change_used(state, vessel, |load| {
        load.used = load.used.saturating_sub(1);
        load.held -= size;
    })
}

/// Changes how many slots of a vessel are in use, which may open or close it; one that is gone is looked at again once
/// nothing is aboard.
fn change_used(
    state: &mut State,
    vessel: VesselId,
    change: impl FnOnce(&mut Load),
) -> Result<(), Breach> {
    let load = state.tables.loads.edit(vessel, &mut state.writer)?;
    change(load);
    let used = load.used;
    reopen(state, vessel, used);
    // One that is gone is looked at for as long as it has orders aboard.
    if used == 0 && is_gone(state, vessel) { state.wake_vessel(vessel) } else { Ok(()) }
}

fn reopen(state: &mut State, id: VesselId, used: u32) {
    let parties = &mut state.index.parties;
    if parties.turns(id, used)
        && let Some(vessel) = state.tables.vessels.get(id)
    {
        parties.reopen(id, vessel, used);
    }
}
