//! Who takes part: tenants, regions, models and vessels, and whether a vessel is there.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::command::LossCause;
use crate::event::Event;
use crate::exchange::Transaction;
use crate::models::{
    Account, Breaker, Load, Manifest, Model, Order, Region, Tenant, Vessel, VesselStatus,
};
use crate::refusal::{Bound, Refusal, Thing};
use crate::state::{Serving, State};
use crate::table::{Breach, Key, Row, Table};
use crate::units::{
    MicroUsd, Micros, Millijoules, ModelId, OrderId, RegionId, TenantId, Tokens, VesselId,
};
use crate::{allocator, queue, routing};

/// The longest name, in bytes.
pub(crate) const NAME_MAX: usize = 128;

/// The most orders that one vessel works on at once.
const SLOTS_MAX: u32 = 1 << 16;

/// The most that the largest order may take of a vessel, in microseconds (2.2 years), micro-dollars and
/// millijoules each: so the work of all that is aboard is a sum that never sticks.
const ORDER_MAX: u64 = 1 << 46;

pub(crate) fn register_tenant(tx: &mut Transaction, contract: &Tenant) -> Result<(), Refusal> {
    check_name(&contract.name)?;
    if contract.rate > 1_000_000 || (contract.rate > 0 && contract.burst == 0) {
        let fault = "rate is more than 1000000 a second, or burst is 0 under a rate".to_owned();
        return Err(Refusal::Invalid { fault });
    }
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.tenants);
    let known = state.index.tenants.get(&contract.name).copied();
    let tenant = place(known, &state.tables.tenants, Bound::Tenants, max)?;
    tx.emit(Event::TenantRegistered { tenant, contract: contract.clone() });
    Ok(())
}

pub(crate) fn register_region(
    tx: &mut Transaction,
    name: &str,
    hop: Micros,
) -> Result<(), Refusal> {
    check_name(name)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.regions);
    let known = state.index.regions.get(name).copied();
    let region = place(known, &state.tables.regions, Bound::Regions, max)?;
    tx.emit(Event::RegionRegistered { region, name: name.to_owned(), hop });
    Ok(())
}

pub(crate) fn register_model(tx: &mut Transaction, name: &str) -> Result<(), Refusal> {
    check_name(name)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.models);
    let known = state.index.models.get(name).copied();
    let model = place(known, &state.tables.models, Bound::Models, max)?;
    tx.emit(Event::ModelRegistered { model, name: name.to_owned() });
    Ok(())
}

pub(crate) fn register_vessel(
    tx: &mut Transaction,
    name: &str,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    check_name(name)?;
    check_manifest(tx.state(), manifest)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.vessels);
    let known = state.index.vessels.get(name).copied();
    if let Some(vessel) = known {
        check_failed_over(state, vessel)?;
    }
    let vessel = place(known, &state.tables.vessels, Bound::Vessels, max)?;
    tx.emit(Event::VesselRegistered { vessel, name: name.to_owned(), manifest: manifest.clone() });
    queue::pump(tx, vessel);
    Ok(())
}

pub(crate) fn heartbeat(tx: &mut Transaction, vessel: VesselId) -> Result<(), Refusal> {
    match status(tx.state(), vessel)? {
        VesselStatus::Lost => {
            check_failed_over(tx.state(), vessel)?;
            tx.emit(Event::VesselReturned { vessel });
            queue::pump(tx, vessel);
        }
        VesselStatus::Up | VesselStatus::Draining | VesselStatus::Drained => {
            tx.emit(Event::VesselSeen { vessel });
        }
    }
    Ok(())
}

/// Refuses to have a vessel back that was lost with orders which have not all been failed over yet:
/// nobody could tell them from those that it would be given.
fn check_failed_over(state: &State, vessel: VesselId) -> Result<(), Refusal> {
    let orders = state.tables.loads.get(vessel).map_or(0, |load| load.used);
    if orders > 0 && status(state, vessel)? == VesselStatus::Lost {
        return Err(Refusal::StillAboard { orders });
    }
    Ok(())
}

pub(crate) fn drain(tx: &mut Transaction, vessel: VesselId) -> Result<(), Refusal> {
    if status(tx.state(), vessel)? != VesselStatus::Up {
        return Err(Refusal::WrongStage);
    }
    tx.emit(Event::VesselDraining { vessel });
    drained_if_empty(tx, vessel);
    Ok(())
}

/// A draining vessel whose last leg has left it is drained.
pub(crate) fn drained_if_empty(tx: &mut Transaction, vessel: VesselId) {
    let tables = &tx.state().tables;
    let draining =
        tables.vessels.get(vessel).is_some_and(|row| row.status == VesselStatus::Draining);
    if draining && tables.loads.get(vessel).is_some_and(|load| load.used == 0) {
        tx.emit(Event::VesselDrained { vessel });
    }
}

pub(crate) fn lose(tx: &mut Transaction, vessel: VesselId) -> Result<(), Refusal> {
    if status(tx.state(), vessel)? == VesselStatus::Lost {
        return Err(Refusal::WrongStage);
    }
    tx.emit(Event::VesselLost { vessel, cause: LossCause::Reported });
    Ok(())
}

/// The orders that hold capacity of a vessel, in the order of their slots.
fn aboard(state: &State, vessel: VesselId) -> Vec<OrderId> {
    let holds = |order: &Order| {
        routing::capacity_legs(allocator::held(order)).any(|leg| leg.vessel == vessel)
    };
    let most = state.tables.loads.get(vessel).map_or(0, |load| load.used) as usize;
    let orders = state.tables.orders.iter().map(|(_, order)| order);
    orders.filter(|order| holds(order)).map(|order| order.id).take(most).collect()
}

/// The place of a name: where it stands, or the next free one within the bound.
fn place<K: Key, R: Row>(
    known: Option<K>,
    table: &Table<K, R>,
    bound: Bound,
    max: u32,
) -> Result<K, Refusal> {
    match known {
        Some(key) => Ok(key),
        None if table.len() < max => Ok(table.vacancy()),
        None => Err(Refusal::Full { bound, max: u64::from(max) }),
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        let fault = alloc::format!("name is empty, longer than {NAME_MAX} bytes or not printable");
        return Err(Refusal::Invalid { fault });
    }
    Ok(())
}

fn check_manifest(state: &State, manifest: &Manifest) -> Result<(), Refusal> {
    if state.tables.regions.get(manifest.region).is_none() {
        return Err(Refusal::Unknown { thing: Thing::Region, id: u64::from(manifest.region.0) });
    }
    let unknown = manifest.models.iter().find(|model| state.tables.models.get(**model).is_none());
    if let Some(model) = unknown {
        return Err(Refusal::Unknown { thing: Thing::Model, id: u64::from(model.0) });
    }
    let most = manifest.context_max;
    let time = allocator::prefill_time(manifest, most) + allocator::decode_time(manifest, most);
    let price = allocator::price_in(manifest, most, Tokens::ZERO)
        + allocator::price_in(manifest, most, most)
        + allocator::price_out(manifest, most);
    let fuel = allocator::fuel(manifest, most, most);
    let faults = [
        (manifest.models.is_empty(), "manifest.models is empty"),
        (manifest.models.len() > 64, "manifest.models has more than 64 models"),
        (manifest.slots == 0, "manifest.slots is 0"),
        (manifest.slots > SLOTS_MAX, "manifest.slots is above 65536"),
        (manifest.context_max == Tokens::ZERO, "manifest.context_max is 0"),
        (time.0 > ORDER_MAX, "an order of manifest.context_max takes more than 2^46 us"),
        (
            price.0 > ORDER_MAX,
            "an order of manifest.context_max costs more than 2^46 micro-dollars",
        ),
        (fuel.0 > ORDER_MAX, "an order of manifest.context_max burns more than 2^46 mJ"),
    ];
    match faults.iter().find(|(fault, _)| *fault) {
        Some((_, fault)) => Err(Refusal::Invalid { fault: String::from(*fault) }),
        None => Ok(()),
    }
}

fn status(state: &State, vessel: VesselId) -> Result<VesselStatus, Refusal> {
    let unknown = Refusal::Unknown { thing: Thing::Vessel, id: u64::from(vessel.0) };
    Ok(state.tables.vessels.get(vessel).ok_or(unknown)?.status)
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::TenantRegistered { tenant, contract } => fold_tenant(state, *tenant, contract),
        Event::RegionRegistered { region, name, hop } => fold_region(state, *region, name, *hop),
        Event::ModelRegistered { model, name } => fold_model(state, *model, name),
        Event::VesselRegistered { vessel, name, manifest } => {
            fold_vessel(state, *vessel, name, manifest)
        }
        Event::VesselSeen { vessel } => {
            state.tables.loads.edit(*vessel, state.seq)?.seen = state.now;
            state.wake_vessel(*vessel)
        }
        Event::VesselReturned { vessel } => {
            let load = state.tables.loads.edit(*vessel, state.seq)?;
            load.seen = state.now;
            forgive(load);
            fold_status(state, *vessel, VesselStatus::Up)
        }
        Event::VesselDraining { vessel } => fold_status(state, *vessel, VesselStatus::Draining),
        Event::VesselDrained { vessel } => fold_status(state, *vessel, VesselStatus::Drained),
        Event::VesselLost { vessel, .. } => {
            fold_status(state, *vessel, VesselStatus::Lost)?;
            // They are failed over by their timers, of which a record decides so many and no more.
            let now = state.now;
            let mut aboard = aboard(state, *vessel).into_iter();
            aboard.try_for_each(|order| state.wake_order(order, now))?;
            routing::forget_vessel(state, *vessel)
        }
        _ => Ok(()),
    }
}

fn fold_tenant(state: &mut State, tenant: TenantId, contract: &Tenant) -> Result<(), Breach> {
    state.index.tenants.insert(contract.name.clone(), tenant);
    state.tables.tenants.put(tenant, contract.clone(), state.seq)?;
    if state.tables.accounts.get(tenant).is_none() {
        let account = Account {
            arrival: Micros::ZERO,
            live: 0,
            ended: [0; 5],
            tokens_in: Tokens::ZERO,
            cached: Tokens::ZERO,
            tokens_out: Tokens::ZERO,
            cost: MicroUsd::ZERO,
            energy: Millijoules::ZERO,
        };
        state.tables.accounts.insert(tenant, account, state.seq)?;
    }
    Ok(())
}

fn fold_region(state: &mut State, region: RegionId, name: &str, hop: Micros) -> Result<(), Breach> {
    state.index.regions.insert(name.to_owned(), region);
    state.tables.regions.put(region, Region { name: name.to_owned(), hop }, state.seq)?;
    Ok(())
}

fn fold_model(state: &mut State, model: ModelId, name: &str) -> Result<(), Breach> {
    state.index.models.insert(name.to_owned(), model);
    state.tables.models.put(model, Model { name: name.to_owned() }, state.seq)?;
    let count = (model.0 as usize).saturating_add(1).max(state.index.serving.len());
    state.index.serving.resize_with(count, Serving::default);
    Ok(())
}

fn fold_vessel(
    state: &mut State,
    vessel: VesselId,
    name: &str,
    manifest: &Manifest,
) -> Result<(), Breach> {
    let before = state.tables.vessels.get(vessel);
    let lost = before.is_some_and(|row| row.status == VesselStatus::Lost);
    let before = before.map(|row| row.manifest.models.clone());
    state.index.vessels.insert(name.to_owned(), vessel);
    let row =
        Vessel { name: name.to_owned(), status: VesselStatus::Up, manifest: manifest.clone() };
    state.tables.vessels.put(vessel, row, state.seq)?;
    if state.tables.loads.get(vessel).is_none() {
        let load = Load {
            used: 0,
            failures: 0,
            backlog: Micros::ZERO,
            seen: state.now,
            breaker: Breaker::Closed,
            retry_at: Micros::ZERO,
            wake: Micros::MAX,
            completed: 0,
            failed: 0,
        };
        state.tables.loads.insert(vessel, load, state.seq)?;
    }
    let load = state.tables.loads.edit(vessel, state.seq)?;
    load.seen = state.now;
    if lost {
        forgive(load);
    }
    state.refresh_up(vessel, &before.unwrap_or_default());
    state.wake_vessel(vessel)
}

/// A vessel that comes back begins anew: whatever failed on it is gone with what it had.
fn forgive(load: &mut Load) {
    load.failures = 0;
    load.breaker = Breaker::Closed;
}

fn fold_status(state: &mut State, vessel: VesselId, status: VesselStatus) -> Result<(), Breach> {
    state.tables.vessels.edit(vessel, state.seq)?.status = status;
    state.refresh_up(vessel, &[]);
    state.wake_vessel(vessel)
}
