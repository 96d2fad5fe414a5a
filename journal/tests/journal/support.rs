//! A history to write, and ways to look at what was written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, VesselId};
use tensorforge_engine::{models, workflow};
use tensorforge_journal::damage::DamageKind;
use tensorforge_journal::error::JournalError;
use tensorforge_journal::format::block::Hash;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::format::codec::encode_record;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::reading::journal::Journal;
use tensorforge_journal::writing::seal::{FrameBuilder, Sealed};
use tensorforge_journal::writing::writer::{Opening, Options, Origin, Writer};

pub(crate) const ID: [u8; 16] = *b"a journal's name";
pub(crate) const DIR: &str = "j.tfj";
/// Small enough that a test's journal rolls.
pub(crate) const OPTIONS: Options = Options { segment_bytes: 20_000, extent: 4096, sync: true };

pub(crate) fn origin() -> Origin {
    Origin { schema: [0x5c; 32], build: "engine 0.1.0 (test)".into() }
}

/// The root of the state when `seq` records are folded.
pub(crate) fn root(seq: u64) -> Hash {
    *blake3::hash(&seq.to_le_bytes()).as_bytes()
}

pub(crate) fn command(seq: u64) -> Command {
    match seq % 3 {
        0 => Command::Models(models::Command::Heartbeat { vessel: VesselId(seq as u32), start: 0 }),
        _ => Command::Workflow(workflow::Command::Advance),
    }
}

pub(crate) fn events(seq: u64) -> Vec<Event> {
    let seen = Event::Models(models::Event::VesselSeen { vessel: VesselId(seq as u32), start: 0 });
    vec![seen; usize::from(seq.is_multiple_of(3))]
}

/// The bytes of records.
pub(crate) fn records(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for seq in range {
        let stamp = (Micros(seq * 10), Source::OPERATOR);
        encode_record(&mut bytes, stamp, &command(seq), &events(seq), seq).unwrap();
    }
    bytes
}

/// The next `count` records of the history, sealed.
pub(crate) fn seal(chain: &mut Chain, count: u64) -> Sealed {
    let first = chain.next_seq();
    let mut frame = FrameBuilder::new(first, Vec::new());
    for seq in first..first + count {
        let stamp = (Micros(seq * 10), Source::OPERATOR);
        frame.push(stamp, &command(seq), &events(seq), seq).unwrap();
        if frame.block_is_full() {
            frame.end_block(root(seq + 1));
        }
    }
    frame.seal(chain, root(first + count), &[1, 2, u128::from(first + count)]).unwrap()
}

/// Appends records up to `total`, so many a frame.
pub(crate) fn append(
    writer: &mut Writer,
    chain: &mut Chain,
    total: u64,
    per_frame: u64,
) -> Result<(), JournalError> {
    while chain.next_seq() < total {
        let count = per_frame.min(total - chain.next_seq());
        writer.append(&mut seal(chain, count))?;
    }
    Ok(())
}

pub(crate) fn create(disk: &MemoryDisk) -> Writer {
    Writer::create_on(Arc::new(disk.clone()), DIR, ID, origin(), OPTIONS).unwrap()
}

pub(crate) fn reopen(disk: &MemoryDisk) -> Result<(Writer, Opening), JournalError> {
    Writer::open_on(Arc::new(disk.clone()), DIR, origin(), OPTIONS)
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<Journal, JournalError> {
    Journal::open_on(Arc::new(disk.clone()), DIR)
}

/// A journal of `total` records, `per_frame` a frame.
pub(crate) fn journal(total: u64, per_frame: u64, closed: bool) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    append(&mut writer, &mut Chain::genesis(), total, per_frame).unwrap();
    if closed {
        writer.close().unwrap();
    }
    disk
}

/// The bytes of all records, verified.
pub(crate) fn read(journal: &Journal) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    for frame in journal.frames_from(0)? {
        bytes.extend_from_slice(&frame?.body);
    }
    Ok(bytes)
}

/// Asserts that a journal holds the history up to `total`, and nothing else.
pub(crate) fn holds(disk: &MemoryDisk, total: u64) -> Journal {
    let journal = open(disk).unwrap();
    journal.verify().unwrap();
    assert_eq!(journal.next_seq(), total);
    assert!(read(&journal).unwrap() == records(0..total), "records differ");
    journal
}

pub(crate) fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join("segments").join(format!("{number:010}.seg"))
}

/// What opening and reading everything finds.
pub(crate) fn fault(disk: &MemoryDisk) -> Option<JournalError> {
    open(disk).and_then(|journal| journal.verify()).err()
}

/// The segment, byte and kind of the damage that opening and reading everything finds.
pub(crate) fn damage(disk: &MemoryDisk) -> (u64, u64, DamageKind) {
    let fault = fault(disk).expect("something is wrong");
    let damage = fault.damage().unwrap_or_else(|| panic!("{fault}"));
    (damage.segment, damage.offset, damage.kind)
}

/// A generator for tests that draw (SplitMix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}
