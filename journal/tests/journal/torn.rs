//! What a crash leaves of the frame that was being written.

use std::path::PathBuf;

use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::{Fate, Fault, MemoryDisk, Point, Unsynced};
use tensorforge_journal::reading::journal::TornTail;
use tensorforge_journal::writing::writer::Writer;

use crate::support::*;

/// 30 records in synced frames and ten more in a last one; that one's place.
fn unfinished() -> (MemoryDisk, std::ops::Range<usize>) {
    let disk = journal(40, 10, false);
    let journal = open(&disk).unwrap();
    let last = journal.frames().last().unwrap();
    (disk, last.offset as usize..(last.offset + last.length) as usize)
}

/// Opens for writing what a crash left, writes more and looks at all of it.
fn goes_on(disk: &MemoryDisk, kept: u64, torn: Option<&[u8]>) {
    let (mut writer, mut opening) = reopen(disk).unwrap();
    assert_eq!(writer.next_seq(), kept);
    let aside = opening.repaired.map(|repaired| disk.read(repaired.aside).unwrap());
    assert_eq!(aside.as_deref(), torn);
    holds(disk, kept);
    append(&mut writer, &mut opening.chain, kept + 25, 5).unwrap();
    drop(writer);
    holds(disk, kept + 25);
    assert_eq!(open(disk).unwrap().torn(), None);
}

/// What opening for reading says about a torn frame that stands in `bytes`.
fn reported(disk: &MemoryDisk, offset: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let length = bytes.iter().rposition(|byte| *byte != 0).map(|last| last + 1)?;
    let before = disk.read(segment(0)).unwrap();
    let journal = holds(disk, 30);
    assert_eq!(before, disk.read(segment(0)).unwrap(), "reading writes nothing");
    let torn = TornTail { segment: 0, offset: offset as u64, length: length as u64 };
    assert_eq!(journal.torn(), Some(torn));
    Some(bytes[..length].to_vec())
}

#[test]
fn a_last_frame_cut_at_any_byte_is_a_torn_tail() {
    let (_, frame) = unfinished();
    for cut in frame.clone() {
        let (disk, _) = unfinished();
        disk.edit(segment(0), |bytes| bytes[cut..frame.end].fill(0));
        let left = disk.read(segment(0)).unwrap()[frame.clone()].to_vec();
        let torn = reported(&disk, frame.start, &left);
        assert_eq!(torn.is_some(), cut > frame.start);
        goes_on(&disk, 30, torn.as_deref());
    }
}

#[test]
fn a_last_frame_of_which_only_the_end_was_written_is_a_torn_tail() {
    let (_, frame) = unfinished();
    for cut in frame.start + 1..frame.end {
        let (disk, _) = unfinished();
        disk.edit(segment(0), |bytes| bytes[frame.start..cut].fill(0));
        let left = disk.read(segment(0)).unwrap()[frame.clone()].to_vec();
        let torn = reported(&disk, frame.start, &left);
        goes_on(&disk, 30, torn.as_deref());
    }
}

#[test]
fn a_last_frame_with_garbage_in_any_sector_is_a_torn_tail() {
    let (_, frame) = unfinished();
    for sector in frame.start / 512..=frame.end / 512 {
        let (disk, _) = unfinished();
        let part = (sector * 512).max(frame.start)..(sector * 512 + 512).min(frame.end);
        disk.edit(segment(0), |bytes| bytes[part].iter_mut().for_each(|byte| *byte ^= 0xa5));
        let left = disk.read(segment(0)).unwrap()[frame.clone()].to_vec();
        let torn = reported(&disk, frame.start, &left);
        goes_on(&disk, 30, torn.as_deref());
    }
}

#[test]
fn a_torn_first_frame_leaves_an_empty_journal() {
    let disk = journal(10, 10, false);
    disk.edit(segment(0), |bytes| bytes[4300..].fill(0));
    let left = disk.read(segment(0)).unwrap()[4096..4300].to_vec();
    let last = left.iter().rposition(|byte| *byte != 0).unwrap();
    let torn = left[..=last].to_vec();
    goes_on(&disk, 0, Some(&torn));
}

#[test]
fn a_crash_in_the_middle_of_recovery_is_recovered_from() {
    let torn = |disk: &MemoryDisk, frame: &std::ops::Range<usize>| {
        disk.edit(segment(0), |bytes| bytes[frame.start + 500..frame.end].fill(0));
    };
    let (disk, frame) = unfinished();
    torn(&disk, &frame);
    let before = disk.changes();
    drop(reopen(&disk).unwrap());
    let steps = disk.changes() - before;
    assert!(steps > 5, "{steps}");
    for step in 0..steps {
        for fate in [Fate::Lost, Fate::Kept] {
            let (disk, frame) = unfinished();
            torn(&disk, &frame);
            let error = std::io::ErrorKind::Other;
            disk.inject(Point::Change, step, Fault::Short(100, error));
            assert!(reopen(&disk).is_err(), "step {step}");
            let after = disk.crash(|_| fate);
            let (mut writer, mut opening) = reopen(&after).unwrap();
            append(&mut writer, &mut opening.chain, 60, 7).unwrap();
            drop(writer);
            holds(&after, 60);
        }
    }
}

/// Writes until the operation number `stop` fails; the answer is how many records are durable, and
/// how many might be.
fn write_until(disk: &MemoryDisk, draw: &mut Draw, (certain, held): (u64, u64)) -> (u64, u64) {
    let opened = match disk.paths().is_empty() {
        true => {
            let shared = std::sync::Arc::new(disk.clone());
            Writer::create_on(shared, DIR, ID, origin(), OPTIONS)
                .map(|writer| (writer, Chain::genesis()))
        }
        false => reopen(disk).map(|(writer, opening)| (writer, opening.chain)),
    };
    // What is there to be read is durable once a writer goes on behind it, and not before.
    let Ok((mut writer, mut chain)) = opened else { return (certain, held) };
    let mut durable = chain.next_seq();
    assert!(durable >= held, "{durable} of {held}");
    for _ in 0..60 {
        let left = chain.room();
        let count = if draw.below(3) == 0 { left } else { 1 + draw.below(left) };
        if writer.append(&mut seal(&mut chain, count)).is_err() {
            return (durable, chain.next_seq());
        }
        durable = chain.next_seq();
    }
    match draw.below(2) {
        0 => drop(writer),
        _ => drop(writer.close()),
    }
    (durable, durable)
}

/// What is left when everything that is not synced is kept, lost or spoilt as it is drawn.
fn power_cut(disk: &MemoryDisk, draw: &mut Draw) -> MemoryDisk {
    disk.crash(|unsynced| match (draw.below(3), unsynced) {
        (0, _) => Fate::Kept,
        // Zeros that are written over zeros cannot become anything else.
        (1, Unsynced::Sector(_, _, bytes)) if bytes.iter().any(|byte| *byte != 0) => Fate::Garbage,
        _ => Fate::Lost,
    })
}

#[test]
fn a_crash_in_the_first_frame_after_recovery_is_recovered_from() {
    for seed in 0..300 {
        let mut draw = Draw(seed);
        // A torn tail that is longer than the frame that takes its place.
        let disk = journal(600, 300, false);
        let last = open(&disk).unwrap().frames()[1].offset as usize;
        let cut = last + 1 + draw.below(600) as usize;
        disk.edit(segment(0), |bytes| bytes[last..cut].fill(0));
        let (mut writer, mut opening) = reopen(&disk).unwrap();
        disk.inject(Point::Sync, 0, Fault::Error(std::io::ErrorKind::Other));
        assert!(append(&mut writer, &mut opening.chain, 320, 20).is_err());
        drop(writer);
        goes_on_from(&power_cut(&disk, &mut draw), &[300, 320]);
    }
}

/// Opens for writing what a crash left and writes more.
fn goes_on_from(disk: &MemoryDisk, possible: &[u64]) {
    let (mut writer, mut opening) = reopen(disk).unwrap();
    assert!(possible.contains(&writer.next_seq()), "{}", writer.next_seq());
    append(&mut writer, &mut opening.chain, 400, 7).unwrap();
    drop(writer);
    holds(disk, 400);
}

#[test]
fn whatever_is_durable_survives_any_crash() {
    let mut torn = 0;
    for seed in 0..200 {
        let mut draw = Draw(seed);
        let mut disk = MemoryDisk::default();
        let (mut certain, mut held) = (0, 0);
        for _ in 0..6 {
            let error = std::io::ErrorKind::Other;
            let fault = match draw.below(2) {
                0 => Fault::Error(error),
                _ => Fault::Short(draw.below(5000) as usize, error),
            };
            disk.inject(Point::Change, draw.below(150), fault);
            let possible;
            (certain, possible) = write_until(&disk, &mut draw, (certain, held));
            // The process may die alone; then what is not synced is there, and may yet be lost.
            let cut = draw.below(3) > 0;
            if cut {
                disk = power_cut(&disk, &mut draw);
            }
            match open(&disk) {
                Ok(journal) => {
                    held = journal.next_seq();
                    assert!((certain..=possible).contains(&held), "seed {seed}: {held}");
                    torn += u64::from(journal.torn().is_some());
                    holds(&disk, held);
                    certain = if cut { held } else { certain };
                }
                // Only before the first segment has its name.
                Err(error) => {
                    assert!(disk.read(segment(0)).is_none(), "seed {seed}: {error}");
                    disk = MemoryDisk::default();
                }
            }
        }
        let left: Vec<PathBuf> = disk.paths();
        if !left.is_empty() {
            let (mut writer, mut opening) = reopen(&disk).unwrap();
            append(&mut writer, &mut opening.chain, held + 3000, 512).unwrap();
            writer.close().unwrap();
            assert!(holds(&disk, held + 3000).closed());
        }
    }
    assert!(torn > 50, "{torn}");
}
