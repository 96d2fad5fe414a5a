//! Random commands, hostile ones among them: every one is decided, the state stays sound, and folding
//! the events alone leads to the same state as deciding did.

use tensorforge_engine::command::{Fault, Outcome};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{
    Class, Demand, Kind, Manifest, Mark, Role, Stage, Tenant, Window,
};
use tensorforge_engine::policy::{BreakerRule, Escalation, Policy, RetryRule, Weights};
use tensorforge_engine::security::{Scopes, Source};
use tensorforge_engine::units::*;
use tensorforge_engine::{Command, Event, Exchange, Stamp, State};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % bound
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

fn policy() -> Policy {
    Policy {
        weights: Weights { time: 10, cost: 3, energy: 1, avoid: 5_000 },
        candidates: 3,
        patience: [Micros(1), Micros(500_000), Micros(5_000_000)],
        lifetime: [Micros(2_000_000), Micros(20_000_000), Micros(60_000_000)],
        timeout_percent: 300,
        timeout_min: Micros(200_000),
        retry: RetryRule { attempts: 3, backoff: Micros(50_000), backoff_max: Micros(400_000) },
        breaker: BreakerRule { failures: 3, open: Micros(1_000_000) },
        escalation: Escalation {
            elevated: Ppm(300_000),
            restricted: Ppm(500_000),
            halted: Ppm(900_000),
            hysteresis: Ppm(50_000),
            dwell: Micros(2_000_000),
            review: Micros(1_000_000),
        },
    }
}

fn manifest(random: &mut Random) -> Manifest {
    Manifest {
        region: RegionId(random.below(3) as u32),
        role: *random.one(&[Role::Whole, Role::Whole, Role::Prefill, Role::Decode]),
        models: (0..2).filter(|_| random.below(4) > 0).map(ModelId).collect(),
        slots: random.below(5) as u32,
        context_max: Tokens(*random.one(&[500, 4_000, 100_000])),
        prefill_per_kilotoken: Micros(50_000),
        decode_per_token: Micros(1_000 + random.below(20) * 500),
        price_in: MicroUsd(250_000),
        price_cached: MicroUsd(25_000),
        price_out: MicroUsd(2_000_000),
        fuel_in: Millijoules(300_000),
        fuel_out: Millijoules(2_000_000),
        heartbeat: Micros(*random.one(&[0, 2_000_000])),
    }
}

fn demand(random: &mut Random, now: Micros) -> Demand {
    let hostile = random.below(50) == 0;
    let from = now + Micros(random.below(3_000_000));
    Demand {
        external: random.below(1_000),
        model: ModelId(random.below(if hostile { 9 } else { 2 }) as u32),
        origin: RegionId(random.below(4) as u32),
        kind: Kind::Inference,
        class: *random.one(Class::ALL),
        tokens_in: Tokens(if hostile { u64::MAX } else { 1 + random.below(3_000) }),
        tokens_out_max: Tokens(random.below(800)),
        deadline: if random.below(3) == 0 { from } else { Micros::ZERO },
        idempotency: random.below(40),
        prefix: (1..=random.below(4))
            .map(|depth| Mark { hash: random.below(30), tokens: Tokens(depth * 64) })
            .collect(),
        window: (random.below(12) == 0)
            .then(|| Window { from, until: from + Micros(random.below(2_000_000)) }),
    }
}

fn command(random: &mut Random, state: &State) -> (Source, Command) {
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
        0 => Command::SetPolicy(Box::new(policy())),
        1 => Command::RollBackPolicy { to: PolicyVersion(random.below(3) as u32) },
        2..4 => Command::RegisterVessel {
            name: format!("v{}", random.below(9)),
            manifest: manifest(random),
        },
        4 => Command::Drain { vessel },
        5 => Command::Lose { vessel },
        6..9 => Command::Heartbeat { vessel },
        9 => Command::RegisterTenant(Tenant {
            name: format!("t{}", random.below(4)),
            rate: random.below(60) as u32,
            burst: 1 + random.below(5) as u32,
            live_max: random.below(80) as u32,
        }),
        10..45 => return (Source::tenant(tenant), Command::Submit(demand(random, state.now()))),
        45..48 => return (Source::tenant(tenant), Command::Cancel { order: some_order(random) }),
        48 => return (Source::tenant(tenant), Command::Retry { order: some_order(random) }),
        49..80 => {
            let running: Vec<_> = live.iter().filter(|o| o.stage == Stage::Running).collect();
            let (order, attempt, leg) = match running.is_empty() || random.below(20) == 0 {
                true => (some_order(random), random.below(3) as u16, 0),
                false => {
                    let order = running[random.below(running.len() as u64) as usize];
                    (order.id, order.attempt, order.leg)
                }
            };
            let outcome = match random.below(5) {
                0 => Outcome::Failed(*random.one(Fault::ALL)),
                _ => Outcome::Done {
                    tokens_out: Tokens(random.below(900)),
                    cached: Tokens(random.below(500)),
                    first_token: Micros(random.below(900_000)),
                    energy: Millijoules(random.below(90_000)),
                },
            };
            Command::ReportLeg { order, attempt, leg, outcome }
        }
        _ => Command::Advance,
    };
    let operator =
        Source { scopes: Scopes(random.below(300) as u16 | 0b1_0110), ..Source::OPERATOR };
    (operator, command)
}

fn setup() -> Vec<Command> {
    let mut random = Random(5);
    let mut setup = vec![Command::Configure(Limits {
        tenants: 3,
        vessels: 7,
        orders: 120,
        queued: 60,
        policies: 40,
        berths: 9,
        keys: 16,
        prefixes: 16,
        ..Limits::default()
    })];
    for name in ["north", "south", "east"] {
        setup.push(Command::RegisterRegion { name: name.into(), hop: Micros(30_000) });
    }
    for name in ["small", "large"] {
        setup.push(Command::RegisterModel { name: name.into() });
    }
    for name in ["t0", "t1"] {
        setup.push(Command::RegisterTenant(Tenant {
            name: name.into(),
            rate: 0,
            burst: 0,
            live_max: 0,
        }));
    }
    setup.push(Command::SetPolicy(Box::new(policy())));
    for vessel in 0..5 {
        let mut manifest = manifest(&mut random);
        manifest.slots = 3;
        manifest.models = vec![ModelId(0), ModelId(1)];
        setup.push(Command::RegisterVessel { name: format!("v{vessel}"), manifest });
    }
    setup
}

/// Runs `records` random records; returns what they decided, and how often each kind of event came.
fn run(seed: u64, records: u64) -> Vec<(Micros, Vec<Event>)> {
    let journal = JournalId([seed as u8; 16]);
    let mut live = Exchange::genesis(journal);
    let mut replica = Exchange::genesis(journal);
    let mut random = Random(seed);
    let mut setup = setup().into_iter();
    let mut history = Vec::new();
    let mut time = Micros(1);
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => command(&mut random, live.state()),
        };
        match live.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(40_000)),
        }
        // Now and then somebody's clock is behind.
        let sent = if random.below(200) == 0 { time - Micros(90_000) } else { time };
        let mut events = Vec::new();
        live.decide(Stamp { seq, time: sent, source }, &command, &mut events).unwrap();
        assert_eq!(
            live.state().check(),
            Vec::<String>::new(),
            "record {seq}: {command:?} {events:?}"
        );
        replica.fold(seq, sent, &events).unwrap();
        assert_eq!(live.state().tag(), replica.state().tag(), "record {seq}: {events:?}");
        if seq.0 % 97 == 0 {
            replica = Exchange::resume(restored(replica.state()));
            assert_eq!(live.state().root(), replica.state().root());
            assert_eq!(
                live.state().next_deadline(),
                replica.state().next_deadline(),
                "record {seq}"
            );
        }
        history.push((sent, events));
    }
    assert_eq!(live.state().differences(replica.state(), 10), vec![]);
    history
}

/// The state after its rows have been through their images.
fn restored(state: &State) -> State {
    let mut rows = Vec::new();
    for (number, table) in (0u8..).zip(state.tables.all()) {
        table.export(&mut |key, writer, image| rows.push((number, key, writer, image.to_vec())));
    }
    State::restore(state.journal(), state.seq(), rows).unwrap()
}

#[test]
fn random_histories_are_sound_and_fold_to_the_same_state() {
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for seed in 1..=8 {
        for (_, events) in run(seed, 4_000) {
            for event in events {
                let name = format!("{event:?}");
                let name = name.split([' ', '(', '{']).next().unwrap().to_owned();
                *kinds.entry(name).or_default() += 1;
            }
        }
    }
    // A walk that never comes across some event proves nothing about it.
    assert_eq!(kinds.len(), 31, "{kinds:#?}");
    assert!(kinds.values().all(|count| *count > 3), "{kinds:#?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(run(3, 2_000), run(3, 2_000));
}
