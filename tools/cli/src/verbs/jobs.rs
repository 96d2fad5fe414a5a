//! `jobs`: the jobs that are live at some moment and those that have ended by then, read from the journal.
//! Nothing is decided or folded.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::command::Stamp;
use tensorforge_engine::jobs::{self, JobEnd, Spec, StepEnd, Task, Wait, Work};
use tensorforge_engine::units::{JobId, Micros, OrderId, Ppm, VesselId};
use tensorforge_journal::read_records;

use crate::args::JobsArgs;
use crate::failure::{Exit, Result};
use crate::moment;
use crate::names::Names;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, span};
use crate::text::{Text, paint};
use crate::verbs;
use crate::verbs::explain::word;

pub(crate) fn run(args: &JobsArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let (mut stories, mut names) = (BTreeMap::<JobId, Story>::new(), Names::default());
    let mut now = Micros::ZERO;
    read_records(&journal, 0, records, |record| {
        now = now.max(record.stamp.time);
        for event in record.events {
            names.learn(&event);
            let Event::Jobs(event) = event else { continue };
            if let jobs::Event::JobStarted { job, name, spec, .. } = &event {
                stories.insert(*job, Story::new(name, spec, record.stamp.time));
            } else if let Some(story) = stories.get_mut(&subject(&event)) {
                story.learn(record.stamp, event);
            }
        }
        ControlFlow::Continue(())
    })?;
    if as_json {
        let jobs: Vec<Value> = stories.iter().map(|(id, story)| story.json(*id, now)).collect();
        output::json(&json!({ "time_us": now, "vessels": names.vessels, "jobs": jobs }));
    } else if stories.is_empty() {
        output::say("no job was started");
    } else {
        stories.iter().for_each(|(id, story)| story.print(*id, now, &names));
    }
    Ok(Exit::AsAsked)
}

/// The job that an event is about.
fn subject(event: &jobs::Event) -> JobId {
    match event {
        jobs::Event::JobStarted { job, .. }
        | jobs::Event::StepBegan { job, .. }
        | jobs::Event::StepEnded { job, .. }
        | jobs::Event::StepRetried { job, .. }
        | jobs::Event::JobWaits { job, .. }
        | jobs::Event::JobPaused { job }
        | jobs::Event::JobResumed { job }
        | jobs::Event::JobPromoted { job, .. }
        | jobs::Event::JobRolledBack { job, .. }
        | jobs::Event::JobEnded { job, .. } => *job,
    }
}

/// What is told of a job.
struct Story {
    name: String,
    spec: Spec,
    since: Micros,
    /// Steps that were begun, or were over before that.
    steps: BTreeMap<u16, Step>,
    /// What was decided about it as a whole, where, and after how many of both.
    verdicts: Vec<(usize, Stamp, jobs::Event)>,
    /// Whether what it did is being undone.
    undoes: bool,
    waits: Option<(Wait, Micros)>,
    end: Option<(Micros, JobEnd)>,
}

/// What is told of a step.
#[derive(Default)]
struct Step {
    task: Option<Task>,
    vessel: Option<VesselId>,
    order: Option<OrderId>,
    attempts: u16,
    /// How many steps and verdicts were told before it.
    after: usize,
    /// Whether it helps to undo others, and whether it was undone.
    undoes: bool,
    undone: bool,
    /// When its first attempt began.
    began: Option<Micros>,
    ended: Option<(Micros, StepEnd)>,
}

impl Step {
    /// How long it took, or has taken so far.
    fn took(&self, now: Micros) -> Option<Micros> {
        Some(self.ended.map_or(now, |(at, _)| at) - self.began?)
    }
}

impl Story {
    fn new(name: &str, spec: &Spec, since: Micros) -> Self {
        let (name, spec) = (name.to_owned(), spec.clone());
        let (steps, verdicts) = (BTreeMap::new(), Vec::new());
        let (waits, end) = (None, None);
        Self { name, spec, since, steps, verdicts, undoes: false, waits, end }
    }

    fn learn(&mut self, stamp: Stamp, event: jobs::Event) {
        let (time, after) = (stamp.time, self.steps.len() + self.verdicts.len());
        let fresh = Step { after, undoes: self.undoes, ..Step::default() };
        match event {
            jobs::Event::StepBegan { step, task, attempt, vessel, order, .. } => {
                let row = self.steps.entry(step).or_insert(fresh);
                row.task = Some(task);
                row.vessel = Some(vessel).filter(|vessel| *vessel != VesselId::NONE);
                row.order = order;
                row.attempts = attempt;
                row.began = row.began.or(Some(time));
            }
            jobs::Event::StepEnded { step, outcome, .. } => {
                let row = self.steps.entry(step).or_insert(fresh);
                row.ended = Some((time, outcome));
                let (restores, vessel) = (row.task == Some(Task::Restore), row.vessel);
                if restores && outcome == StepEnd::Done {
                    let same = self.steps.values_mut().filter(|step| step.vessel == vessel);
                    same.filter(|step| !step.undoes).for_each(|step| step.undone = true);
                }
            }
            jobs::Event::JobWaits { wait, until, .. } => self.waits = Some((wait, until)),
            jobs::Event::JobEnded { end, .. } => {
                self.end = Some((time, end));
                self.verdicts.push((after, stamp, event));
            }
            event => {
                self.undoes |= matches!(event, jobs::Event::JobRolledBack { .. });
                self.verdicts.push((after, stamp, event));
            }
        }
    }

    /// What it waits for, while it is live.
    fn waits(&self) -> Option<(Wait, Micros)> {
        self.waits.filter(|_| self.end.is_none())
    }

    fn json(&self, id: JobId, now: Micros) -> Value {
        let steps = self.steps.iter().map(|(place, step)| {
            json!({
                "step": place,
                "task": step.task,
                "vessel": step.vessel,
                "order": step.order,
                "attempts": step.attempts,
                "outcome": step.ended.map(|(_, outcome)| outcome),
                "began_us": step.began,
                "took_us": step.took(now),
                "undone": step.undone,
            })
        });
        let verdicts = self.verdicts.iter().map(
            |(_, stamp, event)| json!({ "seq": stamp.seq, "time_us": stamp.time, "event": event }),
        );
        let waits = self.waits().map(|(wait, until)| json!({ "for": wait, "until_us": until }));
        json!({
            "job": id,
            "name": self.name,
            "spec": self.spec,
            "since_us": self.since,
            "end": self.end.map(|(_, end)| end),
            "ended_us": self.end.map(|(at, _)| at),
            "waits": waits,
            "steps": steps.collect::<Vec<_>>(),
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }

    fn print(&self, id: JobId, now: Micros, names: &Names) {
        let what = match &self.spec.work {
            Work::Drain { vessels } => {
                format!("drain of {}", counted(vessels.len() as u64, "vessel"))
            }
            Work::Rollout { vessels, .. } => {
                format!("rollout to {}", counted(vessels.len() as u64, "vessel"))
            }
            Work::Checkpoint { order } => format!("checkpoint of order {order}"),
        };
        let end = match self.end {
            Some((at, JobEnd::Completed)) => paint(GOOD, "completed") + after(at - self.since),
            Some((at, end)) => paint(BAD, plain(end)) + after(at - self.since),
            None => Text::from(format!("live for {}", span((now - self.since).0))),
        };
        let head = paint(NAME, format!("job {id}"));
        let told = format!(" {:?}, {what}, started at {}: ", self.name, span(self.since.0));
        output::say(head + told + end);
        let steps = self
            .steps
            .iter()
            .map(|(place, step)| (step.after, self.step_text(*place, step, now, names)));
        let verdicts = self.verdicts.iter().map(|(after, stamp, event)| {
            let since = format!("  {:>12}  ", format!("+{}", span((stamp.time - self.since).0)));
            let record = paint(FAINT, format!("record {}", stamp.seq));
            (*after, Text::from(since) + self.verdict(event, names) + "  " + record)
        });
        let mut lines: Vec<(usize, Text)> = steps.chain(verdicts).collect();
        lines.sort_by_key(|(after, _)| *after);
        lines.into_iter().for_each(|(_, line)| output::say(line));
        if let Some((wait, until)) = self.waits() {
            let until = match until {
                Micros::MAX => String::new(),
                until => format!(", looked at again in {}", span((until - now).0)),
            };
            output::say(format!("  waits for {}{until}", waited_for(wait)));
        }
    }

    fn step_text(&self, place: u16, step: &Step, now: Micros, names: &Names) -> Text {
        let task = step.task.map_or_else(|| "not begun".to_owned(), word);
        let of = step.vessel.map_or_else(String::new, |vessel| names.vessel(vessel));
        let outcome = match step.ended {
            Some((_, StepEnd::Done)) => paint(GOOD, format!("{:<9}", "done")),
            Some((_, outcome)) => paint(BAD, format!("{:<9}", plain(outcome))),
            None => Text::from(format!("{:<9}", "running")),
        };
        let began =
            step.began.map_or_else(String::new, |at| format!("+{}", span((at - self.since).0)));
        let took = step.took(now).map_or_else(String::new, |took| {
            let undone = if step.undone { ", undone" } else { "" };
            let attempts = counted(step.attempts.into(), "attempt");
            format!("  took {}, {attempts}{undone}", span(took.0))
        });
        Text::from(format!("  {began:>12}  step {place:>3}  {task:<10} {of:<16} ")) + outcome + took
    }

    fn verdict(&self, event: &jobs::Event, names: &Names) -> Text {
        match event {
            jobs::Event::JobPaused { .. } => "paused".into(),
            jobs::Event::JobResumed { .. } => "resumed".into(),
            jobs::Event::StepRetried { step, outcome, attempts, at, .. } => format!(
                "step {step} {}, tried again at +{}, after {}",
                plain(outcome),
                span((*at - self.since).0),
                counted((*attempts).into(), "attempt"),
            )
            .into(),
            jobs::Event::JobPromoted { step, calls, failing, slow, .. } => {
                paint(GOOD, "promoted")
                    + format!(" by step {step}: {}", self.shares(*calls, *failing, *slow))
            }
            jobs::Event::JobRolledBack { cause, step, vessel, calls, failing, slow, .. } => {
                let by = step.map_or_else(String::new, |step| format!(" by step {step}"));
                let of = match *vessel {
                    VesselId::NONE => String::new(),
                    vessel => format!(" ({})", names.vessel(vessel)),
                };
                let told = format!("{by}, {}{of}: ", plain(cause));
                paint(BAD, "rolled back") + told + self.shares(*calls, *failing, *slow)
            }
            jobs::Event::JobEnded { end, done, failed, compensated, skipped, .. } => format!(
                "{}: {} done, {failed} failed, {compensated} undone, {skipped} not begun",
                plain(end),
                counted((*done).into(), "step"),
            )
            .into(),
            _ => Text::from(String::new()),
        }
    }

    /// What was seen, and what would have been too much.
    fn shares(&self, calls: u64, failing: Ppm, slow: Ppm) -> String {
        let Work::Rollout { watch, .. } = &self.spec.work else {
            return "nothing was watched".to_owned();
        };
        format!(
            "{}, {} failed (too much is {}), {} slow (too much is {}), from {} on",
            counted(calls, "call"),
            percent(failing),
            limit(watch.failing),
            percent(slow),
            limit(watch.slow),
            counted(watch.calls.into(), "call"),
        )
    }
}

/// A name as people say it.
fn plain(name: impl Serialize) -> String {
    word(name).replace('_', " ")
}

fn after(took: Micros) -> String {
    format!(" after {}", span(took.0))
}

fn limit(share: Ppm) -> String {
    if share == Ppm::ZERO { "never".to_owned() } else { percent(share) }
}

/// All four places, since a ten-thousandth of a percent decides.
fn percent(Ppm(share): Ppm) -> String {
    format!("{}.{:04} %", share / 10_000, share % 10_000)
}

fn waited_for(wait: Wait) -> &'static str {
    match wait {
        Wait::Step => "a step that is being done",
        Wait::Backoff => "the next attempt at a step",
        Wait::Level => "the level to be normal",
        Wait::Room => "fewer vessels to be out",
        Wait::Paused => "being resumed",
    }
}
