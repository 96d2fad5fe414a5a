//! Demand, recorded or generated: who asked for what, and when.
//!
//! A trace is read from one of three formats, recognised by its first line and never by the name of
//! its file. Rows stay in the order of their times; a file that goes back in time is an error, because
//! sorting it would hide that it was damaged.

mod azure;
mod clock;
mod json;
mod mooncake;
mod own;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tensorforge_engine::models::{Class, Demand, Kind, MARKS_MAX, Mark, Window};
use tensorforge_engine::units::{Micros, Tokens};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use clock::Clock;

/// The most tokens a row may have, either way.
pub const TOKENS_MAX: u64 = 1_000_000_000;

/// The latest time and the longest span in a trace, in microseconds: about thirty years.
pub const TIME_MAX: u64 = 1_000_000_000_000_000;

/// Demand in the order of its arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it is called.
    pub name: String,
    /// How many tokens a prefix block has.
    pub block_tokens: u64,
    /// What arrives, earliest first.
    pub rows: Vec<Row>,
}

/// An idempotency key as its client spells it: 1 to 255 bytes of text, or a number, which is its digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Spelled", into = "String")]
pub struct Key(Box<str>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text of 1 to 255 bytes, or a whole number")]
enum Spelled {
    Text(String),
    Number(u64),
}

impl Key {
    /// What a key is.
    pub(crate) const EXPECTED: &str = "a text of 1 to 255 bytes, or a whole number";

    /// The digits of a number.
    pub fn of(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The number by which the exchange knows it.
    pub fn number(&self) -> u64 {
        Demand::key_of(&self.0)
    }
}

impl TryFrom<Spelled> for Key {
    type Error = String;

    fn try_from(spelled: Spelled) -> Result<Self, String> {
        match spelled {
            Spelled::Number(number) => Ok(Self::of(number)),
            Spelled::Text(text) if (1..=255).contains(&text.len()) => Ok(Self(text.into())),
            Spelled::Text(_) => Err(format!("expected {}", Self::EXPECTED)),
        }
    }
}

impl From<Key> for String {
    fn from(Key(text): Key) -> Self {
        text.into()
    }
}

/// One order of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The submitter's own number for it: its place among the rows, from one.
    pub external: u64,
    /// When it arrives; the first row of a trace that is read arrives at zero.
    pub at: Micros,
    /// Who sends it.
    pub tenant: String,
    /// The model it asks for; the first one of the fleet if it names none.
    pub model: Option<String>,
    /// How urgent it is.
    pub class: Class,
    /// What it asks for.
    pub kind: Kind,
    /// The region in which it arises, if that matters.
    pub origin: Option<String>,
    /// Tokens of its prompt, at least one.
    pub tokens_in: Tokens,
    /// Tokens of its answer, as they turn out.
    pub tokens_out: Tokens,
    /// The most tokens its answer may have, as the client states beforehand.
    pub tokens_out_max: Tokens,
    /// How long after its arrival it is worth nothing any more; the policy's lifetime if unstated.
    pub deadline: Option<Micros>,
    /// The most that it may be expected to cost, in micro-dollars; zero is any price.
    pub limit: u32,
    /// Names the demand when it may be sent twice.
    pub idempotency: Option<Key>,
    /// The blocks that its prompt begins with. Equal ids after equal ids mean equal content; what no
    /// other prompt shares may be left out at the end.
    pub blocks: Vec<u64>,
    /// The window it needs capacity for, counted from its arrival.
    pub window: Option<Window>,
}

/// How a trace is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The CSV of the Azure LLM inference traces.
    Azure,
    /// The JSON lines of the Mooncake traces.
    Mooncake,
    /// TensorForge's own JSON lines.
    Own,
}

/// Why a trace could not be read.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file is not there, or not ours to read.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A byte is not part of a text.
    #[error("{file}:{line}:{column}: expected UTF-8, found the byte 0x{byte:02x}")]
    NotText {
        /// Which file.
        file: String,
        /// The line, from one.
        line: usize,
        /// The column in bytes, from one.
        column: usize,
        /// The byte.
        byte: u8,
    },
    /// The first line is that of no format.
    #[error(
        "{file}:1:1: expected the first line of an Azure, Mooncake or TensorForge trace, found {found}"
    )]
    UnknownFormat {
        /// Which file.
        file: String,
        /// How the line begins.
        found: String,
    },
    /// There is no row.
    #[error("{file}: expected at least one row, found none")]
    Empty {
        /// Which file.
        file: String,
    },
    /// A row is not what its format says.
    #[error("{file}:{line}:{column}: {field}: expected {expected}, found {found}")]
    BadRow {
        /// Which file.
        file: String,
        /// The line, from one.
        line: usize,
        /// The column in bytes, from one.
        column: usize,
        /// The field, as its format calls it.
        field: String,
        /// What could have stood there.
        expected: String,
        /// What stood there.
        found: String,
    },
}

/// What is wrong with a line, before the line is known.
#[derive(Debug)]
struct Bad {
    column: usize,
    field: String,
    expected: String,
    found: String,
}

impl Trace {
    /// Reads a file, named after it unless the file names itself; `format` overrules what its first
    /// line looks like.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, TraceError> {
        let file = path.display().to_string();
        let bytes = fs::read(path)
            .map_err(|source| TraceError::Unreadable { file: file.clone(), source })?;
        let name = path.file_stem().map_or_else(|| file.clone(), |s| s.to_string_lossy().into());
        Self::parse(&file, &name, &bytes, format)
    }

    /// Reads the bytes of a file; `file` is what errors call it.
    pub fn parse(
        file: &str,
        name: &str,
        bytes: &[u8],
        format: Option<Format>,
    ) -> Result<Self, TraceError> {
        let text = text(file, bytes)?;
        let format = match format {
            Some(format) => format,
            None => recognise(text).ok_or_else(|| unknown(file, text))?,
        };
        let read = match format {
            Format::Azure => azure::read,
            Format::Mooncake => mooncake::read,
            Format::Own => own::read,
        };
        let trace = read(name, text).map_err(|(line, bad)| TraceError::BadRow {
            file: file.to_owned(),
            line,
            column: bad.column,
            field: bad.field,
            expected: bad.expected,
            found: bad.found,
        })?;
        if trace.rows.is_empty() {
            return Err(TraceError::Empty { file: file.to_owned() });
        }
        Ok(trace)
    }

    /// The trace in TensorForge's own format.
    pub fn to_jsonl(&self) -> String {
        own::write(self)
    }

    /// The tenants, in the order in which they first appear.
    pub fn tenants(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        self.rows.iter().map(|row| row.tenant.as_str()).filter(|name| seen.insert(*name)).collect()
    }
}

impl Row {
    /// An inference request of the standard class, as a foreign trace states it.
    ///
    /// What the client allowed at most is unknown there: the answer is rounded up to a multiple of
    /// 256, and never to less than that.
    fn foreign(external: u64, at: Micros, tenant: &str, tokens_in: u64, tokens_out: u64) -> Self {
        Self {
            external,
            at,
            tenant: tenant.to_owned(),
            model: None,
            class: Class::Standard,
            kind: Kind::Inference,
            origin: None,
            tokens_in: Tokens(tokens_in),
            tokens_out: Tokens(tokens_out),
            tokens_out_max: allowance(tokens_out),
            deadline: None,
            limit: 0,
            idempotency: None,
            blocks: Vec::new(),
            window: None,
        }
    }
}

/// The answer that a client would have allowed: a multiple of 256, and at least that.
pub(crate) fn allowance(tokens_out: u64) -> Tokens {
    Tokens(tokens_out.max(1).next_multiple_of(256))
}

/// Content marks of a prompt: at depths of 1, 2, 4, 8... blocks and at the full depth, shallowest
/// first, at most `MARKS_MAX`. Where there are more, the shallowest are left out: they save least.
///
/// The hash of a mark is XXH3-64 over the ids of all blocks before it, as little-endian words.
pub fn marks(blocks: &[u64], block_tokens: u64, tokens_in: Tokens) -> Vec<Mark> {
    let mut hasher = Xxh3::new();
    let mut marks = Vec::with_capacity(MARKS_MAX);
    for (depth, block) in (1u64..).zip(blocks) {
        hasher.update(&block.to_le_bytes());
        if depth.is_power_of_two() || depth == blocks.len() as u64 {
            if marks.len() == MARKS_MAX {
                marks.remove(0);
            }
            let tokens = depth.saturating_mul(block_tokens).min(tokens_in.0);
            marks.push(Mark { hash: hasher.digest(), tokens: Tokens(tokens) });
        }
    }
    marks
}

fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, TraceError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at(error.valid_up_to());
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        TraceError::NotText {
            file: file.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: before.len() - start + 1,
            byte: rest.first().copied().unwrap_or_default(),
        }
    })?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(TraceError::Empty { file: file.to_owned() });
    }
    Ok(text)
}

fn recognise(text: &str) -> Option<Format> {
    let first = text.lines().next()?;
    let has = |key: &str| first.contains(key);
    match first.as_bytes() {
        [b'T', ..] if first.starts_with("TIMESTAMP,") => Some(Format::Azure),
        [b'{', ..] if has("\"tensorforge_trace\"") => Some(Format::Own),
        [b'{', ..] if has("\"input_length\"") => Some(Format::Mooncake),
        _ => None,
    }
}

fn unknown(file: &str, text: &str) -> TraceError {
    let found = quote(text.lines().next().unwrap_or_default());
    TraceError::UnknownFormat { file: file.to_owned(), found }
}

/// A piece of a line, as an error shows it: escaped, and cut after forty characters.
fn quote(piece: &str) -> String {
    let shown: String = piece.chars().take(40).flat_map(char::escape_debug).collect();
    let cut = if piece.chars().nth(40).is_some() { "..." } else { "" };
    format!("`{}{cut}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}
