//! Server-sent events, with the exact bytes that they came as.
//!
//! The format is that of the WHATWG HTML standard, section 9.2, "Server-sent events": lines end in CR LF,
//! LF or CR, an empty line ends an event, a line that begins with a colon is a comment, and a byte order
//! mark may stand before all. `id` and `retry` stay in the bytes and are not told.

use std::ops::Range;

/// All up to and with an empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The bytes that it came as, comments and empty line with it.
    pub raw: Vec<u8>,
    /// What kind of event it says that it is.
    pub name: Option<String>,
    /// Its lines of data, joined by LF; none where there is no such line.
    pub data: Option<String>,
    /// Where in the bytes the data stands, if it is one line.
    data_at: Option<Range<usize>>,
}

impl Event {
    /// Whether it is the word by which OpenAI's streams end.
    pub fn is_done(&self) -> bool {
        self.data.as_deref().is_some_and(|data| data.trim() == "[DONE]")
    }

    /// The bytes of the same event with other data.
    ///
    /// Where the data stood in one line, all other bytes are as they came.
    pub(crate) fn with_data(&self, data: &str) -> Vec<u8> {
        if let Some(place) = &self.data_at {
            let before = self.raw.get(..place.start).unwrap_or_default();
            let after = self.raw.get(place.end..).unwrap_or_default();
            return [before, data.as_bytes(), after].concat();
        }
        let mut bytes = Vec::new();
        if let Some(name) = &self.name {
            bytes.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        for line in data.split('\n') {
            bytes.extend_from_slice(format!("data: {line}\n").as_bytes());
        }
        bytes.push(b'\n');
        bytes
    }
}

/// An event is longer than it may be. Nothing after it can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event of the stream is longer than {limit} bytes; allow longer ones, or end the stream"
)]
pub struct TooLong {
    /// The most bytes that an event may have.
    pub limit: usize,
}

/// A stream that is cut into its events, in whatever pieces it comes.
///
/// An event is told as soon as its last byte is there. Only where that is a CR it is told one byte later,
/// because an LF may belong to it.
#[derive(Clone, Debug)]
pub struct Events {
    limit: usize,
    bytes: Vec<u8>,
    /// Where the event begins that is being read; all before it has been told.
    start: usize,
    /// Where its last line begins.
    line: usize,
    /// How far that line has been read.
    read: usize,
    is_first: bool,
    ended: bool,
}

impl Events {
    /// A stream none of whose events is longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new(), start: 0, line: 0, read: 0, is_first: true, ended: false }
    }

    /// Takes the next piece. What is kept is this piece, and the beginning of one event before it.
    pub fn feed(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.line = self.line.saturating_sub(self.start);
        self.read = self.read.saturating_sub(self.start);
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// Says that nothing more will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next event that is all there.
    pub fn next_event(&mut self) -> Result<Option<Event>, TooLong> {
        while let Some((line_end, next)) = self.line_end() {
            let is_empty = self.bytes.get(self.line..line_end).is_none_or(<[u8]>::is_empty);
            let raw = self.bytes.get(self.start..next).unwrap_or_default();
            self.check(raw.len())?;
            self.line = next;
            self.read = next;
            if is_empty {
                let event = parse(raw, self.is_first);
                self.is_first = false;
                self.start = next;
                return Ok(Some(event));
            }
        }
        self.check(self.bytes.len().saturating_sub(self.start)).map(|()| None)
    }

    /// The bytes after the last event, which are none where the stream was not cut off.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn check(&self, length: usize) -> Result<(), TooLong> {
        if length > self.limit { Err(TooLong { limit: self.limit }) } else { Ok(()) }
    }

    /// Where the line that is being read ends and the next one begins, if that is known.
    fn line_end(&mut self) -> Option<(usize, usize)> {
        let unread = self.bytes.get(self.read..)?;
        let Some(length) = unread.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            self.read = self.bytes.len();
            return None;
        };
        let end = self.read.saturating_add(length);
        self.read = end;
        let after = end.saturating_add(1);
        match (self.bytes.get(end), self.bytes.get(after)) {
            (Some(b'\r'), Some(b'\n')) => Some((end, after.saturating_add(1))),
            (Some(b'\r'), None) if !self.ended => None,
            _ => Some((end, after)),
        }
    }
}

fn parse(raw: &[u8], is_first: bool) -> Event {
    let mut event = Event { raw: raw.to_vec(), name: None, data: None, data_at: None };
    let mark = is_first && raw.starts_with(b"\xef\xbb\xbf");
    let mut at: usize = if mark { 3 } else { 0 };
    for line in raw.get(at..).unwrap_or_default().split(|byte| matches!(byte, b'\r' | b'\n')) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let end = at.saturating_add(line.len());
        at = end.saturating_add(1);
        let text = || String::from_utf8_lossy(value);
        match (field, &mut event.data) {
            (b"event", _) => event.name = Some(text().into_owned()),
            (b"data", Some(data)) => {
                data.push('\n');
                data.push_str(&text());
                event.data_at = None;
            }
            (b"data", none) => {
                *none = Some(text().into_owned());
                event.data_at = Some(end.saturating_sub(value.len())..end);
            }
            _ => {}
        }
    }
    event
}
