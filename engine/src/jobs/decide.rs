//! What is done to the fleet step by step: commands about jobs. How a job goes on is in [`conduct`].

mod conduct;

use alloc::boxed::Box;

use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::jobs::rows::{Cause, JOBS_MAX, Job, JobEnd, STEPS_MAX, Spec, Standing, Task, Work};
use crate::jobs::words::{Command, Event, Refusal as Jobs, Reported, StepEnd};
use crate::kernel::units::{JobId, JobSlot, OrderId, Ppm, VesselId};
use crate::models::decide::{check_manifest, check_name};
use crate::models::rows::{Kind, Stage, VesselStatus};
use crate::models::words::{Refusal as Models, Thing};
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::Transaction;

pub(crate) use conduct::conduct;

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::StartJob { name, spec } => start(tx, name, spec),
        Command::PauseJob { job } => set_paused(tx, *job, true),
        Command::ResumeJob { job } => set_paused(tx, *job, false),
        Command::CancelJob { job } => cancel(tx, *job),
        Command::ReportStep { job, step, attempt, outcome } => {
            Ok(report(tx, *job, *step, *attempt, *outcome)?)
        }
    }
}

fn start(tx: &mut Transaction, name: &str, spec: &Spec) -> Result<(), Refusal> {
    check_name(name)?;
    if let Some(fault) = spec.faults().into_iter().next() {
        return Err(Jobs::Invalid { fault }.into());
    }
    let state = tx.state();
    if state.tables.jobs.len() >= JOBS_MAX {
        return Err(Config::Full { bound: Bound::Jobs, max: u64::from(JOBS_MAX) }.into());
    }
    if spec.steps_most() > STEPS_MAX {
        return Err(Config::Full { bound: Bound::JobSteps, max: STEPS_MAX as u64 }.into());
    }
    for vessel in spec.work.vessels() {
        check_vessel(state, *vessel)?;
    }
    match &spec.work {
        Work::Drain { .. } => {}
        Work::Rollout { manifest, .. } => check_manifest(state, manifest)?,
        Work::Checkpoint { order } => check_order(state, *order)?,
    }
    let (job, slot) = (JobId(tx.stamp().seq.0), state.tables.jobs.vacancy());
    tx.emit(Event::JobStarted { job, slot, name: name.into(), spec: Box::new(spec.clone()) });
    conduct(tx, slot);
    Ok(())
}

/// A vessel that is there, and has no job.
fn check_vessel(state: &State, vessel: VesselId) -> Result<(), Refusal> {
    let unknown = Models::Unknown { thing: Thing::Vessel, id: u64::from(vessel.0) };
    if state.tables.vessels.get(vessel).ok_or(unknown)?.status == VesselStatus::Retired {
        return Err(Models::WrongStatus.into());
    }
    let taken = state.index.jobs.get(&vessel).and_then(|slot| state.tables.jobs.get(*slot));
    taken.map_or(Ok(()), |job| Err(Jobs::Taken { vessel, job: job.id }.into()))
}

/// A training order that is being worked.
fn check_order(state: &State, id: OrderId) -> Result<(), Refusal> {
    let order = state.order(id).filter(|order| order.stage == Stage::Running);
    match order {
        None => Err(Jobs::NotRunning { order: id.number() }.into()),
        Some(order) if order.demand.kind != Kind::Training => {
            Err(Jobs::Invalid { fault: "order is no training".into() }.into())
        }
        Some(_) => Ok(()),
    }
}

fn set_paused(tx: &mut Transaction, id: JobId, paused: bool) -> Result<(), Refusal> {
    let (slot, job) = live(tx.state(), id)?;
    if job.paused == paused {
        return Err(Jobs::WrongPhase.into());
    }
    tx.emit(if paused { Event::JobPaused { job: id } } else { Event::JobResumed { job: id } });
    conduct(tx, slot);
    Ok(())
}

fn cancel(tx: &mut Transaction, id: JobId) -> Result<(), Refusal> {
    let (slot, job) = live(tx.state(), id)?;
    if job.cause.is_some() {
        return Err(Jobs::WrongPhase.into());
    }
    let undo = job.spec.undo;
    conduct::give_up(tx, slot);
    let changed = tx.state().tables.jobs.get(slot).is_some_and(|job| !job.undoing().is_empty());
    if undo && changed {
        tx.emit(Event::JobRolledBack {
            job: id,
            cause: Cause::Cancelled,
            step: None,
            vessel: VesselId::NONE,
            calls: 0,
            failing: Ppm::ZERO,
            slow: Ppm::ZERO,
        });
        conduct(tx, slot);
    } else {
        conduct::finish(tx, slot, JobEnd::Cancelled);
    }
    Ok(())
}

fn report(
    tx: &mut Transaction,
    id: JobId,
    place: u16,
    attempt: u16,
    outcome: Reported,
) -> Result<(), Jobs> {
    let (slot, job) = live(tx.state(), id)?;
    let step = job.steps.get(usize::from(place)).ok_or(Jobs::Stale)?;
    if step.standing != Standing::Running || step.attempts != attempt {
        return Err(Jobs::Stale);
    }
    match (step.task, outcome) {
        (Task::Checkpoint, Reported::Done) => {
            tx.emit(Event::StepEnded { job: id, step: place, outcome: StepEnd::Done });
        }
        (Task::Checkpoint | Task::Install | Task::Restore, Reported::Failed) => {
            conduct::fail(tx, slot, place, StepEnd::Failed);
        }
        _ => return Err(Jobs::NotReported),
    }
    conduct(tx, slot);
    Ok(())
}

fn live(state: &State, id: JobId) -> Result<(JobSlot, &Job), Jobs> {
    let found = state.tables.jobs.iter().find(|(_, job)| job.id == id);
    found.ok_or(Jobs::Unknown { job: id })
}
