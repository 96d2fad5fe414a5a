//! A desk before a small exchange: commands are told to it one by one, and what it decides is handed back.

use tensorforge_engine::config::Limits;
use tensorforge_engine::image::pack;
use tensorforge_engine::models::Allowance;
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Role, Stage, Tenant};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{
    JournalId, MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, RegionId, Seq, TenantId,
    Tokens,
};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{
    Command, Event, Exchange, Stamp, State, config, models, policy, workflow,
};

/// An exchange with regions `here` (10 ms away) and `there` (30 ms), model `minnow` and tenant `alba`.
#[derive(Debug)]
pub struct Desk {
    /// What is behind the desk.
    pub exchange: Exchange,
    records: u64,
    /// The most bytes of events that a record had.
    pub longest: usize,
    /// Whose orders are submitted.
    pub tenant: TenantId,
    /// The invariants are looked at after every command, and not only when asked.
    pub checks: bool,
}

impl Desk {
    /// Its tenant is held to `rate` orders a second with `burst` at once, and to `live_max` live ones
    /// (0: no bound).
    pub fn open(journal: u8, policy: &Policy, (rate, burst, live_max): (u32, u32, u32)) -> Self {
        let orders = Allowance { period: Micros::SECOND, amount: rate.into(), burst: burst.into() };
        let contract = Tenant { orders, live_max, ..Tenant::unlimited("alba") };
        Self::within(journal, policy, Limits::default(), contract)
    }

    /// The same within these bounds, its tenant held to this contract.
    pub fn within(journal: u8, policy: &Policy, limits: Limits, contract: Tenant) -> Self {
        let exchange = Exchange::genesis(JournalId([journal; 16]));
        let mut desk = Self { exchange, records: 0, longest: 0, tenant: TenantId(0), checks: true };
        desk.tell(0, config::Command::Configure(limits));
        for (name, hop) in [("here", 10_000), ("there", 30_000)] {
            let (name, hop, transfer) = (name.into(), Micros(hop), Micros(hop / 10));
            desk.tell(0, models::Command::RegisterRegion { name, hop, transfer });
        }
        desk.tell(0, models::Command::RegisterModel { name: "minnow".into() });
        desk.tell(0, models::Command::RegisterTenant(contract));
        desk.tell(0, policy::Command::SetPolicy(Box::new(policy.clone())));
        desk
    }

    /// The next stamp: orders come from the tenant, all else from the operator.
    pub fn stamp(&mut self, time: u64, command: &Command) -> Stamp {
        let source = match command {
            Command::Workflow(
                workflow::Command::Submit(_) | workflow::Command::SubmitBatch { .. },
            ) => Source::tenant(self.tenant),
            _ => Source::OPERATOR,
        };
        let stamp = Stamp { seq: Seq(self.records), time: Micros(time), source };
        self.records += 1;
        stamp
    }

    /// Tells it this at such a time, and hands back what was decided.
    pub fn tell(&mut self, time: u64, command: impl Into<Command>) -> Vec<Event> {
        let command = command.into();
        let stamp = self.stamp(time, &command);
        let mut events = Vec::new();
        self.exchange.decide(stamp, &command, &mut events).unwrap();
        let mut bytes = Vec::new();
        events.iter().for_each(|event| pack(event, &mut bytes));
        self.longest = self.longest.max(bytes.len());
        if self.checks {
            assert_eq!(self.state().check(), Vec::<String>::new(), "{command:?} {events:?}");
        }
        events
    }

    /// Registers a vessel.
    pub fn vessel(&mut self, name: &str, manifest: Manifest) {
        self.tell(0, models::Command::RegisterVessel { name: name.into(), manifest, start: 0 });
    }

    /// Submits an order.
    pub fn submit(&mut self, time: u64, demand: Demand) -> Vec<Event> {
        self.tell(time, workflow::Command::Submit(demand))
    }

    /// Reports how the leg that the order of a slot is on went.
    pub fn report(&mut self, time: u64, slot: u32, outcome: Outcome) -> Vec<Event> {
        let row = self.state().tables.orders.get(OrderSlot(slot)).unwrap();
        let (order, attempt, leg) = (row.id, row.attempt, row.leg);
        self.tell(time, workflow::Command::ReportLeg { order, attempt, leg, outcome })
    }

    /// Lets time stand still until nothing is due any more; how many records that took.
    pub fn settle(&mut self, time: u64) -> u64 {
        let before = self.records;
        while self.state().next_deadline().is_some_and(|due| due <= Micros(time)) {
            self.tell(time, workflow::Command::Advance);
        }
        self.records - before
    }

    /// What it has come to.
    pub fn state(&self) -> &State {
        self.exchange.state()
    }

    /// The order of a slot.
    pub fn order(&self, slot: u32) -> OrderId {
        self.state().tables.orders.get(OrderSlot(slot)).unwrap().id
    }

    /// How many live orders are at this stage.
    pub fn count(&self, stage: Stage) -> usize {
        self.state().tables.orders.iter().filter(|(_, row)| row.stage == stage).count()
    }
}

/// A thousandth of a second a prompt token and ten for a generated one, one and two micro-dollars, one
/// and ten millijoules.
pub fn boat() -> Manifest {
    Manifest {
        region: RegionId(0),
        role: Role::Whole,
        models: vec![ModelId(0)],
        slots: 2,
        context_max: Tokens(4_000),
        cache_tokens: Tokens(0),
        domain: 0,
        prefill_per_kilotoken: Micros(1_000_000),
        decode_per_token: Micros(10_000),
        price_in: MicroUsd(1_000_000),
        price_cached: MicroUsd(100_000),
        price_out: MicroUsd(2_000_000),
        fuel_in: Millijoules(1_000),
        fuel_out: Millijoules(10_000),
        heartbeat: Micros::ZERO,
    }
}

/// A thousand tokens in, at most a hundred out, from nowhere in particular and in no hurry.
pub fn demand() -> Demand {
    Demand {
        external: 0,
        model: ModelId(0),
        origin: RegionId::NONE,
        kind: Kind::Inference,
        class: Class::Standard,
        tokens_in: Tokens(1_000),
        tokens_out_max: Tokens(100),
        deadline: Micros::ZERO,
        limit: 0,
        idempotency: 0,
        prefix: Vec::new(),
        window: None,
    }
}
