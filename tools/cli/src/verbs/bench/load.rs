//! The demand that benchmarks are made of: orders that come, run and complete in random order.

use tensorforge_engine::Event;
use tensorforge_engine::command::{ANYWHERE, Command};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Role, Tenant};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{
    MicroUsd, Micros, Millijoules, ModelId, OrderId, RegionId, TenantId, Tokens,
};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{config, models, policy, workflow};
use tensorforge_fleet::{draw, parse_policy};

use crate::failure::{Failure, Result};

/// Demand under way.
pub(super) struct Load {
    vessels: u32,
    running: Vec<OrderId>,
    drawn: u64,
    time: u64,
    heartbeat: Micros,
    deadline: Micros,
    tenants: u32,
}

impl Load {
    /// Commands that register all but the vessels.
    pub(super) const SETUP: u64 = 5;

    /// Demand for a fleet of so many vessels with 64 slots each.
    pub(super) fn new(vessels: u32) -> Self {
        let (heartbeat, deadline) = (Micros::ZERO, Micros::ZERO);
        Self { vessels, running: Vec::new(), drawn: 0, time: 0, heartbeat, deadline, tenants: 1 }
    }

    /// Vessels that are expected to show that they are there, so often.
    pub(super) fn with_heartbeat(self, heartbeat: Micros) -> Self {
        Self { heartbeat, ..self }
    }

    /// Orders that all expire at one moment.
    pub(super) fn with_deadline(self, deadline: Micros) -> Self {
        Self { deadline, ..self }
    }

    /// Orders of so many tenants, and of every class.
    pub(super) fn with_tenants(self, tenants: u32) -> Self {
        Self { tenants, ..self }
    }

    /// Registers everything.
    pub(super) fn begin(
        &mut self,
        mut record: impl FnMut(Micros, Source, &Command) -> Result<Vec<Event>>,
    ) -> Result<()> {
        let limits = Limits {
            orders: 4_000_000,
            queued: 4_000_000,
            tenants: self.tenants.max(Limits::default().tenants),
            ..Limits::default()
        };
        // Nothing may fall due on its own: what is measured is the work that is asked for.
        let policy = parse_policy(
            "bench",
            "[lifetime_ms]\ninteractive = 900000000\nstandard = 900000000\nbatch = 900000000\n\
            [timeout]\npercent = 1000\nmin_ms = 900000000\n",
        )
        .map_err(Failure::input)?;
        let mut commands = vec![
            Command::Config(config::Command::Configure(limits)),
            Command::Models(models::Command::RegisterRegion {
                name: "harbour".into(),
                hop: Micros::ZERO,
                transfer: Micros::ZERO,
            }),
            Command::Models(models::Command::RegisterModel { name: "model".into() }),
            register_tenant("tenant".into()),
            Command::Policy(policy::Command::SetPolicy(Box::new(policy))),
        ];
        let manifest = Manifest {
            region: RegionId(0),
            role: Role::Whole,
            models: vec![ModelId(0)],
            slots: 64,
            context_max: Tokens(100_000),
            cache_tokens: Tokens(0),
            domain: 0,
            prefill_per_kilotoken: Micros(40_000),
            decode_per_token: Micros(15_000),
            price_in: MicroUsd(500_000),
            price_cached: MicroUsd(100_000),
            price_out: MicroUsd(2_000_000),
            fuel_in: Millijoules(200_000),
            fuel_out: Millijoules(2_500_000),
            heartbeat: self.heartbeat,
        };
        commands.extend((0..self.vessels).map(|number| {
            Command::Models(models::Command::RegisterVessel {
                name: format!("vessel-{number}"),
                manifest: manifest.clone(),
                start: 0,
            })
        }));
        commands
            .extend((1..self.tenants).map(|number| register_tenant(format!("tenant-{number}"))));
        commands
            .iter()
            .try_for_each(|command| record(Micros::ZERO, Source::OPERATOR, command).map(drop))
    }

    /// Submits until `live` orders more are there.
    pub(super) fn fill(
        &mut self,
        live: u64,
        mut record: impl FnMut(Micros, Source, &Command) -> Result<Vec<Event>>,
    ) -> Result<()> {
        (0..live).try_for_each(|_| self.submit(&mut record))
    }

    /// Completes a random order and submits another, `turns` times.
    pub(super) fn turn(
        &mut self,
        turns: u64,
        mut record: impl FnMut(Micros, Source, &Command) -> Result<Vec<Event>>,
    ) -> Result<()> {
        for _ in 0..turns {
            let place = draw::below(self.next(), self.running.len() as u64) as usize;
            let order = self.running.swap_remove(place);
            let outcome = Outcome::Done {
                tokens_out: Tokens(100),
                cached: Tokens::ZERO,
                first_token: Micros(40_000),
                energy: Millijoules(400_000),
            };
            let command = Command::Workflow(workflow::Command::ReportLeg {
                order,
                attempt: 1,
                leg: 0,
                outcome,
            });
            let events = record(self.tick(), Source::OPERATOR, &command)?;
            self.running.extend(dispatched(&events));
            self.submit(&mut record)?;
        }
        Ok(())
    }

    fn submit(
        &mut self,
        record: &mut impl FnMut(Micros, Source, &Command) -> Result<Vec<Event>>,
    ) -> Result<()> {
        let size = self.next();
        let of = size / 3_000;
        let tenant = TenantId((of % u64::from(self.tenants)) as u32);
        let classes = [Class::Standard, Class::Interactive, Class::Batch];
        let class =
            if self.tenants > 1 { classes[(of / 4_096 % 3) as usize] } else { Class::Standard };
        let command = Command::Workflow(workflow::Command::Submit(Demand {
            external: self.drawn,
            model: ModelId(0),
            origin: ANYWHERE,
            kind: Kind::Inference,
            class,
            tokens_in: Tokens(200 + size % 3_000),
            tokens_out_max: Tokens(256),
            deadline: self.deadline,
            limit: 0,
            idempotency: 0,
            prefix: Vec::new(),
            window: None,
        }));
        let events = record(self.tick(), Source::tenant(tenant), &command)?;
        self.running.extend(dispatched(&events));
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        draw::draw(1, draw::Purpose::Seed, self.drawn)
    }

    fn tick(&mut self) -> Micros {
        self.time += 7;
        Micros(self.time)
    }
}

fn register_tenant(name: String) -> Command {
    Command::Models(models::Command::RegisterTenant(Tenant::unlimited(&name)))
}

fn dispatched(events: &[Event]) -> Option<OrderId> {
    events.iter().find_map(|event| match event {
        Event::Workflow(workflow::Event::LegDispatched { order, .. }) => Some(*order),
        _ => None,
    })
}
