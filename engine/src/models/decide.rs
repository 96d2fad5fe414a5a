//! Who may take part, and whether a vessel is there.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::allocator::cost;
use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::image::Image;
use crate::kernel::table::{Row, Table};
use crate::kernel::units::{Key, MicroUsd, Micros, Tokens, VesselId};
use crate::models::rows::{Manifest, Tenant, VesselStatus};
use crate::models::words::{Command, Event, LossCause, Refusal as Models, Thing};
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::Transaction;

/// The longest name, in bytes.
const NAME_MAX: usize = 128;

/// The most orders that one vessel works on at once.
const SLOTS_MAX: u32 = 1 << 16;

/// The most that the largest order may take of a vessel, in microseconds (2.2 years) and in millijoules:
/// so the work of all that is aboard is a sum that never sticks.
const ORDER_MAX: u64 = 1 << 46;
/// The most that one may cost, in micro-dollars: so exact sums over sixteen attempts and eight bounces do not
/// overflow.
const PRICE_MAX: u64 = 1 << 39;
/// The longest that a vessel may take to join: a day.
const JOINING_MOST: Micros = Micros(86_400_000_000);
/// The most that a million tokens may cost, in micro-dollars.
const PRICE_OF_A_MILLION_MAX: MicroUsd = MicroUsd(1_000_000_000);

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::RegisterTenant(contract) => register_tenant(tx, contract),
        Command::RegisterRegion { name, hop, transfer } => {
            register_region(tx, name, *hop, *transfer)
        }
        Command::RegisterModel { name } => register_model(tx, name),
        Command::Announce { name, manifest, within } => announce(tx, name, manifest, *within),
        Command::RegisterVessel { name, manifest, start } => {
            register_vessel(tx, name, manifest, *start)
        }
        Command::Heartbeat { vessel, start } => heartbeat(tx, *vessel, *start),
        Command::Drain { vessel } => drain(tx, *vessel),
        Command::Lose { vessel } => {
            if is_past(status(tx.state(), *vessel)?) {
                return Err(Models::WrongStatus.into());
            }
            lose(tx, *vessel, LossCause::Reported);
            Ok(())
        }
        Command::Retire { vessel } => retire(tx, *vessel),
    }
}

fn register_tenant(tx: &mut Transaction, contract: &Tenant) -> Result<(), Refusal> {
    check_name(&contract.name)?;
    for (of, allowance) in [("orders", &contract.orders), ("tokens", &contract.tokens)] {
        if let Some(fault) = allowance.fault() {
            return Err(Models::Invalid { fault: format!("{of}.{fault}") }.into());
        }
    }
    if let Some(fault) = contract.sla.fault() {
        return Err(Models::Invalid { fault: format!("sla.{fault}") }.into());
    }
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.tenants);
    let known = state.index.parties.tenants.get(&contract.name).copied();
    let tenant = place(known, &state.tables.tenants, Bound::Tenants, max)?;
    tx.emit(Event::TenantRegistered { tenant, contract: Box::new(contract.clone()) });
    Ok(())
}

fn register_region(
    tx: &mut Transaction,
    name: &str,
    hop: Micros,
    transfer: Micros,
) -> Result<(), Refusal> {
    check_name(name)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.regions);
    let known = state.index.parties.regions.get(name).copied();
    let region = place(known, &state.tables.regions, Bound::Regions, max)?;
    tx.emit(Event::RegionRegistered { region, name: name.to_owned(), hop, transfer });
    Ok(())
}

fn register_model(tx: &mut Transaction, name: &str) -> Result<(), Refusal> {
    check_name(name)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.models);
    let known = state.index.parties.models.get(name).copied();
    let model = place(known, &state.tables.models, Bound::Models, max)?;
    tx.emit(Event::ModelRegistered { model, name: name.to_owned() });
    Ok(())
}

fn register_vessel(
    tx: &mut Transaction,
    name: &str,
    manifest: &Manifest,
    start: u64,
) -> Result<(), Refusal> {
    check_name(name)?;
    check_manifest(tx.state(), manifest)?;
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.vessels);
    let known = state.index.parties.vessels.get(name).copied();
    if let Some(vessel) = known {
        check_failed_over(state, vessel)?;
    }
    let vessel = place(known, &state.tables.vessels, Bound::Vessels, max)?;
    restart(tx, vessel, start)?;
    tx.emit(Event::VesselRegistered {
        vessel,
        name: name.to_owned(),
        manifest: Box::new(manifest.clone()),
        start,
    });
    tx.note_vessel(vessel);
    Ok(())
}

/// Announces a vessel that is not there: a new one, or one that is gone or sent away and will begin anew.
fn announce(
    tx: &mut Transaction,
    name: &str,
    manifest: &Manifest,
    within: Micros,
) -> Result<(), Refusal> {
    check_name(name)?;
    check_manifest(tx.state(), manifest)?;
    if within == Micros::ZERO || within > JOINING_MOST {
        return Err(Models::Invalid { fault: String::from("within is 0 or above a day") }.into());
    }
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.vessels);
    let known = state.index.parties.vessels.get(name).copied();
    if let Some(vessel) = known {
        check_failed_over(state, vessel)?;
        let status = status(state, vessel)?;
        if !matches!(status, VesselStatus::Drained | VesselStatus::Joining) && !is_past(status) {
            return Err(Models::WrongStatus.into());
        }
    }
    let vessel = place(known, &state.tables.vessels, Bound::Vessels, max)?;
    tx.emit(Event::VesselAnnounced {
        vessel,
        name: name.to_owned(),
        manifest: Box::new(manifest.clone()),
        joins: state.now() + within,
    });
    Ok(())
}

/// Whether what a vessel was is over.
fn is_past(status: VesselStatus) -> bool {
    matches!(status, VesselStatus::Lost | VesselStatus::Retired)
}

fn heartbeat(tx: &mut Transaction, vessel: VesselId, start: u64) -> Result<(), Refusal> {
    let status = status(tx.state(), vessel)?;
    if status == VesselStatus::Retired {
        return Err(Models::WrongStatus.into());
    }
    if status == VesselStatus::Lost {
        check_failed_over(tx.state(), vessel)?;
    }
    restart(tx, vessel, start)?;
    match status {
        VesselStatus::Lost => tx.emit(Event::VesselReturned { vessel, start }),
        VesselStatus::Joining => tx.emit(Event::VesselJoined { vessel, start }),
        _ => {
            tx.emit(Event::VesselSeen { vessel, start });
            return Ok(());
        }
    }
    tx.note_vessel(vessel);
    Ok(())
}

/// Takes notice that a vessel has begun anew, where its start has another number than was known; refuses
/// what an earlier start says.
fn restart(tx: &mut Transaction, vessel: VesselId, start: u64) -> Result<(), Refusal> {
    let Some(row) = tx.state().tables.vessels.get(vessel) else { return Ok(()) };
    let gone = matches!(row.status, VesselStatus::Lost | VesselStatus::Joining);
    let known = row.start;
    // Who was there before it was announced is not who is on its way.
    let before = row.status == VesselStatus::Joining && start == known;
    if start != 0 && (start < known || before) {
        return Err(Models::Superseded { start: known }.into());
    }
    // What is lost has lost all that it had already.
    if known != 0 && start > known && !gone {
        tx.emit(Event::VesselRestarted { vessel, start });
        tx.note_vessel(vessel);
    }
    Ok(())
}

/// A vessel that is lost or drained does not come back by itself any more.
fn retire(tx: &mut Transaction, vessel: VesselId) -> Result<(), Refusal> {
    if !matches!(status(tx.state(), vessel)?, VesselStatus::Lost | VesselStatus::Drained) {
        return Err(Models::WrongStatus.into());
    }
    check_failed_over(tx.state(), vessel)?;
    tx.emit(Event::VesselRetired { vessel });
    Ok(())
}

/// Refuses to have a vessel back that was lost with orders which have not all been failed over yet:
/// nobody could tell them from those that it would be given.
fn check_failed_over(state: &State, vessel: VesselId) -> Result<(), Refusal> {
    let orders = state.tables.loads.get(vessel).map_or(0, |load| load.used);
    if orders > 0 && status(state, vessel)? == VesselStatus::Lost {
        return Err(Models::StillAboard { orders }.into());
    }
    Ok(())
}

pub(crate) fn drain(tx: &mut Transaction, vessel: VesselId) -> Result<(), Refusal> {
    if status(tx.state(), vessel)? != VesselStatus::Up {
        return Err(Models::WrongStatus.into());
    }
    tx.emit(Event::VesselDraining { vessel });
    left(tx, vessel);
    Ok(())
}

/// A vessel that a leg has left may have room; one that drains and has nothing aboard is drained.
pub(crate) fn left(tx: &mut Transaction, vessel: VesselId) {
    let tables = &tx.state().tables;
    let draining =
        tables.vessels.get(vessel).is_some_and(|row| row.status == VesselStatus::Draining);
    if draining && tables.loads.get(vessel).is_some_and(|load| load.used == 0) {
        tx.emit(Event::VesselDrained { vessel });
    }
    tx.note_vessel(vessel);
}

/// A vessel that began anew has nothing left of what it had aboard before.
pub(crate) fn back(tx: &mut Transaction, vessel: VesselId) {
    tx.emit(Event::VesselReturned { vessel, start: 0 });
    tx.note_vessel(vessel);
}

/// A vessel is gone. What it had aboard is failed over by whoever looks at it, which is due at once.
pub(crate) fn lose(tx: &mut Transaction, vessel: VesselId, cause: LossCause) {
    tx.emit(Event::VesselLost { vessel, cause });
    // For whom it is kept looks for another one.
    tx.note_vessel(vessel);
}

/// The place of a name: where it stands, or the next free one within the bound.
fn place<K: Key, R: Row + Image>(
    known: Option<K>,
    table: &Table<K, R>,
    bound: Bound,
    max: u32,
) -> Result<K, Refusal> {
    match known {
        Some(key) => Ok(key),
        None if table.len() < max => Ok(table.vacancy()),
        None => Err(Config::Full { bound, max: u64::from(max) }.into()),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        let fault = alloc::format!("name is empty, longer than {NAME_MAX} bytes or not printable");
        return Err(Models::Invalid { fault }.into());
    }
    Ok(())
}

pub(crate) fn check_manifest(state: &State, manifest: &Manifest) -> Result<(), Refusal> {
    if state.tables.regions.get(manifest.region).is_none() {
        let id = u64::from(manifest.region.0);
        return Err(Models::Unknown { thing: Thing::Region, id }.into());
    }
    let unknown = manifest.models.iter().find(|model| state.tables.models.get(**model).is_none());
    if let Some(model) = unknown {
        return Err(Models::Unknown { thing: Thing::Model, id: u64::from(model.0) }.into());
    }
    let most = manifest.context_max;
    let time = cost::prefill_time(manifest, most) + cost::decode_time(manifest, most);
    let price = cost::price_in(manifest, most, Tokens::ZERO)
        + cost::price_in(manifest, most, most)
        + cost::price_out(manifest, most);
    let fuel = cost::fuel(manifest, most, most);
    let dearest = manifest.price_in.max(manifest.price_cached).max(manifest.price_out);
    let faults = [
        (manifest.models.is_empty(), "manifest.models is empty"),
        (manifest.models.len() > 64, "manifest.models has more than 64 models"),
        (manifest.slots == 0, "manifest.slots is 0"),
        (manifest.slots > SLOTS_MAX, "manifest.slots is above 65536"),
        (manifest.context_max == Tokens::ZERO, "manifest.context_max is 0"),
        (
            dearest > PRICE_OF_A_MILLION_MAX,
            "a price is above 1000000000 micro-dollars a million tokens",
        ),
        (time.0 > ORDER_MAX, "an order of manifest.context_max takes more than 2^46 us"),
        (
            price.0 > PRICE_MAX,
            "an order of manifest.context_max costs more than 2^39 micro-dollars",
        ),
        (fuel.0 > ORDER_MAX, "an order of manifest.context_max burns more than 2^46 mJ"),
    ];
    match faults.iter().find(|(fault, _)| *fault) {
        Some((_, fault)) => Err(Models::Invalid { fault: String::from(*fault) }.into()),
        None => Ok(()),
    }
}

fn status(state: &State, vessel: VesselId) -> Result<VesselStatus, Refusal> {
    let unknown = Models::Unknown { thing: Thing::Vessel, id: u64::from(vessel.0) };
    Ok(state.tables.vessels.get(vessel).ok_or(unknown)?.status)
}
