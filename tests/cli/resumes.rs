//! A capture that was broken off, whatever by, goes on to the journal that it would have made.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tensorforge_journal::Journal;

use crate::support::*;

/// Small frames and a disk that is waited for: slow enough to be broken off.
const CAPTURE: &str = "capture --trace long.jsonl --fleet fixtures/fleets/rough-seas.toml --frame-records 3 \
     --snapshot-every 1024 --seed 2";

fn begun() -> Folder {
    let folder = Folder::new();
    folder.long_trace("long.jsonl");
    folder.ok(&format!("{CAPTURE} --out whole.tfj --no-sync"));
    folder
}

fn start(folder: &Folder, words: &str) -> Child {
    let mut command = folder.command(words);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a capture")
}

/// A command that ends at a signal, whatever those who run the tests have had ignored.
fn heeding(folder: &Folder, words: &str) -> Command {
    folder.command_of(Path::new("env"), &format!("--default-signal=HUP,INT,TERM {words}"))
}

/// What does not depend on when a capture was broken off.
fn history(folder: &Folder, journal: &str) -> (Value, Value, String) {
    let verified = folder.json(&format!("verify {journal}"));
    assert_eq!((&verified["verified"], &verified["closed"]), (&json!(true), &json!(true)));
    let log = folder.ok(&format!("log --json {journal}"));
    (verified["root"].clone(), verified["tree_root"].clone(), log)
}

/// Waits until a capture under way has so many records, or is over.
fn wait_for(folder: &Folder, journal: &str, records: u64, capture: &mut Child) {
    while capture.try_wait().expect("a status").is_none() {
        if Journal::open(folder.path(journal)).is_ok_and(|found| found.next_seq() >= records) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{thousands} {rest:03}") }
}

/// Orders that a log admits and does not end.
fn live_in(log: &[Value]) -> u64 {
    let count = |wanted: &str| {
        log.iter().flat_map(events).filter(|(kind, _)| *kind == wanted).count() as u64
    };
    count("order_admitted") - count("order_ended")
}

#[test]
fn bytes_put_aside_are_no_foreign_files() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("j.tfj/aside")).expect("room");
    fs::create_dir_all(folder.path("j.tfj/segments")).expect("room");
    folder.ok("capture --out j.tfj");
}

#[test]
fn killed_captures_go_on_to_the_same_journal() {
    let folder = begun();
    let whole = history(&folder, "whole.tfj");
    let mut draw = Draw(3);
    let mut killed = 0;
    for round in 0..6 {
        let journal = format!("k{round}.tfj");
        let mut resume = "";
        // One kill while the journal is made, one soon after, one later.
        for wanted in [0, 1 + draw.below(500), 500 + draw.below(3_000)] {
            let mut capture = start(&folder, &format!("{CAPTURE} --out {journal} {resume}"));
            if wanted == 0 {
                thread::sleep(Duration::from_micros(draw.below(8_000)));
            }
            wait_for(&folder, &journal, wanted * u64::from(wanted > 0), &mut capture);
            capture.kill().expect("a capture to kill");
            killed += u64::from(capture.wait().expect("a status").code().is_none());
            let made = Journal::open(folder.path(&journal)).is_ok();
            resume = if made { "--resume" } else { "" };
        }
        folder.ok(&format!("{CAPTURE} --out {journal} {resume}"));
        assert!(history(&folder, &journal) == whole, "round {round} differs");
    }
    assert!(killed >= 6, "{killed} captures were killed before they ended");
}

#[test]
fn an_interrupted_capture_closes_its_journal_and_goes_on() {
    let folder = begun();
    let mut command = heeding(&folder, env!("CARGO_BIN_EXE_tensorforge"));
    command.args(CAPTURE.split_whitespace()).args(["--out", "i.tfj", "--json"]);
    let mut capture =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a capture");
    wait_for(&folder, "i.tfj", 400, &mut capture);
    let interrupt = Command::new("kill").args(["-INT", &capture.id().to_string()]).status();
    assert!(interrupt.expect("kill").success());
    let out = capture.wait_with_output().expect("an end");
    assert_eq!(out.status.code(), Some(130));
    let note = String::from_utf8(out.stderr).expect("a note in UTF-8");
    let verified = folder.json("verify i.tfj");
    assert_eq!((&verified["verified"], &verified["closed"]), (&json!(true), &json!(true)));
    let (records, live) = (number(&verified, "records"), number(&verified, "live"));
    let said = format!(
        "note: interrupted: {} records in i.tfj, orders live: {live}; the same command with --resume goes on\n",
        grouped(records)
    );
    assert_eq!(note, said);
    let answer = document(&String::from_utf8(out.stdout).expect("a document in UTF-8"));
    assert_eq!((&answer["interrupted"], number(&answer, "records")), (&json!(true), records));
    assert_eq!((number(&answer, "live"), &answer["root"]), (live, &verified["root"]));

    // What a journal of a part of its trace says of itself.
    let audit = live_in(&folder.log("i.tfj"));
    assert!(live > 0 && live == audit, "{live} {audit}");
    let told = folder.ok("verify i.tfj");
    assert!(told.ends_with(&format!("\norders live: {live}\n")), "{told}");
    let ran = folder.run("diff whole.tfj i.tfj");
    let said = format!(
        "note: i.tfj is not at its end, orders live: {live}; what would have come after it is not counted\n"
    );
    assert_eq!((ran.code, ran.stderr), (Some(1), said));
    assert_eq!(number(&folder.json("verify whole.tfj"), "live"), 0);

    // Only the same arguments go on; nothing is written by others.
    let before = files(&folder.path("i.tfj"));
    let refused = |words: &str, code: i32, said: &str| {
        let ran = folder.run(words);
        assert_eq!(ran.code, Some(code), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{words}: {}", ran.stderr);
    };
    refused(&format!("{CAPTURE} --out i.tfj"), 2, "error: i.tfj is a journal already");
    refused(
        &format!("{CAPTURE} --seed 5 --out i.tfj --resume"),
        2,
        "cannot be used multiple times",
    );
    let other = CAPTURE.replace("--seed 2", "--seed 5");
    refused(&format!("{other} --out i.tfj --resume"), 2, "error: i.tfj is journal ");
    let id = text(&folder.json("capture --out x.tfj"), "journal").to_owned();
    refused(
        &format!("capture --out i.tfj --resume --journal-id {id}"),
        2,
        "error: i.tfj is journal ",
    );
    assert!(files(&folder.path("i.tfj")) == before, "a refused capture has written something");

    folder.ok(&format!("{CAPTURE} --out i.tfj --resume"));
    assert!(history(&folder, "i.tfj") == history(&folder, "whole.tfj"));
}

/// Starts a capture as a shell script would, sends it a signal on the way, and what it answers.
fn signalled(folder: &Folder, journal: &str, script: &str, signal: &str) -> Ran {
    let mut command = heeding(folder, "sh -c");
    let program = env!("CARGO_BIN_EXE_tensorforge");
    command.arg(script).args(["sh", program]).args(CAPTURE.split_whitespace());
    command.args(["--json", "--out", journal]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = command.spawn().expect("a shell");
    wait_for(folder, journal, 400, &mut shell);
    // The one that has the journal open, be it the shell's own process or a child of it.
    let of = |pid: u32| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        fs::read_to_string(path).unwrap_or_default().trim().parse().ok()
    };
    let capture: u32 = of(shell.id()).unwrap_or(shell.id());
    let sent = Command::new("kill").args([&format!("-{signal}"), &capture.to_string()]).status();
    assert!(sent.expect("kill").success(), "{script}: it was over too soon");
    let out = shell.wait_with_output().expect("an end");
    let text = |bytes| String::from_utf8(bytes).expect("an answer in UTF-8");
    Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

#[test]
fn a_signal_that_was_to_be_ignored_is() {
    let folder = begun();
    let whole = number(&folder.json("verify whole.tfj"), "records");
    for (place, (script, signal, code)) in [
        ("\"$@\"; exit $?", "HUP", 130),
        ("\"$@\"; exit $?", "INT", 130),
        ("\"$@\"; exit $?", "TERM", 130),
        ("trap '' HUP; exec \"$@\"", "HUP", 0),
        ("trap '' INT; exec \"$@\"", "INT", 0),
        ("trap '' TERM; exec \"$@\"", "TERM", 0),
        // One that is ignored takes none of the others with it.
        ("trap '' HUP; exec \"$@\"", "INT", 130),
        ("trap '' INT TERM; exec \"$@\"", "HUP", 130),
        ("exec nohup \"$@\"", "HUP", 0),
        ("exec nohup \"$@\"", "TERM", 130),
        // What a script runs in the background is not what Ctrl-C is for.
        ("\"$@\" & wait $!; exit $?", "INT", 0),
        ("\"$@\" & wait $!; exit $?", "TERM", 130),
    ]
    .into_iter()
    .enumerate()
    {
        let journal = format!("s{place}.tfj");
        let ran = signalled(&folder, &journal, script, signal);
        assert_eq!(ran.code, Some(code), "{signal} to {script}: {}", ran.stderr);
        let answer = document(&ran.stdout);
        assert_eq!(answer["interrupted"], code == 130, "{signal} to {script}: {answer}");
        let records = number(&answer, "records");
        assert!((records == whole) == (code == 0), "{signal} to {script}: {records} records");
        assert_eq!(
            folder.json(&format!("verify {journal}"))["closed"],
            true,
            "{signal} to {script}"
        );
    }
}

#[test]
fn other_input_under_the_same_name_is_refused_at_its_record() {
    let folder = begun();
    let named = |seed: u64| {
        CAPTURE.replace("--seed 2", &format!("--seed {seed} --journal-id 77 --out n.tfj"))
    };
    let mut capture = start(&folder, &named(2));
    wait_for(&folder, "n.tfj", 4_000, &mut capture);
    capture.kill().expect("a capture to kill");
    capture.wait().expect("a status");
    // Another policy is another record 10: the one that sets it.
    let log = folder.log("n.tfj");
    let set = log.iter().position(|record| record["command"]["policy"]["set_policy"].is_object());
    let ran = folder.run(&format!("{} --policy fixtures/policies/swift.toml --resume", named(2)));
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.stderr,
        format!(
            "error: the journal is not of this capture: record {} differs\n\
             help: resume with the arguments, and the build, of the capture that was interrupted\n",
            set.expect("a policy"),
        ),
    );
    folder.ok(&format!("{} --resume", named(2)));
}

/// A tour that is interrupted once it has printed a line and something is there: its exit code, and what
/// it printed.
fn tour(folder: &Folder, words: &str, line: &str, made: &str) -> Ran {
    // Whoever interrupts it goes first, however busy the machine is.
    let mut command = heeding(folder, "nice -n 19");
    command.arg(env!("CARGO_BIN_EXE_tensorforge")).args(words.split_whitespace());
    let command = command.env("TMPDIR", folder.path("tmp"));
    let mut tour =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
    // Stands ready, since the tour does not wait: it interrupts once it is told to.
    let kill = format!("read line; kill -INT {}", tour.id());
    let mut hand = Command::new("sh");
    let mut hand = hand.args(["-c", &kill]).stdin(Stdio::piped()).spawn().expect("a shell");
    let mut word = hand.stdin.take().expect("its input");
    let mut out = BufReader::new(tour.stdout.take().expect("its output"));
    let mut stdout = String::new();
    while !stdout.contains(line) && out.read_line(&mut stdout).expect("a line") > 0 {}
    while !folder.path(made).exists() && tour.try_wait().expect("a status").is_none() {}
    word.write_all(b"now\n").expect("a shell that reads");
    hand.wait().expect("a status");
    out.read_to_string(&mut stdout).expect("the rest");
    let out = tour.wait_with_output().expect("an end");
    let stderr = String::from_utf8(out.stderr).expect("a note in UTF-8");
    let left = fs::read_dir(folder.path("tmp")).expect("a folder").count();
    assert_eq!(left, 0, "a tour that is broken off leaves its folder");
    Ran { code: out.status.code(), stdout, stderr }
}

#[test]
fn an_interrupted_tour_ends_where_it_is() {
    let folder = Folder::new();
    fs::create_dir(folder.path("tmp")).expect("room");
    // An interrupt may come too late for what was printed, but not every time.
    let tries = |words: &str, line: &str, made: &str, wanted: &dyn Fn(&Ran) -> bool| {
        let numbered = |text: &str, n: u32| text.replace('N', &n.to_string());
        let mut found =
            (0..100).map(|n| tour(&folder, &numbered(words, n), line, &numbered(made, n)));
        found.find(wanted).unwrap_or_else(|| panic!("no tour was interrupted after {line}"))
    };
    let note = |ran: &Ran| ran.stderr.contains("interrupted: ");
    let broken = tries("tour", "$ tensorforge capture --out", "", &note);
    assert_eq!(broken.code, Some(130));
    let end = "; they go with the tour; `tensorforge tour` begins again\n";
    assert!(broken.stderr.ends_with(end), "{}", broken.stderr);
    let broken =
        tries("tour --keep toN", "$ tensorforge capture --out", "toN/morning.tfj/segments", &note);
    let end = "; `tensorforge tour --keep` into another directory begins again\n";
    assert!(broken.stderr.ends_with(end), "{}", broken.stderr);
    // Between captures it ends as well, and begins no other.
    for words in ["tour", "tour --keep betweenN"] {
        tries(words, "$ tensorforge verify", "", &|ran| {
            let begun = ran.stdout.contains("$ tensorforge capture --policy");
            ran.code == Some(130) && ran.stderr.is_empty() && !begun
        });
    }
}
