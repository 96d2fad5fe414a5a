//! Which berth an order gets, and what the calendar of a vessel lets pass.
//!
//! A berth is a promise: whoever is routed before its window begins must be expected to be done by then, or there must
//! be slots enough for both. What is expected is what 95 of 100 take (`telemetry`). Where that was wrong and no
//! slot is free when the window begins, the next one is kept for the berth.
//!
//! Who would cost more than he may wherever there is room makes place for others as well, and looks again now and then:
//! until a cheaper vessel has room, asks less, or answers turn out to be shorter.

pub(crate) mod crowding;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::allocator::cost::{self, decode_time};
use crate::allocator::decide::crowding::note_kept;
use crate::allocator::rows::Berth;
use crate::allocator::words::{Command, Event, Refusal as Allocator};
use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{BerthId, MicroUsd, Micros, OrderId, Tokens, VesselId};
use crate::models::rows::{Demand, Leg, LegKind, Order, Pace, Role, VesselStatus, Window};
use crate::models::words::{Refusal as Models, Thing};
use crate::refusal::Refusal;
use crate::state::State;
use crate::telemetry::decide::{Expected, expected, expected_of, pace};
use crate::transaction::Transaction;
use crate::workflow::refusal::Refusal as Workflow;

/// Vessels asked for a berth, at most.
const BERTH_CANDIDATES: u32 = 16;

/// An order that is held back is looked at again after this part of the time until the berth that stands in its way,
/// and never sooner than after a second.
const HELD_BACK_PARTS: u64 = 16;

/// An order that is too dear is looked at again after the same part of the time until its deadline, never sooner than
/// after a second, and never later than after five minutes: prices change, and vessels come free.
const TOO_DEAR_MOST: Micros = Micros(300 * Micros::SECOND.0);

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::Maintain { vessel, window } => maintain(tx, *vessel, window),
        Command::EndMaintenance { vessel } => {
            exists(tx.state(), *vessel)?;
            let Some((_, berth)) = tx.state().maintenance(*vessel) else {
                return Err(Allocator::NoMaintenance.into());
            };
            end_maintenance(tx, *vessel, berth);
            Ok(())
        }
    }
}

/// Plans maintenance: of a vessel that is there, in a window to come, which nothing is promised in.
fn maintain(tx: &mut Transaction, vessel: VesselId, window: &Window) -> Result<(), Refusal> {
    let state = tx.state();
    if exists(state, vessel)? == VesselStatus::Retired {
        return Err(Models::WrongStatus.into());
    }
    if let Some(fault) = window.fault(state.now()) {
        return Err(Workflow::Invalid { fault: fault.into() }.into());
    }
    check_room(state, vessel)?;
    let overlapping = berths(state, vessel).filter(|(_, row)| row.overlaps(window));
    if let Some(berth) = overlapping.map(|(berth, _)| berth).min() {
        return Err(Allocator::Promised { berth }.into());
    }
    let (berth, window) = (state.tables.berths.vacancy(), window.clone());
    tx.emit(Event::MaintenancePlanned { berth, vessel, window });
    Ok(())
}

fn exists(state: &State, vessel: VesselId) -> Result<VesselStatus, Refusal> {
    let unknown = Models::Unknown { thing: Thing::Vessel, id: u64::from(vessel.0) };
    Ok(state.tables.vessels.get(vessel).ok_or(unknown)?.status)
}

fn check_room(state: &State, vessel: VesselId) -> Result<(), Refusal> {
    let max = state.limits().map_or(0, |limits| limits.berths);
    let most = Berth::OF_VESSEL_MAX;
    if state.tables.berths.len() >= max {
        Err(Config::Full { bound: Bound::Berths, max: u64::from(max) }.into())
    } else if berths(state, vessel).count() >= most {
        Err(Config::Full { bound: Bound::Berths, max: most as u64 }.into())
    } else {
        Ok(())
    }
}

/// Maintenance that is due begins, or ends.
pub(crate) fn turn(tx: &mut Transaction, vessel: VesselId, berth: BerthId) {
    let Some(row) = tx.state().tables.berths.get(berth) else { return };
    let (slots, until) = (row.slots, row.window.until);
    if until <= tx.now() {
        end_maintenance(tx, vessel, berth);
    } else {
        tx.emit(Event::BerthOpened { berth, vessel, order: None, slots, until });
    }
}

fn end_maintenance(tx: &mut Transaction, vessel: VesselId, berth: BerthId) {
    tx.emit(Event::MaintenanceEnded { berth, vessel });
    tx.note_vessel(vessel);
}

/// Gives an order's berth back, if it has one, with what was kept for it.
pub(crate) fn release(tx: &mut Transaction, order: OrderId) {
    let Some(berth) = tx.state().order(order).map(|order| order.berth) else { return };
    let Some(row) = tx.state().tables.berths.get(berth) else { return };
    let (vessel, open) = (row.vessel, row.open);
    tx.emit(Event::BerthReleased { order, berth });
    if open {
        tx.note_vessel(vessel);
    }
}

/// Has an order look again later for a vessel that promises nothing while it would last.
pub(crate) fn hold_back(tx: &mut Transaction, order: OrderId, berthed_at: Micros) {
    let now = tx.now();
    note_kept(tx, order);
    let part = Micros((berthed_at - now).0 / HELD_BACK_PARTS).max(Micros::SECOND);
    tx.emit(Event::OrderHeldBack {
        order,
        berthed_at,
        at: (now + part).min(berthed_at.max(now + Micros(1))),
    });
}

/// Has an order look again later for a route that it may cost.
pub(crate) fn too_dear(tx: &mut Transaction, id: OrderId, least: MicroUsd) {
    let Some(order) = tx.state().order(id) else { return };
    let part = Micros((order.deadline - tx.now()).0 / HELD_BACK_PARTS);
    note_kept(tx, id);
    let at = tx.now() + part.clamp(Micros::SECOND, TOO_DEAR_MOST);
    tx.emit(Event::OrderTooDear { order: id, least, at });
}

/// The berths of a vessel, in no order.
fn berths(state: &State, vessel: VesselId) -> impl Iterator<Item = (BerthId, &Berth)> {
    let berths = state.index.berths.get(&vessel).map_or(&[][..], Vec::as_slice);
    berths.iter().filter_map(|id| Some((*id, state.tables.berths.get(*id)?)))
}

/// Those for whom a vessel's slots are kept at this moment, who came first first.
pub(crate) fn kept_for(state: &State, vessel: VesselId) -> Vec<OrderId> {
    let open = berths(state, vessel).filter(|(_, row)| row.open);
    let mut orders: Vec<(Micros, OrderId)> =
        open.filter_map(|(_, row)| Some((row.window.from, row.order?))).collect();
    orders.sort_unstable();
    orders.into_iter().map(|(_, order)| order).collect()
}

/// How much longer a leg takes where its answer is as long as few are; where a call for the order has failed already,
/// as long as may be, so that none is given up time and again because it is longer than others.
pub(crate) fn spread(state: &State, order: &Order, leg: &Leg) -> Micros {
    let answers = matches!(leg.kind, LegKind::Whole | LegKind::Decode);
    let Some(vessel) = state.tables.vessels.get(leg.vessel).filter(|_| answers) else {
        return Micros::ZERO;
    };
    let Expected { usual, late } = expected(state, order);
    let late = if order.retry { order.demand.tokens_out_max } else { late };
    decode_time(&vessel.manifest, late - usual)
}

/// How long a leg should take at most, behind so much that is aboard, one after the other.
pub(crate) fn within(state: &State, order: &Order, leg: &Leg, waiting: Micros) -> Micros {
    leg.work + waiting + spread(state, order, leg)
}

/// Until when those aboard a vessel are expected to need their slots; whoever should have been gone by now is there for
/// a moment more, and what was told to stop for as long as its answer is awaited.
pub(crate) fn aboard(state: &State, vessel: VesselId) -> Vec<Micros> {
    let pace = state.tables.loads.get(vessel).map_or(Pace::AS_DECLARED, |load| pace(state, load));
    let mut ends = Vec::new();
    let Some(deciding) = &state.index.deciding else { return ends };
    let mut orders: Vec<_> = deciding.aboard.of(vessel).collect();
    orders.sort_unstable();
    orders.dedup();
    for (slot, order) in
        orders.into_iter().filter_map(|slot| Some((slot, state.tables.orders.get(slot)?)))
    {
        let (mut work, mut begun) = (Micros::ZERO, order.dispatched);
        // Two that work the same leg do so side by side.
        let hedge = state.tables.hedges.get(slot);
        let window = order.demand.window.as_ref().map_or(Micros::ZERO, |window| window.until);
        for leg in order.held() {
            work += leg.work;
            if leg.kind != LegKind::Hop && leg.vessel == vessel {
                let time = work + spread(state, order, leg);
                let end = (begun + time.percent(pace)).max(window);
                ends.push(end.max(state.now() + Micros(1)));
            }
            if let Some(hedge) = hedge {
                (work, begun) = (Micros::ZERO, hedge.dispatched);
            }
        }
    }
    let stops = deciding.stops.of_vessel(vessel);
    ends.extend(stops.filter_map(|slot| Some(state.tables.stops.get(slot)?.until)));
    ends
}

/// When the first berth of a vessel begins for which there would be no slot, were one more taken until `end`; those
/// whose windows have begun are kept their slots already.
pub(crate) fn promised(state: &State, vessel: VesselId, end: Micros) -> Option<Micros> {
    left_at_berths(state, vessel, end).find(|(_, left)| *left == 0).map(|(at, _)| at)
}

/// When the berths of a vessel begin that begin before `end`, and how many slots are left then besides what is promised
/// and what is aboard.
pub(crate) fn left_at_berths(
    state: &State,
    vessel: VesselId,
    end: Micros,
) -> impl Iterator<Item = (Micros, u64)> {
    let held: Vec<&Berth> = berths(state, vessel).map(|(_, row)| row).collect();
    let begins = |row: &&&Berth| !row.open && row.window.from < end;
    let mut moments: Vec<Micros> =
        held.iter().filter(begins).map(|row| row.window.from.max(state.now())).collect();
    moments.sort_unstable();
    let slots = state.tables.vessels.get(vessel).map_or(0, |row| u64::from(row.manifest.slots));
    let aboard = if moments.is_empty() { Vec::new() } else { aboard(state, vessel) };
    moments.into_iter().map(move |moment| {
        let covers =
            |row: &&&Berth| row.window.until > moment && (row.open || row.window.from <= moment);
        let promised: u64 = held.iter().filter(covers).map(|row| u64::from(row.slots)).sum();
        let taken = aboard.iter().filter(|end| **end > moment).count() as u64;
        (moment, slots.saturating_sub(promised).saturating_sub(taken))
    })
}

/// Finds a berth for `window` on a vessel that can work a demand, and is not expected to take more for it than it may
/// cost: of those drawn that have a slot left all the while, the one with the fewest berths that overlap the window; of
/// equal ones, the first drawn. On those that are `found` already one more is promised for the same window, as often as they
/// are named.
pub(crate) fn find_berth(
    tx: &Transaction,
    order: OrderId,
    demand: &Demand,
    window: &Window,
    found: &[(VesselId, u32)],
    ends: &mut Ends,
) -> Result<(VesselId, u32), Refusal> {
    let (state, model, size) = (tx.state(), demand.model, demand.size());
    let answer = expected_of(state, tx.stamp().source.tenant, demand).usual;
    let max = state.limits().map_or(0, |limits| limits.berths);
    if (state.tables.berths.len() as usize).saturating_add(found.len()) >= max as usize {
        return Err(Config::Full { bound: Bound::Berths, max: u64::from(max) }.into());
    }
    let serving = state.index.parties.serving.get(model.0 as usize).ok_or(Models::NoVessel)?;
    let draw = Draw::new(state.journal(), tx.stamp().seq, order, Purpose::Berth);
    let mut ranks = Vec::new();
    draw.sample(BERTH_CANDIDATES, serving.up.count(), &mut ranks);
    let drawn = ranks.iter().filter_map(|rank| serving.up.select(*rank)).map(VesselId);
    let mut earliest = Micros::MAX;
    let mut best: Option<(u32, VesselId)> = None;
    for id in drawn {
        let Some(vessel) = state.tables.vessels.get(id) else { continue };
        let manifest = &vessel.manifest;
        let more = found.iter().filter(|(vessel, _)| *vessel == id).count();
        let full = berths(state, id).count().saturating_add(more) >= Berth::OF_VESSEL_MAX;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        // What will be in a cache by then is not known.
        let price = cost::price_in(manifest, demand.tokens_in, Tokens::ZERO)
            + cost::price_out(manifest, answer);
        let fits = manifest.role == Role::Whole && manifest.context_max >= size;
        if !fits || full || !demand.may_cost(price) {
            continue;
        }
        // Those that are found would go along to whatever window this one is moved to.
        let ends = ends.entry(id).or_insert_with(|| aboard(state, id));
        let from = earliest_on(state, id, manifest.slots.saturating_sub(more), window, ends);
        earliest = earliest.min(from);
        let overlapping = berths(state, id).filter(|(_, row)| row.overlaps(window)).count();
        let overlapping = u32::try_from(overlapping).unwrap_or(u32::MAX).saturating_add(more);
        if from == window.from && best.is_none_or(|(fewest, _)| overlapping < fewest) {
            best = Some((overlapping, id));
        }
    }
    let (overlapping, vessel) = best.ok_or(Allocator::NoBerth { earliest })?;
    Ok((vessel, overlapping))
}

/// Until when those aboard vessels are expected to need their slots, once it has been asked.
pub(crate) type Ends = BTreeMap<VesselId, Vec<Micros>>;

/// How many later windows are tried for a gang that has no berths in the one that it asks for.
const GANG_TRIES: u32 = 2;

/// Berths for all orders of a gang or for none: those that ask for one window, of which one is no use without the others
/// (gang scheduling: Ousterhout, ICDCS 1982). One after the other is found, each beside those that are found already, the
/// largest first, so that none of the smaller ones takes the only vessel that holds it. By what they may cost they are not
/// sorted: one may take the only vessel that another can afford.
///
/// Where they have none the refusal tells the earliest moment at which all of them have, were the window moved there; after
/// as many tries as there are, one before which they have not.
pub(crate) fn find_gang(
    tx: &Transaction,
    first: u64,
    demands: &[&Demand],
    window: &Window,
) -> Result<Vec<(VesselId, u32)>, Refusal> {
    let mut ends = Ends::new();
    let mut refusal = match gang_at(tx, first, demands, window, &mut ends) {
        Err(Refusal::Allocator(refusal)) => refusal,
        other => return other,
    };
    for _ in 0..GANG_TRIES {
        let Allocator::NoBerth { earliest } = refusal else { break };
        if earliest == Micros::MAX {
            break;
        }
        let until = earliest + (window.until - window.from);
        match gang_at(tx, first, demands, &Window { from: earliest, until }, &mut ends) {
            Err(Refusal::Allocator(later)) => refusal = later,
            _ => break,
        }
    }
    Err(refusal.into())
}

/// Berths for all of these orders, whose numbers follow on each other, in a window.
fn gang_at(
    tx: &Transaction,
    first: u64,
    demands: &[&Demand],
    window: &Window,
    ends: &mut Ends,
) -> Result<Vec<(VesselId, u32)>, Refusal> {
    let mut found = Vec::new();
    for (number, demand) in (first..).zip(demands) {
        let order = OrderId::new(number, OrderId::NO_SLOT);
        let berth = find_berth(tx, order, demand, window, &found, ends)?;
        found.push(berth);
    }
    Ok(found)
}

/// The earliest moment, not before a window, from which a vessel has a slot of these left for as long as the window lasts.
fn earliest_on(
    state: &State,
    vessel: VesselId,
    slots: u32,
    window: &Window,
    ends: &[Micros],
) -> Micros {
    if slots == 0 {
        return Micros::MAX;
    }
    let (slots, length) = (u64::from(slots), window.until - window.from);
    let held = berths(state, vessel).map(|(_, row)| (row.window.from, row.window.until, row.slots));
    let aboard = ends.iter().map(|end| (state.now(), *end, 1));
    // What ends at a moment comes before what begins there.
    let mut edges: Vec<(Micros, bool, u32)> = Vec::new();
    for (from, until, slots) in held.chain(aboard).filter(|(_, until, _)| *until > window.from) {
        edges.push((from.max(window.from), true, slots));
        edges.push((until, false, slots));
    }
    edges.sort_unstable();
    let (mut taken, mut since) = (0u64, Some(window.from));
    for (at, begins, count) in edges {
        taken = if begins {
            taken.saturating_add(u64::from(count))
        } else {
            taken.saturating_sub(u64::from(count))
        };
        match since {
            Some(from) if taken >= slots => {
                if at - from >= length {
                    return from;
                }
                since = None;
            }
            None if taken < slots => since = Some(at),
            _ => {}
        }
    }
    since.unwrap_or(Micros::MAX)
}
