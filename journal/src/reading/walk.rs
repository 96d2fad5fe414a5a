//! Walking the headers of a journal: everything about it but its records.

use std::ops::Range;
use std::path::Path;

use crate::damage::DamageKind;
use crate::disk::DiskFile;
use crate::error::{Operation, Result, failed};
use crate::format::block::{BLOCK_RECORDS, BlockEntry, Hash};
use crate::format::chain::Chain;
use crate::format::frame::{self, FRAME_MAGIC, Header, HeaderFault, Place};
use crate::format::segment::{PAGE, Page};
use crate::format::tree::{self, Tree};
use crate::reading::recovery::Stop;

/// A segment, as far as it verifies.
#[derive(Clone, Debug)]
pub struct SegmentEntry {
    /// Its header page.
    pub page: Page,
    /// Where its last frame ends.
    pub end: u64,
    /// Its frames, among the journal's.
    pub frames: Range<usize>,
}

/// A frame whose header verifies.
#[derive(Clone, Debug)]
pub struct FrameEntry {
    /// Its segment.
    pub segment: u64,
    /// Its first byte there.
    pub offset: u64,
    /// Bytes of all of it.
    pub length: u64,
    /// Whether it is a close mark.
    pub close: bool,
    /// Its first record.
    pub first_seq: u64,
    /// Its records.
    pub record_count: u32,
    /// Their events.
    pub event_count: u32,
    /// The time of its first record.
    pub time_first: u64,
    /// The time of its last record.
    pub time_last: u64,
    /// The hash of the open block after it.
    pub running: Hash,
    /// The root of the state after it.
    pub state_root: Hash,
}

impl FrameEntry {
    /// The first record after it.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.record_count))
    }
}

/// What is known after some frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) frames: Vec<FrameEntry>,
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) tree: Tree,
    /// The header of the last frame.
    pub(crate) last: Option<Header>,
    /// BLAKE3 of the bytes of that header.
    pub(crate) head: Hash,
    /// The tree, last header and head before the last frame.
    before: Option<(Tree, Option<Header>, Hash)>,
}

impl Walk {
    pub(crate) fn next_seq(&self) -> u64 {
        self.last.as_ref().map_or(0, Header::next_seq)
    }

    pub(crate) fn last_block(&self) -> BlockEntry {
        self.blocks.last().copied().unwrap_or(BlockEntry::GENESIS)
    }

    /// Whether the last record was the last one of its block.
    pub(crate) fn at_block_end(&self) -> bool {
        self.next_seq() > 0 && self.next_seq().is_multiple_of(BLOCK_RECORDS)
    }

    /// How many of the last frames, up to two, are close marks.
    pub(crate) fn marks(&self) -> u8 {
        let marks = self.frames.iter().rev().take(2).take_while(|frame| frame.close);
        marks.fold(0, |count, _| count + 1)
    }

    /// Follows the headers of a segment, whose entry is the last one, to where they stop.
    pub(crate) fn segment(&mut self, file: &dyn DiskFile, size: u64, path: &Path) -> Result<Stop> {
        let Some(entry) = self.segments.last() else { return Ok(Stop::End) };
        let mut place = Place { id: entry.page.id, segment: entry.page.segment, offset: entry.end };
        let mut window = Window::new(file, size, path);
        loop {
            let header = window.header(place.offset)?;
            if header.is_empty() {
                return Ok(Stop::End);
            }
            let decoded = match Header::decode(header, &place) {
                Ok(decoded) => decoded,
                Err(HeaderFault::Refused(kind)) => return Ok(Stop::Wrong(kind)),
                Err(HeaderFault::Unverified) => return garbage(file, size, path, place),
            };
            let end = place.offset.saturating_add(decoded.frame_length());
            if end > size {
                return Ok(Stop::Wrong(DamageKind::FrameCut));
            }
            let head = header.get(..decoded.length()).map(blake3::hash);
            let head = head.map(Hash::from).unwrap_or_default();
            if let Err(kind) = self.admit(decoded, head, &place) {
                return Ok(Stop::Wrong(kind));
            }
            place.offset = end;
        }
    }

    /// Takes a frame if it can follow what precedes it.
    fn admit(&mut self, header: Header, head: Hash, place: &Place) -> Result<(), DamageKind> {
        let expected = self.next_seq();
        if header.first_seq != expected {
            return Err(DamageKind::FrameOrder { expected, found: header.first_seq });
        }
        if self.last.as_ref().is_some_and(|last| header.time_first < last.time_last) {
            return Err(DamageKind::Time);
        }
        let mut tree = self.tree.clone();
        header.blocks.iter().for_each(|block| tree.push(tree::leaf(block)));
        if tree.root() != header.tree_root {
            return Err(DamageKind::TreeRoot);
        }
        let ends_block = header.next_seq().is_multiple_of(BLOCK_RECORDS);
        if let Some(block) = header.blocks.last().filter(|_| ends_block)
            && block.root != header.state_root
        {
            return Err(DamageKind::StateRoot);
        }
        if header.close {
            self.admit_mark(&header)?;
        }
        self.blocks.extend_from_slice(&header.blocks);
        self.frames.push(FrameEntry {
            segment: place.segment,
            offset: place.offset,
            length: header.frame_length(),
            close: header.close,
            first_seq: header.first_seq,
            record_count: header.record_count,
            event_count: header.event_count,
            time_first: header.time_first,
            time_last: header.time_last,
            running: header.running,
            state_root: header.state_root,
        });
        if let Some(segment) = self.segments.last_mut() {
            segment.end = place.offset.saturating_add(header.frame_length());
            segment.frames.end = self.frames.len();
        }
        let tree = std::mem::replace(&mut self.tree, tree);
        let last = self.last.replace(header);
        let head = std::mem::replace(&mut self.head, head);
        self.before = Some((tree, last, head));
        Ok(())
    }

    /// A close mark repeats what the frame before it says; without one, what there is before a record.
    fn admit_mark(&self, mark: &Header) -> Result<(), DamageKind> {
        let told =
            (&mark.running, &mark.state_root, &mark.digests[..], mark.time_first, mark.time_last);
        let repeats = match &self.last {
            Some(last) => {
                let time = last.time_last;
                told == (&last.running, &last.state_root, &last.digests[..], time, time)
            }
            None => told == (&Chain::genesis().running(), &[0; 32], &[][..], 0, 0),
        };
        if repeats { Ok(()) } else { Err(DamageKind::Mark) }
    }

    /// Forgets the last frame, which must have been the last one taken.
    pub(crate) fn forget_last(&mut self) {
        let (Some(frame), Some(last)) = (self.frames.pop(), self.last.take()) else { return };
        let kept = self.blocks.len().saturating_sub(last.blocks.len());
        self.blocks.truncate(kept);
        if let Some(segment) = self.segments.last_mut() {
            segment.end = frame.offset;
            segment.frames.end = self.frames.len();
        }
        if let Some((tree, last, head)) = self.before.take() {
            (self.tree, self.last, self.head) = (tree, last, head);
        }
    }
}

/// Looks through what stands from a place without a valid header to the end of the file.
fn garbage(file: &dyn DiskFile, size: u64, path: &Path, place: Place) -> Result<Stop> {
    let tail = read_span(file, path, place.offset, size)?;
    let Some(last) = tail.iter().rposition(|byte| *byte != 0) else { return Ok(Stop::Zeros) };
    let length = last as u64 + 1;
    let frame_behind = headers_in(
        tail.get(1..=last).unwrap_or_default(),
        Place { offset: place.offset.saturating_add(1), ..place },
    );
    Ok(Stop::Garbage {
        length,
        frame_behind: frame_behind.into_iter().next().is_some(),
        zero_behind: length < tail.len() as u64,
    })
}

/// The valid headers in bytes that begin at a place, wherever in them they stand.
pub(crate) fn headers_in(bytes: &[u8], place: Place) -> impl Iterator<Item = (Place, Header)> {
    let starts = bytes.windows(FRAME_MAGIC.len()).enumerate();
    starts.filter(|(_, window)| **window == FRAME_MAGIC).filter_map(move |(at, _)| {
        let place = Place { offset: place.offset.saturating_add(at as u64), ..place };
        let header = Header::decode(bytes.get(at..)?, &place).ok()?;
        Some((place, header))
    })
}

/// The bytes from `start` to `end`.
pub(crate) fn read_span(file: &dyn DiskFile, path: &Path, start: u64, end: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| failed(Operation::Read, path)(std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, start).map_err(failed(Operation::Read, path))?;
    Ok(bytes)
}

/// A piece of a file, so that small frames do not cost a read each.
struct Window<'a> {
    file: &'a dyn DiskFile,
    size: u64,
    path: &'a Path,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile, size: u64, path: &'a Path) -> Self {
        Self { file, size, path, start: 0, bytes: Vec::new() }
    }

    /// The bytes at `offset`: at least a header's, unless the file ends before.
    fn header(&mut self, offset: u64) -> Result<&[u8]> {
        self.fill(offset, PAGE)?;
        if let Some(length) = frame::claimed_length(self.bytes_at(offset)) {
            self.fill(offset, length)?;
        }
        Ok(self.bytes_at(offset))
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    fn fill(&mut self, offset: u64, least: usize) -> Result<()> {
        let left = self.size.saturating_sub(offset);
        let least = left.min(least as u64);
        if self.bytes_at(offset).len() as u64 >= least {
            return Ok(());
        }
        let length = least.max(left.min(2 * PAGE as u64));
        self.bytes = read_span(self.file, self.path, offset, offset.saturating_add(length))?;
        self.start = offset;
        Ok(())
    }
}
