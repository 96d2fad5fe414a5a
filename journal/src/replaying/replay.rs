//! Replay: the records of a journal, one after another, through the one engine.
//!
//! The same loop serves `replay`, `verify`, `diff`, `bisect` and recovery; they differ in what they
//! do between two records. What the engine sees never depends on where a replay begins or stops.

use std::ops::ControlFlow;

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::table::Breach;
use tensorforge_engine::units::JournalId;
use tensorforge_engine::{BUILD, Event, Exchange, State};

use crate::error::JournalError;
use crate::format::batch::{Batch, Decoded, Head};
use crate::format::block::{BLOCK_RECORDS, BlockEntry};
use crate::format::codec::{self, DecodeError};
use crate::format::frame::Header;
use crate::reading::ahead::read_ahead;
use crate::reading::batches::{Batches, Portion, Portions};
use crate::reading::journal::Journal;
use crate::reading::records::command_of;
use crate::replaying::snapshot::{self, Binding, Unusable};

/// How a replay moves the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Folds the events as they are recorded.
    Fold,
    /// Decides the commands again, and folds what this build decides.
    Decide,
}

impl Mode {
    /// What it has to be told of the events.
    fn reads(self) -> Decoded {
        match self {
            Self::Fold => Decoded::Folded,
            Self::Decide => Decoded::Commands,
        }
    }
}

/// Why a replay could not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal and this build disagree about what a state may hold.
    #[error("journal and code disagree: {0}")]
    Breach(#[from] Breach),
}

impl From<DecodeError> for ReplayError {
    fn from(error: DecodeError) -> Self {
        Self::Journal(error.into())
    }
}

/// A replay under way: the state after some record, and the way to the next.
pub struct Replay<'j> {
    journal: &'j Journal,
    mode: Mode,
    exchange: Exchange,
    /// Opened with the first record that is asked for.
    batches: Option<Batches<'j>>,
    /// Whether another thread may read.
    ahead: bool,
    /// The next record of the batch.
    place: usize,
    next: u64,
    /// Whether digests are exact after every record, and not only where a frame or a block ends.
    tagged: bool,
    decided: Vec<Event>,
    /// The bytes of what was decided.
    encoded: Vec<u8>,
}

/// Records to come from which on a thread is started for them.
const AHEAD_RECORDS: u64 = 4 * BLOCK_RECORDS;

/// Records whose rows are looked at together before they are folded.
const ANTICIPATED: usize = 64;

/// One record, just replayed.
pub struct Step<'a> {
    /// The record as it is written, but for its command and events.
    pub head: &'a Head,
    /// The events that moved the state: the recorded ones, without the candidates of routes, or those
    /// that were decided anew.
    pub events: &'a [Event],
    /// Whether those are the recorded ones.
    pub agrees: bool,
    /// The state after it. Its tag, digests and root are exact at the end of a frame and of a block, and
    /// in a replay that is [tagged](Replay::tagged) after every record.
    pub state: &'a State,
    /// The header of its frame, if it is the frame's last record.
    pub frame_end: Option<&'a Header>,
    batch: &'a Batch,
    place: usize,
}

impl Step<'_> {
    /// The command, decoded.
    pub fn command(&self) -> Result<Command, DecodeError> {
        command_of(self.batch, self.place, self.head.seq.0)
    }

    /// The events as they are written, decoded.
    pub fn recorded(&self) -> Result<Vec<Event>, DecodeError> {
        let seq = self.head.seq.0;
        self.batch.whole_events(self.place).unwrap_or_else(|| Err(DecodeError::absent(seq)))
    }

    /// The bytes of the record.
    pub fn bytes(&self) -> &[u8] {
        self.batch.bytes_of(self.place)
    }

    /// The root that the journal claims for the state after it, if it ends a block.
    pub fn block_root<'j>(&self, journal: &'j Journal) -> Option<&'j BlockEntry> {
        let seq = self.head.seq.0;
        if seq % BLOCK_RECORDS != BLOCK_RECORDS - 1 {
            return None;
        }
        journal.blocks().get(usize::try_from(seq / BLOCK_RECORDS).ok()?)
    }
}

impl<'j> Replay<'j> {
    /// A replay from before the first record.
    pub fn from_genesis(journal: &'j Journal, mode: Mode) -> Self {
        Self::from_state(journal, mode, State::genesis(id(journal)), 0)
    }

    /// A replay from `state`, which is the one after the first `records` records.
    pub fn from_state(journal: &'j Journal, mode: Mode, state: State, records: u64) -> Self {
        Self {
            journal,
            mode,
            exchange: Exchange::resume(state),
            batches: None,
            ahead: false,
            place: 0,
            next: records,
            tagged: false,
            decided: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// A replay from the last usable snapshot of at most `records` records, or from genesis. Tells
    /// of the snapshots that were passed over, and why.
    pub fn from_nearest(
        journal: &'j Journal,
        mode: Mode,
        records: u64,
    ) -> (Self, Vec<(u64, Unusable)>) {
        let mut passed_over = Vec::new();
        for (held, path) in snapshot::list(journal).into_iter().rev() {
            if held > records {
                continue;
            }
            match binding(journal, held)
                .ok_or(Unusable::Binding("place"))
                .and_then(|binding| snapshot::read(&path, &binding))
            {
                Ok(state) => return (Self::from_state(journal, mode, state, held), passed_over),
                Err(unusable) => passed_over.push((held, unusable)),
            }
        }
        (Self::from_genesis(journal, mode), passed_over)
    }

    /// Has digests be exact after every record from here on, for whoever compares tags. Those who
    /// decide always are.
    pub fn tagged(&mut self) {
        self.tagged = true;
    }

    /// Has another thread read, hash and decode what comes while this one folds or decides, wherever
    /// there is much to come.
    pub fn read_ahead(&mut self) {
        self.ahead = true;
    }

    /// How many records the state holds.
    pub fn records(&self) -> u64 {
        self.next
    }

    /// The state.
    pub fn state(&self) -> &State {
        self.exchange.state()
    }

    /// The exchange, to be driven further than the journal goes.
    pub fn into_exchange(self) -> Exchange {
        self.exchange
    }

    /// Replays until the state holds `records` records, the journal ends or `each` breaks off.
    pub fn run(
        &mut self,
        records: u64,
        mut each: impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        let to_come = records.min(self.journal.next_seq()).saturating_sub(self.next);
        let batches = self.batches.take();
        let ran = if self.ahead && to_come >= AHEAD_RECORDS {
            self.place = 0;
            let batches = self.journal.batches_of(self.next, self.mode.reads())?;
            read_ahead(batches, |portions| self.through(portions, records, &mut each))
        } else {
            let mut batches = match batches {
                Some(batches) => batches,
                None => self.journal.batches_of(self.next, self.mode.reads())?,
            };
            let ran = self.through(&mut batches, records, &mut each);
            self.batches = Some(batches);
            ran
        };
        self.exchange.settle();
        ran
    }

    fn through(
        &mut self,
        portions: &mut impl Portions,
        records: u64,
        each: &mut impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        while self.next < records {
            if self.place >= portions.portion().batch.heads().len() {
                if !portions.advance()? {
                    break;
                }
                self.place = 0;
            }
            if self.step(portions.portion(), each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        Portion { batch, frame_end }: &Portion,
        each: &mut impl FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReplayError> {
        let place = self.place;
        let Some(head) = batch.heads().get(place) else { return Ok(ControlFlow::Break(())) };
        let last = place + 1 == batch.heads().len();
        let frame_end = frame_end.as_ref().filter(|_| last);
        let (events, agrees) = match self.mode {
            Mode::Fold => {
                if place.is_multiple_of(ANTICIPATED) {
                    let coming = place..place.saturating_add(ANTICIPATED);
                    let first = coming.filter_map(|place| batch.events_of(place).first());
                    self.exchange.anticipate(first.filter_map(Event::continues));
                }
                let recorded = batch.events_of(place);
                self.exchange.fold_unsettled(head.seq, head.time, recorded)?;
                let ends_block = (head.seq.0 + 1).is_multiple_of(BLOCK_RECORDS);
                if self.tagged || frame_end.is_some() || ends_block {
                    self.exchange.settle();
                }
                (recorded, true)
            }
            Mode::Decide => {
                if place.is_multiple_of(ANTICIPATED) {
                    let coming = batch.commands().iter().skip(place).take(ANTICIPATED);
                    self.exchange.anticipate(coming.filter_map(Command::continues));
                }
                let absent = || DecodeError::absent(head.seq.0);
                let command = batch.commands().get(place).ok_or_else(absent)?;
                let stamp = Stamp { seq: head.seq, time: head.time, source: head.source };
                self.decided.clear();
                self.exchange.decide(stamp, command, &mut self.decided)?;
                codec::encode_events(&mut self.encoded, &self.decided);
                (&self.decided[..], self.encoded == batch.event_bytes_of(place))
            }
        };
        self.place += 1;
        self.next += 1;
        let state = self.exchange.state();
        Ok(each(Step { head, events, agrees, state, frame_end, batch, place }))
    }

    /// The journal that is replayed.
    pub fn journal(&self) -> &'j Journal {
        self.journal
    }
}

/// The journal's name, as the engine keys its draws with it.
pub fn id(journal: &Journal) -> JournalId {
    JournalId(journal.id())
}

/// What a snapshot of the first `records` records of `journal` must be bound to; `None` unless they
/// end a complete block.
pub fn binding(journal: &Journal, records: u64) -> Option<Binding> {
    if records == 0 || !records.is_multiple_of(BLOCK_RECORDS) {
        return None;
    }
    let block = journal.blocks().get(usize::try_from(records / BLOCK_RECORDS).ok()? - 1)?;
    Some(Binding {
        journal: id(journal),
        records,
        block: block.hash,
        root: block.root,
        schema: journal.schema(),
        build: BUILD.to_owned(),
    })
}

/// Folds the first `records` records, from the nearest snapshot.
pub fn state_at(journal: &Journal, mode: Mode, records: u64) -> Result<State, ReplayError> {
    let (mut replay, _) = Replay::from_nearest(journal, mode, records);
    replay.read_ahead();
    replay.run(records, |_| ControlFlow::Continue(()))?;
    Ok(replay.into_exchange().into_state())
}
