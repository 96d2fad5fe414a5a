//! How a job goes on: one move after another, until there is nothing to be done for it at this moment.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::jobs::rows::{Cause, Job, JobEnd, Standing, Step, Task, Wait, Watch, Work};
use crate::jobs::words::{Event, StepEnd};
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{JobSlot, Micros, OrderId, Ppm, Seq, VesselId};
use crate::models::decide::drain;
use crate::models::rows::{Stage, VesselStatus};
use crate::policy::rows::PolicyLevel;
use crate::resilience::decide::jittered;
use crate::resilience::rows::Breaker;
use crate::state::State;
use crate::transaction::Transaction;

/// The most moves that are made for a job before others have their turn; it is due at once again.
const MOVES_MAX: usize = 8;

/// What is done next for a job.
enum Move {
    /// Somebody had a vessel back that is to be drained.
    Drain(VesselId),
    Begin(u16),
    End(u16, StepEnd),
    /// An attempt failed.
    Fail(u16, StepEnd),
    /// What was watched is sound.
    Promote(u16, Seen),
    /// It is not.
    RollBack(u16, Cause, Seen),
    Finish(JobEnd),
    Wait(Wait, Micros),
}

/// What was seen of the vessels that are watched.
#[derive(Clone, Copy)]
struct Seen {
    /// The one that is the reason, if one is.
    vessel: VesselId,
    calls: u64,
    failing: Ppm,
    slow: Ppm,
}

/// Does whatever is to be done for a job.
pub(crate) fn conduct(tx: &mut Transaction, slot: JobSlot) {
    for _ in 0..MOVES_MAX {
        if !tx.has_room() {
            return;
        }
        let Some(job) = tx.state().tables.jobs.get(slot) else { return };
        let id = job.id;
        match next(tx.state(), job) {
            Move::Drain(vessel) => {
                // It is up, so it is not refused.
                let _ = drain(tx, vessel);
            }
            Move::Begin(step) => begin(tx, slot, step),
            Move::End(step, outcome) => tx.emit(Event::StepEnded { job: id, step, outcome }),
            Move::Fail(step, outcome) => fail(tx, slot, step, outcome),
            Move::Promote(step, Seen { calls, failing, slow, .. }) => {
                tx.emit(Event::StepEnded { job: id, step, outcome: StepEnd::Done });
                tx.emit(Event::JobPromoted { job: id, step, calls, failing, slow });
            }
            Move::RollBack(step, cause, seen) => {
                tx.emit(Event::StepEnded { job: id, step, outcome: StepEnd::Unsound });
                roll_back(tx, slot, step, cause, seen);
            }
            Move::Finish(end) => return finish(tx, slot, end),
            Move::Wait(wait, until) => return tx.emit(Event::JobWaits { job: id, wait, until }),
        }
    }
}

/// An attempt has failed: it is tried again, or the step is over; a rollout is undone with it.
pub(super) fn fail(tx: &mut Transaction, slot: JobSlot, place: u16, outcome: StepEnd) {
    let Some(job) = tx.state().tables.jobs.get(slot) else { return };
    let Some(row) = job.steps.get(usize::from(place)) else { return };
    let (id, attempts, tries) = (job.id, row.attempts, &job.spec.tries);
    if attempts < tries.attempts {
        let (journal, of) = (tx.state().journal(), OrderId(u64::from(place)));
        let draw = Draw::new(journal, Seq(id.0), of, Purpose::JobRetry);
        let at = tx.now() + jittered(&draw, attempts, tries.backoff, tries.backoff_max);
        tx.emit(Event::StepRetried { job: id, step: place, outcome, attempts, at });
        return;
    }
    let (task, vessel) = (row.task, row.vessel);
    tx.emit(Event::StepEnded { job: id, step: place, outcome });
    if task == Task::Install {
        let seen = Seen { vessel, calls: 0, failing: Ppm::ZERO, slow: Ppm::ZERO };
        roll_back(tx, slot, place, Cause::NotInstalled, seen);
    }
}

fn roll_back(tx: &mut Transaction, slot: JobSlot, place: u16, cause: Cause, seen: Seen) {
    give_up(tx, slot);
    let Some(job) = tx.state().tables.jobs.get(slot) else { return };
    let Seen { vessel, calls, failing, slow } = seen;
    let (job, step) = (job.id, Some(place));
    tx.emit(Event::JobRolledBack { job, cause, step, vessel, calls, failing, slow });
}

/// Begins an attempt at a step.
fn begin(tx: &mut Transaction, slot: JobSlot, place: u16) {
    let (state, now) = (tx.state(), tx.now());
    let Some(job) = state.tables.jobs.get(slot) else { return };
    let Some(step) = job.steps.get(usize::from(place)) else { return };
    let (task, mut vessel, mut order) = (step.task, step.vessel, None);
    let lasts = match (task, &job.spec.work) {
        (Task::Drain, _) => job.spec.patience,
        (Task::Watch, Work::Rollout { watch, .. }) => watch.hold,
        _ => job.spec.tries.timeout,
    };
    if let Work::Checkpoint { order: of } = job.spec.work {
        order = Some(of);
        vessel = worked_by(state, of).unwrap_or(VesselId::NONE);
    }
    let manifest = job.wanted(step).map(|manifest| Box::new(manifest.clone()));
    let event = Event::StepBegan {
        job: job.id,
        step: place,
        task,
        attempt: step.attempts.saturating_add(1),
        vessel,
        order,
        until: now + lasts,
        manifest,
    };
    tx.emit(event);
}

/// Where an order is being worked.
fn worked_by(state: &State, id: OrderId) -> Option<VesselId> {
    let order = state.order(id).filter(|order| order.stage == Stage::Running)?;
    order.route.get(usize::from(order.leg)).map(|leg| leg.vessel)
}

/// What is to be done next: what is running is judged first, then what may begin is begun.
fn next(state: &State, job: &Job) -> Move {
    let places = || (0u16..).zip(&job.steps);
    let mut running = places().filter(|(_, step)| step.standing == Standing::Running);
    if let Some(found) = running.find_map(|(place, step)| judge(state, job, place, step)) {
        return found;
    }
    let stays = match ready(state, job) {
        Ok(found) => return found,
        Err(stays) => stays,
    };
    if job.steps.iter().all(Step::is_over) {
        return Move::Finish(end_of(job));
    }
    let looks = places().filter_map(|(_, step)| look_at(state, job, step));
    let until = looks.min().unwrap_or(Micros::MAX);
    let runs = job.steps.iter().any(|step| step.standing == Standing::Running);
    Move::Wait(stays.unwrap_or(if runs { Wait::Step } else { Wait::Backoff }), until)
}

/// When a step has to be looked at though nothing happens.
fn look_at(state: &State, job: &Job, step: &Step) -> Option<Micros> {
    match (step.standing, &job.spec.work) {
        (Standing::Running, Work::Rollout { watch, .. }) if step.task == Task::Watch => {
            Some(step.until.min(state.now() + watch.every))
        }
        (Standing::Running, _) => Some(step.until),
        (Standing::Waiting, _) => Some(step.until).filter(|at| *at > state.now() && !job.paused),
        _ => None,
    }
}

fn end_of(job: &Job) -> JobEnd {
    let failed = job.steps.iter().any(|step| step.standing == Standing::Failed);
    match (job.cause, &job.spec.work) {
        (Some(Cause::Cancelled), _) => JobEnd::Cancelled,
        (Some(_), _) => JobEnd::RolledBack,
        // Who did not finish what it had in time carries the new manifest all the same.
        (None, Work::Rollout { .. }) => JobEnd::Completed,
        (None, _) if failed => JobEnd::Failed,
        (None, _) => JobEnd::Completed,
    }
}

/// What becomes of a step that is running, if anything does at this moment.
fn judge(state: &State, job: &Job, place: u16, step: &Step) -> Option<Move> {
    let overdue = step.until <= state.now();
    let row = state.tables.vessels.get(step.vessel);
    let status = row.map(|row| row.status);
    if status == Some(VesselStatus::Retired) {
        return Some(Move::End(place, StepEnd::Retired));
    }
    match step.task {
        Task::Drain => match status {
            Some(VesselStatus::Drained) => Some(Move::End(place, StepEnd::Done)),
            Some(VesselStatus::Lost) => Some(Move::End(place, StepEnd::Lost)),
            _ if overdue => Some(Move::End(place, StepEnd::TimedOut)),
            Some(VesselStatus::Up) => Some(Move::Drain(step.vessel)),
            _ => None,
        },
        Task::Install | Task::Restore => {
            let carries = row.is_some_and(|row| Some(&row.manifest) == job.wanted(step));
            if carries && status == Some(VesselStatus::Up) {
                return Some(Move::End(place, StepEnd::Done));
            }
            overdue.then_some(Move::Fail(place, StepEnd::TimedOut))
        }
        Task::Watch => {
            let Work::Rollout { watch, .. } = &job.spec.work else { return None };
            watched(state, job, place, watch, overdue)
        }
        Task::Checkpoint => {
            let Work::Checkpoint { order } = job.spec.work else { return None };
            if worked_by(state, order).is_none() {
                return Some(Move::End(place, StepEnd::Lost));
            }
            overdue.then_some(Move::Fail(place, StepEnd::TimedOut))
        }
    }
}

/// What is to be made of the vessels of a wave.
fn watched(state: &State, job: &Job, place: u16, watch: &Watch, over: bool) -> Option<Move> {
    let window = state.policy().map_or(Micros::MAX, |(_, policy)| policy.breaker.window);
    let (mut counts, mut lost, mut cut_off) = ([0u64; 3], None, None);
    for vessel in job.watched(usize::from(place)) {
        let row = state.tables.vessels.get(vessel).zip(state.tables.loads.get(vessel));
        let Some((row, load)) = row.filter(|(row, _)| row.status != VesselStatus::Retired) else {
            continue;
        };
        let own = load.outcomes.counts(state.now(), window);
        counts.iter_mut().zip(own).for_each(|(all, own)| *all = all.saturating_add(own));
        if row.status.is_gone() {
            lost = Some(vessel);
        }
        if load.breaker != Breaker::Closed {
            cut_off = Some(vessel);
        }
    }
    let [calls, failed, slow] = counts;
    let share = |some| {
        if calls < u64::from(watch.calls) { Ppm::ZERO } else { Ppm::ratio(some, calls) }
    };
    let vessel = lost.or(cut_off).unwrap_or(VesselId::NONE);
    let seen = Seen { vessel, calls, failing: share(failed), slow: share(slow) };
    let cause = if lost.is_some() {
        Cause::Lost
    } else if cut_off.is_some() {
        Cause::CutOff
    } else if watch.failing > Ppm::ZERO && seen.failing >= watch.failing {
        Cause::Failing
    } else if watch.slow > Ppm::ZERO && seen.slow >= watch.slow {
        Cause::Slow
    } else {
        return over.then_some(Move::Promote(place, seen));
    };
    Some(Move::RollBack(place, cause, seen))
}

/// The first step that may begin; or why none may that otherwise would.
fn ready(state: &State, job: &Job) -> Result<Move, Option<Wait>> {
    // Of the steps before the present one: whether one is not over, whether a watch is not, and how many vessels
    // have been begun with and not been done with.
    let (mut open, mut held, mut out, mut previous) = (false, false, 0u32, true);
    let mut stays = None;
    for (place, step) in (0u16..).zip(&job.steps) {
        let may = match step.task {
            _ if step.undoes.is_some() => !open,
            Task::Drain => !held && out < job.spec.at_once && stays.is_none(),
            Task::Install | Task::Restore => previous,
            Task::Watch | Task::Checkpoint => !open,
        };
        if may && step.standing == Standing::Waiting {
            match hindrance(state, job, step) {
                Some(wait) => stays = stays.or(Some(wait)),
                None if step.until <= state.now() => return Ok(opening(state, job, place, step)),
                None => {}
            }
        }
        let over = step.is_over();
        let follows = job.steps.get(usize::from(place).saturating_add(1));
        let goes_on = follows.is_some_and(|next| next.task == Task::Install && !next.is_over());
        let begun = step.standing != Standing::Waiting;
        if step.task == Task::Drain && begun && (!over || goes_on) {
            out = out.saturating_add(1);
        }
        open |= !over;
        held |= step.task == Task::Watch && !over;
        previous = over;
    }
    Err(stays)
}

/// How a step is begun whose turn it is; one for which there is nothing to do is over.
fn opening(state: &State, job: &Job, place: u16, step: &Step) -> Move {
    let gone = state.tables.vessels.get(step.vessel).map(|row| row.status);
    if gone == Some(VesselStatus::Retired) {
        return Move::End(place, StepEnd::Retired);
    }
    match job.spec.work {
        Work::Checkpoint { order } if worked_by(state, order).is_none() => {
            Move::End(place, StepEnd::Lost)
        }
        _ => Move::Begin(place),
    }
}

/// What keeps a step from being begun. What undoes others, or goes on with a vessel that is out, is kept by nothing
/// but a pause.
fn hindrance(state: &State, job: &Job, step: &Step) -> Option<Wait> {
    if job.paused {
        return Some(Wait::Paused);
    }
    if step.undoes.is_some() || !matches!(step.task, Task::Drain | Task::Checkpoint) {
        return None;
    }
    let level = state.stance().map_or(PolicyLevel::Normal, |stance| stance.level);
    if job.spec.only_when_normal && level != PolicyLevel::Normal {
        return Some(Wait::Level);
    }
    let row = state.tables.vessels.get(step.vessel);
    let row = row.filter(|row| step.task == Task::Drain && row.status == VesselStatus::Up)?;
    let too_many = row.manifest.models.iter().any(|model| {
        let (out, all) = state.index.parties.out_of(*model);
        let out = u128::from(out).saturating_add(1).saturating_mul(1_000_000);
        out > u128::from(job.spec.max_out.0).saturating_mul(u128::from(all))
    });
    too_many.then_some(Wait::Room)
}

/// Gives up whatever a job is doing.
pub(super) fn give_up(tx: &mut Transaction, slot: JobSlot) {
    let Some(job) = tx.state().tables.jobs.get(slot) else { return };
    let running = (0u16..).zip(&job.steps).filter(|(_, step)| step.standing == Standing::Running);
    let (job, running): (_, Vec<u16>) = (job.id, running.map(|(place, _)| place).collect());
    for step in running {
        tx.emit(Event::StepEnded { job, step, outcome: StepEnd::GivenUp });
    }
}

/// Ends a job, and counts what became of its steps.
pub(super) fn finish(tx: &mut Transaction, slot: JobSlot, end: JobEnd) {
    let Some(job) = tx.state().tables.jobs.get(slot) else { return };
    let count = |of: &[Standing]| {
        let steps = job.steps.iter().filter(|step| of.contains(&step.standing));
        u16::try_from(steps.count()).unwrap_or(u16::MAX)
    };
    let event = Event::JobEnded {
        job: job.id,
        end,
        done: count(&[Standing::Done]),
        failed: count(&[Standing::Failed]),
        compensated: count(&[Standing::Compensated]),
        skipped: count(&[Standing::Skipped, Standing::Waiting]),
    };
    tx.emit(event);
}
