//! Jobs of several steps, done to the fleet: drains, rollouts and checkpoints.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use rows::{
    AT_ONCE_MAX, Cause, JOBS_MAX, Job, JobEnd, STEPS_MAX, Spec, Standing, Step, Task, Tries, Wait,
    Watch, Work,
};
pub use words::{Command, Event, Refusal, Reported, StepEnd};
