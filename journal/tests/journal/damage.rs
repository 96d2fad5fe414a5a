//! Bytes that are not what was written, and what is said about them.

use std::ops::Range;

use tensorforge_engine::config::Limits;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, Seq, VesselId};
use tensorforge_engine::{Command, Event, config, models};
use tensorforge_journal::damage::{Damage, DamageKind};
use tensorforge_journal::error::{Absence, JournalError};
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::walk::FrameEntry;
use tensorforge_journal::writing::seal::FrameBuilder;
use tensorforge_journal::writing::writer::{Options, Writer};
use tensorforge_journal::{Phase, bisect_build, read_record, schema, verify};
use xxhash_rust::xxh3::xxh3_128;

use crate::support::*;

const PAGE: u64 = 4096;

/// What is done to the bytes of a segment, given the places of its frames.
type Change = dyn Fn(&mut Vec<u8>, &[Range<usize>]);

/// Five frames of one size in one segment, closed or not.
fn frames(closed: bool) -> (MemoryDisk, Vec<Range<usize>>) {
    let disk = journal(1500, 300, closed);
    let journal = open(&disk).unwrap();
    let range = |frame: &FrameEntry| frame.offset as usize..(frame.offset + frame.length) as usize;
    let ranges = journal.frames().iter().map(range).collect();
    (disk, ranges)
}

#[test]
fn a_frame_that_is_zeroed_swapped_doubled_or_dropped_is_damage() {
    use DamageKind::{Header, RecordLengths, Trailer};
    for closed in [false, true] {
        let check = |index: usize, kind: DamageKind, change: &Change| {
            let (disk, ranges) = frames(closed);
            disk.edit(segment(0), |bytes| change(bytes, &ranges));
            assert_eq!(damage(&disk), (0, ranges[index].start as u64, kind));
        };
        check(1, Header, &|bytes, at| bytes[at[1].clone()].fill(0));
        check(0, Header, &|bytes, at| bytes[at[0].clone()].fill(0));
        check(1, Header, &|bytes, at| bytes[at[1].start..at[1].start + 512].fill(0));
        check(1, RecordLengths, &|bytes, at| bytes[at[1].start + 512..at[1].end].fill(0));
        check(1, Trailer, &|bytes, at| bytes[at[1].end - 16..at[1].end].fill(0));
        check(1, Header, &|bytes, at| {
            let (one, two) = (bytes[at[1].clone()].to_vec(), bytes[at[2].clone()].to_vec());
            bytes.splice(at[1].start..at[2].end, [two, one].concat());
        });
        check(2, Header, &|bytes, at| {
            let one = bytes[at[1].clone()].to_vec();
            bytes.splice(at[2].start..at[2].start, one);
        });
        check(2, Header, &|bytes, at| {
            bytes.drain(at[2].clone());
        });
    }
}

/// A mark that verifies, but says something else than the last frame, or than nothing.
#[test]
fn a_close_mark_repeats_what_is_before_it() {
    let check = |disk: MemoryDisk, at: &Range<usize>, field: usize| {
        disk.edit(segment(0), |bytes| {
            bytes[at.start + field] ^= 4;
            let length = u32::from_le_bytes(bytes[at.start + 8..at.start + 12].try_into().unwrap());
            let checksum = at.start + length as usize - 16;
            let mut hashed = bytes[at.start..checksum].to_vec();
            hashed.extend(ID);
            hashed.extend(0u64.to_le_bytes());
            hashed.extend((at.start as u64).to_le_bytes());
            bytes[checksum..checksum + 16].copy_from_slice(&xxh3_128(&hashed).to_le_bytes());
        });
        assert_eq!(damage(&disk), (0, at.start as u64, DamageKind::Mark), "field at {field}");
    };
    // The highest byte of its last time; the running hash; the state root.
    for field in [55, 56, 120] {
        let (disk, ranges) = frames(true);
        check(disk, &ranges[5], field);
        let disk = MemoryDisk::default();
        create(&disk).close().unwrap();
        let mark = open(&disk).unwrap().frames()[0].clone();
        let start = mark.offset as usize;
        check(disk, &(start..start + mark.length as usize), field);
    }
}

#[test]
fn a_frame_of_another_journal_or_another_place_is_damage() {
    // Another name, and the same records at the same place.
    let (disk, ranges) = frames(true);
    let other = MemoryDisk::default();
    let shared = std::sync::Arc::new(other.clone());
    let mut writer = Writer::create_on(shared, DIR, [9; 16], origin(), OPTIONS).unwrap();
    append(&mut writer, &mut Chain::genesis(), 1500, 300).unwrap();
    let foreign = other.read(segment(0)).unwrap();
    disk.edit(segment(0), |bytes| {
        bytes[ranges[2].clone()].copy_from_slice(&foreign[ranges[2].clone()]);
    });
    assert_eq!(damage(&disk), (0, ranges[2].start as u64, DamageKind::Header));

    // The whole second segment of another journal.
    let disk = journal(2100, 512, true);
    let other = MemoryDisk::default();
    let shared = std::sync::Arc::new(other.clone());
    let mut writer = Writer::create_on(shared, DIR, [9; 16], origin(), OPTIONS).unwrap();
    append(&mut writer, &mut Chain::genesis(), 2100, 512).unwrap();
    disk.put(segment(1), other.read(segment(1)).unwrap());
    assert_eq!(damage(&disk), (1, 0, DamageKind::ForeignSegment));
}

#[test]
fn a_segment_of_another_history_is_damage() {
    // The same name, the same lengths, another state root at the first block's end.
    let disk = journal(2100, 512, true);
    let fork = MemoryDisk::default();
    let mut writer = create(&fork);
    let mut chain = Chain::genesis();
    append(&mut writer, &mut chain, 512, 512).unwrap();
    let mut frame = FrameBuilder::new(512, Vec::new());
    for seq in 512..1024 {
        let stamp = (Micros(seq * 10), Source::OPERATOR);
        frame.push(stamp, &command(seq), &events(seq), seq).unwrap();
    }
    frame.end_block([1; 32]);
    writer.append(&mut frame.seal(&mut chain, [1; 32], &[1, 2, 1024]).unwrap()).unwrap();
    append(&mut writer, &mut chain, 2100, 512).unwrap();
    writer.close().unwrap();
    disk.put(segment(1), fork.read(segment(1)).unwrap());
    assert_eq!(damage(&disk), (1, 0, DamageKind::SegmentChain));
}

#[test]
fn a_segment_that_is_missing_swapped_or_cut_is_damage() {
    for closed in [false, true] {
        let check = |change: &dyn Fn(&MemoryDisk), expected: (u64, u64, DamageKind)| {
            let disk = journal(3100, 512, closed);
            change(&disk);
            assert_eq!(damage(&disk), expected);
            assert!(reopen(&disk).is_err());
        };
        let end = |number: u64| {
            let journal = open(&journal(3100, 512, closed)).unwrap();
            journal.segments()[number as usize].end
        };
        let last_frame = |number: usize| {
            let journal = open(&journal(3100, 512, closed)).unwrap();
            let frames = journal.segments()[number].frames.clone();
            journal.frames()[frames.end - 1].offset
        };
        let missing = DamageKind::SegmentMissing;
        check(&|disk| drop(disk.take(segment(0))), (0, 0, missing));
        check(&|disk| drop(disk.take(segment(1))), (1, 0, missing));
        check(&|disk| drop(disk.take(segment(3))), (3, 0, missing));
        check(
            &|disk| {
                let (one, two) = (disk.take(segment(1)).unwrap(), disk.take(segment(2)).unwrap());
                disk.put(segment(1), two);
                disk.put(segment(2), one);
            },
            (1, 0, DamageKind::SegmentNumber { found: 2 }),
        );
        for number in 0..4 {
            let cut = DamageKind::SegmentCut;
            check(&|disk| disk.edit(segment(number), Vec::clear), (number, 0, cut));
            let short = PAGE - 1;
            let check_at = |length: u64, expected: (u64, u64, DamageKind)| {
                check(
                    &|disk| disk.edit(segment(number), |b| b.truncate(length as usize)),
                    expected,
                );
            };
            check_at(short, (number, short, cut));
        }
        // A segment that lost all its frames, its last frame, and a part of that.
        check(
            &|disk| disk.edit(segment(1), |bytes| bytes.truncate(4096)),
            (1, PAGE, DamageKind::SegmentCut),
        );
        let at = last_frame(1);
        check(
            &|disk| disk.edit(segment(1), |bytes| bytes.truncate(at as usize)),
            (1, at, DamageKind::SegmentCut),
        );
        check(
            &|disk| disk.edit(segment(1), |bytes| bytes.truncate(end(1) as usize - 5)),
            (1, at, DamageKind::FrameCut),
        );
        check(
            &|disk| disk.edit(segment(1), |bytes| bytes.extend([0; 10])),
            (1, end(1), DamageKind::SegmentEnd),
        );
        check(
            &|disk| disk.edit(segment(1), |bytes| bytes.extend([1; 10])),
            (1, end(1), DamageKind::Header),
        );
    }
}

#[test]
fn a_closed_journal_cut_anywhere_is_damage() {
    let whole = journal(40, 10, true);
    let length = whole.read(segment(0)).unwrap().len();
    for cut in 0..length {
        let disk = journal(40, 10, true);
        disk.edit(segment(0), |bytes| bytes.truncate(cut));
        assert_eq!(damage(&disk).0, 0, "cut at {cut}");
    }
    for more in [1, 512, 4096, 40_960] {
        let disk = journal(40, 10, true);
        disk.edit(segment(0), |bytes| bytes.resize(length + more, 0));
        // Zeros up to an extent's end are what reopening leaves; all other lengths are damage.
        assert_eq!(fault(&disk).is_none(), (length + more).is_multiple_of(4096));
    }
}

#[test]
fn a_live_journal_whose_file_is_cut_is_damage() {
    let length = journal(40, 10, false).read(segment(0)).unwrap().len();
    for cut in (0..length).filter(|cut| !cut.is_multiple_of(4096)) {
        let disk = journal(40, 10, false);
        disk.edit(segment(0), |bytes| bytes.truncate(cut));
        assert_eq!(damage(&disk).0, 0, "cut at {cut}");
    }
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let disk = journal(1100, 512, true);
    disk.edit(segment(1), |bytes| {
        bytes[8] = 2;
        let checksum = xxh3_128(&bytes[..4080]);
        bytes[4080..4096].copy_from_slice(&checksum.to_le_bytes());
    });
    let newer = fault(&disk).unwrap();
    assert!(matches!(newer, JournalError::Newer { segment: 1, version: 2, .. }), "{newer}");
    assert!(newer.to_string().contains("format version 2, this build reads 1"), "{newer}");

    // The same byte without the checksum is damage.
    let disk = journal(1100, 512, true);
    disk.edit(segment(1), |bytes| bytes[8] = 2);
    assert_eq!(damage(&disk), (1, 0, DamageKind::Page));
}

/// Bytes that are none of ours make a directory no journal's only where nothing else there is.
#[test]
fn a_first_page_that_is_gone_is_damage_where_a_journal_stands_behind_it() {
    for (byte, length) in [(0, 512), (0, 4096), (7, 4096), (0, 8)] {
        for total in [10, 3100] {
            let disk = journal(total, 5, true);
            disk.edit(segment(0), |bytes| bytes[..length].fill(byte));
            assert_eq!(damage(&disk), (0, 0, DamageKind::Page), "{byte} {length} {total}");
            assert!(reopen(&disk).is_err());
        }
    }
    // The first frame is gone as well, or all that the first segment holds.
    let disk = journal(10, 5, true);
    let second = open(&disk).unwrap().frames()[1].offset as usize;
    disk.edit(segment(0), |bytes| bytes[..second].fill(0));
    assert_eq!(damage(&disk), (0, 0, DamageKind::Page));
    let disk = journal(1100, 512, true);
    disk.edit(segment(0), |bytes| bytes.fill(0));
    assert_eq!(damage(&disk), (0, 0, DamageKind::Page));

    let foreign = |disk: &MemoryDisk| {
        let absent = fault(disk).unwrap();
        let foreign = Absence::ForeignBytes;
        assert!(matches!(absent, JournalError::NotAJournal { reason, .. } if reason == foreign));
    };
    let disk = MemoryDisk::default();
    for number in [0, 1, 7] {
        disk.put(segment(number), b"something else ".repeat(70_000));
    }
    foreign(&disk);
    // No frame was written.
    let disk = MemoryDisk::default();
    drop(create(&disk));
    disk.edit(segment(0), |bytes| bytes[..4096].fill(0));
    foreign(&disk);
}

/// One segment that was begun with other types is enough: its records would be read as something else.
#[test]
fn every_segment_has_to_be_of_this_schema() {
    let check = |segments: &[u64]| {
        let disk = journal(1100, 512, true);
        for number in segments {
            disk.edit(segment(*number), |bytes| {
                bytes[152..184].copy_from_slice(&schema::fingerprint());
                let checksum = xxh3_128(&bytes[..4080]);
                bytes[4080..4096].copy_from_slice(&checksum.to_le_bytes());
            });
        }
        let journal = open(&disk).unwrap();
        journal.verify().unwrap();
        schema::check(&journal)
    };
    check(&[0, 1]).unwrap();
    for one in [0, 1] {
        let refused = check(&[one]).unwrap_err();
        assert!(matches!(refused, JournalError::OtherSchema { .. }), "{refused}");
    }
}

/// Bytes of a record before its command.
const HEAD: usize = 30;

/// What is found of record 9, and what is advised, where its frame verifies and a byte of it is another
/// one. `edit` is given the record and where its one event begins and ends.
fn undecodable(edit: impl Fn(&mut [u8], Range<usize>)) -> (String, String) {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    append(&mut writer, &mut chain, 7, 7).unwrap();
    let mut record = records(9..10);
    let event = HEAD + usize::from(record[4])..record.len() - 8;
    edit(&mut record, event);
    let mut frame = FrameBuilder::new(7, Vec::new());
    for record in [records(7..8), records(8..9), record] {
        assert!(frame.push_encoded(&record));
    }
    writer.append(&mut frame.seal(&mut chain, root(10), &[]).unwrap()).unwrap();

    let journal = open(&disk).unwrap();
    assert_eq!((journal.next_seq(), journal.torn()), (10, None));
    journal.verify().unwrap();
    // What precedes it can be had.
    assert_eq!(journal.records(0, 10).unwrap().filter(|record| record.is_ok()).count(), 9);
    let error = read_record(&journal, Seq(9)).unwrap_err();
    (error.to_string(), error.help().unwrap())
}

#[test]
fn an_unknown_variant_is_an_error_that_names_its_record_and_no_tail() {
    let check = |part: &str, edit: fn(&mut [u8], Range<usize>)| {
        let (found, help) = undecodable(edit);
        let unknown = format!("record 9: {part} is of a kind that this build does not know: ");
        assert!(found.starts_with(&unknown), "{found}");
        assert!(help.contains("the build that wrote it, or a later one"), "{help}");
    };
    check("the command", |record, _| record[HEAD] = 200);
    check("event 0", |record, event| record[event.start] = 200);
    check("event 0", |record, event| record[event.start + 1] = 200);
}

#[test]
fn bytes_that_are_no_record_are_malformed_and_not_a_newer_builds() {
    let check = |part: &str, edit: fn(&mut [u8], Range<usize>)| {
        let (found, help) = undecodable(edit);
        assert!(found.starts_with(&format!("record 9 is malformed at {part}")), "{found}");
        assert!(help.contains("it was written so"), "{help}");
    };
    // The length of the command, and how many events there are.
    check("event 0: the bytes end before the value does", |record, event| {
        record[4] += event.len() as u8;
    });
    check("the lengths: ", |record, _| record[8] = 0);
    check("event 1: the bytes end before the value does", |record, _| record[8] = 2);
    // No build has as many variants.
    check("the command: variant 2308 is none of any build", |record, _| record[HEAD] = 251);
    // Advance has no field that could stand where a vessel does.
    check("the command: 2 bytes follow it", |record, _| {
        let advance = records(10..11);
        let command = HEAD..HEAD + usize::from(advance[4]);
        record[command.clone()].copy_from_slice(&advance[command]);
    });
}

#[test]
fn an_error_says_what_where_and_what_to_do() {
    let (disk, ranges) = frames(true);
    disk.edit(segment(0), |bytes| bytes[ranges[2].start + 1000] ^= 1);
    let error = fault(&disk).unwrap();
    let sentence = format!(
        "segment 0 is damaged at byte {}: body hash differs (frame 2, records 600-899)",
        ranges[2].start
    );
    assert_eq!(error.to_string(), sentence);
    let help = "`tensorforge salvage j.tfj --out saved.tfj` keeps the 600 records before it";
    assert_eq!(error.help().as_deref(), Some(help));
    let one = Damage { intact: 1, ..error.damage().unwrap().clone() };
    let help = "`tensorforge salvage j.tfj --out saved.tfj` keeps the record before it";
    assert_eq!(one.help(), help);
}

/// Events that this build has no place for, of a command that it decides otherwise: told, not given up.
#[test]
fn a_record_that_can_neither_be_decided_nor_folded_is_a_divergence() {
    let disk = MemoryDisk::default();
    let mut frame = FrameBuilder::new(0, Vec::new());
    let (vessel, stamp) = (VesselId(7), (Micros(1), Source::OPERATOR));
    let events = [Event::Models(models::Event::VesselSeen { vessel, start: 0 })];
    frame
        .push(stamp, &Command::Models(models::Command::Heartbeat { vessel, start: 0 }), &events, 0)
        .unwrap();
    let mut frame = frame.seal(&mut Chain::genesis(), [0; 32], &[]).unwrap();
    create(&disk).append(&mut frame).unwrap();
    let journal = open(&disk).unwrap();
    let verified = verify(&journal, 1, &|_| ()).unwrap();
    let bisected = bisect_build(&journal).unwrap();
    for found in [verified.divergence, bisected] {
        let found = found.unwrap();
        assert_eq!((found.seq, found.phase), (0, Phase::Decided));
        let seen = serde_json::json!({ "models": { "vessel_seen": { "start": 0, "vessel": 7 } } });
        assert_eq!(found.left, seen);
        let refused = r#"{"workflow":{"command_refused":{"refusal":{"config":"not_configured"}}}}"#;
        assert_eq!(found.right.to_string(), refused);
        assert_eq!(found.module.as_deref(), Some("models"));
    }
}

/// A record whose tag is another one, and behind it, in its frame, one that this build cannot fold.
#[test]
fn a_breach_behind_a_divergence_does_not_hide_it() {
    let disk = MemoryDisk::default();
    let mut frame = FrameBuilder::new(0, Vec::new());
    let (vessel, stamp) = (VesselId(7), (Micros(1), Source::OPERATOR));
    let limits = Limits::default();
    let configured = [Event::Config(config::Event::Configured(limits.clone()))];
    frame
        .push(stamp, &Command::Config(config::Command::Configure(limits)), &configured, 5)
        .unwrap();
    let seen = [Event::Models(models::Event::VesselSeen { vessel, start: 0 })];
    frame
        .push(stamp, &Command::Models(models::Command::Heartbeat { vessel, start: 0 }), &seen, 0)
        .unwrap();
    let mut frame = frame.seal(&mut Chain::genesis(), [0; 32], &[]).unwrap();
    create(&disk).append(&mut frame).unwrap();
    let journal = open(&disk).unwrap();
    let verified = verify(&journal, 1, &|_| ()).unwrap();
    for found in [verified.divergence, bisect_build(&journal).unwrap()] {
        let found = found.unwrap();
        assert_eq!((found.seq, found.phase), (0, Phase::Folded));
        assert_eq!(found.left, "0000000000000005");
    }
}

#[test]
fn options_that_contradict_the_format_are_refused() {
    let disk = std::sync::Arc::new(MemoryDisk::default());
    let mut origin = origin();
    let none = Options { extent: 0, ..OPTIONS };
    let refused = Writer::create_on(disk.clone(), DIR, ID, origin.clone(), none).unwrap_err();
    assert!(matches!(refused, JournalError::Options(_)), "{refused}");
    origin.build = "b".repeat(65);
    let refused = Writer::create_on(disk, DIR, ID, origin, OPTIONS).unwrap_err();
    assert!(matches!(refused, JournalError::Options(_)), "{refused}");
}
