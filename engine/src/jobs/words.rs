//! What is said to and by jobs.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::jobs::rows::{Cause, JobEnd, Spec, Task, Wait};
use crate::kernel::image::{code, words};
use crate::kernel::units::{JobId, JobSlot, Micros, OrderId, Ppm, VesselId};
use crate::models::rows::Manifest;

code! {
    /// What the world says became of a step.
    pub enum Reported {
        /// It was done.
        Done = 0,
        /// It was not.
        Failed = 1,
    }
}

code! {
    /// What became of a step, or of an attempt at it.
    pub enum StepEnd {
        /// It was done.
        Done = 0,
        /// The world says that it was not.
        Failed = 1,
        /// It took too long.
        TimedOut = 2,
        /// Its vessel was lost, or its order is not running any more.
        Lost = 3,
        /// Its vessel is gone for good: there is nothing to be done.
        Retired = 4,
        /// What was watched was not as it should be.
        Unsound = 5,
        /// The job gave it up.
        GivenUp = 6,
    }
}

/// What is to be done to the fleet step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "jobs::Command")]
pub enum Command {
    /// Starts a job.
    StartJob {
        /// What people call it.
        name: String,
        /// What is asked for.
        spec: Box<Spec>,
    },
    /// Has a job begin no further step; those that are being done go on.
    PauseJob {
        /// Which one.
        job: JobId,
    },
    /// Has it go on.
    ResumeJob {
        /// Which one.
        job: JobId,
    },
    /// Gives up what is being done, and has undone what was done if the job says so.
    CancelJob {
        /// Which one.
        job: JobId,
    },
    /// Reports what became of a step that the world does. That a vessel carries its new manifest is not reported:
    /// it registers with it.
    ReportStep {
        /// Of which job.
        job: JobId,
        /// Which step, from zero.
        step: u16,
        /// In which attempt.
        attempt: u16,
        /// What became of it.
        outcome: Reported,
    },
}

words! {
    /// What is done to the fleet step by step.
    #[serde(rename = "jobs::Event")]
    pub enum Event {
        /// A job was started.
        JobStarted = 0 {
            /// Its name.
            job: JobId,
            /// Where it is kept.
            slot: JobSlot,
            /// What people call it.
            name: String,
            /// What is asked for.
            spec: Box<Spec>,
        },
        /// An attempt at a step began.
        StepBegan = 1 {
            /// Of which job.
            job: JobId,
            /// Which step.
            step: u16,
            /// What it does.
            task: Task,
            /// Which attempt.
            attempt: u16,
            /// To which vessel; `NONE` if vessels are watched.
            vessel: VesselId,
            /// Of which order a checkpoint is written.
            order: Option<OrderId>,
            /// When it is overdue; of a watch, when it is over.
            until: Micros,
            /// What the vessel is to carry, where it begins anew.
            manifest: Option<Box<Manifest>>,
        },
        /// A step is over.
        StepEnded = 2 {
            /// Of which job.
            job: JobId,
            /// Which step.
            step: u16,
            /// What became of it.
            outcome: StepEnd,
        },
        /// A step failed and will be tried again.
        StepRetried = 3 {
            /// Of which job.
            job: JobId,
            /// Which step.
            step: u16,
            /// What became of the last attempt.
            outcome: StepEnd,
            /// Attempts so far.
            attempts: u16,
            /// When.
            at: Micros,
        },
        /// There is nothing to be done for a job at this moment.
        JobWaits = 4 {
            /// Which one.
            job: JobId,
            /// What it waits for.
            wait: Wait,
            /// When it is looked at again if nothing happens before.
            until: Micros,
        },
        /// A job begins no further step.
        JobPaused = 5 {
            /// Which one.
            job: JobId,
        },
        /// It goes on.
        JobResumed = 6 {
            /// Which one.
            job: JobId,
        },
        /// A wave has been watched and found sound: the next one may begin.
        JobPromoted = 7 {
            /// Of which job.
            job: JobId,
            /// The step that watched it.
            step: u16,
            /// Calls of its vessels that counted.
            calls: u64,
            /// The share of them that failed; zero where they were too few.
            failing: Ppm,
            /// The share of them that were slow; zero where they were too few.
            slow: Ppm,
        },
        /// What a job has done is undone, newest first.
        JobRolledBack = 8 {
            /// Which job.
            job: JobId,
            /// Why.
            cause: Cause,
            /// The step that was the reason; none if somebody asked for it.
            step: Option<u16>,
            /// The vessel that was, if it was one.
            vessel: VesselId,
            /// Calls of the vessels that were watched, and counted.
            calls: u64,
            /// The share of them that failed; zero where they were too few.
            failing: Ppm,
            /// The share of them that were slow; zero where they were too few.
            slow: Ppm,
        },
        /// A job ended.
        JobEnded = 9 {
            /// Which one.
            job: JobId,
            /// How.
            end: JobEnd,
            /// Steps that were done.
            done: u16,
            /// Steps that were not.
            failed: u16,
            /// Steps that were undone.
            compensated: u16,
            /// Steps that were not begun.
            skipped: u16,
        },
    }
}

impl Event {
    /// The most bytes of a manifest of 64 models.
    pub(crate) const MANIFEST_BYTES: usize = 448;
}

words! {
    /// What about a job stood in the way.
    #[serde(rename = "jobs::Refusal")]
    pub enum Refusal {
        /// No job of that name is live.
        Unknown = 0 {
            /// The name.
            job: JobId,
        },
        /// A part of what is asked for is outside of what it may be.
        Invalid = 1 {
            /// The field and what is wrong with it.
            fault: String,
        },
        /// A vessel has a job already.
        Taken = 2 {
            /// The vessel.
            vessel: VesselId,
            /// Its job.
            job: JobId,
        },
        /// The order is not being worked.
        NotRunning = 3 {
            /// Its number.
            order: u64,
        },
        /// The job is paused already, or is not; or what it did is being undone.
        WrongPhase = 4,
        /// The report speaks of a step or an attempt that is over.
        Stale = 5,
        /// The exchange sees for itself what becomes of such a step.
        NotReported = 6,
    }
}
