//! `audit`: what was said to the exchange besides orders and their reports: who, when, what, and what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::command::Command;
use tensorforge_engine::security::{Scope, Source};
use tensorforge_engine::units::TenantId;
use tensorforge_engine::{models, policy, workflow};
use tensorforge_journal::{Record, read_records, schema};

use crate::args::AuditArgs;
use crate::failure::{Exit, Failure, Result};
use crate::moment;
use crate::names::Names;
use crate::output::{self, BAD, FAINT, NAME, counted, grouped, span};
use crate::text::paint;
use crate::verbs::explain::word;
use crate::verbs::{self, log};

pub(crate) fn run(args: &AuditArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let since = moment::before(&journal, "--since", &args.since)?;
    let until = match &args.until {
        Some(text) => moment::until(&journal, "--until", text)?,
        None => journal.next_seq(),
    };
    if since > until {
        return Err(Failure::input(format!("--since {since} is beyond {until}, where it stops")));
    }
    let what = args.what.as_deref().map(What::parse).transpose()?;
    let (mut names, mut told) = (Names::default(), Vec::new());
    let mut rules = Rules::default();
    // Names are learned from the beginning on.
    read_records(&journal, 0, until, |record| {
        record.events.iter().for_each(|event| names.learn(event));
        let change = rules.change(&record);
        if record.stamp.seq.0 >= since && names_it(what.as_ref(), &record.command) {
            told.push((record, change));
        }
        ControlFlow::Continue(())
    })?;
    if let Some(who) = &args.who {
        let who = subject(&names, who)?;
        told.retain(|(record, _)| record.stamp.source.tenant == who);
    }
    if as_json {
        let entries = told.iter().map(|(record, change)| entry(&names, record, change.as_ref()));
        let entries: Vec<Value> = entries.collect();
        output::json(&json!({ "entries": entries }));
    } else {
        told.iter().for_each(|(record, change)| print(&names, record, change.as_ref()));
        output::say(format!(
            "{} of {}",
            counted(told.len() as u64, "record"),
            grouped(until - since)
        ));
    }
    Ok(Exit::AsAsked)
}

/// The rules in force so far.
#[derive(Default)]
struct Rules {
    version: Option<u32>,
    fields: BTreeMap<String, Value>,
}

/// In what rules that somebody sent differ from those that were in force.
struct Change {
    /// The version that was.
    before: Option<u32>,
    /// By the path of each field: what it was, and what it is.
    fields: BTreeMap<String, [Value; 2]>,
}

impl Rules {
    /// What a record changes of the rules, or would if it had not been refused; puts in force what it puts.
    fn change(&mut self, record: &Record) -> Option<Change> {
        let decided = record.events.iter().find_map(|event| match event {
            Event::Policy(
                policy::Event::PolicyChanged { version, policy }
                | policy::Event::PolicyRolledBack { version, policy, .. },
            ) => Some((version.0, policy)),
            _ => None,
        });
        let sent = match (&record.command, decided) {
            (_, Some((_, policy))) => policy,
            (Command::Policy(policy::Command::SetPolicy(policy)), None) => policy,
            _ => return None,
        };
        let mut after = BTreeMap::new();
        flatten("", serde_json::to_value(sent).unwrap_or_default(), &mut after);
        let differs = |(path, value): (&String, &Value)| {
            let before = self.fields.get(path).cloned().unwrap_or_default();
            (before != *value).then(|| (path.clone(), [before, value.clone()]))
        };
        let fields = after.iter().filter_map(differs).collect();
        let change = Change { before: self.version, fields };
        if let Some((version, _)) = decided {
            *self = Self { version: Some(version), fields: after };
        }
        Some(change)
    }
}

impl Change {
    fn text(&self) -> String {
        let Some(version) = self.before else { return "the first one".to_owned() };
        if self.fields.is_empty() {
            return format!("as version {version}");
        }
        let fields =
            self.fields.iter().map(|(path, [was, is])| format!(" {path}={is} (was {was})"));
        format!("unlike version {version} in{}", fields.collect::<Vec<_>>().join(","))
    }

    fn json(&self) -> Value {
        // All of the first one differs from nothing, and stands in the command.
        let fields = self.fields.iter().filter(|_| self.before.is_some());
        let fields =
            fields.map(|(path, [was, is])| (path.clone(), json!({ "was": was, "is": is })));
        json!({ "version": self.before, "fields": fields.collect::<serde_json::Map<_, _>>() })
    }
}

/// The fields of an object and of those in it, each by its path; a list is one.
fn flatten(path: &str, value: Value, into: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        into.insert(path.to_owned(), value);
        return;
    };
    for (name, value) in fields {
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        flatten(&path, value, into);
    }
}

/// The commands that are asked for.
enum What {
    Module(String),
    /// A command's own name, whatever its module.
    Name(String),
    /// Module and name.
    Both(String),
}

impl What {
    fn parse(text: &str) -> Result<Self> {
        let all = commands();
        let modules: BTreeSet<&str> =
            all.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
        if modules.contains(text) {
            return Ok(Self::Module(text.to_owned()));
        }
        if all.contains(text) {
            return Ok(Self::Both(text.to_owned()));
        }
        if all.iter().any(|name| name.ends_with(&format!(".{text}"))) {
            return Ok(Self::Name(text.to_owned()));
        }
        let known: Vec<&str> = all.iter().map(String::as_str).collect();
        Err(Failure::input(format!("--what {text}: there is no such module or command"))
            .with_help(format!("the commands are {}", known.join(", "))))
    }

    fn names(&self, command: &Command) -> bool {
        let name = name(command);
        let Some((module, own)) = name.split_once('.') else { return false };
        match self {
            Self::Module(asked) => asked == module,
            Self::Name(asked) => asked == own,
            Self::Both(asked) => *asked == name,
        }
    }
}

/// Every command there is, by module and name.
fn commands() -> BTreeSet<String> {
    let (mut all, mut module) = (BTreeSet::new(), None);
    for line in schema::TEXT.lines() {
        if !line.starts_with(' ') {
            let words = line.strip_prefix("enum ").and_then(|name| name.split_once("::"));
            module = words.filter(|(_, word)| *word == "Command").map(|(module, _)| module);
        } else if let Some(module) = module {
            let variant = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            let name = variant.and_then(|rest| rest.split(' ').nth(1));
            all.extend(name.map(|name| format!("{module}.{name}")));
        }
    }
    all
}

/// Whether a command is listed: where nothing is asked for, whatever is no part of the traffic.
fn names_it(what: Option<&What>, command: &Command) -> bool {
    match what {
        Some(what) => what.names(command),
        None => !matches!(
            command,
            Command::Workflow(
                workflow::Command::Submit(_)
                    | workflow::Command::SubmitBatch { .. }
                    | workflow::Command::ReportFirstToken { .. }
                    | workflow::Command::ReportLeg { .. }
                    | workflow::Command::ReportStop { .. }
                    | workflow::Command::Advance
            ) | Command::Models(models::Command::Heartbeat { .. })
        ),
    }
}

/// The module and the name of a command.
fn name(command: &Command) -> String {
    let text = log::value_text(&serde_json::to_value(command).unwrap_or_default());
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The tenant of a subject's name; `NONE` for operators.
fn subject(names: &Names, who: &str) -> Result<TenantId> {
    if who == OPERATOR {
        return Ok(TenantId::NONE);
    }
    let found = names.tenants.iter().find(|(_, name)| *name == who);
    found.map(|(id, _)| TenantId(*id)).ok_or_else(|| {
        let known: Vec<&str> = names.tenants.values().map(String::as_str).collect();
        Failure::input(format!("--who {who}: nobody of that name sent anything"))
            .with_help(format!("there are: {OPERATOR}, {}", known.join(", ")))
    })
}

const OPERATOR: &str = "operator";

fn who(names: &Names, source: Source) -> String {
    match source.tenant {
        TenantId::NONE => OPERATOR.to_owned(),
        tenant => names.tenant(tenant),
    }
}

fn scopes(source: Source) -> Vec<String> {
    Scope::ALL.iter().filter(|scope| source.scopes.has(**scope)).map(word).collect()
}

/// The refusal, if that is what was decided.
fn refusal(record: &Record) -> Option<String> {
    record.events.iter().find_map(|event| match event {
        Event::Workflow(
            workflow::Event::CommandRefused { refusal }
            | workflow::Event::OrderRefused { refusal, .. },
        ) => Some(word(refusal)),
        _ => None,
    })
}

fn entry(names: &Names, record: &Record, change: Option<&Change>) -> Value {
    let source = record.stamp.source;
    let mut entry = json!({
        "seq": record.stamp.seq,
        "time_us": record.stamp.time,
        "who": who(names, source),
        "key": source.key,
        "scopes": scopes(source),
        "what": name(&record.command),
        "command": record.command,
        "refused": refusal(record),
        "events": record.events,
    });
    if let Some(change) = change {
        entry["unlike"] = change.json();
    }
    entry
}

fn print(names: &Names, record: &Record, change: Option<&Change>) {
    let source = record.stamp.source;
    let said = serde_json::to_value(&record.command).unwrap_or_default();
    let head = format!("{:>8}  {:>12}  ", record.stamp.seq.0, span(record.stamp.time.0));
    let who =
        format!("{} by key {} ({})", who(names, source), source.key, scopes(source).join(", "));
    output::say(paint(NAME, head + &who));
    let told = match (change, &record.command) {
        (Some(change), Command::Policy(policy::Command::SetPolicy(_))) => {
            format!("{} {}", name(&record.command), change.text())
        }
        (Some(change), _) => format!("{}, {}", log::value_text(&said), change.text()),
        (None, _) => log::value_text(&said),
    };
    output::say(format!("{:24}{told}", ""));
    if let Some(why) = refusal(record) {
        output::say(paint(BAD, format!("{:24}refused", "")) + format!(": {why}"));
        return;
    }
    for event in &record.events {
        let head = paint(FAINT, format!("{:24}decided ", ""));
        output::say(head + log::value_text(&apart(event, &said)));
    }
}

/// An event without what the command says at length already.
fn apart(event: &Event, said: &Value) -> Value {
    let mut event = serde_json::to_value(event).unwrap_or_default();
    let body = inner(said).and_then(inner);
    let says = |value: &Value| {
        value.is_object()
            && body.is_some_and(|body| {
                body == value
                    || body.as_object().is_some_and(|body| body.values().any(|part| part == value))
            })
    };
    let word = event.as_object_mut().and_then(|module| module.values_mut().next());
    let fields = word.and_then(|word| word.as_object_mut()?.values_mut().next()?.as_object_mut());
    for (field, value) in fields.into_iter().flatten() {
        // Rules are told by what they change.
        if says(value) || (field == "policy" && value.is_object()) {
            *value = "as_said".into();
        }
    }
    event
}

/// What an object of one field holds.
fn inner(value: &Value) -> Option<&Value> {
    value.as_object()?.values().next()
}
