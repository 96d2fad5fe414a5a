//! What is no regular file in the place of one: told with its path, and never waited for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command as Program;
use std::sync::mpsc::channel;
use std::time::Duration;

use tensorforge_engine::command::Command;
use tensorforge_engine::models;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, VesselId};
use tensorforge_journal::{
    Journal, Ledger, LedgerOptions, Mode, Replay, salvage, take_snapshot, verify,
};

use crate::support::OPTIONS;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn options() -> LedgerOptions {
    LedgerOptions { snapshot_every: 1_024, writer: OPTIONS, ..LedgerOptions::default() }
}

/// A closed journal of some segments, with two snapshots.
fn write(path: &Path) {
    let mut ledger = Ledger::create(path, JournalId([3; 16]), options()).unwrap();
    for n in 0..2_500 {
        let command = Command::Models(models::Command::Heartbeat { vessel: VesselId(n), start: 0 });
        ledger.record(Micros(1), Source::OPERATOR, &command).unwrap();
    }
    ledger.close().unwrap();
}

fn told<T>(done: Result<T, impl ToString>) -> String {
    done.err().map_or_else(String::new, |error| error.to_string())
}

/// What somebody does with the journal, and what is said.
type Act = fn(&Path) -> String;

const READ: Act = |path| told(Journal::open(path).and_then(|journal| journal.verify()));
const WRITE: Act =
    |path| told(Ledger::open(path, options()).and_then(|(ledger, _)| ledger.close()));
const CREATE: Act = |path| told(Ledger::create(path, JournalId([3; 16]), options()));
const SALVAGE: Act = |path| told(salvage(path, path.with_extension("saved"), OPTIONS));
const TAKE: Act = |path| told(take_snapshot(&Journal::open(path).unwrap(), 2_048));
/// Snapshots that cannot be used are passed over, and what they would have spared is done.
const VERIFY: Act = |path| {
    let journal = Journal::open(path).unwrap();
    let verified = verify(&journal, 2, &|_| ()).unwrap();
    assert_eq!((verified.records, verified.divergence), (2_500, None));
    let (_, passed_over) = Replay::from_nearest(&journal, Mode::Fold, 2_100);
    passed_over.into_iter().map(|(_, unusable)| unusable.to_string()).collect()
};

/// Puts something of each kind at a place, and does something. `{}` stands for the place.
fn check(make: bool, place: &str, act: Act, said: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    if make {
        write(&path);
    }
    let place = path.join(place);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    type Put = fn(&Path);
    let put: [(&str, Put); 3] = [
        ("a fifo", |place| {
            assert!(Program::new("mkfifo").arg(place).status().unwrap().success());
        }),
        ("a device", |place| symlink("/dev/zero", place).unwrap()),
        ("a folder", |place| fs::create_dir(place).unwrap()),
    ];
    for (what, put) in put {
        drop(fs::remove_file(&place));
        put(&place);
        let (tell, hear) = channel();
        let path = path.clone();
        std::thread::spawn(move || tell.send(act(&path)));
        let found = hear.recv_timeout(LIMIT);
        let found = found.unwrap_or_else(|_| panic!("{what} at {} is waited for", place.display()));
        assert_eq!(found, said.replace("{}", &place.display().to_string()), "{what}");
    }
}

#[test]
fn a_segment_is_a_regular_file() {
    let said = "cannot open {}: it is no regular file";
    for segment in ["segments/0000000000.seg", "segments/0000000002.seg"] {
        check(true, segment, READ, said);
        check(true, segment, SALVAGE, said);
    }
    check(true, "segments/0000000000.seg", WRITE, said);
    check(false, "segments/0000000000.seg", READ, said);
    let said = "cannot create {}: it is no regular file";
    check(false, "segments/0000000000.tmp", CREATE, said);
}

#[test]
fn a_lock_is_a_regular_file() {
    let said = "cannot lock {}: it is no regular file";
    check(true, "LOCK", WRITE, said);
    check(false, "LOCK", CREATE, said);
    // Nobody who reads needs one.
    check(true, "LOCK", READ, "");
    check(
        true,
        "LOCK",
        |path| Journal::open(path).unwrap().is_being_written().to_string(),
        "false",
    );
}

#[test]
fn a_snapshot_is_two_regular_files() {
    let said = "{}: it is no regular file";
    check(true, "snapshots/00000000000000002048.snap", VERIFY, said);
    check(true, "snapshots/00000000000000002048.json", VERIFY, said);
    check(true, "snapshots/00000000000000002048.unfinished", VERIFY, "");
}

/// A name that only a snapshot under way has is nobody else's.
#[test]
fn what_stands_where_a_snapshot_grows_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    write(&path);
    let place = path.join("snapshots/00000000000000002048.unfinished");
    assert!(Program::new("mkfifo").arg(&place).status().unwrap().success());
    let (tell, hear) = channel();
    let (journal, taken) = (path.clone(), path.join("snapshots/00000000000000002048.snap"));
    fs::remove_file(&taken).unwrap();
    std::thread::spawn(move || tell.send(TAKE(&journal)));
    assert_eq!(hear.recv_timeout(LIMIT).unwrap(), "");
    assert!(taken.is_file() && !place.exists());
}
