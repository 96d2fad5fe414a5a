//! The verbs, a file each, and what several of them need.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod bisect;
pub(crate) mod capture;
pub(crate) mod compare;
pub(crate) mod diff;
pub(crate) mod dwell;
pub(crate) mod explain;
pub(crate) mod fits;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod incidents;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod policy_check;
pub(crate) mod replay;
pub(crate) mod route;
pub(crate) mod rules;
pub(crate) mod salvage;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod sla;
pub(crate) mod snapshot;
pub(crate) mod snapshot_test;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod tour;
pub(crate) mod verify;

use std::path::Path;

use serde_json::{Value, json};
use tensorforge_engine::table::Breach;
use tensorforge_journal::{Journal, Mode, schema};

use crate::failure::{Failure, Result};
use crate::output;

/// Opens a journal for reading, and tells of a torn tail, which is not an error.
pub(crate) fn open(dir: &Path) -> Result<Journal> {
    let journal = Journal::open(dir)?;
    schema::check(&journal)?;
    if let Some(tail) = journal.torn() {
        let place =
            format!("{} bytes at byte {} of segment {}", tail.length, tail.offset, tail.segment);
        output::note(if journal.is_being_written() {
            format!("the journal is being written: its last frame, {place} so far, is left out")
        } else {
            format!(
                "the last frame was being written when the writer ended: {place} are left out; \
                 nobody was told that they are durable"
            )
        });
    }
    Ok(journal)
}

/// Whatever keeps a journal from being made in a folder: files that are none of its own. What a verb
/// leaves that was killed before its first segment was there is.
pub(crate) fn refuse_other_files(out: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(out) else { return Ok(()) };
    let foreign = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| !matches!(name.to_str(), Some("LOCK" | "segments" | "snapshots" | "aside")));
    let Some(name) = foreign else { return Ok(()) };
    Err(Failure::input(format!("{} is not empty: it holds {}", out.display(), name.display()))
        .with_help("give a directory that is not there yet, or is empty"))
}

/// A breach as a build's answer about a record.
pub(crate) fn breach_json(breach: &Breach) -> Value {
    json!({
        "module": breach.module,
        "table": breach.table,
        "row": breach.row,
        "problem": breach.problem.to_string(),
    })
}

/// A number of records that is not beyond the end.
pub(crate) fn within(journal: &Journal, records: u64) -> Result<u64> {
    let end = journal.next_seq();
    if records <= end {
        return Ok(records);
    }
    Err(Failure::input(format!("there are no {records} records: the journal holds {end}"))
        .with_help(format!("give a number from 0 to {end}")))
}

/// How a replay moves the state.
pub(crate) fn mode(decide: bool) -> Mode {
    if decide { Mode::Decide } else { Mode::Fold }
}
