//! What an answer cost, whether it has begun, and how it ended.
//!
//! OpenAI's count of the prompt includes what was cached, Anthropic's does not; here it is included. Of
//! numbers that are sent twice the later ones count. Where nothing was counted an estimate takes its place
//! and says so: of tokens out the greater of the events with generated text, and of a quarter of the
//! bytes of that text, rounded up.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::json::{Object, Shape};
use crate::prompt::TOKEN_BYTES;
use crate::sse::Event;

/// Where the numbers of a usage come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The vessel told all of them.
    Counted,
    /// Some were made from what was seen of prompt and answer.
    Estimated,
}

/// What was worked, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The prompt, with all that was cached of it.
    pub tokens_in: u64,
    /// How much of the prompt was read from a cache, at most all of it.
    pub cached: u64,
    /// How much of the prompt was written to a cache that is billed, at most what was not read.
    pub cache_write: u64,
    /// What was generated, with all reasoning.
    pub tokens_out: u64,
    /// How much of it was reasoning, at most all of it.
    pub reasoning: u64,
    /// Whether that was counted.
    pub source: Source,
}

/// What an event of a stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that was generated: a comment, a role, a usage.
    Nothing,
    /// The first generated text.
    First,
    /// More of it.
    More,
    /// The end as it should be.
    Done,
    /// An error, though the status was 200.
    Failed,
}

/// An error that a vessel tells inside of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Its `type`.
    pub kind: Option<String>,
    /// Its `code`, as it is spelt.
    pub code: Option<String>,
    /// Its sentence; empty where it has none.
    pub message: String,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It did not: what was seen is no whole answer.
    CutOff,
    /// As its API says: `[DONE]`, `message_stop`, `response.completed` or `response.incomplete`, or a
    /// whole body.
    Done,
    /// With an error.
    Failed(Fault),
}

/// An answer, as far as it has been seen.
#[derive(Clone, Debug)]
pub struct Answer {
    dialect: Dialect,
    end: End,
    told: Told,
    /// Events with data.
    events: u64,
    /// Events with generated text.
    pieces: u64,
    /// Bytes of generated text.
    text_bytes: u64,
}

/// The numbers as the vessel told them, the latest of each.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    tokens_in: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    tokens_out: Option<u64>,
    reasoning: Option<u64>,
    /// The number of tokens out is one of the end, and not of the beginning of a message.
    is_final: bool,
}

impl Answer {
    /// A stream of which nothing has been seen.
    pub fn new(dialect: Dialect) -> Self {
        let told = Told::default();
        Self { dialect, end: End::CutOff, told, events: 0, pieces: 0, text_bytes: 0 }
    }

    /// An answer that came as one body. One that is no JSON object is taken for cut off.
    pub fn whole(dialect: Dialect, body: &[u8]) -> Self {
        let mut answer = Self::new(dialect);
        let text = std::str::from_utf8(body).ok();
        let Some(object) = text.and_then(|text| Object::read(text).ok()) else { return answer };
        match fault(&object) {
            Some(fault) => answer.end = End::Failed(fault),
            None => answer.end = End::Done,
        }
        answer.hear(&object, true);
        let bytes = match dialect {
            Dialect::Chat => choices(&object, "message"),
            Dialect::Completions => choices(&object, "text"),
            Dialect::Messages => texts_of(&object.list("content"), &BLOCK),
            Dialect::Responses => output(&object),
            Dialect::Embeddings => 0,
        };
        answer.generated(bytes);
        answer
    }

    /// Looks at the next event. One after the end changes nothing but the numbers.
    pub fn see(&mut self, event: &Event) -> Seen {
        let Some(data) = event.data.as_deref() else { return Seen::Nothing };
        self.events = self.events.saturating_add(1);
        if event.is_done() {
            return match self.dialect {
                Dialect::Chat | Dialect::Completions => self.close(End::Done),
                _ => Seen::Nothing,
            };
        }
        let Ok(object) = Object::read(data) else { return Seen::Nothing };
        match self.dialect {
            Dialect::Messages => self.see_message(&object),
            Dialect::Responses => self.see_response(&object),
            _ => self.see_chunk(&object),
        }
    }

    /// How many events with data there were, which is the number of the next one in a stream of responses.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether any generated text was seen.
    pub fn has_begun(&self) -> bool {
        self.pieces > 0
    }

    /// How it ended, if this was all.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// What the vessel counted; none where it told no number of prompt and answer.
    pub fn counted(&self) -> Option<Usage> {
        let Told { tokens_in, tokens_out, is_final, .. } = self.told;
        let (tokens_in, tokens_out) = (tokens_in?, tokens_out.filter(|_| is_final)?);
        Some(self.usage_of(tokens_in, tokens_out, Source::Counted))
    }

    /// What was counted, and an estimate for what was not; `tokens_in` is that of the prompt.
    pub fn usage(&self, tokens_in: u64) -> Usage {
        self.counted().unwrap_or_else(|| {
            let seen = self.pieces.max(self.text_bytes.div_ceil(TOKEN_BYTES));
            let tokens_out = self.told.tokens_out.unwrap_or(0).max(seen);
            self.usage_of(self.told.tokens_in.unwrap_or(tokens_in), tokens_out, Source::Estimated)
        })
    }

    fn usage_of(&self, tokens_in: u64, tokens_out: u64, source: Source) -> Usage {
        let (cached, cache_write) =
            (self.told.cached.unwrap_or(0), self.told.cache_write.unwrap_or(0));
        let tokens_in = match self.dialect {
            Dialect::Messages if self.told.tokens_in.is_some() => {
                tokens_in.saturating_add(cached).saturating_add(cache_write)
            }
            _ => tokens_in,
        };
        let cached = cached.min(tokens_in);
        Usage {
            tokens_in,
            cached,
            cache_write: cache_write.min(tokens_in.saturating_sub(cached)),
            tokens_out,
            reasoning: self.told.reasoning.unwrap_or(0).min(tokens_out),
            source,
        }
    }

    /// A chunk of chats or completions.
    fn see_chunk(&mut self, object: &Object<'_>) -> Seen {
        if let Some(fault) = fault(object) {
            return self.close(End::Failed(fault));
        }
        self.hear(object, true);
        let bytes = match self.dialect {
            Dialect::Chat => choices(object, "delta"),
            _ => choices(object, "text"),
        };
        self.generated(bytes)
    }

    /// An event of Anthropic's messages.
    fn see_message(&mut self, object: &Object<'_>) -> Seen {
        match object.string("type").as_deref() {
            Some("message_start") => {
                if let Some(message) = object.object("message") {
                    self.hear(&message, false);
                }
                Seen::Nothing
            }
            Some("content_block_start") => {
                let block = object.object("content_block");
                self.generated(block.map_or(0, |block| texts(&block, &BLOCK)))
            }
            Some("content_block_delta") => {
                let delta = object.object("delta");
                self.generated(delta.map_or(0, |delta| texts(&delta, &DELTA)))
            }
            Some("message_delta") => {
                self.hear(object, true);
                Seen::Nothing
            }
            Some("message_stop") => self.close(End::Done),
            Some("error") => self.close(End::Failed(fault(object).unwrap_or_default())),
            _ => Seen::Nothing,
        }
    }

    /// An event of OpenAI's responses.
    fn see_response(&mut self, object: &Object<'_>) -> Seen {
        let kind = object.string("type").unwrap_or_default();
        if let Some(response) = object.object("response") {
            self.hear(&response, true);
            return match &*kind {
                "response.completed" | "response.incomplete" => self.close(End::Done),
                "response.failed" => self.close(End::Failed(fault(&response).unwrap_or_default())),
                _ => Seen::Nothing,
            };
        }
        match &*kind {
            "error" => self.close(End::Failed(fault(object).unwrap_or_else(|| fault_of(object)))),
            kind if kind.ends_with(".delta") => self.generated(texts(object, &["delta"])),
            _ => match fault(object) {
                Some(fault) => self.close(End::Failed(fault)),
                None => Seen::Nothing,
            },
        }
    }

    fn generated(&mut self, bytes: u64) -> Seen {
        if bytes == 0 {
            return Seen::Nothing;
        }
        let is_first = self.pieces == 0;
        self.pieces = self.pieces.saturating_add(1);
        self.text_bytes = self.text_bytes.saturating_add(bytes);
        if is_first { Seen::First } else { Seen::More }
    }

    /// The first end counts: a `[DONE]` after an error mends nothing.
    fn close(&mut self, end: End) -> Seen {
        if self.end == End::CutOff {
            self.end = end;
        }
        match self.end {
            End::Failed(_) => Seen::Failed,
            _ => Seen::Done,
        }
    }

    /// Takes the numbers of the member `usage`, if it is there.
    fn hear(&mut self, object: &Object<'_>, is_final: bool) {
        let Some(usage) = object.object("usage") else { return };
        let of = |details: &str, field: &str| {
            usage.object(details).and_then(|details| details.whole(field))
        };
        let told = &mut self.told;
        let now = match self.dialect {
            Dialect::Messages => Told {
                tokens_in: usage.whole("input_tokens"),
                cached: usage.whole("cache_read_input_tokens"),
                cache_write: usage.whole("cache_creation_input_tokens"),
                tokens_out: usage.whole("output_tokens"),
                reasoning: of("output_tokens_details", "thinking_tokens"),
                is_final,
            },
            Dialect::Responses => Told {
                tokens_in: usage.whole("input_tokens"),
                cached: of("input_tokens_details", "cached_tokens"),
                cache_write: of("input_tokens_details", "cache_write_tokens"),
                tokens_out: usage.whole("output_tokens"),
                reasoning: of("output_tokens_details", "reasoning_tokens"),
                is_final,
            },
            Dialect::Embeddings => Told {
                tokens_in: usage.whole("prompt_tokens"),
                tokens_out: Some(0),
                is_final,
                ..Told::default()
            },
            Dialect::Chat | Dialect::Completions => Told {
                tokens_in: usage.whole("prompt_tokens"),
                cached: of("prompt_tokens_details", "cached_tokens"),
                cache_write: of("prompt_tokens_details", "cache_write_tokens"),
                tokens_out: usage.whole("completion_tokens"),
                reasoning: of("completion_tokens_details", "reasoning_tokens"),
                is_final,
            },
        };
        told.is_final |= now.is_final && now.tokens_out.is_some();
        told.tokens_in = now.tokens_in.or(told.tokens_in);
        told.cached = now.cached.or(told.cached);
        told.cache_write = now.cache_write.or(told.cache_write);
        told.tokens_out = now.tokens_out.or(told.tokens_out);
        told.reasoning = now.reasoning.or(told.reasoning);
    }
}

/// Members of a choice that hold what was generated, whatever the vessel calls its reasoning.
const CHOICE: [&str; 7] = [
    "content",
    "refusal",
    "reasoning",
    "reasoning_content",
    "tool_calls",
    "function_call",
    "audio",
];
/// Members of a whole block of Anthropic's.
const BLOCK: [&str; 4] = ["text", "thinking", "name", "input"];
/// Members of a piece of one; a signature was not generated.
const DELTA: [&str; 3] = ["text", "thinking", "partial_json"];
/// Members of whatever OpenAI's responses put out.
const ITEM: [&str; 6] = ["content", "summary", "text", "refusal", "name", "arguments"];

/// How much was generated in the choices of a chunk or a body.
fn choices(object: &Object<'_>, member: &str) -> u64 {
    let choices = object.list("choices");
    let choices = choices.iter().filter_map(|choice| Object::read(choice).ok());
    let bytes = choices.map(|choice| match choice.object(member) {
        Some(message) => texts(&message, &CHOICE),
        None => texts(&choice, &["text"]),
    });
    bytes.fold(0, u64::saturating_add)
}

fn output(object: &Object<'_>) -> u64 {
    texts_of(&object.list("output"), &ITEM)
}

fn texts_of(items: &[&str], members: &[&str]) -> u64 {
    let items = items.iter().filter_map(|item| Object::read(item).ok());
    items.map(|item| texts(&item, members)).fold(0, u64::saturating_add)
}

/// The bytes of all that was generated in these members.
fn texts(object: &Object<'_>, members: &[&str]) -> u64 {
    let values = members.iter().filter_map(|member| object.value(member));
    values.map(|text| bytes_of(text, 0)).fold(0, u64::saturating_add)
}

/// The bytes of all strings in a value, but for sound and for those that only say what or which it is.
fn bytes_of(text: &str, depth: u32) -> u64 {
    const LABELS: [&str; 5] = ["id", "type", "call_id", "role", "data"];
    let deeper = depth.saturating_add(1);
    match Shape::read(text) {
        _ if depth > 16 => 0,
        Ok(Shape::Text(text)) => text.len() as u64,
        Ok(Shape::List(items)) => {
            items.iter().map(|item| bytes_of(item, deeper)).fold(0, u64::saturating_add)
        }
        Ok(Shape::Object(object)) => {
            let members = object.members.iter().filter(|member| !LABELS.contains(&&*member.key));
            members.map(|member| bytes_of(member.value, deeper)).fold(0, u64::saturating_add)
        }
        Ok(Shape::Plain(_)) | Err(_) => 0,
    }
}

/// The error of an object that has one; a vessel may say it in one string.
fn fault(object: &Object<'_>) -> Option<Fault> {
    let text = object.value("error")?;
    Some(match Shape::read(text) {
        Ok(Shape::Object(error)) => fault_of(&error),
        Ok(Shape::Text(message)) => Fault { message: message.into_owned(), ..Fault::default() },
        _ => Fault::default(),
    })
}

fn fault_of(error: &Object<'_>) -> Fault {
    let spelt = |text: &str| crate::json::string(text).map_or(text.to_owned(), Cow::into_owned);
    Fault {
        kind: error.string("type").map(Cow::into_owned),
        code: error.value("code").map(spelt),
        message: error.string("message").map(Cow::into_owned).unwrap_or_default(),
    }
}
