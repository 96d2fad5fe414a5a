//! `replay`: fold a journal and print where it leads.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::json;
use tensorforge_engine::effects;
use tensorforge_journal::{
    BLOCK_RECORDS, Journal, Replay, binding, hex, list_snapshots, read_snapshot, records_until,
};

use crate::args::ReplayArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, BAD, FAINT, GOOD, NAME, grouped, paint};
use crate::verbs;

pub(crate) fn run(args: &ReplayArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let to = match &args.to {
        Some(text) => stop(&journal, text)?,
        None => journal.next_seq(),
    };
    let mode = verbs::mode(args.decide);
    let mut replay = start(&journal, args, to)?;
    let (from, started) = (replay.records(), Instant::now());
    let bar = output::progress("replaying", to - from);
    let (mut events, mut to_do, mut claimed, mut decisions) = (0, 0, None, blake3::Hasher::new());
    replay.run(to, |step| {
        events += step.events.len() as u64;
        to_do += effects(step.events).count();
        claimed = step
            .block_root(&journal)
            .map(|entry| entry.root)
            .or(step.frame_end.map(|header| header.state_root));
        if args.decide {
            decisions.update(&serde_json::to_vec(step.events).unwrap_or_default());
        }
        if step.head.seq.0.is_multiple_of(BLOCK_RECORDS) {
            bar.set_position(step.head.seq.0 - from);
        }
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let (root, tag) = (replay.state().root(), replay.state().tag());
    let holds = claimed.is_none_or(|claimed| claimed == root);
    if as_json {
        output::json(&json!({
            "records": replay.records(),
            "events": events,
            "effects": to_do,
            "root": hex(&root),
            "tag": format!("{tag:016x}"),
            "time_us": replay.state().now(),
            "from": from,
            "decisions": args.decide.then(|| decisions.finalize().to_hex().to_string()),
            "claimed_root": claimed.map(|claimed| hex(&claimed)),
            "matches": claimed.map(|claimed| claimed == root),
            "seconds": seconds,
        }));
    } else {
        let verb = if mode == verbs::mode(true) { "decided again" } else { "replayed" };
        output::say(&format!(
            "{} {} records from {}, {} events {}",
            paint(GOOD, verb),
            grouped(replay.records() - from),
            if from == 0 {
                "genesis".to_owned()
            } else {
                format!("the snapshot at {}", grouped(from))
            },
            grouped(events),
            paint(FAINT, format!("({seconds:.3} s)")),
        ));
        output::say(&format!(
            "{} {} after {} records",
            paint(NAME, "root"),
            hex(&root),
            grouped(replay.records())
        ));
        if let Some(claimed) = claimed.filter(|_| !holds) {
            output::say(&format!(
                "{} the journal claims {}",
                paint(BAD, "differs:"),
                hex(&claimed)
            ));
        }
    }
    Ok(if holds { Exit::AsAsked } else { Exit::Different })
}

fn start<'j>(journal: &'j Journal, args: &ReplayArgs, to: u64) -> Result<Replay<'j>> {
    let mode = verbs::mode(args.decide);
    match args.from.as_deref() {
        Some("genesis") => Ok(Replay::from_genesis(journal, mode)),
        // A digest of decisions is only comparable if it is over all of them.
        None if args.decide => Ok(Replay::from_genesis(journal, mode)),
        None => {
            let (replay, passed_over) = Replay::from_nearest(journal, mode, to);
            for (records, reason) in passed_over {
                output::note(&format!("the snapshot at {records} is passed over: {reason}"));
            }
            Ok(replay)
        }
        Some(text) => {
            let bad = || {
                let at: Vec<String> = list_snapshots(journal)
                    .iter()
                    .map(|(records, _)| records.to_string())
                    .collect();
                Failure::input(format!(
                    "--from {text}: expected `genesis` or the records of a snapshot"
                ))
                .with_help(format!(
                    "snapshots of this journal: {}",
                    if at.is_empty() { "none".to_owned() } else { at.join(", ") }
                ))
            };
            let records: u64 = text.parse().map_err(|_| bad())?;
            if records > to {
                return Err(Failure::input(format!("--from {records} is beyond --to {to}")));
            }
            let (_, path) = list_snapshots(journal)
                .into_iter()
                .find(|(held, _)| *held == records)
                .ok_or_else(bad)?;
            let binding = binding(journal, records).ok_or_else(bad)?;
            let state = read_snapshot(&path, &binding).map_err(|reason| {
                Failure::input(format!("the snapshot at {records} cannot be used: {reason}"))
            })?;
            Ok(Replay::from_state(journal, mode, state, records))
        }
    }
}

/// A number of records, or a moment with its unit.
fn stop(journal: &Journal, text: &str) -> Result<u64> {
    if let Ok(records) = text.parse() {
        return verbs::within(journal, records);
    }
    let units =
        [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    let micros = units.iter().find_map(|(unit, micros)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*micros)
    });
    let micros = micros.ok_or_else(|| {
        Failure::input(format!(
            "--to {text}: expected a number of records, or a moment such as 90s, 2m or 1500ms"
        ))
    })?;
    Ok(records_until(journal, micros)?)
}
