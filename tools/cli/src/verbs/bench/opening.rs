//! Opening a journal with a large state.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;
use std::{fs, hint};

use tensorforge_engine::units::JournalId;
use tensorforge_journal::{Ledger, LedgerOptions};

use super::asking::ask;
use super::load::Load;
use super::{Bench, Bound, unsynced};
use crate::failure::{Failure, Result};
use crate::output::grouped;

impl Bench {
    pub(super) fn open(&mut self, dir: &Path) -> Result<()> {
        let rows = self.scaled(1_000_000).next_multiple_of(1024);
        let options = LedgerOptions { snapshot_every: rows, ..unsynced() };
        let mut ledger = Ledger::create(dir, JournalId([5; 16]), options.clone())?;
        let mut load = Load::new(1);
        load.begin(|time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
        load.fill(rows + 100, |time, source, command| {
            Ok(ledger.record(time, source, command)?.to_vec())
        })?;
        let held: u64 =
            ledger.state().tables.all().iter().map(|table| u64::from(table.rows())).sum();
        ledger.close()?;
        let snapshot = fs::read_dir(dir.join("snapshots"))
            .map_err(|error| Failure::file(dir, &error))?
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .map(|metadata| metadata.len())
            .max()
            .unwrap_or(1);
        let started = Instant::now();
        let (ledger, _) = Ledger::open(dir, options)?;
        let seconds = started.elapsed().as_secs_f64();
        hint::black_box(ledger.state().tag());
        ledger.close()?;
        let words = ["state".into(), dir.as_os_str().to_owned(), "control".into()];
        let used = ask::<OsString>(&words)?.peak_bytes.saturating_sub(snapshot);
        self.line(
            &format!("open a journal with a snapshot of {} rows", grouped(held)),
            (seconds, "s"),
            &[],
            Some((Bound::AtMost, 1.0)),
            "lock, classify, map and validate the snapshot, fold the rest, compare the root".into(),
        );
        self.line(
            "  memory that it takes, against the snapshot's bytes",
            (used as f64 / snapshot as f64, "x"),
            &[],
            Some((Bound::AtMost, 2.0)),
            format!(
                "VmHWM of `state` on it, less the snapshot that it maps; snapshot {} MB",
                snapshot >> 20
            ),
        );
        Ok(())
    }
}
