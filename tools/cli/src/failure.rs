//! What a verb fails with: a sentence, a way out, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use tensorforge_journal::{DecodeError, JournalError, LedgerError, ReplayError};

/// As documented in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    AsAsked = 0,
    Different = 1,
    BadInput = 2,
    Damaged = 3,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb could not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Something that was given is not as it must be.
    pub(crate) fn input(message: impl fmt::Display) -> Self {
        Self { exit: Exit::BadInput, message: message.to_string(), help: None }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::input(format!("{}: {error}", path.display()))
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let exit = match error {
            JournalError::Damaged(_) | JournalError::Undecodable(DecodeError::Malformed { .. }) => {
                Exit::Damaged
            }
            _ => Exit::BadInput,
        };
        Self { exit, message: error.to_string(), help: error.help() }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Journal(error) => error.into(),
            breach @ ReplayError::Breach(_) => Self {
                exit: Exit::Different,
                message: breach.to_string(),
                help: Some(
                    "`tensorforge bisect` finds the first record where this build parts from it"
                        .into(),
                ),
            },
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Replay(error) => error.into(),
            other => {
                let exit = match other {
                    LedgerError::Diverged(_) => Exit::Different,
                    _ => Exit::BadInput,
                };
                Self { exit, message: other.to_string(), help: other.help() }
            }
        }
    }
}
