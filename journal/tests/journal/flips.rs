//! One wrong bit, wherever it is, in a journal that was closed.

use std::path::PathBuf;

use tensorforge_journal::error::JournalError;
use tensorforge_journal::memory::MemoryDisk;

use crate::support::*;

/// Flips the bits of a file that are `lane` modulo `lanes`, one at a time.
fn flip(path: &PathBuf, number: u64, lane: usize, lanes: usize) {
    let disk = MemoryDisk::default();
    let whole = journal(1100, 512, true);
    for path in whole.paths() {
        disk.put(&path, whole.read(&path).unwrap());
    }
    let bits = disk.read(path).unwrap().len() * 8;
    for bit in (lane..bits).step_by(lanes) {
        disk.edit(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        match fault(&disk) {
            Some(JournalError::Damaged(damage)) => {
                assert_eq!(damage.segment, number, "bit {bit}: {damage}");
            }
            other => panic!("bit {bit} of segment {number}: {other:?}"),
        }
        disk.edit(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
    assert!(fault(&disk).is_none());
}

#[test]
fn every_bit_of_a_closed_journal_counts() {
    let lanes = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for number in [0, 1] {
            for lane in 0..lanes {
                scope.spawn(move || flip(&segment(number), number, lane, lanes));
            }
        }
    });
}
