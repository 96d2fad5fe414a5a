//! An example of every command; every field has a value of its own, so that none can stand for another.

use tensorforge_engine::Command;
use tensorforge_engine::config::Limits;
use tensorforge_engine::jobs::{Reported, Spec, Tries, Watch, Work};
use tensorforge_engine::models::{
    Allowance, Class, Demand, Kind, Manifest, Mark, Promise, Role, Tenant, Usage, Window,
};
use tensorforge_engine::policy::{
    DriftRule, Escalation, Policy, PolicyLevel, RiskWeights, SlaRule,
};
use tensorforge_engine::queue::{GatherRule, Shares};
use tensorforge_engine::resilience::{BreakerRule, OverloadRule, RetryRule};
use tensorforge_engine::routing::{Choice, Weights};
use tensorforge_engine::telemetry::{Charge, Concern, Forecast, IncidentRule};
use tensorforge_engine::units::{
    JobId, MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, PolicyVersion, Ppm,
    RegionId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{allocator, config, jobs, models, policy, telemetry, workflow};

use crate::{each, examples, one};

examples! { Command {
    "config.configure" Command::Config(config::Command::Configure(_)) => one(config::Command::Configure(limits())),
    "models.register_tenant" Command::Models(models::Command::RegisterTenant(_)) => one(models::Command::RegisterTenant(tenant())),
    "models.register_region" Command::Models(models::Command::RegisterRegion { .. }) =>
        one(models::Command::RegisterRegion { name: "Åland".into(), hop: Micros(40_000), transfer: Micros(41) }),
    "models.register_model" Command::Models(models::Command::RegisterModel { .. }) =>
        one(models::Command::RegisterModel { name: "coral-70b".into() }),
    "models.register_vessel" Command::Models(models::Command::RegisterVessel { .. }) => each(Role::ALL, |role| {
        models::Command::RegisterVessel { name: "deck-0".into(), manifest: manifest(role), start: 3 }
    }),
    "models.heartbeat" Command::Models(models::Command::Heartbeat { .. }) => one(models::Command::Heartbeat { vessel: VesselId(7), start: 1_700_000_000_000 }),
    "models.drain" Command::Models(models::Command::Drain { .. }) => one(models::Command::Drain { vessel: VesselId(8) }),
    "models.lose" Command::Models(models::Command::Lose { .. }) => one(models::Command::Lose { vessel: VesselId(9) }),
    "models.retire" Command::Models(models::Command::Retire { .. }) => one(models::Command::Retire { vessel: VesselId(10) }),
    "models.announce" Command::Models(models::Command::Announce { .. }) => one(models::Command::Announce {
        name: "deck-1".into(), manifest: manifest(Role::Whole), within: Micros(60_000_000),
    }),
    "policy.set_policy" Command::Policy(policy::Command::SetPolicy(_)) => one(policy::Command::SetPolicy(Box::new(policy()))),
    "policy.roll_back_policy" Command::Policy(policy::Command::RollBackPolicy { .. }) =>
        one(policy::Command::RollBackPolicy { to: PolicyVersion(3) }),
    "policy.override" Command::Policy(policy::Command::Override { .. }) => each(PolicyLevel::ALL, |level| {
        policy::Command::Override { level, until: Micros(7_200_000_000) }
    }),
    "policy.end_override" Command::Policy(policy::Command::EndOverride) => one(policy::Command::EndOverride),
    "workflow.submit" Command::Workflow(workflow::Command::Submit(_)) => submissions(),
    "workflow.submit_batch" Command::Workflow(workflow::Command::SubmitBatch { .. }) => one(workflow::Command::SubmitBatch {
        demands: vec![demand(), Demand { class: Class::Batch, ..demand() }],
        whole: true,
    }),
    "workflow.cancel" Command::Workflow(workflow::Command::Cancel { .. }) => one(workflow::Command::Cancel { order: order() }),
    "workflow.retry" Command::Workflow(workflow::Command::Retry { .. }) => one(workflow::Command::Retry { order: order() }),
    "workflow.report_leg" Command::Workflow(workflow::Command::ReportLeg { .. }) => reports(),
    "workflow.advance" Command::Workflow(workflow::Command::Advance) => one(workflow::Command::Advance),
    "workflow.report_stop" Command::Workflow(workflow::Command::ReportStop { .. }) =>
        one(workflow::Command::ReportStop { order: order(), attempt: 0x0102, leg: 2, usage: usage() }),
    "workflow.report_first_token" Command::Workflow(workflow::Command::ReportFirstToken { .. }) =>
        one(workflow::Command::ReportFirstToken { order: order(), attempt: 0x0102, leg: 2 }),
    "allocator.maintain" Command::Allocator(allocator::Command::Maintain { .. }) =>
        one(allocator::Command::Maintain { vessel: VesselId(11), window: window() }),
    "allocator.end_maintenance" Command::Allocator(allocator::Command::EndMaintenance { .. }) =>
        one(allocator::Command::EndMaintenance { vessel: VesselId(12) }),
    "jobs.start_job" Command::Jobs(jobs::Command::StartJob { .. }) => starts(),
    "jobs.pause_job" Command::Jobs(jobs::Command::PauseJob { .. }) => one(jobs::Command::PauseJob { job: JobId(4_711) }),
    "jobs.resume_job" Command::Jobs(jobs::Command::ResumeJob { .. }) => one(jobs::Command::ResumeJob { job: JobId(4_712) }),
    "jobs.cancel_job" Command::Jobs(jobs::Command::CancelJob { .. }) => one(jobs::Command::CancelJob { job: JobId(4_713) }),
    "jobs.report_step" Command::Jobs(jobs::Command::ReportStep { .. }) => each(Reported::ALL, |outcome| {
        jobs::Command::ReportStep { job: JobId(4_714), step: 0x0304, attempt: 2, outcome }
    }),
    "telemetry.silence" Command::Telemetry(telemetry::Command::Silence { .. }) => each(Concern::ALL, |concern| {
        telemetry::Command::Silence { concern, until: Micros(7_200_000_000) }
    }),
} }

fn starts() -> Vec<(String, jobs::Command)> {
    let start = |spec| jobs::Command::StartJob { name: "new-decoder".into(), spec: Box::new(spec) };
    // A match without a default: a kind of work more does not compile.
    let label = |work: &Work| match work {
        Work::Drain { .. } => "drain",
        Work::Rollout { .. } => "rollout",
        Work::Checkpoint { .. } => "checkpoint",
    };
    let works = [
        Work::Drain { vessels: vec![VesselId(13), VesselId(14)] },
        spec().work,
        Work::Checkpoint { order: order() },
    ];
    let named = |work: Work| (label(&work).to_owned(), start(Spec { work, ..spec() }));
    works.into_iter().map(named).collect()
}

pub(crate) fn spec() -> Spec {
    Spec {
        work: Work::Rollout {
            vessels: vec![VesselId(15), VesselId(16)],
            manifest: Box::new(manifest(Role::Whole)),
            canary: 1,
            growth: 3,
            watch: Watch {
                hold: Micros(600_000_000),
                every: Micros(15_000_000),
                calls: 50,
                failing: Ppm(20_000),
                slow: Ppm(100_000),
            },
        },
        at_once: 2,
        max_out: Ppm(250_000),
        only_when_normal: true,
        undo: false,
        patience: Micros(300_000_000),
        tries: Tries {
            attempts: 3,
            timeout: Micros(900_000_000),
            backoff: Micros(5_000_000),
            backoff_max: Micros(60_000_000),
        },
    }
}

fn submissions() -> Vec<(String, workflow::Command)> {
    let mut found =
        each(Class::ALL, |class| workflow::Command::Submit(Demand { class, ..demand() }));
    found.extend(each(Kind::ALL, |kind| workflow::Command::Submit(Demand { kind, ..demand() })));
    let plain = Demand { prefix: Vec::new(), window: None, ..demand() };
    found.push(("plain".into(), workflow::Command::Submit(plain)));
    // The word stands for a class and for a kind.
    let twice = found.iter_mut().rfind(|(name, _)| name == "batch");
    twice.unwrap().0 = "kind-batch".into();
    found
}

fn reports() -> Vec<(String, workflow::Command)> {
    let report =
        |outcome| workflow::Command::ReportLeg { order: order(), attempt: 0x0102, leg: 2, outcome };
    // A match without a default: an outcome more does not compile.
    let label = |outcome: &Outcome| match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Failed(_) => "failed",
    };
    let done = Outcome::Done {
        tokens_out: Tokens(80),
        cached: Tokens(512),
        first_token: Micros(900_000),
        energy: Millijoules(1_800),
    };
    let mut found = vec![(label(&done).to_owned(), report(done))];
    for (fault, outcome) in each(Fault::ALL, Outcome::Failed) {
        found.push((format!("{}-{fault}", label(&outcome)), report(outcome)));
    }
    found
}

pub(crate) fn usage() -> Usage {
    Usage {
        tokens_in: Tokens(1_024),
        cached: Tokens(512),
        tokens_out: Tokens(80),
        energy: Millijoules(1_800),
    }
}

pub(crate) fn order() -> OrderId {
    OrderId::new(0x01_0203_0405, OrderSlot(0x06_0708))
}

pub(crate) fn limits() -> Limits {
    Limits {
        tenants: 1,
        regions: 2,
        models: 3,
        vessels: 4,
        orders: 5,
        queued: 6,
        policies: 7,
        berths: 8,
        keys: 9,
        prefixes: 10,
        queued_kilotokens: 11,
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        name: "alba".into(),
        orders: Allowance { period: Micros(1_000_000), amount: 20, burst: 5 },
        tokens: Allowance { period: Micros(60_000_000), amount: 3_000_000, burst: 100_000 },
        live_max: 100,
        keys_max: 50,
        queued_max: 51,
        budget_period: Micros(86_400_000_000),
        budget: MicroUsd(25_000_000),
        sla: Promise {
            objective: Ppm(995_000),
            first_token: Micros(800_000),
            latency: Micros(20_000_000),
        },
    }
}

pub(crate) fn manifest(role: Role) -> Manifest {
    Manifest {
        region: RegionId(1),
        role,
        models: vec![ModelId(2), ModelId(5)],
        slots: 64,
        context_max: Tokens(262_144),
        cache_tokens: Tokens(1_000_000),
        domain: 17,
        prefill_per_kilotoken: Micros(48_000),
        decode_per_token: Micros(19_000),
        price_in: MicroUsd(600_000),
        price_cached: MicroUsd(150_000),
        price_out: MicroUsd(2_400_000),
        fuel_in: Millijoules(210_000),
        fuel_out: Millijoules(2_600_000),
        heartbeat: Micros(5_000_000),
    }
}

pub(crate) fn policy() -> Policy {
    Policy {
        route_by: Choice::LeastLoad,
        weights: Weights { time: 10, cost: 2, energy: 5 },
        candidates: 4,
        home_percent: 75,
        prefix_age: Micros(600_000_000),
        key_age: Micros(86_400_000_000),
        shares: Shares { classes: [8, 4, 1], overdue: 2 },
        patience: [Micros(5_000_000), Micros(20_000_000), Micros(120_000_000)],
        lifetime: [Micros(120_000_000), Micros(600_000_000), Micros(3_600_000_000)],
        berth_grace: Micros(30_000_000),
        timeout_percent: 400,
        timeout_min: Micros(30_000_000),
        stop: Micros(10_000_000),
        retry: RetryRule {
            attempts: 3,
            backoff: Micros(250_000),
            backoff_max: Micros(8_000_000),
            budget: Ppm(200_000),
            least: 3,
        },
        breaker: BreakerRule {
            failures: 6,
            failing: Ppm(400_000),
            slow: Ppm(500_000),
            slow_percent: 200,
            calls: 10,
            window: Micros(30_000_000),
            open: Micros(15_000_000),
            open_max: Micros(240_000_000),
            probes: 2,
            cut_off: Ppm(500_000),
        },
        hedge_percent: [200, 0, 300],
        preempt: true,
        overcommit_percent: 60,
        price_time: [true, false, true],
        gather: GatherRule { tokens: Tokens(2_000_000), wait: Micros(900_000_000) },
        overload: OverloadRule { pause: Micros(500_000), pause_max: Micros(32_000_000) },
        charge: Charge { failed: Ppm(0), expired: Ppm(250_000), cancelled: Ppm(1_000_000) },
        forecast: Forecast {
            samples: 32,
            prior: Ppm(500_000),
            legs: 8,
            window: Micros(60_000_000),
        },
        escalation: Escalation {
            elevated: Ppm(300_000),
            elevated_below: Ppm(200_000),
            restricted: Ppm(550_000),
            restricted_below: Ppm(450_000),
            halted: Ppm(850_000),
            halted_below: Ppm(760_000),
            weights: RiskWeights {
                failing: Ppm(1_000_000),
                pressure: Ppm(900_000),
                late: Ppm(800_000),
                cut_off: Ppm(100_000),
                drift: Ppm(50_000),
            },
            drift: DriftRule { slack: Ppm(20_000), threshold: Ppm(200_000), reviews: 120 },
            dwell: Micros(31_000_000),
            review: Micros(5_500_000),
            window: Micros(30_000_000),
            calls: 20,
            late: Ppm(500_000),
            override_max: Micros(14_400_000_000),
        },
        sla: SlaRule {
            burns: [Ppm(14_400_000), Ppm(6_000_000), Ppm(1_000_000)],
            clear: Ppm(900_000),
            hold: Micros(60_000_000),
            orders: 50,
        },
        incidents: IncidentRule {
            begins: Concern::ALL
                .iter()
                .map(|concern| {
                    let first = 10_000 * (1 + *concern as u64);
                    [first, 0, 2 * first, 4 * first].map(Ppm)
                })
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
            clear: Ppm(800_000),
            hold: Micros(60_000_000),
            ease: Micros(120_000_000),
        },
    }
}

pub(crate) fn window() -> Window {
    Window { from: Micros(70_000_000), until: Micros(80_000_000) }
}

pub(crate) fn demand() -> Demand {
    Demand {
        external: 4_711,
        model: ModelId(2),
        origin: RegionId::NONE,
        kind: Kind::Inference,
        class: Class::Standard,
        tokens_in: Tokens(1_000),
        tokens_out_max: Tokens(200),
        deadline: Micros(90_000_000),
        limit: 70_000,
        idempotency: 0xfeed_f00d_dead_beef,
        prefix: vec![
            Mark { hash: 0x0123_4567_89ab_cdef, tokens: Tokens(512) },
            Mark { hash: 0xfedc_ba98_7654_3210, tokens: Tokens(1_024) },
        ],
        window: Some(window().into()),
    }
}
