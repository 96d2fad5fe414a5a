//! What is true of those who wait.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::models::rows::Stage;
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_queued(state, faults);
    check_lanes(state, faults);
}

/// As many are counted as waiting as wait.
fn check_queued(state: &State, faults: &mut Vec<String>) {
    let orders = state.tables.orders.iter();
    let queued = orders.filter(|(_, order)| order.stage == Stage::Queued).count() as u64;
    let counted = state.waiting().map_or(0, |waiting| waiting.queued);
    if counted != queued {
        faults.push(format!("waiting: {counted} orders queued, but {queued} wait"));
    }
}

/// Whoever waits stands in one lane, once, and behind those who came before.
fn check_lanes(state: &State, faults: &mut Vec<String>) {
    let mut standing: BTreeMap<_, u64> = BTreeMap::new();
    for ((model, class), lane) in &state.index.lanes {
        if !lane.iter().is_sorted_by(|(a, _), (b, _)| a < b) {
            faults.push(format!("lanes of model {model}: tickets are not ascending"));
        }
        for (ticket, id) in lane {
            let waits = state
                .order(*id)
                .filter(|order| order.stage == Stage::Queued && order.ticket == *ticket);
            if let Some(order) = waits {
                let count = standing.entry(*id).or_default();
                *count = count.saturating_add(1);
                if (order.demand.model, order.demand.class) != (*model, *class) {
                    faults.push(format!("orders.{}: stands in the wrong lane", id.slot()));
                }
            }
        }
    }
    let waiting = state.tables.orders.iter().filter(|(_, row)| row.stage == Stage::Queued);
    for (slot, order) in waiting {
        let times = standing.get(&order.id).copied().unwrap_or(0);
        if times != 1 {
            faults.push(format!("orders.{slot}: waits, and stands in {times} lanes"));
        }
    }
}
