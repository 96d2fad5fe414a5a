//! Nothing that a journal, a file, a path or an argument holds acts on a terminal: it is shown.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::writing::seal::FrameBuilder;
use tensorforge_journal::writing::writer::{Origin, Writer};
use tensorforge_journal::{Journal, Mode, Replay, WriterOptions, schema};

use crate::support::*;

/// Sets a title, a colour and a direction, hides itself, and goes on as if it were the program.
const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[8m\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{7f}\
    \u{2028}\u{e0041}\r\nerror: all is lost";

/// The same to the eye, without what may not be part of a name in the exchange.
const DISGUISED: &str = "kelp\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}\u{2028}\u{e0041}";

/// The codes that the program itself colours with.
const COLOURS: [&str; 7] =
    ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[4m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[36m"];

/// Holds a text against what may go to a terminal.
fn screened(what: &str, text: &str) {
    let mut plain = text.to_owned();
    // Those of the help and of its errors.
    for colour in COLOURS.iter().chain(&["\u{1b}[33m"]) {
        plain = plain.replace(colour, "");
    }
    let acts = |c: &char| {
        let hidden = matches!(*c,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e0fff}');
        hidden || (c.is_control() && *c != '\n')
    };
    let found: Vec<char> = plain.chars().filter(acts).collect();
    assert!(found.is_empty(), "{what}: {found:?} in {plain:?}");
    assert!(!plain.contains("\nerror: all is lost"), "{what}: a line of its own: {plain}");
}

/// Runs the program with and without colours; what it says is screened, both times.
fn shows<S: AsRef<OsStr>>(folder: &Folder, words: &[S]) -> Ran {
    let what = format!("{:?}", words.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    let run = |colour: &str| {
        let ran = Ran::of(folder.command("").args(words).args(["--color", colour]));
        screened(&what, &ran.stdout);
        screened(&what, &ran.stderr);
        ran
    };
    run("always");
    run("never")
}

/// The same for words apart by spaces; it has something to show.
fn told(folder: &Folder, words: &str) -> Ran {
    let ran = shows(folder, &words.split_whitespace().collect::<Vec<_>>());
    assert!(ran.stdout.len() + ran.stderr.len() > 0, "{words}");
    ran
}

/// A small demand and a fleet, in which everything that has a name is called so.
fn small(folder: &Folder, tenant: &str, model: &str, vessel: &str, region: &str) {
    let fleet = fs::read_to_string(workspace().join("fixtures/fleets/four-vessels.toml"));
    let quoted = |name: &str| serde_json::to_string(name).expect("a text");
    let fleet = fleet
        .expect("a fleet")
        .replace("\"coral-70b\"", &quoted(model))
        .replace("name = \"barge\"", &format!("name = {}", quoted(vessel)))
        .replace("\"harbour\"", &quoted(region));
    folder.write("small.toml", fleet);
    let mut trace = String::from("{\"tensorforge_trace\":1,\"name\":\"n\",\"block_tokens\":512}\n");
    for at in 0..30 {
        let row = serde_json::json!({
            "at": at, "tenant": tenant, "model": model, "tokens_in": 400, "tokens_out": 20,
        });
        trace.push_str(&format!("{row}\n"));
    }
    folder.write("small.jsonl", trace);
}

const SMALL: &str = "capture --trace small.jsonl --fleet small.toml";

/// Writes a journal again with other texts of the same length in its records, as nobody would who
/// decides.
fn forge(from: &Path, to: &Path, texts: &[(&str, &str)]) {
    let journal = Journal::open(from).expect("a journal");
    let mut frame = FrameBuilder::new(0, Vec::new());
    let mut replay = Replay::from_genesis(&journal, Mode::Fold);
    let ran = replay.run(journal.next_seq(), |step| {
        let mut record = step.bytes().to_vec();
        for (text, other) in texts {
            assert_eq!(text.len(), other.len());
            let places: Vec<usize> = (0..record.len().saturating_sub(text.len()))
                .filter(|place| record[*place..].starts_with(text.as_bytes()))
                .collect();
            for place in places {
                record[place..place + text.len()].copy_from_slice(other.as_bytes());
            }
        }
        assert!(frame.push_encoded(&record));
        ControlFlow::Continue(())
    });
    ran.expect("a sound journal");
    let origin = Origin { schema: schema::fingerprint(), build: journal.build().to_owned() };
    let mut writer =
        Writer::create(to, journal.id(), origin, WriterOptions::default()).expect("a journal");
    let mut chain = Chain::genesis();
    let mut sealed = frame.seal(&mut chain, journal.state_root(), &[0; 13]).expect("a frame");
    writer.append(&mut sealed).expect("room");
    writer.close().expect("room");
}

/// Everything that shows a journal shows it.
fn every_reader(folder: &Folder, journal: &str) {
    for words in [
        "log {}",
        "log {} --json",
        "log {} --decide",
        "explain {} --order 1",
        "explain {} --order 1 --json",
        "jobs {}",
        "jobs {} --json",
        "state {}",
        "state {} --json",
        "state {} tenants",
        "state {} nosuch",
        "replay {}",
        "replay {} --decide",
        "verify {}",
        "verify {} --json",
        "bisect {}",
        "bisect {} --json",
        "bisect {} --when control.orders>3",
        "diff {} plain.tfj",
        "diff {} plain.tfj --json",
        "diff plain.tfj {}",
        "snapshot list {}",
    ] {
        told(folder, &words.replace("{}", journal));
    }
}

#[test]
fn names_that_the_exchange_accepts() {
    let folder = Folder::new();
    folder.ok("capture --out plain.tfj");
    small(&folder, DISGUISED, DISGUISED, DISGUISED, DISGUISED);
    told(&folder, &format!("{SMALL} --out j.tfj"));
    every_reader(&folder, "j.tfj");
    let tenants = folder.json("state j.tfj tenants");
    assert_eq!(tenants["0"]["name"], DISGUISED);
    let log = folder.log("j.tfj");
    assert!(
        log.iter()
            .any(|record| record["command"]["models"]["register_tenant"]["name"] == DISGUISED)
    );
    let shown = folder.ok("explain j.tfj --order 1");
    let name = "kelp\\u{202e}\\u{2066}\\u{200b}\\u{feff}\\u{ad}\\u{2028}\\u{e0041}";
    assert!(shown.contains(&format!("from {name} as")), "{shown}");
    // What is asked about by name is shown in the question as well.
    let when = format!("tenants.exists(t, tenants[t].name == '{DISGUISED}')");
    let ran = shows(&folder, &["bisect", "j.tfj", "--when", &when]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    // The story of a trace that is printed is a trace all the same.
    let recipe = fs::read_to_string(workspace().join("fixtures/traces/surge.gen.toml"));
    let named = serde_json::to_string(DISGUISED).expect("a text");
    folder.write("named.gen.toml", recipe.expect("a recipe").replace("\"kelp\"", &named));
    let printed = told(&folder, "generate named.gen.toml").stdout;
    let row: Value = document(printed.lines().nth(1).expect("a row"));
    assert!(printed.lines().skip(1).any(|row| document(row)["tenant"] == DISGUISED), "{row}");
}

#[test]
fn names_that_nobody_has_decided() {
    let folder = Folder::new();
    folder.ok("capture --out plain.tfj");
    let [t, m, v, r] = ["t", "m", "v", "r"].map(|letter| letter.repeat(HOSTILE.len()));
    small(&folder, &t, &m, &v, &r);
    folder.ok(&format!("{SMALL} --out sound.tfj"));
    let texts = [&t, &m, &v, &r].map(|text| (text.as_str(), HOSTILE));
    forge(&folder.path("sound.tfj"), &folder.path("j.tfj"), &texts);
    assert_eq!(folder.json("state j.tfj tenants")["0"]["name"], HOSTILE);
    every_reader(&folder, "j.tfj");
}

#[test]
fn builds_that_wrote_a_journal() {
    let folder = Folder::new();
    let origin =
        Origin { schema: [7; 32], build: "b\u{1b}[8m\u{9b}31m\u{202e}\nerror: all".into() };
    let dir = folder.path("j.tfj");
    Writer::create(dir, [7; 16], origin, WriterOptions::default()).expect("a journal");
    let ran = told(&folder, "verify j.tfj");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 2), "{}", ran.stderr);
}

#[test]
fn keys_values_and_lines_of_files() {
    let folder = Folder::new();
    let quoted = serde_json::to_string(HOSTILE).expect("a text").replace('\u{7f}', "\\u007f");
    fs::create_dir(folder.path("told")).expect("room");
    let read =
        |path: &str| fs::read_to_string(workspace().join("fixtures").join(path)).expect(path);
    let (fleet, policy) = (read("fleets/four-vessels.toml"), read("policies/balanced.toml"));
    let (recipe, story) = (read("traces/surge.gen.toml"), read("scenarios/plain-life.toml"));
    let story = story.replace("fleets/", "../fixtures/scenarios/fleets/");
    let mut made = 0;
    for (words, file, text) in [
        ("capture --out {} --fleet", "f.toml", &fleet),
        ("capture --out {} --policy", "p.toml", &policy),
        ("generate --out {}", "r.toml", &recipe),
        ("snapshot-test", "told", &story),
    ] {
        let mut shown = |text: String| {
            made += 1;
            folder.write(if file == "told" { "told/s.toml" } else { file }, text);
            let words = words.replace("{}", &format!("made-{made}"));
            shows(&folder, &words.split(' ').chain([file]).collect::<Vec<_>>())
        };
        // An unknown key, a value of the wrong type, a value that is none of several, and no TOML.
        let value = text.lines().find_map(|line| line.strip_prefix("name = "));
        let renamed = value.map_or(String::new(), |value| text.replace(value, &quoted));
        for bad in [
            format!("{quoted} = 1\n{text}"),
            format!("{text}\n[{quoted}]\na = 1\n"),
            format!("{text}\n[[step]]\nat_ms = {quoted}\nwait = {{}}\n"),
            text.replace("class = \"interactive\"", &format!("class = {quoted}")) + "x",
            text.replacen("preset = ", &format!("preset = {quoted} #"), 1),
            text.replacen("tenants = [", &format!("tenants = [{quoted}, {quoted}, "), 1),
            format!("{HOSTILE}\n{text}"),
            renamed,
        ] {
            shown(bad);
        }
        let ran = shown(format!("{quoted} = 1\n{text}"));
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains("unknown field `\\u{1b}]0;title"), "{}", ran.stderr);
    }
    const OWN: &str = "{\"tensorforge_trace\":1,\"name\":\"n\",\"block_tokens\":512}\n";
    let row = |fields: &str| {
        format!("{OWN}{{\"at\":5,\"tenant\":\"a\",\"tokens_in\":1,\"tokens_out\":1{fields}}}\n")
    };
    for trace in [
        HOSTILE.to_owned(),
        format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{HOSTILE},1,1\n"),
        format!("TIMESTAMP,{HOSTILE}\n2023-11-16 18:17:03.9799600,48,1\n"),
        row(&format!(",{quoted}:1")),
        row(&format!(",\"model\":{quoted}")),
        row(&format!(",\"class\":{quoted}")),
        row(&format!(",\"origin\":{quoted}")),
        row("").replace("\"a\"", &quoted),
        row("")
            .replace("\"n\"", &quoted)
            .replace("\"tokens_in\":1", "\"model\":\"none\",\"tokens_in\":1"),
        row(HOSTILE),
    ] {
        folder.write("t", &trace);
        let ran = told(&folder, "capture --trace t --out x");
        assert_eq!(
            (ran.code, ran.stderr.lines().count()),
            (Some(2), 1),
            "{trace:?}\n{}",
            ran.stderr
        );
    }
    assert!(!folder.path("x").exists(), "something was made of bad input");
}

#[test]
fn paths() {
    let folder = Folder::new();
    folder.ok("capture --out plain.tfj");
    let name = HOSTILE.replace('/', "");
    let hostile = name.as_str();
    for (words, code) in [
        ("capture --out {}", 0),
        ("capture --out {}", 2),
        ("capture --resume --out {}", 0),
        ("verify {}", 0),
        ("snapshot take {}", 0),
        ("snapshot list {}", 0),
        ("bisect {} --when control.orders>3", 1),
        ("diff {} nosuch", 2),
        ("explain {} --order 0", 2),
        ("salvage {} --out {}-saved", 0),
        ("generate fixtures/traces/surge.gen.toml --out {}-trace", 0),
        ("capture --trace {}-trace --out {}-other --json", 0),
        ("tour --keep {}-toured", 0),
        ("tour --keep {}-toured", 2),
        ("verify {}-nosuch", 2),
        ("capture --trace {}-nosuch --out x", 2),
        ("capture --fleet {}-nosuch --out x", 2),
        ("capture --policy {} --out x", 2),
        ("snapshot-test {}", 2),
        ("bisect plain.tfj --engine {} --engine {}", 2),
        ("man --out {}-trace", 2),
    ] {
        let words: Vec<String> = words.split(' ').map(|word| word.replace("{}", hostile)).collect();
        let run = |colour: &str| {
            let ran = Ran::of(folder.command("").args(&words).args(["--color", colour]));
            screened(&format!("{words:?}"), &ran.stdout);
            screened(&format!("{words:?}"), &ran.stderr);
            ran.code
        };
        assert_eq!(run("always"), Some(code), "{words:?}");
    }
    fs::create_dir(folder.path("photos")).expect("room");
    folder.write(&format!("photos/{hostile}"), "meow");
    assert_eq!(told(&folder, "capture --out photos").code, Some(2));
    // A scenario is told by the name of its file.
    fs::create_dir(folder.path("told")).expect("room");
    let story = "story = \"An order is served.\"\nfleet = \"../fixtures/fleets/four-vessels.toml\"\n\
        tenants = [\"kelp\"]\n[[step]]\nat_ms = 0\nwait = {}\n";
    folder.write(&format!("told/{hostile}.toml"), story);
    assert_eq!(told(&folder, "snapshot-test told").code, Some(1));
}

/// A name need not be a text at all.
#[test]
fn paths_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let path = OsStr::from_bytes(b"j\xff\x1b[8m.tfj");
    let word = OsStr::new;
    for words in [
        vec![word("capture"), word("--json"), word("--out"), path],
        vec![word("snapshot"), word("take"), path, word("--json")],
        vec![word("snapshot"), word("list"), path, word("--json")],
        vec![word("verify"), path],
        vec![
            word("generate"),
            word("fixtures/traces/surge.gen.toml"),
            word("--json"),
            word("--out"),
            OsStr::from_bytes(b"t\xff"),
        ],
        vec![word("tour"), word("--json"), word("--keep"), OsStr::from_bytes(b"k\xff")],
    ] {
        let out = folder.command("").args(&words).output().expect("a program that starts");
        let [stdout, stderr] =
            [out.stdout, out.stderr].map(|out| String::from_utf8(out).expect("UTF-8"));
        screened(&format!("{words:?}"), &stdout);
        screened(&format!("{words:?}"), &stderr);
        assert_eq!(out.status.code(), Some(0), "{words:?}: {stderr}");
    }
}

#[test]
fn arguments() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    for words in [
        &["{}"][..],
        &["verify"],
        &["verify", "j.tfj", "{}"],
        &["verify", "--{}"],
        &["verify", "-{}"],
        &["verify", "j.tfj", "--threads", "{}"],
        &["verify", "j.tfj", "--threads={}"],
        &["capture", "--out", "x", "--journal-id", "{}"],
        &["capture", "--out", "x", "--seed", "{}"],
        &["capture", "--out", "x", "--snapshot-every", "{}"],
        &["capture", "--resume={}", "--out", "x"],
        &["explain", "j.tfj", "--order", "{}"],
        &["explain", "j.tfj", "--external", "{}"],
        &["completions", "{}"],
        &["bench", "--only", "{}"],
        &["help", "{}"],
        &["snapshot", "{}"],
        &["replay", "j.tfj", "--to", "{}"],
        &["replay", "j.tfj", "--from", "{}"],
        &["state", "j.tfj", "--at", "{}"],
        &["state", "j.tfj", "{}"],
        &["log", "j.tfj", "--from", "{}"],
        &["bisect", "j.tfj", "--when", "{}"],
        &["bisect", "j.tfj", "--when", "control.orders == '{}'"],
        &["bisect", "j.tfj", "--when", "control['{}'] == 3"],
        &["bisect", "j.tfj", "--run", "exit 128 # {}"],
    ] {
        let words: Vec<String> = words.iter().map(|word| word.replace("{}", HOSTILE)).collect();
        let ran = shows(&folder, &words);
        assert_eq!(ran.code, Some(2), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{words:?}: {}", ran.stderr);
    }
    // What is in order is shown as it was given.
    let ran = told(&folder, "verify --nosuch");
    assert!(
        ran.stderr.starts_with("error: unexpected argument '--nosuch' found\n"),
        "{}",
        ran.stderr
    );
    assert!(folder.ok("--help").starts_with("The control plane"));
}

/// What other programs say about their failures is theirs.
#[test]
fn builds_that_answer() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    for (script, name) in [
        (format!("printf '%s' '{HOSTILE}' >&2; exit 7"), "fails"),
        (format!("printf '%s' '{HOSTILE}'"), "babbles"),
    ] {
        folder.write(name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o755)).expect("a mode");
        let ran = told(&folder, &format!("bisect j.tfj --engine ./{name} --engine ./{name}"));
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
}
