//! Reading frames one after another, every record verified before anybody sees it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::damage::{Damage, DamageKind};
use crate::disk::{Access, DiskFile};
use crate::error::{JournalError, Operation, Result, failed};
use crate::format::block::{BLOCK_RECORDS, BlockEntry, block_start};
use crate::format::body::Body;
use crate::format::chain::Links;
use crate::format::codec::RecordHead;
use crate::format::frame::{self, Header, Place, TRAILER};
use crate::reading::journal::Journal;
use crate::reading::walk::FrameEntry;

/// Bytes read in one go, unless a single frame is longer.
const RUN: u64 = 1 << 17;

/// Runs that are kept to be filled again: one that is read, and one that a reader still decodes.
const SPARE_RUNS: usize = 2;

/// A frame whose header, records and trailer verify.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What its header says.
    pub header: Header,
    /// Its records.
    pub body: Body,
}

impl Frame {
    /// The heads of its records.
    pub(crate) fn heads(&self) -> impl Iterator<Item = RecordHead> {
        let mut rest: &[u8] = &self.body;
        std::iter::from_fn(move || {
            let head = RecordHead::read(rest)?;
            rest = rest.get(head.length..).unwrap_or_default();
            Some(head)
        })
    }
}

/// The frames of a journal from one of them on, close marks left out but verified. Ends after the
/// first error.
pub struct Frames<'a> {
    journal: &'a Journal,
    /// The frame that is read next.
    next: usize,
    /// The first frame that was asked for; those before it are read to begin the hash with.
    wanted: usize,
    links: Links,
    reading: Reading,
    failed: bool,
}

impl Journal {
    /// The frames from the one that holds record `seq` on; none if `seq` is the next record.
    ///
    /// Reading from the middle of a block verifies the records before it in that block too.
    pub fn frames_from(&self, seq: u64) -> Result<Frames<'_>> {
        let next_seq = self.next_seq();
        if seq > next_seq {
            return Err(JournalError::NotYet { seq, next_seq });
        }
        Ok(Frames::new(self, self.frames().partition_point(|frame| frame.next_seq() <= seq)))
    }

    /// Reads every frame, which verifies every byte of it, close marks and trailers included.
    pub fn verify(&self) -> Result<()> {
        Frames::new(self, 0).try_for_each(|frame| frame.map(|_| ()))
    }
}

impl<'a> Frames<'a> {
    /// The frames from number `wanted` on.
    pub(crate) fn new(journal: &'a Journal, wanted: usize) -> Self {
        let frames = journal.frames();
        let first_seq = frames.get(wanted).map_or(journal.next_seq(), |frame| frame.first_seq);
        let start = block_start(first_seq);
        let previous = usize::try_from(start / BLOCK_RECORDS).ok().and_then(|b| b.checked_sub(1));
        let previous = previous.and_then(|block| journal.blocks().get(block));
        // A frame without records, which is a mark, belongs to what it precedes.
        let precedes = |frame: &FrameEntry| frame.first_seq < start && frame.next_seq() <= start;
        Self {
            journal,
            next: frames.partition_point(precedes).min(wanted),
            wanted,
            links: Links::resume(start, previous.unwrap_or(&BlockEntry::GENESIS)),
            reading: Reading::default(),
            failed: false,
        }
    }

    /// What the hash of the open block stands at after the frames read so far.
    pub(crate) fn into_links(self) -> Links {
        self.links
    }

    fn read(&mut self, index: usize) -> Result<Frame> {
        let frames = self.journal.frames();
        let Some(entry) = frames.get(index) else { return Err(JournalError::Closed) };
        let (run, at) = self.reading.frame(self.journal, index)?;
        check_frame(&mut self.links, &run, at, self.journal.id(), entry)
            .map_err(|kind| self.journal.damage_at(index, kind).into())
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && self.next < self.journal.frames().len() {
            let index = self.next;
            self.next += 1;
            let frame = self.read(index);
            self.failed = frame.is_err();
            let shown =
                frame.as_ref().is_ok_and(|frame| !frame.header.close && index >= self.wanted);
            if self.failed || shown {
                return Some(frame);
            }
        }
        None
    }
}

/// What is open and read of a journal's files.
#[derive(Default)]
struct Reading {
    file: Option<(u64, PathBuf, Box<dyn DiskFile>)>,
    /// Bytes of whole frames, the offset of the first one, and how many of the bytes are meant.
    run: Arc<Vec<u8>>,
    start: u64,
    length: u64,
    /// Runs that a reader may have let go of, to be filled again.
    spare: Vec<Arc<Vec<u8>>>,
}

impl Reading {
    /// The run that holds a frame, and the place of the frame in it.
    fn frame(&mut self, journal: &Journal, index: usize) -> Result<(Arc<Vec<u8>>, usize)> {
        let frames = journal.frames().get(index..).unwrap_or_default();
        let Some(entry) = frames.first() else { return Err(JournalError::Closed) };
        let open = self.file.as_ref().is_some_and(|(segment, ..)| *segment == entry.segment);
        let end = self.start.saturating_add(self.length);
        let held = open && self.start <= entry.offset && entry.offset < end;
        if !held {
            if !open {
                let path = journal.segment_path(entry.segment);
                let file = journal.disk().open(&path, Access::Read);
                let file = file.map_err(failed(Operation::Open, &path))?;
                self.file = Some((entry.segment, path, file));
            }
            self.fill(frames)?;
        }
        let at = usize::try_from(entry.offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok((Arc::clone(&self.run), at))
    }

    /// Reads as many of the frames as are in one segment and fit into a run, and at least one.
    fn fill(&mut self, frames: &[FrameEntry]) -> Result<()> {
        let (Some(first), Some((segment, path, file))) = (frames.first(), &self.file) else {
            return Ok(());
        };
        let same = frames.iter().take_while(|frame| frame.segment == *segment);
        let ends = same.map(|frame| frame.offset.saturating_add(frame.length) - first.offset);
        let fitting = ends.take_while(|end| *end <= RUN).last();
        let length = fitting.unwrap_or(first.length);

        self.spare.push(std::mem::take(&mut self.run));
        let free = self.spare.iter_mut().position(|run| Arc::get_mut(run).is_some());
        let mut run = free.map(|free| self.spare.swap_remove(free)).unwrap_or_default();
        self.spare.truncate(SPARE_RUNS);
        let needed = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = Arc::make_mut(&mut run);
        if bytes.len() < needed {
            bytes.resize(needed, 0);
        }
        let bytes = bytes.get_mut(..needed).unwrap_or_default();
        file.read_exact_at(bytes, first.offset).map_err(failed(Operation::Read, path))?;
        (self.run, self.start, self.length) = (run, first.offset, length);
        Ok(())
    }
}

/// Verifies a frame that stands at `at` in what was read.
fn check_frame(
    links: &mut Links,
    run: &Arc<Vec<u8>>,
    at: usize,
    id: [u8; 16],
    entry: &FrameEntry,
) -> Result<Frame, DamageKind> {
    let place = Place { id, segment: entry.segment, offset: entry.offset };
    let end = usize::try_from(entry.length).ok().and_then(|length| at.checked_add(length));
    let end = end.ok_or(DamageKind::FrameCut)?;
    let bytes = run.get(at..end).ok_or(DamageKind::FrameCut)?;
    let header = Header::decode(bytes, &place).map_err(|_| DamageKind::Header)?;
    if header.frame_length() != entry.length || header.first_seq != entry.first_seq {
        return Err(DamageKind::Header);
    }
    let body = at + header.length()..end - TRAILER;
    check_body(links, &header, run.get(body.clone()).unwrap_or_default())?;
    if run.get(body.end..end) != Some(&frame::trailer(entry.length)) {
        return Err(DamageKind::Trailer);
    }
    Ok(Frame { header, body: Body::within(run, body) })
}

/// Verifies the records of a frame from where the links stand: everything before is passed over.
fn check_body(links: &mut Links, header: &Header, body: &[u8]) -> Result<(), DamageKind> {
    let (mut at, mut run_start, mut run_seq) = (0, 0, header.first_seq);
    let mut events = 0u32;
    let (mut time_first, mut time_last, mut ordered) = (None, header.time_first, true);
    let mut blocks = header.blocks.iter();
    for seq in header.first_seq..header.next_seq() {
        let record = RecordHead::read(body.get(at..).unwrap_or_default());
        let record = record.ok_or(DamageKind::RecordLengths)?;
        at += record.length;
        events = events.saturating_add(record.event_count);
        time_first.get_or_insert(record.time);
        ordered &= record.time >= time_last;
        time_last = record.time;

        let next = seq.saturating_add(1);
        let block_ends = next.is_multiple_of(BLOCK_RECORDS);
        let passed = next <= links.next_seq();
        if block_ends && !passed {
            links.push(body.get(run_start..at).unwrap_or_default(), next - run_seq);
            let recorded = blocks.next().ok_or(DamageKind::HeaderShape)?;
            if links.end_block(recorded.root).hash != recorded.hash {
                return Err(DamageKind::BlockHash);
            }
        } else if block_ends {
            blocks.next();
        }
        if block_ends || passed {
            (run_start, run_seq) = (at, next);
        }
    }
    if at != body.len() {
        return Err(DamageKind::RecordLengths);
    }
    if header.next_seq() > run_seq {
        links.push(body.get(run_start..).unwrap_or_default(), header.next_seq() - run_seq);
    }
    if links.running() != header.running {
        return Err(DamageKind::BodyHash);
    }
    let first = time_first.unwrap_or(header.time_first);
    let times = ordered && (first, time_last) == (header.time_first, header.time_last);
    if times && events == header.event_count { Ok(()) } else { Err(DamageKind::BodyCounts) }
}

impl Journal {
    /// Damage in one of the frames.
    pub(crate) fn damage_at(&self, index: usize, kind: DamageKind) -> Damage {
        let entry = self.frames().get(index);
        let segment = entry.map_or(0, |entry| entry.segment);
        let before = self.frames().iter().take(index).rev();
        let frame = before.take_while(|before| before.segment == segment).count();
        Damage {
            path: self.dir().to_path_buf(),
            segment,
            offset: entry.map_or(0, |entry| entry.offset),
            frame: Some(frame as u64),
            records: entry.map(|entry| entry.first_seq..entry.next_seq()),
            kind,
            intact: entry.map_or(0, |entry| entry.first_seq),
            told: false,
        }
    }
}
