//! A writer is killed again and again: what it was told is durable must be there, as it was told.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tensorforge_journal::{
    Journal, JournalError, Ledger, LedgerError, ReplayError, read_records, verify,
};
use tensorforge_tests::small_segments;

const KILLS: u64 = 200;
/// Kills after which a new journal is begun.
const JOURNAL_KILLS: u64 = 20;

/// A journal that a writer is killed at, and what is known of it.
struct Victim {
    dir: tempfile::TempDir,
    /// The bytes of every record that an opening has found.
    known: Vec<Vec<u8>>,
    acknowledged: u64,
    segments: usize,
    torn: u64,
    unmade: u64,
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let mut draw = Draw(20);
    let mut victim = Victim::new();
    let (mut acknowledged, mut segments, mut torn, mut unmade) = (0, 0, 0, 0);
    for kill in 0..KILLS {
        if kill % JOURNAL_KILLS == 0 {
            torn += victim.torn;
            unmade += victim.unmade;
            victim = Victim::new();
        }
        let answers = run_and_kill(&victim.journal(), kill, &mut draw);
        acknowledged += answers.len() as u64;
        if kill % 5 == 4 {
            victim.tear(&mut draw);
        }
        victim.recover(&answers, kill);
        segments = segments.max(victim.segments);
        if kill % 10 == 9 {
            victim.verify();
        }
    }
    println!(
        "{acknowledged} answers, {segments} segments, {torn} torn tails, {unmade} not made yet"
    );
    // A judge whose writers never got far proves nothing.
    assert!(
        acknowledged > 5_000 && segments > 4,
        "{acknowledged} acknowledged, {segments} segments"
    );
}

/// Lets a writer run for a while: a moment, or so many answers and a moment.
fn run_and_kill(dir: &Path, kill: u64, draw: &mut Draw) -> Vec<Value> {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_writer"))
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a writer");
    let answers = listen(&mut writer);
    // The first runs at a journal are short, so that they end while it is made.
    let (wanted, micros) = match (kill % JOURNAL_KILLS, kill % 3) {
        (0..3, _) => (0, draw.below(6_000)),
        (_, 0) => (0, draw.below(30_000)),
        _ => (draw.below(700), draw.below(2_000)),
    };
    let mut lines: Vec<String> = (0..wanted).map_while(|_| answers.recv().ok()).collect();
    thread::sleep(Duration::from_micros(micros));
    writer.kill().expect("a writer to kill");
    let status = writer.wait().expect("a status");
    assert_eq!(status.signal(), Some(9), "kill {kill}: the writer ended by itself: {status}");
    lines.extend(answers.iter());
    lines.iter().map(|line| serde_json::from_str(line).expect("an answer in JSON")).collect()
}

/// The whole lines that a writer prints.
fn listen(writer: &mut Child) -> Receiver<String> {
    let out = writer.stdout.take().expect("its standard output");
    let (send, lines) = channel();
    thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            if send.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, known: Vec::new(), acknowledged: 0, segments: 0, torn: 0, unmade: 0 }
    }

    fn journal(&self) -> std::path::PathBuf {
        self.dir.path().join("j.tfj")
    }

    /// Leaves what a crash of the machine leaves of a frame that was being written.
    fn tear(&self, draw: &mut Draw) {
        let Ok(journal) = Journal::open(self.journal()) else { return };
        let last = journal.segments().last().expect("a segment");
        // A first frame is only written once the segment before has been cut, which may not be so yet.
        if last.frames.is_empty() {
            return;
        }
        let name = format!("segments/{:010}.seg", last.page.segment);
        let file = OpenOptions::new().write(true).open(self.journal().join(name));
        let file = file.expect("a segment to write");
        let room = file.metadata().expect("a length").len().saturating_sub(last.end);
        if room > 1 && !journal.closed() {
            let length = 1 + draw.below((room - 1).min(300));
            let garbage: Vec<u8> = (0..length).map(|_| 1 + draw.below(255) as u8).collect();
            file.write_all_at(&garbage, last.end).expect("room");
        }
    }

    /// Opens the journal as its next writer would, and compares it with what is known.
    fn recover(&mut self, answers: &[Value], kill: u64) {
        let ledger = match Ledger::open(&self.journal(), small_segments()) {
            Ok((ledger, opening)) => {
                self.torn += u64::from(opening.repaired.is_some());
                ledger
            }
            Err(LedgerError::Replay(ReplayError::Journal(JournalError::NotAJournal {
                ..
            }))) => {
                self.unmade += 1;
                assert!(answers.is_empty() && self.known.is_empty(), "kill {kill}: it is gone");
                return;
            }
            Err(error) => panic!("kill {kill}: {error}"),
        };
        let records = ledger.records();
        // Now and then the next writer finds a journal that was closed.
        match kill % 7 {
            6 => drop(ledger.close().expect("a disk")),
            _ => drop(ledger),
        }
        let journal = Journal::open(self.journal()).expect("a journal");
        assert_eq!((journal.next_seq(), journal.torn()), (records, None), "kill {kill}");
        let mut found = Vec::new();
        let mut events = Vec::new();
        read_records(&journal, 0, records, |record| {
            events.push(record.events);
            found.push(record.bytes);
            std::ops::ControlFlow::Continue(())
        })
        .expect("records");
        assert!(found.starts_with(&self.known), "kill {kill}: what was durable has changed");
        for answer in answers {
            let seq = answer["seq"].as_u64().expect("a number");
            let there = events.get(usize::try_from(seq).expect("a place"));
            let there = there.unwrap_or_else(|| panic!("kill {kill}: {seq} of {records} is lost"));
            assert_eq!(json!(there), answer["events"], "kill {kill}: record {seq}");
        }
        self.acknowledged += answers.len() as u64;
        assert!(self.acknowledged <= records, "kill {kill}: more answers than records");
        self.known = found;
        self.segments = journal.segments().len();
    }

    fn verify(&self) {
        let journal = Journal::open(self.journal()).expect("a journal");
        let verified = verify(&journal, 2, &|_| ()).expect("a journal that can be read");
        assert_eq!(verified.divergence, None);
        assert_eq!(verified.records, journal.next_seq());
        assert_eq!(verified.root, journal.state_root());
    }
}

/// A generator for judges that draw (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}
