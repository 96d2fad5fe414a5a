//! Making frames: records are encoded in place, hashed in long runs, and sealed.

use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::Micros;

use crate::format::block::{BLOCK_RECORDS, Hash};
use crate::format::chain::Chain;
use crate::format::codec::{self, EncodeError, RECORD_BYTES_MAX, RecordHead};
use crate::format::frame::{
    self, BLOCK_ENTRY, BODY_MAX, CHECKSUM, DIGEST, HEADER_FIXED, HEADER_MAX, Header, Place,
};

/// Bytes kept free before the body, so that the header of an ordinary frame needs no second copy.
const ROOM: usize = 1024;

/// Why records cannot become a frame. All of these are mistakes of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There are no records.
    #[error("a frame needs at least one record")]
    Empty,
    /// The records are too many bytes, or end too many blocks for one header.
    #[error("a frame holds at most {BODY_MAX} bytes of records under {HEADER_MAX} of header")]
    TooLong,
    /// The frame was begun where the chain does not stand.
    #[error("the frame begins at record {found}, the chain stands at {expected}")]
    Order {
        /// Where the chain stands.
        expected: u64,
        /// Where the frame begins.
        found: u64,
    },
    /// A block ended and its root was not given, or a root was given where no block ended.
    #[error("the state root at the end of block {block} was not given in its turn")]
    BlockRoot {
        /// The block.
        block: u64,
    },
    /// The frame ends with a block, and their state roots differ.
    #[error("the frame and the block that ends with it have different state roots")]
    StateRoot,
    /// The times of the records go back.
    #[error("a record is older than the one before it")]
    Time,
}

/// A frame that is being filled.
#[derive(Debug)]
pub struct FrameBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    first_seq: u64,
    record_count: u32,
    event_count: u32,
    time_first: u64,
    time_last: u64,
    /// Whether every record came at or after the time of the one before it.
    ordered: bool,
    /// Where blocks ended: the next record, the byte, the state root.
    ends: Vec<(u64, usize, Hash)>,
}

impl FrameBuilder {
    /// An empty frame whose first record will be `first_seq`. The buffer is emptied and reused.
    pub fn new(first_seq: u64, buffer: Vec<u8>) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        bytes.resize(ROOM, 0);
        Self {
            bytes,
            first_seq,
            record_count: 0,
            event_count: 0,
            time_first: 0,
            time_last: 0,
            ordered: true,
            ends: Vec::new(),
        }
    }

    /// Adds a record. If a block is then [full](Self::block_is_full), [`end_block`](Self::end_block)
    /// must come before the next record.
    pub fn push(
        &mut self,
        stamp: (Micros, Source),
        command: &Command,
        events: &[Event],
        tag: u64,
    ) -> Result<(), EncodeError> {
        codec::encode_record(&mut self.bytes, stamp, command, events, tag)?;
        self.count(stamp.0.0, u32::try_from(events.len()).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Adds a record that is encoded already; `false`, and nothing is added, if it is not one.
    pub fn push_encoded(&mut self, record: &[u8]) -> bool {
        match RecordHead::read(record) {
            Some(head) if head.length == record.len() => {
                self.bytes.extend_from_slice(record);
                self.count(head.time, head.event_count);
                true
            }
            _ => false,
        }
    }

    fn count(&mut self, time: u64, events: u32) {
        if self.record_count == 0 {
            self.time_first = time;
        }
        self.ordered &= self.record_count == 0 || self.time_last <= time;
        self.time_last = time;
        self.record_count = self.record_count.saturating_add(1);
        self.event_count = self.event_count.saturating_add(events);
    }

    /// The record that comes next.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.record_count))
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// How many records there are.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Bytes of the records.
    pub fn body_length(&self) -> usize {
        self.bytes.len() - ROOM
    }

    /// Whether the longest record has no room in it any more: it has to be sealed before the next one.
    pub fn is_full(&self) -> bool {
        self.body_length().saturating_add(RECORD_BYTES_MAX) as u64 > BODY_MAX
    }

    /// Whether the last record was the last one of its block.
    pub fn block_is_full(&self) -> bool {
        !self.is_empty() && self.next_seq().is_multiple_of(BLOCK_RECORDS)
    }

    /// Notes the state root after the last record, which is the last one of its block.
    pub fn end_block(&mut self, root: Hash) {
        self.ends.push((self.next_seq(), self.bytes.len(), root));
    }

    /// Seals the frame: hashes its records into the chain, and writes the header before them and the
    /// trailer behind. On an error the chain is as it was.
    ///
    /// `state_root` and `digests` are those of the state after the last record.
    pub fn seal(
        mut self,
        chain: &mut Chain,
        state_root: Hash,
        digests: &[u128],
    ) -> Result<Sealed, SealError> {
        self.check(chain, &state_root, digests.len())?;
        let (mut at, mut seq) = (ROOM, self.first_seq);
        let mut blocks = Vec::with_capacity(self.ends.len());
        for (end_seq, end, root) in &self.ends {
            chain.push(self.bytes.get(at..*end).unwrap_or_default(), end_seq - seq);
            blocks.push(chain.end_block(*root));
            (at, seq) = (*end, *end_seq);
        }
        chain.push(self.bytes.get(at..).unwrap_or_default(), self.next_seq() - seq);

        let header = Header {
            close: false,
            body_length: self.body_length() as u64,
            first_seq: self.first_seq,
            record_count: self.record_count,
            event_count: self.event_count,
            time_first: self.time_first,
            time_last: self.time_last,
            running: chain.running(),
            tree_root: chain.tree_root(),
            state_root,
            digests: digests.to_vec(),
            blocks,
        };
        Ok(Sealed::around(header, std::mem::take(&mut self.bytes), ROOM))
    }

    fn check(&self, chain: &Chain, state_root: &Hash, digests: usize) -> Result<(), SealError> {
        if self.is_empty() {
            return Err(SealError::Empty);
        }
        let header = (HEADER_FIXED + CHECKSUM)
            .saturating_add(digests.saturating_mul(DIGEST))
            .saturating_add(self.ends.len().saturating_mul(BLOCK_ENTRY));
        if self.body_length() as u64 > BODY_MAX || header > HEADER_MAX {
            return Err(SealError::TooLong);
        }
        if chain.next_seq() != self.first_seq {
            return Err(SealError::Order { expected: chain.next_seq(), found: self.first_seq });
        }
        if !self.ordered {
            return Err(SealError::Time);
        }
        let first = self.first_seq / BLOCK_RECORDS;
        let last = self.next_seq() / BLOCK_RECORDS;
        let mut ends = self.ends.iter();
        for block in first..last {
            let end = (block + 1).saturating_mul(BLOCK_RECORDS);
            if ends.next().is_none_or(|(seq, ..)| *seq != end) {
                return Err(SealError::BlockRoot { block });
            }
        }
        if ends.next().is_some() {
            return Err(SealError::BlockRoot { block: last });
        }
        let ended = self.ends.last().filter(|_| self.block_is_full());
        if ended.is_some_and(|(.., root)| root != state_root) {
            return Err(SealError::StateRoot);
        }
        Ok(())
    }
}

/// A frame that is complete but for the place that its checksum is bound to.
#[derive(Debug)]
pub struct Sealed {
    header: Header,
    bytes: Vec<u8>,
    /// Where the frame begins in `bytes`.
    start: usize,
}

impl Sealed {
    /// Puts a header before the body that begins at `room`, and a trailer behind it.
    fn around(header: Header, bytes: Vec<u8>, room: usize) -> Self {
        let mut bytes = bytes;
        let mut encoded = Vec::with_capacity(header.length());
        header.encode(&mut encoded);
        let start = match room.checked_sub(encoded.len()) {
            Some(start) => {
                if let Some(place) = bytes.get_mut(start..room) {
                    place.copy_from_slice(&encoded);
                }
                start
            }
            None => {
                bytes.splice(..room, encoded);
                0
            }
        };
        bytes.extend_from_slice(&frame::trailer(header.frame_length()));
        Self { header, bytes, start }
    }

    /// The frame of a header and a body that were read and verified.
    pub(crate) fn copied(header: Header, body: &[u8], buffer: Vec<u8>) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        bytes.resize(ROOM, 0);
        bytes.extend_from_slice(body);
        Self::around(header, bytes, ROOM)
    }

    /// The close mark behind a frame with this header.
    pub(crate) fn mark(last: &Header) -> Self {
        let header = Header {
            close: true,
            body_length: 0,
            first_seq: last.next_seq(),
            record_count: 0,
            event_count: 0,
            time_first: last.time_last,
            blocks: Vec::new(),
            ..last.clone()
        };
        Self::around(header, vec![0; ROOM], ROOM)
    }

    /// What its header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its records.
    pub fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(frame::TRAILER);
        self.bytes.get(self.start + self.header.length()..end).unwrap_or_default()
    }

    /// Binds the header to its place; the answer is all bytes of the frame.
    pub(crate) fn bound(&mut self, place: &Place) -> &[u8] {
        let bytes = self.bytes.get_mut(self.start..).unwrap_or_default();
        if let Some(header) = bytes.get_mut(..self.header.length()) {
            frame::bind(header, place);
        }
        bytes
    }

    /// Its buffer, to fill the next frame.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensorforge_engine::workflow;

    const STAMP: (Micros, Source) = (Micros(1), Source::OPERATOR);

    fn filled(records: u64, roots: &[u64]) -> FrameBuilder {
        let mut frame = FrameBuilder::new(0, Vec::new());
        for seq in 0..records {
            frame.push(STAMP, &Command::Workflow(workflow::Command::Advance), &[], seq).unwrap();
            if roots.contains(&frame.next_seq()) {
                frame.end_block([1; 32]);
            }
        }
        frame
    }

    #[test]
    fn the_callers_mistakes_are_named_and_leave_the_chain_alone() {
        let check = |frame: FrameBuilder, root: Hash, error: SealError| {
            let mut chain = Chain::genesis();
            assert_eq!(frame.seal(&mut chain, root, &[]).map(|_| ()), Err(error));
            assert_eq!(chain.head(), Chain::genesis().head());
        };
        check(filled(0, &[]), [0; 32], SealError::Empty);
        let many = vec![0; HEADER_MAX / DIGEST];
        let long = filled(1, &[]).seal(&mut Chain::genesis(), [0; 32], &many);
        assert_eq!(long.map(|_| ()), Err(SealError::TooLong));
        check(filled(1024, &[]), [0; 32], SealError::BlockRoot { block: 0 });
        check(filled(1024, &[1023]), [0; 32], SealError::BlockRoot { block: 0 });
        check(filled(10, &[5]), [0; 32], SealError::BlockRoot { block: 0 });
        check(filled(3000, &[1024]), [0; 32], SealError::BlockRoot { block: 1 });
        check(filled(1024, &[1024]), [0; 32], SealError::StateRoot);
        let order = SealError::Order { expected: 0, found: 5 };
        let mut frame = FrameBuilder::new(5, Vec::new());
        frame.push(STAMP, &Command::Workflow(workflow::Command::Advance), &[], 0).unwrap();
        check(frame, [0; 32], order);
        let mut frame = filled(1, &[]);
        frame
            .push(
                (Micros(0), Source::OPERATOR),
                &Command::Workflow(workflow::Command::Advance),
                &[],
                0,
            )
            .unwrap();
        check(frame, [0; 32], SealError::Time);
    }

    #[test]
    fn a_header_longer_than_its_room_fits_all_the_same() {
        let place = Place { id: [0; 16], segment: 0, offset: 4096 };
        let digests: Vec<u128> = (0..100).collect();
        let mut long = filled(9, &[]).seal(&mut Chain::genesis(), [1; 32], &digests).unwrap();
        let mut short = filled(9, &[]).seal(&mut Chain::genesis(), [1; 32], &[]).unwrap();
        assert_eq!(long.body(), short.body());
        assert_eq!(Header::decode(long.bound(&place), &place).as_ref(), Ok(long.header()));
        assert_eq!(Header::decode(short.bound(&place), &place).as_ref(), Ok(short.header()));
        assert_eq!(long.bound(&place).len() as u64, long.header().frame_length());
    }

    #[test]
    fn only_a_whole_record_is_taken_as_encoded() {
        let mut frame = filled(1, &[]);
        let record = frame.bytes[ROOM..].to_vec();
        assert!(frame.push_encoded(&record));
        assert!(!frame.push_encoded(&record[1..]));
        assert!(!frame.push_encoded(&[record.clone(), record].concat()));
        assert_eq!(frame.record_count(), 2);
    }
}
