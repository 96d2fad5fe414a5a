//! An example of every event, and inside of them of every refusal.

use tensorforge_engine::Event;
use tensorforge_engine::config::Bound;
use tensorforge_engine::jobs::{Cause, JobEnd, StepEnd, Task, Wait};
use tensorforge_engine::models::{Class, End, Leg, LegKind, Role, Route};
use tensorforge_engine::models::{LossCause, Thing};
use tensorforge_engine::policy::{BurnWindow, Drift, OverrideEnd, PolicyLevel, Signal};
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::routing::{Candidate, Candidates, Verdict};
use tensorforge_engine::security::Scope;
use tensorforge_engine::telemetry::{Concern, Notice, Severity};
use tensorforge_engine::units::{
    BerthId, JobId, JobSlot, KeySlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, PicoUsd,
    PolicyVersion, Ppm, RegionId, Seq, StopSlot, TenantId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Stop, Withheld};
use tensorforge_engine::{
    allocator, config, jobs, models, policy, queue, resilience, routing, security, telemetry,
    workflow,
};

use crate::commands::{demand, limits, manifest, order, policy, spec, tenant, usage, window};
use crate::{each, examples, one};

examples! { Event {
    "config.configured" Event::Config(config::Event::Configured(_)) => one(config::Event::Configured(limits())),
    "models.tenant_registered" Event::Models(models::Event::TenantRegistered { .. }) =>
        one(models::Event::TenantRegistered { tenant: TenantId(3), contract: tenant().into() }),
    "models.region_registered" Event::Models(models::Event::RegionRegistered { .. }) => one(models::Event::RegionRegistered {
        region: RegionId(4), name: "north".into(), hop: Micros(40_000),
        transfer: Micros(41),
    }),
    "models.model_registered" Event::Models(models::Event::ModelRegistered { .. }) =>
        one(models::Event::ModelRegistered { model: ModelId(5), name: "coral-70b".into() }),
    "models.vessel_registered" Event::Models(models::Event::VesselRegistered { .. }) => one(models::Event::VesselRegistered {
        vessel: VesselId(6), name: "deck-0".into(), manifest: Box::new(manifest(Role::Prefill)), start: 3,
    }),
    "models.vessel_seen" Event::Models(models::Event::VesselSeen { .. }) => one(models::Event::VesselSeen { vessel: VesselId(7), start: 1_700_000_000_000 }),
    "models.vessel_returned" Event::Models(models::Event::VesselReturned { .. }) =>
        one(models::Event::VesselReturned { vessel: VesselId(8), start: 4 }),
    "models.vessel_draining" Event::Models(models::Event::VesselDraining { .. }) =>
        one(models::Event::VesselDraining { vessel: VesselId(9) }),
    "models.vessel_drained" Event::Models(models::Event::VesselDrained { .. }) =>
        one(models::Event::VesselDrained { vessel: VesselId(10) }),
    "models.vessel_lost" Event::Models(models::Event::VesselLost { .. }) =>
        each(LossCause::ALL, |cause| models::Event::VesselLost { vessel: VesselId(11), cause }),
    "models.vessel_restarted" Event::Models(models::Event::VesselRestarted { .. }) =>
        one(models::Event::VesselRestarted { vessel: VesselId(20), start: 5 }),
    "models.vessel_retired" Event::Models(models::Event::VesselRetired { .. }) =>
        one(models::Event::VesselRetired { vessel: VesselId(21) }),
    "models.vessel_announced" Event::Models(models::Event::VesselAnnounced { .. }) => one(models::Event::VesselAnnounced {
        vessel: VesselId(22), name: "deck-1".into(), manifest: Box::new(manifest(Role::Whole)), joins: Micros(61_000_000),
    }),
    "models.vessel_joined" Event::Models(models::Event::VesselJoined { .. }) =>
        one(models::Event::VesselJoined { vessel: VesselId(22), start: 5 }),
    "resilience.breaker_opened" Event::Resilience(resilience::Event::BreakerOpened { .. }) => one(resilience::Event::BreakerOpened {
        vessel: VesselId(12),
        failures: 5,
        failing: Ppm(416_666),
        slow: Ppm(83_333),
        trips: 2,
        until: Micros(15_000_000),
    }),
    "resilience.breaker_probing" Event::Resilience(resilience::Event::BreakerProbing { .. }) =>
        one(resilience::Event::BreakerProbing { vessel: VesselId(13), probes: 2 }),
    "resilience.breaker_closed" Event::Resilience(resilience::Event::BreakerClosed { .. }) =>
        one(resilience::Event::BreakerClosed { vessel: VesselId(14) }),
    "policy.policy_changed" Event::Policy(policy::Event::PolicyChanged { .. }) =>
        one(policy::Event::PolicyChanged { version: PolicyVersion(2), policy: Box::new(policy()) }),
    "policy.policy_rolled_back" Event::Policy(policy::Event::PolicyRolledBack { .. }) => one(policy::Event::PolicyRolledBack {
        version: PolicyVersion(3), to: PolicyVersion(1), policy: Box::new(policy()),
    }),
    "policy.risk_reviewed" Event::Policy(policy::Event::RiskReviewed { .. }) => one(policy::Event::RiskReviewed {
        risk: Ppm(400_000),
        failing: Ppm(100_000),
        pressure: Ppm(400_000),
        late: [Ppm(20_000), Ppm(300_000), Ppm(250_000)],
        cut_off: Ppm(125_000),
        drift: Drift { usual: Ppm(30_000), sum: Ppm(210_000), reviews: 12, alarm: true },
        next: Micros(5_000_000),
    }),
    "policy.level_changed" Event::Policy(policy::Event::LevelChanged { .. }) => each(PolicyLevel::ALL, |to| {
        policy::Event::LevelChanged {
            from: PolicyLevel::Normal,
            to,
            risk: Ppm(400_000),
            reasons: Signal::ALL.iter().rev().copied().collect(),
        }
    }),
    "policy.level_overridden" Event::Policy(policy::Event::LevelOverridden { .. }) => one(policy::Event::LevelOverridden {
        from: PolicyLevel::Elevated,
        level: PolicyLevel::Halted,
        until: Micros(7_200_000_000),
    }),
    "policy.override_ended" Event::Policy(policy::Event::OverrideEnded { .. }) => each(OverrideEnd::ALL, |reason| {
        policy::Event::OverrideEnded { from: PolicyLevel::Halted, level: PolicyLevel::Elevated, reason }
    }),
    "policy.burn_seen" Event::Policy(policy::Event::BurnSeen { .. }) => one(policy::Event::BurnSeen {
        tenant: TenantId(3), window: BurnWindow::SixHours, burn: Ppm(6_500_000),
    }),
    "policy.burn_raised" Event::Policy(policy::Event::BurnRaised { .. }) => each(BurnWindow::ALL, |window| {
        policy::Event::BurnRaised { tenant: TenantId(3), window, burn: Ppm(15_000_000), budget_left: Ppm(700_000) }
    }),
    "policy.burn_cleared" Event::Policy(policy::Event::BurnCleared { .. }) => one(policy::Event::BurnCleared {
        tenant: TenantId(3), window: BurnWindow::Hour, burn: Ppm(2_000_000), raised: true,
    }),
    "workflow.command_refused" Event::Workflow(workflow::Event::CommandRefused { .. }) => refused(),
    "workflow.order_refused" Event::Workflow(workflow::Event::OrderRefused { .. }) => one(workflow::Event::OrderRefused {
        order: OrderId::new(77, OrderId::NO_SLOT),
        tenant: TenantId::NONE,
        external: 4_711,
        refusal: models::Refusal::NoVessel.into(),
    }),
    "workflow.order_deduplicated" Event::Workflow(workflow::Event::OrderDeduplicated { .. }) => one(workflow::Event::OrderDeduplicated {
        order: order(), tenant: TenantId(3), external: 4_712,
    }),
    "workflow.key_forgotten" Event::Workflow(workflow::Event::KeyForgotten { .. }) =>
        one(workflow::Event::KeyForgotten { key: KeySlot(21), tenant: TenantId(3), order: order() }),
    "workflow.order_admitted" Event::Workflow(workflow::Event::OrderAdmitted { .. }) => one(workflow::Event::OrderAdmitted {
        order: order(),
        tenant: TenantId(3),
        level: PolicyLevel::Elevated,
        arrival: Micros(60_000_000),
        token_arrival: Micros(61_000_000),
        deadline: Micros(90_000_000),
        key: KeySlot(21),
        reserved: Some(PicoUsd(2_000_000_000)),
        demand: Box::new(demand()),
    }),
    "queue.order_queued" Event::Queue(queue::Event::OrderQueued { .. }) =>
        one(queue::Event::OrderQueued { order: order(), ticket: 31, ahead: 30, ripe_at: Micros(930_000_000) }),
    "queue.batch_released" Event::Queue(queue::Event::BatchReleased { .. }) =>
        one(queue::Event::BatchReleased { model: ModelId(2), ticket: 32, orders: 12, tokens: Tokens(2_040_000) }),
    "queue.service_deferred" Event::Queue(queue::Event::ServiceDeferred { .. }) =>
        one(queue::Event::ServiceDeferred { at: Micros(50_000_000) }),
    "queue.order_chosen" Event::Queue(queue::Event::OrderChosen { .. }) =>
        one(queue::Event::OrderChosen {
            order: order(),
            tokens: 1_850,
            share: 10,
            class_served: 70_000,
            tenant_served: 5_000_000_000,
        }),
    "queue.order_overdue" Event::Queue(queue::Event::OrderOverdue { .. }) =>
        one(queue::Event::OrderOverdue { order: order(), needs: Micros(3_000_000), left: Micros(2_500_000) }),
    "queue.service_resumed" Event::Queue(queue::Event::ServiceResumed) => one(queue::Event::ServiceResumed),
    "allocator.order_berthed" Event::Allocator(allocator::Event::OrderBerthed { .. }) => one(allocator::Event::OrderBerthed {
        order: order(),
        berth: BerthId(41),
        vessel: VesselId(15),
        window: window(),
        overlapping: 2,
    }),
    "allocator.berth_released" Event::Allocator(allocator::Event::BerthReleased { .. }) =>
        one(allocator::Event::BerthReleased { order: order(), berth: BerthId(42) }),
    "routing.order_routed" Event::Routing(routing::Event::OrderRouted { .. }) => one(routed()),
    "workflow.leg_dispatched" Event::Workflow(workflow::Event::LegDispatched { .. }) => each(LegKind::ALL, |kind| {
        workflow::Event::LegDispatched {
            order: order(),
            attempt: 2,
            leg: 1,
            kind,
            vessel: VesselId(16),
            queue: Micros(500_000),
            prompt: Micros(400_000),
            answer: Micros(1_100_000),
            within: Micros(2_500_000),
            hedge: Micros(50_000_000),
            timeout: Micros(100_000_000),
        }
    }),
    "workflow.first_token_seen" Event::Workflow(workflow::Event::FirstTokenSeen { .. }) => one(workflow::Event::FirstTokenSeen {
        order: order(),
        leg: 1,
        vessel: VesselId(28),
        first_token: Micros(900_000),
        timeout: Micros(100_000_000),
    }),
    "workflow.leg_hedged" Event::Workflow(workflow::Event::LegHedged { .. }) => one(workflow::Event::LegHedged {
        order: order(),
        attempt: 2,
        leg: 1,
        vessel: VesselId(29),
        prompt: Micros(400_000),
        work: Micros(1_500_000),
        within: Micros(2_500_000),
        timeout: Micros(100_000_000),
        candidates: Candidates(vec![
            candidate(30, VesselId::NONE, Verdict::Eligible),
            candidate(31, VesselId::NONE, Verdict::Eligible),
        ]),
    }),
    "workflow.hedge_withheld" Event::Workflow(workflow::Event::HedgeWithheld { .. }) => each(Withheld::ALL, |reason| {
        workflow::Event::HedgeWithheld { order: order(), leg: 1, reason, timeout: Micros(100_000_000) }
    }),
    "workflow.leg_dropped" Event::Workflow(workflow::Event::LegDropped { .. }) => dropped(),
    "workflow.leg_completed" Event::Workflow(workflow::Event::LegCompleted { .. }) => one(workflow::Event::LegCompleted {
        order: order(),
        leg: 1,
        vessel: VesselId(17),
        tokens_out: Tokens(80),
        cached: Tokens(512),
        first_token: Micros(900_000),
        cost: PicoUsd(1_160_000_000),
        energy: Millijoules(1_800),
        predicted: Micros(1_700_000),
    }),
    "workflow.leg_failed" Event::Workflow(workflow::Event::LegFailed { .. }) => each(Fault::ALL, |fault| {
        workflow::Event::LegFailed { order: order(), attempt: 2, leg: 1, vessel: VesselId(18), fault }
    }),
    "resilience.retry_scheduled" Event::Resilience(resilience::Event::RetryScheduled { .. }) =>
        one(resilience::Event::RetryScheduled { order: order(), attempts: 2, at: Micros(61_000_000) }),
    "resilience.retry_postponed" Event::Resilience(resilience::Event::RetryPostponed { .. }) =>
        one(resilience::Event::RetryPostponed { order: order(), retries: 7, others: 30, at: Micros(62_000_000) }),
    "resilience.vessel_paused" Event::Resilience(resilience::Event::VesselPaused { .. }) =>
        one(resilience::Event::VesselPaused { vessel: VesselId(22), pauses: 2, until: Micros(63_000_000) }),
    "resilience.vessel_resumed" Event::Resilience(resilience::Event::VesselResumed { .. }) =>
        one(resilience::Event::VesselResumed { vessel: VesselId(23) }),
    "telemetry.order_settled" Event::Telemetry(telemetry::Event::OrderSettled { .. }) => one(telemetry::Event::OrderSettled {
        order: order(),
        tenant: TenantId(3),
        tokens_in: Tokens(1_000),
        cached: Tokens(512),
        tokens_out: Tokens(80),
        cost: PicoUsd(1_160_000_000),
        burnt: PicoUsd(2_000_000_001),
        energy: Millijoules(1_800),
    }),
    "telemetry.incident_seen" Event::Telemetry(telemetry::Event::IncidentSeen { .. }) => each(Concern::ALL, |concern| {
        telemetry::Event::IncidentSeen { concern, severity: None, found: Ppm(40_000) }
    }),
    "telemetry.incident_raised" Event::Telemetry(telemetry::Event::IncidentRaised { .. }) => each(Severity::ALL, |severity| {
        telemetry::Event::IncidentRaised {
            concern: Concern::CutOff, from: Some(Severity::Info), severity, found: Ppm(50_000), group: Seq(4_711),
            notice: Notice::Known,
        }
    }),
    "telemetry.incident_resolved" Event::Telemetry(telemetry::Event::IncidentResolved { .. }) => each(Notice::ALL, |notice| {
        telemetry::Event::IncidentResolved {
            concern: Concern::Lost, found: Ppm(600), group: Seq(4_712), lasted: Micros(90_000_000), notice,
        }
    }),
    "telemetry.incident_silenced" Event::Telemetry(telemetry::Event::IncidentSilenced { .. }) =>
        one(telemetry::Event::IncidentSilenced { concern: Concern::Late, until: Micros(7_200_000_000) }),
    "telemetry.silence_ended" Event::Telemetry(telemetry::Event::SilenceEnded { .. }) => one(telemetry::Event::SilenceEnded {
        concern: Concern::Drift, severity: Some(Severity::Major), group: Seq(4_713), notice: Notice::Told,
    }),
    "workflow.stop_awaited" Event::Workflow(workflow::Event::StopAwaited { .. }) => one(workflow::Event::StopAwaited {
        stop: StopSlot(21),
        awaited: Box::new(stop()),
    }),
    "workflow.stop_settled" Event::Workflow(workflow::Event::StopSettled { .. }) => one(workflow::Event::StopSettled {
        stop: StopSlot(21),
        order: order(),
        tenant: TenantId(3),
        usage: usage(),
        cost: PicoUsd(1_000_000_001),
        burnt: PicoUsd(2_000_000_003),
        estimated: true,
        ended: true,
    }),
    "allocator.maintenance_planned" Event::Allocator(allocator::Event::MaintenancePlanned { .. }) =>
        one(allocator::Event::MaintenancePlanned { berth: BerthId(22), vessel: VesselId(23), window: window() }),
    "allocator.berth_opened" Event::Allocator(allocator::Event::BerthOpened { .. }) => one(allocator::Event::BerthOpened {
        berth: BerthId(24),
        vessel: VesselId(25),
        order: Some(order()),
        slots: 1,
        until: Micros(60_000_000),
    }),
    "allocator.maintenance_ended" Event::Allocator(allocator::Event::MaintenanceEnded { .. }) =>
        one(allocator::Event::MaintenanceEnded { berth: BerthId(26), vessel: VesselId(27) }),
    "allocator.order_held_back" Event::Allocator(allocator::Event::OrderHeldBack { .. }) =>
        one(allocator::Event::OrderHeldBack { order: order(), berthed_at: Micros(9_000_000), at: Micros(1_500_000) }),
    "allocator.order_too_dear" Event::Allocator(allocator::Event::OrderTooDear { .. }) =>
        one(allocator::Event::OrderTooDear { order: order(), least: MicroUsd(70_001), at: Micros(1_500_000) }),
    "allocator.order_crowded_out" Event::Allocator(allocator::Event::OrderCrowdedOut { .. }) => one(allocator::Event::OrderCrowdedOut {
        order: order(),
        vessel: VesselId(34),
        decode: VesselId(35),
        needs: Tokens(2_048),
        at: Micros(1_500_000),
    }),
    "allocator.order_preempted" Event::Allocator(allocator::Event::OrderPreempted { .. }) => one(allocator::Event::OrderPreempted {
        order: order(),
        attempt: 2,
        leg: 1,
        vessel: VesselId(33),
        by: OrderId(77),
    }),
    "workflow.order_ended" Event::Workflow(workflow::Event::OrderEnded { .. }) => each(End::ALL, |end| workflow::Event::OrderEnded {
        order: order(),
        tenant: TenantId(3),
        external: 4_711,
        end,
        attempts: 2,
        stop: VesselId(19),
        first_token: Micros(900_000),
        latency: Micros(2_500_000),
    }),
    "jobs.job_started" Event::Jobs(jobs::Event::JobStarted { .. }) => one(jobs::Event::JobStarted {
        job: JobId(4_711), slot: JobSlot(5), name: "new-decoder".into(), spec: Box::new(spec()),
    }),
    "jobs.step_began" Event::Jobs(jobs::Event::StepBegan { .. }) => begun(),
    "jobs.step_ended" Event::Jobs(jobs::Event::StepEnded { .. }) =>
        each(StepEnd::ALL, |outcome| jobs::Event::StepEnded { job: JobId(4_711), step: 0x0304, outcome }),
    "jobs.step_retried" Event::Jobs(jobs::Event::StepRetried { .. }) => one(jobs::Event::StepRetried {
        job: JobId(4_711), step: 0x0304, outcome: StepEnd::TimedOut, attempts: 2, at: Micros(70_000_000),
    }),
    "jobs.job_waits" Event::Jobs(jobs::Event::JobWaits { .. }) =>
        each(Wait::ALL, |wait| jobs::Event::JobWaits { job: JobId(4_711), wait, until: Micros(80_000_000) }),
    "jobs.job_paused" Event::Jobs(jobs::Event::JobPaused { .. }) => one(jobs::Event::JobPaused { job: JobId(4_711) }),
    "jobs.job_resumed" Event::Jobs(jobs::Event::JobResumed { .. }) => one(jobs::Event::JobResumed { job: JobId(4_711) }),
    "jobs.job_promoted" Event::Jobs(jobs::Event::JobPromoted { .. }) => one(jobs::Event::JobPromoted {
        job: JobId(4_711), step: 0x0304, calls: 1_234, failing: Ppm(19_999), slow: Ppm(83_333),
    }),
    "jobs.job_rolled_back" Event::Jobs(jobs::Event::JobRolledBack { .. }) => each(Cause::ALL, |cause| jobs::Event::JobRolledBack {
        job: JobId(4_711),
        cause,
        step: Some(0x0304),
        vessel: VesselId(33),
        calls: 1_234,
        failing: Ppm(20_000),
        slow: Ppm(83_333),
    }),
    "jobs.job_ended" Event::Jobs(jobs::Event::JobEnded { .. }) => each(JobEnd::ALL, |end| jobs::Event::JobEnded {
        job: JobId(4_711), end, done: 300, failed: 2, compensated: 3, skipped: 4,
    }),
} }

/// The beginning of a step of each kind, with what only it has.
fn begun() -> Vec<(String, jobs::Event)> {
    each(Task::ALL, |task| {
        let installs = matches!(task, Task::Install | Task::Restore);
        jobs::Event::StepBegan {
            job: JobId(4_711),
            step: 0x0304,
            task,
            attempt: 2,
            vessel: if task == Task::Watch { VesselId::NONE } else { VesselId(34) },
            order: (task == Task::Checkpoint).then(order),
            until: Micros(90_000_000),
            manifest: installs.then(|| Box::new(manifest(Role::Whole))),
        }
    })
}

fn stop() -> Stop {
    Stop {
        until: Micros(11_000_000),
        reserved: Some(PicoUsd(3_000_000_000)),
        order: order(),
        estimate: usage(),
        share: Ppm(250_000),
        tokens_in: Tokens(2_048),
        tokens_out_max: Tokens(256),
        by: OrderId(0),
        tenant: TenantId(3),
        vessel: VesselId(19),
        attempt: 2,
        kind: LegKind::Whole,
        leg: 1,
        ended: true,
    }
}

/// A leg that is worked no more, because it failed and because another one was first.
fn dropped() -> Vec<(String, workflow::Event)> {
    let dropped = |fault| workflow::Event::LegDropped {
        order: order(),
        attempt: 2,
        leg: 1,
        vessel: VesselId(32),
        fault,
        timeout: Micros(100_000_000),
    };
    let mut found = vec![("beaten".to_owned(), dropped(None))];
    found.extend(each(Fault::ALL, |fault| dropped(Some(fault))));
    found
}

fn candidate(vessel: u32, decode: VesselId, verdict: Verdict) -> Candidate {
    Candidate {
        vessel: VesselId(vessel),
        decode,
        verdict,
        score: 22_410,
        tie: 288_780_935,
        eta: Micros(2_000_000),
        cost: MicroUsd(1_200),
        energy: Millijoules(2_000),
        cached: Tokens(512),
        failing: Ppm(416_666),
    }
}

/// Two candidates, one of them a pair and one too small; three legs.
fn routed() -> routing::Event {
    let leg = |kind, vessel, work| Leg { kind, vessel: VesselId(vessel), work: Micros(work) };
    let mut route = Route::new();
    route.push(leg(LegKind::Hop, 1, 40_000));
    route.push(leg(LegKind::Prefill, 1, 1_000_000));
    route.push(leg(LegKind::Decode, 2, 960_000));
    routing::Event::OrderRouted {
        order: order(),
        attempt: 2,
        policy: PolicyVersion(3),
        open: 9,
        candidates: Candidates(vec![
            candidate(1, VesselId(2), Verdict::Eligible),
            candidate(4, VesselId::NONE, Verdict::Kept),
            candidate(5, VesselId::NONE, Verdict::Tried),
            candidate(7, VesselId::NONE, Verdict::Late),
            candidate(6, VesselId::NONE, Verdict::Promised),
            candidate(3, VesselId::NONE, Verdict::TooLarge),
        ]),
        route,
    }
}

mod refusals {
    use super::*;

    examples! { Refusal {
        "config.not_configured" Refusal::Config(config::Refusal::NotConfigured) => one(config::Refusal::NotConfigured),
        "config.already_configured" Refusal::Config(config::Refusal::AlreadyConfigured) => one(config::Refusal::AlreadyConfigured),
        "workflow.time_regressed" Refusal::Workflow(workflow::Refusal::TimeRegressed { .. }) =>
            one(workflow::Refusal::TimeRegressed { now: Micros(5) }),
        "security.forbidden" Refusal::Security(security::Refusal::Forbidden { .. }) =>
            each(Scope::ALL, |scope| security::Refusal::Forbidden { scope }),
        "models.unknown" Refusal::Models(models::Refusal::Unknown { .. }) =>
            each(Thing::ALL, |thing| models::Refusal::Unknown { thing, id: 6 }),
        "workflow.invalid" Refusal::Workflow(workflow::Refusal::Invalid { .. }) => one(workflow::Refusal::Invalid { fault: "window is empty".into() }),
        "config.invalid" Refusal::Config(config::Refusal::Invalid { .. }) =>
            one(config::Refusal::Invalid { fault: "keys is 0".into() }),
        "models.invalid" Refusal::Models(models::Refusal::Invalid { .. }) =>
            one(models::Refusal::Invalid { fault: "manifest.slots is 0".into() }),
        "policy.invalid" Refusal::Policy(policy::Refusal::Invalid { .. }) =>
            one(policy::Refusal::Invalid { fault: "candidates is 0".into() }),
        "policy.unknown" Refusal::Policy(policy::Refusal::Unknown { .. }) =>
            one(policy::Refusal::Unknown { version: PolicyVersion(12) }),
        "workflow.unknown" Refusal::Workflow(workflow::Refusal::Unknown { .. }) =>
            one(workflow::Refusal::Unknown { order: 13 }),
        "models.wrong_status" Refusal::Models(models::Refusal::WrongStatus) => one(models::Refusal::WrongStatus),
        "config.full" Refusal::Config(config::Refusal::Full { .. }) => each(Bound::ALL, |bound| config::Refusal::Full { bound, max: 7 }),
        "queue.tokens_limited" Refusal::Queue(queue::Refusal::TokensLimited { .. }) =>
            one(queue::Refusal::TokensLimited { retry_at: Micros(62_000_000) }),
        "queue.rate_limited" Refusal::Queue(queue::Refusal::RateLimited { .. }) =>
            one(queue::Refusal::RateLimited { retry_at: Micros(8) }),
        "policy.level_forbids" Refusal::Policy(policy::Refusal::LevelForbids { .. }) => one(policy::Refusal::LevelForbids {
            level: PolicyLevel::Restricted, class: Class::Batch,
        }),
        "models.no_vessel" Refusal::Models(models::Refusal::NoVessel) => one(models::Refusal::NoVessel),
        "models.too_large" Refusal::Models(models::Refusal::TooLarge { .. }) =>
            one(models::Refusal::TooLarge { asked: Tokens(9), max: Tokens(10) }),
        "allocator.no_berth" Refusal::Allocator(allocator::Refusal::NoBerth { .. }) =>
            one(allocator::Refusal::NoBerth { earliest: Micros(60_000_000) }),
        "allocator.promised" Refusal::Allocator(allocator::Refusal::Promised { .. }) =>
            one(allocator::Refusal::Promised { berth: BerthId(13) }),
        "allocator.no_maintenance" Refusal::Allocator(allocator::Refusal::NoMaintenance) =>
            one(allocator::Refusal::NoMaintenance),
        "allocator.limit_too_low" Refusal::Allocator(allocator::Refusal::LimitTooLow { .. }) =>
            one(allocator::Refusal::LimitTooLow { limit: MicroUsd(70_000), least: MicroUsd(70_001) }),
        "policy.no_policy" Refusal::Policy(policy::Refusal::NoPolicy) => one(policy::Refusal::NoPolicy),
        "policy.no_override" Refusal::Policy(policy::Refusal::NoOverride) => one(policy::Refusal::NoOverride),
        "policy.override_too_long" Refusal::Policy(policy::Refusal::OverrideTooLong { .. }) =>
            one(policy::Refusal::OverrideTooLong { asked: Micros(15_000_000_000), max: Micros(14_400_000_000) }),
        "workflow.stale" Refusal::Workflow(workflow::Refusal::Stale) => one(workflow::Refusal::Stale),
        "telemetry.budget_spent" Refusal::Telemetry(telemetry::Refusal::BudgetSpent { .. }) =>
            one(telemetry::Refusal::BudgetSpent { asked: MicroUsd(1_200), left: MicroUsd(70), renewed_at: Micros(86_400_000_000) }),
        "telemetry.not_silenced" Refusal::Telemetry(telemetry::Refusal::NotSilenced { .. }) =>
            one(telemetry::Refusal::NotSilenced { concern: Concern::Level }),
        "telemetry.silence_too_long" Refusal::Telemetry(telemetry::Refusal::SilenceTooLong { .. }) =>
            one(telemetry::Refusal::SilenceTooLong { asked: Micros(604_800_000_001), max: Micros(604_800_000_000) }),
        "workflow.key_conflict" Refusal::Workflow(workflow::Refusal::KeyConflict { .. }) =>
            one(workflow::Refusal::KeyConflict { order: order(), ordered: 0x1234_5678_9abc_def0, asked: 7 }),
        "workflow.wrong_stage" Refusal::Workflow(workflow::Refusal::WrongStage) => one(workflow::Refusal::WrongStage),
        "models.still_aboard" Refusal::Models(models::Refusal::StillAboard { .. }) => one(models::Refusal::StillAboard { orders: 11 }),
        "jobs.unknown" Refusal::Jobs(jobs::Refusal::Unknown { .. }) => one(jobs::Refusal::Unknown { job: JobId(4_711) }),
        "jobs.invalid" Refusal::Jobs(jobs::Refusal::Invalid { .. }) => one(jobs::Refusal::Invalid { fault: "canary is 0".into() }),
        "jobs.taken" Refusal::Jobs(jobs::Refusal::Taken { .. }) =>
            one(jobs::Refusal::Taken { vessel: VesselId(35), job: JobId(4_711) }),
        "jobs.not_running" Refusal::Jobs(jobs::Refusal::NotRunning { .. }) => one(jobs::Refusal::NotRunning { order: 14 }),
        "jobs.wrong_phase" Refusal::Jobs(jobs::Refusal::WrongPhase) => one(jobs::Refusal::WrongPhase),
        "jobs.stale" Refusal::Jobs(jobs::Refusal::Stale) => one(jobs::Refusal::Stale),
        "jobs.not_reported" Refusal::Jobs(jobs::Refusal::NotReported) => one(jobs::Refusal::NotReported),
        "models.superseded" Refusal::Models(models::Refusal::Superseded { .. }) => one(models::Refusal::Superseded { start: 6 }),
    } }
}

fn refused() -> Vec<(String, workflow::Event)> {
    let refusals = refusals::examples().into_iter();
    refusals.map(|(name, refusal)| (name, workflow::Event::CommandRefused { refusal })).collect()
}
