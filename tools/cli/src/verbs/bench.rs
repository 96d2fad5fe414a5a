//! `bench`: the budgets, measured.
//!
//! Everything is measured on demand of our own making: one model, one tenant, vessels with 64 slots,
//! orders that come and complete in random order. Each figure is the best of several rounds, since the
//! best is what the machine can do and the rest is its noise; what is compared is measured in turns.

mod load;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, hint, thread};

use clap::ValueEnum as _;
use serde_json::json;
use tensorforge_engine::Exchange;
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Seq, VesselId};
use tensorforge_fleet::{Fleet, Recipe, parse_policy};
use tensorforge_journal::{
    Client, Journal, Ledger, LedgerOptions, Mode, Replay, Sequencer, WriterOptions, check_bytes,
};

use crate::args::{BenchArgs, BenchPart};
use crate::builtin;
use crate::drive::World;
use crate::failure::{Exit, Failure, Result};
use crate::machine;
use crate::output::{self, BAD, FAINT, GOOD, NAME, grouped, paint};
use load::Load;

pub(crate) fn run(args: &BenchArgs, as_json: bool) -> Result<Exit> {
    let scratch = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.map_err(Failure::input)?;
    let mut bench = Bench { lines: Vec::new(), quick: args.quick, as_json };
    bench.say(&format!("{} on {}", paint(NAME, "tensorforge bench"), machine::description()));
    for part in BenchPart::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        match part {
            BenchPart::Replay => bench.replay(&scratch.path().join("steady.tfj"))?,
            BenchPart::Decide => bench.decide()?,
            BenchPart::Append => bench.append(scratch.path())?,
            BenchPart::Open => bench.open(&scratch.path().join("large.tfj"))?,
            BenchPart::Capture => bench.capture(scratch.path())?,
        }
    }
    if as_json {
        let lines: Vec<_> = bench.lines.iter().map(Line::json).collect();
        output::json(
            &json!({ "machine": machine::description(), "quick": args.quick, "figures": lines }),
        );
    }
    Ok(Exit::AsAsked)
}

/// What was measured, what was promised, and how.
struct Line {
    what: String,
    value: f64,
    unit: &'static str,
    /// The promise: at least, or at most, this.
    budget: Option<(Bound, f64)>,
    method: String,
    /// Whether it is of the whole work, of which the promise is made.
    full: bool,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast,
    AtMost,
}

impl Line {
    fn holds(&self) -> Option<bool> {
        self.budget.filter(|_| self.full).map(|(bound, promised)| match bound {
            Bound::AtLeast => self.value >= promised,
            Bound::AtMost => self.value <= promised,
        })
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "budget": self.budget.map(|(_, promised)| promised),
            "holds": self.holds(),
            "method": self.method,
        })
    }

    fn text(&self) -> String {
        let verdict = match self.holds() {
            Some(true) => paint(GOOD, "holds"),
            Some(false) => paint(BAD, "misses"),
            None => paint(FAINT, "     "),
        };
        let budget = match self.budget {
            Some((Bound::AtLeast, promised)) => format!(">= {promised}"),
            Some((Bound::AtMost, promised)) => format!("<= {promised}"),
            None => String::new(),
        };
        format!(
            "{:<52} {:>9.2} {:<11} {budget:<8} {verdict}\n    {}",
            self.what,
            self.value,
            self.unit,
            paint(FAINT, &self.method)
        )
    }
}

struct Bench {
    lines: Vec<Line>,
    quick: bool,
    as_json: bool,
}

impl Bench {
    fn say(&self, text: &str) {
        if !self.as_json {
            output::say(text);
        }
    }

    fn line(
        &mut self,
        what: &str,
        (value, unit): (f64, &'static str),
        budget: Option<(Bound, f64)>,
        method: String,
    ) {
        let line = Line { what: what.to_owned(), value, unit, budget, method, full: !self.quick };
        self.say(&line.text());
        self.lines.push(line);
    }

    fn scaled(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }

    /// Reading: hash and decode alone, fold with and without digests, and all of it together.
    fn replay(&mut self, dir: &Path) -> Result<()> {
        let live = self.scaled(100_000);
        let warm = steady(dir, live, self.scaled(300_000))?;
        let journal = Journal::open(dir)?;
        let (records, events) = check_bytes(&journal)?;
        let best = self.reading(&journal)?;
        let per_second = |place: usize| events as f64 / best.seconds(place) / 1e6;
        let [bare, .., verified] = [0, 1, 2, 3].map(per_second);
        // What the fold takes beside reading and decoding, which the rounds before it have timed.
        let beside = |place: usize| (best.seconds(place) - best.seconds(0)).max(1e-9);
        let [fold, tagged] = [1, 2].map(|place| events as f64 / beside(place) / 1e6);
        let setting = format!(
            "{} records, {} events, {} bytes an event; {} live orders after record {}; best of rounds in turns",
            grouped(records),
            grouped(events),
            folder_bytes(dir) / events,
            grouped(live),
            grouped(warm),
        );
        let unit = "M events/s";
        let at_least = |promised| Some((Bound::AtLeast, promised));
        self.line("hash + decode, no fold", (bare, unit), at_least(12.0), setting);
        self.line(
            "verified replay: hash, decode, fold, digest, tags",
            (verified, unit),
            at_least(4.0),
            format!("{:.2} of the bare ceiling above", verified / bare),
        );
        self.line(
            "fold alone, no digest",
            (fold, unit),
            None,
            "the time of hash, decode and fold, less that of hash and decode".into(),
        );
        self.line(
            "state tag at every record, share of the fold",
            ((fold / tagged - 1.0) * 100.0, "%"),
            Some((Bound::AtMost, 50.0)),
            format!("fold with digests and a tag after every record: {tagged:.2} M events/s"),
        );
        self.whole(&journal, events, bare)
    }

    /// The four ways to read a journal, in turns: bare, folding, folding with tags, verifying.
    fn reading(&self, journal: &Journal) -> Result<Best> {
        let mut best = Best::default();
        for _ in 0..if self.quick { 3 } else { 7 } {
            best.take(0, || {
                hint::black_box(check_bytes(journal)?);
                Ok(())
            })?;
            best.take(1, || fold_only(journal, false))?;
            best.take(2, || fold_only(journal, true))?;
            best.take(3, || verified_replay(journal))?;
        }
        Ok(best)
    }

    /// What is measured once over the whole journal.
    fn whole(&mut self, journal: &Journal, events: u64, bare: f64) -> Result<()> {
        let decided = self.decided_again(journal, events)?;
        self.line(
            "decided again: what `verify` does, one thread",
            (decided, "M events/s"),
            None,
            format!("{:.2} of the bare ceiling", decided / bare),
        );
        let flat = self.flatness(journal)?;
        self.line(
            "growth: last quarter of the journal against the second",
            (flat, "x time"),
            None,
            "verified replay of a quarter of the records each, from a state at rest".into(),
        );
        Ok(())
    }

    fn decided_again(&self, journal: &Journal, events: u64) -> Result<f64> {
        let started = Instant::now();
        let mut replay = Replay::from_genesis(journal, Mode::Decide);
        replay.run(journal.next_seq(), |_| std::ops::ControlFlow::Continue(()))?;
        Ok(events as f64 / started.elapsed().as_secs_f64() / 1e6)
    }

    fn flatness(&self, journal: &Journal) -> Result<f64> {
        let quarter = journal.next_seq() / 4;
        let mut replay = Replay::from_genesis(journal, Mode::Fold);
        let mut spans = Vec::new();
        for part in 1..=4 {
            let started = Instant::now();
            replay.run(quarter * part, |_| std::ops::ControlFlow::Continue(()))?;
            spans.push(started.elapsed().as_secs_f64());
        }
        Ok(spans.last().copied().unwrap_or(0.0) / spans.get(1).copied().unwrap_or(1.0))
    }

    /// Deciding: a dispatch among fleets of several sizes.
    fn decide(&mut self) -> Result<()> {
        let mut of_thousand = 0.0;
        for vessels in [10, 100, 1_000, 10_000] {
            let orders = self.scaled(200_000);
            let mut exchange = Exchange::genesis(JournalId([2; 16]));
            let mut load = Load::new(vessels);
            let mut seq = 0;
            let mut decide =
                |time: Micros, source: Source, command: &Command, spent: &mut Option<Duration>| {
                    let mut events = Vec::with_capacity(8);
                    let stamp = tensorforge_engine::Stamp { seq: Seq(seq), time, source };
                    seq += 1;
                    let started = Instant::now();
                    let decided = exchange.decide(stamp, command, &mut events);
                    *spent = Some(started.elapsed());
                    decided.map_err(Failure::input)?;
                    Ok(events)
                };
            let mut spent = None;
            load.begin(|time, source, command| decide(time, source, command, &mut spent))?;
            load.fill(u64::from(vessels) * 32, |time, source, command| {
                decide(time, source, command, &mut spent)
            })?;
            let mut spans = Vec::with_capacity(orders as usize);
            load.turn(orders, |time, source, command| {
                let events = decide(time, source, command, &mut spent)?;
                if matches!(command, Command::Submit(_)) {
                    spans.extend(spent);
                }
                Ok(events)
            })?;
            spans.sort_unstable();
            let total: Duration = spans.iter().sum();
            let rate = spans.len() as f64 / total.as_secs_f64() / 1e6;
            let p99 =
                spans.get(spans.len() * 99 / 100).map_or(0.0, |span| span.as_secs_f64() * 1e6);
            let method = format!(
                "{} submissions, half of all slots in use; p50 {:.2} us",
                grouped(orders),
                spans.get(spans.len() / 2).map_or(0.0, |span| span.as_secs_f64() * 1e6)
            );
            let what =
                format!("decide + fold a dispatch among {} vessels", grouped(u64::from(vessels)));
            let budget = (vessels == 1_000).then_some((Bound::AtLeast, 0.5));
            self.line(&what, (rate, "M orders/s"), budget, method);
            if vessels == 1_000 {
                of_thousand = rate;
                self.line(
                    "  its 99th percentile",
                    (p99, "us"),
                    Some((Bound::AtMost, 10.0)),
                    "each submission timed by itself".into(),
                );
            }
            if vessels == 10_000 {
                self.line(
                    "growth: 10 000 vessels against 1 000",
                    (of_thousand / rate, "x time"),
                    None,
                    "logarithmic growth would be 1.33".into(),
                );
            }
        }
        Ok(())
    }

    /// Writing: group commit, and one record alone.
    fn append(&mut self, scratch: &Path) -> Result<()> {
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
            Some((Bound::AtLeast, 1.0)),
            format!(
                "{} heartbeats decided, folded, hashed, written and synced in frames of up to 1024",
                grouped(records)
            ),
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
            Some((Bound::AtMost, 3.0)),
            format!(
                "in turns; medians: {:.0} us a call through the sequencer, {:.0} us a sync",
                lone.as_secs_f64() * 1e6,
                sync.as_secs_f64() * 1e6
            ),
        );
        Ok(())
    }

    /// Opening a journal with a large state.
    fn open(&mut self, dir: &Path) -> Result<()> {
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
        let before = machine::resident_bytes();
        let started = Instant::now();
        let (ledger, _) = Ledger::open(dir, options)?;
        let seconds = started.elapsed().as_secs_f64();
        let used = machine::resident_bytes().saturating_sub(before);
        hint::black_box(ledger.state().tag());
        self.line(
            &format!("open a journal with a snapshot of {} rows", grouped(held)),
            (seconds, "s"),
            Some((Bound::AtMost, 1.0)),
            "lock, classify, map and validate the snapshot, fold the rest, compare the root".into(),
        );
        self.line(
            "  memory that it takes, against the snapshot's bytes",
            (used as f64 / snapshot as f64, "x"),
            Some((Bound::AtMost, 2.0)),
            format!("{} MB resident more than before, snapshot {} MB", used >> 20, snapshot >> 20),
        );
        Ok(ledger.close().map(drop)?)
    }

    /// A trace captured from end to end.
    fn capture(&mut self, scratch: &Path) -> Result<()> {
        let recipe = Recipe::parse("bench", RECIPE).map_err(Failure::input)?;
        let world = World {
            trace: recipe.generate(),
            fleet: Fleet::parse(builtin::FLEET.0, builtin::FLEET.1).map_err(Failure::input)?,
            policy: parse_policy(builtin::POLICY.0, builtin::POLICY.1).map_err(Failure::input)?,
            seed: 1,
        };
        let (orders, path) = (world.trace.rows.len(), scratch.join("trace.jsonl"));
        fs::write(&path, world.trace.to_jsonl()).map_err(|error| Failure::file(&path, &error))?;
        let program = std::env::current_exe().map_err(Failure::input)?;
        let mut best = (f64::MAX, 0);
        for round in 0..5 {
            let out = scratch.join(format!("capture-{round}.tfj"));
            let answer = std::process::Command::new(&program)
                .args(["capture", "--json", "--trace"])
                .arg(&path)
                .arg("--out")
                .arg(&out)
                .output();
            let answer = answer.map_err(|error| Failure::file(&program, &error))?;
            let answer: serde_json::Value =
                serde_json::from_slice(&answer.stdout).map_err(Failure::input)?;
            let seconds =
                answer.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or(f64::MAX);
            let peak = answer.get("peak_bytes").and_then(serde_json::Value::as_u64).unwrap_or(0);
            if seconds < best.0 {
                best = (seconds, peak);
            }
        }
        self.line(
            &format!("capture a trace of {} orders over 4 vessels", grouped(orders as u64)),
            (best.0, "s"),
            Some((Bound::AtMost, 0.2)),
            "a process of its own: read, simulated, decided, written, synced and closed; best of 5"
                .into(),
        );
        self.line(
            "  its peak memory",
            (best.1 as f64 / f64::from(1 << 20), "MiB"),
            Some((Bound::AtMost, 95.4)),
            "VmHWM of that process".into(),
        );
        Ok(())
    }
}

/// Writes a journal in which, once it is warm, orders come as fast as they go; its records by then.
fn steady(dir: &Path, live: u64, turns: u64) -> Result<u64> {
    let mut ledger = Ledger::create(dir, JournalId([1; 16]), unsynced())?;
    let mut load = Load::new(2_000);
    load.begin(|time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
    load.fill(live, |time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
    let warm = ledger.records();
    load.turn(turns, |time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
    ledger.close()?;
    Ok(warm)
}

/// A sign of life of one of 64 vessels.
fn heartbeat(number: u64) -> Command {
    Command::Heartbeat { vessel: VesselId((number % 64) as u32) }
}

/// Sends so many records without waiting, then waits for the answers; how many came.
fn answered(client: &Client, records: u64) -> usize {
    let send = |number| client.send(Micros(1), Source::OPERATOR, heartbeat(number)).ok();
    let pending: Vec<_> = (0..records).filter_map(send).collect();
    pending.into_iter().filter_map(|pending| pending.wait().ok()).count()
}

/// An hour and a half of demand: 12 000 orders.
const RECIPE: &str = include_str!("bench/demand.gen.toml");

fn unsynced() -> LedgerOptions {
    let writer = WriterOptions { sync: false, ..WriterOptions::default() };
    LedgerOptions { writer, ..LedgerOptions::default() }
}

/// The shortest span of each of several things.
#[derive(Default)]
struct Best {
    spans: [Option<Duration>; 4],
}

impl Best {
    /// Runs something that tells how long the part that counts took, or counts whole.
    fn take(&mut self, place: usize, run: impl FnOnce() -> Result<()>) -> Result<()> {
        let started = Instant::now();
        run()?;
        let span = started.elapsed();
        if let Some(best) = self.spans.get_mut(place) {
            *best = Some(best.map_or(span, |best| best.min(span)));
        }
        Ok(())
    }

    fn seconds(&self, place: usize) -> f64 {
        self.spans.get(place).copied().flatten().unwrap_or_default().as_secs_f64()
    }
}

/// Hash, decode, fold, digest, and every tag compared.
fn verified_replay(journal: &Journal) -> Result<()> {
    let mut wrong = None;
    let mut replay = Replay::from_genesis(journal, Mode::Fold);
    replay.run(journal.next_seq(), |step| {
        if step.state.tag() != step.head.tag {
            wrong = Some(step.head.seq);
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    })?;
    wrong.map_or(Ok(()), |seq| Err(Failure::input(format!("record {seq} has another tag"))))
}

/// Folds with or without digests; reading and decoding are part of both.
fn fold_only(journal: &Journal, tags: bool) -> Result<()> {
    let mut exchange = Exchange::genesis(JournalId(journal.id()));
    let mut batches = journal.batches_from(0)?;
    while let Some(batch) = batches.read()? {
        for (place, head) in batch.heads().iter().enumerate() {
            let events = batch.events_of(place);
            if tags {
                exchange.fold(head.seq, head.time, events).map_err(Failure::input)?;
                hint::black_box(exchange.state().tag());
            } else {
                exchange.fold_unsettled(head.seq, head.time, events).map_err(Failure::input)?;
            }
        }
    }
    hint::black_box(exchange.state().now());
    Ok(())
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

fn folder_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("segments")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_judged_by_the_whole_work() {
        for (bound, full, holds, end) in [
            (Bound::AtLeast, true, Some(true), "holds"),
            (Bound::AtMost, true, Some(false), "misses"),
            (Bound::AtLeast, false, None, ""),
            (Bound::AtMost, false, None, ""),
        ] {
            let (what, method) = ("a".to_owned(), "b".to_owned());
            let line =
                Line { what, value: 2.0, unit: "x", budget: Some((bound, 1.0)), method, full };
            assert_eq!((line.holds(), &line.json()["holds"]), (holds, &json!(holds)));
            let text = anstream::adapter::strip_str(&line.text()).to_string();
            let verdict = text.lines().next().unwrap_or_default().rsplit("= 1").next();
            assert_eq!(verdict.map(str::trim), Some(end));
        }
    }
}
