//! What can be saved of a damaged journal.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tensorforge_journal::damage::DamageKind;
use tensorforge_journal::error::JournalError;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::journal::Journal;
use tensorforge_journal::schema;
use tensorforge_journal::writing::salvage::{Island, Report, salvage, salvage_on};
use tensorforge_journal::writing::writer::{Origin, Writer};

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
    if report.pages.is_empty() {
        assert_eq!(
            saved.closed(),
            report.fault.is_none() && open(disk).is_ok_and(|it| it.closed())
        );
    }
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

/// What is told of a journal that cannot be opened; the way out that it names.
fn help(disk: &MemoryDisk) -> String {
    fault(disk).expect("something is wrong").help().expect("a way out")
}

#[test]
fn a_page_that_the_rest_of_the_journal_tells_costs_nothing() {
    let sector = 0..512;
    let page = 0..4096;
    let check = |closed: bool, hurt: &[(u64, &Range<usize>)]| {
        let disk = journal(3100, 512, closed);
        for (number, range) in hurt {
            disk.edit(segment(*number), |bytes| bytes[(*range).clone()].fill(0));
        }
        let first = hurt[0].0;
        assert_eq!(damage(&disk), (first, 0, DamageKind::Page));
        let before = [None, Some(1024), Some(2048), Some(3072)][first as usize];
        let before =
            before.map_or(String::new(), |kept| format!("the {kept} records before it and "));
        let promise = format!(
            "`tensorforge salvage j.tfj --out saved.tfj` keeps {before}those behind it that verify"
        );
        assert_eq!(help(&disk), promise);
        let report = save(&disk);
        assert_eq!((report.kept, report.lost, report.fault.is_none()), (3100, 0, true), "{hurt:?}");
        assert!(report.islands.is_empty() && report.torn.is_none());
        let pages: Vec<_> = report.pages.iter().map(|page| (page.segment, page.kind)).collect();
        let expected: Vec<_> = hurt.iter().map(|(number, _)| (*number, DamageKind::Page)).collect();
        assert_eq!(pages, expected);
        let saved = Journal::open_on(Arc::new(disk), "saved.tfj").unwrap();
        assert_eq!(saved.closed(), closed);
    };
    for closed in [true, false] {
        check(closed, &[(0, &sector)]);
        check(closed, &[(0, &page)]);
        check(closed, &[(1, &sector)]);
        check(closed, &[(3, &page)]);
        check(closed, &[(0, &sector), (1, &page), (3, &sector)]);
    }
}

#[test]
fn behind_a_page_that_is_made_up_other_damage_is_found_as_ever() {
    let disk = journal(3100, 64, true);
    let whole = open(&disk).unwrap();
    let hurt = whole.frames()[whole.segments()[1].frames.start + 2].clone();
    disk.edit(segment(0), |bytes| bytes[..512].fill(0));
    disk.edit(segment(1), |bytes| bytes[hurt.offset as usize + 1000] ^= 4);
    let report = save(&disk);
    assert_eq!((report.kept, report.kept + report.lost), (hurt.first_seq, 3100));
    assert_eq!(report.fault.unwrap().damage().unwrap().kind, DamageKind::BodyHash);
    assert_eq!(report.pages.len(), 1);

    // Segments that are not in their places are not made to fit.
    let disk = journal(3100, 512, true);
    let (one, two) = (disk.take(segment(1)).unwrap(), disk.take(segment(2)).unwrap());
    disk.put(segment(1), two);
    disk.put(segment(2), one);
    disk.edit(segment(1), |bytes| bytes[..512].fill(0));
    let report = save(&disk);
    assert_eq!(report.kept, 1024);
    assert_eq!(report.fault.unwrap().damage().unwrap().kind, DamageKind::Header);
}

/// With no other segment to ask, the page itself is believed where something else bears it out: the
/// name where a frame verifies under it, the types where they are those of this build.
#[test]
fn a_page_that_is_all_there_is_says_what_can_be_borne_out() {
    let alone = || {
        let disk = MemoryDisk::default();
        let origin = Origin { schema: schema::fingerprint(), ..origin() };
        let shared = Arc::new(disk.clone());
        let mut writer = Writer::create_on(shared, DIR, ID, origin, OPTIONS).unwrap();
        append(&mut writer, &mut Chain::genesis(), 100, 10).unwrap();
        writer.close().unwrap();
        disk
    };
    // Extent, number, build, padding and checksum; the magic; half a version.
    for byte in [13, 33, 190, 1000, 4090, 2, 9] {
        let disk = alone();
        disk.edit(segment(0), |bytes| bytes[byte] ^= 0x10);
        assert_eq!(damage(&disk), (0, 0, DamageKind::Page), "byte {byte}");
        assert!(help(&disk).ends_with(" keeps those behind it that verify"), "byte {byte}");
        let report = save(&disk);
        assert_eq!((report.kept, report.lost, report.pages.len()), (100, 0, 1), "byte {byte}");
        let saved = Journal::open_on(Arc::new(disk), "saved.tfj").unwrap();
        schema::check(&saved).unwrap();
    }
    // Name, types.
    for byte in [16, 31, 152, 183] {
        let disk = alone();
        disk.edit(segment(0), |bytes| bytes[byte] ^= 0x10);
        assert!(help(&disk).ends_with("restore j.tfj from a copy"), "byte {byte}");
        let error = salvage_on(Arc::new(disk), DIR, "saved.tfj", OPTIONS).unwrap_err();
        assert_eq!(error.damage().unwrap().kind, DamageKind::Page, "byte {byte}");
    }
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
