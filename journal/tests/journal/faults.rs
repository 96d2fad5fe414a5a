//! Operations that fail: nothing durable is lost, and nothing is tried twice.

use std::io::ErrorKind;

use tensorforge_journal::error::{JournalError, Operation};
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::{Fate, Fault, MemoryDisk, Point};
use tensorforge_journal::writing::writer::Writer;

use crate::support::*;

/// A life with everything in it: making, rolling, closing, opening again, closing again. The answer is
/// how many records were told to be durable.
fn live(disk: &MemoryDisk, durable: &mut u64) -> Result<(), JournalError> {
    let shared = std::sync::Arc::new(disk.clone());
    let mut writer = Writer::create_on(shared, DIR, ID, origin(), OPTIONS)?;
    let mut chain = Chain::genesis();
    for total in (256..=1536).step_by(256) {
        append(&mut writer, &mut chain, total, 256)?;
        *durable = total;
    }
    writer.close()?;
    let (mut writer, mut opening) = reopen(disk)?;
    append(&mut writer, &mut opening.chain, 2100, 100)?;
    *durable = 2100;
    writer.close()
}

#[test]
fn every_operation_may_fail_once() {
    let disk = MemoryDisk::default();
    live(&disk, &mut 0).unwrap();
    let changes = disk.changes();
    assert!(changes > 50, "{changes}");
    for nth in 0..changes {
        for fault in [
            Fault::Error(ErrorKind::StorageFull),
            Fault::Error(ErrorKind::Other),
            Fault::Short(3, ErrorKind::StorageFull),
        ] {
            let disk = MemoryDisk::default();
            disk.inject(Point::Change, nth, fault);
            let mut durable = 0;
            let error = live(&disk, &mut durable).unwrap_err();
            assert!(matches!(error, JournalError::Io { .. }), "{nth}: {error}");
            for fate in [Fate::Kept, Fate::Lost] {
                let after = disk.crash(|_| fate);
                let Ok(journal) = open(&after) else {
                    assert_eq!(durable, 0, "{nth}");
                    continue;
                };
                let held = journal.next_seq();
                assert!(held >= durable, "{nth}: {held} of {durable}");
                holds(&after, held);
                let (mut writer, mut opening) = reopen(&after).unwrap();
                append(&mut writer, &mut opening.chain, 3100, 512).unwrap();
                writer.close().unwrap();
                holds(&after, 3100);
            }
        }
    }
}

#[test]
fn after_a_failure_a_writer_answers_with_it_and_writes_nothing() {
    let check = |point: Point, operation: Operation| {
        let disk = MemoryDisk::default();
        let mut writer = create(&disk);
        let mut chain = Chain::genesis();
        append(&mut writer, &mut chain, 20, 10).unwrap();
        disk.inject(point, 0, Fault::Short(100, ErrorKind::StorageFull));
        let mut frame = seal(&mut chain, 10);
        let first = writer.append(&mut frame).unwrap_err();
        assert!(
            matches!(&first, JournalError::Io { operation: o, .. } if *o == operation),
            "{first}"
        );
        assert!(first.help().unwrap().contains("nothing durable was lost"));
        let changes = disk.changes();
        let again = writer.append(&mut frame).unwrap_err();
        assert_eq!(again.to_string(), first.to_string());
        assert_eq!(writer.close().unwrap_err().to_string(), first.to_string());
        assert_eq!(disk.changes(), changes, "nothing was tried again");
    };
    check(Point::Write, Operation::Write);
    check(Point::Sync, Operation::Sync);
}

#[test]
fn a_full_disk_is_met_before_the_frame_is_begun() {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    append(&mut writer, &mut chain, 50, 10).unwrap();
    let before = disk.read(segment(0)).unwrap();
    // The next frame is longer than what is left of the extent; the first write zeroes ahead.
    disk.inject(Point::Write, 0, Fault::Short(1000, ErrorKind::StorageFull));
    let full = writer.append(&mut seal(&mut chain, 200)).unwrap_err();
    assert!(matches!(full, JournalError::Io { operation: Operation::Write, .. }), "{full}");
    assert_eq!(disk.read(segment(0)).unwrap(), before);
    drop(writer);

    // Once there is room it goes on where it stood.
    let (mut writer, mut opening) = reopen(&disk).unwrap();
    assert_eq!(opening.chain.next_seq(), 50);
    append(&mut writer, &mut opening.chain, 300, 250).unwrap();
    holds(&disk, 300);
}

#[test]
fn a_sync_that_lies_is_seen_after_the_crash() {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    append(&mut writer, &mut chain, 30, 10).unwrap();
    disk.inject(Point::Sync, 0, Fault::Lie);
    append(&mut writer, &mut chain, 40, 10).unwrap();
    // Alone it is as if the frame had never been written.
    holds(&disk.crash(|_| Fate::Lost), 30);
    // Synced with the next frame it is there.
    append(&mut writer, &mut chain, 50, 10).unwrap();
    holds(&disk.crash(|_| Fate::Lost), 50);
}

#[test]
fn a_read_that_fails_is_the_disks_and_not_the_journals() {
    let disk = journal(2100, 512, true);
    for nth in 0..6 {
        disk.inject(Point::Read, nth, Fault::Error(ErrorKind::Other));
        let error = fault(&disk).unwrap();
        assert!(matches!(error, JournalError::Io { operation: Operation::Read, .. }), "{error}");
    }
    assert!(fault(&disk).is_none());
}
