//! Records decoded some at a time: their heads at once, and of what they say as much as is asked for.

use std::ops::Range;

use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, Seq};

use crate::format::body::Body;
use crate::format::codec::{self, DecodeError, RECORD_HEAD, RECORD_TAG, RecordHead};

/// Bytes of records after which a batch is full, which bounds their number too. An event of two bytes is
/// a hundred times as long in memory.
pub const BATCH_BYTES: usize = 32 << 10;

/// What of its records a batch decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Their events.
    Events,
    /// Of their events what folding looks at: the candidates of routes are left out.
    Folded,
    /// Their commands.
    Commands,
}

/// A record of a batch, without its command and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its position in the journal.
    pub seq: Seq,
    /// When its command came.
    pub time: Micros,
    /// Who sent it.
    pub source: Source,
    /// The tag of the state after it.
    pub tag: u64,
    /// Its bytes, in the batch's body.
    pub bytes: Range<usize>,
    /// The bytes of its command, in the batch's body.
    pub command: Range<usize>,
    /// How many events it has.
    pub event_count: u32,
    /// The bytes of its events, in the batch's body.
    pub event_bytes: Range<usize>,
    /// Its events, among those that the batch has decoded.
    pub events: Range<usize>,
}

/// Some records that stand one behind the other. Refill it rather than
/// make another: it keeps its buffers.
#[derive(Debug, Default)]
pub struct Batch {
    heads: Vec<Head>,
    events: Vec<Event>,
    commands: Vec<Command>,
    body: Body,
}

impl Batch {
    /// Decodes records of a frame in place of what was here: from byte `at` of its body on, where record
    /// `first_seq` stands, at least one and until the batch is full or the body ends. The answer is the
    /// byte behind them.
    ///
    /// Each record's events must fill it exactly, and so must its command. A batch ends before a record that cannot be decoded,
    /// which is an error only where it is the first.
    pub fn fill(
        &mut self,
        first_seq: u64,
        body: &Body,
        at: usize,
        read: Decoded,
    ) -> Result<usize, DecodeError> {
        self.heads.clear();
        self.events.clear();
        self.commands.clear();
        self.body = body.clone();
        let (mut end, mut seq) = (at, first_seq);
        while end < body.len() && end - at < BATCH_BYTES {
            match self.decode(seq, end, read) {
                Ok(next) => (end, seq) = (next, seq.saturating_add(1)),
                Err(error) if self.heads.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(end)
    }

    /// Decodes the record at a byte of the body; the answer is where it ends.
    fn decode(&mut self, seq: u64, at: usize, read: Decoded) -> Result<usize, DecodeError> {
        let bytes = self.body.get(at..).unwrap_or_default();
        let head = RecordHead::read(bytes).ok_or_else(|| codec::unfit(seq))?;
        let first_event = self.events.len();
        // The head is believed to fit: its command and tag lie within its length.
        let event_bytes = RECORD_HEAD + head.command_length..head.length - RECORD_TAG;
        let encoded = bytes.get(event_bytes.clone()).unwrap_or_default();
        let tag = bytes.get(event_bytes.end..).and_then(<[u8]>::first_chunk);
        let tag = u64::from_le_bytes(*tag.ok_or_else(|| codec::unfit(seq))?);
        let decoded = match read {
            Decoded::Events => {
                codec::decode_events::<false>(seq, head.event_count, encoded, &mut self.events)
            }
            Decoded::Folded => {
                codec::decode_events::<true>(seq, head.event_count, encoded, &mut self.events)
            }
            Decoded::Commands => {
                let command = bytes.get(RECORD_HEAD..event_bytes.start).unwrap_or_default();
                codec::decode_command(seq, command).map(|command| self.commands.push(command))
            }
        };
        decoded.inspect_err(|_| self.events.truncate(first_event))?;
        self.heads.push(Head {
            seq: Seq(seq),
            time: Micros(head.time),
            source: head.source,
            tag,
            bytes: at..at + head.length,
            command: at + RECORD_HEAD..at + RECORD_HEAD + head.command_length,
            event_count: head.event_count,
            event_bytes: at + event_bytes.start..at + event_bytes.end,
            events: first_event..self.events.len(),
        });
        Ok(at + head.length)
    }

    /// The records.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The events of all records, in their order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events of record `index` of the batch; none if there is no such record.
    pub fn events_of(&self, index: usize) -> &[Event] {
        let head = self.heads.get(index);
        head.and_then(|head| self.events.get(head.events.clone())).unwrap_or_default()
    }

    /// The bytes of record `index` of the batch; none if there is no such record.
    pub fn bytes_of(&self, index: usize) -> &[u8] {
        let head = self.heads.get(index);
        head.and_then(|head| self.body.get(head.bytes.clone())).unwrap_or_default()
    }

    /// The bytes of the events of record `index` of the batch; none if there is no such record.
    pub fn event_bytes_of(&self, index: usize) -> &[u8] {
        let head = self.heads.get(index);
        head.and_then(|head| self.body.get(head.event_bytes.clone())).unwrap_or_default()
    }

    /// Decodes all events of record `index` of the batch, whatever was decoded of them before; `None` if
    /// there is no such record.
    pub fn whole_events(&self, index: usize) -> Option<Result<Vec<Event>, DecodeError>> {
        let head = self.heads.get(index)?;
        let (mut events, bytes) = (Vec::new(), self.event_bytes_of(index));
        let decoded =
            codec::decode_events::<false>(head.seq.0, head.event_count, bytes, &mut events);
        Some(decoded.map(|()| events))
    }

    /// The commands of the records, if it is those that were decoded.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Decodes the command of record `index` of the batch; `None` if there is no such record.
    pub fn command(&self, index: usize) -> Option<Result<Command, DecodeError>> {
        let head = self.heads.get(index)?;
        let bytes = self.body.get(head.command.clone()).unwrap_or_default();
        Some(codec::decode_command(head.seq.0, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::codec::{Part, encode_record};
    use tensorforge_engine::units::{RegionId, VesselId};
    use tensorforge_engine::{models, workflow};

    const TIME: (Micros, Source) = (Micros(5), Source::OPERATOR);

    fn events() -> Vec<Event> {
        let (region, name, hop) = (RegionId(1), "north".into(), Micros(40));
        let transfer = Micros(2);
        let region = models::Event::RegionRegistered { region, name, hop, transfer };
        vec![region.into(), models::Event::VesselSeen { vessel: VesselId(9), start: 0 }.into()]
    }

    fn command() -> Command {
        models::Command::RegisterRegion {
            name: "north".into(),
            hop: Micros(40),
            transfer: Micros(2),
        }
        .into()
    }

    fn record() -> Vec<u8> {
        let command = command();
        let mut bytes = Vec::new();
        encode_record(&mut bytes, TIME, &command, &events(), 0x77).unwrap();
        bytes
    }

    fn fill(bytes: Vec<u8>) -> Result<Batch, DecodeError> {
        let mut batch = Batch::default();
        batch.fill(100, &Body::from(bytes), 0, Decoded::Events).map(|_| batch)
    }

    fn parts(error: &DecodeError) -> (u64, Part, &str) {
        match error {
            DecodeError::Unknown { seq, part, detail }
            | DecodeError::Malformed { seq, part, detail } => (*seq, *part, detail),
        }
    }

    #[test]
    fn a_batch_gives_back_what_was_encoded() {
        let batch = fill([record(), record()].concat()).unwrap();
        assert_eq!(batch.heads().len(), 2);
        assert_eq!(batch.events().len(), 4);
        assert_eq!(batch.events_of(1), events());
        assert_eq!(batch.bytes_of(1), record());
        let head = &batch.heads()[1];
        assert_eq!((head.seq, head.time, head.source), (Seq(101), TIME.0, TIME.1));
        assert_eq!(head.tag, 0x77);
        let command = command();
        assert_eq!(batch.command(1), Some(Ok(command)));
        assert_eq!(batch.command(2), None);
    }

    #[test]
    fn what_is_not_a_record_is_named() {
        let check = |at: usize, byte: u8, part: Part, detail: &str| {
            let mut bytes = record();
            bytes[at] = byte;
            let error = match fill(bytes) {
                Err(error) => error,
                Ok(batch) => batch.command(0).unwrap().unwrap_err(),
            };
            let (seq, found, said) = parts(&error);
            assert_eq!((seq, found), (100, part), "{error}");
            assert!(said.contains(detail), "{error}");
        };
        // The head is 30 bytes, the command 1 + 1 + 1 + 5 + 1 + 1, the first event 2 + 1 + 1 + 5 + 1 + 1, the second 2 + 1 + 1.
        check(0, 255, Part::Lengths, "does not fit");
        check(7, 1, Part::Lengths, "does not fit");
        check(4, 11, Part::Event(0), "");
        check(8, 3, Part::Event(2), "end before");
        check(11, 255, Part::Lengths, "does not fit");
        check(8, 1, Part::Lengths, "4 bytes follow the last event");
        check(30, 99, Part::Command, "variant index");
        check(31, 99, Part::Command, "variant index");
        check(40, 99, Part::Event(0), "the number 99");
        check(41, 98, Part::Event(0), "the number 98");
        check(51, 97, Part::Event(1), "the number 97");
        check(30 + 4, 0xff, Part::Command, "");
        check(40 + 5, 0xff, Part::Event(0), "are no text");
        check(38, 254, Part::Command, "");
        check(49, 254, Part::Event(0), "not as short");
    }

    /// The record with a number packed otherwise.
    fn widened(at: usize, packed: &[u8]) -> Vec<u8> {
        let mut bytes = record();
        bytes.splice(at..=at, packed.iter().copied());
        let more = packed.len() as u8 - 1;
        bytes[0] += more;
        bytes[4] += if at < 40 { more } else { 0 };
        bytes
    }

    #[test]
    fn a_number_is_as_short_as_it_can_be() {
        let forms = |number: u8| {
            let wide = |width: u8, bytes: usize| {
                let mut form = vec![0; bytes + 1];
                (form[0], form[1]) = (width, number);
                form
            };
            [wide(251, 2), wide(252, 4), wide(253, 8)]
        };
        for form in forms(40) {
            let error = fill(widened(49, &form)).unwrap_err();
            assert_eq!(parts(&error).1, Part::Event(0), "{error}");
            let batch = fill(widened(38, &form)).unwrap();
            let error = batch.command(0).unwrap().unwrap_err();
            assert_eq!(parts(&error).1, Part::Command, "{error}");
            assert!(parts(&error).2.contains("not as short"), "{error}");
        }
        // The first one that needs two bytes.
        assert!(fill(widened(49, &[251, 251, 0])).is_ok());
        assert!(fill(widened(49, &[251, 250, 0])).is_err());
        assert!(fill(widened(49, &[252, 0, 0, 1, 0])).is_ok());
        assert!(fill(widened(49, &[252, 255, 255, 0, 0])).is_err());
        assert!(fill(widened(49, &[253, 0, 0, 0, 0, 1, 0, 0, 0])).is_ok());
        assert!(fill(widened(49, &[253, 255, 255, 255, 255, 0, 0, 0, 0])).is_err());
        // A region has four bytes at most.
        assert!(fill(widened(42, &[252, 0, 0, 1, 0])).is_ok());
        assert!(fill(widened(42, &[253, 0, 0, 0, 0, 1, 0, 0, 0])).is_err());
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        for length in [u32::MAX, 8 << 20] {
            let [a, b, c, d] = length.to_le_bytes();
            // The length of the first event's name.
            let bytes = widened(43, &[252, a, b, c, d]);
            assert_eq!(parts(&fill(bytes).unwrap_err()).1, Part::Event(0));
        }
    }

    #[test]
    fn every_cut_and_every_flip_is_decoded_or_named() {
        let whole = record();
        for length in 1..whole.len() {
            assert!(fill(whole[..length].to_vec()).is_err(), "cut at {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(batch) = fill(bytes) {
                let _ = batch.command(0);
            }
        }
    }

    #[test]
    fn what_is_left_out_is_had_when_it_is_asked_for() {
        let body = Body::from([record(), record()].concat());
        for (read, decoded) in [(Decoded::Events, 4), (Decoded::Folded, 4), (Decoded::Commands, 0)]
        {
            let mut batch = Batch::default();
            assert_eq!(batch.fill(100, &body, 0, read), Ok(body.len()));
            assert_eq!(batch.events().len(), decoded, "{read:?}");
            assert_eq!(batch.whole_events(1), Some(Ok(events())));
            let mut bytes = vec![9];
            codec::encode_events(&mut bytes, &events());
            assert_eq!(batch.event_bytes_of(1), bytes);
        }
    }

    /// How many records and events, and which bytes, each batch of a body has.
    fn batches(body: Vec<u8>) -> Vec<(usize, usize, Range<usize>)> {
        let body = Body::from(body);
        let (mut batch, mut at, mut seq) = (Batch::default(), 0, 100);
        let mut found = Vec::new();
        while at < body.len() {
            let end = batch.fill(seq, &body, at, Decoded::Events).unwrap();
            let heads = batch.heads();
            assert_eq!(heads[0].seq, Seq(seq));
            assert_eq!((heads[0].bytes.start, heads[heads.len() - 1].bytes.end), (at, end));
            found.push((heads.len(), batch.events().len(), at..end));
            seq += heads.len() as u64;
            at = end;
        }
        found
    }

    #[test]
    fn a_batch_is_bounded() {
        // Many small records.
        let mut small = Vec::new();
        encode_record(&mut small, TIME, &workflow::Command::Advance.into(), &[], 0).unwrap();
        let within = BATCH_BYTES.div_ceil(small.len());
        let full = within * small.len();
        assert_eq!(
            batches(small.repeat(2 * within + 7)),
            [
                (within, 0, 0..full),
                (within, 0, full..2 * full),
                (7, 0, 2 * full..2 * full + 7 * small.len()),
            ]
        );
        // Few records of many small events.
        let seen = vec![models::Event::VesselSeen { vessel: VesselId(9), start: 0 }.into(); 4_000];
        let mut large = Vec::new();
        encode_record(&mut large, TIME, &workflow::Command::Advance.into(), &seen, 0).unwrap();
        let length = large.len();
        let within = BATCH_BYTES.div_ceil(length);
        assert!(within > 1);
        let found = batches(large.repeat(2 * within + 1));
        assert_eq!(found[0], (within, within * 4_000, 0..within * length));
        assert_eq!(found.iter().map(|batch| batch.0).collect::<Vec<_>>(), [within, within, 1]);
    }

    #[test]
    fn a_batch_ends_before_what_cannot_be_decoded() {
        let mut bad = record();
        bad[8] = 3;
        let body = Body::from([record(), record(), bad, record()].concat());
        let mut batch = Batch::default();
        let end = batch.fill(100, &body, 0, Decoded::Events).unwrap();
        assert_eq!((batch.heads().len(), batch.events().len()), (2, 4));
        assert_eq!(end, 2 * record().len());
        let error = batch.fill(102, &body, end, Decoded::Events).unwrap_err();
        assert_eq!(parts(&error).0, 102);
        assert_eq!((batch.heads().len(), batch.events().len()), (0, 0));
        assert_eq!(batch.fill(103, &body, 3 * record().len(), Decoded::Events), Ok(body.len()));
    }
}
