//! How a job comes, goes from step to step, and ends. Whatever is decided about one has it looked at again at
//! once, until it is said to wait.

use alloc::boxed::Box;
use alloc::string::String;

use crate::jobs::rows::{Job, Spec, Standing, Step, Task, Wait};
use crate::jobs::words::{Event, StepEnd};
use crate::kernel::table::{Breach, Problem};
use crate::kernel::units::{JobId, JobSlot, Micros, VesselId};
use crate::models::fold::alter_load;
use crate::resilience::rows::Outcomes;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::JobStarted { job, slot, name, spec } => {
            fold_started(state, *job, *slot, name.clone(), spec)
        }
        Event::StepBegan { job, step, attempt, vessel, until, .. } => {
            fold_began(state, *job, *step, (*attempt, *vessel, *until))
        }
        Event::StepEnded { job, step, outcome } => fold_ended(state, *job, *step, *outcome),
        Event::StepRetried { job, step, at, .. } => {
            let (_, row) = edit_step(state, *job, *step)?;
            row.standing = Standing::Waiting;
            row.until = *at;
            look_again(state, *job)
        }
        Event::JobWaits { job, wait, until } => {
            let (slot, row) = edit_job(state, *job)?;
            row.waits = *wait;
            state.wake_job(slot, *until)
        }
        Event::JobPaused { job } => set_paused(state, *job, true),
        Event::JobResumed { job } => set_paused(state, *job, false),
        Event::JobPromoted { job, .. } => look_again(state, *job),
        Event::JobRolledBack { job, cause, .. } => {
            let (_, row) = edit_job(state, *job)?;
            row.cause = Some(*cause);
            let waiting = row.steps.iter_mut().filter(|step| step.standing == Standing::Waiting);
            waiting.for_each(|step| step.standing = Standing::Skipped);
            let undoing = row.undoing();
            row.steps.extend(undoing);
            look_again(state, *job)
        }
        Event::JobEnded { job, .. } => {
            let slot = slot_of(state, *job)?;
            state.index.jobs.retain(|_, of| *of != slot);
            state.tables.jobs.remove(slot, &mut state.writer)
        }
    }
}

fn fold_started(
    state: &mut State,
    id: JobId,
    slot: JobSlot,
    name: String,
    spec: &Spec,
) -> Result<(), Breach> {
    let row = Job {
        id,
        since: state.now,
        wake: Micros::MAX,
        name,
        spec: spec.clone(),
        steps: spec.work.steps(),
        cause: None,
        waits: Wait::Step,
        paused: false,
    };
    state.tables.jobs.insert(slot, row, &mut state.writer)?;
    state.index.jobs.extend(spec.work.vessels().iter().map(|vessel| (*vessel, slot)));
    state.wake_job(slot, state.now)
}

fn fold_began(
    state: &mut State,
    job: JobId,
    place: u16,
    (attempt, vessel, until): (u16, VesselId, Micros),
) -> Result<(), Breach> {
    let now = state.now;
    let carried = state.tables.vessels.get(vessel).map(|row| Box::new(row.manifest.clone()));
    let (_, step) = edit_step(state, job, place)?;
    step.standing = Standing::Running;
    step.attempts = attempt;
    step.vessel = vessel;
    step.began = now;
    step.until = until;
    if step.task == Task::Drain && step.undoes.is_none() {
        step.before = carried;
    }
    look_again(state, job)
}

fn fold_ended(state: &mut State, id: JobId, place: u16, outcome: StepEnd) -> Result<(), Breach> {
    let (_, step) = edit_step(state, id, place)?;
    step.standing = match outcome {
        StepEnd::Done => Standing::Done,
        StepEnd::Retired => Standing::Skipped,
        _ => Standing::Failed,
    };
    let (task, vessel) = (step.task, step.vessel);
    if outcome == StepEnd::Done && task == Task::Restore {
        let (_, job) = edit_job(state, id)?;
        let undone = |step: &&mut Step| {
            let begun = matches!(step.standing, Standing::Done | Standing::Failed);
            step.vessel == vessel && step.undoes.is_none() && begun
        };
        job.steps.iter_mut().filter(undone).for_each(|step| step.standing = Standing::Compensated);
    }
    if outcome == StepEnd::Done && task == Task::Install {
        // What it did with its old manifest says nothing about the new one.
        alter_load(state, vessel, |load| {
            load.outcomes = Outcomes::default();
            load.failures = 0;
        })?;
    }
    look_again(state, id)
}

fn set_paused(state: &mut State, job: JobId, paused: bool) -> Result<(), Breach> {
    edit_job(state, job)?.1.paused = paused;
    look_again(state, job)
}

fn look_again(state: &mut State, job: JobId) -> Result<(), Breach> {
    let slot = slot_of(state, job)?;
    state.wake_job(slot, state.now)
}

fn slot_of(state: &State, id: JobId) -> Result<JobSlot, Breach> {
    let jobs = &state.tables.jobs;
    let found = jobs.iter().find(|(_, row)| row.id == id).map(|(slot, _)| slot);
    found.ok_or_else(|| jobs.breach(JobSlot::NONE.0, state.seq(), Problem::Missing))
}

fn edit_job(state: &mut State, id: JobId) -> Result<(JobSlot, &mut Job), Breach> {
    let slot = slot_of(state, id)?;
    Ok((slot, state.tables.jobs.edit(slot, &mut state.writer)?))
}

fn edit_step(state: &mut State, id: JobId, place: u16) -> Result<(JobSlot, &mut Step), Breach> {
    let slot = slot_of(state, id)?;
    let absent = state.tables.jobs.breach(slot.0, state.seq(), Problem::Contradiction);
    let row = state.tables.jobs.edit(slot, &mut state.writer)?;
    Ok((slot, row.steps.get_mut(usize::from(place)).ok_or(absent)?))
}
