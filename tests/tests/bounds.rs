//! The bad hour: everything falls due at once. Records stay short, time goes on, and nobody is forgotten.

use tensorforge_engine::config::Limits;
use tensorforge_engine::image::pack;
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Mark, Role, Stage, Tenant};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{
    JournalId, MicroUsd, Micros, Millijoules, ModelId, OrderSlot, RegionId, Seq, TenantId, Tokens,
    VesselId,
};
use tensorforge_engine::{
    Command, Event, Exchange, Stamp, config, models, policy, queue, routing, workflow,
};
use tensorforge_tests::walk;

struct Desk {
    exchange: Exchange,
    seq: u64,
    time: Micros,
    /// The most bytes of events that a record had.
    longest: usize,
}

impl Desk {
    fn open(policy: Policy) -> Self {
        let exchange = Exchange::genesis(JournalId([1; 16]));
        let mut desk = Self { exchange, seq: 0, time: Micros(0), longest: 0 };
        desk.tell(config::Command::Configure(Limits::default()));
        desk.tell(models::Command::RegisterRegion { name: "here".into(), hop: Micros(10) });
        desk.tell(models::Command::RegisterModel { name: "minnow".into() });
        let contract = Tenant { name: "alba".into(), rate: 0, burst: 0, live_max: 0 };
        desk.tell(models::Command::RegisterTenant(contract));
        desk.tell(policy::Command::SetPolicy(Box::new(policy)));
        desk
    }

    fn tell(&mut self, command: impl Into<Command>) -> Vec<Event> {
        let command = command.into();
        let source = match command {
            Command::Workflow(workflow::Command::Submit(_)) => Source::tenant(TenantId(0)),
            _ => Source::OPERATOR,
        };
        let stamp = Stamp { seq: Seq(self.seq), time: self.time, source };
        self.seq += 1;
        let mut events = Vec::new();
        self.exchange.decide(stamp, &command, &mut events).unwrap();
        let mut bytes = Vec::new();
        events.iter().for_each(|event| pack(event, &mut bytes));
        self.longest = self.longest.max(bytes.len());
        events
    }

    /// Lets time stand still until nothing is due any more; how many records that took.
    fn settle(&mut self) -> u64 {
        let before = self.seq;
        while self.exchange.state().next_deadline().is_some_and(|due| due <= self.time) {
            self.tell(workflow::Command::Advance);
        }
        self.seq - before
    }

    fn sound(&self) {
        assert_eq!(self.exchange.state().check(), Vec::<String>::new());
    }

    fn count(&self, stage: Stage) -> usize {
        self.exchange.state().tables.orders.iter().filter(|(_, row)| row.stage == stage).count()
    }
}

fn boat() -> Manifest {
    Manifest {
        region: RegionId(0),
        role: Role::Whole,
        models: vec![ModelId(0)],
        slots: 64,
        context_max: Tokens(4_000),
        prefill_per_kilotoken: Micros(1_000_000),
        decode_per_token: Micros(10_000),
        price_in: MicroUsd(1_000_000),
        price_cached: MicroUsd(100_000),
        price_out: MicroUsd(2_000_000),
        fuel_in: Millijoules(1_000),
        fuel_out: Millijoules(10_000),
        heartbeat: Micros(30_000_000),
    }
}

fn demand(deadline: u64) -> Demand {
    Demand {
        external: 0,
        model: ModelId(0),
        origin: RegionId::NONE,
        kind: Kind::Inference,
        class: Class::Standard,
        tokens_in: Tokens(1_000),
        tokens_out_max: Tokens(100),
        deadline: Micros(deadline),
        idempotency: 0,
        prefix: Vec::new(),
        window: None,
    }
}

fn wide() -> Policy {
    let mut policy = Policy { candidates: 64, ..walk::policy() };
    policy.lifetime = [Micros(3_600_000_000); 3];
    policy.escalation.review = Micros(3_600_000_000);
    policy.escalation.dwell = Micros(3_600_000_000);
    policy
}

/// Eighty vessels are lost and come back at once before a long queue: each return may serve sixty-four
/// orders with sixty-four candidates each, and their retries fall due with it.
#[test]
fn a_fleet_that_comes_back_at_once_makes_short_records() {
    let mut desk = Desk::open(wide());
    for vessel in 0..80 {
        desk.tell(models::Command::RegisterVessel { name: format!("v{vessel}"), manifest: boat() });
    }
    for _ in 0..12_000 {
        desk.tell(workflow::Command::Submit(demand(0)));
    }
    assert_eq!(desk.count(Stage::Running), 80 * 64);
    desk.time = Micros(10_000_000);
    for vessel in (0..80).map(VesselId) {
        desk.tell(models::Command::Lose { vessel });
    }
    desk.settle();
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Backoff)), (0, 80 * 64));
    // By now every retry is due.
    desk.time = Micros(20_000_000);
    for vessel in (0..80).map(VesselId) {
        desk.tell(models::Command::Heartbeat { vessel });
    }
    let records = desk.settle();
    assert_eq!(desk.count(Stage::Running), 80 * 64, "there is room, and somebody waits");
    assert!(records > 10, "{records} records held all of it");
    assert!(desk.longest <= Exchange::RECORD_BYTES_MAX, "{} bytes", desk.longest);
    desk.sound();
}

/// An order that fits nowhere holds up those of its kind; when it can go, all of them can. What a record
/// has no room for is left to the next one, which is due at once.
#[test]
fn whoever_cannot_be_served_at_once_is_served_next() {
    let mut desk = Desk::open(wide());
    for vessel in 0..70 {
        desk.tell(models::Command::RegisterVessel { name: format!("v{vessel}"), manifest: boat() });
    }
    let large = Manifest { slots: 1, context_max: Tokens(9_000), ..boat() };
    let register =
        models::Command::RegisterVessel { name: "large".into(), manifest: large.clone() };
    desk.tell(register);
    let whale = Demand { tokens_in: Tokens(8_000), ..demand(0) };
    desk.tell(workflow::Command::Submit(whale.clone()));
    desk.tell(workflow::Command::Submit(whale));
    for _ in 0..500 {
        desk.tell(workflow::Command::Submit(demand(0)));
    }
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (1, 501));
    let order = desk.exchange.state().tables.orders.get(OrderSlot(0)).unwrap().id;
    let events = desk.tell(workflow::Command::Cancel { order });
    let at = desk.time;
    assert_eq!(events.last(), Some(&queue::Event::ServiceDeferred { at }.into()));
    let left = desk.count(Stage::Queued);
    assert!((400..500).contains(&left), "{left} are left");
    assert_eq!(desk.exchange.state().next_deadline(), Some(at));
    // Each record serves as many as fit into it.
    let records = desk.settle();
    assert_eq!(desk.count(Stage::Queued), 0);
    assert!((5..10).contains(&records), "{records} records");
    assert!(desk.longest <= Exchange::RECORD_BYTES_MAX, "{} bytes", desk.longest);
    assert_eq!(desk.exchange.state().waiting().unwrap().serve_at, Micros::MAX);
    desk.sound();
}

/// The most candidates that a route may have, as they come: sixty-four drawn of each role, and the
/// holders of eight prefixes besides.
#[test]
fn the_longest_route_is_what_a_unit_is_bounded_by() {
    let mut desk = Desk::open(wide());
    for (role, letter) in [(Role::Whole, 'w'), (Role::Prefill, 'p'), (Role::Decode, 'd')] {
        for vessel in 0..1_000 {
            let (name, manifest) = (format!("{letter}{vessel}"), Manifest { role, ..boat() });
            desk.tell(models::Command::RegisterVessel { name, manifest });
        }
    }
    let mut most = 0;
    for round in 0..200u64 {
        let prefix = (0..8).map(|mark| Mark {
            hash: 1 + (round + mark * 3) % 64,
            tokens: Tokens(100 * (mark + 1)),
        });
        let order = Demand { prefix: prefix.collect(), ..demand(0) };
        for event in desk.tell(workflow::Command::Submit(order)) {
            if let Event::Routing(routing::Event::OrderRouted { candidates, .. }) = event {
                most = most.max(candidates.len());
            }
        }
    }
    assert!((190..=routing::Candidate::MOST).contains(&most), "{most} candidates");
}

/// At the end of time nothing falls due, whether the timers are those of an exchange that lived through
/// it or of one that was restored.
#[test]
fn what_is_never_due_is_never_due_after_a_restore_either() {
    let mut desk = Desk::open(wide());
    for (name, heartbeat) in [("dory", Micros::ZERO), ("punt", Micros(u64::MAX / 2))] {
        let manifest = Manifest { heartbeat, ..boat() };
        desk.tell(models::Command::RegisterVessel { name: name.into(), manifest });
    }
    desk.time = Micros(u64::MAX - 10);
    desk.settle();
    desk.tell(workflow::Command::Submit(demand(u64::MAX)));
    let state = desk.exchange.state();
    let mut rows = Vec::new();
    for (number, table) in (0u8..).zip(state.tables.all()) {
        table.export(&mut |key, writer, image| rows.push((number, key, writer, image.to_vec())));
    }
    let restored = tensorforge_engine::State::restore(state.journal(), state.seq(), rows).unwrap();
    let mut restored = Exchange::resume(restored);
    for time in [u64::MAX - 10, u64::MAX] {
        let stamp = Stamp { seq: Seq(desk.seq), time: Micros(time), source: Source::OPERATOR };
        desk.seq += 1;
        let advance = Command::Workflow(workflow::Command::Advance);
        let (mut live, mut again) = (Vec::new(), Vec::new());
        desk.exchange.decide(stamp, &advance, &mut live).unwrap();
        restored.decide(stamp, &advance, &mut again).unwrap();
        assert_eq!(live, again);
        assert_eq!(desk.exchange.state().next_deadline(), restored.state().next_deadline());
        assert_eq!(desk.exchange.state().root(), restored.state().root());
    }
    assert_eq!(desk.exchange.state().tables.orders.len(), 1);
    desk.sound();
}
