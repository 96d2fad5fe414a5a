//! Who waits is served: once, at the end of a command, with whatever has come free in it.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::kernel::units::VesselId;
use crate::models::rows::Class;
use crate::queue::decide::{defer, head};
use crate::transaction::Transaction;
use crate::workflow::decide::legs::route;

/// Routes those who wait in the lanes that may have found room: due first goes first. A lane whose head
/// does not fit into what is open is left alone: nobody is overtaken from within it.
pub(crate) fn serve(tx: &mut Transaction) {
    if tx.state().waiting().is_none_or(|waiting| waiting.queued == 0) {
        return;
    }
    let (vessels, mut lanes) = tx.take_noted();
    let state = tx.state();
    for vessel in vessels.into_iter().filter(|vessel| state.index.parties.open.contains(vessel.0)) {
        let models = state.tables.vessels.get(vessel).map(|row| &row.manifest.models);
        for model in models.into_iter().flatten() {
            lanes.extend(Class::ALL.iter().map(|class| (*model, *class)));
        }
    }
    let heads = lanes.into_iter().filter_map(|lane| head(state, lane));
    let mut heads: BinaryHeap<_> = heads.map(Reverse).collect();
    while let Some(Reverse((_, _, lane, order))) = heads.pop() {
        if !tx.has_room() {
            return defer(tx);
        }
        if route(tx, order, VesselId::NONE) {
            heads.extend(head(tx.state(), lane).map(Reverse));
        }
    }
}
