//! Reading records some at a time: whatever a frame holds, no more than a batch of it is decoded at once.

use crate::error::Result;
use crate::format::batch::{Batch, Events};
use crate::format::frame::Header;
use crate::reading::journal::Journal;
use crate::reading::stream::{Frame, Frames};

/// The records of a journal from one of them on, batch by batch.
pub struct Batches<'j> {
    frames: Frames<'j>,
    /// The frame that is being decoded.
    frame: Option<Frame>,
    /// The next record, and its byte in the body of that frame.
    next_seq: u64,
    at: usize,
    read: Events,
    batch: Batch,
}

impl Journal {
    /// The records from `seq` on; none if `seq` is the next record.
    pub fn batches_from(&self, seq: u64) -> Result<Batches<'_>> {
        self.batches_of(seq, Events::Whole)
    }

    /// The same with no more of their events than is asked for.
    pub fn batches_of(&self, seq: u64, read: Events) -> Result<Batches<'_>> {
        let frames = self.frames_from(seq)?;
        Ok(Batches { frames, frame: None, next_seq: seq, at: 0, read, batch: Batch::default() })
    }
}

impl Batches<'_> {
    /// Decodes the next batch; `None` at the journal's end.
    pub fn read(&mut self) -> Result<Option<&Batch>> {
        if self.ends_frame() && !self.next_frame()? {
            return Ok(None);
        }
        let Some(frame) = &self.frame else { return Ok(None) };
        self.at = self.batch.fill(self.next_seq, &frame.body, self.at, self.read)?;
        self.next_seq = self.next_seq.saturating_add(self.batch.heads().len() as u64);
        Ok(Some(&self.batch))
    }

    /// What was read last.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The record behind what was read last.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The header of the frame that ends with what was read last; `None` if the frame goes on.
    pub fn frame_end(&self) -> Option<&Header> {
        self.frame.as_ref().filter(|_| self.ends_frame()).map(|frame| &frame.header)
    }

    fn ends_frame(&self) -> bool {
        self.frame.as_ref().is_none_or(|frame| self.at >= frame.body.len())
    }

    /// Takes the next frame, and passes over its records before the one that is wanted.
    fn next_frame(&mut self) -> Result<bool> {
        self.frame = None;
        let Some(frame) = self.frames.next().transpose()? else { return Ok(false) };
        let passed = self.next_seq.saturating_sub(frame.header.first_seq);
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        self.at = frame.heads().take(passed).map(|head| head.length).sum();
        self.frame = Some(frame);
        Ok(true)
    }
}
