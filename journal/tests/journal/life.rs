//! A journal's ordinary life.

use std::fs;

use tensorforge_journal::error::{Absence, JournalError};
use tensorforge_journal::format::block::block_start;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::format::tree::{self, Tree};
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::journal::Journal;
use tensorforge_journal::writing::writer::{Opening, Options, Writer};

use crate::support::*;

#[test]
fn what_a_journal_is_does_not_depend_on_its_frames() {
    let one = holds(&journal(5000, 1, true), 5000);
    for per_frame in [7, 1000, 1024, 5000] {
        let other = holds(&journal(5000, per_frame, true), 5000);
        assert_eq!(one.blocks(), other.blocks(), "{per_frame}");
        assert_eq!(one.blocks().len(), 4);
        assert_eq!(one.tree_root(), other.tree_root());
        assert_eq!(one.chain().head(), other.chain().head());
        assert_eq!(one.state_root(), other.state_root());
    }
    let leaves: Vec<_> = one.blocks().iter().map(tree::leaf).collect();
    assert_eq!(Tree::over(leaves).root(), one.tree_root());
    assert_eq!(one.blocks()[2].root, root(3072));
}

#[test]
fn reading_begins_at_any_record() {
    for per_frame in [1, 7, 700, 3000] {
        let journal = holds(&journal(3500, per_frame, true), 3500);
        for seq in (0..3500).step_by(113).chain([1023, 1024, 1025, 3499]) {
            let mut frames = journal.frames_from(seq).unwrap();
            let first = frames.next().unwrap().unwrap();
            assert!((first.header.first_seq..first.header.next_seq()).contains(&seq));
            let rest = frames.map(|frame| frame.unwrap().header.record_count);
            let left = first.header.record_count + rest.sum::<u32>();
            assert_eq!(u64::from(left), 3500 - first.header.first_seq);
        }
        assert_eq!(journal.frames_from(3500).unwrap().count(), 0);
        let error = journal.frames_from(3501).map(|_| ()).unwrap_err();
        assert!(matches!(error, JournalError::NotYet { seq: 3501, next_seq: 3500 }));
    }
}

#[test]
fn records_come_back_as_they_were_pushed() {
    // The longest frames are more than one batch.
    for per_frame in [1, 300, 3000] {
        let journal = holds(&journal(4000, per_frame, true), 4000);
        for from in [0, 1, 299, 1024, 2999, 3000, 3001, 3999, 4000] {
            let mut batches = journal.batches_from(from).unwrap();
            let mut seq = from;
            while let Some(batch) = batches.read().unwrap() {
                for (index, head) in batch.heads().iter().enumerate() {
                    assert_eq!((head.seq.0, head.time.0, head.tag), (seq, seq * 10, seq));
                    assert_eq!(batch.command(index), Some(Ok(command(seq))));
                    assert_eq!(batch.events_of(index), events(seq));
                    seq += 1;
                }
                let end = batches.frame_end().map(|header| header.next_seq());
                let ends_here = seq.is_multiple_of(per_frame) || seq == 4000;
                assert_eq!(end, ends_here.then_some(seq));
            }
            assert_eq!(seq, 4000);
        }
        let some: Vec<u64> = journal
            .records(2990, 3010)
            .unwrap()
            .map(|record| record.unwrap().stamp.seq.0)
            .collect();
        assert_eq!(some, (2990..3010).collect::<Vec<_>>());
    }
}

#[test]
fn a_journal_is_closed_and_goes_on_as_if_it_had_not_been() {
    let disk = MemoryDisk::default();
    create(&disk).close().unwrap();
    let mut total = 0;
    for step in [10, 1014, 1, 3000, 5] {
        let closed = holds(&disk, total);
        assert!(closed.closed());
        let length = disk.read(segment(closed.segments().len() as u64 - 1)).unwrap().len();
        assert_eq!(length as u64, closed.segments().last().unwrap().end);

        let (mut writer, Opening { mut chain, closed, repaired, .. }) = reopen(&disk).unwrap();
        assert!(closed && repaired.is_none());
        total += step;
        append(&mut writer, &mut chain, total, 100).unwrap();
        assert!(!holds(&disk, total).closed());
        writer.close().unwrap();
    }
    let whole = holds(&journal(total, 100, true), total);
    assert_eq!(holds(&disk, total).chain().head(), whole.chain().head());
}

#[test]
fn a_live_segment_is_zeroed_ahead_and_a_finished_one_is_exact() {
    let disk = journal(4100, 64, false);
    let open = holds(&disk, 4100);
    assert!(open.segments().len() >= 3, "{}", open.segments().len());
    for entry in open.segments() {
        let length = disk.read(segment(entry.page.segment)).unwrap().len() as u64;
        let last = entry.page.segment + 1 == open.segments().len() as u64;
        assert_eq!(entry.page.first_seq, block_start(entry.page.first_seq));
        match last {
            true => assert!(length > entry.end && length.is_multiple_of(4096)),
            false => assert_eq!(length, entry.end),
        }
    }
}

#[test]
fn a_frame_that_fills_its_extent_leaves_a_zero_behind_it() {
    // Frames of every length from one record up pass every distance to an extent's end.
    for records in 1..120 {
        let disk = MemoryDisk::default();
        let mut writer = create(&disk);
        let mut chain = Chain::genesis();
        append(&mut writer, &mut chain, records, records).unwrap();
        append(&mut writer, &mut chain, records + 40, 1).unwrap();
        let bytes = disk.read(segment(0)).unwrap();
        assert_eq!(bytes.last(), Some(&0));
        assert!(bytes.len().is_multiple_of(4096));
        holds(&disk, records + 40);
    }
}

#[test]
fn a_journal_lives_on_a_real_disk() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("deep").join("live.tfj");
    let options = Options { segment_bytes: 40_000, extent: 8192, sync: true };
    let mut writer = Writer::create(&dir, ID, origin(), options).unwrap();
    let mut chain = Chain::genesis();
    append(&mut writer, &mut chain, 3000, 64).unwrap();

    // Reading goes on beside writing, writing beside writing does not.
    let live = Journal::open(&dir).unwrap();
    assert_eq!((live.next_seq(), live.closed()), (3000, false));
    assert!(read(&live).unwrap() == records(0..3000));
    let locked = Writer::open(&dir, origin(), options).unwrap_err();
    assert!(matches!(locked, JournalError::Locked { .. }), "{locked}");
    assert!(locked.help().unwrap().contains("stop the process"));
    let there = Writer::create(&dir, ID, origin(), options).unwrap_err();
    assert!(matches!(there, JournalError::Locked { .. }), "{there}");

    writer.close().unwrap();
    let there = Writer::create(&dir, ID, origin(), options).unwrap_err();
    assert!(matches!(there, JournalError::Exists { .. }), "{there}");
    let (mut writer, mut opening) = Writer::open(&dir, origin(), options).unwrap();
    append(&mut writer, &mut opening.chain, 6000, 8).unwrap();
    drop(writer);
    let journal = Journal::open(&dir).unwrap();
    journal.verify().unwrap();
    assert_eq!((journal.next_seq(), journal.closed()), (6000, false));
    assert!(journal.segments().len() >= 3);
    assert_eq!(journal.build(), "engine 0.1.0 (test)");
    assert_eq!((journal.id(), journal.schema()), (ID, [0x5c; 32]));
}

#[test]
fn a_journal_can_be_opened_at_any_moment_while_it_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("live.tfj");
    let mut writer = Writer::create(&dir, ID, origin(), OPTIONS).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            append(&mut writer, &mut Chain::genesis(), 40_960, 64).unwrap();
            writer
        });
        let mut seen = 0;
        while !writing.is_finished() {
            let journal = Journal::open(&dir).unwrap();
            journal.verify().unwrap();
            assert!(journal.next_seq() >= seen);
            seen = journal.next_seq();
        }
        drop(writing.join().unwrap());
    });
    assert!(read(&Journal::open(&dir).unwrap()).unwrap() == records(0..40_960));
}

#[test]
fn what_is_no_journal_is_told_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let check = |reason: Absence| {
        let dir = temp.path().join("x");
        let read = Journal::open(&dir).unwrap_err();
        let write = Writer::open(&dir, origin(), OPTIONS).unwrap_err();
        for error in [read, write] {
            let found = matches!(error, JournalError::NotAJournal { reason: r, .. } if r == reason);
            assert!(found, "{error}");
        }
    };
    check(Absence::NoDirectory);
    fs::create_dir(temp.path().join("x")).unwrap();
    check(Absence::NoSegments);
    assert_eq!(fs::read_dir(temp.path().join("x")).unwrap().count(), 0);
    fs::create_dir(temp.path().join("x/segments")).unwrap();
    check(Absence::NoSegments);
    fs::write(temp.path().join("x/segments/0000000000.seg"), [b'x'; 5000]).unwrap();
    check(Absence::ForeignBytes);
}

#[test]
fn a_frame_out_of_its_turn_is_refused_and_nothing_is_lost() {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    let mut first = seal(&mut chain, 5);
    let mut second = seal(&mut chain, 5);
    let refused = writer.append(&mut second).unwrap_err();
    assert!(matches!(refused, JournalError::OutOfOrder { expected: 0, found: 5 }));
    writer.append(&mut first).unwrap();
    writer.append(&mut second).unwrap();
    holds(&disk, 10);
}
