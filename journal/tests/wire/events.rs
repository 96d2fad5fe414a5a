//! An example of every event, and inside of them of every refusal.

use tensorforge_engine::Event;
use tensorforge_engine::command::{Fault, LossCause};
use tensorforge_engine::event::{Candidate, Verdict};
use tensorforge_engine::models::{Class, End, Leg, LegKind, Role, Route};
use tensorforge_engine::policy::PolicyLevel;
use tensorforge_engine::refusal::{Bound, Refusal, Thing};
use tensorforge_engine::security::Scope;
use tensorforge_engine::units::{
    BerthId, KeySlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, PolicyVersion, Ppm,
    RegionId, TenantId, Tokens, VesselId,
};

use crate::commands::{demand, limits, manifest, order, policy, tenant, window};
use crate::{each, examples, one};

examples! { Event {
    "configured" Event::Configured(_) => one(Event::Configured(limits())),
    "tenant_registered" Event::TenantRegistered { .. } =>
        one(Event::TenantRegistered { tenant: TenantId(3), contract: tenant() }),
    "region_registered" Event::RegionRegistered { .. } => one(Event::RegionRegistered {
        region: RegionId(4), name: "north".into(), hop: Micros(40_000),
    }),
    "model_registered" Event::ModelRegistered { .. } =>
        one(Event::ModelRegistered { model: ModelId(5), name: "coral-70b".into() }),
    "vessel_registered" Event::VesselRegistered { .. } => one(Event::VesselRegistered {
        vessel: VesselId(6), name: "deck-0".into(), manifest: manifest(Role::Prefill),
    }),
    "vessel_seen" Event::VesselSeen { .. } => one(Event::VesselSeen { vessel: VesselId(7) }),
    "vessel_returned" Event::VesselReturned { .. } =>
        one(Event::VesselReturned { vessel: VesselId(8) }),
    "vessel_draining" Event::VesselDraining { .. } =>
        one(Event::VesselDraining { vessel: VesselId(9) }),
    "vessel_drained" Event::VesselDrained { .. } =>
        one(Event::VesselDrained { vessel: VesselId(10) }),
    "vessel_lost" Event::VesselLost { .. } =>
        each(LossCause::ALL, |cause| Event::VesselLost { vessel: VesselId(11), cause }),
    "breaker_opened" Event::BreakerOpened { .. } => one(Event::BreakerOpened {
        vessel: VesselId(12), failures: 5, until: Micros(15_000_000),
    }),
    "breaker_probing" Event::BreakerProbing { .. } =>
        one(Event::BreakerProbing { vessel: VesselId(13) }),
    "breaker_closed" Event::BreakerClosed { .. } =>
        one(Event::BreakerClosed { vessel: VesselId(14) }),
    "policy_changed" Event::PolicyChanged { .. } =>
        one(Event::PolicyChanged { version: PolicyVersion(2), policy: Box::new(policy()) }),
    "policy_rolled_back" Event::PolicyRolledBack { .. } => one(Event::PolicyRolledBack {
        version: PolicyVersion(3), to: PolicyVersion(1), policy: Box::new(policy()),
    }),
    "risk_reviewed" Event::RiskReviewed { .. } => one(Event::RiskReviewed {
        risk: Ppm(400_000),
        failing: Ppm(100_000),
        pressure: Ppm(400_000),
        lost: Ppm(250_000),
        next: Micros(5_000_000),
    }),
    "level_changed" Event::LevelChanged { .. } => each(PolicyLevel::ALL, |to| {
        Event::LevelChanged { from: PolicyLevel::Normal, to, risk: Ppm(400_000) }
    }),
    "command_refused" Event::CommandRefused { .. } => refused(),
    "order_refused" Event::OrderRefused { .. } => one(Event::OrderRefused {
        order: OrderId::new(77, OrderId::NO_SLOT),
        tenant: TenantId::NONE,
        external: 4_711,
        refusal: Refusal::NoVessel,
    }),
    "order_deduplicated" Event::OrderDeduplicated { .. } => one(Event::OrderDeduplicated {
        order: order(), tenant: TenantId(3), external: 4_712,
    }),
    "order_admitted" Event::OrderAdmitted { .. } => one(Event::OrderAdmitted {
        order: order(),
        tenant: TenantId(3),
        level: PolicyLevel::Elevated,
        arrival: Micros(60_000_000),
        deadline: Micros(90_000_000),
        key: KeySlot(21),
        demand: demand(),
    }),
    "order_queued" Event::OrderQueued { .. } =>
        one(Event::OrderQueued { order: order(), ticket: 31, ahead: 30 }),
    "order_berthed" Event::OrderBerthed { .. } => one(Event::OrderBerthed {
        order: order(),
        berth: BerthId(41),
        vessel: VesselId(15),
        window: window(),
        overlapping: 2,
    }),
    "berth_released" Event::BerthReleased { .. } =>
        one(Event::BerthReleased { order: order(), berth: BerthId(42) }),
    "order_routed" Event::OrderRouted { .. } => one(routed()),
    "leg_dispatched" Event::LegDispatched { .. } => each(LegKind::ALL, |kind| {
        Event::LegDispatched {
            order: order(),
            attempt: 2,
            leg: 1,
            kind,
            vessel: VesselId(16),
            timeout: Micros(100_000_000),
        }
    }),
    "leg_completed" Event::LegCompleted { .. } => one(Event::LegCompleted {
        order: order(),
        leg: 1,
        vessel: VesselId(17),
        tokens_out: Tokens(80),
        cached: Tokens(512),
        first_token: Micros(900_000),
        cost: MicroUsd(1_160),
        energy: Millijoules(1_800),
    }),
    "leg_failed" Event::LegFailed { .. } => each(Fault::ALL, |fault| {
        Event::LegFailed { order: order(), attempt: 2, leg: 1, vessel: VesselId(18), fault }
    }),
    "retry_scheduled" Event::RetryScheduled { .. } =>
        one(Event::RetryScheduled { order: order(), attempts: 2, at: Micros(61_000_000) }),
    "order_settled" Event::OrderSettled { .. } => one(Event::OrderSettled {
        order: order(),
        tenant: TenantId(3),
        tokens_in: Tokens(1_000),
        cached: Tokens(512),
        tokens_out: Tokens(80),
        cost: MicroUsd(1_160),
        energy: Millijoules(1_800),
    }),
    "order_ended" Event::OrderEnded { .. } => each(End::ALL, |end| Event::OrderEnded {
        order: order(),
        tenant: TenantId(3),
        external: 4_711,
        end,
        attempts: 2,
        stop: VesselId(19),
        first_token: Micros(900_000),
        latency: Micros(2_500_000),
    }),
} }

/// Two candidates, one of them a pair and one too small; three legs.
fn routed() -> Event {
    let candidate = |vessel: u32, decode: VesselId, verdict: Verdict| Candidate {
        vessel: VesselId(vessel),
        decode,
        verdict,
        score: 22_410,
        tie: 288_780_935,
        eta: Micros(2_000_000),
        cost: MicroUsd(1_200),
        energy: Millijoules(2_000),
        cached: Tokens(512),
    };
    let leg = |kind, vessel, work| Leg { kind, vessel: VesselId(vessel), work: Micros(work) };
    let mut route = Route::new();
    route.push(leg(LegKind::Hop, 1, 40_000));
    route.push(leg(LegKind::Prefill, 1, 1_000_000));
    route.push(leg(LegKind::Decode, 2, 960_000));
    Event::OrderRouted {
        order: order(),
        attempt: 2,
        policy: PolicyVersion(3),
        open: 9,
        candidates: vec![
            candidate(1, VesselId(2), Verdict::Eligible),
            candidate(3, VesselId::NONE, Verdict::TooLarge),
        ],
        route,
    }
}

mod refusals {
    use super::*;

    examples! { Refusal {
        "not_configured" Refusal::NotConfigured => one(Refusal::NotConfigured),
        "already_configured" Refusal::AlreadyConfigured => one(Refusal::AlreadyConfigured),
        "time_regressed" Refusal::TimeRegressed { .. } =>
            one(Refusal::TimeRegressed { now: Micros(5) }),
        "forbidden" Refusal::Forbidden { .. } =>
            each(Scope::ALL, |scope| Refusal::Forbidden { scope }),
        "unknown" Refusal::Unknown { .. } =>
            each(Thing::ALL, |thing| Refusal::Unknown { thing, id: 6 }),
        "invalid" Refusal::Invalid { .. } => one(Refusal::Invalid { fault: "candidates is 0".into() }),
        "full" Refusal::Full { .. } => each(Bound::ALL, |bound| Refusal::Full { bound, max: 7 }),
        "rate_limited" Refusal::RateLimited { .. } =>
            one(Refusal::RateLimited { retry_at: Micros(8) }),
        "level_forbids" Refusal::LevelForbids { .. } => one(Refusal::LevelForbids {
            level: PolicyLevel::Restricted, class: Class::Batch,
        }),
        "no_vessel" Refusal::NoVessel => one(Refusal::NoVessel),
        "too_large" Refusal::TooLarge { .. } =>
            one(Refusal::TooLarge { asked: Tokens(9), max: Tokens(10) }),
        "no_berth" Refusal::NoBerth => one(Refusal::NoBerth),
        "no_policy" Refusal::NoPolicy => one(Refusal::NoPolicy),
        "stale" Refusal::Stale => one(Refusal::Stale),
        "wrong_stage" Refusal::WrongStage => one(Refusal::WrongStage),
        "still_aboard" Refusal::StillAboard { .. } => one(Refusal::StillAboard { orders: 11 }),
    } }
}

fn refused() -> Vec<(String, Event)> {
    let refusals = refusals::examples().into_iter();
    refusals.map(|(name, refusal)| (name, Event::CommandRefused { refusal })).collect()
}
