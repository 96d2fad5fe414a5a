//! Who gives up his place aboard to a more urgent order.

use alloc::vec::Vec;

use crate::allocator::words::Event;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{BerthId, Micros, OrderId, OrderSlot, PicoUsd, Tokens, VesselId};
use crate::models::decide::left;
use crate::models::rows::{Class, LegKind, Order, Route, Stage, capacity_legs};
use crate::queue::decide::enqueue;
use crate::resilience::decide::BOUNCES_MAX;
use crate::routing::decide::is_dear;
use crate::state::State;
use crate::transaction::Transaction;
use crate::workflow::decide::stops::await_stop;

/// An interactive order that waits takes the place of a batch order, if the policy has it so: of those aboard the
/// vessels that are drawn and not too dear for it, of whose answers nothing is there, the one that was handed over last has lost the least. Its
/// slot comes free once its vessel has said that it has stopped, and then is his for whom it was given up, if he waits
/// still: by the shares of the classes it might be batch work's turn, and somebody would have been stopped for nothing.
pub(crate) fn make_room(tx: &mut Transaction, id: OrderId) {
    let state = tx.state();
    let Some((order, (_, policy))) = state.order(id).zip(state.policy()) else { return };
    let demand = &order.demand;
    if !policy.preempt || demand.class != Class::Interactive || order.stage != Stage::Queued {
        return;
    }
    let Some(serving) = state.index.parties.serving.get(demand.model.0 as usize) else { return };
    let draw = Draw::new(state.journal(), tx.stamp().seq, id, Purpose::Preemption);
    let mut ranks = Vec::new();
    draw.sample(u32::from(policy.candidates), serving.up.count(), &mut ranks);
    let drawn = ranks.iter().filter_map(|rank| serving.up.select(*rank)).map(VesselId);
    let drawn = drawn.filter(|vessel| demand.limit == 0 || !is_dear(state, order, *vessel));
    let best = drawn.filter_map(|vessel| last_batch(state, vessel, demand.size())).max();
    let Some((_, victim)) = best else { return };
    let Some(order) = state.order(victim) else { return };
    let (attempt, leg) = (order.attempt, order.leg);
    let held: Route = order.held().iter().cloned().collect();
    let vessel = held.first().map_or(VesselId::NONE, |leg| leg.vessel);
    let model = order.demand.model;
    await_stop(tx, victim, leg, None, PicoUsd::ZERO, id);
    tx.emit(Event::OrderPreempted { order: victim, attempt, leg, vessel, by: id });
    enqueue(tx, victim);
    tx.note_model(model);
    capacity_legs(&held).for_each(|leg| left(tx, leg.vessel));
}

/// The batch order that was handed to a vessel last, of whose answer nothing is there: if the vessel takes work, and holds
/// so large an order as wants its place.
fn last_batch(state: &State, vessel: VesselId, size: Tokens) -> Option<(Micros, OrderId)> {
    let (row, load) = (state.tables.vessels.get(vessel)?, state.tables.loads.get(vessel)?);
    // What is kept for another order is nobody else's.
    let kept = load.keeps_for != OrderSlot::NONE;
    if row.slots(load) == 0 || row.manifest.context_max < size || kept {
        return None;
    }
    let aboard = state.index.deciding.as_ref()?.aboard.of(vessel);
    let orders = aboard.filter_map(|slot| state.tables.orders.get(slot));
    orders.filter(|order| gives_way(state, order, vessel)).map(|row| (row.dispatched, row.id)).max()
}

/// Whether an order may be stopped on this vessel for a more urgent one.
fn gives_way(state: &State, order: &Order, vessel: VesselId) -> bool {
    let works = |kind| kind == LegKind::Whole || kind == LegKind::Prefill;
    let here = order.held().first().is_some_and(|leg| leg.vessel == vessel && works(leg.kind));
    here && order.demand.class == Class::Batch
        && order.demand.window.is_none()
        && order.berth == BerthId::NONE
        && order.first_token == Micros::ZERO
        && order.bounced < BOUNCES_MAX
        && state.tables.hedges.get(order.id.slot()).is_none()
}
