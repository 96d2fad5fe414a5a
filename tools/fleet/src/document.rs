//! TOML files with comments, read into types that know no unknown key.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tensorforge_engine::units::Micros;
use thiserror::Error;

use crate::trace::TIME_MAX;

/// Why a fleet, a policy or a recipe could not be read.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The file is not there, or not ours to read.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("{file}:{line}:{column}: {message}")]
    Malformed {
        /// Which file.
        file: String,
        /// The line, from one.
        line: usize,
        /// The column in bytes, from one.
        column: usize,
        /// What was expected there.
        message: String,
    },
    /// The values contradict each other or cannot be had.
    #[error("{file}: {}", faults.join("; "))]
    Invalid {
        /// Which file.
        file: String,
        /// Every fault, each naming its key.
        faults: Vec<String>,
    },
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> Result<String, DocumentError> {
    fs::read_to_string(path)
        .map_err(|source| DocumentError::Unreadable { file: path.display().to_string(), source })
}

/// The value that `text` spells; `file` is what errors call it.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, DocumentError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let message = error.message().replace('\n', " ");
        DocumentError::Malformed { file: file.to_owned(), line, column, message }
    })
}

/// Nothing, or every fault at once.
pub(crate) fn sound(file: &str, faults: Vec<String>) -> Result<(), DocumentError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(DocumentError::Invalid { file: file.to_owned(), faults })
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, before.len() - start + 1)
}

/// A span or a moment that a file states in milliseconds, at most about thirty years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const fn new(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) const fn micros(self) -> Micros {
        Micros(self.0.saturating_mul(1_000))
    }
}

impl TryFrom<u64> for Millis {
    type Error = String;

    fn try_from(millis: u64) -> Result<Self, String> {
        const MAX: u64 = TIME_MAX / 1_000;
        if millis <= MAX {
            Ok(Self(millis))
        } else {
            Err(format!("{millis} ms is longer than {MAX} ms"))
        }
    }
}

/// The names of a list, as an error shows what there would have been.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
