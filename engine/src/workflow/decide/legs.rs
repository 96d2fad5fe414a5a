//! How an order goes from leg to leg, and ends.

use crate::allocator::cost::{self, leg_cost};
use crate::allocator::decide::crowding::{crowd_out, is_kept_for, is_settled, note_kept};
use crate::allocator::decide::{hold_back, release, too_dear, within};
use crate::kernel::units::{Micros, Millijoules, OrderId, PicoUsd, Tokens, VesselId};
use crate::models::decide::left;
use crate::models::fold::lost_of;
use crate::models::rows::{End, Leg, LegKind, Order, Route, Stage, capacity_legs};
use crate::queue::decide as queue;
use crate::queue::words::Event as Queue;
use crate::resilience::decide as resilience;
use crate::resilience::fold::is_slow;
use crate::resilience::words;
use crate::routing::decide::{self as routing, NoRoute, held_up};
use crate::state::State;
use crate::telemetry::decide::{expected, settlement};
use crate::transaction::Transaction;
use crate::workflow::decide::stops::{await_stop, report_late};
use crate::workflow::decide::{hedges, preemption};
use crate::workflow::refusal::Refusal;
use crate::workflow::words::{Event, Fault, Outcome};

/// Routes an order and dispatches its first leg, or holds it back for what is promised to others, is too dear, or has too
/// little memory yet; tells whether there was room, or will be.
pub(crate) fn route(tx: &mut Transaction, order: OrderId) -> bool {
    let routed = match routing::plan(tx, order) {
        Ok(routed) => routed,
        Err(NoRoute::Full | NoRoute::Crowded(None)) => return false,
        Err(NoRoute::Crowded(Some(spot))) => {
            if !is_settled(tx.state(), order, spot) {
                choose_if_queued(tx, order);
                crowd_out(tx, order, spot);
            }
            return true;
        }
        Err(NoRoute::Late { needs }) => {
            give_up(tx, order, needs);
            return true;
        }
        Err(NoRoute::Promised { at }) => {
            hold_back(tx, order, at);
            return true;
        }
        Err(NoRoute::Dear { least }) => {
            too_dear(tx, order, least);
            return true;
        }
    };
    choose_if_queued(tx, order);
    note_kept(tx, order);
    tx.emit(routed);
    dispatch(tx, order, 0);
    true
}

/// Gives an order its turn, if it waits.
fn choose_if_queued(tx: &mut Transaction, order: OrderId) {
    if tx.state().order(order).is_some_and(|order| order.stage == Stage::Queued) {
        queue::choose(tx, order);
    }
}

/// Ends an order that waits and would not be done in time.
fn give_up(tx: &mut Transaction, id: OrderId, needs: Micros) {
    let Some(order) = tx.state().order(id) else { return };
    let left = order.deadline - tx.now();
    tx.emit(Queue::OrderOverdue { order: id, needs, left });
    end(tx, id, End::Expired);
}

/// Routes an order, or has it wait: where there is no room, where somebody waits who would find it
/// too, and where it gathers with others.
pub(crate) fn route_or_queue(tx: &mut Transaction, id: OrderId) {
    let Some(order) = tx.state().order(id) else { return };
    let gathers = queue::gathers(tx.state(), order).is_some();
    // One for which a vessel is kept has had its turn.
    let waits = !is_kept_for(tx.state(), id) && queue::must_wait(tx.state(), &order.demand);
    if gathers || waits || !route(tx, id) {
        wait_again(tx, id);
        preemption::make_room(tx, id);
    }
}

/// Has an order wait for room, without what was kept for it.
pub(crate) fn wait_again(tx: &mut Transaction, id: OrderId) {
    let Some(model) = tx.state().order(id).map(|order| order.demand.model) else { return };
    note_kept(tx, id);
    queue::enqueue(tx, id);
    tx.note_model(model);
}

/// Begins an order on the vessel where it has a berth; tells whether a slot was free there.
pub(crate) fn begin(tx: &mut Transaction, id: OrderId) -> bool {
    let Some(routed) = routing::plan_berth(tx, id) else { return false };
    release(tx, id);
    tx.emit(routed);
    dispatch(tx, id, 0);
    true
}

/// Hands a leg of an order's route to its vessel.
fn dispatch(tx: &mut Transaction, id: OrderId, leg: u8) {
    let Some(order) = tx.state().order(id) else { return };
    let Some((_, policy)) = tx.state().policy() else { return };
    let Some(hop) = order.route.get(usize::from(leg)) else { return };
    // The way there waits for nobody.
    let load = tx.state().tables.loads.get(hop.vessel).filter(|_| hop.kind != LegKind::Hop);
    let waiting = load.map_or(Micros::ZERO, |load| load.backlog - hop.work);
    let within = within(tx.state(), order, hop, waiting);
    let [queue, prompt, answer] = eta(tx.state(), order, hop);
    let timeout = tx.now() + policy.timeout(within);
    let hedge = hedges::hedged_at(tx.state(), policy, order, leg, queue);
    let event = Event::LegDispatched {
        order: id,
        attempt: order.attempt,
        leg,
        kind: hop.kind,
        vessel: hop.vessel,
        queue,
        prompt,
        answer,
        within,
        hedge: hedge.filter(|at| *at < timeout).unwrap_or(Micros::ZERO),
        timeout,
    };
    tx.emit(event);
}

/// How long a leg is expected to take: behind what is aboard, for the prompt, or to have what was made of it elsewhere,
/// and for the answer.
fn eta(state: &State, order: &Order, leg: &Leg) -> [Micros; 3] {
    let tables = &state.tables;
    let vessel = tables.vessels.get(leg.vessel).zip(tables.loads.get(leg.vessel));
    let Some((vessel, load)) = vessel else { return [Micros::ZERO; 3] };
    let prompts = leg.kind != LegKind::Decode;
    // What is aboard counts this one already.
    let own = Micros(leg.work.0.checked_div(u64::from(vessel.manifest.slots)).unwrap_or(0));
    let queue = held_up(state, load, &vessel.manifest, prompts) - own;
    let answer = match leg.kind {
        LegKind::Hop => return [Micros::ZERO; 3],
        LegKind::Prefill => Micros::ZERO,
        LegKind::Decode => leg.work - cost::fetch_time(state, order, leg),
        LegKind::Whole => {
            cost::decode_time(&vessel.manifest, expected(state, order).usual).min(leg.work)
        }
    };
    [queue, leg.work - answer, answer]
}

/// Takes the report of what became of a leg.
pub(crate) fn report(
    tx: &mut Transaction,
    id: OrderId,
    attempt: u16,
    leg: u8,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let stops = tx.state().index.deciding.as_ref().map(|deciding| &deciding.stops);
    if stops.is_some_and(|stops| stops.of_leg(id, attempt, leg).is_some()) {
        return report_late(tx, id, attempt, leg, outcome);
    }
    let order = tx.state().order(id).ok_or(Refusal::Unknown { order: id.number() })?;
    if !hedges::works(tx.state(), order, attempt, leg) {
        return Err(Refusal::Stale);
    }
    match outcome {
        Outcome::Failed(Fault::Rejected) => {
            hedges::settle_on(tx, id, leg);
            fail(tx, id, Fault::Rejected);
        }
        Outcome::Failed(fault) => {
            if !hedges::drop_leg(tx, id, leg, Some(*fault)) {
                fail(tx, id, *fault);
            }
        }
        Outcome::Done { tokens_out, cached, first_token, energy } => {
            hedges::settle_on(tx, id, leg);
            let event = completed(tx.state(), id, *tokens_out, *cached, *first_token, *energy);
            complete(tx, id, event.ok_or(Refusal::Stale)?);
        }
    }
    Ok(())
}

/// What a leg that was done amounts to. A report beyond what was asked is cut to it.
fn completed(
    state: &State,
    id: OrderId,
    tokens_out: Tokens,
    cached: Tokens,
    first_token: Micros,
    energy: Millijoules,
) -> Option<Event> {
    let order = state.order(id)?;
    let leg = order.route.get(usize::from(order.leg))?;
    let manifest = &state.tables.vessels.get(leg.vessel)?.manifest;
    let (asked_in, asked_out) = (order.demand.tokens_in, order.demand.tokens_out_max);
    // Working a prompt yields the first token; a leg that works none finds none in a cache.
    let (tokens_out, cached) = (tokens_out.min(asked_out - order.tokens_out), cached.min(asked_in));
    let (tokens_out, cached) = match leg.kind {
        LegKind::Hop => (Tokens::ZERO, Tokens::ZERO),
        LegKind::Whole | LegKind::Prefill => (tokens_out, cached),
        LegKind::Decode => (tokens_out, Tokens::ZERO),
    };
    // The leg was dispatched when the one before it ended; the report counts from there.
    let first_token = if first_token == Micros::ZERO {
        Micros::ZERO
    } else {
        (state.now() - order.submitted).min(order.dispatched + first_token - order.submitted)
    };
    Some(Event::LegCompleted {
        order: id,
        leg: order.leg,
        vessel: leg.vessel,
        tokens_out,
        cached,
        first_token,
        cost: leg_cost(manifest, leg.kind, asked_in, cached, tokens_out),
        energy,
        predicted: cost::leg_time(
            manifest,
            leg,
            cost::fetch_time(state, order, leg),
            asked_in - cached,
            tokens_out,
        ),
    })
}

fn complete(tx: &mut Transaction, id: OrderId, completed: Event) {
    let Event::LegCompleted { leg, vessel, .. } = completed else { return };
    let hop = tx.state().order(id).is_some_and(|order| {
        order.route.get(usize::from(leg)).is_some_and(|leg| leg.kind == LegKind::Hop)
    });
    let Some(order) = tx.state().order(id) else { return };
    let (dispatched, within) = (order.dispatched, order.within);
    let slow = !hop && is_slow(tx.state(), dispatched, within);
    tx.emit(completed);
    if slow {
        resilience::trip_if_due(tx, vessel, dispatched);
    } else if !hop {
        resilience::close_if_probed(tx, vessel);
    }
    left(tx, vessel);
    let Some(order) = tx.state().order(id) else { return };
    let rest = order.held();
    if rest.is_empty() {
        end(tx, id, End::Completed);
    } else if lost_of(tx.state(), rest).is_some() {
        fail(tx, id, Fault::VesselLost);
    } else {
        dispatch(tx, id, leg.saturating_add(1));
    }
}

/// Fails the leg that an order is on, and with it the attempt: another one is planned, or none is left.
pub(crate) fn fail(tx: &mut Transaction, id: OrderId, fault: Fault) {
    let Some(order) = tx.state().order(id) else { return };
    let Some(vessel) = order.route.get(usize::from(order.leg)).map(|leg| leg.vessel) else {
        return;
    };
    let (attempt, leg, dispatched) = (order.attempt, order.leg, order.dispatched);
    let held: Route = order.held().iter().cloned().collect();
    let lost = fault == Fault::VesselLost && lost_of(tx.state(), &held).is_some();
    let expired = order.deadline <= tx.now();
    if fault == Fault::Timeout {
        await_stop(tx, id, leg, None, PicoUsd::ZERO, OrderId(0));
    }
    tx.emit(Event::LegFailed { order: id, attempt, leg, vessel, fault });
    match fault {
        Fault::Error | Fault::Timeout => resilience::trip_if_due(tx, vessel, dispatched),
        Fault::Overloaded => resilience::pause(tx, vessel),
        Fault::VesselLost if !lost => resilience::trip_if_due(tx, vessel, dispatched),
        Fault::VesselLost | Fault::Rejected => {}
    }
    let again = if fault == Fault::Rejected { None } else { resilience::retry_at(tx, id) };
    match again {
        _ if expired => end(tx, id, End::Expired),
        // Another vessel may have room.
        Some(_) if fault == Fault::Overloaded => route_or_queue(tx, id),
        Some(at) => {
            tx.emit(words::Event::RetryScheduled { order: id, attempts: attempt, at });
        }
        None => end(tx, id, End::Failed),
    }
    capacity_legs(&held).for_each(|leg| left(tx, leg.vessel));
}

/// Ends an order: its berth is given back, its account settled, its vessel stopped.
pub(crate) fn end(tx: &mut Transaction, id: OrderId, end: End) {
    let Some(leg) = tx.state().order(id).map(|order| order.leg) else { return };
    hedges::settle_on(tx, id, leg);
    let Some(order) = tx.state().order(id).cloned() else { return };
    release(tx, id);
    note_kept(tx, id);
    let settled = settlement(tx.state(), &order, end);
    let charged = settled.as_ref().map_or(PicoUsd::ZERO, |(_, charged)| *charged);
    if let Some((settled, _)) = settled {
        tx.emit(settled);
    }
    let working = order.held();
    if !working.is_empty() {
        await_stop(tx, id, leg, Some(end), charged, OrderId(0));
    }
    tx.emit(Event::OrderEnded {
        order: id,
        tenant: order.tenant,
        external: order.demand.external,
        end,
        attempts: order.attempt,
        stop: working.first().map_or(VesselId::NONE, |leg| leg.vessel),
        first_token: order.first_token,
        latency: tx.now() - order.submitted,
    });
    capacity_legs(working).for_each(|leg| left(tx, leg.vessel));
}
