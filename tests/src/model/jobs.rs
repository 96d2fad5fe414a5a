//! Jobs of several steps, by plain scans: no list of who has a job, no counts kept.

use super::*;
use tensorforge_engine::jobs::{
    self, Cause, Event as Told, JobEnd, Refusal as No, Reported, Spec, Standing, StepEnd, Task,
    Tries, Wait, Work,
};
use tensorforge_engine::models::Kind;
use tensorforge_engine::units::{JobId, JobSlot};

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    task: Task,
    ship: Option<u32>,
    standing: Standing,
    attempts: u16,
    times: [u64; 2],
    undoes: Option<u16>,
    carried: Option<Manifest>,
}

/// A live job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    id: u64,
    since: u64,
    pub(super) wake: u64,
    name: String,
    spec: Spec,
    pieces: Vec<Piece>,
    cause: Option<Cause>,
    waits: Wait,
    paused: bool,
}

impl Piece {
    fn new(task: Task, ship: Option<u32>, undoes: Option<usize>) -> Self {
        let undoes = undoes.map(|place| place as u16);
        let (standing, carried) = (Standing::Waiting, None);
        Self { task, ship, standing, attempts: 0, times: [0; 2], undoes, carried }
    }

    fn over(&self) -> bool {
        self.standing != Standing::Waiting && self.standing != Standing::Running
    }

    /// Whether it has done, or tried to do, something that is not undone.
    fn stands(&self) -> bool {
        self.undoes.is_none()
            && (self.standing == Standing::Done || self.standing == Standing::Failed)
    }
}

fn vessels(work: &Work) -> Vec<u32> {
    match work {
        Work::Drain { vessels } | Work::Rollout { vessels, .. } => {
            vessels.iter().map(|vessel| vessel.0).collect()
        }
        Work::Checkpoint { .. } => Vec::new(),
    }
}

fn plan(work: &Work) -> Vec<Piece> {
    let Work::Rollout { canary, growth, .. } = work else {
        let task = |ship| Piece::new(Task::Drain, Some(ship), None);
        let drains: Vec<Piece> = vessels(work).into_iter().map(task).collect();
        let none = drains.is_empty();
        return if none { vec![Piece::new(Task::Checkpoint, None, None)] } else { drains };
    };
    let (mut plan, mut wave, mut size) = (Vec::new(), 0u64, u64::from(*canary));
    let all = vessels(work);
    for (place, ship) in all.iter().enumerate() {
        plan.push(Piece::new(Task::Drain, Some(*ship), None));
        plan.push(Piece::new(Task::Install, Some(*ship), None));
        wave += 1;
        if wave == size || place + 1 == all.len() {
            plan.push(Piece::new(Task::Watch, None, None));
            (wave, size) = (0, size * u64::from(*growth));
        }
    }
    plan
}

/// Whether anything of it is outside of what it may be.
fn odd(spec: &Spec) -> bool {
    let all = vessels(&spec.work);
    let different: BTreeSet<u32> = all.iter().copied().collect();
    let none = all.is_empty() && !matches!(spec.work, Work::Checkpoint { .. });
    let wave = match &spec.work {
        Work::Rollout { canary, growth, watch, .. } => {
            *canary == 0
                || !(1..=1_000).contains(growth)
                || watch.hold.0 == 0
                || watch.every.0 == 0
                || watch.calls == 0
                || watch.failing.0.max(watch.slow.0) > 1_000_000
        }
        _ => false,
    };
    let Tries { attempts, timeout, backoff, backoff_max } = &spec.tries;
    different.len() < all.len()
        || none
        || wave
        || !(1..=16).contains(&spec.at_once)
        || !(1..=1_000_000).contains(&spec.max_out.0)
        || spec.patience.0 == 0
        || !(1..=16).contains(attempts)
        || timeout.0 == 0
        || backoff > backoff_max
}

impl Model {
    pub(super) fn job_command(&mut self, seq: u64, command: &jobs::Command) -> Decided<()> {
        match command {
            jobs::Command::StartJob { name, spec } => self.start_job(seq, name, spec),
            jobs::Command::PauseJob { job } => self.pause_job(*job, true),
            jobs::Command::ResumeJob { job } => self.pause_job(*job, false),
            jobs::Command::CancelJob { job } => self.cancel_job(*job),
            jobs::Command::ReportStep { job, step, attempt, outcome } => {
                self.report_step(*job, (*step).into(), *attempt, *outcome)
            }
        }
    }

    fn start_job(&mut self, seq: u64, name: &str, spec: &Spec) -> Decided<()> {
        if name.is_empty() {
            return Err(models::Refusal::Invalid { fault: "told".into() }.into());
        }
        if odd(spec) {
            return Err(No::Invalid { fault: "told".into() }.into());
        }
        if self.jobs.len() >= 64 {
            return full(Bound::Jobs, 64);
        }
        let all = vessels(&spec.work);
        for vessel in &all {
            if self.ship(VesselId(*vessel))?.status == VesselStatus::Retired {
                return Err(models::Refusal::WrongStatus.into());
            }
            let mut others = self.jobs.values();
            if let Some(other) = others.find(|job| vessels(&job.spec.work).contains(vessel)) {
                return Err(No::Taken { vessel: VesselId(*vessel), job: JobId(other.id) }.into());
            }
        }
        match &spec.work {
            Work::Drain { .. } => {}
            Work::Rollout { manifest, .. } => self.fits(manifest)?,
            Work::Checkpoint { order } => {
                let kind = self.orders.get(&order.slot().0).filter(|live| live.id == *order);
                let kind = kind.filter(|live| live.stage == Stage::Running);
                match kind.map(|live| live.demand.kind) {
                    None => return Err(No::NotRunning { order: order.0 >> 24 }.into()),
                    Some(Kind::Training) => {}
                    Some(_) => return Err(No::Invalid { fault: "told".into() }.into()),
                }
            }
        }
        let slot = (0..).find(|slot| !self.jobs.contains_key(slot)).unwrap_or(0);
        let job = Job {
            id: seq,
            since: self.now,
            wake: self.now,
            name: name.to_owned(),
            spec: spec.clone(),
            pieces: plan(&spec.work),
            cause: None,
            waits: Wait::Step,
            paused: false,
        };
        self.jobs.insert(slot, job);
        let (job, slot, name, spec) =
            (JobId(seq), JobSlot(slot), name.to_owned(), Box::new(spec.clone()));
        self.expect(Told::JobStarted { job, slot, name, spec })?;
        self.go_on(slot.0)
    }

    fn slot_of_job(&self, id: JobId) -> Decided<u32> {
        let found = self.jobs.iter().find(|(_, job)| job.id == id.0).map(|(slot, _)| *slot);
        found.ok_or_else(|| No::Unknown { job: id }.into())
    }

    fn job(&mut self, slot: u32) -> Decided<&mut Job> {
        self.jobs.get_mut(&slot).ok_or_else(|| Stop::Wrong(format!("there is no job {slot}")))
    }

    fn pause_job(&mut self, id: JobId, paused: bool) -> Decided<()> {
        let (slot, now) = (self.slot_of_job(id)?, self.now);
        let job = self.job(slot)?;
        if job.paused == paused {
            return Err(No::WrongPhase.into());
        }
        (job.paused, job.wake) = (paused, now);
        self.expect(match paused {
            true => Told::JobPaused { job: id },
            false => Told::JobResumed { job: id },
        })?;
        self.go_on(slot)
    }

    fn cancel_job(&mut self, id: JobId) -> Decided<()> {
        let slot = self.slot_of_job(id)?;
        if self.job(slot)?.cause.is_some() {
            return Err(No::WrongPhase.into());
        }
        self.leave_off(slot)?;
        let job = self.job(slot)?;
        let begun = job.pieces.iter().any(|piece| piece.task == Task::Drain && piece.stands());
        if !job.spec.undo || !begun {
            return self.close_job(slot, JobEnd::Cancelled);
        }
        self.turn_back(slot, None, Cause::Cancelled, None, [0; 3])?;
        self.go_on(slot)
    }

    fn report_step(
        &mut self,
        id: JobId,
        place: usize,
        attempt: u16,
        outcome: Reported,
    ) -> Decided<()> {
        let slot = self.slot_of_job(id)?;
        let piece = self.job(slot)?.pieces.get(place).cloned();
        let piece =
            piece.filter(|piece| piece.standing == Standing::Running && piece.attempts == attempt);
        match (piece.ok_or(No::Stale)?.task, outcome) {
            (Task::Drain | Task::Watch, _) => return Err(No::NotReported.into()),
            (Task::Checkpoint, Reported::Done) => self.end_step(slot, place, StepEnd::Done)?,
            (_, Reported::Done) => return Err(No::NotReported.into()),
            (_, Reported::Failed) => self.step_failed(slot, place, StepEnd::Failed)?,
        }
        self.go_on(slot)
    }

    /// Has the job of a vessel looked at, and those that wait for any vessel.
    pub(super) fn stir(&mut self, vessel: u32) {
        let now = self.now;
        for job in self.jobs.values_mut() {
            if job.waits == Wait::Room || vessels(&job.spec.work).contains(&vessel) {
                job.wake = now;
            }
        }
    }

    /// The level has changed.
    pub(super) fn stir_all(&mut self) {
        let now = self.now;
        let waiting = self.jobs.values_mut().filter(|job| job.waits == Wait::Level);
        waiting.for_each(|job| job.wake = now);
    }

    /// Eight moves, or as many as there are.
    pub(super) fn go_on(&mut self, slot: u32) -> Decided<()> {
        for _ in 0..8 {
            if !self.jobs.contains_key(&slot) || !self.makes_a_move(slot)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One move; tells whether another may follow.
    fn makes_a_move(&mut self, slot: u32) -> Decided<bool> {
        let job = self.job(slot)?.clone();
        for (place, piece) in job.pieces.iter().enumerate() {
            if piece.standing == Standing::Running && self.comes_to_something(slot, &job, place)? {
                return Ok(true);
            }
        }
        let mut hindered = None;
        for place in 0..job.pieces.len() {
            let piece = &job.pieces[place];
            if piece.standing != Standing::Waiting || !may_begin(&job, place) {
                continue;
            }
            if piece.task == Task::Drain && piece.undoes.is_none() && hindered.is_some() {
                continue;
            }
            if let Some(wait) = self.hinders(&job, piece) {
                hindered = hindered.or(Some(wait));
            } else if piece.times[1] <= self.now {
                self.begin_step(slot, &job, place)?;
                return Ok(true);
            }
        }
        if job.pieces.iter().all(Piece::over) {
            let failed = job.pieces.iter().any(|piece| piece.standing == Standing::Failed);
            let end = match job.cause {
                Some(Cause::Cancelled) => JobEnd::Cancelled,
                Some(_) => JobEnd::RolledBack,
                None if failed && !matches!(job.spec.work, Work::Rollout { .. }) => JobEnd::Failed,
                None => JobEnd::Completed,
            };
            self.close_job(slot, end)?;
            return Ok(false);
        }
        let mut until = u64::MAX;
        for piece in &job.pieces {
            if piece.standing == Standing::Running {
                until = until.min(piece.times[1]);
                if let (Task::Watch, Work::Rollout { watch, .. }) = (piece.task, &job.spec.work) {
                    until = until.min(self.now + watch.every.0);
                }
            } else if !piece.over() && !job.paused && piece.times[1] > self.now {
                until = until.min(piece.times[1]);
            }
        }
        let running = job.pieces.iter().any(|piece| piece.standing == Standing::Running);
        let wait = hindered.unwrap_or(if running { Wait::Step } else { Wait::Backoff });
        let row = self.job(slot)?;
        (row.waits, row.wake) = (wait, until);
        self.expect(Told::JobWaits { job: JobId(job.id), wait, until: Micros(until) })?;
        Ok(false)
    }

    /// Whether something has become of what is being done.
    fn comes_to_something(&mut self, slot: u32, job: &Job, place: usize) -> Decided<bool> {
        let piece = &job.pieces[place];
        let overdue = piece.times[1] <= self.now;
        let ship = piece.ship.and_then(|id| self.ships.get(&id));
        let status = ship.map(|ship| ship.status);
        if status == Some(VesselStatus::Retired) {
            self.end_step(slot, place, StepEnd::Retired)?;
            return Ok(true);
        }
        match piece.task {
            Task::Drain => {
                let outcome = match status {
                    Some(VesselStatus::Drained) => StepEnd::Done,
                    Some(VesselStatus::Lost) => StepEnd::Lost,
                    _ if overdue => StepEnd::TimedOut,
                    Some(VesselStatus::Up) => {
                        self.drain(VesselId(piece.ship.unwrap_or(u32::MAX)))?;
                        return Ok(true);
                    }
                    _ => return Ok(false),
                };
                self.end_step(slot, place, outcome)?;
            }
            Task::Install | Task::Restore => {
                let wanted = wanted(job, piece);
                let there = ship.is_some_and(|ship| {
                    ship.status == VesselStatus::Up && Some(&ship.manifest) == wanted.as_ref()
                });
                match (there, overdue) {
                    (true, _) => self.end_step(slot, place, StepEnd::Done)?,
                    (false, true) => self.step_failed(slot, place, StepEnd::TimedOut)?,
                    (false, false) => return Ok(false),
                }
            }
            Task::Watch => return self.watch_wave(slot, job, place),
            Task::Checkpoint => {
                if self.works_at(&job.spec.work).is_none() {
                    self.end_step(slot, place, StepEnd::Lost)?;
                } else if overdue {
                    self.step_failed(slot, place, StepEnd::TimedOut)?;
                } else {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn watch_wave(&mut self, slot: u32, job: &Job, place: usize) -> Decided<bool> {
        let Work::Rollout { watch, .. } = &job.spec.work else { return Ok(false) };
        let (_, policy) = self.policy()?;
        let since = job.pieces[..place].iter().rposition(|piece| piece.task == Task::Watch);
        let wave = job.pieces[since.map_or(0, |place| place + 1)..place].iter();
        let wave = wave.filter(|p| p.task == Task::Install && p.standing == Standing::Done);
        let ships: Vec<(u32, &Ship)> =
            wave.filter_map(|p| Some((p.ship?, self.ships.get(&p.ship?)?))).collect();
        let ships = ships.iter().filter(|(_, ship)| ship.status != VesselStatus::Retired);
        let sums: Vec<[u64; 3]> = ships
            .clone()
            .map(|(_, ship)| ship.calls.sum(self.now, policy.breaker.window.0))
            .collect();
        let sum = |of: usize| sums.iter().map(|sum| sum[of]).sum::<u64>();
        let calls = sum(CALLS);
        let enough = calls >= watch.calls.into();
        let share = |of| if enough { rules::share(sum(of), calls) } else { 0 };
        let (failing, slow) = (share(FAILED), share(SLOW));
        let lost =
            |ship: &Ship| matches!(ship.status, VesselStatus::Lost | VesselStatus::Restarting);
        let gone = ships.clone().filter(|(_, ship)| lost(ship)).map(|(id, _)| *id).next();
        let cut = ships.filter(|(_, ship)| ship.breaker != Breaker::Closed);
        let cut = cut.map(|(id, _)| *id).next();
        let cause = if gone.is_some() {
            Cause::Lost
        } else if cut.is_some() {
            Cause::CutOff
        } else if watch.failing.0 > 0 && failing >= watch.failing.0 {
            Cause::Failing
        } else if watch.slow.0 > 0 && slow >= watch.slow.0 {
            Cause::Slow
        } else if job.pieces[place].times[1] <= self.now {
            self.end_step(slot, place, StepEnd::Done)?;
            let (failing, slow) = (Ppm(failing), Ppm(slow));
            let (job, step) = (JobId(job.id), place as u16);
            self.expect(Told::JobPromoted { job, step, calls, failing, slow })?;
            return Ok(true);
        } else {
            return Ok(false);
        };
        self.end_step(slot, place, StepEnd::Unsound)?;
        self.leave_off(slot)?;
        self.turn_back(slot, Some(place), cause, gone.or(cut), [calls, failing, slow])?;
        Ok(true)
    }

    /// Where the order of a checkpoint is being worked.
    fn works_at(&self, work: &Work) -> Option<VesselId> {
        let Work::Checkpoint { order } = work else { return None };
        let live = self.orders.get(&order.slot().0).filter(|live| live.id == *order)?;
        let leg = live.route.get(live.leg).filter(|_| live.stage == Stage::Running)?;
        Some(leg.vessel)
    }

    fn hinders(&self, job: &Job, piece: &Piece) -> Option<Wait> {
        if job.paused {
            return Some(Wait::Paused);
        }
        let begins = piece.undoes.is_none();
        let begins = begins && matches!(piece.task, Task::Drain | Task::Checkpoint);
        if begins && job.spec.only_when_normal && self.level > 0 {
            return Some(Wait::Level);
        }
        // To write a checkpoint takes nobody out.
        let takes = begins && piece.task == Task::Drain;
        let ship = self.ships.get(&piece.ship?).filter(|_| takes)?;
        if ship.status != VesselStatus::Up {
            return None;
        }
        let spared = |model: &ModelId| {
            let serve = |ship: &&Ship| {
                ship.manifest.models.contains(model) && ship.status != VesselStatus::Retired
            };
            let all = self.ships.values().filter(serve).count() as u64;
            let up = self.ships.values().filter(serve);
            let up = up.filter(|ship| ship.status == VesselStatus::Up).count() as u64;
            (all - up + 1) * 1_000_000 <= job.spec.max_out.0 * all
        };
        (!ship.manifest.models.iter().all(spared)).then_some(Wait::Room)
    }

    fn begin_step(&mut self, slot: u32, job: &Job, place: usize) -> Decided<()> {
        let mut piece = job.pieces[place].clone();
        let mut order = None;
        if let Work::Checkpoint { order: of } = job.spec.work {
            let Some(vessel) = self.works_at(&job.spec.work) else {
                return self.end_step(slot, place, StepEnd::Lost);
            };
            (piece.ship, order) = (Some(vessel.0), Some(of));
        }
        let ship = piece.ship.and_then(|id| self.ships.get(&id));
        if ship.is_some_and(|ship| ship.status == VesselStatus::Retired) {
            return self.end_step(slot, place, StepEnd::Retired);
        }
        if piece.task == Task::Drain && piece.undoes.is_none() {
            piece.carried = ship.map(|ship| ship.manifest.clone());
        }
        let lasts = match (piece.task, &job.spec.work) {
            (Task::Watch, Work::Rollout { watch, .. }) => watch.hold.0,
            (Task::Drain, _) => job.spec.patience.0,
            _ => job.spec.tries.timeout.0,
        };
        piece.attempts += 1;
        piece.standing = Standing::Running;
        piece.times = [self.now, self.now + lasts];
        let event = Told::StepBegan {
            job: JobId(job.id),
            step: place as u16,
            task: piece.task,
            attempt: piece.attempts,
            vessel: piece.ship.map_or(VesselId::NONE, VesselId),
            order,
            until: Micros(piece.times[1]),
            manifest: wanted(job, &piece).map(Box::new),
        };
        let now = self.now;
        let row = self.job(slot)?;
        row.pieces[place] = piece;
        row.wake = now;
        self.expect(event)
    }

    fn end_step(&mut self, slot: u32, place: usize, outcome: StepEnd) -> Decided<()> {
        let now = self.now;
        let job = self.job(slot)?;
        job.wake = now;
        let (id, piece) = (JobId(job.id), &mut job.pieces[place]);
        let (task, ship) = (piece.task, piece.ship);
        piece.standing = match outcome {
            StepEnd::Done => Standing::Done,
            StepEnd::Retired => Standing::Skipped,
            _ => Standing::Failed,
        };
        if outcome == StepEnd::Done && task == Task::Restore {
            let same = job.pieces.iter_mut().filter(|piece| piece.ship == ship && piece.stands());
            same.for_each(|piece| piece.standing = Standing::Compensated);
        }
        if outcome == StepEnd::Done && task == Task::Install {
            let ship = self.ship(VesselId(ship.unwrap_or(u32::MAX)))?;
            (ship.calls, ship.failures) = (Spans::default(), 0);
        }
        self.expect(Told::StepEnded { job: id, step: place as u16, outcome })
    }

    fn step_failed(&mut self, slot: u32, place: usize, outcome: StepEnd) -> Decided<()> {
        let now = self.now;
        let drawn = match self.record.front() {
            Some(Event::Jobs(Told::StepRetried { at, .. })) => Some(at.0),
            _ => None,
        };
        let job = self.job(slot)?;
        let (id, tries) = (JobId(job.id), job.spec.tries.clone());
        let piece = &mut job.pieces[place];
        if piece.attempts >= tries.attempts {
            let (install, ship) = (piece.task == Task::Install, piece.ship);
            self.end_step(slot, place, outcome)?;
            if install {
                self.leave_off(slot)?;
                self.turn_back(slot, Some(place), Cause::NotInstalled, ship, [0; 3])?;
            }
            return Ok(());
        }
        let attempts = piece.attempts;
        // By the draw it is anything from the least to the most.
        let span = now + tries.backoff.0..=now + tries.backoff_max.0;
        let Some(at) = drawn.filter(|at| span.contains(at)) else {
            return wrong(format!("a step is tried again within {span:?}, not at {drawn:?}"));
        };
        (piece.standing, piece.times[1]) = (Standing::Waiting, at);
        job.wake = now;
        let (step, at) = (place as u16, Micros(at));
        self.expect(Told::StepRetried { job: id, step, outcome, attempts, at })
    }

    /// Whatever runs is given up.
    fn leave_off(&mut self, slot: u32) -> Decided<()> {
        for place in 0..self.job(slot)?.pieces.len() {
            if self.job(slot)?.pieces[place].standing == Standing::Running {
                self.end_step(slot, place, StepEnd::GivenUp)?;
            }
        }
        Ok(())
    }

    /// From here on what was done is undone, the last vessel first.
    fn turn_back(
        &mut self,
        slot: u32,
        place: Option<usize>,
        cause: Cause,
        ship: Option<u32>,
        [calls, failing, slow]: [u64; 3],
    ) -> Decided<()> {
        let now = self.now;
        let job = self.job(slot)?;
        (job.cause, job.wake) = (Some(cause), now);
        let mut undoing = Vec::new();
        for (place, piece) in job.pieces.iter().enumerate() {
            if piece.task != Task::Drain || !piece.stands() {
                continue;
            }
            let asked = |other: &Piece| {
                other.task == Task::Install && other.ship == piece.ship && other.stands()
            };
            let drained = job.pieces.iter().any(asked);
            undoing.push(Piece::new(Task::Restore, piece.ship, Some(place)));
            if drained {
                undoing.push(Piece::new(Task::Drain, piece.ship, Some(place)));
            }
        }
        for piece in &mut job.pieces {
            if piece.standing == Standing::Waiting {
                piece.standing = Standing::Skipped;
            }
        }
        job.pieces.extend(undoing.into_iter().rev());
        let event = Told::JobRolledBack {
            job: JobId(job.id),
            cause,
            step: place.map(|place| place as u16),
            vessel: ship.map_or(VesselId::NONE, VesselId),
            calls,
            failing: Ppm(failing),
            slow: Ppm(slow),
        };
        self.expect(event)
    }

    fn close_job(&mut self, slot: u32, end: JobEnd) -> Decided<()> {
        let Some(job) = self.jobs.remove(&slot) else { return wrong("a job ends twice") };
        let of = |wanted: Standing| {
            job.pieces.iter().filter(|piece| piece.standing == wanted).count() as u16
        };
        self.expect(Told::JobEnded {
            job: JobId(job.id),
            end,
            done: of(Standing::Done),
            failed: of(Standing::Failed),
            compensated: of(Standing::Compensated),
            skipped: of(Standing::Skipped) + of(Standing::Waiting),
        })
    }

    /// The jobs, as the engine's table has them.
    pub(super) fn jobs_of(state: &State) -> BTreeMap<u32, Job> {
        let piece = |row: &jobs::Step| Piece {
            task: row.task,
            ship: Some(row.vessel.0).filter(|_| row.vessel != VesselId::NONE),
            standing: row.standing,
            attempts: row.attempts,
            times: [row.began.0, row.until.0],
            undoes: row.undoes,
            carried: row.before.as_deref().cloned(),
        };
        let rows = state.tables.jobs.iter().map(|(slot, row)| {
            let job = Job {
                id: row.id.0,
                since: row.since.0,
                wake: row.wake.0,
                name: row.name.clone(),
                spec: row.spec.clone(),
                pieces: row.steps.iter().map(piece).collect(),
                cause: row.cause,
                waits: row.waits,
                paused: row.paused,
            };
            (slot.0, job)
        });
        rows.collect()
    }
}

/// Whether the order of the steps lets one begin.
fn may_begin(job: &Job, place: usize) -> bool {
    let (before, piece) = (&job.pieces[..place], &job.pieces[place]);
    let all_over = before.iter().all(Piece::over);
    match piece.task {
        _ if piece.undoes.is_some() => all_over,
        Task::Watch | Task::Checkpoint => all_over,
        Task::Install | Task::Restore => {
            let own = before.iter().filter(|other| other.ship == piece.ship);
            own.clone().count() == 1 && own.clone().all(Piece::over)
        }
        Task::Drain => {
            let watched = before.iter().all(|other| other.task != Task::Watch || other.over());
            let begun = before
                .iter()
                .filter(|other| other.task == Task::Drain && other.standing != Standing::Waiting);
            let in_hand = begun.filter(|drain| {
                job.pieces.iter().any(|other| other.ship == drain.ship && !other.over())
            });
            watched && in_hand.count() < job.spec.at_once as usize
        }
    }
}

/// What the vessel of a step has to carry for it to be done.
fn wanted(job: &Job, piece: &Piece) -> Option<Manifest> {
    match (&job.spec.work, piece.task) {
        (Work::Rollout { manifest, .. }, Task::Install) => Some((**manifest).clone()),
        (_, Task::Restore) => job.pieces[usize::from(piece.undoes?)].carried.clone(),
        _ => None,
    }
}
