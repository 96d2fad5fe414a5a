//! Walking the headers of a journal: everything about it but its records.

use std::ops::Range;
use std::path::Path;

use crate::damage::DamageKind;
use crate::disk::DiskFile;
use crate::error::Result;
use crate::format::block::{BLOCK_RECORDS, BlockEntry, Hash};
use crate::format::chain::Chain;
use crate::format::frame::{HEADER_MAX, Header, HeaderFault, Place};
use crate::format::segment::Page;
use crate::format::tree::{self, Tree};
use crate::reading::recovery::Stop;
use crate::reading::span::{Window, headers_in, pieces};

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
    let (mut end, mut frame_behind) = (place.offset, false);
    pieces(file, path, place.offset..size, HEADER_MAX as u64, |offset, bytes, own| {
        let piece = bytes.get(..own).unwrap_or_default();
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            end = offset.saturating_add(last as u64 + 1);
        }
        let mut headers = headers_in(bytes, own, Place { offset, ..place });
        frame_behind = frame_behind || headers.next().is_some();
        Ok(())
    })?;
    if end == place.offset {
        return Ok(Stop::Zeros);
    }
    Ok(Stop::Garbage { length: end - place.offset, frame_behind, zero_behind: end < size })
}
