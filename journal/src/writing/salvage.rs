//! Copying what verifies of a damaged journal into a new one.

use std::path::Path;
use std::sync::Arc;

use crate::damage::Damage;
use crate::disk::{Access, Disk, SystemDisk};
use crate::error::{JournalError, Operation, Result, failed};
use crate::format::frame::{HEADER_MAX, Place};
use crate::format::segment::PAGE;
use crate::reading::journal::{Journal, TornTail};
use crate::reading::opening::{Pages, Scan, scan, segments_in};
use crate::reading::span::{headers_in, pieces};
use crate::writing::seal::Sealed;
use crate::writing::writer::{Options, Origin, Writer};

/// A run of frames behind the damage whose headers verify. Their records hang on records that are
/// lost, so they are told of and not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Island {
    /// The segment.
    pub segment: u64,
    /// The byte at which the first frame begins.
    pub offset: u64,
    /// How many frames there are, one straight behind the other.
    pub frames: u64,
    /// The first record.
    pub first_seq: u64,
    /// The first record after them.
    pub next_seq: u64,
}

/// What was saved, and what was not.
#[derive(Clone, Debug)]
pub struct Report {
    /// Records in the new journal: all before the first damage, to the end of a frame.
    pub kept: u64,
    /// Frames in the new journal.
    pub frames: u64,
    /// Records that the old journal is known to have held beyond those; more may be gone without a
    /// trace.
    pub lost: u64,
    /// The first damage that ended it; `None` if all verified.
    pub fault: Option<JournalError>,
    /// Header pages that did not verify, where the rest of the journal told what they must have said.
    pub pages: Vec<Damage>,
    /// The unfinished end that was left out, if that is all there was to leave out.
    pub torn: Option<TornTail>,
    /// What still stands behind the damage.
    pub islands: Vec<Island>,
}

/// Copies the journal in `source`, up to its first damage, to a new journal in `target`, which gets
/// the same name. The source is not written. A header page that does not verify ends nothing where the
/// rest of the journal tells what it must have said: the new journal has pages of its own.
///
/// Whole frames are copied, each one verified; the new journal is made with `options`. It is closed
/// if the source was and all of it verifies; a part stays open, as after a crash.
pub fn salvage(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: Options,
) -> Result<Report> {
    salvage_on(Arc::new(SystemDisk), source, target, options)
}

/// Does so on `disk`.
pub fn salvage_on(
    disk: Arc<dyn Disk>,
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: Options,
) -> Result<Report> {
    let Scan { journal, fault, pages } = scan(&disk, source.as_ref(), Pages::MakeUp)?;
    if journal.segments().is_empty() {
        // Without one header page there is neither a name nor a place to bind a frame to.
        return Err(fault.unwrap_or(JournalError::Closed));
    }
    let origin = Origin { schema: journal.schema(), build: journal.build().to_owned() };
    let target = target.as_ref();
    let mut writer = Writer::create_on(Arc::clone(&disk), target, journal.id(), origin, options)?;

    let mut report = Report {
        kept: 0,
        frames: 0,
        lost: 0,
        torn: journal.torn(),
        fault,
        pages,
        islands: Vec::new(),
    };
    let mut buffer = Vec::new();
    for frame in journal.frames_from(0)? {
        let frame = match frame {
            Ok(frame) => frame,
            // Nearer than any fault among the headers.
            Err(fault @ JournalError::Damaged(_)) => {
                report.fault = Some(fault);
                break;
            }
            Err(error) => return Err(error),
        };
        let mut copy = Sealed::copied(frame.header, &frame.body, buffer);
        writer.append(&mut copy)?;
        buffer = copy.into_buffer();
        report.frames += 1;
    }
    report.kept = writer.next_seq();
    if report.fault.is_none() && journal.closed() {
        writer.close()?;
    } else {
        drop(writer);
    }
    if let Some(damage) = report.fault.as_ref().and_then(JournalError::damage) {
        report.islands = islands(&journal, (damage.segment, damage.offset))?;
    }
    let known = report.islands.iter().map(|island| island.next_seq);
    let known = known.max().unwrap_or(0).max(journal.next_seq());
    report.lost = known.saturating_sub(report.kept);
    Ok(report)
}

/// The frames that stand behind a place, found by their magic and believed by their checksum.
fn islands(journal: &Journal, behind: (u64, u64)) -> Result<Vec<Island>> {
    let mut islands: Vec<Island> = Vec::new();
    for segment in segments_in(journal.disk().as_ref(), journal.dir())? {
        if segment < behind.0 {
            continue;
        }
        let path = journal.segment_path(segment);
        let file = journal.disk().open(&path, Access::Read);
        let file = file.map_err(failed(Operation::Open, &path))?;
        let size = file.size().map_err(failed(Operation::Read, &path))?;
        let skip = if segment == behind.0 { behind.1.saturating_add(1) } else { 0 };
        let offset = skip.max(PAGE as u64);
        let mut next = None;
        pieces(file.as_ref(), &path, offset..size, HEADER_MAX as u64, |offset, bytes, own| {
            let place = Place { id: journal.id(), segment, offset };
            for (place, header) in headers_in(bytes, own, place) {
                match islands.last_mut().filter(|_| next == Some(place.offset)) {
                    Some(island) => {
                        island.frames += 1;
                        island.next_seq = header.next_seq();
                    }
                    None => islands.push(Island {
                        segment,
                        offset: place.offset,
                        frames: 1,
                        first_seq: header.first_seq,
                        next_seq: header.next_seq(),
                    }),
                }
                next = Some(place.offset.saturating_add(header.frame_length()));
            }
            Ok(())
        })?;
    }
    Ok(islands)
}
