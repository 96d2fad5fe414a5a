//! Scenarios: a story told step by step to an exchange, and what it makes of it.
//!
//! A scenario is a TOML file: the fleet and policy it plays with, the tenants, and steps at moments.
//! Between two steps the exchange's own timers are decided as they fall due. Nothing is simulated:
//! what becomes of a leg is a step like any other. `fixtures/scenarios/README.md` lists the steps.

mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use tensorforge_engine::command::{ANYWHERE, Command, Stamp};
use tensorforge_engine::models::{Class, Demand, Kind, Mark, Usage, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{
    JournalId, Micros, Millijoules, ModelId, OrderId, PolicyVersion, RegionId, Seq, TenantId,
    Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, Exchange, State, allocator, models, policy, workflow};

use crate::document::{self, DocumentError, Millis, listed};
use crate::fleet::{Fleet, SetupError};
use crate::policy::{parse_policy, read_policy};
use crate::trace::Key;

pub use told::snapshot_text;

/// A scenario, ready to be played.
#[derive(Debug)]
pub struct Scenario {
    file: String,
    fleet: Fleet,
    policy: Policy,
    tenants: Vec<String>,
    steps: Vec<Step>,
    folder: std::path::PathBuf,
}

/// What a scenario led to.
#[derive(Debug)]
pub struct Played {
    /// Every record: its command and what was decided.
    pub transcript: String,
    /// When each record came, and what was decided in it.
    pub records: Vec<(Micros, Vec<Event>)>,
    /// Who sent what, record by record.
    pub commands: Vec<(Source, Command)>,
    /// The state at the end.
    pub state: State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    /// Told to people, and to them alone.
    #[expect(dead_code, reason = "a scenario without a story is refused")]
    story: String,
    fleet: String,
    policy: Option<String>,
    tenants: Vec<String>,
    #[serde(rename = "step")]
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    at_ms: Millis,
    /// The tenant that sends it, where it is not the operator.
    by: Option<String>,
    /// What has to be decided: names of events, or names with details.
    expect: Option<Vec<String>>,
    /// What the state has to hold afterwards, by path.
    #[serde(default)]
    see: BTreeMap<String, toml::Value>,
    #[serde(flatten)]
    action: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    tenant: Option<String>,
    #[serde(default)]
    external: u64,
    model: Option<String>,
    origin: Option<String>,
    class: Option<Class>,
    kind: Option<Kind>,
    tokens_in: u64,
    tokens_out_max: u64,
    #[serde(default)]
    lives_ms: Millis,
    key: Option<Key>,
    #[serde(default)]
    prefix: Vec<(u64, u64)>,
    window_ms: Option<(Millis, Millis)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    tenant: String,
    #[serde(default)]
    whole: bool,
    orders: Vec<Submit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    order: u64,
    attempt: Option<u16>,
    leg: Option<u8>,
    #[serde(default)]
    tokens_out: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    first_token_ms: Millis,
    #[serde(default)]
    energy: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    order: u64,
    leg: Option<u8>,
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstToken {
    order: u64,
    attempt: Option<u16>,
    leg: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoppedStep {
    order: u64,
    #[serde(default)]
    tokens_in: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    tokens_out: u64,
    #[serde(default)]
    energy: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintain {
    vessel: String,
    window_ms: (Millis, Millis),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alive {
    vessel: String,
    start: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTenant {
    tenant: String,
    order: u64,
}

impl Step {
    /// What people call the step of this place.
    fn named(&self, place: usize) -> String {
        format!("step {} at {} ms", place + 1, self.at_ms.micros().0 / 1_000)
    }
}

/// Steps that are before the step before them.
fn backward(steps: &[Step]) -> impl Iterator<Item = String> {
    let pairs = steps.iter().zip(steps.iter().skip(1)).enumerate();
    let back = pairs.filter(|(_, (before, step))| step.at_ms < before.at_ms);
    back.map(|(place, (before, step))| {
        format!("{} is before {}", step.named(place + 1), before.named(place))
    })
}

impl Scenario {
    /// Reads a scenario and the fleet and policy that it names, from paths relative to it.
    pub fn open(path: &Path) -> Result<Self, DocumentError> {
        let file = path.display().to_string();
        let read: ScenarioFile = document::parse(&file, &document::text(path)?)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let fleet = Fleet::open(&folder.join(&read.fleet))?;
        let policy = match &read.policy {
            Some(policy) => read_policy(&folder.join(policy))?,
            None => parse_policy("the default policy", "")?,
        };
        let refused = fleet.rehearse(&read.tenants, &policy).err();
        let faults = refused.iter().map(SetupError::to_string).chain(backward(&read.steps));
        document::sound(&file, faults.collect())?;
        let (tenants, steps) = (read.tenants, read.steps);
        Ok(Self { file, fleet, policy, tenants, steps, folder })
    }

    /// Plays it from the beginning. A step that names what is not there, and one whose `expect` is not
    /// what was decided, is an error that names the step.
    pub fn play(&self) -> Result<Played, DocumentError> {
        let mut stage = Stage {
            exchange: Exchange::genesis(JournalId::default()),
            transcript: String::new(),
            records: Vec::new(),
            commands: Vec::new(),
        };
        for command in self.fleet.setup_commands_for(&self.tenants, &self.policy) {
            stage.decide(Micros::ZERO, Source::OPERATOR, &command);
        }
        for (number, step) in self.steps.iter().enumerate() {
            self.step(&mut stage, step).map_err(|fault| DocumentError::Invalid {
                file: self.file.clone(),
                faults: vec![format!("{}: {fault}", step.named(number))],
            })?;
        }
        let Stage { exchange, transcript, records, commands } = stage;
        Ok(Played { transcript, records, commands, state: exchange.into_state() })
    }

    /// Lets time pass until a step, takes it, and holds it against what it expects.
    fn step(&self, stage: &mut Stage, step: &Step) -> Result<(), String> {
        let at = step.at_ms.micros();
        let mut decided = Vec::new();
        while let Some(due) = stage.exchange.state().next_deadline().filter(|due| *due <= at) {
            decided.extend(stage.decide(
                due,
                Source::OPERATOR,
                &Command::Workflow(workflow::Command::Advance),
            ));
        }
        if let Some((source, command)) = self.command(step, stage.exchange.state())? {
            decided = stage.decide(at, source, &command);
        }
        let told = |event: &Event| {
            let detail = told::detail(event, |id| self.vessel_name(id));
            (told::word(event), detail)
        };
        let decided: Vec<(String, String)> = decided.iter().map(told).collect();
        if let Some(expected) = &step.expect
            && !(expected.len() == decided.len()
                && expected.iter().zip(&decided).all(|(line, decided)| matches(line, decided)))
        {
            let decided: Vec<String> = decided.iter().map(|(n, d)| format!("{n} {d}")).collect();
            return Err(format!("expected {expected:?}, decided {decided:?}"));
        }
        for (path, expected) in &step.see {
            let expected = serde_json::to_value(expected).unwrap_or_default();
            let found = stage.exchange.state().view(path).unwrap_or_default();
            if found != expected {
                return Err(format!("expected to see {path} = {expected}, found {found}"));
            }
        }
        Ok(())
    }

    fn vessel_name(&self, id: VesselId) -> String {
        let vessel = self.fleet.vessels.get(id.0 as usize);
        vessel.map_or_else(|| id.to_string(), |vessel| vessel.name.clone())
    }

    /// What a step asks for; `None` for one that only lets time pass.
    fn command(&self, step: &Step, state: &State) -> Result<Option<(Source, Command)>, String> {
        let mut actions = step.action.iter();
        let Some((name, value)) = actions.next() else { return Ok(None) };
        if let Some((other, _)) = actions.next() {
            return Err(format!("one thing a step, not both `{name}` and `{other}`"));
        }
        let sender = step.by.as_deref().map_or(Ok(Source::OPERATOR), |name| self.tenant(name))?;
        let operator = |command| Ok(Some((sender, command)));
        match name.as_str() {
            "submit" => {
                self.submit(read(name, value)?, state.now().max(step.at_ms.micros())).map(Some)
            }
            "batch" => {
                let Batch { tenant, whole, orders } = read(name, value)?;
                if orders.iter().any(|order| order.tenant.is_some()) {
                    return Err("batch: its orders are all of its own tenant".to_owned());
                }
                let now = state.now().max(step.at_ms.micros());
                let demands = orders.into_iter().map(|asked| self.demand(asked, now));
                let demands = demands.collect::<Result<_, _>>()?;
                let command = workflow::Command::SubmitBatch { demands, whole };
                Ok(Some((self.tenant(&tenant)?, Command::Workflow(command))))
            }
            "done" => {
                let done: Done = read(name, value)?;
                let outcome = Outcome::Done {
                    tokens_out: Tokens(done.tokens_out),
                    cached: Tokens(done.cached),
                    first_token: done.first_token_ms.micros(),
                    energy: Millijoules(done.energy),
                };
                let (order, attempt, leg) = leg_of(state, done.order, (done.attempt, done.leg))?;
                let report = workflow::Command::ReportLeg { order, attempt, leg, outcome };
                operator(Command::Workflow(report))
            }
            "failed" => {
                let failed: Failed = read(name, value)?;
                let outcome = Outcome::Failed(failed.fault);
                let (order, attempt, leg) = leg_of(state, failed.order, (None, failed.leg))?;
                let report = workflow::Command::ReportLeg { order, attempt, leg, outcome };
                operator(Command::Workflow(report))
            }
            "first_token" => {
                let seen: FirstToken = read(name, value)?;
                let (order, attempt, leg) = leg_of(state, seen.order, (seen.attempt, seen.leg))?;
                let report = workflow::Command::ReportFirstToken { order, attempt, leg };
                operator(Command::Workflow(report))
            }
            "stopped" => {
                let told: StoppedStep = read(name, value)?;
                let mut stops = state.tables.stops.iter().map(|(_, row)| row);
                let row = stops
                    .find(|row| row.order.number() == told.order)
                    .ok_or_else(|| format!("order {} has not been told to stop", told.order))?;
                operator(Command::Workflow(workflow::Command::ReportStop {
                    order: row.order,
                    attempt: row.attempt,
                    leg: row.leg,
                    usage: Usage {
                        tokens_in: Tokens(told.tokens_in),
                        cached: Tokens(told.cached),
                        tokens_out: Tokens(told.tokens_out),
                        energy: Millijoules(told.energy),
                    },
                }))
            }
            "maintain" => {
                let asked: Maintain = read(name, value)?;
                let vessel = self.vessel(name, &toml::Value::String(asked.vessel))?;
                let (from, until) = asked.window_ms;
                let now = state.now().max(step.at_ms.micros());
                let window = Window { from: now + from.micros(), until: now + until.micros() };
                operator(Command::Allocator(allocator::Command::Maintain { vessel, window }))
            }
            "end_maintenance" => operator(Command::Allocator(allocator::Command::EndMaintenance {
                vessel: self.vessel(name, value)?,
            })),
            "cancel" => {
                let asked: OfTenant = read(name, value)?;
                let command = Command::Workflow(workflow::Command::Cancel {
                    order: order(state, asked.order)?,
                });
                Ok(Some((self.tenant(&asked.tenant)?, command)))
            }
            "retry" => {
                let asked: OfTenant = read(name, value)?;
                let command = Command::Workflow(workflow::Command::Retry {
                    order: order(state, asked.order)?,
                });
                Ok(Some((self.tenant(&asked.tenant)?, command)))
            }
            "heartbeat" => {
                let (vessel, start) = self.alive(name, value)?;
                operator(Command::Models(models::Command::Heartbeat { vessel, start }))
            }
            "drain" => operator(Command::Models(models::Command::Drain {
                vessel: self.vessel(name, value)?,
            })),
            "lose" => operator(Command::Models(models::Command::Lose {
                vessel: self.vessel(name, value)?,
            })),
            "retire" => operator(Command::Models(models::Command::Retire {
                vessel: self.vessel(name, value)?,
            })),
            "register" => {
                let (vessel, start) = self.alive(name, value)?;
                operator(self.registration(vessel, start)?)
            }
            "policy" => {
                let path: String = read(name, value)?;
                let policy =
                    read_policy(&self.folder.join(path)).map_err(|error| error.to_string())?;
                operator(Command::Policy(policy::Command::SetPolicy(Box::new(policy))))
            }
            "roll_back" => operator(Command::Policy(policy::Command::RollBackPolicy {
                to: PolicyVersion(read(name, value)?),
            })),
            "wait" => Ok(None),
            other => Err(format!(
                "expected one of submit, batch, done, failed, first_token, stopped, cancel, \
                 retry, heartbeat, drain, lose, retire, register, maintain, end_maintenance, policy, \
                 roll_back and wait, found `{other}`"
            )),
        }
    }

    fn submit(&self, asked: Submit, now: Micros) -> Result<(Source, Command), String> {
        let sender = asked.tenant.as_deref().map_or(Ok(Source::OPERATOR), |name| self.tenant(name));
        let demand = self.demand(asked, now)?;
        Ok((sender?, Command::Workflow(workflow::Command::Submit(demand))))
    }

    fn demand(&self, asked: Submit, now: Micros) -> Result<Demand, String> {
        let place = |kind: &str, names: Vec<&str>, name: &str| {
            let place = names.iter().position(|known| *known == name);
            place
                .and_then(|place| u32::try_from(place).ok())
                .ok_or_else(|| format!("{kind} {name:?} is not one of {}", listed(names)))
        };
        let models = || self.fleet.models.iter().map(String::as_str).collect();
        let regions = || self.fleet.regions.iter().map(|region| region.name.as_str()).collect();
        let model = asked.model.as_deref().map_or(Ok(0), |name| place("model", models(), name))?;
        let origin = asked.origin.as_deref().map(|name| place("region", regions(), name));
        let deadline = asked.lives_ms.micros();
        Ok(Demand {
            external: asked.external,
            model: ModelId(model),
            origin: origin.transpose()?.map_or(ANYWHERE, RegionId),
            kind: asked.kind.unwrap_or(Kind::Inference),
            class: asked.class.unwrap_or(Class::Standard),
            tokens_in: Tokens(asked.tokens_in),
            tokens_out_max: Tokens(asked.tokens_out_max),
            deadline: if deadline == Micros::ZERO { deadline } else { now + deadline },
            idempotency: asked.key.as_ref().map_or(0, Key::number),
            prefix: asked
                .prefix
                .into_iter()
                .map(|(hash, tokens)| Mark { hash, tokens: Tokens(tokens) })
                .collect(),
            window: asked.window_ms.map(|(from, until)| {
                Window { from: now + from.micros(), until: now + until.micros() }.into()
            }),
        })
    }

    fn tenant(&self, name: &str) -> Result<Source, String> {
        let place = self.tenants.iter().position(|known| known == name);
        let id = place.and_then(|place| u32::try_from(place).ok());
        id.map(|id| Source::tenant(TenantId(id)))
            .ok_or_else(|| format!("tenant {name:?} is not one of {:?}", self.tenants))
    }

    /// The registration of a vessel, as the fleet file has it.
    fn registration(&self, id: VesselId, start: u64) -> Result<Command, String> {
        let vessel = self.fleet.vessels.get(id.0 as usize);
        let vessel = vessel.ok_or_else(|| format!("vessel {id} is not in the fleet"))?;
        let (name, manifest) = (vessel.name.clone(), vessel.manifest.clone());
        Ok(Command::Models(models::Command::RegisterVessel { name, manifest, start }))
    }

    /// A vessel and the number of its start: a name alone, or both.
    fn alive(&self, key: &str, value: &toml::Value) -> Result<(VesselId, u64), String> {
        match value {
            toml::Value::Table(_) => {
                let Alive { vessel, start } = read(key, value)?;
                Ok((self.vessel(key, &toml::Value::String(vessel))?, start))
            }
            name => Ok((self.vessel(key, name)?, 0)),
        }
    }

    fn vessel(&self, key: &str, value: &toml::Value) -> Result<VesselId, String> {
        let name: String = read(key, value)?;
        let place = self.fleet.vessels.iter().position(|vessel| vessel.name == name);
        let id = place.and_then(|place| u32::try_from(place).ok());
        id.map(VesselId).ok_or_else(|| {
            let known = listed(self.fleet.vessels.iter().map(|vessel| vessel.name.as_str()));
            format!("vessel {name:?} is not one of {known}")
        })
    }
}

/// Whether an expected line is the name of what was decided, or its name and details.
fn matches(line: &str, (name, detail): &(String, String)) -> bool {
    line.strip_prefix(name.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(' ') == Some(detail))
}

fn read<T: serde::de::DeserializeOwned>(key: &str, value: &toml::Value) -> Result<T, String> {
    value
        .clone()
        .try_into()
        .map_err(|error| format!("{key}: {}", error.to_string().trim_end().replace('\n', ", ")))
}

/// A live order by its number.
fn order(state: &State, number: u64) -> Result<OrderId, String> {
    let mut live = state.tables.orders.iter().map(|(_, order)| order.id);
    live.find(|id| id.number() == number).ok_or_else(|| format!("order {number} is not live"))
}

/// The leg that an order is on, or the attempt and leg of it that are named.
fn leg_of(
    state: &State,
    number: u64,
    (attempt, leg): (Option<u16>, Option<u8>),
) -> Result<(OrderId, u16, u8), String> {
    // Of one that has ended a leg may have been told to stop, and report all the same.
    let mut stops = state.tables.stops.iter().map(|(_, row)| row);
    let (order, present) = match order(state, number) {
        Ok(id) => (id, state.order(id).map(|order| (order.attempt, order.leg))),
        Err(absent) => {
            let stop = stops.find(|row| row.order.number() == number).ok_or(absent)?;
            (stop.order, Some((stop.attempt, stop.leg)))
        }
    };
    let (of_attempt, of_leg) = present.ok_or_else(|| format!("order {number} is not live"))?;
    Ok((order, attempt.unwrap_or(of_attempt), leg.unwrap_or(of_leg)))
}

struct Stage {
    exchange: Exchange,
    transcript: String,
    records: Vec<(Micros, Vec<Event>)>,
    commands: Vec<(Source, Command)>,
}

impl Stage {
    /// Decides a command and writes it down.
    fn decide(&mut self, time: Micros, source: Source, command: &Command) -> Vec<Event> {
        const INDENT: usize = 15;
        let mut events = Vec::new();
        let stamp = Stamp { seq: Seq(self.records.len() as u64), time, source };
        let decided = self.exchange.decide(stamp, command, &mut events);
        let sender = match source.tenant {
            TenantId::NONE => String::new(),
            tenant => format!(" by tenant {tenant}"),
        };
        let _ = writeln!(self.transcript, "{:>10} us  {}{sender}", time.0, told::word(command));
        let mut line = |text: String| {
            let _ = writeln!(self.transcript, "{:INDENT$}{text}", "");
        };
        events.iter().for_each(|event| line(told::event_text(event, INDENT + 4)));
        if let Err(breach) = decided {
            line(format!("BREACH {breach}"));
        }
        for fault in self.exchange.state().check() {
            line(format!("UNSOUND {fault}"));
        }
        self.records.push((time, events.clone()));
        self.commands.push((source, command.clone()));
        events
    }
}
