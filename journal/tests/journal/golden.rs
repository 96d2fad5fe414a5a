//! The format is frozen: these bytes are what version 1 writes, for ever.

use tensorforge_engine::command::Command;
use tensorforge_engine::event::Event;
use tensorforge_engine::models;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, VesselId};
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::memory::MemoryDisk;
use tensorforge_journal::writing::seal::FrameBuilder;

use crate::support::*;

/// One record in one frame, closed: the worked example of `FORMAT.md`.
fn example() -> Vec<u8> {
    let disk = MemoryDisk::default();
    let mut writer = create(&disk);
    let mut chain = Chain::genesis();
    let mut frame = FrameBuilder::new(0, Vec::new());
    let stamp = (Micros(1_000_000), Source::OPERATOR);
    let command = Command::Models(models::Command::Heartbeat { vessel: VesselId(7), start: 0 });
    let event = Event::Models(models::Event::VesselSeen { vessel: VesselId(7), start: 0 });
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

/// Lines of four spaces, the place of the first byte, and bytes; a line without a place goes on.
#[test]
fn the_worked_example_of_the_format_is_the_one_that_is_written() {
    let bytes = example();
    let format = include_str!("../../FORMAT.md");
    let (_, worked) = format.split_once("## 11. Worked example").unwrap();
    let (mut place, mut compared) = (0, 0);
    for line in worked.lines().filter_map(|line| line.strip_prefix("    ")) {
        let mut words = line.split_whitespace().peekable();
        if !line.starts_with(' ') {
            place = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        }
        let byte = |word: &&str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
        while let Some(word) = words.next_if(byte) {
            assert_eq!(bytes[place], u8::from_str_radix(word, 16).unwrap(), "{place:x}: {line}");
            (place, compared) = (place + 1, compared + 1);
        }
    }
    assert!(compared > 250, "only {compared} bytes are shown");
    assert!(worked.contains(&format!("the file ends at byte {:x}", bytes.len())));
}
