//! The life of an order, from its submission to the one state in which it ends.
//!
//! identity -> idempotency -> the demand itself -> rate -> admission -> bounds -> fit ->
//! berth, or route, or queue -> legs -> settlement -> end.
//! Refusals are tried in that order, so the first that applies is the one that is told.

use alloc::borrow::ToOwned;

use crate::command::{Command, Fault, LossCause, Outcome};
use crate::event::Event;
use crate::exchange::Transaction;
use crate::models::{
    Breaker, Demand, End, Leg, LegKind, MARKS_MAX, Order, RememberedKey, Route, Stage, VesselStatus,
};
use crate::refusal::{Bound, Refusal, Thing};
use crate::state::State;
use crate::table::Breach;
use crate::units::{
    BerthId, KeySlot, MicroUsd, Micros, Millijoules, OrderId, TenantId, Tokens, VesselId,
};
use crate::wheel::Due;
use crate::{allocator, fleet, policy, queue, resilience, routing, telemetry};

/// The most timers that one record decides; what is due beyond them is due at once again.
pub(crate) const DUE_MAX: usize = 256;

/// The largest prompt or answer.
const TOKENS_MAX: Tokens = Tokens(1 << 32);

/// Records that a command was refused. A refused submission is an order that ends there.
pub(crate) fn refuse(tx: &mut Transaction, command: &Command, refusal: Refusal) {
    let Command::Submit(demand) = command else {
        return tx.emit(Event::CommandRefused { refusal });
    };
    let source = tx.stamp().source.tenant;
    let known = tx.state().tables.accounts.get(source).is_some();
    let tenant = if known { source } else { TenantId::NONE };
    let order = OrderId::new(next_number(tx.state()), OrderId::NO_SLOT);
    tx.emit(Event::OrderRefused { order, tenant, external: demand.external, refusal });
}

fn next_number(state: &State) -> u64 {
    state.control().map_or(0, |control| control.orders).saturating_add(1)
}

/// Submits an order.
pub(crate) fn submit(tx: &mut Transaction, demand: &Demand) -> Result<(), Refusal> {
    let tenant = tx.stamp().source.tenant;
    let unknown = Refusal::Unknown { thing: Thing::Tenant, id: u64::from(tenant.0) };
    let state = tx.state();
    let contract = state.tables.tenants.get(tenant).ok_or(unknown.clone())?;
    let account = state.tables.accounts.get(tenant).ok_or(unknown)?;
    if let Some(order) = remembered(state, tenant, demand.idempotency) {
        tx.emit(Event::OrderDeduplicated { order, tenant, external: demand.external });
        return Ok(());
    }
    check_demand(state, demand)?;
    let arrival = queue::pass(contract, account, state.now())?;
    let (_, policy) = state.policy().ok_or(Refusal::NoPolicy)?;
    let level = state.control().map_or(policy::PolicyLevel::Normal, |control| control.level);
    if !policy::admits(level, demand.class) {
        return Err(Refusal::LevelForbids { level, class: demand.class });
    }
    check_bounds(state, contract.live_max, account.live)?;
    check_fleet(state, demand)?;
    let deadline = deadline(policy, demand, state.now());
    let key = next_key(state, demand.idempotency);
    let order = OrderId::new(next_number(state), state.tables.orders.vacancy());
    let admitted = Event::OrderAdmitted {
        order,
        tenant,
        level,
        arrival,
        deadline,
        key,
        demand: demand.clone(),
    };
    place(tx, order, admitted, demand)
}

/// Gives an admitted order a berth, a route or a place in the queue; refuses it if there is none.
fn place(
    tx: &mut Transaction,
    order: OrderId,
    admitted: Event,
    demand: &Demand,
) -> Result<(), Refusal> {
    let size = demand.tokens_in + demand.tokens_out_max;
    if let Some(window) = &demand.window {
        let (berth, vessel, overlapping) =
            allocator::find_berth(tx, order, demand.model, size, window)?;
        tx.emit(admitted);
        let window = window.clone();
        tx.emit(Event::OrderBerthed { order, berth, vessel, window, overlapping });
        return Ok(());
    }
    let lane = (demand.model, demand.class);
    let behind = queue::occupied(tx.state(), lane);
    if let Err(full) = queue::check_room(tx.state())
        && (behind || !routing::has_room(tx.state(), demand.model, size))
    {
        return Err(full);
    }
    tx.emit(admitted);
    if behind || !routing::route(tx, order, VesselId::NONE) {
        queue::enqueue(tx, order);
    }
    if behind {
        queue::pump_lane(tx, lane);
    }
    Ok(())
}

fn remembered(state: &State, tenant: TenantId, key: u64) -> Option<OrderId> {
    if key == 0 {
        return None;
    }
    let slot = state.index.keys.get(&(tenant, key))?;
    state.tables.keys.get(*slot).map(|row| row.order)
}

fn next_key(state: &State, key: u64) -> KeySlot {
    let bound = state.limits().map_or(1, |limits| limits.keys);
    let turn = state.control().map_or(0, |control| control.keys);
    let place = turn.checked_rem(u64::from(bound)).and_then(|place| u32::try_from(place).ok());
    if key == 0 { KeySlot::NONE } else { place.map_or(KeySlot::NONE, KeySlot) }
}

fn check_demand(state: &State, demand: &Demand) -> Result<(), Refusal> {
    if state.tables.models.get(demand.model).is_none() {
        return Err(Refusal::Unknown { thing: Thing::Model, id: u64::from(demand.model.0) });
    }
    let window = demand.window.as_ref();
    let ascending = demand.prefix.is_sorted_by(|a, b| a.tokens < b.tokens);
    let faults = [
        (
            demand.tokens_in == Tokens::ZERO || demand.tokens_in > TOKENS_MAX,
            "tokens_in is 0 or above 4294967296",
        ),
        (demand.tokens_out_max > TOKENS_MAX, "tokens_out_max is above 4294967296"),
        (demand.deadline != Micros::ZERO && demand.deadline <= state.now(), "deadline has passed"),
        (demand.prefix.len() > MARKS_MAX, "prefix has too many marks"),
        (!ascending, "prefix marks are not ascending"),
        (window.is_some_and(|window| window.from >= window.until), "window is empty"),
        (window.is_some_and(|window| window.from < state.now()), "window has begun"),
    ];
    match faults.iter().find(|(fault, _)| *fault) {
        Some((_, fault)) => Err(Refusal::Invalid { fault: (*fault).to_owned() }),
        None => Ok(()),
    }
}

fn check_bounds(state: &State, live_max: u32, live: u64) -> Result<(), Refusal> {
    if live_max > 0 && live >= u64::from(live_max) {
        return Err(Refusal::Full { bound: Bound::TenantOrders, max: u64::from(live_max) });
    }
    let max = state.limits().map_or(0, |limits| limits.orders);
    if state.tables.orders.len() >= max {
        return Err(Refusal::Full { bound: Bound::Orders, max: u64::from(max) });
    }
    Ok(())
}

fn check_fleet(state: &State, demand: &Demand) -> Result<(), Refusal> {
    let serving = state.index.serving.get(demand.model.0 as usize).ok_or(Refusal::NoVessel)?;
    if serving.up.count() == 0 {
        return Err(Refusal::NoVessel);
    }
    let (asked, max) = (demand.tokens_in + demand.tokens_out_max, serving.context_max());
    // Those that are up may be halves of pairs without another half.
    if max == Tokens::ZERO {
        return Err(Refusal::NoVessel);
    }
    if asked > max { Err(Refusal::TooLarge { asked, max }) } else { Ok(()) }
}

fn deadline(policy: &policy::Policy, demand: &Demand, now: Micros) -> Micros {
    if demand.deadline != Micros::ZERO {
        return demand.deadline;
    }
    let lifetime = policy.lifetime.get(demand.class as usize).copied().unwrap_or(Micros::MAX);
    demand.window.as_ref().map_or(now, |window| window.until) + lifetime
}

/// Hands a leg of an order's route to its vessel.
pub(crate) fn dispatch(tx: &mut Transaction, id: OrderId, leg: u8) {
    let Some(order) = tx.state().order(id) else { return };
    let Some((_, policy)) = tx.state().policy() else { return };
    let Some(hop) = order.route.get(usize::from(leg)) else { return };
    // Behind everything else aboard, one after the other; the way there waits for nobody.
    let load = tx.state().tables.loads.get(hop.vessel).filter(|_| hop.kind != LegKind::Hop);
    let waiting = load.map_or(Micros::ZERO, |load| load.backlog - hop.work);
    let patience =
        u128::from((hop.work + waiting).0).saturating_mul(u128::from(policy.timeout_percent)) / 100;
    let span = Micros(crate::units::clamp(patience)).max(policy.timeout_min);
    let event = Event::LegDispatched {
        order: id,
        attempt: order.attempt,
        leg,
        kind: hop.kind,
        vessel: hop.vessel,
        timeout: tx.now() + span,
    };
    tx.emit(event);
}

/// Takes the report of what became of a leg.
pub(crate) fn report_leg(
    tx: &mut Transaction,
    id: OrderId,
    attempt: u16,
    leg: u8,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let order = live(tx.state(), id)?;
    if order.stage != Stage::Running || order.attempt != attempt || order.leg != leg {
        return Err(Refusal::Stale);
    }
    match outcome {
        Outcome::Failed(fault) => fail_leg(tx, id, *fault),
        Outcome::Done { tokens_out, cached, first_token, energy } => {
            let event = completed_leg(tx.state(), id, *tokens_out, *cached, *first_token, *energy);
            complete_leg(tx, id, event.ok_or(Refusal::Stale)?);
        }
    }
    Ok(())
}

/// What a leg that was done amounts to. A report beyond what was asked is cut to it.
fn completed_leg(
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
        cost: allocator::leg_cost(manifest, leg.kind, asked_in, cached, tokens_out),
        energy,
    })
}

fn complete_leg(tx: &mut Transaction, id: OrderId, completed: Event) {
    let Event::LegCompleted { leg, vessel, .. } = completed else { return };
    let hop = tx.state().order(id).is_some_and(|order| {
        order.route.get(usize::from(leg)).is_some_and(|leg| leg.kind == LegKind::Hop)
    });
    tx.emit(completed);
    // To have arrived says nothing about the vessel; only work that is done does.
    if !hop {
        resilience::close_if_probing(tx, vessel);
    }
    fleet::drained_if_empty(tx, vessel);
    let Some(order) = tx.state().order(id) else { return };
    let left = allocator::held(order);
    if left.is_empty() {
        end(tx, id, End::Completed);
    } else if lost_of(tx.state(), left).is_some() {
        fail_leg(tx, id, Fault::VesselLost);
    } else {
        dispatch(tx, id, leg.saturating_add(1));
    }
    queue::pump(tx, vessel);
}

/// Fails the leg that an order is on, and with it the attempt: another one is planned, or none is left.
pub(crate) fn fail_leg(tx: &mut Transaction, id: OrderId, fault: Fault) {
    let Some(order) = tx.state().order(id) else { return };
    let Some(vessel) = order.route.get(usize::from(order.leg)).map(|leg| leg.vessel) else {
        return;
    };
    let (attempt, leg) = (order.attempt, order.leg);
    let held: Route = allocator::held(order).iter().cloned().collect();
    let lost = fault == Fault::VesselLost && lost_of(tx.state(), &held).is_some();
    tx.emit(Event::LegFailed { order: id, attempt, leg, vessel, fault });
    if !lost {
        resilience::trip_if_due(tx, vessel);
    }
    match resilience::retry_at(tx, id) {
        Some(at) => tx.emit(Event::RetryScheduled { order: id, attempts: attempt, at }),
        None => end(tx, id, End::Failed),
    }
    for leg in routing::capacity_legs(&held) {
        fleet::drained_if_empty(tx, leg.vessel);
        queue::pump(tx, leg.vessel);
    }
}

/// Ends an order: its berth is given back, its account settled, its vessel stopped.
fn end(tx: &mut Transaction, id: OrderId, end: End) {
    let Some(order) = tx.state().order(id) else { return };
    let order = order.clone();
    if order.berth != BerthId::NONE {
        tx.emit(Event::BerthReleased { order: id, berth: order.berth });
    }
    if end == End::Completed || order.cost > MicroUsd::ZERO || order.energy > Millijoules::ZERO {
        tx.emit(telemetry::settlement(&order));
    }
    let working = allocator::held(&order);
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
    for leg in routing::capacity_legs(working) {
        fleet::drained_if_empty(tx, leg.vessel);
        queue::pump(tx, leg.vessel);
    }
    if order.stage == Stage::Queued {
        queue::pump_lane(tx, (order.demand.model, order.demand.class));
    }
}

/// Withdraws an order.
pub(crate) fn cancel(tx: &mut Transaction, id: OrderId) -> Result<(), Refusal> {
    own(tx, id)?;
    end(tx, id, End::Cancelled);
    Ok(())
}

/// Ends an order's wait for its next attempt.
pub(crate) fn retry(tx: &mut Transaction, id: OrderId) -> Result<(), Refusal> {
    if own(tx, id)?.stage != Stage::Backoff {
        return Err(Refusal::WrongStage);
    }
    route_or_queue(tx, id, VesselId::NONE);
    Ok(())
}

fn live(state: &State, id: OrderId) -> Result<&Order, Refusal> {
    state.order(id).ok_or(Refusal::Unknown { thing: Thing::Order, id: id.number() })
}

/// A live order that the sender may dispose of; to anybody else it is unknown.
fn own<'a>(tx: &'a Transaction, id: OrderId) -> Result<&'a Order, Refusal> {
    let order = live(tx.state(), id)?;
    let tenant = tx.stamp().source.tenant;
    if tenant == order.tenant || tenant == TenantId::NONE {
        return Ok(order);
    }
    Err(Refusal::Unknown { thing: Thing::Order, id: id.number() })
}

fn route_or_queue(tx: &mut Transaction, id: OrderId, only: VesselId) {
    let routed = (only != VesselId::NONE && routing::route(tx, id, only))
        || routing::route(tx, id, VesselId::NONE);
    if !routed {
        queue::enqueue(tx, id);
    }
}

/// Decides whatever is due.
pub(crate) fn advance(tx: &mut Transaction) -> Result<(), Refusal> {
    let state = tx.state();
    let wheel = state.index.wheel.as_ref();
    let due = wheel.map(|wheel| wheel.due(state.now(), DUE_MAX, |timer| state.confirms(timer)));
    for timer in due.unwrap_or_default() {
        // An earlier decision of this record may have answered it.
        if !tx.state().confirms(&timer) {
            continue;
        }
        match timer.due {
            Due::Review => policy::review(tx),
            Due::Vessel(id) => vessel_due(tx, id),
            Due::Order(id) => order_due(tx, id),
        }
    }
    Ok(())
}

fn vessel_due(tx: &mut Transaction, id: VesselId) {
    let Some(load) = tx.state().tables.loads.get(id) else { return };
    if load.breaker == Breaker::Open && load.retry_at <= tx.now() {
        resilience::probe_if_due(tx, id);
    } else {
        tx.emit(Event::VesselLost { vessel: id, cause: LossCause::Silent });
    }
}

fn order_due(tx: &mut Transaction, id: OrderId) {
    let Some(order) = tx.state().order(id) else { return };
    if order.deadline <= tx.now() {
        return end(tx, id, End::Expired);
    }
    match order.stage {
        Stage::Running => {
            let lost = lost_of(tx.state(), allocator::held(order)).is_some();
            fail_leg(tx, id, if lost { Fault::VesselLost } else { Fault::Timeout });
        }
        Stage::Backoff => route_or_queue(tx, id, VesselId::NONE),
        Stage::Berthed => {
            let berth = order.berth;
            let vessel = tx.state().tables.berths.get(berth).map(|berth| berth.vessel);
            tx.emit(Event::BerthReleased { order: id, berth });
            route_or_queue(tx, id, vessel.unwrap_or(VesselId::NONE));
        }
        Stage::Queued => {}
    }
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderRefused { order, tenant, .. } => {
            state.edit_control()?.orders = order.number();
            if *tenant == TenantId::NONE {
                return Ok(());
            }
            telemetry::count_end(state, *tenant, End::Refused)
        }
        Event::OrderAdmitted { order, tenant, arrival, deadline, key, demand, .. } => {
            fold_admitted(state, *order, *tenant, *arrival, *deadline, *key, demand)
        }
        Event::LegDispatched { order, leg, timeout, .. } => {
            let now = state.now;
            let row = state.edit_order(*order)?;
            row.leg = *leg;
            row.dispatched = now;
            state.wake_order(*order, *timeout)
        }
        Event::LegCompleted { .. } => fold_completed(state, event),
        Event::LegFailed { order, vessel, fault, .. } => {
            fold_failed(state, *order, *vessel, *fault)
        }
        Event::OrderEnded { order, tenant, end, .. } => {
            queue::leave(state, *order)?;
            state.edit_order(*order)?;
            let row = state.tables.orders.remove(order.slot(), state.seq)?;
            let held = allocator::held(&row);
            allocator::release(state, held)?;
            telemetry::count_end(state, *tenant, *end)
        }
        _ => Ok(()),
    }
}

fn fold_admitted(
    state: &mut State,
    id: OrderId,
    tenant: TenantId,
    arrival: Micros,
    deadline: Micros,
    key: KeySlot,
    demand: &Demand,
) -> Result<(), Breach> {
    let control = state.edit_control()?;
    control.orders = id.number();
    if key != KeySlot::NONE {
        control.keys = control.keys.saturating_add(1);
        let row = RememberedKey { tenant, key: demand.idempotency, order: id };
        if let Some(old) = state.tables.keys.get(key) {
            state.index.keys.remove(&(old.tenant, old.key));
        }
        state.index.keys.insert((tenant, demand.idempotency), key);
        state.tables.keys.put(key, row, state.seq)?;
    }
    let account = state.tables.accounts.edit(tenant, state.seq)?;
    account.arrival = arrival;
    account.live = account.live.saturating_add(1);
    let order = Order {
        id,
        tenant,
        stage: Stage::Backoff,
        attempt: 0,
        leg: 0,
        route: Route::new(),
        ticket: 0,
        submitted: state.now,
        queued: Micros::ZERO,
        dispatched: Micros::ZERO,
        deadline,
        wake: Micros::MAX,
        avoid: VesselId::NONE,
        berth: BerthId::NONE,
        key,
        cached: Tokens::ZERO,
        tokens_out: Tokens::ZERO,
        first_token: Micros::ZERO,
        cost: MicroUsd::ZERO,
        energy: Millijoules::ZERO,
        demand: demand.clone(),
    };
    state.tables.orders.insert(id.slot(), order, state.seq)
}

fn fold_completed(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::LegCompleted { order, leg, tokens_out, cached, first_token, cost, energy, .. } =
        event
    else {
        return Ok(());
    };
    let row = state.edit_order(*order)?;
    let done = row.route.get(usize::from(*leg)).cloned();
    row.leg = leg.saturating_add(1);
    row.tokens_out += *tokens_out;
    row.cached += *cached;
    row.cost += *cost;
    row.energy += *energy;
    if row.first_token == Micros::ZERO {
        row.first_token = *first_token;
    }
    if let Some(done) = done {
        allocator::release(state, core::slice::from_ref(&done))?;
        let load = state.tables.loads.edit(done.vessel, state.seq)?;
        load.completed = load.completed.saturating_add(1);
        if done.kind != LegKind::Hop {
            load.failures = 0;
        }
    }
    let control = state.edit_control()?;
    control.completed = control.completed.saturating_add(1);
    Ok(())
}

fn fold_failed(
    state: &mut State,
    id: OrderId,
    vessel: VesselId,
    fault: Fault,
) -> Result<(), Breach> {
    let row = state.edit_order(id)?;
    let held: Route = allocator::held(row).iter().cloned().collect();
    let lost = if fault == Fault::VesselLost { lost_of(state, &held) } else { None };
    let blamed = lost.unwrap_or(vessel);
    let row = state.edit_order(id)?;
    row.stage = Stage::Backoff;
    row.avoid = blamed;
    let deadline = row.deadline;
    allocator::release(state, &held)?;
    let load = state.tables.loads.edit(blamed, state.seq)?;
    load.failed = load.failed.saturating_add(1);
    // A loss is no answer: it says nothing that the breaker of the vessel should count.
    if lost.is_none() {
        load.failures = load.failures.saturating_add(1);
    }
    let control = state.edit_control()?;
    control.failed = control.failed.saturating_add(1);
    state.wake_order(id, deadline)
}

/// The vessel of a route that is gone: not always the one that was at work.
pub(crate) fn lost_of(state: &State, held: &[Leg]) -> Option<VesselId> {
    let lost = |id: &VesselId| {
        state.tables.vessels.get(*id).is_some_and(|vessel| vessel.status == VesselStatus::Lost)
    };
    held.iter().map(|leg| leg.vessel).find(lost)
}
