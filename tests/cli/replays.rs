//! Every way through a journal leads to the same state.

use std::fs;

use serde_json::{Value, json};
use tensorforge_journal::{Journal, hex};

use crate::support::*;

/// A journal with a snapshot at the end of every block, and its log.
fn journal() -> (Folder, Vec<Value>) {
    captured("--snapshot-every 1024 --frame-records 100")
}

fn captured(flags: &str) -> (Folder, Vec<Value>) {
    let folder = Folder::new();
    folder.long_trace("long.jsonl");
    folder.ok(&format!(
        "capture --trace long.jsonl --fleet fixtures/fleets/rough-seas.toml --out j.tfj {flags}"
    ));
    let log = folder.log("j.tfj");
    (folder, log)
}

#[test]
fn every_way_leads_to_the_same_root() {
    let (folder, log) = journal();
    every_way(&folder, &log);
}

#[test]
fn snapshots_taken_later_stand_in_the_middle_of_frames() {
    // 1 024 is eleven frames of 93 and one record, 2 048 is twenty-two and two, and so on.
    let (folder, log) = captured("--snapshot-every 0 --frame-records 93");
    for block in 1..=log.len() / 1_024 {
        folder.ok(&format!("snapshot take j.tfj --at {}", block * 1_024 + 5));
    }
    every_way(&folder, &log);
}

/// From genesis and from every snapshot, folding and deciding.
fn every_way(folder: &Folder, log: &[Value]) {
    let journal = Journal::open(folder.path("j.tfj")).expect("a journal");
    let end = log.len();
    let snapshots: Vec<u64> = (1..=end as u64 / 1_024).map(|block| block * 1_024).collect();
    let listed = folder.json("snapshot list j.tfj");
    let listed: Vec<u64> =
        listed.as_array().expect("a list").iter().map(|row| number(row, "records")).collect();
    assert_eq!(listed, snapshots);

    let verified = folder.json("verify j.tfj");
    assert_eq!((&verified["verified"], &verified["divergence"]), (&json!(true), &Value::Null));
    assert_eq!((number(&verified, "records"), &verified["closed"]), (end as u64, &json!(true)));
    assert_eq!(number(&verified, "spans"), 1 + snapshots.len() as u64);
    let root = text(&verified, "root");
    assert_eq!(root, hex(&journal.state_root()));
    let mut ways = vec![
        "--from genesis".to_owned(),
        String::new(),
        "--decide".to_owned(),
        "--from genesis --decide".to_owned(),
        format!("--to {end}"),
    ];
    for at in &snapshots {
        ways.push(format!("--from {at}"));
        ways.push(format!("--from {at} --decide"));
    }
    for way in ways {
        let replayed = folder.json(&format!("replay j.tfj {way}"));
        assert_eq!(text(&replayed, "root"), root, "{way}");
        assert_eq!(replayed["tag"], log[end - 1]["tag"], "{way}");
        assert_eq!(replayed["matches"], json!(true), "{way}");
        assert_eq!(number(&replayed, "records"), end as u64, "{way}");
        let from = way.split(' ').nth(1).and_then(|from| from.parse().ok());
        let events: usize =
            log[from.unwrap_or(0)..].iter().map(|record| events(record).count()).sum();
        if way.starts_with("--from") {
            assert_eq!(number(&replayed, "events"), events as u64, "{way}");
        }
    }
    for threads in [1, 2, 7] {
        assert_eq!(text(&folder.json(&format!("verify j.tfj --threads {threads}")), "root"), root);
    }
    assert_eq!(folder.run("snapshot check j.tfj").code, Some(0));
}

/// A snapshot that is not what its manifest claims costs time and nothing else.
#[test]
fn a_snapshot_that_rotted_is_passed_over() {
    let (folder, log) = captured("--snapshot-every 1024 --frame-records 100");
    let whole = folder.json("verify j.tfj");
    let listed = folder.json("snapshot list j.tfj");
    let snapshots = listed.as_array().expect("a list");
    let path = folder.path(text(&snapshots[1], "path"));
    let mut bytes = fs::read(&path).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("room");
    for threads in [1, 3] {
        let verified = folder.json(&format!("verify j.tfj --threads {threads}"));
        for field in ["verified", "records", "events", "root", "spans"] {
            assert_eq!(verified[field], whole[field], "{field}");
        }
    }
    let ran = folder.run("snapshot check j.tfj --json");
    let faults: Vec<Value> = document(&ran.stdout)
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["fault"].clone())
        .collect();
    let mut expected = vec![Value::Null; snapshots.len()];
    expected[1] = json!("its bytes are not those of its manifest");
    assert_eq!((ran.code, faults), (Some(1), expected));
    let tag = folder.json("replay j.tfj --to 2100")["tag"].clone();
    assert_eq!(tag, log[2_099]["tag"]);
}

#[test]
fn replay_to_a_record_is_the_state_that_the_recording_had_there() {
    let (folder, log) = journal();
    let journal = Journal::open(folder.path("j.tfj")).expect("a journal");
    let end = log.len() as u64;
    let mut stops = vec![1, 2, 10, 11, 99, 100, 101, 500, end - 1, end];
    for block in 1..=end / 1_024 {
        stops.extend([block * 1_024 - 1, block * 1_024, block * 1_024 + 1]);
    }
    let mut draw = Draw(11);
    stops.extend((0..20).map(|_| 1 + draw.below(end)));
    for stop in stops {
        let ways = ["", "--from genesis", "--decide"];
        let ways = ways.map(|way| folder.json(&format!("replay j.tfj --to {stop} {way}")));
        let record = &log[usize::try_from(stop).expect("a place") - 1];
        for replayed in &ways {
            assert_eq!(replayed["tag"], record["tag"], "--to {stop}");
            assert_eq!(replayed["root"], ways[0]["root"], "--to {stop}");
            assert_eq!(number(replayed, "records"), stop);
            assert_eq!(replayed["time_us"], record["time_us"], "--to {stop}");
        }
        if stop % 1_024 == 0 {
            let block = journal.blocks()[usize::try_from(stop / 1_024).expect("a place") - 1];
            assert_eq!(text(&ways[0], "root"), hex(&block.root), "--to {stop}");
        }
        assert_eq!(
            folder.json(&format!("state j.tfj --at {stop} control.0.now")),
            record["time_us"],
            "--at {stop}",
        );
    }
    let nothing = folder.json("replay j.tfj --to 0");
    assert_eq!((number(&nothing, "records"), number(&nothing, "events")), (0, 0));
}

#[test]
fn a_journal_without_snapshots_says_so() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj --snapshot-every 0");
    for action in ["list", "check"] {
        assert_eq!(folder.ok(&format!("snapshot {action} j.tfj")), "no snapshots\n");
        assert_eq!(folder.ok(&format!("snapshot {action} j.tfj --json")), "[]\n");
    }
}

#[test]
fn replay_to_a_moment_holds_what_came_by_then() {
    let (folder, log) = journal();
    let last = number(log.last().expect("a record"), "time_us");
    let middle = number(&log[log.len() / 2], "time_us");
    for (moment, micros) in [
        ("0s", 0),
        ("90s", 90_000_000),
        ("90000ms", 90_000_000),
        ("90000000us", 90_000_000),
        ("2m", 120_000_000),
        ("1.5m", 90_000_000),
        ("90.0005s", 90_000_500),
        ("90000.5ms", 90_000_500),
        ("1h", 3_600_000_000),
        (&format!("{middle}us"), middle),
        (&format!("{}us", middle - 1), middle - 1),
        (&format!("{last}us"), last),
        (&format!("{}us", last - 1), last - 1),
    ] {
        let by_then = log.iter().filter(|record| number(record, "time_us") <= micros).count();
        let replayed = folder.json(&format!("replay j.tfj --to {moment}"));
        assert_eq!(number(&replayed, "records"), by_then as u64, "{moment}");
        let ended = folder.ok(&format!("log j.tfj --json --to {moment}"));
        assert_eq!(ended.lines().count(), by_then, "--to {moment}");
        let begun = folder.run(&format!("log j.tfj --json --from {moment}"));
        let from_then = log.iter().filter(|record| number(record, "time_us") >= micros).count();
        assert_eq!((begun.code, begun.stdout.lines().count()), (Some(0), from_then), "{moment}");
        let now = folder.json(&format!("state j.tfj --at {moment} control.0.now"));
        assert_eq!(now, log[by_then - 1]["time_us"], "--at {moment}");
        assert_eq!(replayed["tag"], log[by_then - 1]["tag"], "{moment}");
    }
}
