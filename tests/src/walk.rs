//! A random walk through the commands: what a test feeds to an exchange, hostile things among it.

use tensorforge_engine::config::Limits;
use tensorforge_engine::jobs::{Job, Reported, Spec, Standing, Task, Tries, Watch, Work};
use tensorforge_engine::models::{
    Allowance, Class, Demand, Kind, Manifest, Mark, Promise, Role, Stage, Tenant, Usage,
    VesselStatus, Window,
};
use tensorforge_engine::policy::{
    DriftRule, Escalation, Policy, PolicyLevel, RiskWeights, SlaRule,
};
use tensorforge_engine::queue::{GatherRule, Shares};
use tensorforge_engine::resilience::{BreakerRule, OverloadRule, RetryRule};
use tensorforge_engine::routing::{Choice, Weights};
use tensorforge_engine::security::{Scopes, Source};
use tensorforge_engine::telemetry::{Charge, Concern, Forecast, IncidentRule};
use tensorforge_engine::units::{
    JobId, MicroUsd, Micros, Millijoules, ModelId, OrderId, PolicyVersion, Ppm, RegionId, TenantId,
    Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{
    Command, State, allocator, config, jobs, models, policy, telemetry, workflow,
};

/// A generator for tests (Knuth's linear congruence).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % bound
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Rules of which each is met within a walk.
pub fn policy() -> Policy {
    Policy {
        route_by: Choice::Score,
        weights: Weights { time: 10, cost: 3, energy: 1 },
        candidates: 3,
        home_percent: 100,
        prefix_age: Micros(3_000_000),
        key_age: Micros(2_000_000),
        shares: Shares { classes: [8, 4, 1], overdue: 2 },
        patience: [Micros(1), Micros(500_000), Micros(5_000_000)],
        lifetime: [Micros(2_000_000), Micros(20_000_000), Micros(60_000_000)],
        berth_grace: Micros(400_000),
        timeout_percent: 300,
        timeout_min: Micros(200_000),
        stop: Micros(500_000),
        retry: RetryRule {
            attempts: 3,
            backoff: Micros(50_000),
            backoff_max: Micros(400_000),
            budget: Ppm(250_000),
            least: 2,
        },
        breaker: BreakerRule {
            failures: 3,
            failing: Ppm(500_000),
            slow: Ppm(500_000),
            slow_percent: 150,
            calls: 4,
            window: Micros(2_000_000),
            open: Micros(1_000_000),
            open_max: Micros(3_000_000),
            probes: 2,
            cut_off: Ppm(500_000),
        },
        hedge_percent: [150, 100, 0],
        preempt: true,
        overcommit_percent: 0,
        price_time: [false, false, true],
        gather: GatherRule { tokens: Tokens::ZERO, wait: Micros::ZERO },
        overload: OverloadRule { pause: Micros(100_000), pause_max: Micros(700_000) },
        charge: Charge { failed: Ppm(300_000), expired: Ppm(70_000), cancelled: Ppm(999_999) },
        forecast: Forecast {
            samples: 3,
            prior: Ppm(1_000_000),
            legs: 2,
            window: Micros(1_500_000),
        },
        escalation: Escalation {
            elevated: Ppm(300_000),
            elevated_below: Ppm(250_000),
            restricted: Ppm(500_000),
            restricted_below: Ppm(450_000),
            halted: Ppm(900_000),
            halted_below: Ppm(850_000),
            weights: RiskWeights {
                failing: Ppm(1_000_000),
                pressure: Ppm(1_000_000),
                late: Ppm(1_000_000),
                cut_off: Ppm(0),
                drift: Ppm(0),
            },
            drift: DriftRule { slack: Ppm(30_000), threshold: Ppm(200_000), reviews: 8 },
            dwell: Micros(2_000_000),
            review: Micros(1_000_000),
            window: Micros(1_500_000),
            calls: 3,
            late: Ppm(300_000),
            override_max: Micros(2_000_000),
        },
        sla: SlaRule {
            burns: [Ppm(2_000_000), Ppm(1_500_000), Ppm(700_000)],
            clear: Ppm(800_000),
            hold: Micros(700_000),
            orders: 4,
        },
        incidents: IncidentRule {
            begins: [
                [0, 300_000, 500_000, 800_000],
                [100_000, 200_000, 400_000, 700_000],
                [0, 300_000, 600_000, 900_000],
                [0, 200_000, 400_000, 600_000],
                [0, 1_000_000, 1_500_000, 2_000_000],
                [0, 0, 400_000, 600_000],
                [0, 0, 666_666, 1_000_000],
            ]
            .map(|begins| begins.map(Ppm)),
            clear: Ppm(800_000),
            hold: Micros(1_000_000),
            ease: Micros(1_000_000),
        },
    }
}

/// Other rules; now and then ones that nobody can want.
fn some_policy(random: &mut Random) -> Policy {
    let backoff = Micros(random.below(80_000));
    Policy {
        route_by: *random.one(&[
            Choice::Score,
            Choice::Score,
            Choice::LeastLoad,
            Choice::RoundRobin,
            Choice::Affinity,
            Choice::BestFit,
        ]),
        weights: Weights {
            time: 1 + random.below(30) as u32,
            cost: random.below(30) as u32,
            energy: random.below(30) as u32,
        },
        candidates: random.below(7) as u8,
        home_percent: *random.one(&[100, 50, 30]),
        shares: Shares {
            classes: [(); 3].map(|()| 1 + random.below(9) as u32),
            overdue: random.below(4) as u32,
        },
        patience: [(); 3].map(|()| Micros(1 + random.below(3_000_000))),
        timeout_percent: 100 + random.below(300) as u32,
        timeout_min: Micros(random.below(2) * 300_000),
        retry: RetryRule {
            attempts: 1 + random.below(4) as u16,
            backoff,
            backoff_max: backoff + Micros(random.below(300_000)),
            budget: Ppm(*random.one(&[0, 100_000, 300_000, 1_000_000])),
            least: *random.one(&[0, 1, 2, 1_000]),
        },
        hedge_percent: [(); 3].map(|()| random.below(3) as u32 * 100),
        preempt: random.below(3) > 0,
        gather: GatherRule {
            tokens: Tokens(random.below(4) * 3_000),
            wait: Micros(1 + random.below(2_000_000)),
        },
        price_time: [(); 3].map(|()| random.below(2) > 0),
        overcommit_percent: *random.one(&[0, 100, 170]),
        breaker: BreakerRule {
            failures: random.below(5) as u32,
            failing: Ppm(random.below(3) * 300_000),
            slow: Ppm(random.below(3) * 300_000),
            slow_percent: 100 + random.below(200) as u32,
            probes: 1 + random.below(3) as u32,
            cut_off: Ppm(random.below(4) * 250_000),
            ..policy().breaker
        },
        forecast: Forecast {
            samples: 1 + random.below(6) as u32,
            prior: Ppm(random.below(5) * 250_000),
            legs: 1 + random.below(4) as u32,
            window: Micros(200_000 + random.below(3_000_000)),
        },
        escalation: Escalation {
            weights: RiskWeights {
                failing: Ppm(random.below(4) * 400_003),
                pressure: Ppm(random.below(4) * 400_001),
                late: Ppm(1 + random.below(4) * 400_007),
                cut_off: Ppm(random.below(3) * 300_000),
                drift: Ppm(random.below(3) * 200_000),
            },
            drift: DriftRule {
                slack: Ppm(1 + random.below(90_000)),
                threshold: Ppm(1 + random.below(600_000)),
                reviews: 1 + random.below(9) as u32,
            },
            ..policy().escalation
        },
        sla: SlaRule {
            burns: [(); 3].map(|()| Ppm(1 + random.below(4_000_000))),
            clear: Ppm(1 + random.below(1_000_000)),
            hold: Micros(random.below(3) * 600_000),
            orders: 1 + random.below(20) as u32,
        },
        incidents: IncidentRule {
            begins: [(); 7].map(|()| some_begins(random)),
            clear: Ppm(1 + random.below(1_000_000)),
            hold: Micros(random.below(3) * 900_000),
            ease: Micros(random.below(3) * 1_100_000),
        },
        ..policy()
    }
}

/// Four that ascend, some of them never.
fn some_begins(random: &mut Random) -> [Ppm; 4] {
    let mut before = 0;
    [(); 4].map(|()| {
        before += 1 + random.below(500_000);
        Ppm(if random.below(3) > 0 { 0 } else { before })
    })
}

fn manifest(random: &mut Random) -> Manifest {
    Manifest {
        region: RegionId(random.below(3) as u32),
        role: *random.one(&[Role::Whole, Role::Whole, Role::Prefill, Role::Decode]),
        models: (0..2).filter(|_| random.below(4) > 0).map(ModelId).collect(),
        slots: random.below(5) as u32,
        context_max: Tokens(*random.one(&[500, 4_000, 100_000])),
        cache_tokens: Tokens(*random.one(&[0, 2_001, 4_000, 6_000])),
        domain: random.below(3) as u32,
        prefill_per_kilotoken: Micros(50_000),
        decode_per_token: Micros(1_000 + random.below(20) * 500),
        price_in: MicroUsd(250_007 * (1 + random.below(4))),
        price_cached: MicroUsd(25_000 * (1 + random.below(12))),
        price_out: MicroUsd(2_000_000 * (1 + random.below(3))),
        fuel_in: Millijoules(300_000),
        fuel_out: Millijoules(2_000_000),
        heartbeat: Micros(*random.one(&[0, 2_000_000])),
    }
}

fn demand(random: &mut Random, now: Micros) -> Demand {
    let key = random.below(40);
    let from = now + Micros(random.below(3_000_000));
    let window = (random.below(12) == 0)
        .then(|| Window { from, until: from + Micros(random.below(2_000_000)) }.into());
    let deadline = if random.below(3) == 0 { from } else { Micros::ZERO };
    let external = random.below(1_000);
    // Whoever sends a key again mostly asks for the same.
    let again = key > 0 && random.below(4) > 0;
    let random = &mut Random(if again { key << 24 } else { random.below(u64::MAX) });
    let hostile = random.below(50) == 0;
    let kind = match random.below(6) {
        0 => Kind::Training,
        1 => Kind::Embedding,
        _ => Kind::Inference,
    };
    let alone = kind == Kind::Embedding && !hostile;
    let window = window.filter(|_| !alone);
    Demand {
        external,
        model: ModelId(random.below(if hostile { 9 } else { 2 }) as u32),
        origin: RegionId(random.below(4) as u32),
        kind,
        class: *random.one(Class::ALL),
        tokens_in: Tokens(if hostile { u64::MAX } else { 1 + random.below(3_000) }),
        tokens_out_max: Tokens(random.below(if alone { 1 } else { 800 })),
        deadline,
        // Some of what is expected of such an order, some of it twice over; mostly whatever it takes.
        limit: if random.below(3) > 0 { 0 } else { 1 + random.below(4_000) as u32 },
        idempotency: key,
        prefix: (1..=random.below(4))
            .map(|depth| Mark { hash: random.below(30), tokens: Tokens(depth * 64) })
            .collect(),
        window,
    }
}

/// What a vessel might say of its start: nothing, mostly; or that it is the known one, one more or one less.
fn start(random: &mut Random, state: &State, vessel: VesselId) -> u64 {
    let known = state.tables.vessels.get(vessel).map_or(0, |row| row.start);
    match random.below(8) {
        0 => known + 1,
        1 => known,
        2 => known.saturating_sub(1),
        _ => 0,
    }
}

/// What might be asked of a job; now and then something that nobody can want.
fn spec(random: &mut Random, order: OrderId) -> Spec {
    let vessels = |random: &mut Random| -> Vec<VesselId> {
        let first = random.below(9) as u32;
        (0..1 + random.below(3) as u32).map(|more| VesselId((first + more) % 8)).collect()
    };
    let work = match random.below(8) {
        0 => Work::Checkpoint { order },
        1..4 => Work::Drain { vessels: vessels(random) },
        _ => Work::Rollout {
            vessels: vessels(random),
            manifest: Box::new(manifest(random)),
            canary: 1 + random.below(2) as u32,
            growth: random.below(4) as u32,
            watch: Watch {
                hold: Micros(1 + random.below(1_500_000)),
                every: Micros(1 + random.below(900_000)),
                calls: 1 + random.below(3) as u32,
                failing: Ppm(random.below(5) * 200_000),
                slow: Ppm(random.below(5) * 200_000),
            },
        },
    };
    let backoff = Micros(random.below(80_000));
    Spec {
        work,
        at_once: random.below(4) as u32,
        max_out: Ppm(1 + random.below(4) * 333_333),
        only_when_normal: random.below(3) == 0,
        undo: random.below(4) > 0,
        patience: Micros(1 + random.below(2_000_000)),
        tries: Tries {
            attempts: 1 + random.below(3) as u16,
            timeout: Micros(1 + random.below(3_000_000)),
            backoff,
            backoff_max: backoff + Micros(random.below(300_000)),
        },
    }
}

/// Something about jobs: mostly what the world does for one, or a further one.
fn job_command(
    random: &mut Random,
    state: &State,
    some_order: &impl Fn(&mut Random) -> OrderId,
) -> Command {
    let live: Vec<&Job> = state.tables.jobs.iter().map(|(_, job)| job).collect();
    if live.is_empty() || random.below(8) == 0 {
        let name = if random.below(20) == 0 { String::new() } else { "it".into() };
        let training = state.tables.orders.iter().map(|(_, order)| order);
        let training = training.filter(|order| order.demand.kind == Kind::Training);
        let order = training.map(|order| order.id).next().unwrap_or_else(|| some_order(random));
        let spec = Box::new(spec(random, order));
        return Command::Jobs(jobs::Command::StartJob { name, spec });
    }
    let row = live[random.below(live.len() as u64) as usize];
    let job = if random.below(20) == 0 { JobId(random.below(99)) } else { row.id };
    let mut running = (0u16..).zip(&row.steps).filter(|(_, s)| s.standing == Standing::Running);
    let step = running.next().filter(|_| random.below(10) > 0);
    let command = match (random.below(12), step) {
        (0, _) if row.paused => jobs::Command::ResumeJob { job },
        (0, _) => jobs::Command::PauseJob { job },
        (1, _) if random.below(3) == 0 => jobs::Command::CancelJob { job },
        (1..4, _) if row.paused => jobs::Command::ResumeJob { job },
        (4..9, Some((_, step))) if matches!(step.task, Task::Install | Task::Restore) => {
            let before = step.undoes.and_then(|place| row.steps.get(usize::from(place)));
            let manifest = match (&row.spec.work, before.and_then(|step| step.before.clone())) {
                (Work::Rollout { manifest, .. }, None) => (**manifest).clone(),
                (_, Some(before)) => *before,
                (_, None) => manifest(random),
            };
            let start = start(random, state, step.vessel);
            let name = state.tables.vessels.get(step.vessel).map(|row| row.name.clone());
            let name = name.unwrap_or_default();
            return Command::Models(models::Command::RegisterVessel { name, manifest, start });
        }
        (place, Some((step, row))) => {
            let outcome = if place % 3 == 0 { Reported::Done } else { Reported::Failed };
            let attempt = row.attempts - u16::from(random.below(9) == 0);
            jobs::Command::ReportStep { job, step, attempt, outcome }
        }
        (_, None) => {
            let outcome = Reported::Failed;
            jobs::Command::ReportStep { job, step: random.below(9) as u16, attempt: 1, outcome }
        }
    };
    Command::Jobs(command)
}

/// A command that somebody might send in this state, and who sends it.
pub fn command(random: &mut Random, state: &State) -> (Source, Command) {
    let live: Vec<_> = state.tables.orders.iter().map(|(_, order)| order.clone()).collect();
    let vessel = VesselId(random.below(9) as u32);
    let tenant = TenantId(random.below(4) as u32);
    let some_order = |random: &mut Random| {
        if live.is_empty() || random.below(20) == 0 {
            OrderId(random.below(u64::MAX))
        } else {
            live[random.below(live.len() as u64) as usize].id
        }
    };
    let command = match random.below(100) {
        0 if random.below(20) == 0 => Command::Config(config::Command::Configure(bounds())),
        0 => Command::Policy(policy::Command::SetPolicy(Box::new(some_policy(random)))),
        1 if random.below(2) == 0 => {
            let level = *random.one(PolicyLevel::ALL);
            let until = state.now() + Micros(random.below(2_200_000));
            Command::Policy(match random.below(3) {
                0 => policy::Command::EndOverride,
                _ => policy::Command::Override { level, until },
            })
        }
        1 => Command::Policy(policy::Command::RollBackPolicy {
            to: PolicyVersion(random.below(3) as u32),
        }),
        2 if random.below(2) == 0 => {
            // Of what is open, if anything is.
            let open = state.tables.incidents.iter().find(|(_, row)| row.severity.is_some());
            let open = open.filter(|_| random.below(2) == 0).map(|(concern, _)| concern);
            let concern = open.unwrap_or(*random.one(Concern::ALL));
            let until = match random.below(20) {
                0 => state.now() + Micros(700_000_000_000),
                1..6 => state.now(),
                _ => state.now() + Micros(random.below(30_000_000)),
            };
            Command::Telemetry(telemetry::Command::Silence { concern, until })
        }
        2..4 => Command::Models(models::Command::RegisterVessel {
            name: format!("v{}", random.below(9)),
            manifest: manifest(random),
            start: start(random, state, vessel),
        }),
        4 if random.below(3) == 0 => Command::Models(models::Command::Retire { vessel }),
        4 if random.below(2) == 0 => {
            // Of one that is not there, if there is one.
            let away = [VesselStatus::Lost, VesselStatus::Drained, VesselStatus::Retired];
            let mut vessels = state.tables.vessels.iter().map(|(_, row)| row);
            let away = vessels.find(|row| away.contains(&row.status));
            let name = away.map_or_else(|| format!("v{}", random.below(9)), |row| row.name.clone());
            let within = Micros(random.below(3_000_000));
            Command::Models(models::Command::Announce { name, manifest: manifest(random), within })
        }
        4 => Command::Models(models::Command::Drain { vessel }),
        5 => Command::Models(models::Command::Lose { vessel }),
        6..9 if random.below(2) == 0 => {
            // Of one that is lost with all that it has aboard, if there is one.
            let mut loads = state.tables.loads.iter().filter(|(_, load)| load.used > 0);
            let status = |id| state.tables.vessels.get(id).map(|vessel| vessel.status);
            let wreck = loads.find(|(id, _)| status(*id) == Some(VesselStatus::Lost));
            let mut vessels = state.tables.vessels.iter();
            let joining = vessels.find(|(_, row)| row.status == VesselStatus::Joining);
            let joining = joining.map(|(id, _)| id).filter(|_| random.below(2) == 0);
            let vessel = joining.or(wreck.map(|(id, _)| id)).unwrap_or(vessel);
            let start = start(random, state, vessel);
            Command::Models(models::Command::Heartbeat { vessel, start })
        }
        6..9 => {
            let start = start(random, state, vessel);
            Command::Models(models::Command::Heartbeat { vessel, start })
        }
        9 => Command::Models(models::Command::RegisterTenant(Tenant {
            name: format!("t{}", random.below(4)),
            orders: Allowance {
                period: Micros(*random.one(&[500_000, 1_000_000])),
                amount: random.below(60),
                burst: 1 + random.below(5),
            },
            tokens: Allowance {
                period: Micros(*random.one(&[700_001, 3_000_000])),
                amount: *random.one(&[0, 0, 20_000, 70_001]),
                burst: 1 + random.below(9_000),
            },
            live_max: random.below(80) as u32,
            keys_max: random.below(6) as u32,
            queued_max: *random.one(&[0, 0, 3]),
            budget: MicroUsd(*random.one(&[0, 5_000, 40_000])),
            budget_period: Micros(*random.one(&[0, 3_000_000])),
            sla: Promise {
                objective: Ppm(*random.one(&[0, 400_000, 800_000, 999_000])),
                first_token: Micros(random.below(2) * 500_000),
                latency: Micros(random.below(2) * 2_000_000),
            },
        })),
        10 if random.below(2) == 0 => {
            // Of one that is promised to somebody, if there is one.
            let promised = state.tables.berths.iter().map(|(_, berth)| berth.vessel).next();
            let promised = promised.filter(|_| random.below(2) == 0);
            let vessel = promised.unwrap_or(vessel);
            let from = state.now() + Micros(random.below(1_500_000));
            let until = from + Micros(random.below(1_500_000));
            Command::Allocator(match random.below(4) {
                0 => allocator::Command::EndMaintenance { vessel },
                _ => allocator::Command::Maintain { vessel, window: Window { from, until } },
            })
        }
        10..14 => {
            let demands =
                (0..random.below(6)).map(|_| demand(random, state.now())).collect::<Vec<_>>();
            let whole = random.below(3) > 0;
            let plain = |demand: Demand| match whole && !demand.external.is_multiple_of(16) {
                true => Demand { idempotency: 0, window: None, ..demand },
                false => demand,
            };
            let mut demands: Vec<Demand> = demands.into_iter().map(plain).collect();
            // Now and then a gang: few of one model that ask for one window.
            if whole && random.below(3) == 0 {
                demands.truncate(3);
                let from = state.now() + Micros(random.below(2_000_000));
                let until = from + Micros(1 + random.below(1_500_000));
                let model = ModelId(random.below(2) as u32);
                for demand in &mut demands {
                    // Of those that may not cost anything one may take what another one needs.
                    (demand.idempotency, demand.limit) = (0, 0);
                    demand.model = model;
                    demand.window = Some(Box::new(Window { from, until }));
                }
            }
            let batch = workflow::Command::SubmitBatch { demands, whole };
            return (Source::tenant(tenant), Command::Workflow(batch));
        }
        14..45 => {
            return (
                Source::tenant(tenant),
                Command::Workflow(workflow::Command::Submit(demand(random, state.now()))),
            );
        }
        45..48 => {
            return (
                Source::tenant(tenant),
                Command::Workflow(workflow::Command::Cancel { order: some_order(random) }),
            );
        }
        48 => {
            return (
                Source::tenant(tenant),
                Command::Workflow(workflow::Command::Retry { order: some_order(random) }),
            );
        }
        49..52 if !state.tables.stops.is_empty() => {
            let stops: Vec<_> = state.tables.stops.iter().map(|(_, row)| row.clone()).collect();
            let row = random.one(&stops);
            let (order, attempt, leg) = (row.order, row.attempt, row.leg);
            let usage = Usage {
                tokens_in: Tokens(random.below(3_000)),
                cached: Tokens(random.below(2_000)),
                tokens_out: Tokens(random.below(900)),
                energy: Millijoules(random.below(90_000)),
            };
            let leg = leg + u8::from(random.below(20) == 0);
            let outcome = match random.below(4) {
                0 => Some(Outcome::Failed(Fault::Error)),
                1 => Some(Outcome::Done {
                    tokens_out: usage.tokens_out,
                    cached: usage.cached,
                    first_token: Micros(5),
                    energy: usage.energy,
                }),
                _ => None,
            };
            Command::Workflow(match outcome {
                Some(outcome) => workflow::Command::ReportLeg { order, attempt, leg, outcome },
                None => workflow::Command::ReportStop { order, attempt, leg, usage },
            })
        }
        49..80 => {
            let running: Vec<_> = live.iter().filter(|o| o.stage == Stage::Running).collect();
            let (order, attempt, mut leg) = match running.is_empty() || random.below(20) == 0 {
                true => (some_order(random), random.below(3) as u16, 0),
                false => {
                    let order = running[random.below(running.len() as u64) as usize];
                    (order.id, order.attempt, order.leg)
                }
            };
            // Now and then of the other vessel that works it.
            leg += u8::from(random.below(8) == 0);
            if random.below(8) == 0 {
                let command = workflow::Command::ReportFirstToken { order, attempt, leg };
                return (Source::OPERATOR, Command::Workflow(command));
            }
            let outcome = match random.below(5) {
                0 => Outcome::Failed(*random.one(Fault::ALL)),
                _ => Outcome::Done {
                    tokens_out: Tokens(random.below(900)),
                    cached: Tokens(random.below(500)),
                    first_token: Micros(random.below(900_000)),
                    energy: Millijoules(random.below(90_000)),
                },
            };
            Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg, outcome })
        }
        80..84 => job_command(random, state, &some_order),
        _ => Command::Workflow(workflow::Command::Advance),
    };
    let operator =
        Source { scopes: Scopes(random.below(300) as u16 | 0b1_0110), ..Source::OPERATOR };
    (operator, command)
}

/// Bounds that some walk reaches.
pub fn bounds() -> Limits {
    Limits {
        tenants: 3,
        vessels: 7,
        orders: 120,
        queued: 60,
        policies: 40,
        berths: 9,
        keys: 9,
        prefixes: 16,
        queued_kilotokens: 16,
        ..Limits::default()
    }
}

/// Bounds that every walk reaches.
pub fn narrow_bounds() -> Limits {
    Limits { orders: 7, queued: 5, berths: 2, ..bounds() }
}

/// What a walk begins with: its bounds, and a fleet of five.
pub fn setup(bounds: Limits) -> Vec<Command> {
    let mut random = Random(5);
    let mut setup = vec![Command::Config(config::Command::Configure(bounds))];
    for (name, transfer) in [("north", 4_000), ("south", 0), ("east", 90_001)] {
        setup.push(Command::Models(models::Command::RegisterRegion {
            name: name.into(),
            hop: Micros(30_000),
            transfer: Micros(transfer),
        }));
    }
    for name in ["small", "large"] {
        setup.push(Command::Models(models::Command::RegisterModel { name: name.into() }));
    }
    for name in ["t0", "t1"] {
        setup.push(Command::Models(models::Command::RegisterTenant(Tenant::unlimited(name))));
    }
    let gather = GatherRule { tokens: Tokens(6_000), wait: Micros(700_000) };
    let rules = Policy { gather, ..policy() };
    setup.push(Command::Policy(policy::Command::SetPolicy(Box::new(rules))));
    for vessel in 0..5 {
        let mut manifest = manifest(&mut random);
        manifest.slots = 3;
        manifest.models = vec![ModelId(0), ModelId(1)];
        setup.push(Command::Models(models::Command::RegisterVessel {
            name: format!("v{vessel}"),
            manifest,
            start: 0,
        }));
    }
    setup
}

/// The same with five vessels alike, and no bound to what is tried again.
pub fn alike(bounds: Limits) -> Vec<Command> {
    let mut setup = setup(bounds);
    for command in &mut setup {
        match command {
            Command::Policy(policy::Command::SetPolicy(rules)) => {
                rules.retry.least = 1_000;
                rules.breaker.failures = 0;
            }
            Command::Models(models::Command::RegisterVessel { manifest, .. }) => {
                manifest.region = RegionId(0);
                manifest.role = Role::Whole;
                manifest.context_max = Tokens(100_000);
            }
            _ => {}
        }
    }
    setup
}

/// Whether a command leaves such a fleet, and the rules for it, as they are.
pub fn stays(command: &Command) -> bool {
    match command {
        Command::Config(_) | Command::Policy(_) | Command::Allocator(_) => false,
        Command::Models(command) => {
            matches!(command, models::Command::Heartbeat { .. } | models::Command::Lose { .. })
        }
        Command::Workflow(_) => true,
        Command::Jobs(_) => false,
        Command::Telemetry(_) => true,
    }
}
