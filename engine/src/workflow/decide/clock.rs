//! What falls due as time passes.

use alloc::vec::Vec;

use crate::allocator::decide::crowding::is_kept_for;
use crate::allocator::decide::{release, turn};
use crate::allocator::words::Event as Allocator;
use crate::jobs::decide::conduct;
use crate::kernel::units::{BerthId, Micros, OrderId, VesselId};
use crate::kernel::wheel::Due;
use crate::models::decide::{back, lose};
use crate::models::fold::lost_of;
use crate::models::rows::{End, Stage, VesselStatus};
use crate::models::words::LossCause;
use crate::policy::decide::review;
use crate::queue::decide::{release as release_batch, resume};
use crate::resilience::decide::{postpone, probe_if_due, resume as resume_vessel};
use crate::resilience::rows::Breaker;
use crate::routing::decide::is_dear;
use crate::transaction::Transaction;
use crate::workflow::decide::hedges;
use crate::workflow::decide::legs::{begin, end, fail, route_or_queue};
use crate::workflow::decide::stops::{give_up, unanswered};
use crate::workflow::words::Fault;

/// The most timers that one record decides; what is due beyond them is due at once again.
const DUE_MAX: usize = 256;

/// Decides whatever is due, the earliest first; at one moment the review, then the queue, then who gathers in it, then
/// vessels, then orders, then jobs.
pub(crate) fn advance(tx: &mut Transaction) {
    for _ in 0..DUE_MAX {
        if !tx.has_room() {
            return;
        }
        match tx.next_due() {
            Some(Due::Review) => review(tx),
            Some(Due::Queue) => resume(tx),
            Some(Due::Line(model)) => release_batch(tx, model),
            Some(Due::Vessel(id)) => vessel_due(tx, id),
            Some(Due::Order(id)) => order_due(tx, id),
            Some(Due::Stop(slot)) => give_up(tx, slot),
            Some(Due::Job(slot)) => conduct(tx, slot),
            None => return,
        }
    }
}

fn vessel_due(tx: &mut Transaction, id: VesselId) {
    let tables = &tx.state().tables;
    let (Some(vessel), Some(load)) = (tables.vessels.get(id), tables.loads.get(id)) else { return };
    let paused = load.paused != Micros::ZERO && load.paused <= tx.now();
    let maintenance = tx.state().maintenance(id).filter(|(at, _)| *at <= tx.now());
    if let Some((_, berth)) = maintenance {
        turn(tx, id, berth);
    } else if vessel.status.is_gone() {
        let restarting = vessel.status == VesselStatus::Restarting;
        fail_over(tx, id);
        let left = tx.state().tables.loads.get(id).map_or(0, |load| load.used);
        if restarting && left == 0 {
            back(tx, id);
        }
    } else if load.breaker == Breaker::Open && load.retry_at <= tx.now() {
        probe_if_due(tx, id);
    } else if paused {
        resume_vessel(tx, id);
    } else {
        let joining = vessel.status == VesselStatus::Joining;
        lose(tx, id, if joining { LossCause::NeverJoined } else { LossCause::Silent });
    }
}

/// Fails over what a lost vessel had aboard, first come first, as far as the record has room.
fn fail_over(tx: &mut Transaction, vessel: VesselId) {
    let state = tx.state();
    let Some(deciding) = &state.index.deciding else { return };
    let orders = deciding.aboard.of(vessel).filter_map(|slot| state.tables.orders.get(slot));
    let mut orders: Vec<OrderId> = orders.map(|order| order.id).collect();
    orders.sort_unstable();
    orders.dedup();
    for order in orders {
        if !tx.has_room() {
            return;
        }
        fail_over_one(tx, order);
    }
    for stop in unanswered(tx.state(), vessel) {
        if !tx.has_room() {
            return;
        }
        give_up(tx, stop);
    }
}

/// What a lost vessel worked for an order is lost, unless another vessel works it as well.
fn fail_over_one(tx: &mut Transaction, id: OrderId) {
    if !hedges::lost(tx, id) {
        fail(tx, id, Fault::VesselLost);
    }
}

fn order_due(tx: &mut Transaction, id: OrderId) {
    let Some(order) = tx.state().order(id) else { return };
    if order.deadline <= tx.now() {
        let leg = order.leg;
        hedges::settle_on(tx, id, leg);
        let Some(order) = tx.state().order(id) else { return };
        // A vessel that should have been done by now has not answered in time either.
        let overdue = order.stage == Stage::Running
            && order.dispatched + order.within < tx.now()
            && lost_of(tx.state(), order.held()).is_none();
        return if overdue { fail(tx, id, Fault::Timeout) } else { end(tx, id, End::Expired) };
    }
    match order.stage {
        Stage::Running => {
            if lost_of(tx.state(), order.held()).is_some() {
                fail_over_one(tx, id);
            } else if !hedges::goes_on(tx, id) {
                fail(tx, id, Fault::Timeout);
            }
        }
        Stage::Backoff => {
            if is_kept_for(tx.state(), id) || !postpone(tx, id) {
                route_or_queue(tx, id);
            }
        }
        Stage::Berthed => berth_due(tx, id),
        Stage::Queued => {}
    }
}

/// An order begins where it has a berth. Where no slot is free the next one is kept for it, for a while; after that,
/// and where its vessel takes no work or has become too dear, it goes wherever there is room.
fn berth_due(tx: &mut Transaction, id: OrderId) {
    if begin(tx, id) {
        return;
    }
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return };
    let berth = state.order(id).map_or(BerthId::NONE, |order| order.berth);
    let Some(row) = state.tables.berths.get(berth) else { return };
    let up = state.tables.vessels.get(row.vessel).is_some_and(|row| row.status == VesselStatus::Up);
    let dear = state.order(id).is_some_and(|order| is_dear(state, order, row.vessel));
    let until = (row.window.from + policy.berth_grace).min(row.window.until);
    if up && !dear && !row.open && tx.now() < until {
        let (vessel, slots) = (row.vessel, row.slots);
        let order = Some(id);
        return tx.emit(Allocator::BerthOpened { berth, vessel, order, slots, until });
    }
    release(tx, id);
    route_or_queue(tx, id);
}
