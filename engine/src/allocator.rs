//! Capacity: which vessels take work, what a route holds, what work costs, and berths.

use alloc::vec::Vec;

use crate::draw::{Draw, Purpose};
use crate::event::Event;
use crate::exchange::Transaction;
use crate::models::{
    Berth, Breaker, Leg, LegKind, Load, Manifest, Order, Role, Stage, Vessel, VesselStatus, Window,
};
use crate::refusal::{Bound, Refusal};
use crate::state::State;
use crate::table::Breach;
use crate::units::{
    BerthId, MicroUsd, Micros, Millijoules, ModelId, OrderId, Tokens, VesselId, clamp,
};

/// Vessels asked for a berth, at most.
const BERTH_CANDIDATES: u32 = 16;

/// Whether a vessel takes one more order. A breaker that is probing lets a single one pass.
pub(crate) fn is_open(vessel: &Vessel, load: &Load) -> bool {
    let slots = match load.breaker {
        Breaker::Closed => vessel.manifest.slots,
        Breaker::Open => 0,
        Breaker::Probing => 1,
    };
    vessel.status == VesselStatus::Up && load.used < slots
}

/// The time for `tokens` prompt tokens, rounded up.
pub(crate) fn prefill_time(manifest: &Manifest, tokens: Tokens) -> Micros {
    Micros(per(tokens, manifest.prefill_per_kilotoken.0, 1_000))
}

/// The time for `tokens` generated tokens.
pub(crate) fn decode_time(manifest: &Manifest, tokens: Tokens) -> Micros {
    Micros(manifest.decode_per_token.0.saturating_mul(tokens.0))
}

/// The price of a prompt of `tokens`, of which `cached` are in the prefix cache; rounded up.
pub(crate) fn price_in(manifest: &Manifest, tokens: Tokens, cached: Tokens) -> MicroUsd {
    let fresh = per(tokens - cached, manifest.price_in.0, 1_000_000);
    MicroUsd(fresh) + MicroUsd(per(cached, manifest.price_cached.0, 1_000_000))
}

/// The price of `tokens` generated; rounded up.
pub(crate) fn price_out(manifest: &Manifest, tokens: Tokens) -> MicroUsd {
    MicroUsd(per(tokens, manifest.price_out.0, 1_000_000))
}

/// The fuel for a prompt and an answer, rounded up.
pub(crate) fn fuel(manifest: &Manifest, fresh: Tokens, generated: Tokens) -> Millijoules {
    Millijoules(per(fresh, manifest.fuel_in.0, 1_000))
        + Millijoules(per(generated, manifest.fuel_out.0, 1_000))
}

/// `rate` for every `unit` tokens, rounded up.
fn per(tokens: Tokens, rate: u64, unit: u64) -> u64 {
    clamp(u128::from(tokens.0).saturating_mul(u128::from(rate)).div_ceil(u128::from(unit.max(1))))
}

/// What a completed leg costs: prompt tokens where they were worked, generated ones likewise.
pub(crate) fn leg_cost(
    manifest: &Manifest,
    kind: LegKind,
    tokens_in: Tokens,
    cached: Tokens,
    tokens_out: Tokens,
) -> MicroUsd {
    match kind {
        LegKind::Hop => MicroUsd::ZERO,
        LegKind::Whole => price_in(manifest, tokens_in, cached) + price_out(manifest, tokens_out),
        LegKind::Prefill => price_in(manifest, tokens_in, cached),
        LegKind::Decode => price_out(manifest, tokens_out),
    }
}

/// Takes the capacity that every leg of an order's route needs.
pub(crate) fn take_route(state: &mut State, route: &[Leg]) -> Result<(), Breach> {
    for leg in route.iter().filter(|leg| leg.kind != LegKind::Hop) {
        let load = state.tables.loads.edit(leg.vessel, state.seq)?;
        load.used = load.used.saturating_add(1);
        load.backlog += leg.work;
        state.refresh_open(leg.vessel);
    }
    Ok(())
}

/// Gives back the capacity of these legs.
pub(crate) fn release(state: &mut State, legs: &[Leg]) -> Result<(), Breach> {
    for leg in legs.iter().filter(|leg| leg.kind != LegKind::Hop) {
        let load = state.tables.loads.edit(leg.vessel, state.seq)?;
        load.used = load.used.saturating_sub(1);
        load.backlog -= leg.work;
        state.refresh_open(leg.vessel);
    }
    Ok(())
}

/// The legs of an order's route that are still to be worked.
pub(crate) fn held(order: &Order) -> &[Leg] {
    let rest = order.route.get(usize::from(order.leg)..).unwrap_or_default();
    if order.stage == Stage::Running { rest } else { &[] }
}

/// Finds a berth for `window` on a vessel that serves `model` and can hold `size` tokens: of those
/// drawn, the one with the fewest berths that overlap the window; of equal ones, the first drawn.
pub(crate) fn find_berth(
    tx: &Transaction,
    order: OrderId,
    model: ModelId,
    size: Tokens,
    window: &Window,
) -> Result<(BerthId, VesselId, u32), Refusal> {
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.berths);
    if state.tables.berths.len() >= max {
        return Err(Refusal::Full { bound: Bound::Berths, max: u64::from(max) });
    }
    let serving = state.index.serving.get(model.0 as usize).ok_or(Refusal::NoVessel)?;
    let draw = Draw::new(state.journal(), tx.stamp().seq, order, Purpose::Berth);
    let mut ranks = Vec::new();
    draw.sample(BERTH_CANDIDATES, serving.up.count(), &mut ranks);
    let drawn = ranks.iter().filter_map(|rank| serving.up.select(*rank)).map(VesselId);
    let fitting = drawn.filter_map(|id| {
        let manifest = &state.tables.vessels.get(id)?.manifest;
        let overlapping = overlapping(state, id, window);
        let fits = manifest.role == Role::Whole
            && manifest.context_max >= size
            && overlapping < manifest.slots;
        fits.then_some((overlapping, id))
    });
    let (overlapping, vessel) =
        fitting.min_by_key(|(overlapping, _)| *overlapping).ok_or(Refusal::NoBerth)?;
    Ok((state.tables.berths.vacancy(), vessel, overlapping))
}

/// How many berths of a vessel overlap a window.
fn overlapping(state: &State, vessel: VesselId, window: &Window) -> u32 {
    let berths = state.index.berths.get(&vessel).map_or(&[][..], Vec::as_slice);
    let overlaps = berths
        .iter()
        .filter_map(|id| state.tables.berths.get(*id))
        .filter(|berth| berth.window.from < window.until && window.from < berth.window.until);
    u32::try_from(overlaps.count()).unwrap_or(u32::MAX)
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderBerthed { order, berth, vessel, window, .. } => {
            let row = state.edit_order(*order)?;
            row.stage = Stage::Berthed;
            row.berth = *berth;
            let row = Berth { vessel: *vessel, order: *order, window: window.clone() };
            state.tables.berths.insert(*berth, row, state.seq)?;
            state.index.berths.entry(*vessel).or_default().push(*berth);
            state.wake_order(*order, window.from)
        }
        Event::BerthReleased { order, berth } => {
            let row = state.tables.berths.remove(*berth, state.seq)?;
            if let Some(berths) = state.index.berths.get_mut(&row.vessel) {
                berths.retain(|other| other != berth);
            }
            state.edit_order(*order)?.berth = BerthId::NONE;
            Ok(())
        }
        _ => Ok(()),
    }
}
