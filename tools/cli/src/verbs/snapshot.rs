//! `snapshot`: take, list and check.

use std::path::Path;

use serde_json::{Value, json};
use tensorforge_journal::{
    BLOCK_RECORDS, Journal, LedgerError, Mode, Replay, binding, list_snapshots, read_snapshot,
    reproduce, take_snapshot,
};

use crate::args::{SnapshotAction, SnapshotArgs};
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, BAD, GOOD, grouped};
use crate::text::{Text, paint};
use crate::verbs;

pub(crate) fn run(args: &SnapshotArgs, as_json: bool) -> Result<Exit> {
    match &args.action {
        SnapshotAction::Take { dir, at } => take(dir, *at, as_json),
        SnapshotAction::List { dir } => each(dir, as_json, false),
        SnapshotAction::Check { dir } => each(dir, as_json, true),
    }
}

fn take(dir: &Path, at: Option<u64>, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(dir)?;
    let records = verbs::within(&journal, at.unwrap_or(journal.next_seq()))?;
    let records = records - records % BLOCK_RECORDS;
    let Some(path) = take_snapshot(&journal, records)? else {
        return Err(Failure::input(format!(
            "no block ends at or before record {}",
            at.unwrap_or(journal.next_seq())
        ))
        .with_help(format!(
            "snapshots stand at the ends of blocks, every {BLOCK_RECORDS} records"
        )));
    };
    if as_json {
        output::json(&json!({ "records": records, "path": path.to_string_lossy() }));
    } else {
        let records = grouped(records);
        output::say(paint(GOOD, "took") + format!(" {} after {records} records", path.display()));
    }
    Ok(Exit::AsAsked)
}

/// Tells of every snapshot whether it can be used; with `fold` also whether the journal folds to it.
fn each(dir: &Path, as_json: bool, fold: bool) -> Result<Exit> {
    let journal = verbs::open(dir)?;
    // One way from genesis past all of them: they are listed in the order of their records.
    let mut replay = fold.then(|| Replay::from_genesis(&journal, Mode::Fold));
    let mut documents = Vec::new();
    let (mut exit, mut snapshots, mut parted) = (Exit::AsAsked, 0, None);
    for (records, path) in list_snapshots(&journal) {
        snapshots += 1;
        let usable = binding(&journal, records).map_or_else(
            || Some("it is bound to another place".to_owned()),
            |binding| read_snapshot(&path, &binding).err().map(|reason| reason.to_string()),
        );
        let fault = match (usable, &mut replay) {
            (None, Some(replay)) => folds_otherwise(&journal, replay, records, &mut parted)?,
            (fault, _) => fault,
        };
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        if fault.is_some() {
            exit = Exit::Different;
        }
        if as_json {
            let path = path.to_string_lossy();
            documents
                .push(json!({ "records": records, "path": path, "bytes": bytes, "fault": fault }));
        } else {
            let verdict = match &fault {
                None => paint(GOOD, "usable"),
                Some(fault) => paint(BAD, format!("passed over: {fault}")),
            };
            let (records, bytes) = (grouped(records), grouped(bytes));
            output::say(
                Text::from(format!("{records:>12} records  {bytes:>12} bytes  ")) + verdict,
            );
        }
    }
    if as_json {
        output::json(&Value::Array(documents));
    } else if snapshots == 0 {
        output::say("no snapshots");
    }
    Ok(exit)
}

/// Folds on to a snapshot, and compares what the journal claims; once it is left, no more.
fn folds_otherwise(
    journal: &Journal,
    replay: &mut Replay<'_>,
    records: u64,
    parted: &mut Option<String>,
) -> Result<Option<String>> {
    if parted.is_none() {
        let found = reproduce(journal, replay, records, |_| ())?;
        *parted = found.map(|found| LedgerError::Diverged(Box::new(found)).to_string());
    }
    Ok(parted.clone())
}
