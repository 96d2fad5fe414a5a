//! A second exchange, written from the rules alone: plain maps, plain scans, no index, no wheel.
//!
//! It is handed each command with what the engine decided about it, and decides again. Where a keyed
//! draw decided it takes the outcome from the record and asks only whether it may have been drawn;
//! everything else has to be what it would have decided itself, event by event.

mod calendar;
mod crowding;
mod forecast;
mod gathering;
mod hedges;
mod incidents;
mod jobs;
mod lifecycle;
mod preemption;
mod risk;
mod routes;
mod rules;
mod sla;
mod stops;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::config::Bound;
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{
    Class, Demand, End, Leg, LegKind, Manifest, Role, Stage, Tenant, VesselStatus, Window,
};
use tensorforge_engine::models::{LossCause, Thing};
use tensorforge_engine::policy::{OverrideEnd, Policy, PolicyLevel};
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::resilience::Breaker;
use tensorforge_engine::security::Scope;
use tensorforge_engine::telemetry::{Account, Concern, Forecast};
use tensorforge_engine::units::{
    BerthId, KeySlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, PicoUsd,
    PolicyVersion, Ppm, RegionId, Seq, StopSlot, TenantId, Tokens, VesselId,
};
use tensorforge_engine::{
    Event, State, allocator, config, models, policy, queue, resilience, routing, security,
    telemetry, workflow,
};

/// Why the model does not agree.
pub type Disagreement = String;

type Decided<T> = Result<T, Stop>;

/// Why a decision ends early.
enum Stop {
    /// The command is refused.
    Refused(Refusal),
    /// The record is not what the model would have decided.
    Wrong(Disagreement),
}

impl<R: Into<Refusal>> From<R> for Stop {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

fn full<T>(bound: Bound, max: u32) -> Decided<T> {
    Err(config::Refusal::Full { bound, max: u64::from(max) }.into())
}

fn wrong<T>(what: impl Into<String>) -> Decided<T> {
    Err(Stop::Wrong(what.into()))
}

struct Ship {
    name: String,
    manifest: Manifest,
    status: VesselStatus,
    /// Whether it was sent away, and the number of its start.
    held: bool,
    start: u64,
    /// By when it has to have come, zero if it is not on its way.
    joins: u64,
    used: u32,
    /// The tokens that those aboard may come to, and the slot of the order that it is kept for until it has room.
    tokens: u64,
    keeps_for: Option<u32>,
    starts: u32,
    failures: u32,
    /// What became of its calls lately, and when its breaker last changed.
    calls: Spans<3>,
    pace: forecast::Pace,
    turned: u64,
    trips: u32,
    probes: u32,
    backlog: u64,
    prompts: u64,
    seen: u64,
    breaker: Breaker,
    retry_at: u64,
    /// Until when it is left in peace, zero if it is not; and how often it has been.
    paused: u64,
    pauses: u32,
    /// Its maintenance that begins or ends first, and when.
    maintenance: Option<(u64, u32)>,
    /// When it was lost, or was to be looked at before that.
    lost_at: u64,
    completed: u64,
    failed: u64,
}

impl Ship {
    /// Somebody leaves with so much work. No more prompts are left than there is work.
    fn leave(&mut self, now: u64, work: u64, size: u64) {
        self.used -= 1;
        self.tokens -= size;
        self.backlog -= work;
        self.prompts = self.prompts.min(now + self.backlog);
    }

    /// Whoever comes back begins anew.
    fn forgive(&mut self) {
        (self.failures, self.trips) = (0, 0);
        (self.paused, self.pauses) = (0, 0);
        self.calls = Spans::default();
        self.pace = forecast::Pace::default();
        self.prompts = 0;
        self.breaker = Breaker::Closed;
    }
}

#[derive(Clone)]
struct Live {
    id: OrderId,
    tenant: u32,
    stage: Stage,
    attempt: u16,
    bounced: u16,
    retry: bool,
    /// Whether it gathered when it began to wait, and whether it still does.
    gathered: bool,
    gathering: bool,
    leg: usize,
    route: Vec<Leg>,
    ticket: u64,
    submitted: u64,
    queued: u64,
    dispatched: u64,
    within: u64,
    deadline: u64,
    wake: u64,
    /// Vessels that failed it, no more than four.
    tried: Vec<VesselId>,
    berth: Option<u32>,
    /// Whether it begins in its berth at this moment.
    berthed: bool,
    cached: u64,
    tokens_out: u64,
    first_token: u64,
    cost: u64,
    wasted: u64,
    energy: u64,
    demand: Demand,
}

/// Vessels that have worked on a prefix: how often each had been lost by then, and when that was.
type Holders = Vec<(VesselId, u32, u64)>;

/// A remembered key.
#[derive(Debug)]
struct Key {
    tenant: u32,
    key: u64,
    order: OrderId,
    /// What was asked for, but for what may differ when it is asked for again.
    asked: Demand,
    /// Without end while the order is live.
    until: u64,
}

/// The model.
#[derive(Default)]
pub struct Model {
    now: u64,
    /// The record that is decided.
    seq: u64,
    limits: Option<Limits>,
    policies: Vec<Policy>,
    tenants: Vec<(Tenant, Account)>,
    regions: Vec<(String, u64, u64)>,
    models: Vec<String>,
    /// How many routes have been chosen by turns, by model.
    turned: BTreeMap<ModelId, u64>,
    ships: BTreeMap<u32, Ship>,
    /// Live orders by slot.
    orders: BTreeMap<u32, Live>,
    berths: BTreeMap<u32, calendar::Berth>,
    /// Remembered keys by place.
    keys: BTreeMap<u32, Key>,
    /// Of tenants with a budget: since when the period is, what was charged in it, and what is set aside, in
    /// pico-dollars.
    spending: BTreeMap<u32, (u64, u128, u128)>,
    /// What is set aside, by slots of orders.
    reserves: BTreeMap<u32, u64>,
    /// Prefixes by place: hash, length and holders.
    prefixes: BTreeMap<u64, (u64, u64, Holders)>,
    /// Legs that were told to stop, by place.
    stops: BTreeMap<u32, workflow::Stop>,
    /// Orders that two vessels work, by slot: when the second was asked, and how long it should take at most.
    hedges: BTreeMap<u32, (u64, u64)>,
    /// Live jobs, by place.
    jobs: BTreeMap<u32, jobs::Job>,
    /// How long answers were, by place.
    lengths: BTreeMap<u32, forecast::Lengths>,
    submitted: u64,
    tickets: u64,
    level: u8,
    level_since: u64,
    review_at: u64,
    risk: u64,
    drift: risk::Drift,
    /// Until when somebody has the level hold.
    held_until: Option<u64>,
    reviews: u64,
    /// What became of the orders of tenants that were promised something.
    sla: BTreeMap<u32, sla::Sla>,
    /// What the last review found: failing, pressure, late, cut off and drift.
    signals: [u64; 5],
    incidents: BTreeMap<Concern, incidents::Story>,
    /// The record that began the outage that there is, and the highest rank of which somebody heard.
    outage: Option<(u64, usize)>,
    legs: Spans<3>,
    /// Orders of each class that were routed, those that were late, and retries.
    flow: Spans<7>,
    /// When those who wait are to be served again.
    serve_at: Option<u64>,
    /// Vessels that may have room, and models for which somebody may find it.
    noted_ships: BTreeSet<u32>,
    /// Those for whom places have come free that were made for them.
    wanting: Vec<OrderId>,
    noted_models: BTreeSet<ModelId>,
    /// What has been served of those models that somebody waits for.
    queues: BTreeMap<ModelId, Served>,
    /// Who takes turns, by place: of which queue and class.
    turns: BTreeMap<u32, (ModelId, Class, u32)>,
    /// What the engine decided and the model has not come to yet.
    record: std::collections::VecDeque<Event>,
}

/// Counts of the present span of time, and of the one before it.
#[derive(Clone, Copy, Debug)]
struct Spans<const N: usize> {
    since: u64,
    now: [u32; N],
    before: [u32; N],
}

impl<const N: usize> Default for Spans<N> {
    fn default() -> Self {
        Self { since: 0, now: [0; N], before: [0; N] }
    }
}

/// Places in the counts of calls.
const CALLS: usize = 0;
const FAILED: usize = 1;
const SLOW: usize = 2;

impl<const N: usize> Spans<N> {
    fn roll(&mut self, now: u64, span: u64) {
        match (now - self.since) / span {
            0 => {}
            1 => *self = Self { since: self.since + span, now: [0; N], before: self.now },
            _ => *self = Self { since: now, ..Self::default() },
        }
    }

    fn add(&mut self, now: u64, span: u64, places: &[usize]) {
        self.roll(now, span);
        places.iter().for_each(|place| self.now[*place] += 1);
    }

    /// What both spans have counted together.
    fn sum(mut self, now: u64, span: u64) -> [u64; N] {
        self.roll(now, span);
        std::array::from_fn(|i| u64::from(self.now[i]) + u64::from(self.before[i]))
    }

    /// Millionths of what is counted at another place, if there is enough of that.
    fn share(self, now: u64, span: u64, least: u32, [part, whole]: [usize; 2]) -> u64 {
        let sum = self.sum(now, span);
        if sum[whole] < u64::from(least) { 0 } else { rules::share(sum[part], sum[whole]) }
    }
}

/// What those who wait for a model have been served since somebody does.
#[derive(Default)]
struct Served {
    first: u64,
    classes: [u64; 3],
    floor: u64,
    floors: [u64; 3],
    /// When those who gather go at the latest, and the last ticket by when others did.
    ripe_at: u64,
    released: u64,
    tenants: BTreeMap<(Class, u32), u64>,
}

const LEVELS: [PolicyLevel; 4] =
    [PolicyLevel::Normal, PolicyLevel::Elevated, PolicyLevel::Restricted, PolicyLevel::Halted];

impl Model {
    /// Decides a command again, and holds it against what was recorded.
    pub fn step(
        &mut self,
        stamp: Stamp,
        command: &Command,
        events: &[Event],
    ) -> Result<(), Disagreement> {
        self.record = events.iter().cloned().collect();
        let regressed = stamp.time.0 < self.now;
        self.seq = stamp.seq.0;
        self.now = self.now.max(stamp.time.0);
        let decided = if regressed {
            Err(workflow::Refusal::TimeRegressed { now: Micros(self.now) }.into())
        } else {
            self.decide(stamp, command)
        };
        let told = match decided {
            Err(Stop::Refused(refusal)) => self.refuse(stamp, command, refusal),
            other => other,
        };
        let told = told.and_then(|()| self.serve());
        match told {
            Err(Stop::Wrong(what)) => return Err(what),
            Err(Stop::Refused(refusal)) => return Err(format!("refused twice: {refusal}")),
            Ok(()) => {}
        }
        match self.record.front() {
            Some(event) => Err(format!("the model would not have decided {event:?}")),
            None => Ok(()),
        }
    }

    /// Takes the next event of the record, which has to be this one.
    fn expect(&mut self, expected: impl Into<Event>) -> Decided<()> {
        let expected = expected.into();
        let found = self.record.pop_front();
        // Texts are told to people; that there is one is enough.
        let (found, expected) = (found.map(untold), untold(expected));
        let alike = found.as_ref() == Some(&expected);
        if alike { Ok(()) } else { wrong(format!("expected {expected:?}\n   found {found:?}")) }
    }

    fn refuse(&mut self, stamp: Stamp, command: &Command, refusal: Refusal) -> Decided<()> {
        let Command::Workflow(workflow::Command::Submit(demand)) = command else {
            return self.expect(Event::Workflow(workflow::Event::CommandRefused { refusal }));
        };
        self.refuse_order(stamp, demand, refusal)
    }

    fn refuse_order(&mut self, stamp: Stamp, demand: &Demand, refusal: Refusal) -> Decided<()> {
        self.submitted += 1;
        if matches!(refusal, Refusal::Policy(policy::Refusal::LevelForbids { .. })) {
            self.count_order(stamp.source.tenant.0, false);
        }
        let mut tenant = TenantId::NONE;
        if let Some((_, account)) = self.tenants.get_mut(stamp.source.tenant.0 as usize) {
            account.ended[1] += 1;
            tenant = stamp.source.tenant;
        }
        let order = OrderId((self.submitted << 24) | 0x00ff_ffff);
        self.expect(workflow::Event::OrderRefused {
            order,
            tenant,
            external: demand.external,
            refusal,
        })
    }

    fn decide(&mut self, stamp: Stamp, command: &Command) -> Decided<()> {
        let (scope, bit) = match command {
            Command::Workflow(workflow::Command::Submit(_))
            | Command::Workflow(workflow::Command::SubmitBatch { .. })
            | Command::Workflow(workflow::Command::Cancel { .. })
            | Command::Workflow(workflow::Command::Retry { .. }) => (Scope::Order, 1),
            Command::Models(models::Command::RegisterVessel { .. })
            | Command::Models(models::Command::Announce { .. })
            | Command::Models(models::Command::Heartbeat { .. })
            | Command::Models(models::Command::Drain { .. })
            | Command::Models(models::Command::Lose { .. })
            | Command::Models(models::Command::Retire { .. })
            | Command::Workflow(workflow::Command::ReportLeg { .. })
            | Command::Workflow(workflow::Command::ReportStop { .. })
            | Command::Workflow(workflow::Command::ReportFirstToken { .. })
            | Command::Allocator(_) => (Scope::Fleet, 2),
            // The fleet's or an admin's.
            Command::Jobs(_) => (Scope::Fleet, 10),
            Command::Policy(policy::Command::SetPolicy(_))
            | Command::Policy(policy::Command::RollBackPolicy { .. })
            | Command::Policy(policy::Command::Override { .. })
            | Command::Policy(policy::Command::EndOverride)
            | Command::Telemetry(_) => (Scope::Policy, 4),
            Command::Config(config::Command::Configure(_))
            | Command::Models(models::Command::RegisterTenant(_))
            | Command::Models(models::Command::RegisterRegion { .. })
            | Command::Models(models::Command::RegisterModel { .. }) => (Scope::Admin, 8),
            Command::Workflow(workflow::Command::Advance) => (Scope::Clock, 16),
        };
        if stamp.source.scopes.0 & bit == 0 {
            return Err(security::Refusal::Forbidden { scope }.into());
        }
        let Some(limits) = self.limits.clone() else {
            let Command::Config(config::Command::Configure(limits)) = command else {
                return Err(config::Refusal::NotConfigured.into());
            };
            self.limits = Some(limits.clone());
            return self.expect(config::Event::Configured(limits.clone()));
        };
        match command {
            Command::Config(config::Command::Configure(_)) => {
                Err(config::Refusal::AlreadyConfigured.into())
            }
            Command::Models(models::Command::RegisterTenant(contract)) => {
                self.register_tenant(&limits, contract)
            }
            Command::Models(models::Command::RegisterRegion { name, hop, transfer }) => {
                let names = self.regions.iter().map(|(name, ..)| name.as_str());
                let id = place(names, name, Bound::Regions, limits.regions)?;
                put(&mut self.regions, id, (name.clone(), hop.0, transfer.0));
                let (region, name) = (RegionId(id), name.clone());
                self.expect(models::Event::RegionRegistered {
                    region,
                    name,
                    hop: *hop,
                    transfer: *transfer,
                })
            }
            Command::Models(models::Command::RegisterModel { name }) => {
                let names = self.models.iter().map(String::as_str);
                let id = place(names, name, Bound::Models, limits.models)?;
                put(&mut self.models, id, name.clone());
                self.expect(models::Event::ModelRegistered {
                    model: ModelId(id),
                    name: name.clone(),
                })
            }
            Command::Models(models::Command::RegisterVessel { name, manifest, start }) => {
                self.register_vessel(&limits, name, manifest, *start)
            }
            Command::Models(models::Command::Announce { name, manifest, within }) => {
                self.announce(&limits, name, manifest, within.0)
            }
            Command::Models(models::Command::Heartbeat { vessel, start }) => {
                self.heartbeat(*vessel, *start)
            }
            Command::Models(models::Command::Drain { vessel }) => self.drain(*vessel),
            Command::Models(models::Command::Lose { vessel }) => {
                let status = self.ship(*vessel)?.status;
                if status == VesselStatus::Lost || status == VesselStatus::Retired {
                    return Err(models::Refusal::WrongStatus.into());
                }
                self.lose(*vessel, LossCause::Reported)
            }
            Command::Models(models::Command::Retire { vessel }) => {
                let status = self.ship(*vessel)?.status;
                if status != VesselStatus::Lost && status != VesselStatus::Drained {
                    return Err(models::Refusal::WrongStatus.into());
                }
                self.wrecked(vessel.0)?;
                self.ship(*vessel)?.status = VesselStatus::Retired;
                self.stir(vessel.0);
                self.expect(models::Event::VesselRetired { vessel: *vessel })
            }
            Command::Policy(policy::Command::SetPolicy(policy)) => self.set_policy(&limits, policy),
            Command::Policy(policy::Command::RollBackPolicy { to }) => self.roll_back(&limits, *to),
            Command::Policy(policy::Command::Override { level, until }) => {
                self.hold_level(*level, until.0)
            }
            Command::Policy(policy::Command::EndOverride) => match self.held_until {
                Some(_) => self.end_override(OverrideEnd::Withdrawn),
                None => Err(policy::Refusal::NoOverride.into()),
            },
            Command::Workflow(workflow::Command::Submit(demand)) => {
                self.submit(stamp.source.tenant, demand)
            }
            Command::Workflow(workflow::Command::SubmitBatch { demands, whole }) => {
                self.submit_batch(stamp, demands, *whole)
            }
            Command::Workflow(workflow::Command::Cancel { order }) => {
                self.own(stamp.source.tenant, *order)?;
                self.end(order.slot().0, End::Cancelled)
            }
            Command::Workflow(workflow::Command::Retry { order }) => {
                if self.own(stamp.source.tenant, *order)?.stage != Stage::Backoff {
                    return Err(workflow::Refusal::WrongStage.into());
                }
                self.route_or_queue(order.slot().0)
            }
            Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg, outcome }) => {
                self.report(*order, *attempt, *leg, outcome)
            }
            Command::Workflow(workflow::Command::ReportStop { order, attempt, leg, usage }) => {
                self.report_stop(*order, *attempt, *leg, usage)
            }
            Command::Workflow(workflow::Command::ReportFirstToken { order, attempt, leg }) => {
                self.first_token(*order, *attempt, *leg)
            }
            Command::Workflow(workflow::Command::Advance) => self.advance(),
            Command::Allocator(allocator::Command::Maintain { vessel, window }) => {
                self.maintain(&limits, *vessel, window)
            }
            Command::Allocator(allocator::Command::EndMaintenance { vessel }) => {
                self.end_maintenance(*vessel)
            }
            Command::Jobs(command) => self.job_command(stamp.seq.0, command),
            Command::Telemetry(telemetry::Command::Silence { concern, until }) => {
                self.silence(*concern, until.0)
            }
        }
    }

    fn register_tenant(&mut self, limits: &Limits, contract: &Tenant) -> Decided<()> {
        let timed = contract.sla.first_token.0 > 0 || contract.sla.latency.0 > 0;
        if timed && contract.sla.objective.0 == 0 {
            return Err(models::Refusal::Invalid { fault: "told".into() }.into());
        }
        let names = self.tenants.iter().map(|(tenant, _)| tenant.name.as_str());
        let id = place(names, &contract.name, Bound::Tenants, limits.tenants)?;
        let account = self.tenants.get(id as usize).map(|(_, account)| account.clone());
        let fresh = Account {
            arrival: Micros(0),
            token_arrival: Micros(0),
            live: 0,
            ended: [0; 5],
            tokens_in: Tokens(0),
            cached: Tokens(0),
            tokens_out: Tokens(0),
            cost: MicroUsd(0),
            burnt: MicroUsd(0),
            cost_picos: 0,
            burnt_picos: 0,
            queued: 0,
            energy: Millijoules(0),
        };
        put(&mut self.tenants, id, (contract.clone(), account.unwrap_or(fresh)));
        if contract.sla.objective.0 > 0 {
            self.sla.entry(id).or_default();
        } else {
            self.sla.remove(&id);
        }
        if contract.budget.0 > 0 {
            self.spending.entry(id).or_insert((self.now, 0, 0));
        }
        self.expect(models::Event::TenantRegistered {
            tenant: TenantId(id),
            contract: contract.clone().into(),
        })
    }

    fn register_vessel(
        &mut self,
        limits: &Limits,
        name: &str,
        manifest: &Manifest,
        start: u64,
    ) -> Decided<()> {
        self.fits(manifest)?;
        let names = self.ships.values().map(|ship| ship.name.as_str());
        let id = place(names, name, Bound::Vessels, limits.vessels)?;
        self.wrecked(id)?;
        self.restarted(id, start)?;
        let now = self.now;
        let ship = self.moor(id, name, manifest);
        ship.manifest = manifest.clone();
        if ship.status == VesselStatus::Lost || ship.status == VesselStatus::Retired {
            ship.forgive();
        }
        if ship.status != VesselStatus::Restarting {
            ship.status = VesselStatus::Up;
        }
        ship.held = false;
        ship.joins = 0;
        ship.start = ship.start.max(start);
        ship.seen = now;
        let (vessel, name, manifest) = (VesselId(id), name.to_owned(), Box::new(manifest.clone()));
        self.expect(models::Event::VesselRegistered { vessel, name, manifest, start })?;
        self.noted_ships.insert(vessel.0);
        self.stir(vessel.0);
        Ok(())
    }

    /// Somebody is on his way who is not there.
    fn announce(
        &mut self,
        limits: &Limits,
        name: &str,
        manifest: &Manifest,
        within: u64,
    ) -> Decided<()> {
        self.fits(manifest)?;
        if within == 0 || within > 86_400_000_000 {
            return Err(models::Refusal::Invalid { fault: "told".into() }.into());
        }
        let names = self.ships.values().map(|ship| ship.name.as_str());
        let id = place(names, name, Bound::Vessels, limits.vessels)?;
        self.wrecked(id)?;
        let there = self.ships.get(&id).map(|ship| ship.status);
        if let Some(VesselStatus::Up | VesselStatus::Draining | VesselStatus::Restarting) = there {
            return Err(models::Refusal::WrongStatus.into());
        }
        let joins = self.now + within;
        let ship = self.moor(id, name, manifest);
        ship.manifest = manifest.clone();
        ship.starts += u32::from(there.is_some());
        (ship.status, ship.held, ship.joins) = (VesselStatus::Joining, false, joins);
        ship.forgive();
        self.expect(models::Event::VesselAnnounced {
            vessel: VesselId(id),
            name: name.to_owned(),
            manifest: Box::new(manifest.clone()),
            joins: Micros(joins),
        })
    }

    /// Where somebody of this name lies, or will.
    fn moor(&mut self, id: u32, name: &str, manifest: &Manifest) -> &mut Ship {
        let now = self.now;
        self.ships.entry(id).or_insert_with(|| Ship {
            name: name.to_owned(),
            manifest: manifest.clone(),
            status: VesselStatus::Up,
            held: false,
            start: 0,
            joins: 0,
            paused: 0,
            pauses: 0,
            used: 0,
            starts: 0,
            failures: 0,
            calls: Spans::default(),
            pace: forecast::Pace::default(),
            turned: 0,
            trips: 0,
            probes: 0,
            backlog: 0,
            prompts: 0,
            seen: now,
            breaker: Breaker::Closed,
            retry_at: 0,
            lost_at: u64::MAX,
            maintenance: None,
            tokens: 0,
            keeps_for: None,
            completed: 0,
            failed: 0,
        })
    }

    /// Whether a vessel may carry this. The walk's manifests have no other fault.
    fn fits(&self, manifest: &Manifest) -> Decided<()> {
        if manifest.region.0 as usize >= self.regions.len() {
            let id = u64::from(manifest.region.0);
            return Err(models::Refusal::Unknown { thing: Thing::Region, id }.into());
        }
        if let Some(model) = manifest.models.iter().find(|m| m.0 as usize >= self.models.len()) {
            return Err(
                models::Refusal::Unknown { thing: Thing::Model, id: u64::from(model.0) }.into()
            );
        }
        if manifest.models.is_empty() || manifest.slots == 0 {
            return Err(models::Refusal::Invalid { fault: "told".into() }.into());
        }
        Ok(())
    }

    fn heartbeat(&mut self, vessel: VesselId, start: u64) -> Decided<()> {
        let now = self.now;
        if self.ship(vessel)?.status == VesselStatus::Retired {
            return Err(models::Refusal::WrongStatus.into());
        }
        self.wrecked(vessel.0)?;
        self.restarted(vessel.0, start)?;
        let ship = self.ship(vessel)?;
        ship.seen = now;
        if ship.status == VesselStatus::Lost {
            return self.returned(vessel, start);
        }
        if ship.status == VesselStatus::Joining {
            (ship.status, ship.joins) = (VesselStatus::Up, 0);
            ship.start = ship.start.max(start);
            self.noted_ships.insert(vessel.0);
            self.stir(vessel.0);
            return self.expect(models::Event::VesselJoined { vessel, start });
        }
        if ship.start == 0 {
            ship.start = start;
        }
        self.expect(models::Event::VesselSeen { vessel, start })
    }

    /// A vessel is back, with nothing of what it had.
    fn returned(&mut self, vessel: VesselId, start: u64) -> Decided<()> {
        let now = self.now;
        let ship = self.ship(vessel)?;
        ship.seen = now;
        ship.status = if ship.held { VesselStatus::Drained } else { VesselStatus::Up };
        ship.start = ship.start.max(start);
        ship.forgive();
        self.noted_ships.insert(vessel.0);
        self.stir(vessel.0);
        self.expect(models::Event::VesselReturned { vessel, start })
    }

    /// A greater number than was told before is another start, a smaller one somebody from before it.
    fn restarted(&mut self, vessel: u32, start: u64) -> Decided<()> {
        let now = self.now;
        let Some(ship) = self.ships.get_mut(&vessel) else { return Ok(()) };
        let old = ship.status == VesselStatus::Joining && start == ship.start;
        if start > 0 && (start < ship.start || old) {
            return Err(models::Refusal::Superseded { start: ship.start }.into());
        }
        let away = matches!(ship.status, VesselStatus::Lost | VesselStatus::Joining);
        if ship.start == 0 || start <= ship.start || away {
            return Ok(());
        }
        let wake = Self::ship_wake(ship).min(now);
        ship.starts += 1;
        ship.start = start;
        ship.forgive();
        if ship.used > 0 {
            (ship.status, ship.lost_at) = (VesselStatus::Restarting, wake);
        }
        self.noted_ships.insert(vessel);
        self.stir(vessel);
        self.expect(models::Event::VesselRestarted { vessel: VesselId(vessel), start })
    }

    fn drain(&mut self, vessel: VesselId) -> Decided<()> {
        let ship = self.ship(vessel)?;
        if ship.status != VesselStatus::Up {
            return Err(models::Refusal::WrongStatus.into());
        }
        ship.status = VesselStatus::Draining;
        ship.held = true;
        self.noted_ships.insert(vessel.0);
        self.expect(models::Event::VesselDraining { vessel })?;
        self.drained(vessel)
    }

    /// A draining vessel with nothing aboard is drained.
    fn drained(&mut self, vessel: VesselId) -> Decided<()> {
        let ship = self.ship(vessel)?;
        if ship.status == VesselStatus::Draining && ship.used == 0 {
            ship.status = VesselStatus::Drained;
            self.stir(vessel.0);
            self.expect(models::Event::VesselDrained { vessel })?;
        }
        Ok(())
    }

    fn lose(&mut self, vessel: VesselId, cause: LossCause) -> Decided<()> {
        let now = self.now;
        let ship = self.ship(vessel)?;
        // Somebody has to look at it for as long as it has something aboard.
        ship.lost_at = Self::ship_wake(ship).min(now);
        (ship.status, ship.joins) = (VesselStatus::Lost, 0);
        ship.starts += 1;
        self.stir(vessel.0);
        self.noted_ships.insert(vessel.0);
        self.expect(models::Event::VesselLost { vessel, cause })
    }

    /// A lost vessel stays where it is while orders are still to be failed over.
    fn wrecked(&self, vessel: u32) -> Decided<()> {
        let wreck = self.ships.get(&vessel);
        match wreck.filter(|ship| ship.status == VesselStatus::Lost && ship.used > 0) {
            Some(ship) => Err(models::Refusal::StillAboard { orders: ship.used }.into()),
            None => Ok(()),
        }
    }

    fn set_policy(&mut self, limits: &Limits, policy: &Policy) -> Decided<()> {
        // The walk's policies have no other fault.
        if policy.candidates == 0 {
            return Err(policy::Refusal::Invalid { fault: "told".into() }.into());
        }
        let version = self.next_version(limits)?;
        let before = self.policies.last().map_or(0, |policy| policy.overcommit_percent);
        self.policies.push(policy.clone());
        self.note_overcommit(before);
        self.review_at = self.review_by(policy.escalation.review.0);
        self.expect(policy::Event::PolicyChanged { version, policy: Box::new(policy.clone()) })?;
        self.rules_changed()
    }

    fn roll_back(&mut self, limits: &Limits, to: PolicyVersion) -> Decided<()> {
        let unknown = policy::Refusal::Unknown { version: to };
        let policy = self.policies.get(to.0 as usize).cloned().ok_or(unknown)?;
        let version = self.next_version(limits)?;
        let before = self.policies.last().map_or(0, |policy| policy.overcommit_percent);
        self.policies.push(policy.clone());
        self.note_overcommit(before);
        self.review_at = self.review_by(policy.escalation.review.0);
        self.expect(policy::Event::PolicyRolledBack { version, to, policy: Box::new(policy) })?;
        self.rules_changed()
    }

    fn next_version(&self, limits: &Limits) -> Decided<PolicyVersion> {
        if self.policies.len() >= limits.policies as usize {
            let max = u64::from(limits.policies);
            return Err(config::Refusal::Full { bound: Bound::Policies, max }.into());
        }
        Ok(PolicyVersion(self.policies.len() as u32))
    }

    /// The rules in force are always the newest.
    fn policy(&self) -> Decided<(PolicyVersion, Policy)> {
        let policy = self.policies.last().cloned().ok_or(policy::Refusal::NoPolicy)?;
        Ok((PolicyVersion(self.policies.len() as u32 - 1), policy))
    }

    fn ship(&mut self, id: VesselId) -> Decided<&mut Ship> {
        let unknown = models::Refusal::Unknown { thing: Thing::Vessel, id: u64::from(id.0) };
        self.ships.get_mut(&id.0).ok_or_else(|| unknown.into())
    }

    fn order(&mut self, slot: u32) -> Decided<&mut Live> {
        self.orders.get_mut(&slot).ok_or_else(|| Stop::Wrong(format!("slot {slot} is free")))
    }

    /// An order that the sender may dispose of.
    fn own(&self, tenant: TenantId, id: OrderId) -> Decided<&Live> {
        let unknown = workflow::Refusal::Unknown { order: id.0 >> 24 };
        let order = self.orders.get(&id.slot().0).filter(|order| order.id == id);
        let order = order.ok_or(unknown.clone())?;
        if tenant == TenantId::NONE || tenant.0 == order.tenant {
            Ok(order)
        } else {
            Err(unknown.into())
        }
    }

    fn queued_tokens(&self) -> u64 {
        let queued = self.orders.values().filter(|order| order.stage == Stage::Queued);
        queued.map(|order| routes::size(&order.demand)).sum()
    }

    fn queued_by(&self, tenant: u32) -> u64 {
        let own = |order: &&Live| order.stage == Stage::Queued && order.tenant == tenant;
        self.orders.values().filter(own).count() as u64
    }

    fn queue_length(&self) -> u64 {
        self.orders.values().filter(|order| order.stage == Stage::Queued).count() as u64
    }

    /// When a vessel has to be looked at.
    fn ship_wake(ship: &Ship) -> u64 {
        let maintenance = ship.maintenance.map_or(u64::MAX, |(at, _)| at);
        match ship.status {
            VesselStatus::Restarting => return ship.lost_at.min(maintenance),
            VesselStatus::Lost if ship.used > 0 => return ship.lost_at.min(maintenance),
            VesselStatus::Lost | VesselStatus::Retired => return maintenance,
            VesselStatus::Joining => return ship.joins.min(maintenance),
            _ => {}
        }
        let beat = ship.manifest.heartbeat.0;
        let watched = matches!(ship.status, VesselStatus::Up | VesselStatus::Draining);
        let silent = if watched && beat > 0 { ship.seen + 3 * beat } else { u64::MAX };
        let breaker = if ship.breaker == Breaker::Open { ship.retry_at } else { u64::MAX };
        let paused = if ship.paused > 0 { ship.paused } else { u64::MAX };
        silent.min(breaker).min(paused).min(maintenance)
    }

    /// Everything in which a state differs from the model.
    pub fn differences(&self, state: &State) -> Vec<String> {
        let mut found = Vec::new();
        let mut same = |what: String, model: String, engine: String| {
            if model != engine {
                found.push(format!("{what}: model {model}, engine {engine}"));
            }
        };
        let told = |o: &resilience::Outcomes| {
            (
                o.since.0,
                [o.calls, o.failed, o.slow],
                [o.calls_before, o.failed_before, o.slow_before],
            )
        };
        let own = |spans: &Spans<3>| (spans.since, spans.now, spans.before);
        let routed = |r: &queue::Routed| {
            let [a, b, c] = r.orders;
            let [d, e, f] = r.late;
            [a, b, c, d, e, f, r.retries]
        };
        let engine = state.control().zip(state.stance()).zip(state.waiting());
        let lately = state.flow().zip(state.calls());
        let engine = engine.zip(lately).map(|(((control, stance), waiting), (flow, calls))| {
            (
                (control.now.0, stance.level as u8, stance.level_since.0, stance.review_at.0),
                (stance.override_until.0, stance.reviews),
                (control.orders, waiting.tickets, waiting.queued, waiting.tokens.0),
                (stance.risk.0, stance.drift, told(calls), waiting.serve_at.0),
                (flow.since.0, routed(&flow.present), routed(&flow.before)),
            )
        });
        let model = Some((
            (self.now, self.level, self.level_since, self.review_at),
            (self.held_until.unwrap_or(0), self.reviews),
            (self.submitted, self.tickets, self.queue_length(), self.queued_tokens()),
            (self.risk, self.drift.row(), own(&self.legs), self.serve_at.unwrap_or(u64::MAX)),
            (self.flow.since, self.flow.now, self.flow.before),
        ));
        same("control".into(), format!("{model:?}"), format!("{engine:?}"));
        for (id, (contract, account)) in self.tenants.iter().enumerate() {
            let id = TenantId(id as u32);
            let engine = (state.tables.tenants.get(id), state.tables.accounts.get(id));
            let mut account = account.clone();
            account.queued = self.queued_by(id.0) as u32;
            let model = (Some(contract), Some(&account));
            same(format!("tenants.{id}"), format!("{model:?}"), format!("{engine:?}"));
        }
        for (id, ship) in &self.ships {
            let (vessel, load) =
                (state.tables.vessels.get(VesselId(*id)), state.tables.loads.get(VesselId(*id)));
            let engine = vessel.zip(load).map(|(vessel, load)| {
                (
                    (vessel.status, load.breaker, load.used, load.failures),
                    (load.backlog.0, load.seen.0, load.retry_at.0, load.prompts.0),
                    (load.completed, load.failed, load.wake.0, load.starts),
                    (load.held.0, Some(load.keeps_for.0).filter(|slot| *slot != u32::MAX)),
                    (told(&load.outcomes), load.turned.0, load.trips, load.probes),
                    (vessel.held, vessel.start, vessel.joins.0),
                    (load.paused.0, load.pauses, u64::from(load.kept)),
                    forecast::Pace {
                        since: load.pace.since.0,
                        sums: [load.pace.took.0, load.pace.predicted.0, load.pace.legs.into()],
                    },
                )
            });
            let model = Some((
                (ship.status, ship.breaker, ship.used, ship.failures),
                (ship.backlog, ship.seen, ship.retry_at, ship.prompts),
                (ship.completed, ship.failed, Self::ship_wake(ship), ship.starts),
                (ship.tokens, ship.keeps_for),
                (own(&ship.calls), ship.turned, ship.trips, ship.probes),
                (ship.held, ship.start, ship.joins),
                (ship.paused, ship.pauses, self.kept(*id)),
                ship.pace,
            ));
            same(format!("loads.{id}"), format!("{model:?}"), format!("{engine:?}"));
        }
        for (slot, order) in &self.orders {
            let engine = state.tables.orders.get(OrderSlot(*slot)).map(|row| {
                (
                    (row.id, row.tenant.0, row.stage, row.attempt, usize::from(row.leg)),
                    (row.ticket, row.submitted.0, row.queued.0, row.dispatched.0),
                    (row.deadline.0, row.wake.0, row.tried.to_vec(), row.berth),
                    (row.cached.0, row.tokens_out.0, row.first_token.0, row.cost.0, row.wasted.0),
                    (row.energy.0, row.route.to_vec(), row.within.0, row.bounced, row.retry),
                    row.gathers,
                )
            });
            let model = Some((
                (order.id, order.tenant, order.stage, order.attempt, order.leg),
                (order.ticket, order.submitted, order.queued, order.dispatched),
                (
                    order.deadline,
                    order.wake,
                    order.tried.clone(),
                    order.berth.map_or(BerthId::NONE, BerthId),
                ),
                (order.cached, order.tokens_out, order.first_token, order.cost, order.wasted),
                (order.energy, order.route.clone(), order.within, order.bounced, order.retry),
                order.gathered,
            ));
            same(format!("orders.{slot}"), format!("{model:?}"), format!("{engine:?}"));
        }
        let turned = state.tables.models.iter().filter(|(_, row)| row.turns > 0);
        let turned: BTreeMap<_, _> = turned.map(|(id, row)| (id, row.turns)).collect();
        same("turns of models".into(), format!("{:?}", self.turned), format!("{turned:?}"));
        let prefixes: Vec<_> = state
            .tables
            .prefixes
            .iter()
            .map(|(id, row)| {
                let holders: Vec<_> =
                    row.holders.iter().map(|h| (h.vessel, h.starts, h.at.0)).collect();
                (u64::from(id.0), (row.hash, row.tokens.0, holders))
            })
            .collect();
        let own: Vec<_> = self.prefixes.iter().map(|(id, row)| (*id, row.clone())).collect();
        same("prefixes".into(), format!("{own:?}"), format!("{prefixes:?}"));
        let keys: Vec<_> = state
            .tables
            .keys
            .iter()
            .map(|(id, row)| (id.0, row.tenant.0, row.key, row.order, row.until.0))
            .collect();
        let own = self.keys.iter();
        let own: Vec<_> = own.map(|(id, k)| (*id, k.tenant, k.key, k.order, k.until)).collect();
        same("keys".into(), format!("{own:?}"), format!("{keys:?}"));
        let spending = state.tables.spending.iter();
        let spending: Vec<_> = spending
            .map(|(id, row)| (id.0, (row.since.0, row.spent.in_picos(), row.reserved.in_picos())))
            .collect();
        let own: Vec<_> = self.spending.iter().map(|(id, row)| (*id, *row)).collect();
        same("spending".into(), format!("{own:?}"), format!("{spending:?}"));
        let reserves = state.tables.reserves.iter();
        let reserves: Vec<_> = reserves.map(|(slot, row)| (slot.0, row.amount.0)).collect();
        let own: Vec<_> = self.reserves.iter().map(|(slot, amount)| (*slot, *amount)).collect();
        same("reserves".into(), format!("{own:?}"), format!("{reserves:?}"));
        let stops: Vec<_> =
            state.tables.stops.iter().map(|(slot, row)| (slot.0, row.clone())).collect();
        let own: Vec<_> = self.stops.iter().map(|(slot, row)| (*slot, row.clone())).collect();
        same("stops".into(), format!("{own:?}"), format!("{stops:?}"));
        let hedges = state.tables.hedges.iter();
        let hedges: BTreeMap<_, _> =
            hedges.map(|(slot, row)| (slot.0, (row.dispatched.0, row.within.0))).collect();
        same("hedges".into(), format!("{:?}", self.hedges), format!("{hedges:?}"));
        let promised = state.tables.sla.iter();
        let promised: Vec<_> = promised
            .map(|(id, row)| (id.0, [row.good, row.bad], row.counts(state.now()), row.alerts))
            .collect();
        let own = self.sla.iter();
        let own: Vec<_> =
            own.map(|(id, row)| (*id, row.all(), row.counts(self.now), row.alerts())).collect();
        same("sla".into(), format!("{own:?}"), format!("{promised:?}"));
        let incidents: Vec<_> = state.tables.incidents.iter().collect();
        let own: Vec<_> = self.incidents.iter().map(|(id, story)| (*id, story.row())).collect();
        same("incidents".into(), format!("{own:?}"), format!("{incidents:?}"));
        let jobs = Self::jobs_of(state);
        same("jobs".into(), format!("{:?}", self.jobs), format!("{jobs:?}"));
        let lengths = state.tables.lengths.iter();
        let lengths: Vec<_> = lengths
            .map(|(slot, row)| {
                let of = (row.model.0, row.class, row.tenant.0, row.allowed_log2);
                (slot.0, of, row.samples, row.usual.0, row.late.0)
            })
            .collect();
        let own = self.lengths.iter();
        let own: Vec<_> = own
            .map(|(slot, row)| (*slot, row.of, row.samples, row.percentile(50), row.percentile(95)))
            .collect();
        same("lengths".into(), format!("{own:?}"), format!("{lengths:?}"));
        let berths: Vec<_> = state
            .tables
            .berths
            .iter()
            .map(|(id, row)| {
                let Window { from, until } = row.window.clone();
                let row = calendar::Berth {
                    vessel: row.vessel.0,
                    from: from.0,
                    until: until.0,
                    order: row.order,
                    open: row.open,
                };
                (id.0, row)
            })
            .collect();
        let own: Vec<_> = self.berths.iter().map(|(id, row)| (*id, row.clone())).collect();
        same("berths".into(), format!("{own:?}"), format!("{berths:?}"));
        let lines = state.tables.lines.iter().map(|(model, row)| {
            let queued = row.queued.map(u64::from);
            let gathers = (row.gathering, row.gathered.0, row.ripe_at.0);
            (model, (row.first, row.served, row.floor, row.floors, queued), gathers, row.released)
        });
        let lines: Vec<_> = lines.collect();
        let own = self.queues.iter().map(|(model, queue)| {
            let waiting = |class| self.in_queue(*model).filter(|o| o.demand.class == class).count();
            let queued =
                [Class::Interactive, Class::Standard, Class::Batch].map(|c| waiting(c) as u64);
            let gathers = self.gathered(*model);
            let counts = (queue.first, queue.classes, queue.floor, queue.floors, queued);
            (*model, counts, gathers, queue.released)
        });
        let own: Vec<_> = own.collect();
        same("lines".into(), format!("{own:?}"), format!("{lines:?}"));
        let turns: BTreeSet<_> = state
            .tables
            .turns
            .iter()
            .map(|(_, row)| (row.model, row.class, row.tenant.0, row.served))
            .collect();
        let own = self.queues.iter().flat_map(|(model, queue)| {
            queue.tenants.iter().map(|((class, tenant), n)| (*model, *class, *tenant, *n))
        });
        let own: BTreeSet<_> = own.collect();
        same("turns".into(), format!("{own:?}"), format!("{turns:?}"));
        same(
            "live orders".into(),
            self.orders.len().to_string(),
            state.tables.orders.len().to_string(),
        );
        let review = Some(self.review_at).filter(|at| *at > 0);
        let lines = self.queues.keys().map(|model| self.gathered(*model).2);
        let lines = lines.filter(|at| *at < u64::MAX);
        let ships = self.ships.values().map(Self::ship_wake).filter(|at| *at < u64::MAX);
        let orders = self.orders.values().map(|order| order.wake).filter(|at| *at < u64::MAX);
        let stops = self.stops.values().map(|row| row.until.0);
        let jobs = self.jobs.values().map(|job| job.wake).filter(|at| *at < u64::MAX);
        let next = review
            .into_iter()
            .chain(self.serve_at)
            .chain(lines)
            .chain(ships)
            .chain(orders)
            .chain(stops)
            .chain(jobs)
            .min()
            .map(Micros);
        same("next deadline".into(), format!("{next:?}"), format!("{:?}", state.next_deadline()));
        found
    }

    /// Somebody who waits although there is room; empty unless the exchange has fallen asleep.
    pub fn forgotten(&self) -> Option<String> {
        if self.serve_at.is_some() {
            return None;
        }
        let waiting = |order: &Live| order.stage == Stage::Queued && !order.gathering;
        let waiting = self.orders.iter().filter(|(_, order)| waiting(order));
        let mut forgotten = waiting.filter(|(_, order)| {
            self.has_room(&order.demand) && !matches!(self.is_stuck(order), Ok(true))
        });
        forgotten
            .next()
            .map(|(slot, _)| format!("order in slot {slot} waits although there is room for it"))
    }
}

/// An event without the text of the refusal in it.
fn untold(event: Event) -> Event {
    let untold = |refusal: Refusal| {
        let fault = |fault: String| if fault.is_empty() { fault } else { "told".into() };
        match refusal {
            Refusal::Config(config::Refusal::Invalid { fault: text }) => {
                config::Refusal::Invalid { fault: fault(text) }.into()
            }
            Refusal::Models(models::Refusal::Invalid { fault: text }) => {
                models::Refusal::Invalid { fault: fault(text) }.into()
            }
            Refusal::Policy(policy::Refusal::Invalid { fault: text }) => {
                policy::Refusal::Invalid { fault: fault(text) }.into()
            }
            Refusal::Workflow(workflow::Refusal::Invalid { fault: text }) => {
                workflow::Refusal::Invalid { fault: fault(text) }.into()
            }
            Refusal::Jobs(tensorforge_engine::jobs::Refusal::Invalid { fault: text }) => {
                tensorforge_engine::jobs::Refusal::Invalid { fault: fault(text) }.into()
            }
            refusal => refusal,
        }
    };
    match event {
        Event::Workflow(workflow::Event::CommandRefused { refusal }) => {
            workflow::Event::CommandRefused { refusal: untold(refusal) }.into()
        }
        Event::Workflow(workflow::Event::OrderRefused { order, tenant, external, refusal }) => {
            let refusal = untold(refusal);
            workflow::Event::OrderRefused { order, tenant, external, refusal }.into()
        }
        event => event,
    }
}

/// The place of a name in a list, or the one behind its end.
fn place<'a>(
    mut names: impl Iterator<Item = &'a str> + Clone,
    name: &str,
    bound: Bound,
    max: u32,
) -> Decided<u32> {
    let count = names.clone().count() as u32;
    match names.position(|known| known == name) {
        Some(place) => Ok(place as u32),
        None if count < max => Ok(count),
        None => Err(config::Refusal::Full { bound, max: u64::from(max) }.into()),
    }
}

fn put<T>(list: &mut Vec<T>, id: u32, value: T) {
    match list.get_mut(id as usize) {
        Some(place) => *place = value,
        None => list.push(value),
    }
}
