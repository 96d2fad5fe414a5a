//! The ledger: one exchange and the journal of everything that it decides.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Receiver;

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::security::Source;
use tensorforge_engine::table::Breach;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{BUILD, Event, Exchange, Root, State};

use crate::comparing::divergence::Divergence;
use crate::error::JournalError;
use crate::format::block::{BLOCK_RECORDS, BlockEntry};
use crate::format::chain::Chain;
use crate::format::codec::{self, EncodeError};
use crate::proving::verify::reproduce;
use crate::reading::journal::Journal;
use crate::reading::schema;
use crate::replaying::replay::{self, Mode, Replay, ReplayError};
use crate::replaying::snapshot::{self, Binding, Shelf, Unwritten};
use crate::writing::committer::{Committer, Durable};
use crate::writing::seal::{FrameBuilder, SealError};
use crate::writing::writer::{self, Opening, Origin, Writer};

/// How a ledger writes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Records after which a frame is committed by itself.
    pub frame_records: u32,
    /// Bytes of records after which a frame is committed by itself; it is anyway before it could become
    /// longer than a frame may be.
    pub frame_bytes: usize,
    /// A snapshot is taken every so many records; a multiple of a block, or zero for none.
    pub snapshot_every: u64,
    /// How segments are written.
    pub writer: writer::Options,
}

/// Frames that may wait for the disk; more would only hide that it is too slow.
const FRAMES_AHEAD: usize = 2;

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_records: BLOCK_RECORDS as u32,
            frame_bytes: 256 << 10,
            snapshot_every: 0,
            writer: writer::Options::default(),
        }
    }
}

/// Why a ledger could not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal cannot be read, or this build cannot fold it.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Folding what the journal holds does not lead to what it claims.
    #[error("this build does not reproduce the journal: record {} is {}", .0.seq, .0.told())]
    Diverged(Box<Divergence>),
    /// A snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Missed),
    /// What was decided about a command is more than a record can hold.
    #[error("record {seq} cannot be recorded: {source}")]
    Unrecordable {
        /// The record.
        seq: u64,
        /// What is in the way.
        source: EncodeError,
    },
    /// A frame cannot be sealed; a mistake of this program.
    #[error("a frame cannot be sealed: {0}")]
    Seal(#[from] SealError),
}

impl LedgerError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Replay(ReplayError::Journal(error)) => error.help(),
            Self::Diverged(_) => Some(
                "`tensorforge bisect` tells more about it: either was written by another build, or changed"
                    .into(),
            ),
            Self::Snapshot(missed) => Some(missed.help()),
            Self::Unrecordable { .. } => Some("nothing durable was lost".into()),
            Self::Replay(ReplayError::Breach(_)) | Self::Seal(_) => None,
        }
    }
}

impl From<JournalError> for LedgerError {
    fn from(error: JournalError) -> Self {
        Self::Replay(error.into())
    }
}

impl From<EncodeError> for LedgerError {
    fn from(error: EncodeError) -> Self {
        JournalError::from(error).into()
    }
}

impl From<Breach> for LedgerError {
    fn from(breach: Breach) -> Self {
        Self::Replay(breach.into())
    }
}

/// A journal that was closed.
#[derive(Debug)]
pub struct Closed {
    /// How many records it holds.
    pub records: u64,
    /// The root of the state after the last of them.
    pub root: Root,
    /// The snapshots that could not be written.
    pub missed: Vec<snapshot::Missed>,
}

/// One exchange and its journal, open for writing.
///
/// After an error nothing more is recorded or sealed: every later call that would returns that error.
/// What was [durable](Self::durable) stays so, and frames that were committed before it still become so.
/// Records of the frame that was being filled are gone, the good ones among them: their frame would
/// need the root after the last of them, and the state has moved on. Nobody was told that they are
/// durable. Dropping a ledger leaves its journal as a crash would; only [`close`](Self::close) commits
/// the rest and marks it closed.
pub struct Ledger {
    exchange: Exchange,
    chain: Chain,
    frame: FrameBuilder,
    committer: Committer,
    events: Vec<Event>,
    /// The last block that was sealed.
    last_block: BlockEntry,
    /// Bytes of records since a frame last ended with a block.
    since_block: u64,
    snapshots: Shelf,
    options: Options,
    /// What ended it.
    failure: Option<LedgerError>,
}

impl Ledger {
    /// A new journal in `dir`.
    pub fn create(dir: &Path, id: JournalId, options: Options) -> Result<Self, LedgerError> {
        let writer = Writer::create(dir, id.0, origin(), options.writer)?;
        let exchange = Exchange::genesis(id);
        Self::new(dir, exchange, Chain::genesis(), writer, options)
    }

    /// An existing journal: what a crash tore off is put aside, the state folded to the end from
    /// the nearest snapshot, and every record on the way held against what the journal claims of it.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Opening), LedgerError> {
        let (writer, opening) = Writer::open(dir, origin(), options.writer)?;
        let journal = &opening.journal;
        schema::check(journal)?;
        let exchange = fold(journal, journal.next_seq())?;
        Ok((Self::new(dir, exchange, opening.chain.clone(), writer, options)?, opening))
    }

    fn new(
        dir: &Path,
        exchange: Exchange,
        chain: Chain,
        writer: Writer,
        options: Options,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            exchange,
            frame: FrameBuilder::new(chain.next_seq(), Vec::new()),
            chain,
            committer: Committer::start(writer, FRAMES_AHEAD)?,
            events: Vec::new(),
            last_block: BlockEntry::GENESIS,
            since_block: 0,
            snapshots: Shelf::new(dir),
            options,
            failure: None,
        })
    }

    /// The state after the last record; after an error, of no use.
    pub fn state(&self) -> &State {
        self.exchange.state()
    }

    /// How many records there are, durable or not.
    pub fn records(&self) -> u64 {
        self.frame.next_seq()
    }

    /// How many records are durable: what a crash cannot take any more.
    pub fn durable(&self) -> Result<u64, LedgerError> {
        self.committer.check()?;
        Ok(self.committer.durable())
    }

    /// Tells of every frame as it becomes durable; disconnected once the disk has failed. Use either
    /// this or [`flush`](Self::flush).
    pub(crate) fn notices(&self) -> &Receiver<Durable> {
        self.committer.notices()
    }

    /// Decides a command and records what was decided. A time before that of the last record is
    /// taken as that one: the journal's time never goes back.
    ///
    /// A command that is too long is an error that leaves everything as it was; any other one ends the
    /// ledger. The events may be shown to nobody, and their effects not be performed, before the record
    /// is [durable](Self::durable).
    pub fn record(
        &mut self,
        time: Micros,
        source: Source,
        command: &Command,
    ) -> Result<&[Event], LedgerError> {
        self.check()?;
        codec::check_command(command)?;
        // From here on an error leaves the state ahead of the journal: nothing may follow it.
        self.guarded(|ledger| ledger.decide(time, source, command))?;
        Ok(&self.events)
    }

    fn decide(
        &mut self,
        time: Micros,
        source: Source,
        command: &Command,
    ) -> Result<(), LedgerError> {
        let seq = self.records();
        let time = time.max(self.exchange.state().now());
        let stamp = Stamp { seq: Seq(seq), time, source };
        self.events.clear();
        self.exchange.decide(stamp, command, &mut self.events)?;
        let state = self.exchange.state();
        self.frame
            .push((time, source), command, &self.events, state.tag())
            .map_err(|source| LedgerError::Unrecordable { seq, source })?;
        if self.frame.block_is_full() {
            self.frame.end_block(state.root());
        }
        let every = self.options.snapshot_every;
        if every > 0 && self.records().is_multiple_of(every.next_multiple_of(BLOCK_RECORDS)) {
            self.snapshot()
        } else if self.frame.record_count() >= self.options.frame_records
            || self.frame.body_length() >= self.options.frame_bytes
            || self.frame.is_full()
            || self.segment_may_end()
        {
            self.submit()
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<(), LedgerError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Remembers the first error, and answers with it from then on.
    fn guarded(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        self.check()?;
        let done = act(self);
        self.failure = done.as_ref().err().cloned();
        done
    }

    /// Whether a frame should end here so that a segment may: segments end where a frame and a block
    /// do, and frames of other sizes seldom meet the end of a block by themselves.
    fn segment_may_end(&self) -> bool {
        let since = self.since_block.saturating_add(self.frame.body_length() as u64);
        self.frame.block_is_full() && since >= self.options.writer.segment_bytes / 16
    }

    /// Hands what has been recorded to the disk as one frame, and does not wait for it.
    pub fn commit(&mut self) -> Result<(), LedgerError> {
        self.guarded(Self::submit)
    }

    fn submit(&mut self) -> Result<(), LedgerError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let bytes = self.frame.body_length() as u64;
        self.since_block = if self.frame.block_is_full() { 0 } else { self.since_block + bytes };
        let buffer = self.committer.buffer();
        let next = FrameBuilder::new(self.frame.next_seq(), buffer);
        let frame = mem::replace(&mut self.frame, next);
        let state = self.exchange.state();
        let sealed = frame.seal(&mut self.chain, state.root(), &state.digests())?;
        if let Some(block) = sealed.header().blocks.last() {
            self.last_block = *block;
        }
        self.committer.submit(sealed)?;
        Ok(())
    }

    /// Commits and waits until everything recorded so far is durable.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.guarded(|ledger| {
            ledger.submit()?;
            Ok(ledger.committer.wait(ledger.records())?)
        })
    }

    /// Takes a snapshot at the end of a block, to be written beside whatever comes next. It may be
    /// ahead of the disk: if a crash takes the records that it stands on, it is bound to a history that
    /// is not there, and passed over. One that cannot be written is [missed](Closed::missed): the
    /// journal lacks nothing for it.
    fn snapshot(&mut self) -> Result<(), LedgerError> {
        self.submit()?;
        let state = self.exchange.state();
        let binding = Binding {
            journal: state.journal(),
            records: self.records(),
            block: self.last_block.hash,
            root: state.root(),
            schema: schema::fingerprint(),
            build: BUILD.to_owned(),
        };
        self.snapshots.put(state, &binding);
        Ok(())
    }

    /// Commits the rest, waits for the snapshot that is on its way, and marks the journal as closed.
    pub fn close(mut self) -> Result<Closed, LedgerError> {
        self.commit()?;
        let missed = self.snapshots.missed();
        let (records, root) = (self.records(), self.exchange.state().root());
        self.committer.close()?;
        Ok(Closed { records, root, missed })
    }
}

/// What a journal of this build is written for.
fn origin() -> Origin {
    Origin { schema: schema::fingerprint(), build: BUILD.to_owned() }
}

/// Folds the first `records` records, and holds each against what the journal claims of it. A snapshot
/// spares those that it holds: it is bound to their very bytes, and was taken by somebody who did so.
fn fold(journal: &Journal, records: u64) -> Result<Exchange, LedgerError> {
    let (mut replay, _) = Replay::from_nearest(journal, Mode::Fold, records);
    match reproduce(journal, &mut replay, records, |_| ())? {
        None => Ok(replay.into_exchange()),
        Some(divergence) => Err(LedgerError::Diverged(Box::new(divergence))),
    }
}

/// Takes a snapshot of the first `records` records, which must end a block, of a journal at rest.
pub fn take_snapshot(journal: &Journal, records: u64) -> Result<Option<PathBuf>, LedgerError> {
    let Some(binding) = replay::binding(journal, records) else { return Ok(None) };
    let state = fold(journal, records)?.into_state();
    let folder = journal.dir().join(snapshot::SNAPSHOTS);
    let written = Unwritten::of(&state, &binding).and_then(|unwritten| unwritten.write(&folder));
    let missed = |source| snapshot::Missed { records, folder, source: Arc::new(source) };
    Ok(Some(written.map_err(missed)?))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::memory::{Fault, MemoryDisk, Point};
    use crate::sequencer::{CallError, Sequencer};
    use tensorforge_engine::config::Limits;
    use tensorforge_engine::{config, models};

    const DIR: &str = "j.tfj";
    const ID: JournalId = JournalId([9; 16]);

    /// Why a record fails once something is decided.
    #[derive(Clone, Copy, Debug)]
    enum Fail {
        /// The state has no place for it: the row that every record writes is gone.
        Deciding,
        /// Its frame is out of turn.
        Sealing,
        /// The disk is full.
        Writing,
    }

    /// A ledger of seven records, so many of them durable, whose next one fails.
    fn failing(disk: &MemoryDisk, durable: u64, why: Fail) -> Ledger {
        let options = Options { frame_records: 4, ..Options::default() };
        let writer =
            Writer::create_on(Arc::new(disk.clone()), DIR, ID.0, origin(), options.writer).unwrap();
        let (exchange, chain) = (Exchange::genesis(ID), Chain::genesis());
        let mut ledger = Ledger::new(DIR.as_ref(), exchange, chain, writer, options).unwrap();
        let record = |ledger: &mut Ledger, command: &Command| {
            ledger.record(Micros(1), Source::OPERATOR, command).map(|_| ()).unwrap();
        };
        record(&mut ledger, &Command::Config(config::Command::Configure(Limits::default())));
        (0..6).for_each(|n| record(&mut ledger, &model(n)));
        if durable == 7 {
            ledger.commit().unwrap();
        }
        ledger.committer.wait(durable).unwrap();
        match why {
            Fail::Deciding => {
                let no_rows: [(u8, u32, Seq, &[u8]); 0] = [];
                ledger.exchange = Exchange::resume(State::restore(ID, Seq(6), no_rows).unwrap());
            }
            Fail::Sealing => ledger.chain = Chain::genesis(),
            Fail::Writing => {
                disk.inject(Point::Write, 0, Fault::Error(ErrorKind::StorageFull));
            }
        }
        ledger
    }

    fn model(n: u32) -> Command {
        Command::Models(models::Command::RegisterModel { name: format!("model {n}") })
    }

    /// The records that were durable, and no mark that says that these are all.
    fn holds(disk: &MemoryDisk, durable: u64) {
        let journal = Journal::open_on(Arc::new(disk.clone()), DIR).unwrap();
        assert_eq!((journal.next_seq(), journal.closed()), (durable, false));
        let verified = crate::verify(&journal, 1, &|_| ()).unwrap();
        assert_eq!((verified.records, verified.divergence), (durable, None));
    }

    #[test]
    fn after_an_error_nothing_more_is_recorded_or_sealed() {
        let check = |why: Fail, said: &str| {
            let disk = MemoryDisk::default();
            let mut ledger = failing(&disk, 4, why);
            let record = |ledger: &mut Ledger| {
                ledger.record(Micros(1), Source::OPERATOR, &model(7)).map(|_| ())
            };
            // A disk fails in its own time: whoever waits for it is told.
            let first = record(&mut ledger).and_then(|()| ledger.flush()).unwrap_err().to_string();
            assert!(first.contains(said), "{why:?}: {first}");
            let changes = disk.changes();
            for again in [record(&mut ledger), ledger.commit(), ledger.flush()] {
                assert_eq!(again.unwrap_err().to_string(), first, "{why:?}");
            }
            assert_eq!(ledger.committer.durable(), 4);
            assert_eq!(ledger.close().unwrap_err().to_string(), first, "{why:?}");
            assert_eq!(disk.changes(), changes, "{why:?}: something was written");
            holds(&disk, 4);

            let disk = MemoryDisk::default();
            let mut ledger = failing(&disk, 4, why);
            record(&mut ledger).and_then(|()| ledger.flush()).unwrap_err();
            drop(ledger);
            holds(&disk, 4);
        };
        check(Fail::Deciding, "row 0: it is not there");
        check(Fail::Sealing, "the frame begins at record 4, the chain stands at 0");
        check(Fail::Writing, "cannot write j.tfj/segments/0000000000.seg");
    }

    /// Whoever waits is told, whether the command was decided, was about to be, or is sent later.
    #[test]
    fn a_ledger_that_fails_answers_nobody_who_waits() {
        for why in [Fail::Deciding, Fail::Sealing, Fail::Writing] {
            let disk = MemoryDisk::default();
            let (sequencer, client) = Sequencer::start(failing(&disk, 7, why), 8).unwrap();
            let send = |n| client.send(Micros(1), Source::OPERATOR, model(n));
            let waiting: Vec<_> = (7..12).map(send).collect();
            for pending in waiting {
                let told = pending.and_then(|pending| pending.wait()).unwrap_err();
                assert_eq!(told, CallError::Stopped, "{why:?}");
            }
            let late = send(12).and_then(|pending| pending.wait()).unwrap_err();
            assert_eq!(late, CallError::Stopped, "{why:?}");
            sequencer.finish().unwrap_err();
            holds(&disk, 7);
        }
    }
}
