//! A toy exchange: routes in turn, tries again elsewhere, gives up after eight attempts.

use std::collections::{BTreeMap, BTreeSet};

use tensorforge_engine::command::Command;
use tensorforge_engine::effect::Effect;
use tensorforge_engine::event::Event;
use tensorforge_engine::models::{Demand, End, LegKind, Role, Usage};
use tensorforge_engine::policy::PolicyLevel;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{KeySlot, Micros, OrderId, OrderSlot, TenantId, VesselId};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{config, models, workflow};
use tensorforge_fleet::{Fleet, Sim, Trace};

/// A fleet, a trace and the routes between them.
pub(crate) struct Exchange<'a> {
    sim: Sim<'a>,
    fleet: &'a Fleet,
    timeout: Micros,
    attempts: u16,
    orders: BTreeMap<OrderId, Live>,
    timeouts: BTreeSet<(Micros, OrderId)>,
    submitted: u64,
    turn: usize,
    /// What was said, a line each.
    pub(crate) log: Vec<String>,
    /// Orders that ended as completed.
    pub(crate) completed: u64,
    /// What vessels reported in all: tokens generated, and found in caches.
    pub(crate) tokens: (u64, u64),
}

struct Live {
    tenant: TenantId,
    demand: Demand,
    route: Vec<(LegKind, VesselId)>,
    attempt: u16,
    leg: u8,
    timeout: Micros,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(fleet: &'a Fleet, trace: &'a Trace, seed: u64) -> Self {
        Self {
            sim: Sim::new(fleet, trace, seed).unwrap(),
            fleet,
            timeout: Micros(3_600_000_000),
            attempts: 8,
            orders: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            submitted: 0,
            turn: 0,
            log: Vec::new(),
            completed: 0,
            tokens: (0, 0),
        }
    }

    /// How long a leg may take, and how often an order is tried.
    pub(crate) fn patience(mut self, timeout: u64, attempts: u16) -> Self {
        (self.timeout, self.attempts) = (Micros(timeout), attempts);
        self
    }

    /// Until every row has ended.
    pub(crate) fn run(mut self) -> Self {
        while !self.sim.over() {
            let timeout = self.timeouts.first().map(|(at, _)| *at);
            let now = self.sim.due().into_iter().chain(timeout).min().unwrap();
            while let Some((source, command)) = self.sim.pop(now) {
                self.hear(now, source, command);
            }
            while let Some((at, order)) = self.timeouts.first().copied().filter(|t| t.0 <= now) {
                self.timeouts.remove(&(at, order));
                self.say(now, format!("timeout {order}"));
                self.fail(now, order);
            }
        }
        self
    }

    fn say(&mut self, now: Micros, what: String) {
        self.log.push(format!("{now} {what}"));
    }

    fn hear(&mut self, now: Micros, source: Source, command: Command) {
        match command {
            Command::Workflow(workflow::Command::Submit(demand)) => {
                self.submit(now, source.tenant, demand)
            }
            Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg, outcome }) => {
                let live = self.orders.get(&order).map(|live| (live.attempt, live.leg));
                assert_eq!(live, Some((attempt, leg)), "a report of what is not being worked");
                self.report(now, order, outcome);
            }
            Command::Workflow(workflow::Command::ReportStop { order, usage, .. }) => {
                let Usage { tokens_in, cached, tokens_out, energy } = usage;
                let told = format!("in={tokens_in} cached={cached} out={tokens_out} fuel={energy}");
                self.say(now, format!("stopped {} {told}", order.number()))
            }
            Command::Models(models::Command::Heartbeat { vessel, .. }) => {
                self.say(now, format!("beat {vessel}"))
            }
            Command::Models(models::Command::Lose { vessel }) => {
                self.say(now, format!("lose {vessel}"))
            }
            other => panic!("the world does not say {other:?}"),
        }
    }

    fn submit(&mut self, now: Micros, tenant: TenantId, demand: Demand) {
        self.submitted += 1;
        let order = OrderId::new(self.submitted, OrderSlot(self.orders.len() as u32));
        let external = demand.external;
        if tenant == TenantId::NONE {
            let refusal = Refusal::Config(config::Refusal::NotConfigured);
            self.sim.observe(&[Event::Workflow(workflow::Event::OrderRefused {
                order,
                tenant,
                external,
                refusal,
            })]);
            return;
        }
        self.sim.observe(&[Event::Workflow(workflow::Event::OrderAdmitted {
            order,
            tenant,
            level: PolicyLevel::Normal,
            arrival: now,
            token_arrival: now,
            deadline: Micros::MAX,
            key: KeySlot::NONE,
            reserved: None,
            demand: Box::new(demand.clone()),
        })]);
        let route = self.route(&demand);
        let live = Live { tenant, demand, route, attempt: 1, leg: 0, timeout: Micros::ZERO };
        self.orders.insert(order, live);
        self.dispatch(now, order);
    }

    /// The next vessel in turn for the prompt and for the answer, with a hop before them if the order
    /// arises in another region.
    fn route(&mut self, demand: &Demand) -> Vec<(LegKind, VesselId)> {
        let turn = self.turn;
        self.turn += 1;
        let pick = |role| {
            let fitting: Vec<_> = (0u32..)
                .zip(&self.fleet.vessels)
                .filter(|(_, vessel)| {
                    vessel.manifest.role == role && vessel.manifest.models.contains(&demand.model)
                })
                .collect();
            fitting
                .get(turn % fitting.len().max(1))
                .map(|(id, vessel)| (VesselId(*id), vessel.manifest.region))
        };
        let mut route = Vec::new();
        let legs = [
            (Role::Whole, LegKind::Whole),
            (Role::Prefill, LegKind::Prefill),
            (Role::Decode, LegKind::Decode),
        ];
        for (role, kind) in legs {
            if let Some((vessel, region)) = pick(role) {
                if route.is_empty() && demand.origin.0 != u32::MAX && demand.origin != region {
                    route.push((LegKind::Hop, vessel));
                }
                route.push((kind, vessel));
            }
        }
        route
    }

    fn dispatch(&mut self, now: Micros, order: OrderId) {
        let Some(live) = self.orders.get_mut(&order) else { return };
        let (kind, vessel) = live.route[usize::from(live.leg)];
        live.timeout = now + self.timeout;
        self.timeouts.insert((live.timeout, order));
        let (attempt, leg, timeout) = (live.attempt, live.leg, live.timeout);
        self.sim.perform(now, &Effect::Call { order, attempt, leg, kind, vessel, timeout });
    }

    fn report(&mut self, now: Micros, order: OrderId, outcome: Outcome) {
        let Some(live) = self.orders.get_mut(&order) else { return };
        self.timeouts.remove(&(live.timeout, order));
        match outcome {
            Outcome::Done { tokens_out, cached, first_token, energy } => {
                live.leg += 1;
                let over = usize::from(live.leg) == live.route.len();
                self.tokens.0 += tokens_out.0;
                self.tokens.1 += cached.0;
                self.say(now, format!(
                    "done {order} out={tokens_out} cached={cached} first={first_token} fuel={energy}"
                ));
                if over { self.end(order, End::Completed) } else { self.dispatch(now, order) }
            }
            Outcome::Failed(fault) => {
                self.say(now, format!("failed {order} {fault:?}"));
                self.fail(now, order);
            }
        }
    }

    fn fail(&mut self, now: Micros, order: OrderId) {
        let Some(live) = self.orders.get_mut(&order) else { return };
        let (_, vessel) = live.route[usize::from(live.leg)];
        self.sim.perform(now, &Effect::Stop { order, vessel });
        (live.attempt, live.leg) = (live.attempt + 1, 0);
        if live.attempt > self.attempts {
            return self.end(order, End::Failed);
        }
        let demand = live.demand.clone();
        let route = self.route(&demand);
        if let Some(live) = self.orders.get_mut(&order) {
            live.route = route;
        }
        self.dispatch(now, order);
    }

    fn end(&mut self, order: OrderId, end: End) {
        let Some(live) = self.orders.remove(&order) else { return };
        self.completed += u64::from(end == End::Completed);
        self.sim.observe(&[Event::Workflow(workflow::Event::OrderEnded {
            order,
            tenant: live.tenant,
            external: live.demand.external,
            end,
            attempts: live.attempt,
            stop: VesselId::NONE,
            first_token: Micros::ZERO,
            latency: Micros::ZERO,
        })]);
    }
}
