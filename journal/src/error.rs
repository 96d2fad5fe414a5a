//! What can go wrong with a journal, where, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::damage::Damage;
use crate::disk::NoRegularFile;
use crate::format::codec::{DecodeError, EncodeError};
use crate::format::segment::VERSION;

/// What the operations of this crate answer.
pub type Result<T, E = JournalError> = std::result::Result<T, E>;

/// Why a journal could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no journal there.
    #[error("{} is not a journal: {reason}", path.display())]
    NotAJournal {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        reason: Absence,
    },
    /// It is of a format that this build does not know.
    #[error(
        "segment {segment} of {} has format version {version}, this build reads {VERSION}",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The segment that says so.
        segment: u64,
        /// Its version.
        version: u32,
    },
    /// Bytes are not what was written.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// It was written with other wire types.
    #[error("{} was written by build {build}, whose schema is another one", path.display())]
    OtherSchema {
        /// The directory.
        path: PathBuf,
        /// The build that began it.
        build: String,
    },
    /// Another process writes it.
    #[error("{} is open for writing elsewhere", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It may be read but not written.
    #[error("{} cannot be written: {source}", path.display())]
    ReadOnly {
        /// What cannot be written.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The disk, or the system before it, refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A journal was to be made where one is.
    #[error("{} is a journal already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A record was asked for that is not written yet.
    #[error("there is no record {seq}: the journal holds {next_seq}")]
    NotYet {
        /// The record.
        seq: u64,
        /// The first one not written.
        next_seq: u64,
    },
    /// A frame was given to the writer out of its turn.
    #[error("a frame begins at record {found}, but the journal goes on with {expected}")]
    OutOfOrder {
        /// The record that the journal goes on with.
        expected: u64,
        /// The first record of the frame.
        found: u64,
    },
    /// A record verifies but this build cannot decode it.
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    /// A record cannot be written.
    #[error(transparent)]
    Unencodable(#[from] EncodeError),
    /// The writer's options contradict themselves or the format.
    #[error("{0}")]
    Options(&'static str),
    /// The writer has been closed, or its thread has ended.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// What to do about it, in one sentence; `None` where the error says it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Damaged(damage) => Some(damage.help()),
            Self::Newer { .. } | Self::OtherSchema { .. } => {
                Some("open it with the build that wrote it, or a later one".into())
            }
            Self::Locked { .. } => {
                Some("stop the process that writes it, or open it for reading".into())
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room, then open the journal again: nothing durable was lost".into())
            }
            Self::Io { source, .. }
                if source.get_ref().is_some_and(|inner| inner.is::<NoRegularFile>()) =>
            {
                Some("put the journal's own file there, or remove what is none of it".into())
            }
            Self::Io { operation: Operation::Write | Operation::Sync, .. } => {
                Some("check the disk, then open the journal again: nothing durable was lost".into())
            }
            Self::Undecodable(error) => Some(error.help()),
            Self::NotAJournal { reason: Absence::NoDirectory, .. } => {
                Some("`tensorforge capture --out DIR` makes one".into())
            }
            Self::NotAJournal { reason: Absence::NoSegments, .. } => {
                Some("a journal is the directory that holds `segments`".into())
            }
            Self::NotAJournal { reason: Absence::ForeignBytes, .. } => {
                Some("give the directory that a capture was told to write".into())
            }
            Self::ReadOnly { .. } => {
                Some("give a place that can be written; to read a journal none is needed".into())
            }
            Self::Exists { .. } => Some("give another directory".into()),
            Self::NotYet { next_seq: 0, .. } => Some("the journal is empty".into()),
            Self::NotYet { next_seq, .. } => {
                Some(format!("give a record up to {}", next_seq.saturating_sub(1)))
            }
            Self::Io { .. }
            | Self::OutOfOrder { .. }
            | Self::Unencodable(_)
            | Self::Options(_)
            | Self::Closed => None,
        }
    }

    /// The damage, if that is what it is.
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Damaged(damage) => Some(damage),
            _ => None,
        }
    }
}

impl From<Damage> for JournalError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// Makes an error of what the system said about `path`.
pub(crate) fn failed(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| {
        let source = Arc::new(source);
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => JournalError::ReadOnly { path, source },
            io::ErrorKind::PermissionDenied if operation.writes() => {
                JournalError::ReadOnly { path, source }
            }
            _ => JournalError::Io { operation, path, source },
        }
    }
}

/// What was tried on a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Making a file or a directory.
    Create,
    /// Opening a file.
    Open,
    /// Opening a file to write it.
    OpenForWriting,
    /// Listing a directory.
    List,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making what was written durable.
    Sync,
    /// Setting the length of a file.
    Resize,
    /// Giving a file its name.
    Rename,
    /// Removing a file.
    Remove,
    /// Taking the lock.
    Lock,
    /// Starting a thread.
    Start,
}

impl Operation {
    fn writes(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Read | Self::Start)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::OpenForWriting => "open for writing",
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Resize => "resize",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Lock => "lock",
            Self::Start => "start a thread for",
        })
    }
}

/// Why a directory holds no journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// The directory is not there.
    #[error("there is no such directory")]
    NoDirectory,
    /// No segment is in it.
    #[error("it has no segments")]
    NoSegments,
    /// Its first segment begins with something else.
    #[error("its first segment is something else")]
    ForeignBytes,
}
