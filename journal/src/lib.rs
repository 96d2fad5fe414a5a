//! The journal: records in frames, frames in segments, a chain and a tree through all of them; and
//! the ledger that ties it to the engine.
//!
//! The byte layout is drawn in `FORMAT.md` beside this crate. A [`Ledger`] decides and records, a
//! [`Sequencer`] does so for many callers at once; a [`Journal`] reads, a [`Replay`] leads through its
//! records, and [`verify()`], [`diff()`] and the bisections say whether, where and how histories part.

#![deny(unsafe_code)]

pub mod error;

pub mod body;
pub mod chain;
pub mod codec;
pub mod schema;
pub mod tree;

pub mod frame;
pub mod seal;
pub mod segment;

pub mod disk;
pub mod memory;

mod opening;
pub mod reader;
pub mod recovery;
pub mod repair;
pub mod stream;
pub mod walk;

pub mod committer;
pub mod salvage;
pub mod writer;

pub mod snapshot;

pub mod ledger;
pub mod replay;
pub mod sequencer;

pub mod bisect;
pub mod diff;
pub mod divergence;
pub mod search;
pub mod verify;

pub use bisect::{Judgement, Verdict as StateVerdict, bisect_build, bisect_state};
pub use chain::{BLOCK_RECORDS, BlockEntry, Hash};
pub use codec::{Batch, hash_events};
pub use diff::{Parting, diff};
pub use divergence::{Divergence, Phase};
pub use error::{Damage, JournalError};
pub use ledger::{Closed, Ledger, LedgerError, Options as LedgerOptions, take_snapshot};
pub use reader::Journal;
pub use replay::{
    Mode, Record, Replay, ReplayError, Step, binding, read_record, read_records, records_until,
    state_at,
};
pub use salvage::salvage;
pub use search::{Search, first_bad};
pub use sequencer::{Answer, Client, Sequencer};
pub use snapshot::{Missed as MissedSnapshot, hex, list as list_snapshots, read as read_snapshot};
pub use verify::{Verified, check_bytes, verify};
pub use writer::Options as WriterOptions;
