//! Reading records one by one.

use std::ops::ControlFlow;

use tensorforge_engine::Event;
use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::units::Seq;

use crate::error::{JournalError, Result};
use crate::format::batch::Batch;
use crate::format::codec::DecodeError;
use crate::reading::batches::Batches;
use crate::reading::journal::Journal;

/// One record, read on its own.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands, when its command came and who sent it.
    pub stamp: Stamp,
    /// The command.
    pub command: Command,
    /// What was decided.
    pub events: Vec<Event>,
    /// The tag of the state after it.
    pub tag: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Some records of a journal, one by one. Ends after the first error.
pub struct Records<'j> {
    batches: Batches<'j>,
    /// The next record in the batch.
    place: usize,
    /// The first record that is not asked for.
    end: u64,
    failed: bool,
}

impl Journal {
    /// The records `from..to`, as far as there are any.
    pub fn records(&self, from: u64, to: u64) -> Result<Records<'_>> {
        Ok(Records { batches: self.batches_from(from)?, place: 0, end: to, failed: false })
    }
}

impl Records<'_> {
    fn read(&mut self) -> Result<Option<Record>> {
        if self.place >= self.batches.batch().heads().len() {
            self.place = 0;
            if self.batches.next_seq() >= self.end || self.batches.read()?.is_none() {
                return Ok(None);
            }
        }
        let batch = self.batches.batch();
        let Some(head) = batch.heads().get(self.place).filter(|head| head.seq.0 < self.end) else {
            return Ok(None);
        };
        let record = Record {
            stamp: Stamp { seq: head.seq, time: head.time, source: head.source },
            command: command_of(batch, self.place, head.seq.0)?,
            events: batch.events_of(self.place).to_vec(),
            tag: head.tag,
            bytes: batch.bytes_of(self.place).to_vec(),
        };
        self.place += 1;
        Ok(Some(record))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.read().transpose();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

/// Hands over records `from..to` one by one.
pub fn read_records(
    journal: &Journal,
    from: u64,
    to: u64,
    mut each: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<(), JournalError> {
    for record in journal.records(from, to)? {
        if each(record?).is_break() {
            break;
        }
    }
    Ok(())
}

/// One record by its number; `None` beyond the end.
pub fn read_record(journal: &Journal, seq: Seq) -> Result<Option<Record>, JournalError> {
    journal.records(seq.0, seq.0.saturating_add(1))?.next().transpose()
}

/// How many records came up to and including the moment `time`.
pub fn records_until(journal: &Journal, time: u64) -> Result<u64, JournalError> {
    let mut count = 0;
    for frame in journal.frames_from(0)? {
        let frame = frame?;
        if frame.header.time_last > time {
            let within = frame.heads().take_while(|head| head.time <= time).count();
            return Ok(frame.header.first_seq + within as u64);
        }
        count = frame.header.next_seq();
    }
    Ok(count)
}

/// The command of a record of a batch.
pub(crate) fn command_of(batch: &Batch, place: usize, seq: u64) -> Result<Command, DecodeError> {
    batch.command(place).unwrap_or_else(|| Err(DecodeError::absent(seq)))
}
