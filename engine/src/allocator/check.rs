//! What is true of capacity.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::allocator::index::Kept;
use crate::kernel::units::{Micros, OrderSlot, Tokens, VesselId};
use crate::models::rows::{Stage, capacity_legs};
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_loads(state, faults);
    check_kept(state, faults);
    check_aboard(state, faults);
    check_berths(state, faults);
}

/// What vessels have aboard is what running orders have put there.
fn check_loads(state: &State, faults: &mut Vec<String>) {
    let mut aboard: BTreeMap<VesselId, (u32, Micros, Tokens)> = BTreeMap::new();
    for (_, order) in state.tables.orders.iter() {
        for leg in capacity_legs(order.held()) {
            let (used, backlog, held) = aboard.entry(leg.vessel).or_default();
            *used = used.saturating_add(1);
            *backlog += leg.work;
            *held += order.demand.size();
        }
    }
    for (_, stop) in state.tables.stops.iter() {
        let (used, _, held) = aboard.entry(stop.vessel).or_default();
        *used = used.saturating_add(1);
        *held += stop.size();
    }
    for (id, load) in state.tables.loads.iter() {
        let (used, backlog, held) = aboard.remove(&id).unwrap_or_default();
        if (load.used, load.backlog, load.held) != (used, backlog, held) {
            faults.push(format!(
                "loads.{id}: {} slots, {} us of work and {} tokens, but its orders hold {used}, {backlog} and {held}",
                load.used, load.backlog, load.held,
            ));
        }
    }
}

/// Vessels are kept for orders that are between two attempts, and are found by them.
fn check_kept(state: &State, faults: &mut Vec<String>) {
    let mut kept = Kept::new();
    for (id, load) in state.tables.loads.iter() {
        if load.keeps_for == OrderSlot::NONE {
            continue;
        }
        kept.insert((load.keeps_for, id));
        let stage = state.tables.orders.get(load.keeps_for).map(|order| order.stage);
        if stage != Some(Stage::Backoff) {
            faults.push(format!("loads.{id}: kept for an order that is {stage:?}"));
        }
    }
    if kept != state.index.kept {
        faults.push("loads: others are kept than the index knows".into());
    }
}

/// Who decides finds the orders aboard of each vessel.
fn check_aboard(state: &State, faults: &mut Vec<String>) {
    let Some(deciding) = &state.index.deciding else { return };
    let mut aboard: BTreeMap<VesselId, Vec<OrderSlot>> = BTreeMap::new();
    for (slot, order) in state.tables.orders.iter() {
        for leg in capacity_legs(order.held()) {
            aboard.entry(leg.vessel).or_default().push(slot);
        }
    }
    for (id, _) in state.tables.vessels.iter() {
        let mut found: Vec<OrderSlot> = deciding.aboard.of(id).collect();
        found.sort_unstable();
        if found != aboard.remove(&id).unwrap_or_default() {
            faults.push(format!("vessels.{id}: not the orders that are aboard"));
        }
    }
}

/// Every berth belongs to the order that holds it, and is found by its vessel.
fn check_berths(state: &State, faults: &mut Vec<String>) {
    for (id, berth) in state.tables.berths.iter() {
        let order = berth.order.map(|order| state.order(order));
        if order.is_some_and(|order| order.is_none_or(|order| order.berth != id)) {
            faults.push(format!("berths.{id}: its order does not hold it"));
        }
        let found = state
            .index
            .berths
            .get(&berth.vessel)
            .map_or(0, |berths| berths.iter().filter(|berth| **berth == id).count());
        if found != 1 {
            faults.push(format!("berths.{id}: found {found} times by its vessel"));
        }
    }
    for (id, load) in state.tables.loads.iter() {
        let open = state.tables.berths.iter().filter(|(_, row)| row.open && row.vessel == id);
        let found = open.fold(0u32, |sum, (_, row)| sum.saturating_add(row.slots));
        if load.kept != found {
            faults.push(format!("loads.{id}: {} kept, but {found} are", load.kept));
        }
    }
    let found: usize = state.index.berths.values().map(Vec::len).sum();
    if found != state.tables.berths.len() as usize {
        faults.push("berths: the index knows others".into());
    }
}
