//! Jobs that are live: what is asked for, and how far each of their steps has come.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::image::{code, row, words};
use crate::kernel::units::{JobId, Micros, OrderId, Ppm, VesselId};
use crate::models::rows::Manifest;

/// The most jobs that are live at once.
pub const JOBS_MAX: u32 = 64;

/// The most steps of one job, those included that undo others.
pub const STEPS_MAX: usize = 1_024;

/// The most vessels that one job takes out at once.
pub const AT_ONCE_MAX: u32 = 16;

/// The most attempts at one step.
const ATTEMPTS_MAX: u16 = 16;

/// The most that one wave may be larger than the one before it.
const GROWTH_MAX: u32 = 1_000;

code! {
    /// What one step does.
    pub enum Task {
        /// A vessel finishes what it has, and takes no more.
        Drain = 0,
        /// It begins anew with the new manifest.
        Install = 1,
        /// The vessels of a wave are watched for a while.
        Watch = 2,
        /// A vessel writes a checkpoint of an order.
        Checkpoint = 3,
        /// A vessel begins anew with the manifest that it had before: this undoes what was done to it.
        Restore = 4,
    }
}

code! {
    /// How far a step has come.
    pub enum Standing {
        /// It has not begun, or waits for its next attempt.
        Waiting = 0,
        /// It is being done.
        Running = 1,
        /// It was done.
        Done = 2,
        /// It was not, and is not tried again.
        Failed = 3,
        /// It was begun, and has been undone.
        Compensated = 4,
        /// It is not begun any more.
        Skipped = 5,
    }
}

code! {
    /// What a job waits for, whatever comes first of it being looked at again.
    pub enum Wait {
        /// A step that is being done.
        Step = 0,
        /// The next attempt at one.
        Backoff = 1,
        /// That the level is normal.
        Level = 2,
        /// That fewer vessels of a model are out.
        Room = 3,
        /// That it is resumed.
        Paused = 4,
    }
}

code! {
    /// Why what was done is undone.
    pub enum Cause {
        /// Too large a share of the calls to vessels that were watched failed.
        Failing = 0,
        /// Too large a share of them was slow.
        Slow = 1,
        /// The breaker of one that was watched opened.
        CutOff = 2,
        /// One that was watched was lost, or began anew with orders aboard.
        Lost = 3,
        /// A vessel did not come with its new manifest.
        NotInstalled = 4,
        /// Somebody cancelled the job.
        Cancelled = 5,
    }
}

code! {
    /// How a job ends.
    pub enum JobEnd {
        /// Everything was done.
        Completed = 0,
        /// Something was not.
        Failed = 1,
        /// What was done was undone, as far as that could be.
        RolledBack = 2,
        /// It was cancelled; what was done was undone if it was to be.
        Cancelled = 3,
    }
}

row! {
    /// For how long, and for what, vessels with a new manifest are watched before the next wave.
    pub struct Watch {
        /// For how long.
        pub hold: Micros,
        /// How often they are looked at meanwhile.
        pub every: Micros,
        /// The calls that there have to be before a share of them says anything.
        pub calls: u32,
        /// The share of calls that fail at which all is undone; zero is never.
        pub failing: Ppm,
        /// The share of calls that are slow at which it is; zero is never.
        pub slow: Ppm,
    }
}

row! {
    /// How a step is tried that the world does.
    pub struct Tries {
        /// Attempts in all, the first included.
        pub attempts: u16,
        /// How long one may take.
        pub timeout: Micros,
        /// The shortest wait before a further attempt; the longest is three times the one before it.
        pub backoff: Micros,
        /// The longest wait.
        pub backoff_max: Micros,
    }
}

words! {
    /// What is to be done.
    pub enum Work {
        /// Vessels are taken out of service.
        Drain = 0 {
            /// Which, in this order.
            vessels: Vec<VesselId>,
        },
        /// Vessels get another manifest, in waves.
        Rollout = 1 {
            /// Which, in this order.
            vessels: Vec<VesselId>,
            /// What they are to carry.
            manifest: Box<Manifest>,
            /// How many are in the first wave.
            canary: u32,
            /// So many times as many as in the wave before are in the next one.
            growth: u32,
            /// How each wave is watched.
            watch: Watch,
        },
        /// A training order's vessel writes a checkpoint.
        Checkpoint = 2 {
            /// Which order's.
            order: OrderId,
        },
    }
}

row! {
    /// What is asked of a job.
    pub struct Spec {
        /// What is to be done.
        pub work: Work,
        /// How many vessels are out of service for it at once, at most.
        pub at_once: u32,
        /// The share of a model's vessels that may be out for whatever reason when it takes out one of them.
        pub max_out: Ppm,
        /// Whether nothing is taken out while the level is above normal.
        pub only_when_normal: bool,
        /// Whether what was done is undone if it is cancelled.
        pub undo: bool,
        /// How long a vessel may take to finish what it has.
        pub patience: Micros,
        /// How steps are tried that the world does.
        pub tries: Tries,
    }
}

row! {
    /// One step of a job.
    pub struct Step {
        /// When its present attempt began.
        pub began: Micros,
        /// When that is overdue; or, of one that waits, when it may begin.
        pub until: Micros,
        /// To which vessel it is done; `NONE` if to none, or to none yet.
        pub vessel: VesselId,
        /// Attempts so far.
        pub attempts: u16,
        /// What it does.
        pub task: Task,
        /// How far it has come.
        pub standing: Standing,
        /// The step that it helps to undo.
        pub undoes: Option<u16>,
        /// What its vessel carried before it began, where that may be wanted again.
        pub before: Option<Box<Manifest>>,
    }
}

row! {
    /// A job that is live.
    pub struct Job {
        /// Its name.
        pub id: JobId,
        /// When it was started.
        pub since: Micros,
        /// When it has to be looked at again.
        pub wake: Micros,
        /// What people call it.
        pub name: String,
        /// What is asked for.
        pub spec: Spec,
        /// Its steps; those that undo others come last.
        pub steps: Vec<Step>,
        /// Why what was done is undone; none as long as it is not.
        pub cause: Option<Cause>,
        /// What it waited for when it was last looked at.
        pub waits: Wait,
        /// Whether no step may begin.
        pub paused: bool,
    }
}

impl Step {
    pub(crate) fn new(task: Task, vessel: VesselId, undoes: Option<u16>) -> Self {
        Self {
            began: Micros::ZERO,
            until: Micros::ZERO,
            vessel,
            attempts: 0,
            task,
            standing: Standing::Waiting,
            undoes,
            before: None,
        }
    }

    /// Whether nothing more becomes of it, unless it is undone.
    pub fn is_over(&self) -> bool {
        !matches!(self.standing, Standing::Waiting | Standing::Running)
    }

    /// Whether it is about its vessel, is not there to undo another one, and has been begun.
    fn has_changed(&self) -> bool {
        self.undoes.is_none() && matches!(self.standing, Standing::Done | Standing::Failed)
    }
}

impl Work {
    /// The vessels that it takes out.
    pub fn vessels(&self) -> &[VesselId] {
        match self {
            Self::Drain { vessels } | Self::Rollout { vessels, .. } => vessels,
            Self::Checkpoint { .. } => &[],
        }
    }

    /// Its steps, in order.
    pub(crate) fn steps(&self) -> Vec<Step> {
        match self {
            Self::Drain { vessels } => {
                vessels.iter().map(|vessel| Step::new(Task::Drain, *vessel, None)).collect()
            }
            Self::Rollout { vessels, canary, growth, .. } => {
                let (mut steps, mut rest, mut size) = (Vec::new(), vessels.as_slice(), *canary);
                while !rest.is_empty() {
                    let (wave, later) = rest.split_at(rest.len().min(size.max(1) as usize));
                    for vessel in wave {
                        steps.push(Step::new(Task::Drain, *vessel, None));
                        steps.push(Step::new(Task::Install, *vessel, None));
                    }
                    steps.push(Step::new(Task::Watch, VesselId::NONE, None));
                    size = size.saturating_mul(*growth);
                    rest = later;
                }
                steps
            }
            Self::Checkpoint { .. } => {
                Vec::from([Step::new(Task::Checkpoint, VesselId::NONE, None)])
            }
        }
    }
}

impl Spec {
    /// Everything that is wrong with it, each fault naming its field.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(String::from(text));
            }
        };
        let mut vessels = self.work.vessels().to_vec();
        vessels.sort_unstable();
        let twice = vessels.iter().zip(vessels.iter().skip(1)).any(|(one, next)| one == next);
        fault(twice, "vessels: one is named twice");
        match &self.work {
            Work::Checkpoint { .. } => {}
            Work::Drain { .. } => fault(vessels.is_empty(), "vessels: there are none"),
            Work::Rollout { canary, growth, watch, .. } => {
                fault(vessels.is_empty(), "vessels: there are none");
                fault(*canary == 0, "canary is 0");
                fault(*growth == 0 || *growth > GROWTH_MAX, "growth is 0 or above 1000");
                fault(watch.hold.0 == 0, "watch.hold is 0");
                fault(watch.every.0 == 0, "watch.every is 0");
                fault(watch.calls == 0, "watch.calls is 0");
                fault(watch.failing > Ppm::ONE, "watch.failing is above 1000000");
                fault(watch.slow > Ppm::ONE, "watch.slow is above 1000000");
            }
        }
        let at_once = format!("at_once is 0 or above {AT_ONCE_MAX}");
        fault(self.at_once == 0 || self.at_once > AT_ONCE_MAX, &at_once);
        let out = self.max_out;
        fault(out == Ppm::ZERO || out > Ppm::ONE, "max_out is 0 or above 1000000");
        fault(self.patience.0 == 0, "patience is 0");
        let Tries { attempts, timeout, backoff, backoff_max } = self.tries;
        fault(attempts == 0 || attempts > ATTEMPTS_MAX, "tries.attempts is 0 or above 16");
        fault(timeout.0 == 0, "tries.timeout is 0");
        fault(backoff > backoff_max, "tries.backoff is above tries.backoff_max");
        faults
    }

    /// The most steps that it may come to: each vessel drained and restored besides.
    pub(crate) fn steps_most(&self) -> usize {
        let vessels = self.work.vessels().len();
        // One step or three a vessel, and each is undone by two at most: so long a list is not made.
        match vessels > STEPS_MAX {
            true => vessels,
            false => self.work.steps().len().saturating_add(vessels.saturating_mul(2)),
        }
    }
}

impl Job {
    /// The steps that undo what was done, newest first: a vessel that may carry the new manifest finishes what it
    /// has before it gets the one back that it had.
    pub(crate) fn undoing(&self) -> Vec<Step> {
        let mut undoing = Vec::new();
        let places: Vec<(u16, &Step)> = (0..).zip(&self.steps).collect();
        for (place, step) in places.into_iter().rev() {
            if step.task != Task::Drain || !step.has_changed() {
                continue;
            }
            let mut same = self.steps.iter().filter(|other| other.vessel == step.vessel);
            if same.any(|other| other.task == Task::Install && other.has_changed()) {
                undoing.push(Step::new(Task::Drain, step.vessel, Some(place)));
            }
            undoing.push(Step::new(Task::Restore, step.vessel, Some(place)));
        }
        undoing
    }

    /// What the vessel of a step has to carry for it to be done.
    pub(crate) fn wanted(&self, step: &Step) -> Option<&Manifest> {
        match (step.task, &self.spec.work) {
            (Task::Install, Work::Rollout { manifest, .. }) => Some(manifest),
            (Task::Restore, _) => {
                self.steps.get(usize::from(step.undoes?)).and_then(|step| step.before.as_deref())
            }
            _ => None,
        }
    }

    /// The vessels of the wave that a step watches, the last one first.
    pub(crate) fn watched(&self, place: usize) -> impl Iterator<Item = VesselId> {
        let before = self.steps.get(..place).unwrap_or_default().iter().rev();
        let wave = before.take_while(|step| step.task != Task::Watch);
        let installed =
            |step: &&Step| step.task == Task::Install && step.standing == Standing::Done;
        wave.filter(installed).map(|step| step.vessel)
    }
}
