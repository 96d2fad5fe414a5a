//! The journal: records in frames, frames in segments, a chain and a tree through all of them; and
//! the ledger that ties it to the engine.
//!
//! The byte layout is drawn in `FORMAT.md` beside this crate. A [`Ledger`] decides and records, a
//! [`Sequencer`] does so for many callers at once; a [`Journal`] reads, a [`Replay`] leads through its
//! records, and [`verify()`], [`diff()`] and the bisections say whether, where and how histories part.

#![deny(unsafe_code)]

pub mod ledger;
pub mod sequencer;

pub mod comparing;
pub mod proving;
pub mod replaying;

pub mod reading;
pub mod writing;

pub mod error;
pub mod format;

pub mod damage;
pub mod disk;
pub mod memory;

pub use comparing::diff::{Parting, diff};
pub use comparing::divergence::{Divergence, Phase};
pub use comparing::search::{Search, first_bad};
pub use damage::Damage;
pub use error::JournalError;
pub use format::batch::{Batch, Decoded};
pub use format::block::{BLOCK_RECORDS, BlockEntry, Hash};
pub use format::codec::{DecodeError, hash_events};
pub use ledger::{Closed, Ledger, LedgerError, Options as LedgerOptions, take_snapshot};
pub use proving::bisect::{Judgement, Verdict as StateVerdict, bisect_build, bisect_state};
pub use proving::verify::{Verified, check_bytes, reproduce, verify};
pub use reading::journal::Journal;
pub use reading::records::{Record, read_record, read_records, records_until};
pub use reading::schema;
pub use replaying::replay::{Mode, Replay, ReplayError, Step, binding, state_at};
pub use replaying::snapshot::{
    Missed as MissedSnapshot, hex, list as list_snapshots, read as read_snapshot,
};
pub use sequencer::{Answer, Client, Sequencer};
pub use writing::salvage::salvage;
pub use writing::writer::Options as WriterOptions;
