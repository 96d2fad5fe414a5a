//! An example of every command; every field has a value of its own, so that none can stand for another.

use tensorforge_engine::Command;
use tensorforge_engine::command::{Fault, Outcome};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Mark, Role, Tenant, Window};
use tensorforge_engine::policy::{BreakerRule, Escalation, Policy, RetryRule, Weights};
use tensorforge_engine::units::{
    MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, PolicyVersion, Ppm, RegionId,
    Tokens, VesselId,
};

use crate::{each, examples, one};

examples! { Command {
    "configure" Command::Configure(_) => one(Command::Configure(limits())),
    "register_tenant" Command::RegisterTenant(_) => one(Command::RegisterTenant(tenant())),
    "register_region" Command::RegisterRegion { .. } =>
        one(Command::RegisterRegion { name: "Åland".into(), hop: Micros(40_000) }),
    "register_model" Command::RegisterModel { .. } =>
        one(Command::RegisterModel { name: "coral-70b".into() }),
    "register_vessel" Command::RegisterVessel { .. } => each(Role::ALL, |role| {
        Command::RegisterVessel { name: "deck-0".into(), manifest: manifest(role) }
    }),
    "heartbeat" Command::Heartbeat { .. } => one(Command::Heartbeat { vessel: VesselId(7) }),
    "drain" Command::Drain { .. } => one(Command::Drain { vessel: VesselId(8) }),
    "lose" Command::Lose { .. } => one(Command::Lose { vessel: VesselId(9) }),
    "set_policy" Command::SetPolicy(_) => one(Command::SetPolicy(Box::new(policy()))),
    "roll_back_policy" Command::RollBackPolicy { .. } =>
        one(Command::RollBackPolicy { to: PolicyVersion(3) }),
    "submit" Command::Submit(_) => submissions(),
    "cancel" Command::Cancel { .. } => one(Command::Cancel { order: order() }),
    "retry" Command::Retry { .. } => one(Command::Retry { order: order() }),
    "report_leg" Command::ReportLeg { .. } => reports(),
    "advance" Command::Advance => one(Command::Advance),
} }

fn submissions() -> Vec<(String, Command)> {
    let mut found = each(Class::ALL, |class| Command::Submit(Demand { class, ..demand() }));
    found.extend(each(Kind::ALL, |kind| Command::Submit(Demand { kind, ..demand() })));
    let plain = Demand { prefix: Vec::new(), window: None, ..demand() };
    found.push(("plain".into(), Command::Submit(plain)));
    // The word stands for a class and for a kind.
    let twice = found.iter_mut().rfind(|(name, _)| name == "batch");
    twice.unwrap().0 = "kind-batch".into();
    found
}

fn reports() -> Vec<(String, Command)> {
    let report = |outcome| Command::ReportLeg { order: order(), attempt: 0x0102, leg: 2, outcome };
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
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant { name: "alba".into(), rate: 20, burst: 5, live_max: 100 }
}

pub(crate) fn manifest(role: Role) -> Manifest {
    Manifest {
        region: RegionId(1),
        role,
        models: vec![ModelId(2), ModelId(5)],
        slots: 64,
        context_max: Tokens(262_144),
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
        weights: Weights { time: 10, cost: 2, energy: 5, avoid: 100_000 },
        candidates: 4,
        patience: [Micros(5_000_000), Micros(20_000_000), Micros(120_000_000)],
        lifetime: [Micros(120_000_000), Micros(600_000_000), Micros(3_600_000_000)],
        timeout_percent: 400,
        timeout_min: Micros(30_000_000),
        retry: RetryRule { attempts: 3, backoff: Micros(250_000), backoff_max: Micros(8_000_000) },
        breaker: BreakerRule { failures: 6, open: Micros(15_000_000) },
        escalation: Escalation {
            elevated: Ppm(300_000),
            restricted: Ppm(550_000),
            halted: Ppm(850_000),
            hysteresis: Ppm(90_000),
            dwell: Micros(31_000_000),
            review: Micros(5_500_000),
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
        idempotency: 0xfeed_f00d_dead_beef,
        prefix: vec![
            Mark { hash: 0x0123_4567_89ab_cdef, tokens: Tokens(512) },
            Mark { hash: 0xfedc_ba98_7654_3210, tokens: Tokens(1_024) },
        ],
        window: Some(window()),
    }
}
