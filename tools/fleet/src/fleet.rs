//! The fleet: who serves, where, at what pace and price, and what will go wrong with it.
//!
//! Identifiers are places: the engine gives them out in the order of registration, and
//! [`Fleet::setup_commands`] registers everything in the order of the file.

mod file;

use std::path::Path;
use std::sync::Arc;

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{Manifest, Region, Tenant};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::security::Source;
use tensorforge_engine::table::Breach;
use tensorforge_engine::units::{JournalId, Micros, Ppm, Seq, VesselId};
use tensorforge_engine::{Event, Exchange, config, models, policy, workflow};
use thiserror::Error;

use crate::document::{self, DocumentError};
use crate::preset::Preset;
use crate::trace::Trace;

pub(crate) use file::limit;

/// A validated fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// What it is called.
    pub name: String,
    /// Whether vessels tell when the first token of an interactive order is on its way.
    pub first_tokens: bool,
    /// The bounds of the exchange.
    pub limits: Limits,
    /// The contract of a tenant that has none of its own; its name is empty.
    pub contract: Tenant,
    /// Tenants with contracts of their own.
    pub tenants: Vec<Tenant>,
    /// Regions; a place here is a `RegionId`.
    pub regions: Vec<Region>,
    /// The names of the models; a place here is a `ModelId`.
    pub models: Vec<String>,
    /// Vessels; a place here is a `VesselId`.
    pub vessels: Vec<Vessel>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// A vessel of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vessel {
    /// Its name, unique in the fleet.
    pub name: String,
    /// What it declares.
    pub manifest: Manifest,
    /// When it is there; until then it is announced, and given twice as long. Zero is from the beginning.
    pub joins: Micros,
    /// What its work really takes.
    pub preset: Arc<Preset>,
}

/// Something that goes wrong with one vessel for a while. Two of a kind never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// With which vessel.
    pub vessel: VesselId,
    /// From when on.
    pub from: Micros,
    /// Until when, this moment excluded; `Micros::MAX` is for good.
    pub until: Micros,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// All work takes this many percent of its time.
    Slow {
        /// More than a hundred.
        percent: u64,
    },
    /// Some legs are not worked.
    Failing {
        /// The share of legs that are not.
        share: Ppm,
        /// How long after its dispatch the vessel says so.
        after: Micros,
        /// What it says.
        answer: workflow::Fault,
    },
    /// It goes down and comes up again, over and over. Whatever it has aboard when it goes down is
    /// gone without a word, and so is its cache; while it is down it is silent and calls are lost.
    Flapping {
        /// How long it is down, from the beginning of the window on.
        down: Micros,
        /// How long it is up in between.
        up: Micros,
    },
    /// It goes down and stays there until the end of the window.
    Lost {
        /// How long after it went down somebody reports it; nobody does if it is `None`.
        reported: Option<Micros>,
    },
}

impl FaultKind {
    /// Whether the vessel is down during the window, at least at times.
    pub fn sinks(self) -> bool {
        matches!(self, Self::Flapping { .. } | Self::Lost { .. })
    }
}

/// Why an exchange cannot be set up with a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// It refuses one part of it; the keys of a vessel are told as the file spells them.
    #[error("fleet {fleet:?}: the exchange refuses {part}: {refusal}")]
    Refused {
        /// Which fleet.
        fleet: String,
        /// The part, by its kind and name.
        part: String,
        /// What stood in the way.
        refusal: Refusal,
    },
    /// The engine's own fault.
    #[error(transparent)]
    Breach(#[from] Breach),
}

/// The number of a vessel's first start; it is one more each time that it comes up.
pub(crate) const FIRST_START: u64 = 1;

impl Fleet {
    /// Reads a fleet.
    pub fn open(path: &Path) -> Result<Self, DocumentError> {
        Self::parse(&path.display().to_string(), &document::text(path)?)
    }

    /// Reads the text of a fleet; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, DocumentError> {
        file::read(file, text)
    }

    /// The contract under which the tenant called `name` submits.
    pub fn contract(&self, name: &str) -> Tenant {
        let own = self.tenants.iter().find(|tenant| tenant.name == name);
        Tenant { name: name.to_owned(), ..own.unwrap_or(&self.contract).clone() }
    }

    /// What an exchange has to be told before it can serve `trace` with this fleet under `policy`:
    /// bounds, regions, models, the tenants of the trace as they appear, vessels and the policy.
    pub fn setup_commands(&self, trace: &Trace, policy: &Policy) -> Vec<Command> {
        self.setup_commands_for(&trace.tenants(), policy)
    }

    /// The same for these tenants.
    pub fn setup_commands_for(&self, tenants: &[impl AsRef<str>], policy: &Policy) -> Vec<Command> {
        let configure = Command::Config(config::Command::Configure(self.limits.clone()));
        let regions = self.regions.iter().map(|region| {
            Command::Models(models::Command::RegisterRegion {
                name: region.name.clone(),
                hop: region.hop,
                transfer: region.transfer,
            })
        });
        let models = self
            .models
            .iter()
            .cloned()
            .map(|name| Command::Models(models::Command::RegisterModel { name }));
        let tenants = tenants.iter().map(|name| {
            Command::Models(models::Command::RegisterTenant(self.contract(name.as_ref())))
        });
        let vessels = self.vessels.iter().map(|vessel| {
            if vessel.joins > Micros::ZERO {
                return Command::Models(models::Command::Announce {
                    name: vessel.name.clone(),
                    manifest: vessel.manifest.clone(),
                    within: vessel.joins + vessel.joins,
                });
            }
            Command::Models(models::Command::RegisterVessel {
                name: vessel.name.clone(),
                manifest: vessel.manifest.clone(),
                start: FIRST_START,
            })
        });
        let policy = Command::Policy(policy::Command::SetPolicy(Box::new(policy.clone())));
        let parties = regions.chain(models).chain(tenants).chain(vessels);
        [configure].into_iter().chain(parties).chain([policy]).collect()
    }

    /// Says all that [`setup_commands_for`](Self::setup_commands_for) has to a bare exchange, and
    /// names the first part that it refuses.
    pub fn rehearse(&self, tenants: &[impl AsRef<str>], policy: &Policy) -> Result<(), SetupError> {
        let mut exchange = Exchange::genesis(JournalId::default());
        let mut events = Vec::new();
        for (command, seq) in self.setup_commands_for(tenants, policy).iter().zip(0..) {
            let stamp = Stamp { seq: Seq(seq), time: Micros::ZERO, source: Source::OPERATOR };
            events.clear();
            exchange.decide(stamp, command, &mut events)?;
            if let [Event::Workflow(workflow::Event::CommandRefused { refusal })] =
                events.as_slice()
            {
                let (part, refusal) = (part(command), in_file(refusal));
                return Err(SetupError::Refused { fleet: self.name.clone(), part, refusal });
            }
        }
        Ok(())
    }
}

/// A refusal with its keys as the file spells them: it knows no manifest, which is made of a vessel
/// and its preset.
fn in_file(refusal: &Refusal) -> Refusal {
    match refusal {
        Refusal::Models(models::Refusal::Invalid { fault }) => {
            let words = [
                ("manifest.", ""),
                ("orders.amount", "rate"),
                ("orders.period", "rate_period_ms"),
                ("orders.burst", "burst"),
                ("tokens.amount", "token_rate"),
                ("tokens.period", "token_period_ms"),
                ("tokens.burst", "token_burst"),
            ];
            let fault = words
                .iter()
                .fold(fault.clone(), |fault, (engine, file)| fault.replace(engine, file));
            Refusal::Models(models::Refusal::Invalid { fault })
        }
        other => other.clone(),
    }
}

/// What a command of the setup is about.
fn part(command: &Command) -> String {
    match command {
        Command::Config(config::Command::Configure(_)) => "the limits".to_owned(),
        Command::Models(models::Command::RegisterRegion { name, .. }) => format!("region {name:?}"),
        Command::Models(models::Command::RegisterModel { name }) => format!("model {name:?}"),
        Command::Models(models::Command::RegisterTenant(contract)) => {
            format!("tenant {:?}", contract.name)
        }
        Command::Models(
            models::Command::RegisterVessel { name, .. } | models::Command::Announce { name, .. },
        ) => format!("vessel {name:?}"),
        _ => "the policy".to_owned(),
    }
}
