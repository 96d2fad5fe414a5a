//! The writer on its own thread.

use std::io::ErrorKind;

use tensorforge_journal::error::{JournalError, Operation};
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::{Fate, Fault, MemoryDisk, Point};
use tensorforge_journal::writing::committer::{Committer, Durable};

use crate::support::*;

#[test]
fn frames_become_durable_in_their_order() {
    let disk = MemoryDisk::default();
    let committer = Committer::start(create(&disk), 4).unwrap();
    let mut chain = Chain::genesis();
    for _ in 0..50 {
        committer.submit(seal(&mut chain, 50)).unwrap();
    }
    let notices: Vec<Durable> = (0..50).map(|_| committer.notices().recv().unwrap()).collect();
    for (index, notice) in notices.iter().enumerate() {
        let first_seq = index as u64 * 50;
        assert_eq!(*notice, Durable { first_seq, next_seq: first_seq + 50 });
    }
    assert_eq!(committer.durable(), 2500);
    // What is told to be durable survives the worst crash.
    holds(&disk.crash(|_| Fate::Lost), 2500);
    assert!(committer.buffer().capacity() > 1000);
    committer.close().unwrap();
    assert!(holds(&disk, 2500).closed());
}

#[test]
fn waiting_ends_when_the_records_are_durable() {
    let disk = MemoryDisk::default();
    let committer = Committer::start(create(&disk), 1).unwrap();
    let mut chain = Chain::genesis();
    committer.submit(seal(&mut chain, 7)).unwrap();
    committer.submit(seal(&mut chain, 7)).unwrap();
    committer.wait(14).unwrap();
    assert_eq!(committer.durable(), 14);
    let writer = committer.finish().unwrap();
    assert_eq!(writer.next_seq(), 14);
}

#[test]
fn a_failed_sync_ends_it_for_good() {
    let disk = MemoryDisk::default();
    let committer = Committer::start(create(&disk), 2).unwrap();
    let mut chain = Chain::genesis();
    disk.inject(Point::Sync, 2, Fault::Error(ErrorKind::Other));
    let mut refused = None;
    for _ in 0..20 {
        if let Err(error) = committer.submit(seal(&mut chain, 3)) {
            refused = Some(error);
            break;
        }
    }
    let error = committer.wait(60).unwrap_err();
    for error in [Some(error), refused].into_iter().flatten() {
        assert!(matches!(error, JournalError::Io { operation: Operation::Sync, .. }), "{error}");
    }
    // Three frames were begun; two were told to be durable.
    assert_eq!(committer.durable(), 6);
    assert!(committer.check().is_err());
    assert!(committer.finish().is_err());
    holds(&disk.crash(|_| Fate::Lost), 6);
    holds(&disk, 9);
}
