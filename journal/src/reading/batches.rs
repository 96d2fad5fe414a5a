//! Reading records some at a time: whatever a frame holds, no more than a batch of it is decoded at once.

use crate::error::Result;
use crate::format::batch::{Batch, Decoded};
use crate::format::frame::Header;
use crate::reading::journal::Journal;
use crate::reading::stream::{Frame, Frames};

/// A batch, and the header of its frame if the frame ends with it.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(crate) batch: Batch,
    pub(crate) frame_end: Option<Header>,
}

/// Where portions come from, one after the other.
pub(crate) trait Portions {
    /// The present one; an empty one at first.
    fn portion(&self) -> &Portion;
    /// Goes on to the next one; false at the journal's end.
    fn advance(&mut self) -> Result<bool>;
}

/// The records of a journal from one of them on, batch by batch.
pub struct Batches<'j> {
    frames: Frames<'j>,
    /// The frame that is being decoded.
    frame: Option<Frame>,
    /// The next record, and its byte in the body of that frame.
    next_seq: u64,
    at: usize,
    read: Decoded,
    portion: Portion,
}

impl Journal {
    /// The records from `seq` on; none if `seq` is the next record.
    pub fn batches_from(&self, seq: u64) -> Result<Batches<'_>> {
        self.batches_of(seq, Decoded::Events)
    }

    /// The same with no more of their events than is asked for.
    pub fn batches_of(&self, seq: u64, read: Decoded) -> Result<Batches<'_>> {
        let frames = self.frames_from(seq)?;
        Ok(Batches { frames, frame: None, next_seq: seq, at: 0, read, portion: Portion::default() })
    }
}

impl Batches<'_> {
    /// Decodes the next batch; `None` at the journal's end.
    pub fn read(&mut self) -> Result<Option<&Batch>> {
        Ok(self.advance()?.then_some(&self.portion.batch))
    }

    /// What was read last.
    pub fn batch(&self) -> &Batch {
        &self.portion.batch
    }

    /// The record behind what was read last.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The header of the frame that ends with what was read last; `None` if the frame goes on.
    pub fn frame_end(&self) -> Option<&Header> {
        self.portion.frame_end.as_ref()
    }

    /// Hands over what was read last, for another one to be filled again.
    pub(crate) fn exchange(&mut self, portion: Portion) -> Portion {
        std::mem::replace(&mut self.portion, portion)
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

impl Portions for Batches<'_> {
    fn portion(&self) -> &Portion {
        &self.portion
    }

    fn advance(&mut self) -> Result<bool> {
        if self.ends_frame() && !self.next_frame()? {
            return Ok(false);
        }
        let Some(frame) = &self.frame else { return Ok(false) };
        let batch = &mut self.portion.batch;
        self.at = batch.fill(self.next_seq, &frame.body, self.at, self.read)?;
        self.next_seq = self.next_seq.saturating_add(batch.heads().len() as u64);
        let ends = self.at >= frame.body.len();
        self.portion.frame_end = ends.then(|| frame.header.clone());
        Ok(true)
    }
}
