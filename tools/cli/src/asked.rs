//! An order that nobody has sent: what it asks for, by the names of a state, and what the engine would decide about it.

use tensorforge_engine::command::{ANYWHERE, Command, Stamp};
use tensorforge_engine::models::{Class, Demand, Kind};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{ModelId, RegionId, Seq, TenantId, Tokens};
use tensorforge_engine::{Event, Exchange, State, workflow};
use tensorforge_journal::{Mode, state_at};

use crate::args::{AskedArgs, AskedClass};
use crate::failure::{Failure, Result};
use crate::moment;
use crate::verbs;

/// A state that is about to decide, and who asks it for what.
pub(crate) struct Asked {
    /// How many records led to it.
    pub(crate) records: u64,
    pub(crate) exchange: Exchange,
    pub(crate) tenant: TenantId,
    pub(crate) demand: Demand,
}

impl Asked {
    /// Reads the state, and looks the names up in it.
    pub(crate) fn read(args: &AskedArgs, tokens_in: u64, tokens_out: u64) -> Result<Self> {
        let journal = verbs::open(&args.dir)?;
        let records = match &args.at {
            Some(text) => moment::until(&journal, "--at", text)?,
            None => journal.next_seq(),
        };
        let mut exchange = Exchange::resume(state_at(&journal, Mode::Fold, records)?);
        exchange.wind();
        let tables = &exchange.state().tables;
        let models = tables.models.iter().map(|(id, row)| (id, row.name.as_str()));
        let model: ModelId = named(models, "model", &args.model, records)?;
        let tenants: Vec<_> =
            tables.tenants.iter().map(|(id, row)| (id, row.name.as_str())).collect();
        let first = tenants.first().map(|(id, _)| *id);
        let tenant = match &args.tenant {
            Some(name) => named(tenants.into_iter(), "tenant", name, records)?,
            None => first.ok_or_else(|| {
                Failure::input(format!("there is no tenant after {records} records"))
            })?,
        };
        let demand = Demand {
            external: 0,
            tokens_in: Tokens(tokens_in),
            tokens_out_max: Tokens(tokens_out),
            deadline: Default::default(),
            limit: 0,
            idempotency: 0,
            model,
            origin: ANYWHERE,
            kind: Kind::Inference,
            class: match args.class {
                AskedClass::Interactive => Class::Interactive,
                AskedClass::Standard => Class::Standard,
                AskedClass::Batch => Class::Batch,
            },
            window: None,
            prefix: Vec::new(),
        };
        Ok(Self { records, exchange, tenant, demand })
    }

    pub(crate) fn state(&self) -> &State {
        self.exchange.state()
    }

    /// A region by its name.
    pub(crate) fn region(&self, name: &str) -> Result<RegionId> {
        let regions = self.state().tables.regions.iter();
        named(regions.map(|(id, row)| (id, row.name.as_str())), "region", name, self.records)
    }

    /// What would be decided if it came as the next record, at the time of the last one. The state stays as it is.
    pub(crate) fn decide(&self, demand: &Demand) -> Result<Vec<Event>> {
        let (mut exchange, mut events) = (self.exchange.clone(), Vec::new());
        let source = Source::tenant(self.tenant);
        let stamp = Stamp { seq: Seq(self.records), time: self.state().now(), source };
        let command = Command::Workflow(workflow::Command::Submit(demand.clone()));
        let decided = exchange.decide(stamp, &command, &mut events);
        decided.map_err(|breach| Failure::input(breach.to_string()))?;
        Ok(events)
    }
}

/// Whose name this is.
fn named<'a, K: Copy>(
    rows: impl Iterator<Item = (K, &'a str)>,
    what: &str,
    name: &str,
    records: u64,
) -> Result<K> {
    let rows: Vec<(K, &str)> = rows.collect();
    let found = rows.iter().find(|(_, known)| *known == name);
    found.map(|(id, _)| *id).ok_or_else(|| {
        let known: Vec<&str> = rows.iter().map(|(_, known)| *known).collect();
        Failure::input(format!("there is no {what} {name} after {records} records")).with_help(
            match known.is_empty() {
                true => format!("there is no {what} at all by then"),
                false => format!("there are: {}", known.join(", ")),
            },
        )
    })
}
