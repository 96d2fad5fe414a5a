//! Files that are made to take a reader's memory: what is read and decoded at once has a bound.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tensorforge_engine::event::Event;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, VesselId};
use tensorforge_engine::{models, workflow};
use tensorforge_journal::damage::DamageKind;
use tensorforge_journal::disk::{Access, Disk, DiskFile};
use tensorforge_journal::format::batch::BATCH_BYTES;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::format::codec::{RECORD_BYTES_MAX, RECORD_EVENTS_MAX, encode_record};
use tensorforge_journal::format::frame::{BODY_MAX, HEADER_MAX, TRAILER};
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::journal::Journal;
use tensorforge_journal::writing::salvage::salvage_on;
use tensorforge_journal::writing::seal::{FrameBuilder, SealError, Sealed};
use tensorforge_journal::writing::writer::Writer;

use crate::support::*;

/// A disk that remembers the longest read.
#[derive(Clone, Default)]
struct Metered {
    disk: MemoryDisk,
    longest: Arc<AtomicUsize>,
}

struct MeteredFile {
    file: Box<dyn DiskFile>,
    longest: Arc<AtomicUsize>,
}

impl Disk for Metered {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let (file, longest) = (self.disk.open(path, access)?, Arc::clone(&self.longest));
        Ok(Box::new(MeteredFile { file, longest }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(path)
    }

    fn is_locked(&self, path: &Path) -> bool {
        self.disk.is_locked(path)
    }
}

impl DiskFile for MeteredFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.longest.fetch_max(bytes.len(), Ordering::Relaxed);
        self.file.read_exact_at(bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }
}

/// A record of about so many bytes: events of the shortest kind, as many as there is room for.
fn stuffed(bytes: usize) -> Vec<u8> {
    let short = Event::from(models::Event::VesselDraining { vessel: VesselId(1) });
    let encoded = |events: &[Event]| {
        let mut record = Vec::new();
        let stamp = (Micros(1), Source::OPERATOR);
        encode_record(&mut record, stamp, &workflow::Command::Advance.into(), events, 0).unwrap();
        record
    };
    let empty = encoded(&[]).len();
    let each = encoded(std::slice::from_ref(&short)).len() - empty;
    encoded(&vec![short; (bytes.saturating_sub(empty) / each).min(RECORD_EVENTS_MAX)])
}

/// A frame of as many of these records as fit into one, sealed.
fn crammed(chain: &mut Chain, record: &[u8]) -> Sealed {
    let mut frame = FrameBuilder::new(chain.next_seq(), Vec::new());
    while (frame.body_length() + record.len()) as u64 <= BODY_MAX {
        assert!(frame.push_encoded(record));
        if frame.block_is_full() {
            frame.end_block([1; 32]);
        }
    }
    let state_root = [1; 32];
    frame.seal(chain, state_root, &[]).unwrap()
}

fn open_metered(metered: &Metered) -> Journal {
    Journal::open_on(Arc::new(metered.clone()), DIR).unwrap()
}

#[test]
fn whatever_a_frame_holds_little_of_it_is_decoded_at_once() {
    for length in [0, 100, 5_000, RECORD_BYTES_MAX] {
        let record = stuffed(length);
        let disk = MemoryDisk::default();
        let (mut writer, mut chain) = (create(&disk), Chain::genesis());
        for _ in 0..2 {
            writer.append(&mut crammed(&mut chain, &record)).unwrap();
        }
        let journal = open(&disk).unwrap();
        let mut batches = journal.batches_from(0).unwrap();
        let (mut records, mut most) = (0, 0);
        while let Some(batch) = batches.read().unwrap() {
            let heads = batch.heads();
            let bytes = heads[heads.len() - 1].bytes.end - heads[0].bytes.start;
            assert!(heads.len() == 1 || bytes < BATCH_BYTES + record.len());
            assert!(bytes <= BATCH_BYTES + RECORD_BYTES_MAX);
            // An event is the number of its module, and of the word, before anything else.
            assert!(batch.events().len() <= bytes / 2);
            records += heads.len() as u64;
            most = most.max(bytes);
        }
        assert_eq!(records, journal.next_seq());
        assert!(most as u64 * 4 < 2 * BODY_MAX, "{most} bytes of a frame at once");
    }
}

#[test]
fn a_frame_is_full_before_it_is_too_long() {
    let record = stuffed(RECORD_BYTES_MAX);
    let mut frame = FrameBuilder::new(0, Vec::new());
    while !frame.is_full() {
        assert!(frame.push_encoded(&record));
    }
    assert!(frame.body_length() as u64 <= BODY_MAX);
    while frame.body_length() as u64 <= BODY_MAX {
        assert!(frame.push_encoded(&record));
    }
    let sealed = frame.seal(&mut Chain::genesis(), [0; 32], &[]);
    assert_eq!(sealed.map(|_| ()), Err(SealError::TooLong));
}

#[test]
fn no_read_is_longer_than_a_frame() {
    let longest = HEADER_MAX + BODY_MAX as usize + TRAILER;
    let hostile = |edit: &dyn Fn(&mut Vec<u8>)| {
        let metered = Metered::default();
        let (mut writer, mut chain) = (create(&metered.disk), Chain::genesis());
        for _ in 0..3 {
            writer.append(&mut crammed(&mut chain, &stuffed(100))).unwrap();
        }
        drop(writer);
        metered.disk.edit(segment(0), edit);
        metered
    };
    let check = |metered: &Metered| {
        let read = metered.longest.load(Ordering::Relaxed);
        assert!(read <= longest, "{read} bytes are read at once");
    };
    // What is behind the frames is no frame, and a torn tail that is longer than any.
    let metered = hostile(&|bytes| {
        let length = bytes.len();
        bytes.resize(length + 2 * longest, 7);
        bytes.resize((length + 2 * longest).next_multiple_of(4096) + 4096, 0);
    });
    let journal = open_metered(&metered);
    journal.verify().unwrap();
    assert!(journal.torn().unwrap().length as usize > longest);
    let opened = Writer::open_on(Arc::new(metered.clone()), DIR, origin(), OPTIONS);
    let aside = opened.unwrap().1.repaired.unwrap().aside;
    let kept = metered.disk.read(&aside).unwrap();
    assert_eq!(kept.len() as u64, journal.torn().unwrap().length);
    assert!(kept.ends_with(&[7; 100]));
    let hash = blake3::hash(&kept).to_hex();
    assert!(aside.to_string_lossy().contains(hash.as_str()));
    assert_eq!(open_metered(&metered).torn(), None);
    check(&metered);
    // The first header is hurt: all frames are behind the damage.
    let metered = hostile(&|bytes| bytes[4096 + 60] ^= 1);
    let report = salvage_on(Arc::new(metered.clone()), DIR, "saved.tfj", OPTIONS).unwrap();
    assert_eq!((report.kept, report.islands.len(), report.islands[0].frames), (0, 1, 2));
    check(&metered);
}

/// A frame of records of two lengths, so many of each.
fn mixed(chain: &mut Chain, counts: [(usize, &[u8]); 2]) -> Sealed {
    let mut frame = FrameBuilder::new(chain.next_seq(), Vec::new());
    for (count, record) in counts {
        for _ in 0..count {
            assert!(frame.push_encoded(record));
            if frame.block_is_full() {
                frame.end_block([1; 32]);
            }
        }
    }
    frame.seal(chain, [1; 32], &[]).unwrap()
}

/// A file is looked through piece by piece. Headers that begin in one piece and end in the next are found.
#[test]
fn a_header_is_found_wherever_a_piece_ends() {
    const PIECE: usize = 1 << 20;
    let (short, long) = (stuffed(0), stuffed(60));
    assert!(short.len() < long.len());
    // How many of each make a frame of so many bytes: its header and trailer, with an entry for each
    // block that ends in it, have 192 and 64 an entry.
    let counts = |length: usize| {
        (0..short.len()).find_map(|longs| {
            let about = length / short.len();
            (about.saturating_sub(4 * short.len())..=about).find_map(|shorts| {
                let body = shorts * short.len() + longs * long.len();
                let ended = (shorts + longs) / 1024;
                (192 + 64 * ended + body == length).then_some((shorts, longs))
            })
        })
    };
    let mut tried = 0;
    for at in (PIECE - 240..=PIECE + 16).step_by(5) {
        let Some((shorts, longs)) = counts(at) else { continue };
        tried += 1;
        let disk = MemoryDisk::default();
        let (mut writer, mut chain) = (create(&disk), Chain::genesis());
        for counts in [[(shorts, &short[..]), (longs, &long[..])], [(3, &short[..]), (0, &[])]] {
            writer.append(&mut mixed(&mut chain, counts)).unwrap();
        }
        drop(writer);
        assert_eq!(open(&disk).unwrap().frames()[1].offset as usize, 4096 + at);

        disk.edit(segment(0), |bytes| bytes[4096 + 60] ^= 1);
        assert_eq!(damage(&disk), (0, 4096, DamageKind::Header), "{at}");
        let report = salvage_on(Arc::new(disk), DIR, "saved.tfj", OPTIONS).unwrap();
        assert_eq!(report.islands.len(), 1, "{at}");
        assert_eq!(report.islands[0].offset as usize, 4096 + at);
    }
    assert!(tried > 10, "{tried}");
}
