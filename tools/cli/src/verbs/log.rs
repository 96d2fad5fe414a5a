//! `log`: records, for people or as JSON lines.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::command::{Command, Stamp};
use tensorforge_journal::{Mode, Replay, ReplayError, hash_events, hex, read_record, read_records};

use crate::args::LogArgs;
use crate::failure::{Exit, Failure, Result};
use crate::moment;
use crate::output::{self, FAINT, NAME, span};
use crate::text::{Text, paint};
use crate::verbs;

pub(crate) fn run(args: &LogArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let to = match &args.to {
        Some(text) => moment::until(&journal, "--to", text)?,
        None => journal.next_seq(),
    };
    let from = moment::before(&journal, "--from", &args.from)?;
    if from > to {
        return Err(Failure::input(format!("--from {from} is beyond {to}, where it stops")));
    }
    let show = |stamp: &Stamp, command: &Command, events: &[Event], tag: u64| {
        if as_json {
            let mut document = record_json(stamp, command, events, tag);
            if args.decide {
                // What two builds are compared by: they may show the same events differently.
                document["decided"] = hex(&hash_events(events)).into();
            }
            output::json(&document);
        } else {
            output::say(record_text(stamp, command, events, tag));
        }
    };
    if !args.decide {
        read_records(&journal, from, to, |record| {
            show(&record.stamp, &record.command, &record.events, record.tag);
            if output::gone() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        return Ok(Exit::AsAsked);
    }
    let mut undecodable = None;
    let mut replay = Replay::from_genesis(&journal, Mode::Decide);
    let ran = replay.run(to, |step| {
        if step.head.seq.0 >= from {
            let stamp =
                Stamp { seq: step.head.seq, time: step.head.time, source: step.head.source };
            match step.command() {
                Ok(command) => show(&stamp, &command, step.events, step.state.tag()),
                Err(error) => {
                    undecodable = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    });
    match (ran, undecodable) {
        (Err(ReplayError::Breach(breach)), _) if as_json => {
            let record = read_record(&journal, breach.seq)?;
            output::json(&json!({
                "seq": breach.seq,
                "time_us": record.as_ref().map(|record| record.stamp.time),
                "source": record.as_ref().map(|record| record.stamp.source),
                "command": record.as_ref().map(|record| &record.command),
                "events": null,
                "tag": null,
                "breach": verbs::breach_json(&breach),
            }));
            Ok(Exit::Different)
        }
        (Err(error), _) => Err(error.into()),
        (Ok(()), Some(error)) => Err(tensorforge_journal::JournalError::from(error).into()),
        (Ok(()), None) => Ok(Exit::AsAsked),
    }
}

fn record_json(stamp: &Stamp, command: &Command, events: &[Event], tag: u64) -> Value {
    json!({
        "seq": stamp.seq,
        "time_us": stamp.time,
        "source": stamp.source,
        "command": command,
        "events": events,
        "tag": format!("{tag:016x}"),
    })
}

fn record_text(stamp: &Stamp, command: &Command, events: &[Event], tag: u64) -> Text {
    let head = format!("{:>8}  {:>12}", stamp.seq.0, span(stamp.time.0));
    let command = value_text(&serde_json::to_value(command).unwrap_or(Value::Null));
    let head = paint(NAME, head) + format!("  {command} ") + paint(FAINT, format!("{tag:016x}"));
    let events = events.iter().map(|event| {
        let event = serde_json::to_value(event).unwrap_or(Value::Null);
        format!("{:24}{}", "", value_text(&event)).into()
    });
    [head].into_iter().chain(events).collect()
}

/// A command or event on one line: its module and name, then its fields.
pub(crate) fn value_text(value: &Value) -> String {
    let only = |value: &Value| match value {
        Value::Object(fields) if fields.len() == 1 => {
            fields.iter().next().map(|(name, inner)| (name.clone(), inner.clone()))
        }
        _ => None,
    };
    if let Value::String(name) = value {
        return name.clone();
    }
    let Some((module, word)) = only(value) else { return value.to_string() };
    match (&word, only(&word)) {
        (Value::String(name), _) => format!("{module}.{name}"),
        (_, Some((name, Value::Object(inner)))) => {
            let fields = inner.iter().map(|(field, value)| format!("{field}={}", plain(value)));
            format!("{module}.{name} {}", fields.collect::<Vec<_>>().join(" "))
        }
        (_, Some((name, inner))) => format!("{module}.{name} {}", plain(&inner)),
        _ => value.to_string(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
