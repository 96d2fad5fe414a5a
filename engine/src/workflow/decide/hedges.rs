//! What becomes of a leg of which nothing is heard for too long: another vessel works it as well, and the first answer
//! counts (hedged requests: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013).
//!
//! Only an order's last leg is hedged, where it is one vessel's alone, and none of which the first token is on its
//! way. Hedges are attempts that are made because something went wrong: they are within the budget of retries.

use crate::allocator::cost;
use crate::allocator::decide::within;
use crate::kernel::units::{Micros, OrderId, PicoUsd, VesselId};
use crate::models::decide::left;
use crate::models::fold::is_gone;
use crate::models::rows::{Kind, LegKind, Order, Stage};
use crate::policy::rows::Policy;
use crate::queue::decide::must_wait;
use crate::resilience::decide as resilience;
use crate::routing::decide::plan_hedge;
use crate::state::State;
use crate::telemetry::decide::expected;
use crate::transaction::Transaction;
use crate::workflow::decide::stops::await_stop;
use crate::workflow::refusal::Refusal;
use crate::workflow::words::{Event, Fault, Withheld};

/// After what multiple of its time an order's leg is hedged, in percent; none where it never is.
fn percent(policy: &Policy, order: &Order, leg: u8) -> Option<u32> {
    let percent = policy.hedge_percent.get(order.demand.class as usize).copied().unwrap_or(0);
    let last = order.route.len() == usize::from(leg).saturating_add(1);
    let alone = order.route.last().is_some_and(|leg| leg.kind == LegKind::Whole);
    let asked = percent > 0 && order.demand.kind == Kind::Inference;
    (asked && last && alone && order.first_token == Micros::ZERO).then_some(percent)
}

/// When another vessel is asked to work an order's leg as well, which is handed over at this moment: after the time that
/// 95 of 100 take, behind what is aboard, times what the policy says.
pub(crate) fn hedged_at(
    state: &State,
    policy: &Policy,
    order: &Order,
    leg: u8,
    queue: Micros,
) -> Option<Micros> {
    let percent = percent(policy, order, leg)?;
    let leg = order.route.get(usize::from(leg))?;
    let manifest = &state.tables.vessels.get(leg.vessel)?.manifest;
    let answer = expected(state, order);
    let late = cost::decode_time(manifest, answer.late - answer.usual);
    Some(
        state.now() + (queue + leg.work + late).percent(u16::try_from(percent).unwrap_or(u16::MAX)),
    )
}

/// Whether an order is on this leg, or another vessel works it as well as that.
pub(crate) fn works(state: &State, order: &Order, attempt: u16, leg: u8) -> bool {
    let hedged = state.tables.hedges.get(order.id.slot()).is_some();
    let on = leg == order.leg || hedged && leg == order.leg.saturating_add(1);
    order.stage == Stage::Running && order.attempt == attempt && on
}

/// When the one and the other leg of a hedged order count as failed.
fn timeouts(state: &State, id: OrderId) -> Option<[Micros; 2]> {
    let (_, policy) = state.policy()?;
    let (order, hedge) = (state.order(id)?, state.tables.hedges.get(id.slot())?);
    let of = |dispatched: Micros, within| dispatched + policy.timeout(within);
    Some([of(order.dispatched, order.within), of(hedge.dispatched, hedge.within)])
}

/// Nothing has been heard of an order's leg for too long, or for so long that it counts as failed; tells whether it
/// goes on.
pub(crate) fn goes_on(tx: &mut Transaction, id: OrderId) -> bool {
    let state = tx.state();
    let (Some((_, policy)), Some(order)) = (state.policy(), state.order(id)) else { return false };
    if let Some([first, second]) = timeouts(state, id) {
        // By another policy than they were dispatched by, neither may be due: it is the one that should have been done.
        let leg = if first <= second { order.leg } else { order.leg.saturating_add(1) };
        drop_leg(tx, id, leg, Some(Fault::Timeout));
        return true;
    }
    let timeout = order.dispatched + policy.timeout(order.within);
    if timeout <= tx.now() || percent(policy, order, order.leg).is_none() {
        return false;
    }
    hedge(tx, id, timeout);
    true
}

/// Has another vessel work an order's leg as well, if one may.
fn hedge(tx: &mut Transaction, id: OrderId, timeout: Micros) {
    let state = tx.state();
    let Some(order) = state.order(id) else { return };
    let leg = order.leg;
    let withheld = |reason| Event::HedgeWithheld { order: id, leg, reason, timeout };
    if resilience::over_budget(tx).is_some() {
        return tx.emit(withheld(Withheld::Budget));
    }
    let besides = order.route.last().map_or(VesselId::NONE, |leg| leg.vessel);
    let planned = if must_wait(state, &order.demand) { None } else { plan_hedge(tx, id, besides) };
    let Some((other, prompt, candidates)) = planned else {
        return tx.emit(withheld(Withheld::NoRoom));
    };
    let Some((_, policy)) = state.policy() else { return };
    let backlog = state.tables.loads.get(other.vessel).map_or(Micros::ZERO, |load| load.backlog);
    let within = within(state, order, &other, backlog);
    let event = Event::LegHedged {
        order: id,
        attempt: order.attempt,
        leg: leg.saturating_add(1),
        vessel: other.vessel,
        prompt,
        work: other.work,
        within,
        timeout: timeout.min(tx.now() + policy.timeout(within)),
        candidates,
    };
    tx.emit(event);
}

/// Drops one of an order's two legs, if it has two: that it failed is counted, and what it had worked is awaited where
/// it is still being worked.
pub(crate) fn drop_leg(tx: &mut Transaction, id: OrderId, leg: u8, fault: Option<Fault>) -> bool {
    let state = tx.state();
    let Some([first, second]) = timeouts(state, id) else { return false };
    let (Some(order), Some(hedge)) = (state.order(id), state.tables.hedges.get(id.slot())) else {
        return false;
    };
    let Some(vessel) = order.route.get(usize::from(leg)).map(|leg| leg.vessel) else {
        return false;
    };
    let (attempt, is_first) = (order.attempt, leg == order.leg);
    let (dispatched, timeout) =
        if is_first { (order.dispatched, second) } else { (hedge.dispatched, first) };
    if matches!(fault, None | Some(Fault::Timeout)) {
        await_stop(tx, id, leg, None, PicoUsd::ZERO, OrderId(0));
    }
    tx.emit(Event::LegDropped { order: id, attempt, leg, vessel, fault, timeout });
    match fault {
        Some(Fault::VesselLost) if is_gone(tx.state(), vessel) => {}
        Some(Fault::Error | Fault::Timeout | Fault::VesselLost) => {
            resilience::trip_if_due(tx, vessel, dispatched);
        }
        Some(Fault::Overloaded) => resilience::pause(tx, vessel),
        Some(Fault::Rejected) | None => {}
    }
    left(tx, vessel);
    true
}

/// The order is this leg's alone from here on.
pub(crate) fn settle_on(tx: &mut Transaction, id: OrderId, leg: u8) {
    let Some(order) = tx.state().order(id) else { return };
    let other = if order.leg == leg { leg.saturating_add(1) } else { order.leg };
    drop_leg(tx, id, other, None);
}

/// A vessel is gone that works one of an order's two legs; tells whether the other goes on.
pub(crate) fn lost(tx: &mut Transaction, id: OrderId) -> bool {
    let state = tx.state();
    let Some(order) = state.order(id) else { return false };
    let held = order.held().iter().map(|leg| is_gone(state, leg.vessel));
    let Some(place) = held.clone().position(|gone| gone) else { return false };
    let all = held.clone().all(|gone| gone);
    let leg = order.leg.saturating_add(u8::from(place > 0));
    drop_leg(tx, id, leg, Some(Fault::VesselLost)) && !all
}

/// Takes the report that the first token of an answer is on its way.
pub(crate) fn first_token(
    tx: &mut Transaction,
    id: OrderId,
    attempt: u16,
    leg: u8,
) -> Result<(), Refusal> {
    let state = tx.state();
    let order = state.order(id).ok_or(Refusal::Unknown { order: id.number() })?;
    let works = works(state, order, attempt, leg);
    let kind = order.route.get(usize::from(leg)).map(|leg| leg.kind);
    if !works || kind == Some(LegKind::Hop) || order.first_token > Micros::ZERO {
        return Err(Refusal::Stale);
    }
    settle_on(tx, id, leg);
    let Some(((_, policy), order)) = tx.state().policy().zip(tx.state().order(id)) else {
        return Ok(());
    };
    let vessel = order.route.get(usize::from(leg)).map_or(VesselId::NONE, |leg| leg.vessel);
    let first_token = (tx.now() - order.submitted).max(Micros(1));
    let timeout = order.dispatched + policy.timeout(order.within);
    tx.emit(Event::FirstTokenSeen { order: id, leg, vessel, first_token, timeout });
    Ok(())
}
