//! What a request's body asks for.

use std::borrow::Cow;
use std::fmt;

use crate::dialect::Dialect;
use crate::json::{self, Object, Shape};
use crate::prompt::{Measure, Prompt, Reading, Unreadable};
use crate::tree::DEPTH_MAX;

/// Why a body is refused. None of the sentences holds what a prompt says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Bytes that are no text.
    #[error("the body is no UTF-8 from byte {byte} on; send JSON in UTF-8")]
    NotText {
        /// The place of the first bad byte.
        byte: usize,
    },
    /// Text that is no JSON.
    #[error("the body is no JSON: {what}; send one JSON object")]
    NotJson {
        /// What is wrong, with line and column.
        what: String,
    },
    /// JSON that is no object.
    #[error("the body is {found}; send one JSON object")]
    NotObject {
        /// What it is instead.
        found: String,
    },
    /// Readers of JSON do not agree on which of two counts.
    #[error("`{field}` stands twice; leave one of them out")]
    Twice {
        /// Its name.
        field: String,
    },
    /// A field that has to be there.
    #[error("`{field}` is missing; send {expected}")]
    Missing {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field that is something else than it has to be.
    #[error("`{field}` is {found}; send {expected}")]
    Wrong {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A prompt whose JSON is too deep.
    #[error("`{field}` is nested more than {DEPTH_MAX} deep; flatten it")]
    Deep {
        /// Its name.
        field: &'static str,
    },
    /// A prompt with a string that is no text.
    #[error("`{field}` holds a string that is no text, such as half of a surrogate pair; mend it")]
    NoString {
        /// Its name.
        field: &'static str,
    },
}

impl RequestError {
    /// The field that it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::NotText { .. } | Self::NotJson { .. } | Self::NotObject { .. } => None,
            Self::Twice { field } => Some(field),
            Self::Missing { field, .. }
            | Self::Wrong { field, .. }
            | Self::Deep { field }
            | Self::NoString { field } => Some(field),
        }
    }
}

/// A body that has been read, and the text that it stands in.
pub struct Request<'a> {
    /// Which API it speaks.
    pub dialect: Dialect,
    /// The model by the name that the client gives it.
    pub model: Cow<'a, str>,
    /// Whether the answer is to come as a stream.
    pub stream: bool,
    /// The most tokens that each answer may have: `max_completion_tokens` before `max_tokens`, or
    /// `max_output_tokens`; none where nothing is said; 0 for embeddings.
    pub tokens_out_max: Option<u64>,
    /// How many answers are to be made: as many as `n` and `best_of` say, for each prompt.
    pub answers: u64,
    /// How long the prompt is, and its hashes.
    pub prompt: Prompt,
    /// Whether the client itself asks for usage at the end of the stream.
    pub wants_usage: bool,
    /// Whether the client itself asks for usage in every chunk, which counts only with the one above.
    pub wants_usage_always: bool,
    pub(crate) object: Object<'a>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("tokens_out_max", &self.tokens_out_max)
            .field("answers", &self.answers)
            .field("prompt", &self.prompt)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Reads a body. Fields that are not known are kept and not looked at; `null` is as good as absent.
    pub fn read(dialect: Dialect, body: &'a [u8], measure: &Measure) -> Result<Self, RequestError> {
        let object = open(body)?;
        let model = model(&object)?;
        let stream = dialect != Dialect::Embeddings && flag(&object, "stream")?.unwrap_or(false);
        let tokens_out_max = tokens_out_max(dialect, &object)?;
        let (wants_usage, wants_usage_always) = match dialect.asks_for_usage() && stream {
            true => wants(&object)?,
            false => (false, false),
        };
        let mut reading = Reading::new(measure, &model);
        let prompts = prompt(dialect, &object, &mut reading)?;
        let mut answers = 1;
        if dialect.asks_for_usage() {
            answers = number(&object, "n")?.unwrap_or(1).max(1);
        }
        if dialect == Dialect::Completions {
            answers = answers.max(number(&object, "best_of")?.unwrap_or(1));
        }
        Ok(Self {
            dialect,
            model,
            stream,
            tokens_out_max,
            answers: answers.saturating_mul(prompts),
            prompt: reading.finish(),
            wants_usage,
            wants_usage_always,
            object,
        })
    }
}

fn open(body: &[u8]) -> Result<Object<'_>, RequestError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| RequestError::NotText { byte: error.valid_up_to() })?;
    let not_json = |error: serde_json::Error| RequestError::NotJson { what: error.to_string() };
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        let found = Shape::read(text).map_err(not_json)?.kind();
        return Err(RequestError::NotObject { found });
    }
    let object = Object::read(text).map_err(not_json)?;
    match object.twice() {
        Some(key) => Err(RequestError::Twice { field: key.to_owned() }),
        None => Ok(object),
    }
}

fn model<'a>(object: &Object<'a>) -> Result<Cow<'a, str>, RequestError> {
    const EXPECTED: &str = "the name of a model as a string";
    let text = object.value("model").ok_or(missing("model", EXPECTED))?;
    match Shape::read(text).map_err(|_| RequestError::NoString { field: "model" })? {
        Shape::Text(name) if name.is_empty() => Err(wrong("model", EXPECTED, "empty".to_owned())),
        Shape::Text(name) => Ok(name),
        other => Err(wrong("model", EXPECTED, other.kind())),
    }
}

fn tokens_out_max(dialect: Dialect, object: &Object<'_>) -> Result<Option<u64>, RequestError> {
    match dialect {
        Dialect::Chat => {
            let older = number(object, "max_tokens")?;
            Ok(number(object, "max_completion_tokens")?.or(older))
        }
        Dialect::Completions | Dialect::Messages => number(object, "max_tokens"),
        Dialect::Responses => number(object, "max_output_tokens"),
        Dialect::Embeddings => Ok(Some(0)),
    }
}

/// What the client's own `stream_options` ask for: usage at the end, usage in every chunk.
fn wants(object: &Object<'_>) -> Result<(bool, bool), RequestError> {
    const FIELD: &str = "stream_options";
    let Some(text) = object.value(FIELD) else { return Ok((false, false)) };
    let options = match Shape::read(text).map_err(|_| RequestError::NoString { field: FIELD })? {
        Shape::Object(options) => options,
        other => return Err(wrong(FIELD, "an object", other.kind())),
    };
    if let Some(key) = options.twice() {
        return Err(RequestError::Twice { field: format!("{FIELD}.{key}") });
    }
    let wants = |key, field| match options.value(key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(wrong(field, BOOLEAN, kind(other))),
    };
    let at_end = wants("include_usage", "stream_options.include_usage")?;
    let always = wants("continuous_usage_stats", "stream_options.continuous_usage_stats")?;
    Ok((at_end, always))
}

/// Reads the prompt in the order in which a template would put it. Returns how many prompts there are.
fn prompt(
    dialect: Dialect,
    object: &Object<'_>,
    reading: &mut Reading<'_>,
) -> Result<u64, RequestError> {
    let (field, system) = match dialect {
        Dialect::Completions => return bare(object, "prompt", reading),
        Dialect::Embeddings => return bare(object, "input", reading),
        Dialect::Chat => ("messages", None),
        Dialect::Messages => ("messages", Some("system")),
        Dialect::Responses => ("input", Some("instructions")),
    };
    if let Some(tools) = object.value("tools") {
        reading.tools(tools).map_err(|why| unreadable("tools", why))?;
    }
    if let Some((field, text)) = system.and_then(|key| object.value(key).map(|text| (key, text))) {
        reading.system(text).map_err(|why| unreadable(field, why))?;
    }
    let expected = match dialect {
        Dialect::Responses => "a string or a list of items",
        _ => "a list of messages",
    };
    let Some(text) = object.value(field) else {
        // What a vessel remembers of earlier turns, or keeps as a template, stands in for an input.
        let elsewhere = ["previous_response_id", "conversation", "prompt"];
        let stands = elsewhere.iter().any(|key| object.value(key).is_some());
        return match dialect == Dialect::Responses && stands {
            true => Ok(1),
            false => Err(missing(field, expected)),
        };
    };
    match Shape::read(text).map_err(|_| RequestError::NoString { field })? {
        Shape::List(items) if items.is_empty() => {
            return Err(wrong(field, expected, "an empty list".to_owned()));
        }
        Shape::List(items) => {
            for item in items {
                if dialect != Dialect::Responses && !item.starts_with('{') {
                    let found = format!("a list with {}", kind(item));
                    return Err(wrong(field, "a list of objects", found));
                }
                reading.message(item).map_err(|why| unreadable(field, why))?;
            }
        }
        Shape::Text(_) if dialect == Dialect::Responses => {
            reading.message(text).map_err(|why| unreadable(field, why))?;
        }
        other => return Err(wrong(field, expected, other.kind())),
    }
    Ok(1)
}

const BARE: &str = "a string, or a list of strings, of tokens or of lists of tokens";
const BOOLEAN: &str = "`true` or `false`";

fn bare(
    object: &Object<'_>,
    field: &'static str,
    reading: &mut Reading<'_>,
) -> Result<u64, RequestError> {
    let text = object.value(field).ok_or(missing(field, BARE))?;
    reading.bare(text).map_err(|why| unreadable(field, why))
}

fn flag(object: &Object<'_>, field: &'static str) -> Result<Option<bool>, RequestError> {
    match object.value(field) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(wrong(field, BOOLEAN, kind(other))),
    }
}

fn number(object: &Object<'_>, field: &'static str) -> Result<Option<u64>, RequestError> {
    let Some(text) = object.value(field) else { return Ok(None) };
    let value = json::whole(text);
    value.map(Some).ok_or_else(|| wrong(field, "a whole number that is not negative", kind(text)))
}

fn kind(text: &str) -> String {
    Shape::read(text).map_or_else(|_| "a string that is no text".to_owned(), |shape| shape.kind())
}

fn missing(field: &'static str, expected: &'static str) -> RequestError {
    RequestError::Missing { field, expected }
}

fn wrong(field: &'static str, expected: &'static str, found: String) -> RequestError {
    RequestError::Wrong { field, expected, found }
}

fn unreadable(field: &'static str, why: Unreadable) -> RequestError {
    match why {
        Unreadable::NoString => RequestError::NoString { field },
        Unreadable::Deep => RequestError::Deep { field },
        Unreadable::NoPrompt(found) => wrong(field, BARE, found),
    }
}
