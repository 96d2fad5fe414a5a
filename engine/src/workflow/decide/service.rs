//! Who waits is served: once, at the end of a command, with whatever has come free in it.

use alloc::vec::Vec;

use crate::allocator::decide::crowding::crowded_out_of;
use crate::allocator::decide::kept_for;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{ModelId, OrderId, Tokens};
use crate::models::rows::Stage;
use crate::queue::decide::{ANYBODY, defer, next, smaller};
use crate::state::State;
use crate::transaction::Transaction;
use crate::workflow::decide::legs::{begin, route, wait_again};

/// Routes those who wait for the models that may have found room. Where several models have come to
/// the same vessels a draw says whose turn it is (lottery scheduling: Waldspurger and Weihl, OSDI
/// 1994), so that none starves beside another; within a model the queue does.
pub(crate) fn serve(tx: &mut Transaction) {
    let index = &tx.state().index;
    if index.berths.is_empty() && index.kept.is_empty() && is_idle(tx.state()) {
        return;
    }
    let (mut vessels, mut models) = tx.take_noted();
    // Those for whom a slot is kept, or a vessel, come before all who wait.
    for vessel in &vessels {
        for order in kept_for(tx.state(), *vessel) {
            if !tx.has_room() {
                return defer(tx);
            }
            begin(tx, order);
        }
        if let Some(order) = crowded_out_of(tx.state(), *vessel) {
            if !tx.has_room() {
                return defer(tx);
            }
            if !route(tx, order) {
                wait_again(tx, order);
            }
        }
    }
    // And then those for whom somebody was sent away, if they wait still: whosever turn it is.
    for order in tx.take_wanting() {
        let waits = tx.state().order(order).is_some_and(|order| order.stage == Stage::Queued);
        if waits && !tx.has_room() {
            return defer(tx);
        }
        if waits {
            route(tx, order);
        }
    }
    let (freed, more) = tx.take_noted();
    vessels.extend(freed);
    models.extend(more);
    if is_idle(tx.state()) {
        return;
    }
    let state = tx.state();
    for vessel in vessels.into_iter().filter(|vessel| state.index.parties.open.contains(vessel.0)) {
        let row = state.tables.vessels.get(vessel);
        models.extend(row.into_iter().flat_map(|row| row.manifest.models.iter().copied()));
    }
    let mut models: Vec<(ModelId, [Tokens; 2])> =
        models.into_iter().map(|model| (model, ANYBODY)).collect();
    let draw = Draw::new(state.journal(), tx.stamp().seq, OrderId(0), Purpose::Service);
    for turn in 0u64.. {
        let count = u32::try_from(models.len()).unwrap_or(u32::MAX);
        let drawn = if count > 1 { draw.below(turn, count) as usize } else { 0 };
        let Some((model, most)) = models.get(drawn).copied() else { return };
        let Some(order) = next(tx.state(), model, most) else {
            models.swap_remove(drawn);
            continue;
        };
        if !tx.has_room() {
            return defer(tx);
        }
        // Whoever needs no vessel so large may find room where this one does not.
        if !route(tx, order)
            && let Some((_, most)) = models.get_mut(drawn)
        {
            *most = smaller(tx.state(), order, *most);
        }
    }
}

/// Whether nobody waits.
fn is_idle(state: &State) -> bool {
    state.waiting().is_none_or(|waiting| waiting.queued == 0)
}
