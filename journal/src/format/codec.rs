//! Records as bytes: a head of fixed width, then the command in bincode, then its events as the images
//! that the engine gives them, then a tag.
//!
//! Decoding is strict and in two phases: heads and events of a whole frame first, commands when they
//! are asked for. No other module knows the codec.

use std::fmt;
use std::ops::Range;

use bincode::config::{self, Config};
use bincode::enc::write::{SizeWriter, Writer};
use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::image::{Image, Misread, Reader, Source as _};
use tensorforge_engine::security::{Scopes, Source};
use tensorforge_engine::units::{Micros, Seq, TenantId};

use crate::format::block::Hash;
use crate::format::body::Body;

/// Bytes before the command: length, command length, event count, time, tenant, key, scopes.
pub const RECORD_HEAD: usize = 4 + 4 + 4 + 8 + 4 + 4 + 2;

/// Bytes after the events.
pub const RECORD_TAG: usize = 8;

/// The longest record. It also bounds what a list's length may make the decoder allocate.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// No enum of the wire has as many variants, in any build to come: a number from here on is not one.
const VARIANTS_MAX: u64 = 256;

fn codec() -> impl Config {
    config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<RECORD_BYTES_MAX>()
}

/// The longest command. What is decided about one is bounded by the engine; with this, so is a record.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Refuses a command that is too long to be recorded, before anything is decided about it.
pub fn check_command(command: &Command) -> Result<(), EncodeError> {
    let mut size = SizeWriter::default();
    bincode::serde::encode_into_writer(command, SizeOf(&mut size), codec())
        .map_err(|error| EncodeError::Refused { detail: error.to_string() })?;
    match size.bytes_written {
        bytes if bytes > COMMAND_BYTES_MAX => Err(EncodeError::CommandTooLong { bytes }),
        _ => Ok(()),
    }
}

/// Lets the codec count what it would write.
struct SizeOf<'a>(&'a mut SizeWriter);

impl Writer for SizeOf<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.write(bytes)
    }
}

/// Why a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is longer than any record may be.
    #[error("the record has {bytes} bytes, at most {RECORD_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Its command is longer than any command may be.
    #[error("the command has {bytes} bytes, at most {COMMAND_BYTES_MAX} are allowed")]
    CommandTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The codec refused it.
    #[error("the record cannot be encoded: {detail}")]
    Refused {
        /// What the codec said.
        detail: String,
    },
}

/// A part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The lengths at its head.
    Lengths,
    /// Its command.
    Command,
    /// One of its events, from zero.
    Event(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths => f.write_str("the lengths"),
            Self::Command => f.write_str("the command"),
            Self::Event(index) => write!(f, "event {index}"),
        }
    }
}

/// A record that this build cannot decode. If its frame verifies, its bytes are what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A variant of it is one that this build does not have: a later build wrote it.
    #[error("record {seq}: {part} is of a kind that this build does not know: {detail}")]
    Unknown {
        /// The record.
        seq: u64,
        /// Which part of it.
        part: Part,
        /// The variant, and what there is in its place.
        detail: String,
    },
    /// It is no record of any build.
    #[error("record {seq} is malformed at {part}: {detail}")]
    Malformed {
        /// The record.
        seq: u64,
        /// Which part of it.
        part: Part,
        /// What is wrong with its bytes.
        detail: String,
    },
}

impl DecodeError {
    /// A record that is not in its batch.
    pub(crate) fn absent(seq: u64) -> Self {
        Self::malformed(seq, Part::Command, "it is not there")
    }

    fn malformed(seq: u64, part: Part, detail: impl Into<String>) -> Self {
        Self::Malformed { seq, part, detail: detail.into() }
    }

    /// What is wrong with the image of an event.
    fn misread(seq: u64, part: Part, misread: Misread) -> Self {
        let detail = misread.to_string();
        match misread {
            Misread::Number(_) => Self::Unknown { seq, part, detail },
            _ => Self::Malformed { seq, part, detail },
        }
    }

    /// What the codec's error says of a part of a record.
    fn of(seq: u64, part: Part, error: &bincode::error::DecodeError) -> Self {
        use bincode::error::DecodeError as Codec;
        let detail = match error {
            Codec::OtherString(words) => match variant_in(words) {
                Some(variant) if variant < VARIANTS_MAX => {
                    return Self::Unknown { seq, part, detail: words.clone() };
                }
                Some(variant) => format!("variant {variant} is none of any build"),
                None => words.clone(),
            },
            Codec::UnexpectedEnd { .. } => Misread::Ends.to_string(),
            Codec::LimitExceeded => "a length is beyond that of any record".to_owned(),
            other => other.to_string(),
        };
        Self::Malformed { seq, part, detail }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown { .. } => "read it with the build that wrote it, or a later one".into(),
            Self::Malformed { seq: 0, .. } => {
                "its frame verifies, so it was written so: no build can read this journal".into()
            }
            Self::Malformed { seq, .. } => format!(
                "its frame verifies, so it was written so; `tensorforge replay DIR --to {seq}` \
                 replays what precedes it"
            ),
        }
    }
}

/// The variant that a derived decoder does not have, which it tells in these words alone.
fn variant_in(words: &str) -> Option<u64> {
    let (found, _) = words.split_once("`, expected variant index")?;
    found.rsplit_once('`')?.1.parse().ok()
}

/// Appends one record. On an error `bytes` is as it was.
pub fn encode_record(
    bytes: &mut Vec<u8>,
    (time, source): (Micros, Source),
    command: &Command,
    events: &[Event],
    tag: u64,
) -> Result<(), EncodeError> {
    let start = bytes.len();
    let encoded = encode_after(bytes, (time, source), command, events, tag);
    if encoded.is_err() {
        bytes.truncate(start);
    }
    encoded
}

/// The hash of events as records hold them: equal for two builds exactly where they decide the same,
/// however each of them shows it.
pub fn hash_events(events: &[Event]) -> Hash {
    let mut bytes = Vec::new();
    events.iter().for_each(|event| event.write(&mut bytes));
    *blake3::hash(&bytes).as_bytes()
}

fn encode_after(
    bytes: &mut Vec<u8>,
    (time, source): (Micros, Source),
    command: &Command,
    events: &[Event],
    tag: u64,
) -> Result<(), EncodeError> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; RECORD_HEAD]);
    append(bytes, command)?;
    let command_length = bytes.len() - start - RECORD_HEAD;
    events.iter().for_each(|event| event.write(bytes));
    bytes.extend_from_slice(&tag.to_le_bytes());

    let length = bytes.len() - start;
    if length > RECORD_BYTES_MAX {
        return Err(EncodeError::TooLong { bytes: length });
    }
    // Every count below is smaller than the length, which fits.
    let mut head = [0; RECORD_HEAD];
    head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    head[4..8].copy_from_slice(&(command_length as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(events.len() as u32).to_le_bytes());
    head[12..20].copy_from_slice(&time.0.to_le_bytes());
    head[20..24].copy_from_slice(&source.tenant.0.to_le_bytes());
    head[24..28].copy_from_slice(&source.key.to_le_bytes());
    head[28..30].copy_from_slice(&source.scopes.0.to_le_bytes());
    if let Some(place) = bytes.get_mut(start..start + RECORD_HEAD) {
        place.copy_from_slice(&head);
    }
    Ok(())
}

fn append<T: serde::Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    bincode::serde::encode_into_writer(value, Sink(bytes), codec())
        .map_err(|error| EncodeError::Refused { detail: error.to_string() })
}

/// Lets the codec write behind what a buffer holds.
struct Sink<'a>(&'a mut Vec<u8>);

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// What the head of a record says, with no part of it believed beyond its own bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    pub(crate) length: usize,
    pub(crate) command_length: usize,
    pub(crate) event_count: u32,
    pub(crate) time: u64,
    source: Source,
}

impl RecordHead {
    /// The record at the front of `bytes`; `None` unless it fits into them and holds its command.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<RECORD_HEAD>()?;
        let u32_at =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (time, _) = head[12..].split_first_chunk()?;
        let length = u32_at(0) as usize;
        let command_length = u32_at(4) as usize;
        let around = RECORD_HEAD + RECORD_TAG;
        let fits = length <= bytes.len()
            && length <= RECORD_BYTES_MAX
            && command_length.checked_add(around).is_some_and(|needed| needed <= length);
        fits.then(|| Self {
            length,
            command_length,
            event_count: u32_at(8),
            time: u64::from_le_bytes(*time),
            source: Source {
                tenant: TenantId(u32_at(20)),
                key: u32_at(24),
                scopes: Scopes(u16::from_le_bytes([head[28], head[29]])),
            },
        })
    }
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
    /// Its events, among the batch's.
    pub events: Range<usize>,
}

/// The records of one frame, decoded but for their commands. Refill it rather than make another: it
/// keeps its buffers.
#[derive(Debug, Default)]
pub struct Batch {
    heads: Vec<Head>,
    events: Vec<Event>,
    body: Body,
}

impl Batch {
    /// Decodes a whole body, which begins with record `first_seq`, in place of what was here.
    ///
    /// The records must fill the body exactly, and each one's events must fill it exactly.
    pub fn fill(&mut self, first_seq: u64, body: &Body) -> Result<(), DecodeError> {
        self.heads.clear();
        self.events.clear();
        self.body = body.clone();
        let (mut at, mut seq) = (0, first_seq);
        while at < body.len() {
            at = decode_record(seq, body, at, &mut self.heads, &mut self.events)?;
            seq = seq.saturating_add(1);
        }
        Ok(())
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

    /// Decodes the command of record `index` of the batch; `None` if there is no such record.
    pub fn command(&self, index: usize) -> Option<Result<Command, DecodeError>> {
        let head = self.heads.get(index)?;
        let bytes = self.body.get(head.command.clone()).unwrap_or_default();
        Some(decode_command(head.seq.0, bytes))
    }
}

/// Decodes the record at `at`; the answer is where it ends.
fn decode_record(
    seq: u64,
    body: &[u8],
    at: usize,
    heads: &mut Vec<Head>,
    events: &mut Vec<Event>,
) -> Result<usize, DecodeError> {
    let unfit = || DecodeError::malformed(seq, Part::Lengths, "it does not fit into its frame");
    let bytes = body.get(at..).unwrap_or_default();
    let head = RecordHead::read(bytes).ok_or_else(unfit)?;
    let rest = bytes.get(RECORD_HEAD + head.command_length..head.length).ok_or_else(unfit)?;
    let (rest, tag) = rest.split_last_chunk::<RECORD_TAG>().ok_or_else(unfit)?;

    let first_event = events.len();
    let mut source: Reader = Reader::new(rest);
    for index in 0..head.event_count {
        let event = Event::read(&mut source);
        if let Some(misread) = source.fault() {
            return Err(DecodeError::misread(seq, Part::Event(index), misread));
        }
        events.push(event);
    }
    if !source.left().is_empty() {
        let detail = format!("{} bytes follow the last event", source.left().len());
        return Err(DecodeError::malformed(seq, Part::Lengths, detail));
    }

    let command = at + RECORD_HEAD;
    heads.push(Head {
        seq: Seq(seq),
        time: Micros(head.time),
        source: head.source,
        tag: u64::from_le_bytes(*tag),
        bytes: at..at + head.length,
        command: command..command + head.command_length,
        events: first_event..events.len(),
    });
    Ok(at + head.length)
}

fn decode_command(seq: u64, bytes: &[u8]) -> Result<Command, DecodeError> {
    let (command, taken) = bincode::serde::decode_from_slice(bytes, codec())
        .map_err(|error| DecodeError::of(seq, Part::Command, &error))?;
    match bytes.len() - taken {
        0 => Ok(command),
        rest => {
            let detail = format!("{rest} bytes follow it");
            Err(DecodeError::malformed(seq, Part::Command, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensorforge_engine::models;
    use tensorforge_engine::units::{RegionId, VesselId};

    const TIME: (Micros, Source) = (Micros(5), Source::OPERATOR);

    fn events() -> Vec<Event> {
        let region = Event::Models(models::Event::RegionRegistered {
            region: RegionId(1),
            name: "north".into(),
            hop: Micros(40),
        });
        vec![region, Event::Models(models::Event::VesselSeen { vessel: VesselId(9) })]
    }

    fn record() -> Vec<u8> {
        let command = Command::Models(models::Command::RegisterRegion {
            name: "north".into(),
            hop: Micros(40),
        });
        let mut bytes = Vec::new();
        encode_record(&mut bytes, TIME, &command, &events(), 0x77).unwrap();
        bytes
    }

    fn fill(bytes: Vec<u8>) -> Result<Batch, DecodeError> {
        let mut batch = Batch::default();
        batch.fill(100, &Body::from(bytes)).map(|()| batch)
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
        let command = Command::Models(models::Command::RegisterRegion {
            name: "north".into(),
            hop: Micros(40),
        });
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
        // The head is 30 bytes, the command 4 + 4 + 8 + 5 + 8, the first event 2 + 4 + 4 + 5 + 8.
        check(0, 255, Part::Lengths, "does not fit");
        check(7, 1, Part::Lengths, "does not fit");
        check(4, 30, Part::Event(0), "");
        check(8, 3, Part::Event(2), "end before");
        check(8, 1, Part::Lengths, "6 bytes follow the last event");
        check(30, 99, Part::Command, "variant index");
        check(34, 99, Part::Command, "variant index");
        check(59, 99, Part::Event(0), "the number 99");
        check(60, 98, Part::Event(0), "the number 98");
        check(59 + 23, 97, Part::Event(1), "the number 97");
        check(30 + 16, 0xff, Part::Command, "");
        check(59 + 10, 0xff, Part::Event(0), "are no text");
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        let name = 59 + 2 + 4;
        for length in [u32::MAX, 8 << 20] {
            let mut bytes = record();
            bytes[name..name + 4].copy_from_slice(&length.to_le_bytes());
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
    fn a_record_that_is_too_long_leaves_the_buffer_alone() {
        let command =
            Command::Models(models::Command::RegisterModel { name: "m".repeat(RECORD_BYTES_MAX) });
        let mut bytes = vec![1, 2, 3];
        let refused = encode_record(&mut bytes, TIME, &command, &[], 0).unwrap_err();
        assert!(matches!(refused, EncodeError::TooLong { .. }));
        assert_eq!(bytes, [1, 2, 3]);
    }
}
