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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Stamp};
    use crate::exchange::Exchange;
    use crate::jobs::rows::{Cause, Spec, Step, Tries, Work};
    use crate::kernel::table::Writer;
    use crate::kernel::units::{
        JobSlot, JournalId, MicroUsd, Micros, Millijoules, ModelId, Ppm, RegionId, Seq, Tokens,
        VesselId,
    };
    use crate::models::rows::{Manifest, Role};
    use crate::security::rows::Source;
    use crate::{config, jobs, models};
    use alloc::boxed::Box;
    use alloc::vec;

    /// Two vessels that a job would drain, and a third; it waits since none may be out.
    fn waiting() -> State {
        let mut exchange = Exchange::genesis(JournalId([1; 16]));
        let manifest = Manifest {
            region: RegionId(0),
            role: Role::Whole,
            models: vec![ModelId(0)],
            slots: 1,
            context_max: Tokens(10),
            cache_tokens: Tokens::ZERO,
            domain: 0,
            prefill_per_kilotoken: Micros(1),
            decode_per_token: Micros(1),
            price_in: MicroUsd(1),
            price_cached: MicroUsd(1),
            price_out: MicroUsd(1),
            fuel_in: Millijoules(1),
            fuel_out: Millijoules(1),
            heartbeat: Micros::ZERO,
        };
        let vessel = |name: &str| {
            let (name, manifest) = (name.into(), manifest.clone());
            models::words::Command::RegisterVessel { name, manifest, start: 0 }.into()
        };
        let spec = Spec {
            work: Work::Drain { vessels: vec![VesselId(0), VesselId(1)] },
            at_once: 1,
            max_out: Ppm(1),
            only_when_normal: false,
            undo: false,
            patience: Micros(9),
            tries: Tries {
                attempts: 1,
                timeout: Micros(1),
                backoff: Micros(1),
                backoff_max: Micros(1),
            },
        };
        let commands: [Command; 7] = [
            config::words::Command::Configure(config::rows::Limits::default()).into(),
            models::words::Command::RegisterRegion {
                name: "quay".into(),
                hop: Micros(1),
                transfer: Micros::ZERO,
            }
            .into(),
            models::words::Command::RegisterModel { name: "minnow".into() }.into(),
            vessel("dory"),
            vessel("punt"),
            vessel("raft"),
            jobs::words::Command::StartJob { name: "it".into(), spec: Box::new(spec) }.into(),
        ];
        for (seq, command) in (0..).map(Seq).zip(&commands) {
            let stamp = Stamp { seq, time: Micros(5), source: Source::OPERATOR };
            exchange.decide(stamp, command, &mut Vec::new()).unwrap();
        }
        exchange.into_state()
    }

    #[test]
    fn every_contradiction_is_found() {
        assert_eq!(waiting().check(), Vec::<String>::new());
        let check = |fault: &str, change: &dyn Fn(&mut Job)| {
            let mut state = waiting();
            let mut writer = Writer::new(Seq(9));
            change(state.tables.jobs.edit(JobSlot(0), &mut writer).unwrap());
            let mut faults = Vec::new();
            super::check(&state, &mut faults);
            assert!(faults.iter().any(|text| text.contains(fault)), "{fault}: {faults:?}");
        };
        let run = |step: &mut Step, until: u64| {
            step.standing = Standing::Running;
            step.until = Micros(until);
        };
        check("jobs.0: a vessel of it is not there", &|job| {
            job.spec.work = Work::Drain { vessels: vec![VesselId(0), VesselId(9)] };
        });
        check("a vessel of it has another job", &|job| {
            job.spec.work = Work::Drain { vessels: vec![VesselId(0), VesselId(0)] };
        });
        check("found otherwise than they are kept", &|job| {
            job.spec.work = Work::Drain { vessels: vec![VesselId(0), VesselId(2)] };
        });
        check("it has too many steps", &|job| {
            job.steps = vec![Step::new(Task::Drain, VesselId(0), None); STEPS_MAX + 1];
        });
        check("it has not begun yet", &|job| job.since = Micros(6));
        check("a step was tried too often", &|job| job.steps[0].attempts = 2);
        check("does not know why", &|job| job.steps[0].undoes = Some(1));
        check("it does too much at once", &|job| {
            job.steps.iter_mut().for_each(|step| run(step, 99));
        });
        check("it goes on and undoes", &|job| {
            job.cause = Some(Cause::Cancelled);
            run(&mut job.steps[0], 99);
        });
        check("it undoes two things at once", &|job| {
            job.cause = Some(Cause::Cancelled);
            job.steps.iter_mut().for_each(|step| {
                step.undoes = Some(0);
                run(step, 99);
            });
        });
        check("it goes on while it watches", &|job| {
            job.steps[0].task = Task::Watch;
            run(&mut job.steps[0], 99);
            run(&mut job.steps[1], 99);
        });
        check("it is looked at too late", &|job| {
            job.wake = Micros(8);
            run(&mut job.steps[0], 7);
        });
    }
}
