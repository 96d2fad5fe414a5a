//! Steps about jobs.

use serde::Deserialize;
use tensorforge_engine::State;
use tensorforge_engine::jobs::{Command, Job, Reported, Spec, Tries, Watch, Work};
use tensorforge_engine::units::{JobId, Ppm, VesselId};

use super::{Scenario, order};
use crate::document::Millis;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    name: String,
    drain: Option<Vec<String>>,
    rollout: Option<Rollout>,
    checkpoint: Option<u64>,
    #[serde(default = "one")]
    at_once: u32,
    #[serde(default = "whole")]
    max_out_ppm: u64,
    #[serde(default)]
    only_when_normal: bool,
    #[serde(default = "yes")]
    undo: bool,
    #[serde(default = "minute")]
    patience_ms: Millis,
    #[serde(default = "three")]
    attempts: u16,
    #[serde(default = "minute")]
    timeout_ms: Millis,
    #[serde(default = "second")]
    backoff_ms: Millis,
    #[serde(default = "second")]
    backoff_max_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollout {
    vessels: Vec<String>,
    /// The vessel whose manifest they get.
    like: String,
    #[serde(default = "one")]
    canary: u32,
    #[serde(default = "two")]
    growth: u32,
    hold_ms: Millis,
    every_ms: Millis,
    #[serde(default = "one")]
    calls: u32,
    #[serde(default)]
    failing_ppm: u64,
    #[serde(default)]
    slow_ppm: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    job: String,
    step: u16,
    attempt: Option<u16>,
    outcome: Reported,
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn three() -> u16 {
    3
}

fn whole() -> u64 {
    Ppm::ONE.0
}

fn yes() -> bool {
    true
}

fn second() -> Millis {
    Millis::new(1_000)
}

fn minute() -> Millis {
    Millis::new(60_000)
}

impl Scenario {
    /// The command that starts a job.
    pub(super) fn start_job(&self, asked: Start, state: &State) -> Result<Command, String> {
        let vessel = |name: String| self.vessel(state, &name);
        let vessels = |names: Vec<String>| {
            names.into_iter().map(vessel).collect::<Result<Vec<VesselId>, String>>()
        };
        let work = match (asked.drain, asked.rollout, asked.checkpoint) {
            (Some(names), None, None) => Work::Drain { vessels: vessels(names)? },
            (None, Some(rollout), None) => Work::Rollout {
                vessels: vessels(rollout.vessels)?,
                manifest: Box::new(self.manifest_of(&rollout.like)?),
                canary: rollout.canary,
                growth: rollout.growth,
                watch: Watch {
                    hold: rollout.hold_ms.micros(),
                    every: rollout.every_ms.micros(),
                    calls: rollout.calls,
                    failing: Ppm(rollout.failing_ppm),
                    slow: Ppm(rollout.slow_ppm),
                },
            },
            (None, None, Some(number)) => Work::Checkpoint { order: order(state, number)? },
            _ => return Err("start_job: one of drain, rollout and checkpoint".to_owned()),
        };
        let spec = Spec {
            work,
            at_once: asked.at_once,
            max_out: Ppm(asked.max_out_ppm),
            only_when_normal: asked.only_when_normal,
            undo: asked.undo,
            patience: asked.patience_ms.micros(),
            tries: Tries {
                attempts: asked.attempts,
                timeout: asked.timeout_ms.micros(),
                backoff: asked.backoff_ms.micros(),
                backoff_max: asked.backoff_max_ms.micros(),
            },
        };
        Ok(Command::StartJob { name: asked.name, spec: Box::new(spec) })
    }
}

/// The job of a name, or of a number, live or not.
pub(super) fn id_of(state: &State, name: &str) -> Result<JobId, String> {
    let number = name.parse().map(JobId).ok();
    named(state, name).map(|job| job.id).or_else(|absent| number.ok_or(absent))
}

/// The live job of a name.
fn named<'a>(state: &'a State, name: &str) -> Result<&'a Job, String> {
    let mut jobs = state.tables.jobs.iter().map(|(_, job)| job);
    jobs.find(|job| job.name == name).ok_or_else(|| format!("job {name:?} is not live"))
}

/// The command that reports on a step, in its present attempt unless another one is named.
pub(super) fn report(state: &State, told: &Report) -> Result<Command, String> {
    let job = named(state, &told.job)?;
    let present = job.steps.get(usize::from(told.step)).map_or(0, |step| step.attempts);
    Ok(Command::ReportStep {
        job: job.id,
        step: told.step,
        attempt: told.attempt.unwrap_or(present),
        outcome: told.outcome,
    })
}
