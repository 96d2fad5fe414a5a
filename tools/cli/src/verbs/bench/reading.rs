//! Reading a journal, part of the work by part of the work.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, hint};

use tensorforge_engine::Exchange;
use tensorforge_engine::units::JournalId;
use tensorforge_journal::{Decoded, Journal, Ledger, Mode, Replay, ReplayError, check_bytes, hex};

use super::load::Load;
use super::{Bench, Bound, Work, unsynced};
use crate::failure::{Failure, Result};
use crate::output::grouped;

const BARE: &[Work] = &[Work::Hash, Work::Decode];
const ROOTS: &[Work] = &[Work::Hash, Work::Decode, Work::Fold, Work::Digest, Work::Root];
const TAGS: &[Work] = &[Work::Hash, Work::Decode, Work::Fold, Work::Digest, Work::Tag, Work::Root];
const AGAIN: &[Work] = &[Work::Hash, Work::Decode, Work::Decide, Work::Fold, Work::Digest];

impl Bench {
    /// Hash and decode alone, fold with and without digests, and all of it together.
    pub(super) fn replay(&mut self, dir: &Path) -> Result<()> {
        let built = self.steady(dir)?;
        let journal = Journal::open(dir)?;
        let (records, events) = check_bytes(&journal)?;
        let best = self.reading(&journal)?;
        let per_second = |place: usize| events as f64 / best.seconds(place) / 1e6;
        let [bare, .., roots, tags] = [0, 1, 2, 3, 4].map(per_second);
        // What the fold takes beside reading and decoding, which the rounds before it have timed.
        let beside = |place: usize| (best.seconds(place) - best.seconds(0)).max(1e-9);
        let [fold, tagged] = [1, 2].map(|place| events as f64 / beside(place) / 1e6);
        let setting = format!(
            "{} records, {} events, {} bytes an event; {} live orders after record {}; best of rounds in turns",
            grouped(records),
            grouped(events),
            folder_bytes(dir) / events,
            grouped(built.live),
            grouped(built.warm),
        );
        let unit = "M events/s";
        let at_least = |promised| Some((Bound::AtLeast, promised));
        self.line("read alone", (bare, unit), BARE, at_least(11.0), setting);
        self.line(
            "replay, with every tag compared",
            (tags, unit),
            TAGS,
            at_least(5.0),
            format!("{:.2} of reading alone; the root is compared at the end", tags / bare),
        );
        self.line(
            "replay, with roots only",
            (roots, unit),
            ROOTS,
            at_least(6.0),
            format!("{:.2} of reading alone; the root of every frame is compared", roots / bare),
        );
        self.line(
            "fold alone",
            (fold, unit),
            &[Work::Fold],
            None,
            "the time of hash, decode and fold, less that of hash and decode".into(),
        );
        self.line(
            "digests and a tag at every record, share of the fold",
            ((fold / tagged - 1.0) * 100.0, "%"),
            &[Work::Digest, Work::Tag],
            Some((Bound::AtMost, 50.0)),
            format!("what they add to the fold alone; with them {tagged:.2} M events/s"),
        );
        self.whole(&journal, events, bare)
    }

    /// The ways to read a journal, in turns.
    fn reading(&self, journal: &Journal) -> Result<Best> {
        let mut best = Best::default();
        for _ in 0..self.rounds() {
            best.take(0, || {
                let mut batches = journal.batches_of(0, Decoded::Folded)?;
                while let Some(batch) = batches.read()? {
                    hint::black_box(batch.events());
                }
                Ok(())
            })?;
            best.take(1, || fold_only(journal, false))?;
            best.take(2, || fold_only(journal, true))?;
            best.take(3, || replayed(journal, false))?;
            best.take(4, || replayed(journal, true))?;
        }
        Ok(best)
    }

    /// What is measured once over the whole journal.
    fn whole(&mut self, journal: &Journal, events: u64, bare: f64) -> Result<()> {
        let started = Instant::now();
        let mut replay = Replay::from_genesis(journal, Mode::Decide);
        replay.run(journal.next_seq(), |_| ControlFlow::Continue(()))?;
        let again = events as f64 / started.elapsed().as_secs_f64() / 1e6;
        self.line(
            "decided again",
            (again, "M events/s"),
            AGAIN,
            None,
            format!("{:.2} of reading alone; nothing is compared", again / bare),
        );
        let flat = flatness(journal)?;
        self.line(
            "growth: last quarter of the journal against the second",
            (flat, "x time"),
            ROOTS,
            None,
            "replay with roots only of a quarter of the records each, from a state at rest".into(),
        );
        Ok(())
    }

    /// Writes a journal of a million records in which, once it is warm, orders come as fast as they go;
    /// once for all that read it.
    pub(super) fn steady(&self, dir: &Path) -> Result<Steady> {
        let (live, vessels) = (self.scaled(100_000), 2_000);
        let built = Steady { live, warm: live + u64::from(vessels) + Load::SETUP };
        if dir.exists() {
            return Ok(built);
        }
        let mut ledger = Ledger::create(dir, JournalId([1; 16]), unsynced())?;
        let mut load = Load::new(vessels);
        load.begin(|time, source, command| Ok(ledger.record(time, source, command)?.to_vec()))?;
        load.fill(live, |time, source, command| {
            Ok(ledger.record(time, source, command)?.to_vec())
        })?;
        load.turn(self.scaled(450_000), |time, source, command| {
            Ok(ledger.record(time, source, command)?.to_vec())
        })?;
        ledger.close()?;
        Ok(built)
    }
}

/// A journal whose orders come as fast as they go.
pub(super) struct Steady {
    live: u64,
    /// Records before which there were fewer orders.
    warm: u64,
}

fn flatness(journal: &Journal) -> Result<f64> {
    let quarter = journal.next_seq() / 4;
    let mut replay = Replay::from_genesis(journal, Mode::Fold);
    let mut spans = Vec::new();
    for part in 1..=4 {
        let started = Instant::now();
        replay.run(quarter * part, |_| ControlFlow::Continue(()))?;
        spans.push(started.elapsed().as_secs_f64());
    }
    Ok(spans.last().copied().unwrap_or(0.0) / spans.get(1).copied().unwrap_or(1.0))
}

/// Hash, decode, fold and digest; every tag compared if it is asked for, and the root of every frame if not;
/// the root at the end in any case.
fn replayed(journal: &Journal, tags: bool) -> Result<()> {
    let mut wrong = None;
    let mut replay = Replay::from_genesis(journal, Mode::Fold);
    if tags {
        replay.tagged();
    }
    replay.run(journal.next_seq(), |step| {
        let differs = match step.frame_end {
            _ if tags => step.state.tag() != step.head.tag,
            Some(header) => step.state.root() != header.state_root,
            None => false,
        };
        if differs {
            wrong = Some(step.head.seq);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(seq) = wrong {
        return Err(Failure::input(format!("record {seq} leads to another state")));
    }
    match replay.state().root() {
        root if root == journal.state_root() => Ok(()),
        root => {
            Err(Failure::input(format!("the journal ends at another root than {}", hex(&root))))
        }
    }
}

/// Folds with or without digests; reading and decoding are part of both.
fn fold_only(journal: &Journal, tags: bool) -> Result<()> {
    let mut exchange = Exchange::genesis(JournalId(journal.id()));
    let mut batches = journal.batches_of(0, Decoded::Folded)?;
    while let Some(batch) = batches.read()? {
        for (place, head) in batch.heads().iter().enumerate() {
            let events = batch.events_of(place);
            if tags {
                exchange.fold(head.seq, head.time, events).map_err(ReplayError::from)?;
                hint::black_box(exchange.state().tag());
            } else {
                exchange.fold_unsettled(head.seq, head.time, events).map_err(ReplayError::from)?;
            }
        }
    }
    hint::black_box(exchange.state().now());
    Ok(())
}

/// The shortest span of each of several things.
#[derive(Default)]
struct Best {
    spans: [Option<Duration>; 5],
}

impl Best {
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

fn folder_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("segments")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}
