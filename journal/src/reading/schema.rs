//! The schema: what the wire types are made of, written out, and the fingerprint of that text.
//!
//! `schema.txt` names every variant, field and type of commands, events and rows in their order; a
//! test traces the types and compares. A journal carries the fingerprint of the schema that it was
//! written with, so that bytes are never read as something else.

use std::sync::OnceLock;

use crate::error::{JournalError, Result};
use crate::format::block::Hash;
use crate::reading::journal::Journal;

/// The schema of this build.
pub const TEXT: &str = include_str!("../../schema.txt");

/// BLAKE3 of the schema of this build.
pub fn fingerprint() -> Hash {
    static FINGERPRINT: OnceLock<Hash> = OnceLock::new();
    *FINGERPRINT.get_or_init(|| *blake3::hash(TEXT.as_bytes()).as_bytes())
}

/// Refuses a journal of which a segment was begun with another schema.
pub fn check(journal: &Journal) -> Result<()> {
    let pages = journal.segments().iter().map(|segment| &segment.page);
    match pages.into_iter().find(|page| page.schema != fingerprint()) {
        Some(page) => {
            let (path, build) = (journal.dir().to_path_buf(), page.build.clone());
            Err(JournalError::OtherSchema { path, build })
        }
        None => Ok(()),
    }
}
