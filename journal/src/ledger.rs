//! The ledger: one exchange and the journal of everything that it decides.

use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crossbeam_channel::Receiver;

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::security::Source;
use tensorforge_engine::table::Breach;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{BUILD, Event, Exchange, Root, State};

use crate::error::JournalError;
use crate::format::block::{BLOCK_RECORDS, BlockEntry};
use crate::format::chain::Chain;
use crate::format::codec::{self, EncodeError};
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
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal cannot be read, or this build cannot fold it.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Folding what the journal holds does not lead to the state that it claims.
    #[error(
        "this build does not reproduce the journal: after {records} records it has root {found}, the journal {claimed}"
    )]
    Diverged {
        /// How many records were folded.
        records: u64,
        /// The root that the journal claims.
        claimed: String,
        /// The root that this build computes.
        found: String,
    },
    /// A snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Missed),
    /// A frame cannot be sealed; a mistake of this program.
    #[error("a frame cannot be sealed: {0}")]
    Seal(#[from] SealError),
}

impl LedgerError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Replay(ReplayError::Journal(error)) => error.help(),
            Self::Diverged { .. } => Some(
                "`tensorforge bisect` finds the first record where this build parts from it".into(),
            ),
            Self::Snapshot(missed) => Some(missed.help()),
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
    /// Whether a record was decided that could not be recorded.
    broken: bool,
}

impl Ledger {
    /// A new journal in `dir`.
    pub fn create(dir: &Path, id: JournalId, options: Options) -> Result<Self, LedgerError> {
        let writer = Writer::create(dir, id.0, origin(), options.writer)?;
        let exchange = Exchange::genesis(id);
        Self::new(dir, exchange, Chain::genesis(), writer, options)
    }

    /// An existing journal: what a crash tore off is put aside, the state folded to the end from
    /// the nearest snapshot and held against the root that the journal claims.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Opening), LedgerError> {
        let (writer, opening) = Writer::open(dir, origin(), options.writer)?;
        let journal = &opening.journal;
        schema::check(journal)?;
        let end = journal.next_seq();
        let (mut replay, _) = Replay::from_nearest(journal, Mode::Fold, end);
        replay.run(end, |_| ControlFlow::Continue(()))?;
        let (claimed, found) = (journal.state_root(), replay.state().root());
        if end > 0 && claimed != found {
            let (claimed, found) = (snapshot::hex(&claimed), snapshot::hex(&found));
            return Err(LedgerError::Diverged { records: end, claimed, found });
        }
        let exchange = replay.into_exchange();
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
            broken: false,
        })
    }

    /// The state after the last record.
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
    /// A command that is too long is an error that leaves everything as it was; after any other error
    /// the ledger records nothing more. The events may be shown to nobody, and their effects not be
    /// performed, before the record is [durable](Self::durable).
    pub fn record(
        &mut self,
        time: Micros,
        source: Source,
        command: &Command,
    ) -> Result<&[Event], LedgerError> {
        if self.broken {
            return Err(JournalError::Closed.into());
        }
        codec::check_command(command)?;
        // From here on an error leaves the state ahead of the journal: nothing may follow it.
        self.broken = true;
        let time = time.max(self.exchange.state().now());
        let stamp = Stamp { seq: Seq(self.records()), time, source };
        self.events.clear();
        self.exchange.decide(stamp, command, &mut self.events)?;
        let state = self.exchange.state();
        self.frame.push((time, source), command, &self.events, state.tag())?;
        if self.frame.block_is_full() {
            self.frame.end_block(state.root());
        }
        let every = self.options.snapshot_every;
        if every > 0 && self.records().is_multiple_of(every.next_multiple_of(BLOCK_RECORDS)) {
            self.snapshot()?;
        } else if self.frame.record_count() >= self.options.frame_records
            || self.frame.body_length() >= self.options.frame_bytes
            || self.frame.is_full()
            || self.segment_may_end()
        {
            self.commit()?;
        }
        self.broken = false;
        Ok(&self.events)
    }

    /// Whether a frame should end here so that a segment may: segments end where a frame and a block
    /// do, and frames of other sizes seldom meet the end of a block by themselves.
    fn segment_may_end(&self) -> bool {
        let since = self.since_block.saturating_add(self.frame.body_length() as u64);
        self.frame.block_is_full() && since >= self.options.writer.segment_bytes / 16
    }

    /// Hands what has been recorded to the disk as one frame, and does not wait for it.
    pub fn commit(&mut self) -> Result<(), LedgerError> {
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
        self.commit()?;
        Ok(self.committer.wait(self.records())?)
    }

    /// Takes a snapshot at the end of a block, to be written beside whatever comes next. It may be
    /// ahead of the disk: if a crash takes the records that it stands on, it is bound to a history that
    /// is not there, and passed over. One that cannot be written is [missed](Closed::missed): the
    /// journal lacks nothing for it.
    fn snapshot(&mut self) -> Result<(), LedgerError> {
        self.commit()?;
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

/// Takes a snapshot of the first `records` records, which must end a block, of a journal at rest.
pub fn take_snapshot(journal: &Journal, records: u64) -> Result<Option<PathBuf>, LedgerError> {
    let Some(binding) = replay::binding(journal, records) else { return Ok(None) };
    let state = replay::state_at(journal, Mode::Fold, records)?;
    let found = state.root();
    if found != binding.root {
        let (claimed, found) = (snapshot::hex(&binding.root), snapshot::hex(&found));
        return Err(LedgerError::Diverged { records, claimed, found });
    }
    let folder = journal.dir().join(snapshot::SNAPSHOTS);
    let written = Unwritten::of(&state, &binding).and_then(|unwritten| unwritten.write(&folder));
    Ok(Some(written.map_err(|source| snapshot::Missed { records, folder, source })?))
}
