//! Finding out what a directory holds: segment by segment, then the end.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::damage::{Damage, DamageKind};
use crate::disk::{Access, Disk, DiskFile, SystemDisk};
use crate::error::{Absence, JournalError, Operation, Result, failed};
use crate::format::block::BlockEntry;
use crate::format::chain::Links;
use crate::format::segment::{LOCK, PAGE, Page, PageFault, SEGMENTS, segment_of};
use crate::reading::journal::{Journal, TornTail};
use crate::reading::pages::{is_a_journal, made_up};
use crate::reading::recovery::{Evidence, Stop, Successor, Verdict, classify};
use crate::reading::span::read_span;
use crate::reading::stream::Frames;
use crate::reading::walk::{SegmentEntry, Walk};

/// How often opening is tried again while somebody writes.
const ATTEMPTS: u32 = 8;

impl Journal {
    /// Opens the journal in a directory for reading. A torn tail is reported and left alone.
    ///
    /// Every header is verified, and the records of the last block; damage anywhere in them is an
    /// error. A writer may go on at the same time: the answer is the journal as it stood.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(SystemDisk), dir)
    }

    /// Opens a journal that stands on `disk`.
    pub fn open_on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let mut attempt = 1;
        loop {
            let found = scan(&disk, dir, Pages::Verify).and_then(Scan::whole);
            // What is written while it is walked can look as if something were missing.
            if found.is_ok() || attempt == ATTEMPTS || !disk.is_locked(&dir.join(LOCK)) {
                return found;
            }
            attempt += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a directory holds: a journal up to the first fault, if there is one.
pub(crate) struct Scan {
    pub(crate) journal: Journal,
    pub(crate) fault: Option<JournalError>,
    /// Header pages that do not verify and were made up.
    pub(crate) pages: Vec<Damage>,
}

impl Scan {
    /// The journal, if it is whole.
    pub(crate) fn whole(self) -> Result<Journal> {
        match self.fault {
            None => Ok(self.journal),
            Some(fault) => Err(fault),
        }
    }
}

/// What a header page that does not verify means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// It is a fault.
    Verify,
    /// It is made up where the rest of the journal tells what it must have said.
    MakeUp,
}

/// Walks the headers of the journal in `dir` and verifies its last records.
///
/// An error means that nothing can be said; a fault in the answer that it can up to there.
pub(crate) fn scan(disk: &Arc<dyn Disk>, dir: &Path, pages: Pages) -> Result<Scan> {
    let present = segments_in(disk.as_ref(), dir)?;
    let journal = Journal {
        disk: Arc::clone(disk),
        dir: dir.to_path_buf(),
        walk: Walk::default(),
        tail: Links::resume(0, &BlockEntry::GENESIS),
        closed: false,
        torn: None,
        untrimmed: None,
    };
    let mut scan = Scan { journal, fault: None, pages: Vec::new() };
    let last = present.last().copied().unwrap_or(0);
    for segment in 0..=last {
        let taken = match present.contains(&segment) {
            true => take_segment(&mut scan, &present, segment, pages)?,
            false => Err(scan.journal.damage(segment, 0, DamageKind::SegmentMissing).into()),
        };
        scan.fault = taken.err();
        if scan.fault.is_some() {
            break;
        }
    }
    Ok(scan)
}

/// The numbers of the segments that are there.
pub(crate) fn segments_in(disk: &dyn Disk, dir: &Path) -> Result<BTreeSet<u64>> {
    let absent = |reason| JournalError::NotAJournal { path: dir.to_path_buf(), reason };
    let path = dir.join(SEGMENTS);
    let names = match disk.list(&path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let there = disk.list(dir).is_ok();
            let reason = if there { Absence::NoSegments } else { Absence::NoDirectory };
            return Err(absent(reason));
        }
        Err(error) => return Err(failed(Operation::List, &path)(error)),
    };
    let numbers: BTreeSet<u64> = names.iter().filter_map(|name| segment_of(name)).collect();
    if numbers.is_empty() { Err(absent(Absence::NoSegments)) } else { Ok(numbers) }
}

/// Takes one segment. The outer error is the disk's, the inner one the journal's.
fn take_segment(
    scan: &mut Scan,
    present: &BTreeSet<u64>,
    segment: u64,
    pages: Pages,
) -> Result<Result<()>> {
    let (journal, last) = (&mut scan.journal, present.last().copied().unwrap_or(0));
    let path = journal.segment_path(segment);
    let file = journal.disk.open(&path, Access::Read).map_err(failed(Operation::Open, &path))?;
    let size = file.size().map_err(failed(Operation::Read, &path))?;
    if size < PAGE as u64 {
        return Ok(Err(journal.damage(segment, size, DamageKind::SegmentCut).into()));
    }
    let mut bytes = [0; PAGE];
    file.read_exact_at(&mut bytes, 0).map_err(failed(Operation::Read, &path))?;
    if segment == 0
        && Page::decode(&bytes) == Err(PageFault::Foreign)
        && !is_a_journal(journal, present)?
    {
        let (path, reason) = (journal.dir.clone(), Absence::ForeignBytes);
        return Ok(Err(JournalError::NotAJournal { path, reason }));
    }
    let page = match take_page(journal, segment, &bytes) {
        Ok(page) => page,
        Err(JournalError::Damaged(damage)) if damage.kind.is_of_page() => {
            let told = made_up(journal, present, &bytes)?;
            let damage = Damage { told: told.is_some(), ..*damage };
            match told.filter(|_| pages == Pages::MakeUp) {
                Some(page) => {
                    scan.pages.push(damage);
                    page
                }
                None => return Ok(Err(damage.into())),
            }
        }
        Err(fault) => return Ok(Err(fault)),
    };
    let extent = u64::from(page.extent);
    let frames = journal.walk.frames.len();
    let entry = SegmentEntry { page, end: PAGE as u64, frames: frames..frames };
    journal.walk.segments.push(entry);

    let mut stop = journal.walk.segment(file.as_ref(), size, &path)?;
    if segment == last {
        match verify_tail(journal, stop, file.as_ref(), &path)? {
            Ok(found) => stop = found,
            Err(fault) => return Ok(Err(fault)),
        }
    }
    let evidence = Evidence {
        successor: match stop {
            _ if segment == last => Successor::None,
            Stop::Zeros => successor(journal, segment, last)?,
            _ => Successor::Frames,
        },
        whole_extents: size.is_multiple_of(extent),
        marks: journal.walk.marks(),
        at_block_end: journal.walk.at_block_end(),
        stop,
    };
    Ok(conclude(journal, segment, &evidence))
}

/// Decodes a header page and compares it with what precedes it.
fn take_page(journal: &Journal, segment: u64, bytes: &[u8; PAGE]) -> Result<Page> {
    let damage = |kind| JournalError::from(journal.damage(segment, 0, kind));
    let page = Page::decode(bytes).map_err(|fault| match fault {
        PageFault::Foreign => damage(DamageKind::Page),
        PageFault::Version(version) => {
            JournalError::Newer { path: journal.dir.clone(), segment, version }
        }
        PageFault::Damaged(kind) => damage(kind),
    })?;
    let walk = &journal.walk;
    let (id, end) = walk.segments.last().map_or((page.id, 0), |last| (last.page.id, last.end));
    if page.id != id {
        return Err(damage(DamageKind::ForeignSegment));
    }
    if page.segment != segment {
        return Err(damage(DamageKind::SegmentNumber { found: page.segment }));
    }
    if page.extent == 0 {
        return Err(damage(DamageKind::PagePadding));
    }
    if page.previous_length > end {
        let cut = journal.damage(segment.saturating_sub(1), end, DamageKind::SegmentCut);
        return Err(cut.into());
    }
    let continues = page.previous_length == end
        && page.first_seq == walk.next_seq()
        && page.previous_block == walk.last_block()
        && page.previous_head == walk.head
        && (segment == 0 || walk.at_block_end());
    if continues { Ok(page) } else { Err(damage(DamageKind::SegmentChain)) }
}

/// What stands behind a segment that ends in zeros.
fn successor(journal: &Journal, segment: u64, last: u64) -> Result<Successor> {
    let next = segment.saturating_add(1);
    if next != last {
        return Ok(Successor::Frames);
    }
    let path = journal.segment_path(next);
    let opened = journal.disk.open(&path, Access::Read);
    // A segment that is not there is found to be missing in its turn.
    let Ok(file) = opened else { return Ok(Successor::Empty) };
    let size = file.size().map_err(failed(Operation::Read, &path))?;
    let start = PAGE as u64;
    let begin = read_span(file.as_ref(), &path, start.min(size), size.min(start + 8))?;
    let empty = begin.iter().all(|byte| *byte == 0);
    Ok(if empty { Successor::Empty } else { Successor::Frames })
}

/// Verifies the records from the block on that the last ones are in, and all frames behind them. The
/// last frame alone may be torn; then it is forgotten.
fn verify_tail(
    journal: &mut Journal,
    stop: Stop,
    file: &dyn DiskFile,
    path: &Path,
) -> Result<Result<Stop>> {
    let damage = match open_block(journal) {
        Ok(links) => {
            journal.tail = links;
            return Ok(Ok(stop));
        }
        Err(JournalError::Damaged(damage)) => damage,
        Err(error) => return Err(error),
    };
    let entry = journal.walk.segments.last().filter(|entry| !entry.frames.is_empty());
    let last = entry.and_then(|_| journal.walk.frames.last()).filter(|last| {
        stop == Stop::Zeros && (last.segment, last.offset) == (damage.segment, damage.offset)
    });
    let Some(last) = last else { return Ok(Err(JournalError::Damaged(damage))) };
    let bytes = read_span(file, path, last.offset, last.offset.saturating_add(last.length))?;
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
    journal.walk.forget_last();
    match open_block(journal) {
        Ok(links) => journal.tail = links,
        Err(fault @ JournalError::Damaged(_)) => return Ok(Err(fault)),
        Err(error) => return Err(error),
    }
    Ok(Ok(Stop::Body { kind: damage.kind, length, zeros_behind: true }))
}

/// The hash of the open block, every frame from the last one with records on verified.
fn open_block(journal: &Journal) -> Result<Links> {
    let frames = journal.frames();
    let wanted = frames.iter().rposition(|frame| !frame.close).unwrap_or(0);
    let mut reading = Frames::new(journal, wanted);
    reading.by_ref().try_for_each(|frame| frame.map(|_| ()))?;
    Ok(reading.into_links())
}

/// Does what the verdict over the end of a segment says.
fn conclude(journal: &mut Journal, segment: u64, evidence: &Evidence) -> Result<()> {
    let offset = journal.walk.segments.last().map_or(0, |segment| segment.end);
    let last = evidence.successor == Successor::None;
    if let Some(untrimmed) = journal.untrimmed.filter(|_| last && evidence.stop != Stop::Zeros) {
        return Err(journal.damage(untrimmed, PAGE as u64, DamageKind::SegmentEnd).into());
    }
    match classify(evidence) {
        Verdict::Clean { closed } => journal.closed = closed && last,
        Verdict::Untrimmed => journal.untrimmed = Some(segment),
        Verdict::Torn { length } => journal.torn = Some(TornTail { segment, offset, length }),
        Verdict::SuccessorMissing => {
            let next = segment.saturating_add(1);
            return Err(journal.damage(next, 0, DamageKind::SegmentMissing).into());
        }
        Verdict::Damaged(kind) => {
            let mut damage = journal.damage(segment, offset, kind);
            let before = journal.walk.segments.last().map_or(0, |segment| segment.frames.len());
            damage.frame = Some(before as u64);
            return Err(damage.into());
        }
    }
    Ok(())
}

impl Journal {
    /// Damage behind everything that was walked.
    fn damage(&self, segment: u64, offset: u64, kind: DamageKind) -> Damage {
        Damage {
            path: self.dir.clone(),
            segment,
            offset,
            frame: None,
            records: None,
            kind,
            intact: self.next_seq(),
            told: false,
        }
    }
}
