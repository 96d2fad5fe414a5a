//! Writing: group commit, several callers at once, and one record alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tensorforge_engine::command::Command;
use tensorforge_engine::models;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, VesselId};
use tensorforge_journal::{Client, Ledger, LedgerOptions, Sequencer};

use super::load::Load;
use super::{Bench, Bound, Work};
use crate::failure::{Exit, Failure, Result};
use crate::output::grouped;

const DURABLE: &[Work] = &[
    Work::Decide,
    Work::Fold,
    Work::Digest,
    Work::Tag,
    Work::Root,
    Work::Encode,
    Work::Hash,
    Work::Write,
    Work::Sync,
];

impl Bench {
    pub(super) fn append(&mut self, scratch: &Path) -> Result<()> {
        let records = self.scaled(2_000_000);
        let mut ledger = Ledger::create(
            &scratch.join("append.tfj"),
            JournalId([3; 16]),
            LedgerOptions::default(),
        )?;
        let mut load = Load::new(64);
        load.begin(|time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
        let started = Instant::now();
        for number in 0..records {
            ledger.record(Micros(number), Source::OPERATOR, &heartbeat(number))?;
        }
        ledger.flush()?;
        let rate = records as f64 / started.elapsed().as_secs_f64() / 1e6;
        ledger.close()?;
        self.line(
            "durable append, group commit",
            (rate, "M records/s"),
            DURABLE,
            Some((Bound::AtLeast, 1.0)),
            format!("{} heartbeats, in frames of up to 1024", grouped(records)),
        );
        self.sequence(scratch)
    }

    /// Writing for several callers at once, each of whom waits for his answers.
    fn sequence(&mut self, scratch: &Path) -> Result<()> {
        let dir = scratch.join("shared.tfj");
        let ledger = Ledger::create(&dir, JournalId([4; 16]), LedgerOptions::default())?;
        let (sequencer, client) = Sequencer::start(ledger, 8_192)?;
        Load::new(64).begin(|time, source, command| {
            let answer = client.call(time, source, command.clone());
            answer.map(|answer| answer.events).map_err(Failure::input)
        })?;
        let (each, clients) = (self.scaled(300_000) / 4, 4);
        let started = Instant::now();
        let answered: usize = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| answered(&client, each)));
            threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
        });
        let rate = answered as f64 / started.elapsed().as_secs_f64() / 1e6;
        if answered as u64 != each * clients {
            let message = format!("{} records sent, {answered} answered", each * clients);
            return Err(Failure { exit: Exit::Different, message, help: None });
        }
        self.line(
            "  through the sequencer, 4 clients",
            (rate, "M records/s"),
            DURABLE,
            None,
            "each record answered by itself, once durable".into(),
        );
        self.lone(&client, &SyncedFile::create(&scratch.join("bare"))?)?;
        drop(client);
        sequencer.finish()?;
        Ok(())
    }

    /// One record alone, in turns with what the disk takes for it at least.
    fn lone(&mut self, client: &Client, bare: &SyncedFile) -> Result<()> {
        let (mut calls, mut syncs) = (Vec::new(), Vec::new());
        for number in 0..self.scaled(2_000) {
            let started = Instant::now();
            let call = client.call(Micros(2), Source::OPERATOR, heartbeat(number));
            calls.push(started.elapsed());
            call.map_err(Failure::input)?;
            let started = Instant::now();
            bare.write_and_sync(number)?;
            syncs.push(started.elapsed());
        }
        let (lone, sync) = (median(calls), median(syncs));
        self.line(
            "  one record alone, against an fdatasync of 4 KiB",
            (lone.as_secs_f64() / sync.as_secs_f64(), "x"),
            DURABLE,
            Some((Bound::AtMost, 3.0)),
            format!(
                "in turns; medians: {:.0} us a call through the sequencer, {:.0} us a sync",
                lone.as_secs_f64() * 1e6,
                sync.as_secs_f64() * 1e6
            ),
        );
        Ok(())
    }
}

/// A sign of life of one of 64 vessels.
fn heartbeat(number: u64) -> Command {
    Command::Models(models::Command::Heartbeat { vessel: VesselId((number % 64) as u32), start: 0 })
}

/// Sends so many records without waiting, then waits for the answers; how many came.
fn answered(client: &Client, records: u64) -> usize {
    let send = |number| client.send(Micros(1), Source::OPERATOR, heartbeat(number)).ok();
    let pending: Vec<_> = (0..records).filter_map(send).collect();
    pending.into_iter().filter_map(|pending| pending.wait().ok()).count()
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

/// A file whose space was zeroed ahead, to be written and synced 4 KiB at a time.
struct SyncedFile {
    path: PathBuf,
    file: fs::File,
}

impl SyncedFile {
    fn create(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Failure::file(path, &error);
        fs::write(path, vec![0; 1 << 20]).map_err(failed)?;
        let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    fn write_and_sync(&self, number: u64) -> Result<()> {
        use std::os::unix::fs::FileExt as _;
        let failed = |error: std::io::Error| Failure::file(&self.path, &error);
        self.file.write_all_at(&[1; 4096], number % 256 * 4096).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }
}
