//! How capacity is taken and given back.

use crate::allocator::rows::Berth;
use crate::allocator::words::Event;
use crate::kernel::table::Breach;
use crate::kernel::units::{BerthId, OrderSlot, VesselId};
use crate::models::rows::{Leg, Stage, capacity_legs};
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderBerthed { order, berth, vessel, window, .. } => {
            let row = state.edit_order(*order)?;
            row.stage = Stage::Berthed;
            row.berth = *berth;
            let row = Berth { vessel: *vessel, order: *order, window: window.clone() };
            state.tables.berths.insert(*berth, row, &mut state.writer)?;
            state.index.berths.entry(*vessel).or_default().push(*berth);
            state.wake_order(*order, window.from)
        }
        Event::BerthReleased { order, berth } => {
            let vessel = state.tables.berths.get(*berth).map(|row| row.vessel);
            state.tables.berths.remove(*berth, &mut state.writer)?;
            if let Some(berths) = vessel.and_then(|vessel| state.index.berths.get_mut(&vessel)) {
                berths.retain(|other| other != berth);
            }
            state.edit_order(*order)?.berth = BerthId::NONE;
            Ok(())
        }
    }
}

/// Takes the capacity that every leg of an order's route needs.
pub(crate) fn take(state: &mut State, order: OrderSlot, route: &[Leg]) -> Result<(), Breach> {
    for leg in capacity_legs(route) {
        let load = state.tables.loads.edit(leg.vessel, &mut state.writer)?;
        load.used = load.used.saturating_add(1);
        load.backlog += leg.work;
        let used = load.used;
        if let Some(deciding) = &mut state.index.deciding {
            deciding.aboard.join(order, leg);
        }
        reopen(state, leg.vessel, used);
    }
    Ok(())
}

/// Gives back the capacity that an order holds for these legs.
pub(crate) fn release(state: &mut State, order: OrderSlot, legs: &[Leg]) -> Result<(), Breach> {
    for leg in capacity_legs(legs) {
        let load = state.tables.loads.edit(leg.vessel, &mut state.writer)?;
        load.used = load.used.saturating_sub(1);
        load.backlog -= leg.work;
        let used = load.used;
        if let Some(deciding) = &mut state.index.deciding {
            deciding.aboard.leave(order, leg);
        }
        reopen(state, leg.vessel, used);
        if used == 0 && is_lost(state, leg.vessel) {
            state.wake_vessel(leg.vessel)?;
        }
    }
    Ok(())
}

/// Whether a vessel is gone: then somebody has to look at it for as long as it has orders aboard.
fn is_lost(state: &State, vessel: VesselId) -> bool {
    state.tables.vessels.get(vessel).is_some_and(|row| row.status.is_gone())
}

fn reopen(state: &mut State, id: VesselId, used: u32) {
    let parties = &mut state.index.parties;
    if parties.turns(id, used)
        && let Some(vessel) = state.tables.vessels.get(id)
    {
        parties.reopen(id, vessel, used);
    }
}
