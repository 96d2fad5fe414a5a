//! Scenarios: a story told step by step to an exchange, and what it makes of it.
//!
//! A scenario is a TOML file: the fleet and policy it plays with, the tenants, and steps at moments.
//! Between two steps the exchange's own timers are decided as they fall due. Nothing is simulated:
//! what becomes of a leg is a step like any other. `fixtures/scenarios/README.md` lists the steps.

mod asked;
mod expected;
mod job;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, OrderId, Seq, TenantId};
use tensorforge_engine::{Event, Exchange, State, workflow};

use crate::document::{self, DocumentError, Millis};
use crate::fleet::{Fleet, SetupError};
use crate::policy::faults_in_file;

use asked::Rules;
use expected::{Expected, Told, counted};
pub use told::snapshot_text;

/// A scenario, ready to be played.
#[derive(Debug)]
pub struct Scenario {
    file: String,
    fleet: Fleet,
    policy: Policy,
    tenants: Vec<String>,
    set_up: bool,
    steps: Vec<Step>,
    folder: PathBuf,
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
    policy: Option<Rules>,
    tenants: Vec<String>,
    set_up: Option<bool>,
    #[serde(rename = "step")]
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    at_ms: Millis,
    /// The time that its command bears, where its sender's clock is another one.
    stamp_ms: Option<Millis>,
    /// Whether it comes before what falls due at the same moment.
    #[serde(default)]
    first: bool,
    /// How often it is taken, where not once.
    times: Option<u32>,
    /// The tenant that sends it, where it is not the operator.
    by: Option<String>,
    expect: Option<Expected>,
    /// What the state has to hold afterwards, by path.
    #[serde(default)]
    see: BTreeMap<String, toml::Value>,
    #[serde(flatten)]
    action: BTreeMap<String, toml::Value>,
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
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&path.display().to_string(), &document::text(path)?, folder)
    }

    /// Reads the text of a scenario; `file` is what errors call it, and paths are relative to `folder`.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, DocumentError> {
        let read: ScenarioFile = document::parse(file, text)?;
        let fleet = Fleet::open(&folder.join(&read.fleet))?;
        let rules = read.policy.unwrap_or_else(|| Rules::Table(toml::Table::new()));
        let policy = rules.policy(folder)?;
        document::sound(file, faults_in_file(&policy))?;
        let refused = fleet.rehearse(&read.tenants, &policy).err();
        let faults = refused.iter().map(SetupError::to_string).chain(backward(&read.steps));
        document::sound(file, faults.collect())?;
        Ok(Self {
            file: file.to_owned(),
            fleet,
            policy,
            tenants: read.tenants,
            set_up: read.set_up.unwrap_or(true),
            steps: read.steps,
            folder: folder.to_path_buf(),
        })
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
        let setup = self.fleet.setup_commands_for(&self.tenants, &self.policy);
        for command in setup.iter().filter(|_| self.set_up) {
            stage.decide(Micros::ZERO, Source::OPERATOR, command);
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
        let (told, records) = (stage.transcript.len(), stage.records.len());
        let mut passed = Vec::new();
        let is_due = |due: &Micros| if step.first { *due < at } else { *due <= at };
        while let Some(due) = stage.exchange.state().next_deadline().filter(is_due) {
            passed.extend(stage.decide(
                due.max(stage.exchange.state().now()),
                Source::OPERATOR,
                &Command::Workflow(workflow::Command::Advance),
            ));
        }
        let mut answered: Option<Vec<Event>> = None;
        for _ in 0..step.times.unwrap_or(1) {
            let Some((source, command)) = self.command(step, stage.exchange.state())? else {
                break;
            };
            let stamp = step.stamp_ms.map_or(at, Millis::micros);
            answered.get_or_insert_default().extend(stage.decide(stamp, source, &command));
        }
        let state = stage.exchange.state();
        let decided = answered.unwrap_or(passed);
        let decided: Vec<Told> = decided.iter().map(|event| Told::of(event, state)).collect();
        step.expect.as_ref().map_or(Ok(()), |expected| expected.hold(&decided))?;
        if matches!(step.expect, Some(Expected::Counts(_))) {
            stage.tell_counts(told, records);
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
}

/// A live order by its number.
fn order(state: &State, number: u64) -> Result<OrderId, String> {
    let mut live = state.tables.orders.iter().map(|(_, order)| order.id);
    live.find(|id| id.number() == number).ok_or_else(|| format!("order {number} is not live"))
}

struct Stage {
    exchange: Exchange,
    transcript: String,
    records: Vec<(Micros, Vec<Event>)>,
    commands: Vec<(Source, Command)>,
}

/// Where what was decided stands in a line of a transcript.
const INDENT: usize = 15;

impl Stage {
    /// Decides a command and writes it down.
    fn decide(&mut self, time: Micros, source: Source, command: &Command) -> Vec<Event> {
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

    /// Tells of the records from `records` on, which stand in the transcript from `told` on, by how many there are of each
    /// command and event. What is wrong with them is still told.
    fn tell_counts(&mut self, told: usize, records: usize) {
        let wrong: Vec<String> = self.transcript[told..]
            .lines()
            .filter(|line| ["BREACH", "UNSOUND"].iter().any(|word| line.trim().starts_with(word)))
            .map(str::to_owned)
            .collect();
        self.transcript.truncate(told);
        let commands: Vec<String> =
            self.commands[records..].iter().map(|(_, command)| told::word(command)).collect();
        let events = self.records[records..].iter().flat_map(|(_, events)| events);
        let events: Vec<String> = events.map(told::word).collect();
        let now = self.exchange.state().now();
        for (word, count) in counted(commands.iter()) {
            let _ = writeln!(self.transcript, "{:>10} us  {count} {word}", now.0);
        }
        for (word, count) in counted(events.iter()) {
            let _ = writeln!(self.transcript, "{:INDENT$}{count} {word}", "");
        }
        for line in wrong {
            let _ = writeln!(self.transcript, "{line}");
        }
    }
}
