//! The wire is frozen: one example of every command and every event, and the bytes that it has for ever.
//!
//! A line of `fixtures/golden/commands.hex` or `events.hex` is a name and the bytes of a whole record.
//! With TENSORFORGE_ACCEPT=1 lines of new variants are added; a line that is there is never changed.

mod commands;
mod events;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use tensorforge_engine::image::pack;
use tensorforge_engine::security::{Scope, Scopes, Source};
use tensorforge_engine::units::{Micros, TenantId};
use tensorforge_engine::{Command, Event, Exchange, workflow};
use tensorforge_journal::format::body::Body;
use tensorforge_journal::format::codec::{
    COMMAND_BYTES_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX, RECORD_HEAD, RECORD_TAG, encode_record,
};
use tensorforge_journal::{Batch, Decoded};

/// Declares the examples of an enum, and a match that does not compile when a variant has none.
macro_rules! examples {
    ($type:ty { $($name:literal $pattern:pat => $examples:expr,)* }) => {
        /// Every example under its name.
        pub(crate) fn examples() -> Vec<(String, $type)> {
            fn name(value: &$type) -> &'static str {
                match value { $($pattern => $name,)* }
            }
            let mut found = Vec::new();
            $(for (suffix, value) in $examples {
                let value = <$type>::from(value);
                assert_eq!(name(&value), $name, "{value:?} is no example of it");
                let join = if suffix.is_empty() { "" } else { "/" };
                found.push((format!("{}{join}{suffix}", $name), value));
            })*
            found
        }
    };
}
pub(crate) use examples;

/// The only example of a variant.
pub(crate) fn one<T>(value: T) -> Vec<(String, T)> {
    vec![(String::new(), value)]
}

/// An example for each value of an enum without payloads, under its name.
pub(crate) fn each<E: Copy + serde::Serialize, T>(
    all: &[E],
    example: impl Fn(E) -> T,
) -> Vec<(String, T)> {
    let name = |value: E| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned();
    all.iter().map(|value| (name(*value), example(*value))).collect()
}

const TIME: Micros = Micros(0x0102_0304);
const TAG: u64 = 0x1122_3344_5566_7788;

fn source() -> Source {
    Source { tenant: TenantId(0x0a0b), key: 0x0c0d, scopes: Scopes::of(&[Scope::Fleet]) }
}

fn record(command: &Command, events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(&mut bytes, (TIME, source()), command, events, TAG).unwrap();
    bytes
}

/// The only record that these bytes hold.
fn decoded(bytes: Vec<u8>) -> (Command, Vec<Event>) {
    let mut batch = Batch::default();
    batch.fill(0, &Body::from(bytes), 0, Decoded::Events).unwrap();
    assert_eq!(batch.heads().len(), 1);
    let head = &batch.heads()[0];
    assert_eq!((head.time, head.source, head.tag), (TIME, source(), TAG));
    (batch.command(0).unwrap().unwrap(), batch.events_of(0).to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Holds examples against their file, both ways.
fn check<T: PartialEq + Debug>(
    file: &str,
    examples: Vec<(String, T)>,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(Vec<u8>) -> T,
) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden").join(file);
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    let known = |text: &str| -> BTreeMap<String, String> {
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        text.lines().map(|line| pair(line).unwrap()).collect()
    };
    let mut golden = known(&text);
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        for (name, example) in &examples {
            if !golden.contains_key(name) {
                text.push_str(&format!("{name} {}\n", hex(&encode(example))));
            }
        }
        std::fs::write(&path, &text).unwrap();
        golden = known(&text);
    }
    for (name, example) in examples {
        let line = golden.remove(&name).unwrap_or_else(|| panic!("{file} has no {name}"));
        assert_eq!(hex(&encode(&example)), line, "{name} is encoded otherwise");
        assert_eq!(decode(bytes(&line)), example, "{name} is decoded otherwise");
    }
    assert!(golden.is_empty(), "{file} has lines without an example: {golden:?}");
}

#[test]
fn the_bytes_of_every_command_are_pinned() {
    check(
        "commands.hex",
        commands::examples(),
        |command| record(command, &[]),
        |bytes| decoded(bytes).0,
    );
}

#[test]
fn the_bytes_of_every_event_are_pinned() {
    check(
        "events.hex",
        events::examples(),
        |event| record(&Command::Workflow(workflow::Command::Advance), std::slice::from_ref(event)),
        |bytes| decoded(bytes).1.remove(0),
    );
}

/// What the engine counts for an event is no less than its bytes: so a record never grows beyond what
/// can be written. Events that repeat what a command says are as long as the command lets them be.
#[test]
fn no_event_is_longer_than_it_counts_for() {
    let repeat =
        ["configured", "registered", "policy_", "order_admitted", "refused", "job_started"];
    for (name, event) in events::examples() {
        let mut bytes = Vec::new();
        pack(&event, &mut bytes);
        let counted =
            repeat.iter().any(|word| name.contains(word)) || bytes.len() <= event.bytes_max();
        assert!(counted, "{name} has {} bytes, and counts for {}", bytes.len(), event.bytes_max());
    }
    let longest = Exchange::RECORD_BYTES_MAX + 2 * COMMAND_BYTES_MAX + RECORD_HEAD + RECORD_TAG;
    assert!(longest <= RECORD_BYTES_MAX, "a record may have {longest} bytes");
    // The one that repeats the command counts for itself.
    let most = Exchange::RECORD_BYTES_MAX / Event::BYTES_MAX + 1;
    assert!(most <= RECORD_EVENTS_MAX, "a record may have {most} events");
}
