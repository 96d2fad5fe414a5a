//! How an order comes, goes from leg to leg, and ends.

use crate::allocator::fold::{hold, let_go, release, take};
use crate::kernel::table::Breach;
use crate::kernel::units::{
    BerthId, KeySlot, Micros, Millijoules, OrderId, PicoUsd, TenantId, Tokens, VesselId,
};
use crate::kernel::wheel::Due;
use crate::models::fold::{is_gone, lost_of};
use crate::models::rows::{Demand, End, Leg, LegKind, Order, Route, Stage, Tried, served};
use crate::policy::fold::{note_end, note_refused};
use crate::queue::fold::{give_up, leave, note_hedged, note_routed, settle_turn};
use crate::resilience::fold::{is_slow, note_outcome};
use crate::resilience::rows::{Call, Hedge};
use crate::routing::fold::believe;
use crate::state::State;
use crate::state::index::Deciding;
use crate::telemetry::fold::{
    add_usage, count_end, give_back_for, note_length, set_aside, set_aside_for, set_free,
};
use crate::workflow::rows::{RememberedKey, Stop};
use crate::workflow::words::{Event, Fault};

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::CommandRefused { .. } | Event::OrderDeduplicated { .. } => Ok(()),
        Event::OrderRefused { order, tenant, refusal, .. } => {
            state.edit_control()?.orders = order.number();
            if *tenant == TenantId::NONE {
                return Ok(());
            }
            note_refused(state, *tenant, refusal)?;
            count_end(state, *tenant, End::Refused)
        }
        Event::OrderAdmitted {
            order,
            tenant,
            arrival,
            token_arrival,
            deadline,
            key,
            reserved,
            demand,
            ..
        } => {
            let account = state.tables.accounts.edit(*tenant, &mut state.writer)?;
            account.arrival = *arrival;
            account.token_arrival = *token_arrival;
            account.live = account.live.saturating_add(1);
            fold_admitted(state, *order, *tenant, *deadline, *key, demand)?;
            reserved.map_or(Ok(()), |amount| set_aside(state, *order, *tenant, amount))
        }
        Event::LegDispatched {
            order, leg, kind, vessel, prompt, within, hedge, timeout, ..
        } => {
            let now = state.now;
            // What is fetched is no prompt that has to be worked.
            hand_over(
                state,
                *vessel,
                if *kind == LegKind::Decode { Micros::ZERO } else { *prompt },
            )?;
            let row = state.edit_order(*order)?;
            row.leg = *leg;
            row.dispatched = now;
            row.within = *within;
            state.wake_order(*order, if *hedge > Micros::ZERO { *hedge } else { *timeout })
        }
        Event::FirstTokenSeen { order, first_token, timeout, .. } => {
            state.edit_order(*order)?.first_token = *first_token;
            state.wake_order(*order, *timeout)
        }
        Event::LegHedged { order, vessel, prompt, work, within, timeout, .. } => {
            hand_over(state, *vessel, *prompt)?;
            let leg = Leg { kind: LegKind::Whole, vessel: *vessel, work: *work };
            fold_hedged(state, *order, leg, *within)?;
            state.wake_order(*order, *timeout)
        }
        Event::HedgeWithheld { order, timeout, .. } => state.wake_order(*order, *timeout),
        Event::LegDropped { order, leg, fault, timeout, .. } => {
            fold_dropped(state, *order, *leg, *fault)?;
            state.wake_order(*order, *timeout)
        }
        Event::LegCompleted { .. } => fold_completed(state, event),
        Event::LegFailed { order, vessel, fault, .. } => {
            fold_failed(state, *order, *vessel, *fault)
        }
        Event::OrderEnded { order, tenant, end, first_token, latency, .. } => {
            let row = state.edit_order(*order)?;
            let (queued, retry, key) = (row.stage == Stage::Queued, row.retry, row.key);
            if *end == End::Expired && queued {
                note_routed(state, *order, false)?;
            }
            if *end == End::Completed && retry {
                let routed = &mut state.edit_flow()?.present;
                routed.retries = routed.retries.saturating_sub(1);
            }
            leave(state, *order)?;
            give_up(state, *order)?;
            give_tokens_back(state, *order, *end)?;
            if *end == End::Completed {
                note_length(state, *order)?;
                let row = state.edit_order(*order)?;
                let worked = served(row.demand.tokens_in, row.tokens_out);
                settle_turn(state, *order, worked)?;
            }
            let row = state.edit_order(*order)?;
            let (held, size): (Route, _) =
                (row.held().iter().cloned().collect(), row.demand.size());
            state.tables.orders.remove(order.slot(), &mut state.writer)?;
            release(state, order.slot(), size, &held)?;
            settle_key(state, key, *end)?;
            set_free(state, *order, *tenant)?;
            note_end(state, *tenant, *end, *first_token, *latency)?;
            count_end(state, *tenant, *end)
        }
        Event::KeyForgotten { key, .. } => forget_key(state, *key),
        Event::StopAwaited { stop, awaited } => {
            hold(state, awaited.vessel, awaited.size())?;
            if let Some(amount) = awaited.reserved {
                set_aside_for(state, awaited.tenant, amount)?;
            }
            if let Some(Deciding { stops, .. }) = &mut state.index.deciding {
                stops.enter(*stop, awaited);
            }
            state.set_timer(awaited.until, Due::Stop(*stop));
            state.tables.stops.insert(*stop, Stop::clone(awaited), &mut state.writer)
        }
        Event::StopSettled { stop, tenant, usage, cost, burnt, ended, .. } => {
            add_usage(state, *tenant, usage, (*cost, *burnt), *ended)?;
            let Some(row) = state.tables.stops.get(*stop).cloned() else { return Ok(()) };
            if let Some(Deciding { stops, .. }) = &mut state.index.deciding {
                stops.leave(*stop, &row);
            }
            state.tables.stops.remove(*stop, &mut state.writer)?;
            if let Some(amount) = row.reserved {
                give_back_for(state, *tenant, amount)?;
            }
            let_go(state, row.vessel, row.size())
        }
    }
}

/// The tokens that an order did not have, or all of them if it was not served, may be asked for once more.
fn give_tokens_back(state: &mut State, order: OrderId, end: End) -> Result<(), Breach> {
    let row = state.edit_order(order)?;
    let used = row.demand.tokens_in + row.tokens_out;
    let used = if end == End::Completed { used } else { Tokens::ZERO };
    let (tenant, asked) = (row.tenant, row.demand.size());
    let Some(allowance) = state.tables.tenants.get(tenant).map(|contract| &contract.tokens) else {
        return Ok(());
    };
    let spared = allowance.span(asked.0) - allowance.span(used.0);
    if spared > Micros::ZERO {
        state.tables.accounts.edit(tenant, &mut state.writer)?.token_arrival -= spared;
    }
    Ok(())
}

/// A key stands on for an order that was served; whoever's was not may order again.
fn settle_key(state: &mut State, key: KeySlot, end: End) -> Result<(), Breach> {
    if key == KeySlot::NONE {
        return Ok(());
    }
    if end != End::Completed {
        return forget_key(state, key);
    }
    let age = state.policy().map_or(Micros::ZERO, |(_, policy)| policy.key_age);
    let until = (state.now + age).min(RememberedKey::LATEST);
    let row = state.tables.keys.edit(key, &mut state.writer)?;
    let before = core::mem::replace(&mut row.until, until);
    if let Some(Deciding { keys, .. }) = &mut state.index.deciding {
        keys.leave(key, &RememberedKey { until: before, ..row.clone() });
        keys.enter(key, row);
    }
    Ok(())
}

fn forget_key(state: &mut State, key: KeySlot) -> Result<(), Breach> {
    let deciding = &mut state.index.deciding;
    if let (Some(row), Some(Deciding { keys, .. })) = (state.tables.keys.get(key), deciding) {
        keys.leave(key, row);
    }
    state.tables.keys.remove(key, &mut state.writer)
}

fn fold_admitted(
    state: &mut State,
    id: OrderId,
    tenant: TenantId,
    deadline: Micros,
    key: KeySlot,
    demand: &Demand,
) -> Result<(), Breach> {
    state.edit_control()?.orders = id.number();
    if key != KeySlot::NONE {
        let row = RememberedKey {
            until: RememberedKey::LIVE,
            key: demand.idempotency,
            fingerprint: demand.fingerprint(),
            order: id,
            tenant,
        };
        if let Some(Deciding { keys, .. }) = &mut state.index.deciding {
            keys.enter(key, &row);
        }
        state.tables.keys.insert(key, row, &mut state.writer)?;
    }
    let order = Order {
        id,
        tenant,
        stage: Stage::Backoff,
        attempt: 0,
        leg: 0,
        tried: Tried::default(),
        route: Route::new(),
        ticket: 0,
        submitted: state.now,
        queued: Micros::ZERO,
        dispatched: Micros::ZERO,
        within: Micros::ZERO,
        bounced: 0,
        retry: false,
        gathers: false,
        deadline,
        wake: Micros::MAX,
        berth: BerthId::NONE,
        key,
        cached: Tokens::ZERO,
        tokens_out: Tokens::ZERO,
        first_token: Micros::ZERO,
        cost: PicoUsd::ZERO,
        wasted: PicoUsd::ZERO,
        energy: Millijoules::ZERO,
        demand: demand.clone(),
    };
    state.tables.orders.insert(id.slot(), order, &mut state.writer)
}

/// A vessel has one more prompt to work.
fn hand_over(state: &mut State, vessel: VesselId, prompt: Micros) -> Result<(), Breach> {
    if prompt > Micros::ZERO {
        let now = state.now;
        let load = state.tables.loads.edit(vessel, &mut state.writer)?;
        load.prompts = load.prompts.max(now) + prompt;
    }
    Ok(())
}

/// Another vessel works the last leg of an order's route as well.
fn fold_hedged(state: &mut State, id: OrderId, leg: Leg, within: Micros) -> Result<(), Breach> {
    note_hedged(state, id)?;
    let legs = core::slice::from_ref(&leg);
    let size = state.edit_order(id)?.demand.size();
    take(state, id.slot(), size, legs)?;
    believe(state, id, legs)?;
    // There is a place: what is hedged has two hops at most.
    let _ = state.edit_order(id)?.route.try_push(leg);
    let hedge = Hedge { dispatched: state.now, within };
    state.tables.hedges.insert(id.slot(), hedge, &mut state.writer)
}

/// One of the last two legs of a route is worked no more: the order is on the other.
fn fold_dropped(
    state: &mut State,
    id: OrderId,
    leg: u8,
    fault: Option<Fault>,
) -> Result<(), Breach> {
    let slot = id.slot();
    let Some(hedge) = state.tables.hedges.get(slot).cloned() else {
        return state.tables.hedges.remove(slot, &mut state.writer);
    };
    state.tables.hedges.remove(slot, &mut state.writer)?;
    let row = state.edit_order(id)?;
    let (first, size) = (row.leg == leg, row.demand.size());
    let dropped = if first { row.route.get(usize::from(leg)).cloned() } else { row.route.pop() };
    let dispatched = if first { row.dispatched } else { hedge.dispatched };
    if first {
        row.leg = leg.saturating_add(1);
        row.dispatched = hedge.dispatched;
        row.within = hedge.within;
    }
    let Some(dropped) = dropped else { return Ok(()) };
    release(state, slot, size, core::slice::from_ref(&dropped))?;
    match fault {
        Some(fault) => note_failed(state, id, dropped.vessel, fault, dispatched),
        None => Ok(()),
    }
}

fn fold_completed(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::LegCompleted {
        order,
        leg,
        tokens_out,
        cached,
        first_token,
        cost,
        energy,
        predicted,
        ..
    } = event
    else {
        return Ok(());
    };
    let (now, window) =
        (state.now, state.policy().map_or(Micros::MAX, |(_, policy)| policy.forecast.window));
    let row = state.edit_order(*order)?;
    let (dispatched, within) = (row.dispatched, row.within);
    let (done, size) = (row.route.get(usize::from(*leg)).cloned(), row.demand.size());
    row.leg = leg.saturating_add(1);
    row.tokens_out += *tokens_out;
    row.cached += *cached;
    row.cost += *cost;
    row.energy += *energy;
    if row.first_token == Micros::ZERO {
        row.first_token = *first_token;
    }
    if let Some(done) = done {
        release(state, order.slot(), size, core::slice::from_ref(&done))?;
        let load = state.tables.loads.edit(done.vessel, &mut state.writer)?;
        load.completed = load.completed.saturating_add(1);
        // To have arrived says nothing about the vessel; only work that is done does.
        if done.kind != LegKind::Hop {
            load.pauses = 0;
            load.pace.note(now, window, now - dispatched, *predicted);
            let slow = is_slow(state, dispatched, within);
            note_outcome(
                state,
                done.vessel,
                dispatched,
                if slow { Call::Slow } else { Call::Good },
            )?;
        }
    }
    Ok(())
}

fn fold_failed(
    state: &mut State,
    id: OrderId,
    vessel: VesselId,
    fault: Fault,
) -> Result<(), Breach> {
    let held: Route = state.edit_order(id)?.held().iter().cloned().collect();
    let lost = if fault == Fault::VesselLost { lost_of(state, &held) } else { None };
    let blamed = lost.unwrap_or(vessel);
    let row = state.edit_order(id)?;
    row.stage = Stage::Backoff;
    let (deadline, dispatched, size) = (row.deadline, row.dispatched, row.demand.size());
    if answers(fault) {
        row.retry = lost.is_none();
    } else if fault == Fault::Overloaded {
        row.bounced = row.bounced.saturating_add(1);
    }
    settle_turn(state, id, 0)?;
    release(state, id.slot(), size, &held)?;
    note_failed(state, id, blamed, fault, dispatched)?;
    state.wake_order(id, deadline)
}

/// Whether a fault says something about a vessel: a request that is at fault itself says nothing about whoever found
/// it so, and who has no room at this moment has not failed.
fn answers(fault: Fault) -> bool {
    !matches!(fault, Fault::Rejected | Fault::Overloaded)
}

/// Notes that a vessel has failed an order.
fn note_failed(
    state: &mut State,
    id: OrderId,
    vessel: VesselId,
    fault: Fault,
    dispatched: Micros,
) -> Result<(), Breach> {
    if answers(fault) {
        state.edit_order(id)?.tried.note(vessel);
    }
    let gone = is_gone(state, vessel);
    let load = state.tables.loads.edit(vessel, &mut state.writer)?;
    load.failed = load.failed.saturating_add(1);
    // Nor is a loss an answer that the breaker of the vessel should count.
    let lost = fault == Fault::VesselLost && gone;
    if answers(fault) && !lost {
        note_outcome(state, vessel, dispatched, Call::Failed)
    } else {
        Ok(())
    }
}
