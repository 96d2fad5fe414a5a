//! The world around one exchange, in virtual time.
//!
//! Until the world is over ([`Sim::over`]), a driver takes the earlier of [`Sim::due`] and the
//! exchange's own next timer, lets the world speak with [`Sim::pop`] until it has nothing more to say
//! at that moment, and answers each command with its events ([`Sim::observe`]) and effects
//! ([`Sim::perform`]):
//!
//! ```text
//! while let Some((source, command)) = sim.pop(now) {
//!     let events = ...;
//!     sim.observe(&events);
//!     effects(&events).for_each(|effect| sim.perform(now, &effect));
//! }
//! ```
//!
//! What happens at the same moment happens in this order: faults that end, faults that begin, work
//! aboard, replies, reports of losses, heartbeats, arrivals; within one of these by number, which is
//! the vessel's for work and heartbeats, the order of scheduling for replies, and the place in the
//! file for the rest.

mod agenda;
mod demand;

use std::collections::BTreeMap;

use tensorforge_engine::command::Command;
use tensorforge_engine::effect::Effect;
use tensorforge_engine::event::Event;
use tensorforge_engine::models::{Class, LegKind, Role};
use tensorforge_engine::security::{Scope, Scopes, Source};
use tensorforge_engine::units::{
    Micros, Millijoules, ModelId, OrderId, Ppm, TenantId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault as Cause, Outcome};
use tensorforge_engine::{models, workflow};

use crate::draw::{Purpose, below, draw};
use crate::fleet::{self, FIRST_START, FaultKind, Fleet};
use crate::trace::{Row, Trace};
use crate::vessel::{Begun, Finished, Job, Stopped, Vessel, ratio_up};

use agenda::{Agenda, Happening, Place, Rank};
pub use demand::SimError;
use demand::{Sender, demand, senders};

/// A fleet and the tenants of a trace, from zero on.
#[derive(Debug)]
pub struct Sim<'a> {
    fleet: &'a Fleet,
    trace: &'a Trace,
    seed: u64,
    senders: Vec<Sender>,
    /// The next row to arrive.
    cursor: usize,
    /// Rows by tenant and external number.
    rows: BTreeMap<(TenantId, u64), usize>,
    /// The rows of live orders.
    orders: BTreeMap<OrderId, usize>,
    /// Where the prompts of live orders were worked last that are answered elsewhere.
    prompts: BTreeMap<OrderId, VesselId>,
    /// Rows that have arrived and have not ended.
    open: usize,
    /// Stops that vessels are about to answer.
    stops: usize,
    ships: Vec<Ship<'a>>,
    /// Where each reply is on the agenda, by order and by the vessel that was called.
    replies: BTreeMap<(OrderId, VesselId), Place>,
    agenda: Agenda,
    scheduled: u64,
}

/// A vessel, and what the world knows about it.
#[derive(Debug)]
struct Ship<'a> {
    declared: &'a fleet::Vessel,
    vessel: Vessel<'a>,
    /// When its work is on the agenda.
    filed: Option<Micros>,
    /// The number of its present start.
    start: u64,
    /// The share of legs that it does not work, how long after their dispatch it says so, and what.
    failing: Option<(Ppm, Micros, Cause)>,
}

impl<'a> Sim<'a> {
    /// The world of `fleet` and `trace` at time zero, once [`Fleet::setup_commands`] have been done.
    pub fn new(fleet: &'a Fleet, trace: &'a Trace, seed: u64) -> Result<Self, SimError> {
        let senders = senders(fleet, trace)?;
        let mut rows = BTreeMap::new();
        for (place, (row, sender)) in trace.rows.iter().zip(&senders).enumerate() {
            rows.entry((sender.tenant, row.external)).or_insert(place);
        }
        let ships = fleet.vessels.iter().map(|declared| Ship {
            declared,
            vessel: Vessel::new(&declared.preset, trace.block_tokens),
            filed: None,
            start: FIRST_START,
            failing: None,
        });
        let mut sim = Self {
            fleet,
            trace,
            seed,
            senders,
            cursor: 0,
            rows,
            orders: BTreeMap::new(),
            prompts: BTreeMap::new(),
            open: 0,
            stops: 0,
            ships: ships.collect(),
            replies: BTreeMap::new(),
            agenda: Agenda::new(),
            scheduled: 0,
        };
        sim.foresee();
        Ok(sim)
    }

    /// Whether all rows have arrived and ended, and all stops have been answered. Heartbeats would go on for ever.
    pub fn over(&self) -> bool {
        self.cursor >= self.trace.rows.len() && self.open == 0 && self.stops == 0
    }

    /// When the world has something to say or do next; `None` if it is over, or if all that is open
    /// waits for the exchange.
    pub fn due(&self) -> Option<Micros> {
        if self.over() {
            return None;
        }
        let arrival = self.trace.rows.get(self.cursor).map(|row| row.at);
        let happening = self.agenda.first_key_value().map(|(place, _)| place.0);
        arrival.into_iter().chain(happening).min()
    }

    /// The next thing that the world says at `now` or should have said before; `None` if that was all.
    pub fn pop(&mut self, now: Micros) -> Option<(Source, Command)> {
        while let Some(at) = self.due().filter(|at| *at <= now) {
            let happening = self.agenda.first_entry().filter(|entry| entry.key().0 == at);
            match happening.map(|entry| entry.remove()) {
                None => return self.arrive(),
                Some(happening) => {
                    if let Some(command) = self.happen(at, happening) {
                        return Some((reporter(), command));
                    }
                }
            }
        }
        None
    }

    /// Learns from the exchange's decisions which order is which row, and which rows have ended.
    pub fn observe(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Workflow(workflow::Event::OrderAdmitted {
                    order, tenant, demand, ..
                }) => {
                    if let Some(row) = self.rows.get(&(*tenant, demand.external)) {
                        self.orders.insert(*order, *row);
                    }
                }
                Event::Workflow(workflow::Event::OrderEnded {
                    order, tenant, external, ..
                }) => {
                    self.orders.remove(order);
                    self.prompts.remove(order);
                    self.close(*tenant, *external);
                }
                Event::Workflow(workflow::Event::OrderRefused { tenant, external, .. })
                | Event::Workflow(workflow::Event::OrderDeduplicated {
                    tenant, external, ..
                }) => {
                    self.close(*tenant, *external);
                }
                _ => {}
            }
        }
    }

    /// Does what the exchange asks for. A call that makes no sense is answered with an error; one to a
    /// vessel that is down is not answered.
    pub fn perform(&mut self, now: Micros, effect: &Effect) {
        match *effect {
            Effect::Call { order, attempt, leg, kind, vessel, .. } => {
                self.call(now, Call { order, attempt, leg, kind, vessel });
            }
            Effect::Stop { order, vessel } => {
                self.forget(order, vessel);
                if let Some(ship) = self.ship(vessel).filter(|ship| ship.vessel.afloat()) {
                    let stopped = ship.vessel.stop(now, order);
                    self.file(vessel);
                    if let Some(stopped) = stopped {
                        let place = (now, Rank::Reply, self.scheduled);
                        self.scheduled += 1;
                        self.agenda.insert(place, Happening::Stopped(stopped));
                        self.stops += 1;
                    }
                }
            }
            // Nobody starts jobs with a simulated fleet, and nobody is on call for it.
            Effect::Answer { .. }
            | Effect::Install { .. }
            | Effect::Checkpoint { .. }
            | Effect::Notify { .. } => {}
        }
    }

    /// Puts everything on the agenda that is known beforehand.
    fn foresee(&mut self) {
        for (number, fault) in self.fleet.faults.iter().enumerate() {
            self.agenda.insert((fault.from, Rank::Set, number as u64), Happening::Set(number));
            if let FaultKind::Lost { reported: Some(after) } = fault.kind {
                let place = (fault.from + after, Rank::Report, number as u64);
                self.agenda.insert(place, Happening::Report(fault.vessel));
            }
        }
        // First beats are spread over the period, so that a large fleet does not speak at once.
        let count = self.fleet.vessels.len() as u128;
        for (number, vessel) in (0u32..).zip(&self.fleet.vessels) {
            let period = u128::from(vessel.manifest.heartbeat.0);
            let first = (period * (u128::from(number) + 1)).div_ceil(count.max(1));
            if period > 0 {
                let first = Micros(u64::try_from(first).unwrap_or(u64::MAX)).max(vessel.joins);
                self.beat(first, VesselId(number));
            }
        }
    }

    fn beat(&mut self, at: Micros, vessel: VesselId) {
        self.agenda.insert((at, Rank::Beat, u64::from(vessel.0)), Happening::Beat(vessel));
    }

    fn arrive(&mut self) -> Option<(Source, Command)> {
        let (row, sender) = self.trace.rows.get(self.cursor).zip(self.senders.get(self.cursor))?;
        self.cursor += 1;
        self.open += 1;
        Some((
            Source::tenant(sender.tenant),
            Command::Workflow(workflow::Command::Submit(demand(
                row,
                *sender,
                self.trace.block_tokens,
            ))),
        ))
    }

    fn close(&mut self, tenant: TenantId, external: u64) {
        if tenant == TenantId::NONE || self.rows.contains_key(&(tenant, external)) {
            self.open = self.open.saturating_sub(1);
        }
    }

    fn happen(&mut self, at: Micros, happening: Happening) -> Option<Command> {
        match happening {
            Happening::Lift(fault) => self.lift(at, fault),
            Happening::Set(fault) => {
                self.set(at, fault);
                None
            }
            Happening::Work(vessel) => {
                let ship = self.ship(vessel)?;
                ship.filed = None;
                let finished = ship.vessel.work(at);
                let begun = ship.vessel.begun();
                self.file(vessel);
                for begun in begun {
                    let place = (at, Rank::Reply, self.scheduled);
                    self.scheduled += 1;
                    self.agenda.insert(place, Happening::Begun(begun));
                }
                finished.map(report)
            }
            Happening::Begun(Begun { order, attempt, leg }) => {
                Some(Command::Workflow(workflow::Command::ReportFirstToken { order, attempt, leg }))
            }
            Happening::Reply { called, from, reply } => {
                self.replies.remove(&(reply.order, called));
                from.is_none_or(|vessel| self.afloat(vessel)).then(|| report(reply))
            }
            Happening::Stopped(stopped) => {
                self.stops -= 1;
                let Stopped { order, attempt, leg, usage } = stopped;
                Some(Command::Workflow(workflow::Command::ReportStop {
                    order,
                    attempt,
                    leg,
                    usage,
                }))
            }
            Happening::Report(vessel) => Some(Command::Models(models::Command::Lose { vessel })),
            Happening::Beat(vessel) => {
                let period = self.ship(vessel)?.declared.manifest.heartbeat;
                self.beat(at + period, vessel);
                if self.afloat(vessel) { self.alive(vessel) } else { None }
            }
        }
    }

    fn alive(&mut self, vessel: VesselId) -> Option<Command> {
        let start = self.ship(vessel)?.start;
        Some(Command::Models(models::Command::Heartbeat { vessel, start }))
    }

    fn ship(&mut self, vessel: VesselId) -> Option<&mut Ship<'a>> {
        self.ships.get_mut(vessel.0 as usize)
    }

    fn afloat(&mut self, vessel: VesselId) -> bool {
        self.ship(vessel).is_some_and(|ship| ship.vessel.afloat())
    }

    /// A fault begins; its end is put on the agenda.
    fn set(&mut self, at: Micros, number: usize) {
        let Some(fault) = self.fleet.faults.get(number) else { return };
        let Some(ship) = self.ship(fault.vessel) else { return };
        let mut lift = fault.until;
        match fault.kind {
            FaultKind::Slow { percent } => ship.vessel.pace(at, percent),
            FaultKind::Failing { share, after, answer } => {
                ship.failing = Some((share, after, answer));
            }
            FaultKind::Lost { .. } => ship.vessel.sink(at),
            FaultKind::Flapping { down, .. } => {
                ship.vessel.sink(at);
                lift = lift.min(at + down);
            }
        }
        if lift < Micros::MAX {
            self.agenda.insert((lift, Rank::Lift, number as u64), Happening::Lift(number));
        }
        self.file(fault.vessel);
    }

    /// A fault ends, for the time being or for good. A vessel that comes up says so at once.
    fn lift(&mut self, at: Micros, number: usize) -> Option<Command> {
        let fault = self.fleet.faults.get(number)?;
        let ship = self.ship(fault.vessel)?;
        match fault.kind {
            FaultKind::Slow { .. } => ship.vessel.pace(at, 100),
            FaultKind::Failing { .. } => ship.failing = None,
            FaultKind::Lost { .. } | FaultKind::Flapping { .. } => {
                ship.vessel.rise(at);
                ship.start += 1;
            }
        }
        if let FaultKind::Flapping { up, .. } = fault.kind
            && at + up < fault.until
        {
            self.agenda.insert((at + up, Rank::Set, number as u64), Happening::Set(number));
        }
        self.file(fault.vessel);
        if fault.kind.sinks() { self.alive(fault.vessel) } else { None }
    }

    fn call(&mut self, now: Micros, call: Call) {
        let Some((row, model)) = self.row(call.order) else {
            return self.reply(now, call, None, call.failed(Cause::Error));
        };
        if call.kind == LegKind::Prefill {
            self.prompts.insert(call.order, call.vessel);
        }
        let (fleet, seed, fetch) = (self.fleet, self.seed, self.fetch(call, row));
        let Some(ship) = self.ship(call.vessel) else {
            return self.reply(now, call, None, call.failed(Cause::Error));
        };
        let manifest = &ship.declared.manifest;
        if call.kind == LegKind::Hop {
            let region = fleet.regions.get(manifest.region.0 as usize);
            let hop = region.map_or(Micros::ZERO, |region| region.hop);
            return self.reply(now + hop, call, None, call.reply(WAY));
        }
        if !suits(manifest.role, call.kind) || !manifest.models.contains(&model) {
            return self.reply(now, call, None, call.failed(Cause::Error));
        }
        if !ship.vessel.afloat() {
            return;
        }
        if let Some((share, after, answer)) = ship.failing
            && below(draw(seed, Purpose::Failing, call.key()), Ppm::ONE.0) < share.0
        {
            return self.reply(now + after, call, Some(call.vessel), call.failed(answer));
        }
        let told = fleet.first_tokens && row.class == Class::Interactive;
        if ship.vessel.call(now, call.job(row, fetch, told)) {
            self.file(call.vessel);
        } else {
            self.reply(now, call, Some(call.vessel), call.failed(Cause::Rejected));
        }
    }

    /// How long what was made of a prompt is on its way to the vessel that is called: nothing within a region.
    fn fetch(&self, call: Call, row: &Row) -> Micros {
        let region = |vessel: VesselId| {
            self.fleet.vessels.get(vessel.0 as usize).map(|vessel| vessel.manifest.region)
        };
        let made = self.prompts.get(&call.order).filter(|_| call.kind == LegKind::Decode);
        let Some((from, to)) = made.and_then(|made| region(*made)).zip(region(call.vessel)) else {
            return Micros::ZERO;
        };
        let into = self.fleet.regions.get(to.0 as usize).filter(|_| from != to);
        into.map_or(Micros::ZERO, |region| {
            Micros(ratio_up(row.tokens_in.0, region.transfer.0, 1_000))
        })
    }

    /// The row of a live order, and the model that it asks for.
    fn row(&self, order: OrderId) -> Option<(&'a Row, ModelId)> {
        let place = *self.orders.get(&order)?;
        Some((self.trace.rows.get(place)?, self.senders.get(place)?.model))
    }

    /// Answers a call, by `from` if it is up at that moment.
    fn reply(&mut self, at: Micros, call: Call, from: Option<VesselId>, reply: Finished) {
        let place = (at, Rank::Reply, self.scheduled);
        self.scheduled += 1;
        self.replies.insert((call.order, call.vessel), place);
        self.agenda.insert(place, Happening::Reply { called: call.vessel, from, reply });
    }

    /// Takes the reply to a call of `vessel`, or of the way there, off the agenda.
    fn forget(&mut self, order: OrderId, vessel: VesselId) {
        if let Some(place) = self.replies.remove(&(order, vessel)) {
            self.agenda.remove(&place);
        }
    }

    /// Puts a vessel where it belongs on the agenda, after anything about it has changed.
    fn file(&mut self, id: VesselId) {
        let Some(ship) = self.ship(id) else { return };
        let due = ship.vessel.due();
        let filed = std::mem::replace(&mut ship.filed, due);
        if filed != due {
            let place = |at| (at, Rank::Work, u64::from(id.0));
            filed.map(|at| self.agenda.remove(&place(at)));
            due.map(|at| self.agenda.insert(place(at), Happening::Work(id)));
        }
    }
}

/// A leg that a vessel is called for.
#[derive(Clone, Copy)]
struct Call {
    order: OrderId,
    attempt: u16,
    leg: u8,
    kind: LegKind,
    vessel: VesselId,
}

impl Call {
    fn reply(self, outcome: Outcome) -> Finished {
        Finished { order: self.order, attempt: self.attempt, leg: self.leg, outcome }
    }

    fn failed(self, cause: Cause) -> Finished {
        self.reply(Outcome::Failed(cause))
    }

    fn job(self, row: &Row, fetch: Micros, told: bool) -> Job<'_> {
        Job {
            order: self.order,
            attempt: self.attempt,
            leg: self.leg,
            kind: self.kind,
            tokens_in: row.tokens_in,
            tokens_out: row.tokens_out,
            blocks: &row.blocks,
            fetch,
            told,
        }
    }

    /// What the leg's luck is drawn by. It does not name the vessel, so that under another policy the
    /// same leg has the same luck with any vessel that fails as often.
    fn key(self) -> u64 {
        self.order.number() << 24 | u64::from(self.attempt) << 8 | u64::from(self.leg)
    }
}

/// What a hop yields.
const WAY: Outcome = Outcome::Done {
    tokens_out: Tokens::ZERO,
    cached: Tokens::ZERO,
    first_token: Micros::ZERO,
    energy: Millijoules::ZERO,
};

/// The fleet itself, which reports on vessels and nothing else.
fn reporter() -> Source {
    Source { tenant: TenantId::NONE, key: 0, scopes: Scopes::of(&[Scope::Fleet]) }
}

fn report(finished: Finished) -> Command {
    let Finished { order, attempt, leg, outcome } = finished;
    Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg, outcome })
}

fn suits(role: Role, kind: LegKind) -> bool {
    matches!(
        (role, kind),
        (_, LegKind::Hop)
            | (Role::Whole, LegKind::Whole)
            | (Role::Prefill, LegKind::Prefill)
            | (Role::Decode, LegKind::Decode)
    )
}
