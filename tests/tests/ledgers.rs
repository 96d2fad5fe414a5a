//! Ledgers over random histories: searches through what they wrote, and what they leave when dropped.

use std::ops::ControlFlow;
use std::path::Path;

use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros};
use tensorforge_engine::{Command, Root, State, models, workflow};
use tensorforge_journal::damage::DamageKind;
use tensorforge_journal::{
    Journal, Judgement, Ledger, LedgerOptions, Mode, Replay, ReplayError, WriterOptions,
    bisect_state, list_snapshots, verify,
};
use tensorforge_tests::walk::{self, Random};

/// Writes a random history; the root after so many records, from none on.
fn write(dir: &Path, records: u64, options: LedgerOptions) -> (Ledger, Vec<Root>) {
    let id = JournalId([7; 16]);
    let mut ledger = Ledger::create(dir, id, options).unwrap();
    let mut roots = vec![State::genesis(id).root()];
    let mut random = Random(records);
    let mut setup = walk::setup(walk::bounds()).into_iter();
    while ledger.records() < records {
        let time = ledger.state().now();
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => walk::command(&mut random, ledger.state()),
        };
        let later = Micros(time.0 + random.below(90_000));
        ledger.record(later, source, &command).unwrap();
        roots.push(ledger.state().root());
    }
    (ledger, roots)
}

fn quick() -> LedgerOptions {
    let writer = WriterOptions { sync: false, ..WriterOptions::default() };
    LedgerOptions { frame_records: 50, writer, ..LedgerOptions::default() }
}

/// However late a ledger is told to commit, no frame becomes longer than a frame may be.
#[test]
fn a_frame_is_committed_before_it_is_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    let options = LedgerOptions { frame_records: u32::MAX, frame_bytes: usize::MAX, ..quick() };
    let mut ledger = Ledger::create(&path, JournalId([7; 16]), options).unwrap();
    // It is refused for its length, and recorded all the same.
    let command: Command = models::Command::RegisterModel { name: "m".repeat(60_000) }.into();
    for _ in 0..150 {
        ledger.record(Micros(1), Source::OPERATOR, &command).unwrap();
    }
    ledger.close().unwrap();
    let journal = Journal::open(&path).unwrap();
    let frames = journal.frames().iter().filter(|frame| !frame.close).count();
    assert!((3..6).contains(&frames), "{frames} frames of 9 MB");
    assert_eq!(verify(&journal, 1, &|_| ()).unwrap().records, 150);
}

/// A judge that is good up to some state, bad from another on, and cannot tell some of them: it is asked
/// about the states that it is told it is asked about, about each once, and the answer is the first bad
/// one with as many in a row before it as could not be told.
#[test]
fn a_search_among_states_that_cannot_all_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    let (ledger, roots) = write(&path, 300, quick());
    ledger.close().unwrap();
    let journal = Journal::open(&path).unwrap();
    let mut random = Random(4);
    for round in 0..300 {
        let turning = 1 + random.below(301);
        let density = random.below(100);
        // None of the last: it has to be told.
        let mut told: Vec<bool> = (0..=300).map(|_| random.below(100) >= density).collect();
        told[300] = true;
        if round % 3 == 0 {
            let from = random.below(300) as usize;
            let to = (from + random.below(150) as usize).min(300);
            told[from..to].fill(false);
        }
        let mut asked = vec![0; 301];
        let verdict = bisect_state(&journal, |records, state| {
            let place = records as usize;
            assert_eq!(state.root(), roots[place], "round {round}: not the state of {records}");
            asked[place] += 1;
            Ok::<_, ReplayError>(match (told[place], records >= turning) {
                (false, _) => Judgement::Skip,
                (true, true) => Judgement::Bad,
                (true, false) => Judgement::Good,
            })
        });
        let verdict = verdict.unwrap();
        let first = (turning..=300).find(|records| told[*records as usize]);
        assert_eq!(verdict.records, first, "round {round}, turning at {turning}");
        assert!(asked.iter().all(|times| *times <= 1), "round {round}: asked twice");
        assert_eq!(u64::from(verdict.probes), asked.iter().sum::<u64>());
        let untold = first.map_or(0, |first| {
            let before = told[1..first as usize].iter().rev();
            before.take_while(|told| !**told).count() as u64
        });
        assert_eq!(verdict.skipped, untold, "round {round}");
        let last_good = || (1..=300).rev().find(|place| told[*place]).unwrap_or(0);
        let root = first.map_or_else(last_good, |first| first as usize);
        assert_eq!(verdict.root, roots[root], "round {round}");
    }
}

/// However many snapshots have rotted, and whatever else is called like one.
#[test]
fn rotten_snapshots_and_strange_names_change_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    let options = LedgerOptions { snapshot_every: 1_024, ..quick() };
    let (ledger, roots) = write(&path, 8_000, options);
    ledger.close().unwrap();
    let journal = Journal::open(&path).unwrap();
    let snapshots = list_snapshots(&journal);
    assert_eq!(snapshots.len(), 7);
    let check = |spans: usize| {
        for threads in [1, 4] {
            let verified = verify(&journal, threads, &|_| ()).unwrap();
            assert_eq!(verified.divergence, None);
            assert_eq!((verified.records, verified.root), (8_000, roots[8_000]));
            assert_eq!(verified.spans, spans);
        }
    };
    check(8);
    for (records, snapshot) in &snapshots {
        for name in [format!("{records}"), format!("+{records}"), format!("0{records:020}")] {
            let strange = snapshot.with_file_name(name);
            std::fs::copy(snapshot, strange.with_extension("snap")).unwrap();
            let manifest = snapshot.with_extension("json");
            std::fs::copy(manifest, strange.with_extension("json")).unwrap();
        }
    }
    check(8);
    let rot = |place: usize| {
        let (_, path) = &snapshots[place];
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    // Two in a row, one on its own, the last; their spans are verified all the same.
    [1, 2, 4, 6].into_iter().for_each(rot);
    check(8);
    [0, 3, 5].into_iter().for_each(rot);
    check(8);
    // One that is shorter than its manifest says begins no span.
    std::fs::write(&snapshots[3].1, "").unwrap();
    check(7);
}

/// Who drops a ledger may go on with its journal at once: nothing of it is still being written.
#[test]
fn a_dropped_ledger_has_written_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    let options = LedgerOptions { snapshot_every: 1_024, ..quick() };
    let (ledger, _) = write(&path, 1_030, options.clone());
    drop(ledger);
    let names = std::fs::read_dir(path.join("snapshots")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["00000000000000001024.json", "00000000000000001024.snap"]);
    let (ledger, _) = Ledger::open(&path, options).unwrap();
    // The records of the frame that nobody committed are gone, and nobody was told of them.
    assert!((1_024..=1_030).contains(&ledger.records()));
}

/// A verification reads every byte of every frame once: also of the marks that stand where one span ends
/// and the next begins, and of the one behind the last record.
#[test]
fn marks_between_records_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    let options = || LedgerOptions { snapshot_every: 1_024, ..quick() };
    write(&path, 1_024, options()).0.close().unwrap();
    for _ in 0..2 {
        let (mut ledger, _) = Ledger::open(&path, options()).unwrap();
        ledger.record(Micros::MAX, Source::OPERATOR, &workflow::Command::Advance.into()).unwrap();
        ledger.close().unwrap();
    }
    let journal = Journal::open(&path).unwrap();
    let marks: Vec<_> = journal.frames().iter().filter(|frame| frame.close).cloned().collect();
    let at: Vec<u64> = marks.iter().map(|mark| mark.first_seq).collect();
    assert_eq!(at, [1_024, 1_024, 1_025, 1_025, 1_026, 1_026]);
    assert_eq!(verify(&journal, 2, &|_| ()).unwrap().spans, 2);
    for mark in marks {
        let segment = path.join(format!("segments/{:010}.seg", mark.segment));
        let mut bytes = std::fs::read(&segment).unwrap();
        // The last byte of a frame is seen by nobody who walks from header to header.
        let last = (mark.offset + mark.length) as usize - 1;
        bytes[last] ^= 1;
        std::fs::write(&segment, &bytes).unwrap();
        let error = verify(&journal, 2, &|_| ()).unwrap_err();
        let ReplayError::Journal(error) = error else { panic!("{error}") };
        let damage = error.damage().unwrap();
        assert_eq!((damage.kind, damage.offset), (DamageKind::Trailer, mark.offset));
        bytes[last] ^= 1;
        std::fs::write(&segment, &bytes).unwrap();
    }
}

/// What a replay has passed: its records, what they did, and what the state was where it is exact.
type Passed = Vec<(u64, usize, Option<Root>)>;

/// Replays in legs that end at these records, and stops within one of them; tells what it passed, and
/// how it ended.
fn passed(path: &Path, mode: Mode, ahead: bool, stops: &[u64]) -> (Passed, Option<String>) {
    let journal = Journal::open(path).unwrap();
    let mut replay = Replay::from_genesis(&journal, mode);
    if ahead {
        replay.read_ahead();
    }
    let mut passed = Vec::new();
    for stop in stops {
        let ran = replay.run(*stop, |step| {
            let root = step.frame_end.map(|_| step.state.root());
            passed.push((step.head.seq.0, step.events.len(), root));
            match step.head.seq.0 {
                6_543 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        if let Err(error) = ran {
            return (passed, Some(error.to_string()));
        }
    }
    (passed, None)
}

/// Reading ahead changes nothing but the time that it takes, wherever a replay stops and goes on, and
/// whatever is wrong with the journal.
#[test]
fn a_replay_that_reads_ahead_is_the_same_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.tfj");
    write(&path, 20_000, quick()).0.close().unwrap();
    let stops: [&[u64]; 3] = [&[u64::MAX, u64::MAX], &[1, 5_000, 12_345, 19_000, 20_000], &[6_000]];
    let same = |whole: bool| {
        for mode in [Mode::Fold, Mode::Decide] {
            for stops in stops {
                let (plain, end) = passed(&path, mode, false, stops);
                assert!(plain == passed(&path, mode, true, stops).0, "{mode:?} {stops:?}");
                assert_eq!(end, passed(&path, mode, true, stops).1, "{mode:?} {stops:?}");
                let last = plain.last().map(|(seq, ..)| *seq);
                match stops.last() {
                    Some(6_000) => assert_eq!((last, end), (Some(5_999), None)),
                    _ if whole => assert_eq!((last, end), (Some(19_999), None)),
                    _ => assert!(end.unwrap().contains("body hash differs")),
                }
            }
        }
    };
    same(true);
    let journal = Journal::open(&path).unwrap();
    let frame = journal.frames().iter().find(|frame| frame.first_seq > 15_000).unwrap();
    let segment = path.join(format!("segments/{:010}.seg", frame.segment));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[(frame.offset + frame.length) as usize - 30] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    same(false);
}
