//! What a client is told when it is not served, in the shape of its own API.

use serde::Serialize;

use crate::dialect::Dialect;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The request cannot be read or asks for what is not there.
    Invalid,
    /// There is no key, or nobody has it.
    NoKey,
    /// The key does not open this.
    Forbidden,
    /// No model has this name.
    UnknownModel,
    /// The body is too large.
    TooLarge,
    /// Too much in too short a time, or more than was paid for.
    RateLimited,
    /// There is no room.
    Overloaded,
    /// It took too long.
    TimedOut,
    /// It is our fault or a vessel's.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::NoKey,
        Self::Forbidden,
        Self::UnknownModel,
        Self::TooLarge,
        Self::RateLimited,
        Self::Overloaded,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The HTTP status; the two APIs part in that of an overload.
    pub fn status(self, dialect: Dialect) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NoKey => 401,
            Self::Forbidden => 403,
            Self::UnknownModel => 404,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Overloaded if dialect == Dialect::Messages => 529,
            Self::Overloaded => 503,
            Self::TimedOut => 504,
            Self::Internal => 500,
        }
    }

    /// OpenAI's `type` and `code`.
    fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Invalid => ("invalid_request_error", None),
            Self::NoKey => ("invalid_request_error", Some("invalid_api_key")),
            Self::Forbidden => ("permission_error", Some("permission_denied")),
            Self::UnknownModel => ("invalid_request_error", Some("model_not_found")),
            Self::TooLarge => ("invalid_request_error", Some("request_too_large")),
            Self::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
            Self::Overloaded => ("server_error", Some("overloaded")),
            Self::TimedOut => ("server_error", Some("timeout")),
            Self::Internal => ("server_error", Some("internal_error")),
        }
    }

    /// Anthropic's `type`.
    fn anthropic(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_request_error",
            Self::NoKey => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::UnknownModel => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimited => "rate_limit_error",
            Self::Overloaded => "overloaded_error",
            Self::TimedOut => "timeout_error",
            Self::Internal => "api_error",
        }
    }
}

/// A failure and its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// What kind it is.
    pub kind: Kind,
    /// What happened, and what to do about it.
    pub message: &'a str,
    /// The field of the request that it is about, which only OpenAI's shape can say.
    pub param: Option<&'a str>,
    /// A code that says more than that of the kind, which only OpenAI's shape can say.
    pub code: Option<&'a str>,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// An error inside of a stream of OpenAI's responses.
#[derive(Serialize)]
struct ResponseError<'a> {
    r#type: &'a str,
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
    sequence_number: u64,
}

impl<'a> Failure<'a> {
    /// A failure of which nothing more is known.
    pub fn new(kind: Kind, message: &'a str) -> Self {
        Self { kind, message, param: None, code: None }
    }

    /// The body of an answer whose status is that of the kind; JSON in one line.
    pub fn body(&self, dialect: Dialect) -> String {
        let (kind, code) = self.kind.openai();
        let (message, param, code) = (self.message, self.param, self.code.or(code));
        match dialect {
            Dialect::Messages => {
                let error = AnthropicError { r#type: self.kind.anthropic(), message };
                json(&Anthropic { r#type: "error", error })
            }
            _ => json(&OpenAi { error: OpenAiError { message, r#type: kind, param, code } }),
        }
    }

    /// The event that tells it once the stream has begun; the stream ends with it.
    ///
    /// `number` is that of the event in the stream, counted from zero. Only responses say it.
    pub fn event(&self, dialect: Dialect, number: u64) -> String {
        match dialect {
            Dialect::Messages => format!("event: error\ndata: {}\n\n", self.body(dialect)),
            Dialect::Responses => {
                let error = ResponseError {
                    r#type: "error",
                    code: self.code.or(self.kind.openai().1),
                    message: self.message,
                    param: self.param,
                    sequence_number: number,
                };
                format!("event: error\ndata: {}\n\n", json(&error))
            }
            _ => format!("data: {}\n\n", self.body(dialect)),
        }
    }
}

/// Strings and whole numbers, of which none fails to be written.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
