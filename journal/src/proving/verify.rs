//! Verification: everything that a journal claims is computed again and compared.
//!
//! The chain vouches for the bytes. Each record is decoded, its command decided again, and the events
//! compared; after each record the tag, after each frame the digests of all tables and the root, after
//! each block the root again. Spans between usable snapshots are verified in parallel: a span proves
//! the snapshot that the next one begins with, because it ends at the same root.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::Value;
use tensorforge_engine::{Exchange, Root, State};

use crate::comparing::divergence::{Divergence, Phase};
use crate::error::JournalError;
use crate::format::block::BLOCK_RECORDS;
use crate::format::codec::DecodeError;
use crate::proving::suspects::{Suspects, differing, name, suspects};
use crate::reading::journal::Journal;
use crate::reading::records::read_record;
use crate::replaying::replay::{self, Mode, Replay, ReplayError, Step};
use crate::replaying::snapshot::{self, hex};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Records that were verified.
    pub records: u64,
    /// Events that were decided again.
    pub events: u64,
    /// The root after the last of them, as computed.
    pub root: Root,
    /// The first disagreement between the journal and this build; `None` if there is none.
    pub divergence: Option<Divergence>,
    /// How many spans were verified side by side.
    pub spans: usize,
    /// Orders that are live after the last of them.
    pub live: u32,
}

/// Verifies all of a journal, on up to `threads` threads. `progress` is told how many records are done.
pub fn verify(
    journal: &Journal,
    threads: usize,
    progress: &(impl Fn(u64) + Sync),
) -> Result<Verified, ReplayError> {
    let starts = starts(journal);
    let ends = starts.iter().skip(1).copied().chain([journal.next_seq()]);
    let spans: Vec<Range<u64>> = starts.iter().zip(ends).map(|(start, end)| *start..end).collect();
    let count = spans.len();
    let done = AtomicU64::new(0);
    let work = Mutex::new(spans.into_iter());
    let results = Mutex::new(Vec::new());
    let unread = Mutex::new(Vec::new());
    let workers = threads.clamp(1, count);
    // Threads that find no span to verify read for those that do.
    let verify =
        |state, span| verify_span(journal, state, span, threads > workers, &done, progress);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(span) = work.lock().ok().and_then(|mut work| work.next()) {
                    let start = span.start;
                    let Some(state) = first_state(journal, start) else {
                        keep(&unread, span);
                        continue;
                    };
                    let result = verify(state, span);
                    keep(&results, (start, result.map(|(verified, _)| verified)));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    let mut unread = unread.into_inner().unwrap_or_default();
    unread.sort_by_key(|span| span.start);
    // Spans whose snapshots are not what they claim to be: one after the other, each from where the
    // one before it has ended, so that however many there are the journal is folded once more at most.
    let mut reached: Option<(u64, State)> = None;
    for span in unread {
        let start = span.start;
        let state = match reached.take().filter(|(records, _)| *records == start) {
            Some((_, state)) => Ok(state),
            None => replay::state_at(journal, Mode::Fold, start),
        };
        let verified = state.and_then(|state| verify(state, span));
        results.push((
            start,
            verified.map(|(verified, state)| {
                reached = Some((start + verified.records, state));
                verified
            }),
        ));
    }
    results.sort_by_key(|(start, _)| *start);
    let mut all = Verified { spans: count, ..Verified::default() };
    for (_, result) in results {
        let span = result?;
        all.records += span.records;
        all.events += span.events;
        (all.root, all.live) = (span.root, span.live);
        if span.divergence.is_some() {
            all.divergence = span.divergence;
            // Nobody has read what is behind it.
            journal.verify()?;
            break;
        }
    }
    Ok(all)
}

fn keep<T>(list: &Mutex<Vec<T>>, item: T) {
    if let Ok(mut list) = list.lock() {
        list.push(item);
    }
}

/// Where spans begin: at genesis and at every snapshot that claims to be of this very history.
fn starts(journal: &Journal) -> Vec<u64> {
    let inner = snapshot::list(journal).into_iter().filter(|(records, path)| {
        let binding = replay::binding(journal, *records);
        *records < journal.next_seq()
            && binding.is_some_and(|binding| snapshot::claims(path, &binding))
    });
    [0].into_iter().chain(inner.map(|(records, _)| records)).collect()
}

/// The state that a span begins with; `None` if its snapshot is not what it claims to be.
fn first_state(journal: &Journal, records: u64) -> Option<State> {
    if records == 0 {
        return Some(State::genesis(replay::id(journal)));
    }
    let path = snapshot::path(journal, records);
    snapshot::read(&path, &replay::binding(journal, records)?).ok()
}

/// Verifies one span, and gives back the state that it ends with.
fn verify_span(
    journal: &Journal,
    state: State,
    Range { start, end }: Range<u64>,
    ahead: bool,
    done: &AtomicU64,
    progress: &(impl Fn(u64) + Sync),
) -> Result<(Verified, State), ReplayError> {
    let mut events = 0;
    let mut replay = Replay::from_state(journal, Mode::Decide, state, start);
    if ahead {
        replay.read_ahead();
    }
    // The last span reads on to the very end, for the marks behind the last record.
    let to = if end == journal.next_seq() { u64::MAX } else { end };
    let found = first_disagreement(journal, &mut replay, to, |step| {
        events += step.events.len() as u64;
        if (step.head.seq.0 + 1).is_multiple_of(BLOCK_RECORDS) {
            progress(done.fetch_add(BLOCK_RECORDS, Ordering::Relaxed) + BLOCK_RECORDS);
        }
    })?;
    let divergence = found.map(|found| examine(journal, found)).transpose()?;
    let records = replay.records() - start;
    let state = replay.into_exchange().into_state();
    let (root, live) = (state.root(), state.tables.orders.len());
    Ok((Verified { records, events, root, divergence, spans: 1, live }, state))
}

/// Decides on to `end`, or to the first record that is not as the journal claims. A record that this
/// build has no place for in its state is one.
pub(crate) fn first_disagreement(
    journal: &Journal,
    replay: &mut Replay<'_>,
    end: u64,
    each: impl FnMut(&Step<'_>),
) -> Result<Option<Divergence>, ReplayError> {
    match reproduce(journal, replay, end, each) {
        Err(ReplayError::Breach(breach)) => Ok(Some(Divergence::of_breach(&breach))),
        found => found,
    }
}

/// Replays to `end`, or to the first record that does not lead where the journal claims: to its events, its
/// tag, the root of its block, and the root and digests of its frame. Tells `each` of every record before
/// it is compared.
pub fn reproduce(
    journal: &Journal,
    replay: &mut Replay<'_>,
    end: u64,
    mut each: impl FnMut(&Step<'_>),
) -> Result<Option<Divergence>, ReplayError> {
    let mut found = Ok(None);
    replay.tagged();
    replay.run(end, |step| {
        each(&step);
        found = disagreement(journal, &step);
        match found {
            Ok(None) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    })?;
    Ok(found?)
}

/// The first thing about a record that is not as the journal claims.
fn disagreement(journal: &Journal, step: &Step<'_>) -> Result<Option<Divergence>, DecodeError> {
    if step.agrees {
        return Ok(departure(journal, step));
    }
    Ok(Divergence::of_events(step.head.seq.0, &step.recorded()?, step.events))
}

/// The first thing about the state after a record that is not as the journal claims.
fn departure(journal: &Journal, step: &Step<'_>) -> Option<Divergence> {
    let seq = step.head.seq.0;
    let tag = step.state.tag();
    if tag != step.head.tag {
        let (left, right) = (tag_value(step.head.tag), tag_value(tag));
        return Some(Divergence::new(seq, Phase::Folded, left, right));
    }
    let claimed = [
        step.block_root(journal).map(|entry| entry.root),
        step.frame_end.map(|header| header.state_root),
    ];
    let mut claimed = claimed.into_iter().flatten().peekable();
    claimed.peek()?;
    let root = step.state.root();
    if let Some(claim) = claimed.find(|claim| *claim != root) {
        let (left, right) = (Value::from(hex(&claim)), Value::from(hex(&root)));
        return Some(Divergence::new(seq, Phase::Digested, left, right));
    }
    let header = step.frame_end?;
    let tables = differing(&header.digests, step.state);
    let tables: Vec<String> = tables.into_iter().map(|place| name(step.state, place)).collect();
    let divergence = Divergence::new(seq, Phase::Digested, Value::Null, Value::Null);
    (!tables.is_empty()).then_some(Divergence { tables, ..divergence })
}

fn tag_value(tag: u64) -> Value {
    Value::from(format!("{tag:016x}"))
}

/// Says more about a divergence: what the recorded events and the decided ones make of the state
/// before them; or, where this build folds the same events otherwise than the one that recorded them,
/// which tables may be at fault. To decide the record once more would say nothing about its fold.
pub(crate) fn examine(journal: &Journal, found: Divergence) -> Result<Divergence, ReplayError> {
    match found.phase {
        Phase::Decided => examine_decision(journal, found),
        Phase::Folded => {
            let Suspects { tables, healed, table, module, row } = suspects(journal, found.seq)?;
            Ok(Divergence { tables, healed, module, table, row, ..found })
        }
        _ => Ok(found),
    }
}

fn examine_decision(journal: &Journal, found: Divergence) -> Result<Divergence, ReplayError> {
    let before = replay::state_at(journal, Mode::Fold, found.seq)?;
    let seq = tensorforge_engine::units::Seq(found.seq);
    let Some(record) = read_record(journal, seq)? else { return Ok(found) };
    let (mut left, mut right) = (Exchange::resume(before.clone()), Exchange::resume(before));
    let mut events = Vec::new();
    let folded = left.fold(seq, record.stamp.time, &record.events);
    // A side that this build cannot fold has no state that could be compared.
    if folded.and(right.decide(record.stamp, &record.command, &mut events)).is_err() {
        return Ok(found);
    }
    Ok(found.with_states(left.state(), right.state()))
}

/// Reads a whole journal and checks chain, frames and decoding, without deciding anything.
pub fn check_bytes(journal: &Journal) -> Result<(u64, u64), JournalError> {
    let mut batches = journal.batches_from(0)?;
    let (mut records, mut events) = (0, 0);
    while let Some(batch) = batches.read()? {
        records += batch.heads().len() as u64;
        events += batch.events().len() as u64;
    }
    Ok((records, events))
}
