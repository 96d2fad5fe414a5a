//! What is true of remembered keys.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::models::rows::LegKind;
use crate::state::State;
use crate::workflow::index::{Keys, Stops};

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    let known = state.index.deciding.as_ref().map(|deciding| &deciding.keys);
    if known.is_some_and(|known| *known != Keys::of(&state.tables.keys)) {
        faults.push("keys: found otherwise than they are remembered".into());
    }
    let known = state.index.deciding.as_ref().map(|deciding| &deciding.stops);
    if known.is_some_and(|known| *known != Stops::of(&state.tables.stops)) {
        faults.push("stops: found otherwise than they are awaited".into());
    }
    for (slot, _) in state.tables.hedges.iter() {
        let order = state.tables.orders.get(slot);
        let held = order.map_or(&[][..], |order| order.held());
        let two = matches!(held, [first, second]
            if first.kind == LegKind::Whole && second.kind == LegKind::Whole
                && first.vessel != second.vessel);
        if !two {
            faults.push(format!("hedges.{slot}: its order is not worked by two vessels"));
        }
    }
    for (slot, row) in state.tables.keys.iter() {
        let order = state.order(row.order).filter(|order| order.key == slot);
        if row.is_live() != order.is_some() {
            faults.push(format!(
                "keys.{slot}: its order is live, or it is not, and it tells otherwise"
            ));
        }
    }
    for (slot, order) in state.tables.orders.iter() {
        let key = state.tables.keys.get(order.key).filter(|row| row.order == order.id);
        if (order.demand.idempotency != 0) != key.is_some() {
            faults.push(format!(
                "orders.{slot}: its key is not remembered, or it has none and one is"
            ));
        }
    }
}
