//! Which API a request speaks.

/// The APIs, named by what they are called in their own manuals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// OpenAI, `/v1/chat/completions`.
    Chat,
    /// OpenAI, `/v1/completions`.
    Completions,
    /// OpenAI, `/v1/embeddings`.
    Embeddings,
    /// OpenAI, `/v1/responses`.
    Responses,
    /// Anthropic, `/v1/messages`.
    Messages,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] =
        [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses, Self::Messages];

    /// The path that the dialect is spoken at.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// The dialect that is spoken at exactly this path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }

    /// Whether a stream tells its usage only where `stream_options` asks for it.
    pub(crate) fn asks_for_usage(self) -> bool {
        matches!(self, Self::Chat | Self::Completions)
    }
}
