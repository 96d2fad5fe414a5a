//! The HTTP APIs of model serving, as a gateway needs them that passes bytes on and changes few.
//!
//! A [`Request`] is read from a body and forwarded with the vessel's own name of the model in it. The
//! answer comes as a body or as a stream of [`Event`]s; an [`Answer`] watches it for the first token,
//! the [`Usage`] and the end. What goes wrong is told as a [`Failure`] in the client's own [`Dialect`].
//! Nothing here waits, reads a clock or keeps a prompt.

#![forbid(unsafe_code)]

pub mod dialect;
pub mod failure;
pub mod models;
pub mod prompt;
pub mod request;
pub mod rewrite;
pub mod sse;
pub mod usage;

mod json;
mod tree;

pub use dialect::Dialect;
pub use failure::{Failure, Kind};
pub use models::{Model, list};
pub use prompt::{Measure, Prompt, Salt};
pub use request::{Request, RequestError};
pub use rewrite::{Added, Cleaned, Forward, Vessel};
pub use sse::{Event, Events, TooLong};
pub use tree::DEPTH_MAX;
pub use usage::{Answer, End, Fault, Seen, Source, Usage};
