//! The floors of the house: every arrow between the files of a crate points down, or sideways without a
//! circle.

use std::path::Path;

use tensorforge_tests::arrows::{Floors, House};

const JOURNAL: Floors<'_> = &[
    ("ground", &["damage", "disk", "memory"]),
    ("format", &["format"]),
    ("error", &["error"]),
    ("reading", &["reading"]),
    ("writing", &["writing"]),
    ("replaying", &["replaying"]),
    ("comparing", &["comparing"]),
    ("proving", &["proving"]),
    ("ledger", &["ledger", "sequencer"]),
];

const ENGINE: Floors<'_> = &[
    ("kernel", &["kernel", "statistics"]),
    (
        "words",
        &[
            "command",
            "event",
            "refusal",
            "effect",
            "*/rows",
            "*/words",
            "*/refusal",
            "workflow/machine",
        ],
    ),
    ("state", &["state", "*/index"]),
    ("fold", &["fold", "*/fold"]),
    ("transaction", &["transaction"]),
    (
        "decide",
        &["*/decide", "allocator/cost", "routing/labels", "routing/room", "telemetry/health"],
    ),
    ("exchange", &["exchange", "check", "*/check"]),
];

fn check(sources: &str, floors: Floors<'_>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(sources);
    let faults = House::read(&dir).unwrap().faults(floors);
    assert!(faults.is_empty(), "{sources}:\n{}", faults.join("\n"));
}

/// The picture of the floors in the README begins each line with number and name.
fn is_shown(floors: Floors<'_>) {
    let readme = include_str!("../../README.md");
    for ((name, _), number) in floors.iter().zip(1..) {
        let line = format!("\n{number}  {name} ");
        assert!(readme.contains(&line), "the README does not show `{}`", line.trim());
    }
}

#[test]
fn the_engines_arrows_point_down() {
    check("engine/src", ENGINE);
}

#[test]
fn the_journals_arrows_point_down() {
    check("journal/src", JOURNAL);
    is_shown(JOURNAL);
}
