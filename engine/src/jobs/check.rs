//! What is true of jobs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::jobs::rows::{Job, STEPS_MAX, Standing, Task};
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    let mut taken = BTreeMap::new();
    for (slot, job) in state.tables.jobs.iter() {
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(format!("jobs.{slot}: {text}"));
            }
        };
        for vessel in job.spec.work.vessels() {
            fault(taken.insert(*vessel, slot).is_some(), "a vessel of it has another job as well");
            fault(state.tables.vessels.get(*vessel).is_none(), "a vessel of it is not there");
        }
        fault(job.steps.len() > STEPS_MAX, "it has too many steps");
        fault(job.since > state.now(), "it has not begun yet");
        let tries = job.spec.tries.attempts;
        fault(job.steps.iter().any(|step| step.attempts > tries), "a step was tried too often");
        let undoing = job.steps.iter().any(|step| step.undoes.is_some());
        fault(undoing && job.cause.is_none(), "it undoes what it did, and does not know why");
        let under_way = |job: &Job, undoes: bool| {
            let steps = job.steps.iter().filter(|step| step.undoes.is_some() == undoes);
            steps.filter(|step| step.standing == Standing::Running).count()
        };
        fault(under_way(job, true) > 1, "it undoes two things at once");
        fault(job.cause.is_some() && under_way(job, false) > 0, "it goes on and undoes");
        fault(under_way(job, false) > job.spec.at_once as usize, "it does too much at once");
        let mut steps = job.steps.iter().skip_while(|step| step.is_over());
        let first = steps.next();
        let watches = first.is_some_and(|step| step.task == Task::Watch);
        let alone = steps.all(|step| step.standing == Standing::Waiting);
        fault(watches && !alone, "it goes on while it watches");
        let running = job.steps.iter().filter(|step| step.standing == Standing::Running);
        let late = running.filter(|step| step.until < job.wake && job.wake > state.now()).count();
        fault(late > 0, "it is looked at too late");
    }
    if taken != state.index.jobs {
        faults.push("jobs: found otherwise than they are kept".into());
    }
}
