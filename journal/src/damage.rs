//! Bytes that are not what was written: where, and what is wrong with them.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// One place where a journal's bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Damage {
    /// The directory of the journal.
    pub path: PathBuf,
    /// The segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
    /// The frame, counted from zero in its segment, if the place is in one.
    pub frame: Option<u64>,
    /// The records of that frame, where its header still says.
    pub records: Option<Range<u64>>,
    /// What is wrong.
    pub kind: DamageKind,
    /// How many records precede it.
    pub intact: u64,
    /// Whether the rest of the journal tells what must have stood there, so that what is behind it can
    /// be saved too.
    pub told: bool,
}

impl Damage {
    /// The way out.
    pub fn help(&self) -> String {
        let path = self.path.display();
        let before = match self.intact {
            0 => None,
            1 => Some("the record before it".to_owned()),
            kept => Some(format!("the {kept} records before it")),
        };
        let kept = match (before, self.told) {
            (None, false) => return format!("no record precedes it; restore {path} from a copy"),
            (None, true) => "those behind it that verify".to_owned(),
            (Some(before), false) => before,
            (Some(before), true) => format!("{before} and those behind it that verify"),
        };
        format!("`tensorforge salvage {path} --out saved.tfj` keeps {kept}")
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} is damaged at byte {}: {}", self.segment, self.offset, self.kind)?;
        let records = self.records.as_ref().filter(|records| !records.is_empty());
        match (self.frame, records) {
            (Some(frame), Some(records)) => {
                let last = records.end.saturating_sub(1);
                write!(f, " (frame {frame}, records {}-{last})", records.start)
            }
            (Some(frame), None) => write!(f, " (frame {frame})"),
            (None, _) => Ok(()),
        }
    }
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// A segment is not there.
    #[error("the segment is missing")]
    SegmentMissing,
    /// A segment is shorter than its header page.
    #[error("the segment is cut short")]
    SegmentCut,
    /// A header page's checksum does not fit.
    #[error("the header page's checksum differs")]
    Page,
    /// A header page verifies but holds bytes where the format has none.
    #[error("the header page holds bytes that the format does not know")]
    PagePadding,
    /// A header page is that of another journal.
    #[error("the segment is from another journal")]
    ForeignSegment,
    /// A header page is that of another segment.
    #[error("the segment is number {found}")]
    SegmentNumber {
        /// What it says.
        found: u64,
    },
    /// A segment does not go on where the one before it ends.
    #[error("the segment does not continue the one before it")]
    SegmentChain,
    /// A segment that has a successor does not end with its last frame.
    #[error("the segment goes on after its last frame")]
    SegmentEnd,
    /// A header's checksum does not fit, or there is no header where one must be.
    #[error("frame header is not valid")]
    Header,
    /// A header verifies but sets flags that the format does not know.
    #[error("frame header has unknown flags {flags:#x}")]
    Flags {
        /// The flags.
        flags: u32,
    },
    /// A header verifies but contradicts itself.
    #[error("frame header contradicts itself")]
    HeaderShape,
    /// A frame is longer than its segment.
    #[error("frame is cut short")]
    FrameCut,
    /// A frame does not begin with the next record.
    #[error("frame begins at record {found}, not at {expected}")]
    FrameOrder {
        /// The record that is next.
        expected: u64,
        /// The record that it begins with.
        found: u64,
    },
    /// A frame begins before the one in front of it ends.
    #[error("frame goes back in time")]
    Time,
    /// The tree over the blocks does not have the root that the header says.
    #[error("tree root differs")]
    TreeRoot,
    /// A state root is not the one that stands beside it.
    #[error("state root differs")]
    StateRoot,
    /// A close mark says something else than the frame before it.
    #[error("close mark does not repeat the frame before it")]
    Mark,
    /// Records do not fill the body as their lengths say.
    #[error("record lengths do not fill the body")]
    RecordLengths,
    /// A body verifies but its counts or times are not the header's.
    #[error("body does not agree with its header")]
    BodyCounts,
    /// A block has not the hash that the header says.
    #[error("block hash differs")]
    BlockHash,
    /// The records have not the hash that the header says.
    #[error("body hash differs")]
    BodyHash,
    /// The end of a frame is not the one that its header asks for.
    #[error("frame trailer differs")]
    Trailer,
    /// A file that was zeroed ahead has not the length that the format gives it.
    #[error("the space behind the last frame is cut short")]
    Extent,
}

impl DamageKind {
    /// Whether it is a header page that is not what was written.
    pub(crate) fn is_of_page(self) -> bool {
        matches!(self, Self::Page | Self::PagePadding)
    }
}
