//! What an opening knows of a journal. Nothing here writes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::format::block::{BlockEntry, Hash};
use crate::format::chain::{Chain, Links};
use crate::format::segment::{LOCK, SEGMENTS, segment_name};
use crate::format::tree::Tree;
use crate::reading::walk::{FrameEntry, SegmentEntry, Walk};

/// The unfinished end of the last segment: what was being written when the writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: u64,
    /// Its first byte there.
    pub offset: u64,
    /// Bytes up to the last one that is not zero.
    pub length: u64,
}

/// A journal as it stood when it was opened. Its headers are verified; its records are when they are
/// read.
pub struct Journal {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) walk: Walk,
    /// The hash of the open block.
    pub(crate) tail: Links,
    pub(crate) closed: bool,
    pub(crate) torn: Option<TornTail>,
    /// A segment whose zeros were not cut off before its successor was begun.
    pub(crate) untrimmed: Option<u64>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("next_seq", &self.next_seq())
            .field("frames", &self.frames().len())
            .field("closed", &self.closed)
            .field("torn", &self.torn)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Whether a writer has it open at this moment.
    pub fn is_being_written(&self) -> bool {
        self.disk.is_locked(&self.dir.join(LOCK))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The journal's name.
    pub fn id(&self) -> [u8; 16] {
        self.walk.segments.first().map_or([0; 16], |segment| segment.page.id)
    }

    /// The fingerprint of the wire types that the last segment was begun with.
    pub fn schema(&self) -> Hash {
        self.walk.segments.last().map_or([0; 32], |segment| segment.page.schema)
    }

    /// The engine build that began the last segment.
    pub fn build(&self) -> &str {
        self.walk.segments.last().map_or("", |segment| &segment.page.build)
    }

    /// How many records there are, and so the position of the next one.
    pub fn next_seq(&self) -> u64 {
        self.walk.next_seq()
    }

    /// Whether it was closed, so that nothing can be torn.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// The unfinished end, if there is one. It is no part of the journal.
    pub fn torn(&self) -> Option<TornTail> {
        self.torn
    }

    /// The segments, in their order.
    pub fn segments(&self) -> &[SegmentEntry] {
        &self.walk.segments
    }

    /// The frames, in their order, close marks among them.
    pub fn frames(&self) -> &[FrameEntry] {
        &self.walk.frames
    }

    /// The complete blocks, in their order.
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.walk.blocks
    }

    /// The root of the tree over the complete blocks.
    pub fn tree_root(&self) -> Hash {
        self.walk.tree.root()
    }

    /// The tree over the complete blocks.
    pub fn tree(&self) -> &Tree {
        &self.walk.tree
    }

    /// The state root after the last record; zeros if there is none.
    pub fn state_root(&self) -> Hash {
        self.walk.last.as_ref().map_or([0; 32], |last| last.state_root)
    }

    /// The chain after the last record, to go on with.
    pub fn chain(&self) -> Chain {
        Chain::at(self.tail.clone(), self.walk.tree.clone())
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn segment_path(&self, segment: u64) -> PathBuf {
        self.dir.join(SEGMENTS).join(segment_name(segment))
    }
}
