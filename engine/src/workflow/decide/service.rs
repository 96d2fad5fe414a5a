//! Who waits is served: once, at the end of a command, with whatever has come free in it.

use alloc::vec::Vec;

use crate::allocator::decide::kept_for;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{ModelId, OrderId};
use crate::queue::decide::{defer, next};
use crate::state::State;
use crate::transaction::Transaction;
use crate::workflow::decide::legs::{begin, route};

/// Routes those who wait for the models that may have found room. Where several models have come to
/// the same vessels a draw says whose turn it is (lottery scheduling: Waldspurger and Weihl, OSDI
/// 1994), so that none starves beside another; within a model the queue does.
pub(crate) fn serve(tx: &mut Transaction) {
    if tx.state().index.berths.is_empty() && is_idle(tx.state()) {
        return;
    }
    let (vessels, mut models) = tx.take_noted();
    // Those for whom a slot is kept come before all who wait.
    for vessel in &vessels {
        for order in kept_for(tx.state(), *vessel) {
            if !tx.has_room() {
                return defer(tx);
            }
            begin(tx, order);
        }
    }
    if is_idle(tx.state()) {
        return;
    }
    let state = tx.state();
    for vessel in vessels.into_iter().filter(|vessel| state.index.parties.open.contains(vessel.0)) {
        let row = state.tables.vessels.get(vessel);
        models.extend(row.into_iter().flat_map(|row| row.manifest.models.iter().copied()));
    }
    let mut models: Vec<ModelId> = models.into_iter().collect();
    let draw = Draw::new(state.journal(), tx.stamp().seq, OrderId(0), Purpose::Service);
    for turn in 0u64.. {
        let count = u32::try_from(models.len()).unwrap_or(u32::MAX);
        let drawn = if count > 1 { draw.below(turn, count) as usize } else { 0 };
        let Some(model) = models.get(drawn).copied() else { return };
        let Some(order) = next(tx.state(), model) else {
            models.swap_remove(drawn);
            continue;
        };
        if !tx.has_room() {
            return defer(tx);
        }
        if !route(tx, order) {
            models.swap_remove(drawn);
        }
    }
}

/// Whether nobody waits.
fn is_idle(state: &State) -> bool {
    state.waiting().is_none_or(|waiting| waiting.queued == 0)
}
