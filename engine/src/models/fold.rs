//! How those who take part come, change and go.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use crate::kernel::table::Breach;
use crate::kernel::units::{
    MicroUsd, Micros, Millijoules, ModelId, OrderSlot, RegionId, TenantId, Tokens, VesselId,
};
use crate::models::rows::{Load, Manifest, Model, Pace, Region, Tenant, Vessel, VesselStatus};
use crate::models::words::Event;
use crate::policy::fold::note_promise;
use crate::resilience::rows::{Breaker, Outcomes};
use crate::state::State;
use crate::telemetry::fold::open_budget;
use crate::telemetry::rows::Account;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::TenantRegistered { tenant, contract } => fold_tenant(state, *tenant, contract),
        Event::RegionRegistered { region, name, hop, transfer } => {
            let row = Region { name: name.clone(), hop: *hop, transfer: *transfer };
            fold_region(state, *region, row)
        }
        Event::ModelRegistered { model, name } => fold_model(state, *model, name),
        Event::VesselRegistered { vessel, name, manifest, start } => {
            fold_vessel(state, *vessel, name, manifest, *start)?;
            state.wake_jobs_of(*vessel)
        }
        Event::VesselAnnounced { vessel, name, manifest, joins } => {
            fold_announced(state, *vessel, name, manifest, *joins)
        }
        Event::VesselJoined { vessel, start } => {
            let now = state.now;
            alter_load(state, *vessel, |load| load.seen = now)?;
            alter_vessel(state, *vessel, |row| {
                row.status = VesselStatus::Up;
                row.joins = Micros::ZERO;
                row.start = row.start.max(*start);
            })?;
            state.wake_vessel(*vessel)?;
            state.wake_jobs_of(*vessel)
        }
        Event::VesselSeen { vessel, start } => {
            state.tables.loads.edit(*vessel, &mut state.writer)?.seen = state.now;
            if *start != 0 && state.tables.vessels.get(*vessel).is_some_and(|row| row.start == 0) {
                state.tables.vessels.edit(*vessel, &mut state.writer)?.start = *start;
            }
            state.wake_vessel(*vessel)
        }
        Event::VesselReturned { vessel, start } => {
            let now = state.now;
            alter_load(state, *vessel, |load| {
                load.seen = now;
                forgive(load);
            })?;
            alter_vessel(state, *vessel, |row| {
                row.status = if row.held { VesselStatus::Drained } else { VesselStatus::Up };
                row.start = row.start.max(*start);
            })?;
            state.wake_vessel(*vessel)?;
            state.wake_jobs_of(*vessel)
        }
        Event::VesselDraining { vessel } => {
            alter_vessel(state, *vessel, |row| {
                row.status = VesselStatus::Draining;
                row.held = true;
            })?;
            state.wake_vessel(*vessel)
        }
        Event::VesselDrained { vessel } => fold_status(state, *vessel, VesselStatus::Drained),
        Event::VesselLost { vessel, .. } => {
            // Whatever its cache held is gone with it.
            let load = state.tables.loads.edit(*vessel, &mut state.writer)?;
            load.starts = load.starts.saturating_add(1);
            fold_status(state, *vessel, VesselStatus::Lost)
        }
        Event::VesselRestarted { vessel, start } => {
            alter_load(state, *vessel, |load| {
                load.starts = load.starts.saturating_add(1);
                forgive(load);
            })?;
            let idle = state.tables.loads.get(*vessel).is_some_and(|load| load.used == 0);
            alter_vessel(state, *vessel, |row| {
                row.start = *start;
                if !idle {
                    row.status = VesselStatus::Restarting;
                }
            })?;
            state.wake_vessel(*vessel)?;
            state.wake_jobs_of(*vessel)
        }
        Event::VesselRetired { vessel } => {
            let manifest = state.tables.vessels.edit(*vessel, &mut state.writer)?.manifest.clone();
            size(state, Some(&manifest), None);
            fold_status(state, *vessel, VesselStatus::Retired)
        }
    }
}

/// Changes what a vessel has aboard in a way that may open or close it.
pub(crate) fn alter_load(
    state: &mut State,
    id: VesselId,
    change: impl FnOnce(&mut Load),
) -> Result<(), Breach> {
    let (tables, parties) = (&mut state.tables, &mut state.index.parties);
    let vessel = tables.vessels.get(id);
    let load = tables.loads.edit(id, &mut state.writer)?;
    if let Some(vessel) = vessel {
        parties.leave(id, vessel, load);
    }
    change(load);
    if let Some(vessel) = vessel {
        parties.enter(id, vessel, load);
    }
    Ok(())
}

/// Changes what seldom changes about a vessel.
fn alter_vessel(
    state: &mut State,
    id: VesselId,
    change: impl FnOnce(&mut Vessel),
) -> Result<(), Breach> {
    let (tables, parties) = (&mut state.tables, &mut state.index.parties);
    let load = tables.loads.get(id);
    let vessel = tables.vessels.edit(id, &mut state.writer)?;
    if let Some(load) = load {
        parties.leave(id, vessel, load);
    }
    change(vessel);
    if let Some(load) = load {
        parties.enter(id, vessel, load);
    }
    Ok(())
}

fn fold_tenant(state: &mut State, tenant: TenantId, contract: &Tenant) -> Result<(), Breach> {
    state.index.parties.tenants.insert(contract.name.clone(), tenant);
    state.tables.tenants.put(tenant, contract.clone(), &mut state.writer)?;
    if state.tables.accounts.get(tenant).is_none() {
        let account = Account {
            arrival: Micros::ZERO,
            token_arrival: Micros::ZERO,
            live: 0,
            ended: [0; 5],
            tokens_in: Tokens::ZERO,
            cached: Tokens::ZERO,
            tokens_out: Tokens::ZERO,
            energy: Millijoules::ZERO,
            cost: MicroUsd::ZERO,
            burnt: MicroUsd::ZERO,
            cost_picos: 0,
            burnt_picos: 0,
            queued: 0,
        };
        state.tables.accounts.insert(tenant, account, &mut state.writer)?;
    }
    if contract.budget > MicroUsd::ZERO {
        open_budget(state, tenant)?;
    }
    note_promise(state, tenant, &contract.sla)
}

fn fold_region(state: &mut State, region: RegionId, row: Region) -> Result<(), Breach> {
    state.index.parties.regions.insert(row.name.clone(), region);
    state.tables.regions.put(region, row, &mut state.writer)
}

fn fold_model(state: &mut State, model: ModelId, name: &str) -> Result<(), Breach> {
    let turns = state.tables.models.get(model).map_or(0, |row| row.turns);
    let row = Model { name: name.to_owned(), turns };
    state.tables.models.put(model, row, &mut state.writer)?;
    state.index.parties.models.insert(name.to_owned(), model);
    state.index.parties.serve(model);
    Ok(())
}

fn fold_vessel(
    state: &mut State,
    vessel: VesselId,
    name: &str,
    manifest: &Manifest,
    start: u64,
) -> Result<(), Breach> {
    let now = state.now;
    let known = state.tables.vessels.get(vessel);
    let before = known.map(|row| row.status);
    let lost = matches!(before, Some(VesselStatus::Lost | VesselStatus::Retired));
    // What has begun anew with orders aboard is up once they have been failed over.
    let restarting = before == Some(VesselStatus::Restarting);
    let row = Vessel {
        name: name.to_owned(),
        status: if restarting { VesselStatus::Restarting } else { VesselStatus::Up },
        held: false,
        start: known.map_or(0, |row| row.start).max(start),
        joins: Micros::ZERO,
        manifest: manifest.clone(),
    };
    put_vessel(state, vessel, row, |load| {
        load.seen = now;
        if lost {
            forgive(load);
        }
    })
}

/// Whatever a vessel was before, it will begin anew.
fn fold_announced(
    state: &mut State,
    vessel: VesselId,
    name: &str,
    manifest: &Manifest,
    joins: Micros,
) -> Result<(), Breach> {
    let known = state.tables.vessels.get(vessel);
    let row = Vessel {
        name: name.to_owned(),
        status: VesselStatus::Joining,
        held: false,
        start: known.map_or(0, |row| row.start),
        joins,
        manifest: manifest.clone(),
    };
    put_vessel(state, vessel, row, |load| {
        load.starts = load.starts.saturating_add(1);
        forgive(load);
    })
}

/// Has a vessel be this, and changes what is known of it; of a new one nothing is.
fn put_vessel(
    state: &mut State,
    vessel: VesselId,
    row: Vessel,
    change: impl FnOnce(&mut Load),
) -> Result<(), Breach> {
    let (now, known) = (state.now, state.tables.vessels.get(vessel));
    let (is_known, manifest) = (known.is_some(), row.manifest.clone());
    let sized = known.filter(|row| row.status != VesselStatus::Retired);
    let sized = sized.map(|row| row.manifest.clone());
    state.index.parties.vessels.insert(row.name.clone(), vessel);
    size(state, sized.as_ref(), Some(&manifest));
    if is_known {
        alter_vessel(state, vessel, |known| *known = row)?;
        alter_load(state, vessel, change)?;
        return state.wake_vessel(vessel);
    }
    let load = Load {
        used: 0,
        kept: 0,
        starts: 0,
        failures: 0,
        probes: 0,
        trips: 0,
        pauses: 0,
        paused: Micros::ZERO,
        turned: Micros::ZERO,
        outcomes: Outcomes::default(),
        pace: Pace::default(),
        backlog: Micros::ZERO,
        prompts: Micros::ZERO,
        seen: now,
        breaker: Breaker::Closed,
        retry_at: Micros::ZERO,
        wake: Micros::MAX,
        completed: 0,
        failed: 0,
        held: Tokens::ZERO,
        keeps_for: OrderSlot::NONE,
    };
    // Rows first: they are bounded, and what is found by them is as long as there are rows.
    state.tables.vessels.insert(vessel, row.clone(), &mut state.writer)?;
    state.tables.loads.insert(vessel, load.clone(), &mut state.writer)?;
    state.index.parties.enter(vessel, &row, &load);
    state.wake_vessel(vessel)
}

/// Notes what a vessel holds and asks from now on: by the one those who wait are set apart, by the other
/// money is.
fn size(state: &mut State, before: Option<&Manifest>, manifest: Option<&Manifest>) {
    if before == manifest {
        return;
    }
    let index = &mut state.index;
    let mut models: Vec<ModelId> =
        manifest.into_iter().flat_map(|manifest| index.parties.size(manifest, true)).collect();
    models.extend(before.into_iter().flat_map(|known| index.parties.size(known, false)));
    models.iter().for_each(|model| index.queues.refit(*model, &state.tables, &index.parties));
}

/// A vessel that comes back begins anew: whatever failed on it is gone with what it had.
fn forgive(load: &mut Load) {
    load.failures = 0;
    load.trips = 0;
    load.pauses = 0;
    load.paused = Micros::ZERO;
    load.outcomes = Outcomes::default();
    load.pace = Pace::default();
    load.prompts = Micros::ZERO;
    load.breaker = Breaker::Closed;
}

fn fold_status(state: &mut State, vessel: VesselId, status: VesselStatus) -> Result<(), Breach> {
    alter_vessel(state, vessel, |vessel| {
        (vessel.status, vessel.joins) = (status, Micros::ZERO);
    })?;
    state.wake_vessel(vessel)?;
    state.wake_jobs_of(vessel)
}

/// The vessel of a route that is gone: not always the one that was at work.
pub(crate) fn lost_of(state: &State, held: &[crate::models::rows::Leg]) -> Option<VesselId> {
    held.iter().map(|leg| leg.vessel).find(|vessel| is_gone(state, *vessel))
}

/// Whether whatever a vessel has aboard is gone.
pub(crate) fn is_gone(state: &State, vessel: VesselId) -> bool {
    state.tables.vessels.get(vessel).is_some_and(|row| row.status.is_gone())
}
