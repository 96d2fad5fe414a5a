//! The format is frozen: these bytes are what version 1 writes, for ever.

use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, VesselId};
use tensorforge_journal::chain::Chain;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::seal::FrameBuilder;

use crate::support::*;

/// One record in one frame, closed: the worked example of `FORMAT.md`.
fn example() -> Vec<u8> {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    let mut frame = FrameBuilder::new(0, Vec::new());
    let stamp = (Micros(1_000_000), Source::OPERATOR);
    let command = Command::Heartbeat { vessel: VesselId(7) };
    let event = Event::VesselSeen { vessel: VesselId(7) };
    frame.push(stamp, &command, &[event], 0x1122_3344_5566_7788).unwrap();
    let mut frame = frame.seal(&mut chain, [0xaa; 32], &[0xd1]).unwrap();
    writer.append(&mut frame).unwrap();
    writer.close().unwrap();
    disk.read(segment(0)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes
        .chunks(16)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}

#[test]
fn the_bytes_of_the_example_are_pinned() {
    let bytes = example();
    let shown = format!(
        "page, its fields\n{}page, its checksum\n{}frames\n{}",
        hex(&bytes[..256]),
        hex(&bytes[4080..4096]),
        hex(&bytes[4096..])
    );
    assert!(bytes[256..4080].iter().all(|byte| *byte == 0));
    assert_eq!(shown, include_str!("golden.hex"), "{shown}");
}
