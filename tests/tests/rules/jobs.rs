//! Jobs of several steps: every transition worked out by hand, a line for each decision.

use tensorforge_engine::effect::{Effect, effects};
use tensorforge_engine::jobs::{
    self, AT_ONCE_MAX, JOBS_MAX, Reported, Spec, Standing, Task, Tries, Watch, Work,
};
use tensorforge_engine::models::{Demand, Kind, Manifest, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::{Scope, Scopes, Source};
use tensorforge_engine::units::{
    JobId, JobSlot, MicroUsd, Micros, ModelId, OrderId, Ppm, Seq, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Command, Event, Exchange, Stamp, State, models, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::breakers::answer;

const SECOND: u64 = 1_000_000;

/// No breaker opens, nothing times out, and nothing is tried again.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(10_000 * SECOND);
    policy.lifetime = [Micros(10_000 * SECOND); 3];
    policy.retry.attempts = 1;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm::ZERO;
    policy.breaker.slow = Ppm::ZERO;
    policy.breaker.window = Micros(1_000 * SECOND);
    policy.escalation.calls = u32::MAX;
    policy.hedge_percent = [0; 3];
    policy
}

/// A minute of patience; two attempts of ten seconds with one between them; a watch of half a minute that looks
/// every ten seconds.
fn spec(work: Work) -> Spec {
    Spec {
        work,
        at_once: 1,
        max_out: Ppm::ONE,
        only_when_normal: false,
        undo: true,
        patience: Micros(60 * SECOND),
        tries: Tries {
            attempts: 2,
            timeout: Micros(10 * SECOND),
            backoff: Micros(SECOND),
            backoff_max: Micros(SECOND),
        },
    }
}

fn ids(vessels: &[u32]) -> Vec<VesselId> {
    vessels.iter().copied().map(VesselId).collect()
}

fn drain(vessels: &[u32]) -> Spec {
    spec(Work::Drain { vessels: ids(vessels) })
}

/// Ten times as quick with answers, so that whoever carries it gets all work.
fn better() -> Manifest {
    Manifest { decode_per_token: Micros(1_000), slots: 50, ..boat() }
}

fn rollout(vessels: &[u32], watch: Watch) -> Spec {
    let vessels = ids(vessels);
    spec(Work::Rollout { vessels, manifest: Box::new(better()), canary: 1, growth: 2, watch })
}

fn watch() -> Watch {
    Watch {
        hold: Micros(30 * SECOND),
        every: Micros(10 * SECOND),
        calls: 3,
        failing: Ppm(333_333),
        slow: Ppm::ZERO,
    }
}

fn fleet(vessels: u32, policy: &Policy) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    (0..vessels).for_each(|vessel| desk.vessel(&format!("v{vessel}"), boat()));
    desk
}

/// A name as JSON has it.
fn word(value: &impl std::fmt::Debug) -> String {
    let parts = format!("{value:?}");
    let spelled = parts.chars().enumerate().map(|(place, c)| match c.is_uppercase() && place > 0 {
        true => format!("_{}", c.to_lowercase()),
        false => c.to_lowercase().to_string(),
    });
    spelled.collect()
}

/// Moments in seconds; `-` for never.
fn at(moment: Micros) -> String {
    if moment == Micros::MAX { "-".into() } else { (moment.0 / SECOND).to_string() }
}

/// What is told of jobs and of the vessels' coming and going.
fn told(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match event {
        Event::Jobs(event) => Some(told_of_job(event)),
        Event::Models(models::Event::VesselDraining { vessel }) => {
            Some(format!("draining v{vessel}"))
        }
        Event::Models(models::Event::VesselDrained { vessel }) => {
            Some(format!("drained v{vessel}"))
        }
        Event::Workflow(workflow::Event::CommandRefused { refusal }) => Some(refusal.to_string()),
        _ => None,
    });
    told.collect()
}

fn told_of_job(event: &jobs::Event) -> String {
    match event {
        jobs::Event::JobStarted { name, .. } => format!("started {name}"),
        jobs::Event::StepBegan { step, task, attempt, vessel, until, .. } => {
            let of = if *vessel == VesselId::NONE { "-".into() } else { format!("v{vessel}") };
            format!("begin {step} {} {of} #{attempt} until {}", word(task), at(*until))
        }
        jobs::Event::StepEnded { step, outcome, .. } => format!("end {step} {}", word(outcome)),
        jobs::Event::StepRetried { step, outcome, attempts, at: then, .. } => {
            format!("retry {step} {} #{attempts} at {}", word(outcome), at(*then))
        }
        jobs::Event::JobWaits { wait, until, .. } => format!("wait {} {}", word(wait), at(*until)),
        jobs::Event::JobPaused { .. } => "paused".into(),
        jobs::Event::JobResumed { .. } => "resumed".into(),
        jobs::Event::JobPromoted { step, calls, failing, slow, .. } => {
            format!("promoted {step} of {calls} {failing} {slow}")
        }
        jobs::Event::JobRolledBack { cause, calls, failing, slow, .. } => {
            format!("rolled back {} of {calls} {failing} {slow}", word(cause))
        }
        jobs::Event::JobEnded { end, done, failed, compensated, skipped, .. } => {
            format!("ended {} {done} {failed} {compensated} {skipped}", word(end))
        }
    }
}

/// A desk, and the one job that is started there.
struct Yard {
    desk: Desk,
    job: JobId,
}

impl Yard {
    fn new(desk: Desk) -> Self {
        Self { desk, job: JobId(0) }
    }

    fn start(&mut self, seconds: u64, spec: Spec, expected: &[&str]) {
        let command = jobs::Command::StartJob { name: "it".into(), spec: Box::new(spec) };
        let events = self.desk.tell(seconds * SECOND, command);
        if let Some(Event::Jobs(jobs::Event::JobStarted { job, .. })) = events.first() {
            self.job = *job;
        }
        assert_eq!(told(&events), expected, "started at {seconds}");
    }

    fn tell(&mut self, seconds: u64, command: impl Into<Command>, expected: &[&str]) {
        let command = command.into();
        let events = self.desk.tell(seconds * SECOND, command.clone());
        assert_eq!(told(&events), expected, "{command:?} at {seconds}");
    }

    fn pause(&mut self, seconds: u64, expected: &[&str]) {
        self.tell(seconds, jobs::Command::PauseJob { job: self.job }, expected);
    }

    fn resume(&mut self, seconds: u64, expected: &[&str]) {
        self.tell(seconds, jobs::Command::ResumeJob { job: self.job }, expected);
    }

    fn cancel(&mut self, seconds: u64, expected: &[&str]) {
        self.tell(seconds, jobs::Command::CancelJob { job: self.job }, expected);
    }

    fn report(&mut self, seconds: u64, step: u16, attempt: u16, failed: bool, expected: &[&str]) {
        let outcome = if failed { Reported::Failed } else { Reported::Done };
        let job = self.job;
        self.tell(seconds, jobs::Command::ReportStep { job, step, attempt, outcome }, expected);
    }

    /// The world brings a vessel with this manifest; then whatever is due is decided.
    fn install(&mut self, seconds: u64, vessel: u32, manifest: Manifest, expected: &[&str]) {
        let name = format!("v{vessel}");
        self.desk
            .tell(seconds * SECOND, models::Command::RegisterVessel { name, manifest, start: 0 });
        self.until(seconds, expected);
    }

    /// Lets time pass until a moment, timer by timer.
    fn until(&mut self, seconds: u64, expected: &[&str]) {
        assert_eq!(told(&self.pass(seconds)), expected, "until {seconds}");
    }

    /// The same; what was decided.
    fn pass(&mut self, seconds: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let due =
            |desk: &Desk| desk.state().next_deadline().filter(|due| due.0 <= seconds * SECOND);
        while let Some(due) = due(&self.desk) {
            let now = due.max(self.desk.state().now());
            events.extend(self.desk.tell(now.0, workflow::Command::Advance));
            assert!(events.len() < 10_000, "{due}: {:?}", &events[9_990..]);
        }
        events
    }

    fn standings(&self) -> Vec<Standing> {
        let rows = &self.desk.state().tables.jobs;
        rows.get(JobSlot(0)).unwrap().steps.iter().map(|step| step.standing).collect()
    }
}

/// One after the other: the next one is told to once the one before it has finished what it had.
#[test]
fn vessels_are_drained_one_at_a_time() {
    let mut desk = fleet(1, &rules());
    desk.submit(0, demand());
    (1..4).for_each(|vessel| desk.vessel(&format!("v{vessel}"), boat()));
    let mut yard = Yard::new(desk);
    yard.start(
        10,
        drain(&[0, 2, 1]),
        &["started it", "begin 0 drain v0 #1 until 70", "draining v0", "wait step 70"],
    );
    yard.until(19, &[]);
    yard.desk.report(20 * SECOND, 0, super::DONE);
    yard.until(
        20,
        &[
            "end 0 done",
            "begin 1 drain v2 #1 until 80",
            "draining v2",
            "drained v2",
            "end 1 done",
            "begin 2 drain v1 #1 until 80",
            "draining v1",
            "drained v1",
            "end 2 done",
            "ended completed 3 0 0 0",
        ],
    );
    assert!(yard.desk.state().tables.jobs.is_empty());
    yard.until(1_000, &[]);
}

/// Two at once, and half of a model's vessels at most are out, for whatever reason: whoever comes back makes room
/// for the next one.
#[test]
fn no_more_are_out_than_may_be() {
    let mut yard = Yard::new(fleet(4, &rules()));
    yard.tell(5, models::Command::Lose { vessel: VesselId(3) }, &[]);
    let asked = Spec { at_once: 3, max_out: Ppm(500_000), ..drain(&[0, 1, 2]) };
    let first = ["started it", "begin 0 drain v0 #1 until 70", "draining v0", "drained v0"];
    yard.start(10, asked, &[&first[..], &["end 0 done", "wait room -"]].concat());
    yard.until(100, &[]);
    // Still two of four: the job looks, and goes on waiting.
    yard.tell(101, models::Command::Retire { vessel: VesselId(3) }, &[]);
    // One of three is out, and two would be more than half.
    yard.until(101, &["wait room -"]);
    // A fifth one is registered: of four, one is out.
    let next = ["begin 1 drain v1 #1 until 162", "draining v1", "drained v1", "end 1 done"];
    yard.install(102, 4, boat(), &[&next[..], &["wait room -"]].concat());
    // The one that is out comes back.
    let last = ["begin 2 drain v2 #1 until 163", "draining v2", "drained v2", "end 2 done"];
    yard.install(103, 0, boat(), &[&last[..], &["ended completed 3 0 0 0"]].concat());
}

/// What takes longer than there is patience for has failed, and the next one goes on; so has what is lost. What is
/// gone for good is passed over, before its turn and in it.
#[test]
fn drains_that_come_to_nothing_hold_up_nobody() {
    let mut desk = fleet(1, &rules());
    desk.submit(0, demand());
    desk.vessel("v1", boat());
    desk.submit(0, demand());
    desk.submit(0, demand());
    (2..5).for_each(|vessel| desk.vessel(&format!("v{vessel}"), boat()));
    let held = |vessel| desk.state().tables.loads.get(VesselId(vessel)).unwrap().used;
    assert_eq!([held(0) > 0, held(1) > 0], [true, true]);
    let mut yard = Yard::new(desk);
    yard.start(
        10,
        drain(&[0, 1, 2, 3]),
        &["started it", "begin 0 drain v0 #1 until 70", "draining v0", "wait step 70"],
    );
    yard.tell(15, models::Command::Lose { vessel: VesselId(2) }, &[]);
    yard.tell(16, models::Command::Retire { vessel: VesselId(2) }, &[]);
    yard.until(69, &["wait step 70"]);
    yard.until(
        70,
        &["end 0 timed_out", "begin 1 drain v1 #1 until 130", "draining v1", "wait step 130"],
    );
    yard.tell(80, models::Command::Lose { vessel: VesselId(1) }, &[]);
    yard.until(
        80,
        &[
            "end 1 lost",
            "end 2 retired",
            "begin 3 drain v3 #1 until 140",
            "draining v3",
            "drained v3",
            "end 3 done",
            "ended failed 1 2 0 1",
        ],
    );
}

/// Whoever brings a vessel back that is to be drained has it drained again.
#[test]
fn a_vessel_that_is_brought_back_is_drained_again() {
    let mut desk = fleet(1, &rules());
    desk.submit(SECOND, demand());
    let mut yard = Yard::new(desk);
    yard.start(
        10,
        drain(&[0]),
        &["started it", "begin 0 drain v0 #1 until 70", "draining v0", "wait step 70"],
    );
    yard.install(20, 0, boat(), &["draining v0", "wait step 70"]);
    yard.desk.report(30 * SECOND, 0, super::DONE);
    yard.until(30, &["end 0 done", "ended completed 1 0 0 0"]);
}

/// While the level is above normal nothing is taken out, if that is asked for.
#[test]
fn a_job_waits_until_the_level_is_normal() {
    let mut policy = rules();
    policy.escalation.calls = 4;
    policy.escalation.window = Micros(5 * SECOND);
    policy.escalation.review = Micros(10 * SECOND);
    policy.escalation.dwell = Micros(10 * SECOND);
    let check = |only_when_normal: bool| {
        let mut desk = fleet(2, &policy);
        // All four fail a moment before the review at 10 s: the level is halted; it relaxes at 20, 30 and 40 s.
        answer(&mut desk, 9_900_000, 1_000, "xxxx");
        let mut yard = Yard::new(desk);
        yard.until(10, &[]);
        let asked = Spec { only_when_normal, ..drain(&[1]) };
        let done = ["draining v1", "drained v1", "end 0 done", "ended completed 1 0 0 0"];
        if !only_when_normal {
            let began = ["started it", "begin 0 drain v1 #1 until 72"];
            return yard.start(12, asked, &[&began[..], &done].concat());
        }
        yard.start(12, asked, &["started it", "wait level -"]);
        yard.until(39, &["wait level -", "wait level -"]);
        yard.until(40, &[&["begin 0 drain v1 #1 until 100"][..], &done].concat());
    };
    check(true);
    check(false);
}

/// The canary alone, then twice as many, then the rest: each wave is watched before the next one.
#[test]
fn a_rollout_goes_in_waves() {
    let mut yard = Yard::new(fleet(4, &rules()));
    let asked = Spec { at_once: 2, ..rollout(&[0, 1, 2, 3], watch()) };
    let plan = |yard: &Yard| {
        let rows = &yard.desk.state().tables.jobs;
        let steps = rows.get(JobSlot(0)).unwrap().steps.iter();
        steps.map(|step| (step.task, step.vessel.0)).collect::<Vec<_>>()
    };
    yard.start(
        10,
        asked,
        &[
            "started it",
            "begin 0 drain v0 #1 until 70",
            "draining v0",
            "drained v0",
            "end 0 done",
            "begin 1 install v0 #1 until 20",
            "wait step 20",
        ],
    );
    let (none, pair) = (u32::MAX, |v| [(Task::Drain, v), (Task::Install, v)]);
    let rest = [&pair(1)[..], &pair(2), &[(Task::Watch, none)], &pair(3), &[(Task::Watch, none)]];
    let all = [&pair(0)[..], &[(Task::Watch, none)], &rest.concat()].concat();
    assert_eq!(plan(&yard), all);
    yard.install(15, 0, better(), &["end 1 done", "begin 2 watch - #1 until 45", "wait step 25"]);
    // Three calls say something, and none of them has failed.
    answer(&mut yard.desk, 16 * SECOND, 1_000, "...");
    // Two vessels are begun with at once; the look at 45 s is the last.
    yard.until(
        45,
        &[
            "wait step 35",
            "wait step 45",
            "end 2 done",
            "promoted 2 of 3 0 0",
            "begin 3 drain v1 #1 until 105",
            "draining v1",
            "drained v1",
            "end 3 done",
            "begin 4 install v1 #1 until 55",
            "begin 5 drain v2 #1 until 105",
            "draining v2",
            "drained v2",
            "end 5 done",
            "begin 6 install v2 #1 until 55",
            "wait step 55",
        ],
    );
    yard.install(50, 2, better(), &["end 6 done", "wait step 55"]);
    yard.install(52, 1, better(), &["end 4 done", "begin 7 watch - #1 until 82", "wait step 62"]);
    yard.until(
        82,
        &[
            "wait step 72",
            "wait step 82",
            "end 7 done",
            "promoted 7 of 0 0 0",
            "begin 8 drain v3 #1 until 142",
            "draining v3",
            "drained v3",
            "end 8 done",
            "begin 9 install v3 #1 until 92",
            "wait step 92",
        ],
    );
    yard.install(83, 3, better(), &["end 9 done", "begin 10 watch - #1 until 113", "wait step 93"]);
    yard.until(
        113,
        &[
            "wait step 103",
            "wait step 113",
            "end 10 done",
            "promoted 10 of 0 0 0",
            "ended completed 11 0 0 0",
        ],
    );
    let rows = &yard.desk.state().tables.vessels;
    assert!(rows.iter().all(|(_, row)| row.manifest == better()));
}

/// The canary is installed at 15 s and watched; its calls are these.
fn canary(policy: &Policy, watch: Watch, outcomes: &str) -> Yard {
    let mut yard = Yard::new(fleet(2, policy));
    let began = ["started it", "begin 0 drain v0 #1 until 70", "draining v0", "drained v0"];
    let rest = ["end 0 done", "begin 1 install v0 #1 until 20", "wait step 20"];
    yard.start(10, rollout(&[0, 1], watch), &[&began[..], &rest].concat());
    yard.install(15, 0, better(), &["end 1 done", "begin 2 watch - #1 until 45", "wait step 25"]);
    answer(&mut yard.desk, 16 * SECOND, 1_000, outcomes);
    yard
}

/// A third of the calls fails: that is a threshold of 333 333 millionths reached, and one of 333 334 not. Fewer calls than
/// there have to be say nothing, nor does any share if none is asked for.
#[test]
fn a_canary_is_judged_by_the_share_of_its_calls_that_fail() {
    let check = |failing: u64, outcomes: &str, verdict: &str| {
        let mut yard = canary(&rules(), Watch { failing: Ppm(failing), ..watch() }, outcomes);
        let undone = [
            "end 2 unsound",
            verdict,
            "begin 6 drain v0 #1 until 85",
            "draining v0",
            "drained v0",
            "end 6 done",
            "begin 7 restore v0 #1 until 35",
            "wait step 35",
        ];
        if verdict.starts_with("rolled back") {
            return yard.until(25, &undone);
        }
        let looks = ["wait step 35", "wait step 45", "end 2 done", verdict];
        let next = [
            "begin 3 drain v1 #1 until 105",
            "draining v1",
            "drained v1",
            "end 3 done",
            "begin 4 install v1 #1 until 55",
            "wait step 55",
        ];
        yard.until(45, &[&looks[..], &next].concat());
    };
    check(333_333, "x..", "rolled back failing of 3 333333 0");
    check(333_334, "x..", "promoted 2 of 3 333333 0");
    check(1, "xx", "promoted 2 of 2 0 0");
    check(0, "xxx", "promoted 2 of 3 1000000 0");
    check(500_000, "xx..", "rolled back failing of 4 500000 0");
    check(500_001, "xx..", "promoted 2 of 4 500000 0");
}

/// The same of calls that are slow: what takes longer than one and a half of its time.
#[test]
fn a_canary_is_judged_by_the_share_of_its_calls_that_are_slow() {
    let check = |slow: u64, verdict: &str| {
        let watch = Watch { slow: Ppm(slow), failing: Ppm::ZERO, calls: 2, ..watch() };
        let mut yard = canary(&rules(), watch, "");
        // A second for the prompt and 100 ms for the answer, alone on its vessel.
        for (at, lasts) in [(16_000_000, 1_100_000), (18_000_000, 1_700_000)] {
            let events = yard.desk.submit(at, demand());
            let Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) = &events[0] else {
                panic!("{events:?}");
            };
            yard.desk.report(at + lasts, order.slot().0, super::DONE);
        }
        let events = yard.pass(45);
        assert!(told(&events).contains(&verdict.to_owned()), "{slow}: {:?}", told(&events));
    };
    check(500_000, "rolled back slow of 2 0 500000");
    check(500_001, "promoted 2 of 2 0 500000");
}

/// A canary that is cut off is seen at the next look, and one that is lost at once. What was lost has nothing to
/// finish; its old manifest is asked for, and the one that has not been begun with is let be.
#[test]
fn a_canary_that_is_cut_off_or_lost_is_undone() {
    let mut policy = rules();
    policy.breaker.failures = 1;
    policy.breaker.open = Micros(100 * SECOND);
    policy.breaker.open_max = Micros(100 * SECOND);
    policy.breaker.cut_off = Ppm::ONE;
    let mut yard = canary(&policy, watch(), "x");
    let undone = ["draining v0", "drained v0", "end 6 done", "begin 7 restore v0 #1 until 35"];
    let verdict = ["end 2 unsound", "rolled back cut_off of 1 0 0"];
    let begins = ["begin 6 drain v0 #1 until 85"];
    yard.until(25, &[&verdict[..], &begins, &undone, &["wait step 35"]].concat());

    let mut yard = canary(&rules(), watch(), "");
    yard.tell(17, models::Command::Lose { vessel: VesselId(0) }, &[]);
    yard.until(
        17,
        &[
            "end 2 unsound",
            "rolled back lost of 0 0 0",
            "begin 6 drain v0 #1 until 77",
            "end 6 lost",
            "begin 7 restore v0 #1 until 27",
            "wait step 27",
        ],
    );
    // The new manifest is not the one that is wanted; it takes another one.
    yard.install(18, 0, better(), &["wait step 27"]);
    yard.install(19, 0, boat(), &["end 7 done", "ended rolled_back 1 2 2 3"]);
}

/// What a vessel did with its old manifest says nothing about the new one.
#[test]
fn old_calls_are_forgotten() {
    let mut desk = fleet(1, &rules());
    answer(&mut desk, SECOND, 1_000, "xxxxxxxx");
    desk.vessel("v1", boat());
    let mut yard = Yard::new(desk);
    let began = ["started it", "begin 0 drain v0 #1 until 70", "draining v0", "drained v0"];
    let rest = ["end 0 done", "begin 1 install v0 #1 until 20", "wait step 20"];
    yard.start(10, rollout(&[0], watch()), &[&began[..], &rest].concat());
    yard.install(15, 0, better(), &["end 1 done", "begin 2 watch - #1 until 45", "wait step 25"]);
    let looks = ["wait step 35", "wait step 45", "end 2 done", "promoted 2 of 0 0 0"];
    yard.until(45, &[&looks[..], &["ended completed 3 0 0 0"]].concat());
}

/// An install that takes too long is tried again a second later; one that fails twice undoes the rollout: newest first.
/// Failed undoing is tried again as well, and does not hold up the rest.
#[test]
fn what_cannot_be_installed_is_undone_newest_first() {
    let mut yard = Yard::new(fleet(3, &rules()));
    let began = ["started it", "begin 0 drain v0 #1 until 70", "draining v0", "drained v0"];
    let rest = ["end 0 done", "begin 1 install v0 #1 until 20", "wait step 20"];
    yard.start(10, rollout(&[0, 1, 2], watch()), &[&began[..], &rest].concat());
    yard.until(20, &["retry 1 timed_out #1 at 21", "wait backoff 21"]);
    yard.report(20, 1, 1, true, &["stale"]);
    yard.until(21, &["begin 1 install v0 #2 until 31", "wait step 31"]);
    yard.report(22, 1, 1, true, &["stale"]);
    yard.report(22, 1, 2, false, &["not_reported"]);
    yard.install(25, 0, better(), &["end 1 done", "begin 2 watch - #1 until 55", "wait step 35"]);
    yard.report(26, 2, 1, true, &["not_reported"]);
    let looks = ["wait step 45", "wait step 55", "end 2 done", "promoted 2 of 0 0 0"];
    let next = ["begin 3 drain v1 #1 until 115", "draining v1", "drained v1", "end 3 done"];
    let asks = ["begin 4 install v1 #1 until 65", "wait step 65"];
    yard.until(55, &[&looks[..], &next, &asks].concat());
    yard.report(56, 4, 1, true, &["retry 4 failed #1 at 57", "wait backoff 57"]);
    yard.until(57, &["begin 4 install v1 #2 until 67", "wait step 67"]);
    yard.report(
        58,
        4,
        2,
        true,
        &[
            "end 4 failed",
            "rolled back not_installed of 0 0 0",
            // Behind the eight of both waves.
            "begin 8 drain v1 #1 until 118",
            "end 8 done",
            "begin 9 restore v1 #1 until 68",
            "wait step 68",
        ],
    );
    use Standing::{Done, Failed, Running, Skipped, Waiting};
    let forward = [Done, Done, Done, Done, Failed, Skipped, Skipped, Skipped];
    assert_eq!(yard.standings(), [&forward[..], &[Done, Running, Waiting, Waiting]].concat());
    yard.until(68, &["retry 9 timed_out #1 at 69", "wait backoff 69"]);
    yard.until(69, &["begin 9 restore v1 #2 until 79", "wait step 79"]);
    yard.until(
        79,
        &[
            "end 9 timed_out",
            "begin 10 drain v0 #1 until 139",
            "draining v0",
            "drained v0",
            "end 10 done",
            "begin 11 restore v0 #1 until 89",
            "wait step 89",
        ],
    );
    // Steps 2, 3, 8, 10 and 11 are done, 4 and 9 are not, 0 and 1 are undone, 5, 6 and 7 were not begun.
    yard.install(80, 0, boat(), &["end 11 done", "ended rolled_back 5 2 2 3"]);
}

/// The world is asked for what it has to do, and for nothing else.
#[test]
fn the_world_is_asked_to_install() {
    let mut yard = Yard::new(fleet(1, &rules()));
    let spec = rollout(&[0], watch());
    let start = jobs::Command::StartJob { name: "it".into(), spec: Box::new(spec) };
    let events = yard.desk.tell(10 * SECOND, start);
    let Event::Jobs(jobs::Event::JobStarted { job, .. }) = events[0] else { panic!("{events:?}") };
    let asked: Vec<Effect> = effects(&events).collect();
    let (vessel, manifest) = (VesselId(0), Box::new(better()));
    assert_eq!(asked, [Effect::Install { job, step: 1, attempt: 1, vessel, manifest }]);
    yard.job = job;
    let events = yard.desk.tell(11 * SECOND, jobs::Command::CancelJob { job });
    let asked: Vec<Effect> = effects(&events).collect();
    let manifest = Box::new(boat());
    assert_eq!(asked, [Effect::Install { job, step: 4, attempt: 1, vessel, manifest }]);
}

/// What is running when a job is paused goes on to its end, a watch too; nothing begins until it is resumed.
#[test]
fn a_paused_job_begins_nothing() {
    let mut yard = canary(&rules(), watch(), "...");
    yard.resume(17, &["wrong_phase"]);
    yard.pause(18, &["paused", "wait step 28"]);
    yard.pause(19, &["wrong_phase"]);
    // Looked at at 28 and 38 s; the watch is over at 45.
    yard.until(
        60,
        &["wait step 38", "wait step 45", "end 2 done", "promoted 2 of 3 0 0", "wait paused -"],
    );
    let next = ["begin 3 drain v1 #1 until 130", "draining v1", "drained v1", "end 3 done"];
    let asks = ["begin 4 install v1 #1 until 80", "wait step 80"];
    yard.resume(70, &[&["resumed"][..], &next, &asks].concat());
    // What fails while it is paused is not tried again before.
    yard.pause(71, &["paused", "wait step 80"]);
    yard.until(90, &["retry 4 timed_out #1 at 81", "wait paused -"]);
    yard.resume(91, &["resumed", "begin 4 install v1 #2 until 101", "wait step 101"]);
    yard.install(92, 1, better(), &["end 4 done", "begin 5 watch - #1 until 122", "wait step 102"]);
}

/// What is running is given up; what was done is undone, newest first, if that is asked for. A vessel that was not
/// asked to carry anything new need not be drained again.
#[test]
fn a_cancelled_job_is_undone() {
    let install = ["begin 3 drain v1 #1 until 105", "draining v1", "drained v1", "end 3 done"];
    let asks = ["begin 4 install v1 #1 until 55", "wait step 55"];
    let looks = ["wait step 35", "wait step 45", "end 2 done", "promoted 2 of 3 0 0"];
    let mut yard = canary(&rules(), watch(), "...");
    yard.until(45, &[&looks[..], &install, &asks].concat());
    yard.cancel(
        50,
        &[
            "end 4 given_up",
            "rolled back cancelled of 0 0 0",
            "begin 6 drain v1 #1 until 110",
            "end 6 done",
            "begin 7 restore v1 #1 until 60",
            "wait step 60",
        ],
    );
    yard.cancel(51, &["wrong_phase"]);
    yard.pause(52, &["paused", "wait step 60"]);
    yard.install(53, 1, boat(), &["end 7 done", "wait paused -"]);
    yard.resume(
        54,
        &[
            "resumed",
            "begin 8 drain v0 #1 until 114",
            "draining v0",
            "drained v0",
            "end 8 done",
            "begin 9 restore v0 #1 until 64",
            "wait step 64",
        ],
    );
    // 2 and four of the undoing are done, 0, 1, 3 and 4 undone, 5 not begun.
    yard.install(55, 0, boat(), &["end 9 done", "ended cancelled 5 0 4 1"]);

    // A drain is undone by having its vessels back.
    let mut desk = fleet(1, &rules());
    desk.submit(SECOND, demand());
    let mut yard = Yard::new(desk);
    let began = ["begin 0 drain v0 #1 until 70", "draining v0", "wait step 70"];
    yard.start(10, drain(&[0]), &[&["started it"][..], &began].concat());
    yard.cancel(
        11,
        &[
            "end 0 given_up",
            "rolled back cancelled of 0 0 0",
            "begin 1 restore v0 #1 until 21",
            "wait step 21",
        ],
    );
    yard.install(12, 0, boat(), &["end 1 done", "ended cancelled 1 0 1 0"]);

    // Unless it is not to be: then all stays as it is. Nor is there anything to undo where nothing was begun.
    let mut desk = fleet(1, &rules());
    desk.submit(SECOND, demand());
    let mut yard = Yard::new(desk);
    yard.start(10, Spec { undo: false, ..drain(&[0]) }, &[&["started it"][..], &began].concat());
    yard.cancel(11, &["end 0 given_up", "ended cancelled 0 1 0 0"]);
    let unknown = format!("unknown thing=Job id={}", yard.job);
    yard.cancel(12, &[&unknown]);
    let mut yard = Yard::new(fleet(1, &rules()));
    yard.start(10, Spec { max_out: Ppm(1), ..drain(&[0]) }, &["started it", "wait room -"]);
    yard.cancel(11, &["ended cancelled 0 0 0 1"]);
}

/// A rollout goes on where a vessel does not finish in time, and passes over one that is gone for good.
#[test]
fn a_rollout_goes_on_without_what_is_gone() {
    let mut desk = fleet(1, &rules());
    desk.submit(0, demand());
    desk.vessel("v1", boat());
    let mut yard = Yard::new(desk);
    let began = ["started it", "begin 0 drain v0 #1 until 70", "draining v0", "wait step 70"];
    yard.start(10, rollout(&[0, 1], watch()), &began);
    yard.until(70, &["end 0 timed_out", "begin 1 install v0 #1 until 80", "wait step 80"]);
    yard.install(71, 0, better(), &["end 1 done", "begin 2 watch - #1 until 101", "wait step 81"]);
    yard.tell(72, models::Command::Lose { vessel: VesselId(1) }, &[]);
    yard.tell(73, models::Command::Retire { vessel: VesselId(1) }, &[]);
    let looks = ["end 2 done", "promoted 2 of 0 0 0"];
    let passes =
        ["end 3 retired", "end 4 retired", "begin 5 watch - #1 until 131", "wait step 111"];
    // Looked at once the other one is gone, and then every ten seconds.
    let first = ["wait step 83", "wait step 93", "wait step 101"];
    yard.until(101, &[&first[..], &looks, &passes].concat());
    // 1, 2 and 5 are done, 0 is not, 3 and 4 were not begun.
    let ends = ["wait step 121", "wait step 131", "end 5 done", "promoted 5 of 0 0 0"];
    yard.until(131, &[&ends[..], &["ended completed 3 1 0 2"]].concat());
}

/// A training order that is being worked, alone on its vessel.
fn trained(window: u64) -> (Yard, OrderId) {
    let mut desk = fleet(1, &rules());
    let window = Window { from: Micros(window), until: Micros(1_000 * SECOND) };
    let asked = Demand { kind: Kind::Training, window: Some(window.into()), ..demand() };
    let events = desk.submit(SECOND, asked);
    desk.settle(2 * SECOND);
    let Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) = events[0] else {
        panic!("{events:?}");
    };
    (Yard::new(desk), order)
}

/// A checkpoint is asked for, again if that fails, and is done when the world says so. It takes no vessel out.
#[test]
fn checkpoints_are_tried_again() {
    let (mut yard, order) = trained(2 * SECOND);
    let asked = spec(Work::Checkpoint { order });
    let began = ["started it", "begin 0 checkpoint v0 #1 until 20", "wait step 20"];
    yard.start(10, asked.clone(), &began);
    yard.report(12, 0, 1, true, &["retry 0 failed #1 at 13", "wait backoff 13"]);
    yard.until(13, &["begin 0 checkpoint v0 #2 until 23", "wait step 23"]);
    yard.report(14, 0, 1, false, &["stale"]);
    yard.report(15, 0, 2, false, &["end 0 done", "ended completed 1 0 0 0"]);
    yard.start(
        30,
        asked.clone(),
        &["started it", "begin 0 checkpoint v0 #1 until 40", "wait step 40"],
    );
    // Its order fails meanwhile: whatever is reported comes too late, and there is nothing to be written.
    yard.desk.report(35 * SECOND, order.slot().0, Outcome::Failed(Fault::Error));
    yard.report(36, 0, 1, true, &["retry 0 failed #1 at 37", "wait backoff 37"]);
    yard.until(37, &["end 0 lost", "ended failed 0 1 0 0"]);
    yard.start(40, asked, &[&format!("not_running order={}", order.number())]);
}

/// Which refusal is told when several apply, the first one first.
#[test]
fn refusals_have_an_order() {
    let check = |expected: &str, name: &str, spec: Spec| {
        let mut yard = Yard::new(fleet(4, &rules()));
        yard.start(10, Spec { max_out: Ppm(1), ..drain(&[3]) }, &["started it", "wait room -"]);
        yard.desk.tell(10 * SECOND, models::Command::Lose { vessel: VesselId(2) });
        yard.desk.tell(10 * SECOND, models::Command::Retire { vessel: VesselId(2) });
        let command = jobs::Command::StartJob { name: name.into(), spec: Box::new(spec) };
        let events = yard.desk.tell(11 * SECOND, command);
        assert_eq!(told(&events), [expected]);
    };
    let bad = |work: Work| Spec { at_once: 0, ..spec(work) };
    let many: Vec<u32> = (0..1_025).collect();
    let named = "invalid: name is empty, longer than 128 bytes or not printable";
    check(named, "", bad(Work::Drain { vessels: ids(&[3]) }));
    check("invalid: at_once is 0 or above 16", "it", bad(Work::Drain { vessels: ids(&many) }));
    check("full bound=JobSteps max=1024", "it", drain(&many));
    check("unknown thing=Vessel id=4", "it", drain(&[0, 4, 3]));
    check("wrong_status", "it", drain(&[0, 2, 3]));
    check("taken vessel=3 job=10", "it", rollout_with(&[0, 3], 0));
    check("invalid: manifest.slots is 0", "it", rollout_with(&[0], 0));
    let absent = spec(Work::Checkpoint { order: OrderId(1 << 24) });
    check("not_running order=1", "it", absent);
    // Whatever is out of bounds is named.
    let odd = |fault: &str, spec: Spec| check(&format!("invalid: {fault}"), "it", spec);
    odd("vessels: there are none", drain(&[]));
    odd("vessels: one is named twice", drain(&[0, 1, 0]));
    odd("at_once is 0 or above 16", Spec { at_once: AT_ONCE_MAX + 1, ..drain(&[0]) });
    odd("max_out is 0 or above 1000000", Spec { max_out: Ppm(0), ..drain(&[0]) });
    odd("patience is 0", Spec { patience: Micros(0), ..drain(&[0]) });
    let tries = spec(Work::Drain { vessels: ids(&[0]) }).tries;
    let tried = |tries| Spec { tries, ..drain(&[0]) };
    odd("tries.attempts is 0 or above 16", tried(Tries { attempts: 17, ..tries.clone() }));
    odd("tries.timeout is 0", tried(Tries { timeout: Micros(0), ..tries.clone() }));
    let backoff = Micros(2 * SECOND);
    odd("tries.backoff is above tries.backoff_max", tried(Tries { backoff, ..tries }));
    odd("watch.hold is 0", rollout(&[0], Watch { hold: Micros(0), ..watch() }));
    odd("watch.every is 0", rollout(&[0], Watch { every: Micros(0), ..watch() }));
    odd("watch.calls is 0", rollout(&[0], Watch { calls: 0, ..watch() }));
    odd(
        "watch.failing is above 1000000",
        rollout(&[0], Watch { failing: Ppm(1_000_001), ..watch() }),
    );
    odd("watch.slow is above 1000000", rollout(&[0], Watch { slow: Ppm(1_000_001), ..watch() }));
}

fn rollout_with(vessels: &[u32], slots: u32) -> Spec {
    let manifest = Box::new(Manifest { slots, ..boat() });
    let vessels = ids(vessels);
    spec(Work::Rollout { vessels, manifest, canary: 1, growth: 1, watch: watch() })
}

/// A vessel has one job until that has ended; an order that is no training has no checkpoint.
#[test]
fn a_vessel_has_one_job() {
    let mut yard = Yard::new(fleet(2, &rules()));
    let waits = ["started it", "wait room -"];
    yard.start(10, Spec { max_out: Ppm(1), ..drain(&[0]) }, &waits);
    let first = yard.job;
    yard.start(11, drain(&[1, 0]), &[&format!("taken vessel=0 job={first}")]);
    yard.cancel(12, &["ended cancelled 0 0 0 1"]);
    yard.start(13, Spec { max_out: Ppm(1), ..drain(&[1, 0]) }, &waits);
    let events = yard.desk.submit(14 * SECOND, demand());
    let Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) = events[0] else {
        panic!("{events:?}");
    };
    yard.start(15, spec(Work::Checkpoint { order }), &["invalid: order is no training"]);
}

/// There are only so many jobs; a rollout to 255 vessels in one wave comes to 1 021 steps, and one to 256 to 1 025.
#[test]
fn jobs_and_their_steps_are_bounded() {
    let mut yard = Yard::new(fleet(JOBS_MAX + 1, &rules()));
    for vessel in 0..JOBS_MAX {
        let asked = Spec { max_out: Ppm(1), ..drain(&[vessel]) };
        yard.start(10, asked, &["started it", "wait room -"]);
    }
    yard.start(11, drain(&[JOBS_MAX]), &["full bound=Jobs max=64"]);
    yard.cancel(12, &["ended cancelled 0 0 0 1"]);
    let asked = Spec { max_out: Ppm(1), ..drain(&[JOBS_MAX]) };
    yard.start(13, asked, &["started it", "wait room -"]);

    let check = |vessels: u32, fits: bool| {
        let mut desk = Desk::open(1, &rules(), (0, 0, 0));
        desk.checks = false;
        (0..vessels).for_each(|vessel| desk.vessel(&format!("v{vessel}"), boat()));
        let vessels: Vec<u32> = (0..vessels).collect();
        let Work::Rollout { manifest, watch, .. } = rollout(&[0], watch()).work else { panic!() };
        let (canary, growth) = (1_000, 1);
        let work = Work::Rollout { vessels: ids(&vessels), manifest, canary, growth, watch };
        let asked = Spec { max_out: Ppm(1), ..spec(work) };
        let mut yard = Yard::new(desk);
        let full = ["full bound=JobSteps max=1024"];
        yard.start(10, asked, if fits { &WAITS } else { &full });
    };
    check(255, true);
    check(256, false);
}

const WAITS: [&str; 2] = ["started it", "wait room -"];

/// Whoever may register vessels or tenants may start jobs, and nobody else.
#[test]
fn jobs_are_for_the_fleet_and_for_admins() {
    let check = |scope: Scope, expected: &str| {
        let mut desk = fleet(1, &rules());
        let spec = Box::new(Spec { max_out: Ppm(1), ..drain(&[0]) });
        let command = Command::Jobs(jobs::Command::StartJob { name: "it".into(), spec });
        let source = Source { scopes: Scopes::of(&[scope]), ..Source::OPERATOR };
        let mut events = Vec::new();
        let stamp = Stamp { seq: Seq(100), time: Micros(SECOND), source };
        desk.exchange.decide(stamp, &command, &mut events).unwrap();
        assert_eq!(told(&events)[0], expected, "{scope:?}");
    };
    check(Scope::Fleet, "started it");
    check(Scope::Admin, "started it");
    check(Scope::Order, "forbidden scope=Fleet");
    check(Scope::Policy, "forbidden scope=Fleet");
    check(Scope::Clock, "forbidden scope=Fleet");
}

/// What was restored in the middle of a job goes on as what never was: after every record of a rollout that is undone.
#[test]
fn a_restored_job_goes_on() {
    let mut yard = canary(&rules(), watch(), "xxx");
    let mut records = 0;
    let steps = [
        (25, None),
        (26, Some(("v1", better()))),
        (35, None),
        (36, None),
        (40, Some(("v0", boat()))),
        (40, None),
    ];
    for (seconds, registers) in steps {
        let state = yard.desk.state();
        let mut rows = Vec::new();
        for (number, table) in (0u8..).zip(state.tables.all()) {
            table.export(&mut |key, writer, row| rows.push((number, key, writer, row.to_vec())));
        }
        let restored = State::restore(state.journal(), state.seq(), rows).unwrap();
        let mut twin = Exchange::resume(restored);
        assert_eq!(twin.state().next_deadline(), state.next_deadline());
        let command = match registers {
            None => Command::Workflow(workflow::Command::Advance),
            Some((name, manifest)) => Command::Models(models::Command::RegisterVessel {
                name: name.into(),
                manifest,
                start: 0,
            }),
        };
        let stamp = yard.desk.stamp(seconds * SECOND, &command);
        let (mut here, mut there) = (Vec::new(), Vec::new());
        yard.desk.exchange.decide(stamp, &command, &mut here).unwrap();
        twin.decide(stamp, &command, &mut there).unwrap();
        assert_eq!(here, there, "at {seconds}");
        assert_eq!(yard.desk.state().root(), twin.state().root());
        records += here.len();
    }
    assert!(yard.desk.state().tables.jobs.is_empty() && records > 10, "{records}");
}

/// A vessel that carries two models is let go only if both may spare it.
#[test]
fn every_model_of_a_vessel_has_to_spare_it() {
    let check = |alone: bool, expected: &[&str]| {
        let mut desk = Desk::open(1, &rules(), (0, 0, 0));
        desk.tell(0, models::Command::RegisterModel { name: "perch".into() });
        desk.vessel("v0", Manifest { models: vec![ModelId(0), ModelId(1)], ..boat() });
        let other = if alone { vec![ModelId(0)] } else { vec![ModelId(0), ModelId(1)] };
        desk.vessel("v1", Manifest { models: other, price_in: MicroUsd(1), ..boat() });
        desk.vessel("v2", Manifest { context_max: Tokens(9), ..boat() });
        let asked = Spec { max_out: Ppm(500_000), ..drain(&[0]) };
        Yard::new(desk).start(10, asked, expected);
    };
    check(true, &["started it", "wait room -"]);
    let goes = ["begin 0 drain v0 #1 until 70", "draining v0", "drained v0", "end 0 done"];
    check(false, &[&["started it"][..], &goes, &["ended completed 1 0 0 0"]].concat());
}
