//! What becomes of a leg that was told to stop.
//!
//! Its vessel answers with what it has worked, and until then its slot is not given to anybody else. Where no answer
//! comes in time what is left unsaid is estimated, for an order that has ended; of one that is tried again nobody is
//! charged for what went wrong.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::allocator::cost::{self, leg_cost};
use crate::kernel::units::{Micros, OrderId, PicoUsd, Ppm, StopSlot, Tokens, VesselId};
use crate::models::decide::left;
use crate::models::rows::{End, Leg, LegKind, Manifest, Order, Pace, Usage, VesselStatus};
use crate::state::State;
use crate::telemetry::decide::pace;
use crate::transaction::Transaction;
use crate::workflow::refusal::Refusal;
use crate::workflow::rows::Stop;
use crate::workflow::words::{Event, Outcome};

/// Has the exchange await what a leg that is being worked for an order has come to, once it is stopped: `end` tells how the order
/// ended, `charged` what it was charged for besides, and `by` for whom it gives its place up, if it does.
pub(crate) fn await_stop(
    tx: &mut Transaction,
    id: OrderId,
    leg_number: u8,
    end: Option<End>,
    charged: PicoUsd,
    by: OrderId,
) {
    let state = tx.state();
    let (Some(order), Some((_, policy))) = (state.order(id), state.policy()) else { return };
    let working = order.route.get(usize::from(leg_number)).filter(|leg| leg.kind != LegKind::Hop);
    let Some(leg) = working else { return };
    let Some(vessel) = state.tables.vessels.get(leg.vessel) else { return };
    if vessel.status.is_gone() || vessel.status == VesselStatus::Retired {
        return;
    }
    let reserve = state.tables.reserves.get(id.slot()).filter(|_| end.is_some());
    let stop = Stop {
        until: tx.now() + policy.stop,
        reserved: reserve.map(|reserve| reserve.amount - charged),
        order: id,
        estimate: end.map_or(Usage::NONE, |_| estimate(state, order, leg, &vessel.manifest)),
        share: match end {
            Some(End::Cancelled) => policy.charge.cancelled,
            Some(End::Expired) => policy.charge.expired,
            _ => Ppm::ZERO,
        },
        tokens_in: order.demand.tokens_in,
        tokens_out_max: order.demand.tokens_out_max - order.tokens_out,
        by,
        tenant: order.tenant,
        vessel: leg.vessel,
        attempt: order.attempt,
        kind: leg.kind,
        leg: leg_number,
        ended: end.is_some(),
    };
    let stops = &state.tables.stops;
    if stops.len() < stops.bounded() {
        let slot = stops.vacancy();
        tx.emit(Event::StopAwaited { stop: slot, awaited: Box::new(stop) });
    } else {
        let settled = settled(state, StopSlot::NONE, &stop, stop.estimate.clone(), true);
        tx.emit(settled);
    }
}

/// What a leg has worked by now, going by its manifest and by how long such legs took lately.
fn estimate(state: &State, order: &Order, leg: &Leg, manifest: &Manifest) -> Usage {
    let pace =
        state.tables.loads.get(leg.vessel).map_or(Pace::AS_DECLARED, |load| pace(state, load));
    // What it fetched meanwhile is not its own work.
    let fetch = cost::fetch_time(state, order, leg);
    let elapsed = (state.now() - order.dispatched - fetch).of_percent(pace);
    let asked = order.demand.tokens_in;
    let prompts = matches!(leg.kind, LegKind::Whole | LegKind::Prefill);
    let answers = matches!(leg.kind, LegKind::Whole | LegKind::Decode);
    let prefill = if prompts { cost::prefill_time(manifest, asked) } else { Micros::ZERO };
    let read = if !prompts {
        Tokens::ZERO
    } else if elapsed < prefill {
        asked.share(Ppm::ratio(elapsed.0, prefill.0)).min(asked)
    } else {
        asked
    };
    let each = manifest.decode_per_token.0;
    let made = (elapsed - prefill).0.checked_div(each).unwrap_or(0);
    let made = if answers { Tokens(made) } else { Tokens::ZERO };
    let tokens_out = made.min(order.demand.tokens_out_max - order.tokens_out);
    let energy = cost::fuel(manifest, read, tokens_out);
    Usage { tokens_in: read, cached: Tokens::ZERO, tokens_out, energy }
}

/// Takes a vessel's answer to a stop.
pub(crate) fn report_stop(
    tx: &mut Transaction,
    order: OrderId,
    attempt: u16,
    leg: u8,
    usage: &Usage,
) -> Result<(), Refusal> {
    let stops = tx.state().index.deciding.as_ref().map(|deciding| &deciding.stops);
    let slot = stops.and_then(|stops| stops.of_leg(order, attempt, leg)).ok_or(Refusal::Stale)?;
    let state = tx.state();
    let stop = state.tables.stops.get(slot).ok_or(Refusal::Stale)?;
    let event = settled(state, slot, stop, usage.clone(), false);
    vacate(tx, event, stop.vessel, stop.by);
    Ok(())
}

/// A slot comes free, and whoever had somebody sent away for it is noted.
fn vacate(tx: &mut Transaction, settled: Event, vessel: VesselId, by: OrderId) {
    tx.emit(settled);
    left(tx, vessel);
    if by != OrderId(0) {
        tx.note_wanting(by);
    }
}

/// Takes the report of a leg that had been stopped by then: it was done after all, or had failed by itself.
pub(crate) fn report_late(
    tx: &mut Transaction,
    order: OrderId,
    attempt: u16,
    leg: u8,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    let usage = match outcome {
        Outcome::Done { tokens_out, cached, energy, .. } => Usage {
            tokens_in: Tokens::MAX,
            cached: *cached,
            tokens_out: *tokens_out,
            energy: *energy,
        },
        Outcome::Failed(_) => Usage::NONE,
    };
    report_stop(tx, order, attempt, leg, &usage)
}

/// No answer came in time, or none will.
pub(crate) fn give_up(tx: &mut Transaction, slot: StopSlot) {
    let state = tx.state();
    let Some(stop) = state.tables.stops.get(slot) else { return };
    let event = settled(state, slot, stop, stop.estimate.clone(), true);
    vacate(tx, event, stop.vessel, stop.by);
}

/// The stops that a vessel has not answered.
pub(crate) fn unanswered(state: &State, vessel: VesselId) -> Vec<StopSlot> {
    let stops = state.index.deciding.as_ref().map(|deciding| &deciding.stops);
    stops.map(|stops| stops.of_vessel(vessel).collect()).unwrap_or_default()
}

/// What a stopped leg amounts to. More than was asked for is cut to that.
fn settled(state: &State, slot: StopSlot, stop: &Stop, usage: Usage, estimated: bool) -> Event {
    let prompts = matches!(stop.kind, LegKind::Whole | LegKind::Prefill);
    let tokens_in = if prompts { usage.tokens_in.min(stop.tokens_in) } else { Tokens::ZERO };
    let (cached, tokens_out) =
        (usage.cached.min(tokens_in), usage.tokens_out.min(stop.tokens_out_max));
    let usage = Usage { tokens_in, cached, tokens_out, energy: usage.energy };
    let manifest = state.tables.vessels.get(stop.vessel).map(|vessel| &vessel.manifest);
    let burnt = manifest.map_or(PicoUsd::ZERO, |manifest| {
        leg_cost(manifest, stop.kind, tokens_in, cached, tokens_out)
    });
    let cost = burnt.share(stop.share);
    Event::StopSettled {
        stop: slot,
        order: stop.order,
        tenant: stop.tenant,
        usage,
        cost: stop.reserved.map_or(cost, |reserved| cost.min(reserved)),
        burnt,
        estimated,
        ended: stop.ended,
    }
}
