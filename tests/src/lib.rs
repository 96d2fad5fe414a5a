//! Judges, and what several of them share: a desk to tell commands at, a random walk through them, the
//! model that it is held against, and journals that end many frames and segments in a short run.

pub mod arrows;
pub mod audit;
pub mod desk;
pub mod lives;
pub mod model;
pub mod walk;

use tensorforge_journal::{LedgerOptions, WriterOptions};

/// A ledger whose frames, segments and extents are so small that a short run ends many of each.
pub fn small_segments() -> LedgerOptions {
    let writer = WriterOptions { segment_bytes: 48 << 10, extent: 8 << 10, sync: true };
    LedgerOptions { frame_records: 256, frame_bytes: 32 << 10, snapshot_every: 1_024, writer }
}
