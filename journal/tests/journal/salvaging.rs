//! What can be saved of a damaged journal.

use std::path::Path;
use std::sync::Arc;

use tensorforge_journal::damage::DamageKind;
use tensorforge_journal::error::JournalError;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::journal::Journal;
use tensorforge_journal::writing::salvage::{Island, Report, salvage, salvage_on};

use crate::support::*;

/// Salvages, and asserts that the new journal is the history up to what is kept, and the old one as it
/// was.
fn save(disk: &MemoryDisk) -> Report {
    let before: Vec<_> = disk.paths().iter().map(|path| disk.read(path)).collect();
    let target = Path::new("saved.tfj");
    let report = salvage_on(Arc::new(disk.clone()), DIR, target, OPTIONS).unwrap();
    let saved = Journal::open_on(Arc::new(disk.clone()), target).unwrap();
    saved.verify().unwrap();
    // A part does not pass for a whole.
    assert_eq!(saved.closed(), report.fault.is_none() && open(disk).is_ok_and(|it| it.closed()));
    assert_eq!(saved.id(), ID);
    assert_eq!(saved.next_seq(), report.kept);
    assert!(read(&saved).unwrap() == records(0..report.kept));
    let names = disk.paths().into_iter().filter(|path| path.starts_with(DIR));
    assert_eq!(names.map(|path| disk.read(path)).collect::<Vec<_>>(), before);
    report
}

#[test]
fn a_whole_journal_is_copied_whole() {
    let disk = journal(3000, 64, true);
    let report = save(&disk);
    assert_eq!((report.kept, report.lost), (3000, 0));
    assert!(report.fault.is_none() && report.islands.is_empty());
    let saved = Journal::open_on(Arc::new(disk.clone()), "saved.tfj").unwrap();
    assert!(saved.closed());
    assert_eq!(saved.chain().head(), open(&disk).unwrap().chain().head());
}

#[test]
fn a_torn_tail_is_left_out() {
    let disk = journal(40, 10, false);
    let last = open(&disk).unwrap().frames().last().unwrap().offset as usize;
    disk.edit(segment(0), |bytes| bytes[last + 300..].fill(0));
    let report = save(&disk);
    assert_eq!((report.kept, report.frames, report.lost), (30, 3, 0));
    assert_eq!(report.torn.unwrap().offset, last as u64);
    assert!(!Journal::open_on(Arc::new(disk), "saved.tfj").unwrap().closed());
}

#[test]
fn what_precedes_the_damage_is_kept_and_what_follows_is_told() {
    // The body of the third frame of the second segment.
    let disk = journal(3100, 64, true);
    let whole = open(&disk).unwrap();
    let hurt = whole.segments()[1].frames.start + 2;
    let frame = whole.frames()[hurt].clone();
    let after = whole.frames()[hurt + 1].clone();
    disk.edit(segment(1), |bytes| bytes[frame.offset as usize + 1000] ^= 4);
    let report = save(&disk);
    assert_eq!(report.kept, frame.first_seq);
    assert_eq!(report.kept + report.lost, 3100);
    assert!(!Journal::open_on(Arc::new(disk.clone()), "saved.tfj").unwrap().closed());
    let fault = report.fault.unwrap();
    assert_eq!(fault.damage().unwrap().kind, DamageKind::BodyHash);
    let first = Island {
        segment: 1,
        offset: after.offset,
        frames: (whole.segments()[1].frames.end - hurt - 1) as u64,
        first_seq: after.first_seq,
        next_seq: whole.segments()[2].page.first_seq,
    };
    assert_eq!(report.islands[0], first);
    assert_eq!(report.islands.last().unwrap().next_seq, 3100);
    assert_eq!(report.islands.len(), whole.segments().len() - 1);
}

#[test]
fn damage_in_a_header_or_a_missing_segment_ends_what_is_kept() {
    let disk = journal(3100, 64, true);
    let frame = open(&disk).unwrap().frames()[20].clone();
    disk.edit(segment(frame.segment), |bytes| bytes[frame.offset as usize + 60] ^= 4);
    let report = save(&disk);
    // Frame 20 is unreadable as such: nothing of it is counted but what follows it.
    assert_eq!((report.kept, report.kept + report.lost), (frame.first_seq, 3100));

    let disk = journal(3100, 64, true);
    let first = open(&disk).unwrap().segments()[1].page.first_seq;
    disk.take(segment(1));
    let report = save(&disk);
    assert_eq!((report.kept, report.kept + report.lost), (first, 3100));
    assert_eq!(report.fault.unwrap().damage().unwrap().kind, DamageKind::SegmentMissing);
}

#[test]
fn without_the_first_page_there_is_nothing_to_save() {
    let disk = journal(100, 10, true);
    disk.edit(segment(0), |bytes| bytes[20] ^= 1);
    let error = salvage_on(Arc::new(disk), DIR, "saved.tfj", OPTIONS).unwrap_err();
    assert_eq!(error.damage().unwrap().kind, DamageKind::Page);
    assert!(error.help().unwrap().contains("restore j.tfj from a copy"), "{error}");
}

#[test]
fn nothing_is_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let disk = journal(100, 10, true);
    let source = temp.path().join("source.tfj");
    std::fs::create_dir_all(source.join("segments")).unwrap();
    let bytes = disk.read(segment(0)).unwrap();
    std::fs::write(source.join("segments/0000000000.seg"), bytes).unwrap();
    let target = temp.path().join("saved.tfj");
    assert_eq!(salvage(&source, &target, OPTIONS).unwrap().kept, 100);
    let error = salvage(&source, &target, OPTIONS).unwrap_err();
    assert!(matches!(error, JournalError::Exists { .. }), "{error}");
    let error = salvage(&source, &source, OPTIONS).unwrap_err();
    assert!(matches!(error, JournalError::Exists { .. }), "{error}");
}
