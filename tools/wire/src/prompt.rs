//! What is learnt of a prompt without keeping it: about how long it is, and hashes of its beginnings.
//!
//! A prompt is written as one canonical string: the model, the tools, the system's instructions, the
//! messages in order. White space and escapes of the JSON do not show in it, `cache_control` does not, for it
//! moves from turn to turn, and a content that is a string is the same as one part that is that text.
//! Names of members, and their order, do show, since a template may put them into the prompt.
//!
//! The estimate is in whole tokens: a quarter of the bytes of all text, rounded up; 4 for each message;
//! [`MEDIA_TOKENS`] for each image, sound or file, of which nothing counts as text; and one for each token
//! that came as a number. Text is every string, number and word of messages and tools that is no name of a
//! member; in tools, which are put into the prompt as JSON, names count too.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use crate::json::{self, Shape};
use crate::tree::{self, Node, Value};

/// How many bytes of text are taken for a token.
pub const TOKEN_BYTES: u64 = 4;
/// What a message is taken to cost apart from its text.
pub const MESSAGE_TOKENS: u64 = 4;
/// What an image, a sound or a file is taken to cost.
pub const MEDIA_TOKENS: u64 = 1_024;

/// Bytes of the canonical string that an image stands for: as many as that many tokens of text.
const MEDIA_BYTES: usize = (MEDIA_TOKENS * TOKEN_BYTES) as usize;

// Bytes that no UTF-8 holds, so that none of them can be forged by a text.
const TEXT: u8 = 0xf8;
const MEDIA: u8 = 0xf9;
const IDS: u8 = 0xfa;
const PART: u8 = 0xfb;
const END: u8 = 0xff;

/// A secret without which nobody can tell whether a hash belongs to a prompt that he guesses.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// A salt of 32 bytes that came from a source of randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(..)")
    }
}

/// How prompts are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The secret of the hashes.
    pub salt: Salt,
    /// How many tokens a block holds, of four bytes each.
    pub block_tokens: NonZeroU32,
}

/// What is known of a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The estimate, in tokens.
    pub tokens: u64,
    /// A hash for each whole block, of all that stands before the block's end; two prompts that begin alike
    /// have as many in common as they have whole blocks in common.
    pub blocks: Vec<u64>,
}

/// Why a prompt cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The body as a whole has been read before, so that only a string can be at fault.
    NoString,
    Deep,
    /// Neither a string, nor a list of strings, of tokens or of lists of tokens.
    NoPrompt(String),
}

impl From<serde_json::Error> for Unreadable {
    fn from(_: serde_json::Error) -> Self {
        Self::NoString
    }
}

impl From<tree::Unreadable> for Unreadable {
    fn from(why: tree::Unreadable) -> Self {
        match why {
            tree::Unreadable::NoString => Self::NoString,
            tree::Unreadable::Deep => Self::Deep,
        }
    }
}

/// A prompt that is being read.
pub(crate) struct Reading<'a> {
    salt: &'a Salt,
    hasher: blake3::Hasher,
    block_bytes: u64,
    /// Bytes until the block is full.
    left: u64,
    blocks: Vec<u64>,
    text_bytes: u64,
    tokens: u64,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(measure: &'a Measure, model: &str) -> Self {
        let block_bytes = u64::from(measure.block_tokens.get()).saturating_mul(TOKEN_BYTES);
        let mut reading = Self {
            salt: &measure.salt,
            hasher: blake3::Hasher::new_keyed(&measure.salt.0),
            block_bytes,
            left: block_bytes,
            blocks: Vec::new(),
            text_bytes: 0,
            tokens: 0,
        };
        reading.put_text(model);
        reading
    }

    pub(crate) fn tools(&mut self, text: &str) -> Result<(), Unreadable> {
        self.put(&[PART, b't']);
        self.value(&Node::read(text)?, true);
        Ok(())
    }

    /// The instructions that stand before all messages; they cost what a message costs.
    pub(crate) fn system(&mut self, text: &str) -> Result<(), Unreadable> {
        self.put(&[PART, b's']);
        self.add_tokens(MESSAGE_TOKENS);
        self.content(&Node::read(text)?);
        Ok(())
    }

    pub(crate) fn message(&mut self, text: &str) -> Result<(), Unreadable> {
        self.put(&[PART, b'm']);
        self.add_tokens(MESSAGE_TOKENS);
        self.value(&Node::read(text)?, false);
        Ok(())
    }

    /// A prompt without messages. Returns how many prompts it is.
    pub(crate) fn bare(&mut self, text: &str) -> Result<u64, Unreadable> {
        self.put(&[PART, b'p']);
        let items = match Shape::read(text)? {
            Shape::Text(prompt) => {
                self.text(&prompt);
                return Ok(1);
            }
            Shape::List(items) if !items.is_empty() => items,
            other => return Err(Unreadable::NoPrompt(other.kind())),
        };
        if items.first().is_some_and(|item| json::whole(item).is_some()) {
            self.ids(&items)?;
            return Ok(1);
        }
        for item in &items {
            match Shape::read(item)? {
                Shape::Text(prompt) => self.text(&prompt),
                Shape::List(ids) => self.ids(&ids)?,
                other => return Err(Unreadable::NoPrompt(format!("a list with {}", other.kind()))),
            }
        }
        Ok(items.len() as u64)
    }

    pub(crate) fn finish(self) -> Prompt {
        let tokens = self.tokens.saturating_add(self.text_bytes.div_ceil(TOKEN_BYTES));
        Prompt { tokens, blocks: self.blocks }
    }

    /// Tokens that came as numbers: four bytes each, which is what a token of text is taken for.
    fn ids(&mut self, items: &[&str]) -> Result<(), Unreadable> {
        self.put(&[IDS]);
        for item in items {
            let id = json::whole(item).and_then(|id| u32::try_from(id).ok());
            let id = id.filter(|id| *id < u32::MAX);
            let id = id.ok_or_else(|| Unreadable::NoPrompt("a list with no token".to_owned()))?;
            self.put(&id.to_le_bytes());
        }
        self.put(&u32::MAX.to_le_bytes());
        self.add_tokens(items.len() as u64);
        Ok(())
    }

    /// Any value; `names` says that names of members are text too, as they are in tools.
    fn value(&mut self, node: &Node<'_>, names: bool) {
        match &node.value {
            Value::Text(text) => self.text(text),
            Value::Plain => {
                self.put(node.text.as_bytes());
                self.count(node.text);
            }
            Value::List(items) => {
                self.put(b"[");
                for item in items {
                    self.value(item, names);
                    self.put(b",");
                }
                self.put(b"]");
            }
            Value::Object(_) if !names && is_media(node) => self.media(node.text),
            Value::Object(members) => match lone_text(node, members).filter(|_| !names) {
                Some(text) => self.text(text),
                None => self.members(members, names),
            },
        }
    }

    fn members(&mut self, members: &[Member<'_>], names: bool) {
        self.put(b"{");
        for (key, node) in members.iter().filter(|(key, _)| key != MARK) {
            self.put_text(key);
            if names {
                self.count(key);
            }
            match &**key {
                "content" if !names => self.content(node),
                _ => self.value(node, names),
            }
            self.put(b",");
        }
        self.put(b"}");
    }

    /// A content; one that is a string is written as a list of it.
    fn content(&mut self, node: &Node<'_>) {
        let is_bare = node.as_text().is_some();
        if is_bare {
            self.put(b"[");
        }
        self.value(node, false);
        if is_bare {
            self.put(b",]");
        }
    }

    /// An image, a sound or a file: as many bytes as its tokens are worth, drawn from its hash.
    fn media(&mut self, text: &str) {
        let mut drawn = [0; MEDIA_BYTES];
        let mut hasher = blake3::Hasher::new_keyed(&self.salt.0);
        hasher.update(text.as_bytes());
        hasher.finalize_xof().fill(&mut drawn);
        self.put(&[MEDIA]);
        self.put(&drawn);
        self.add_tokens(MEDIA_TOKENS);
    }

    fn text(&mut self, text: &str) {
        self.put_text(text);
        self.count(text);
    }

    fn count(&mut self, text: &str) {
        self.text_bytes = self.text_bytes.saturating_add(text.len() as u64);
    }

    fn add_tokens(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn put_text(&mut self, text: &str) {
        self.put(&[TEXT]);
        self.put(text.as_bytes());
        self.put(&[END]);
    }

    /// Adds to the canonical string, and takes a hash wherever a block ends.
    fn put(&mut self, mut bytes: &[u8]) {
        while bytes.len() as u64 >= self.left {
            let (full, rest) = bytes.split_at(self.left as usize);
            self.hasher.update(full);
            let [a, b, c, d, e, f, g, h, ..] = *self.hasher.finalize().as_bytes();
            self.blocks.push(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
            self.left = self.block_bytes;
            bytes = rest;
        }
        self.hasher.update(bytes);
        self.left = self.left.saturating_sub(bytes.len() as u64);
    }
}

type Member<'a> = (Cow<'a, str>, Node<'a>);

/// What says up to where a vessel should cache; it moves from turn to turn.
const MARK: &str = "cache_control";

/// The text of a part that says nothing but a text.
fn lone_text<'a>(node: &'a Node<'_>, members: &[Member<'_>]) -> Option<&'a str> {
    let known = |key: &str| matches!(key, "type" | "text" | MARK);
    let kind = node.member("type")?.as_text()?;
    let is_lone = matches!(kind, "text" | "input_text" | "output_text")
        && members.iter().all(|(key, _)| known(key));
    node.member("text")?.as_text().filter(|_| is_lone)
}

/// Whether a part is something else than text. An Anthropic document may be plain text.
fn is_media(node: &Node<'_>) -> bool {
    match node.member("type").and_then(Node::as_text) {
        Some(
            "image_url"
            | "image"
            | "input_image"
            | "input_audio"
            | "audio_url"
            | "video_url"
            | "file"
            | "input_file"
            | "image_generation_call"
            | "computer_screenshot",
        ) => true,
        Some("document") => {
            let source = node.member("source");
            let kind = source.and_then(|source| source.member("type")).and_then(Node::as_text);
            matches!(kind, Some("base64" | "url" | "file"))
        }
        _ => false,
    }
}
