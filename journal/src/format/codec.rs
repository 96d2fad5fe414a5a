//! Records as bytes: a head of fixed width, then the command in bincode, then its events as the packed
//! images that the engine gives them, then a tag.
//!
//! Decoding is strict, and no other module knows the codec.

use std::fmt;

use bincode::config::{self, Config};
use bincode::enc::write::{SizeWriter, Writer};
use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::image::{Fault, Image as _, Misread, Reader, pack};
use tensorforge_engine::security::{Scopes, Source};
use tensorforge_engine::units::{Micros, TenantId};

use crate::format::block::Hash;

/// Bytes before the command: length, command length, event count, time, tenant, key, scopes.
pub const RECORD_HEAD: usize = 4 + 4 + 4 + 8 + 4 + 4 + 2;

/// Bytes after the events.
pub const RECORD_TAG: usize = 8;

/// The longest record: twice a command, since an event may repeat it, and what the engine decides about
/// one, with room to spare. It also bounds what a list's length may make the decoder allocate.
pub const RECORD_BYTES_MAX: usize = 512 << 10;

/// The most events of a record: more than the engine makes of a command, so that few bytes cannot
/// become much memory.
pub const RECORD_EVENTS_MAX: usize = 4_096;

/// No enum of the wire has as many variants, in any build to come: a number from here on is not one.
const VARIANTS_MAX: u64 = 256;

fn codec() -> impl Config {
    config::standard().with_limit::<RECORD_BYTES_MAX>()
}

/// The longest command. What is decided about one is bounded by the engine; with this, so is a record.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Refuses a command that is too long to be recorded, before anything is decided about it.
pub fn check_command(command: &Command) -> Result<(), EncodeError> {
    match length_of(command)? {
        bytes if bytes > COMMAND_BYTES_MAX => Err(EncodeError::CommandTooLong { bytes }),
        _ => Ok(()),
    }
}

fn length_of(command: &Command) -> Result<usize, EncodeError> {
    let mut size = SizeWriter::default();
    bincode::serde::encode_into_writer(command, SizeOf(&mut size), codec())
        .map_err(|error| EncodeError::Refused { detail: error.to_string() })?;
    Ok(size.bytes_written)
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
    /// It has more events than any record may have.
    #[error("the record has {events} events, at most {RECORD_EVENTS_MAX} are allowed")]
    TooMany {
        /// How many.
        events: usize,
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
    events.iter().for_each(|event| pack(event, &mut bytes));
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
    events.iter().for_each(|event| pack(event, bytes));
    bytes.extend_from_slice(&tag.to_le_bytes());

    let length = bytes.len() - start;
    if length > RECORD_BYTES_MAX {
        return Err(EncodeError::TooLong { bytes: length });
    }
    if events.len() > RECORD_EVENTS_MAX {
        return Err(EncodeError::TooMany { events: events.len() });
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
    pub(crate) source: Source,
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
            && u32_at(8) as usize <= RECORD_EVENTS_MAX
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

/// A record whose lengths do not fit into what there is.
pub(crate) fn unfit(seq: u64) -> DecodeError {
    DecodeError::malformed(seq, Part::Lengths, "it does not fit into its frame")
}

/// Decodes so many events of record `seq` behind those that are there. They must fill their bytes. On an
/// error some may have been added. With `SKIMS` only what folding looks at is decoded.
pub(crate) fn decode_events<const SKIMS: bool>(
    seq: u64,
    count: u32,
    bytes: &[u8],
    events: &mut Vec<Event>,
) -> Result<(), DecodeError> {
    // No room is made for the number that the head claims: only bytes make an event.
    let fault = Fault::default();
    let mut source = Reader::<true, SKIMS>::new(bytes, &fault);
    for index in 0..count {
        events.push(Event::read(&mut source));
        if let Some(misread) = fault.get() {
            return Err(DecodeError::misread(seq, Part::Event(index), misread));
        }
    }
    if !source.left().is_empty() {
        let detail = format!("{} bytes follow the last event", source.left().len());
        return Err(DecodeError::malformed(seq, Part::Lengths, detail));
    }
    Ok(())
}

/// Puts the bytes that events have in a record in place of what is there.
pub(crate) fn encode_events(bytes: &mut Vec<u8>, events: &[Event]) {
    bytes.clear();
    events.iter().for_each(|event| pack(event, bytes));
}

pub(crate) fn decode_command(seq: u64, bytes: &[u8]) -> Result<Command, DecodeError> {
    let (command, taken) = bincode::serde::decode_from_slice(bytes, codec())
        .map_err(|error| DecodeError::of(seq, Part::Command, &error))?;
    let malformed = |detail: String| Err(DecodeError::malformed(seq, Part::Command, detail));
    match bytes.len() - taken {
        // Bincode takes a number of any width, and writes it in the least one.
        0 if length_of(&command) != Ok(taken) => malformed(Misread::Wide.to_string()),
        0 => Ok(command),
        rest => malformed(format!("{rest} bytes follow it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tensorforge_engine::units::{OrderId, PolicyVersion};
    use tensorforge_engine::{models, routing, workflow};

    const TIME: (Micros, Source) = (Micros(5), Source::OPERATOR);

    #[test]
    fn a_record_that_is_too_long_leaves_the_buffer_alone() {
        let command =
            Command::Models(models::Command::RegisterModel { name: "m".repeat(RECORD_BYTES_MAX) });
        let mut bytes = vec![1, 2, 3];
        let refused = encode_record(&mut bytes, TIME, &command, &[], 0).unwrap_err();
        assert!(matches!(refused, EncodeError::TooLong { .. }));
        assert_eq!(bytes, [1, 2, 3]);
        let seen =
            models::Event::VesselSeen { vessel: tensorforge_engine::units::VesselId(9), start: 0 };
        let many = vec![seen.into(); RECORD_EVENTS_MAX + 1];
        let advance = workflow::Command::Advance.into();
        let refused = encode_record(&mut bytes, TIME, &advance, &many, 0).unwrap_err();
        assert_eq!(refused, EncodeError::TooMany { events: RECORD_EVENTS_MAX + 1 });
        assert_eq!(bytes, [1, 2, 3]);
        encode_record(&mut bytes, TIME, &advance, &many[1..], 0).unwrap();
    }

    #[test]
    fn a_list_is_as_long_as_it_is_measured_and_a_number_as_its_field() {
        let routed = routing::Event::OrderRouted {
            order: OrderId(7),
            attempt: 1,
            policy: PolicyVersion(2),
            open: 3,
            candidates: routing::Candidates::default(),
            route: models::Route::new(),
        };
        let mut bytes = Vec::new();
        encode_events(&mut bytes, &[routed.into()]);
        assert_eq!(bytes, [4, 0, 7, 1, 2, 3, 1, 0, 0, 0, 0, 0]);
        let said = |bytes: &[u8]| {
            let error = decode_events::<false>(5, 1, bytes, &mut Vec::new());
            error.map_err(|error| error.to_string())
        };
        let with = |range: std::ops::Range<usize>, put: &[u8]| {
            let mut bytes = bytes.clone();
            bytes.splice(range, put.iter().copied());
            bytes
        };
        assert_eq!(said(&bytes), Ok(()));
        // A byte behind no candidates, which their measure takes in.
        let error = said(&with(6..11, &[2, 0, 0, 0, 0, 0])).unwrap_err();
        assert!(error.contains("bytes follow the last item"), "{error}");
        // An attempt has two bytes at most, and none of them is cut off.
        assert_eq!(said(&with(3..4, &[251, 0, 1])), Ok(()));
        let error = said(&with(3..4, &[252, 1, 0, 1, 0])).unwrap_err();
        assert!(error.contains("not as short"), "{error}");
    }
}
