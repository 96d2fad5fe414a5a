//! What the program says to input that it cannot use: the place, the fault, and the way out.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tensorforge_engine::config::Limits;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros};
use tensorforge_engine::{Command as EngineCommand, config};
use tensorforge_journal::{Journal, Ledger, LedgerOptions};
use xxhash_rust::xxh3::xxh3_128;

use crate::support::*;

/// What is printed for these words, and the exit code.
fn check(folder: &Folder, words: &str, code: i32, stderr: &str) {
    let ran = folder.run(words);
    assert_eq!(ran.stderr, stderr, "tensorforge {words}");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "tensorforge {words}");
}

/// The same for one argument that has spaces in it.
fn check_argument(folder: &Folder, words: &str, argument: &str, stderr: &str) {
    let ran = Ran::of(folder.command(words).arg(argument).stderr(Stdio::piped()));
    assert_eq!(ran.stderr, stderr, "{words} {argument}");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words} {argument}");
}

fn fixture(path: &str) -> String {
    fs::read_to_string(workspace().join("fixtures").join(path)).expect("a fixture")
}

#[test]
fn captures_of_bad_input_say_where_it_is_bad() {
    const AZURE: &str =
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,48,1\n";
    const OWN: &str = "{\"tensorforge_trace\":1,\"name\":\"n\",\"block_tokens\":512}\n";
    let row = |fields: &str| format!("{OWN}{{\"at\":5,\"tenant\":\"a\",{fields}}}\n");
    let fleet = fixture("fleets/four-vessels.toml");
    let models = "models = [\"coral-70b\"]";
    let folder = Folder::new();
    for (flag, file, text, said) in [
        (
            "trace",
            "hello.txt",
            "hello\n".to_owned(),
            ":1:1: expected the first line of an Azure, Mooncake or TensorForge trace, found `hello`",
        ),
        ("trace", "empty", String::new(), ": expected at least one row, found none"),
        (
            "trace",
            "cut.csv",
            format!("{AZURE}2023-11-16 18:17:04.03,31"),
            ":3:26: GeneratedTokens: expected a whole number from 0 to 1000000000, found nothing",
        ),
        (
            "trace",
            "back.csv",
            format!("{AZURE}2023-11-16 18:17:03.97,1,1\n"),
            ":3:1: TIMESTAMP: expected no time before `2023-11-16 18:17:03.9799600` of line 2, found `2023-11-16 18:17:03.97`",
        ),
        (
            "trace",
            "cut.jsonl",
            format!("{OWN}{{\"at\":5,\"tenant\":\"a\",\"tokens_in\":3"),
            ":2:34: row: expected a JSON object, found the end of the line",
        ),
        (
            "trace",
            "key.jsonl",
            row("\"tokens_in\":3,\"tokens_out\":1,\"speed\":9"),
            ":2:59: speed: expected only at, tenant, model, class, kind, origin, tokens_in, tokens_out, tokens_out_max, deadline, limit, idempotency, blocks and window, found another key",
        ),
        (
            "trace",
            "zero.jsonl",
            row("\"tokens_in\":0,\"tokens_out\":1"),
            ":2:34: tokens_in: expected a whole number from 1 to 1000000000, found `0`",
        ),
        (
            "fleet",
            "slots.toml",
            fleet.replacen("preset =", "slots = 0\npreset =", 1),
            ": vessel[0].slots is 0",
        ),
        (
            "fleet",
            "model.toml",
            fleet.replacen(models, "models = [\"kraken\"]", 1),
            ": vessel[0].models has \"kraken\", not one of \"coral-70b\"",
        ),
        (
            "fleet",
            "twice.toml",
            fleet.replace("name = \"barge\"", "name = \"deck\""),
            ": vessel[1].name is \"deck-0\", which vessel[0] has; vessel[1].name is \"deck-1\", which vessel[0] has",
        ),
        ("policy", "none.toml", "candidates = 0\n".to_owned(), ": candidates is 0"),
        (
            "policy",
            "levels.toml",
            "[escalation]\nelevated_ppm = 900_000\n".to_owned(),
            ": escalation.elevated_ppm is not below escalation.restricted_ppm",
        ),
        (
            "policy",
            "retry.toml",
            "[retry]\nattempts = 0\nbackoff_ms = 9_000\n".to_owned(),
            ": retry.attempts is 0; retry.backoff_ms is above retry.backoff_max_ms",
        ),
        (
            "policy",
            "cut.toml",
            "[retry]\nattempts".to_owned(),
            ":2:9: key with no value, expected `=`",
        ),
        (
            "policy",
            "key.toml",
            "speed = 1\n".to_owned(),
            ":1:1: unknown field `speed`, expected one of `route_by`, `candidates`, `home_percent`, `prefix_age_ms`, `key_age_ms`, `berth_grace_ms`, `stop_ms`, `preempt`, `overcommit_percent`, `price_time`, `gather`, `weights`, `shares`, `patience_ms`, `lifetime_ms`, `timeout`, `retry`, `breaker`, `hedge_percent`, `overload`, `charge`, `forecast`, `escalation`, `sla`, `incidents`",
        ),
    ] {
        folder.write(file, text);
        let words = format!("capture --{flag} {file} --out x.tfj");
        check(&folder, &words, 2, &format!("error: {file}{said}\n"));
        check(
            &folder,
            &format!("capture --{flag} nosuch --out x.tfj"),
            2,
            "error: nosuch: No such file or directory (os error 2)\n",
        );
    }
    folder.write("model.jsonl", row("\"tokens_in\":3,\"tokens_out\":1,\"model\":\"kraken\""));
    check(
        &folder,
        "capture --trace model.jsonl --out x.tfj",
        2,
        "error: trace \"n\", row 1: model is \"kraken\", but fleet \"four-vessels\" has only \"coral-70b\"\n",
    );
    assert!(!folder.path("x.tfj").exists(), "something was made of bad input");
}

#[test]
fn what_the_exchange_refuses_is_named_before_a_journal_is_made() {
    let folder = Folder::new();
    let fleet = fixture("fleets/four-vessels.toml");
    let long = "x".repeat(129);
    let vessel = |from: &str, to: &str| fleet.replacen(from, to, 1);
    let names: Vec<String> = (0..65).map(|number| format!("m{number}")).collect();
    let listed =
        names.iter().map(|name| format!("[[model]]\nname = {name:?}\n")).collect::<String>();
    let models =
        |entry: &str| entry.replacen("models = [\"coral-70b\"]", &format!("models = {names:?}"), 1);
    const NAME: &str = "invalid: name is empty, longer than 128 bytes or not printable";
    for (name, text, said) in [
        (
            "vessel",
            vessel("name = \"barge\"", &format!("name = \"{long}\"")),
            format!("vessel \"{long}-0\": {NAME}"),
        ),
        (
            "control",
            vessel("name = \"barge\"", r#"name = "b\u0007""#),
            format!(r#"vessel "b\u{{7}}-0": {NAME}"#),
        ),
        (
            "model",
            format!("{fleet}[[model]]\nname = \"{long}\"\n"),
            format!("model \"{long}\": {NAME}"),
        ),
        (
            "region",
            format!("{fleet}[[region]]\nname = \"{long}\"\n"),
            format!("region \"{long}\": {NAME}"),
        ),
        (
            "rate",
            format!("{fleet}[[tenant]]\nname = \"kelp\"\nrate = 1_000_000_000_001\n"),
            "tenant \"kelp\": invalid: rate is above 10^12".into(),
        ),
        (
            "burst",
            format!("{fleet}[[tenant]]\nname = \"atoll\"\nrate = 1\nburst = 0\n"),
            "tenant \"atoll\": invalid: burst is 0".into(),
        ),
        (
            "models",
            format!("{}{listed}", models(&fleet)),
            "vessel \"deck-0\": invalid: models has more than 64 models".to_owned(),
        ),
        (
            "slots",
            vessel("\npreset = \"barge\"", "\nslots = 65_537\npreset = \"barge\""),
            "vessel \"barge-0\": invalid: slots is above 65536".to_owned(),
        ),
        (
            "price",
            vessel("price_out = 2_400_000", "price_out = 1_000_000_000_000_000_000"),
            "vessel \"deck-0\": invalid: a price is above 1000000000 micro-dollars a million tokens"
                .to_owned(),
        ),
        (
            "tenants",
            format!("{fleet}[limits]\ntenants = 2\n"),
            "tenant \"reef\": full bound=Tenants max=2".to_owned(),
        ),
    ] {
        folder.write("fleet.toml", text);
        let said = format!("error: fleet \"four-vessels\": the exchange refuses {said}\n");
        check(&folder, "capture --fleet fleet.toml --out x.tfj", 2, &said);
        assert!(!folder.path("x.tfj").exists(), "{name}: a directory is left");
    }
}

#[test]
fn a_torn_tail_is_told_otherwise_while_somebody_writes() {
    let folder = Folder::new();
    let dir = folder.path("j.tfj");
    let mut ledger =
        Ledger::create(&dir, JournalId([7; 16]), LedgerOptions::default()).expect("a journal");
    let configure = EngineCommand::Config(config::Command::Configure(Limits::default()));
    ledger.record(Micros::ZERO, Source::OPERATOR, &configure).expect("a record");
    ledger.flush().expect("a disk");
    let journal = Journal::open(&dir).expect("a journal");
    let end = journal.frames().last().map(|frame| frame.offset + frame.length).expect("a frame");
    let segment = fs::OpenOptions::new().write(true).open(dir.join("segments/0000000000.seg"));
    segment.expect("a segment").write_all_at(b"half a frame", end).expect("room");
    let note = |said: &str| {
        let ran = folder.run("verify j.tfj");
        assert_eq!((ran.code, ran.stderr), (Some(0), format!("note: {said}\n")));
    };
    note(&format!(
        "the journal is being written: its last frame, 12 bytes at byte {end} of segment 0 so far, is left out"
    ));
    drop(ledger);
    note(&format!(
        "the last frame was being written when the writer ended: 12 bytes at byte {end} of segment 0 are left out; nobody was told that they are durable"
    ));
}

#[test]
fn flags_that_cannot_be_meant_are_refused() {
    const MORE: &str = "\n\nFor more information, try '--help'.\n";
    let folder = Folder::new();
    for (words, said) in [
        (
            "capture --out x --frame-records 0",
            "invalid value '0' for '--frame-records <N>': 0 is not in 1..=1000000",
        ),
        (
            "capture --out x --snapshot-every 100",
            "invalid value '100' for '--snapshot-every <N>': expected a multiple of 1024",
        ),
        (
            "capture --out x --journal-id xyz",
            "invalid value 'xyz' for '--journal-id <HEX>': expected 1 to 32 hexadecimal digits",
        ),
        ("verify x --threads 0", "invalid value '0' for '--threads <N>': 0 is not in 1..=65535"),
        (
            "explain x --order 17@b",
            "invalid value '17@b' for '--order <ID>': expected a number such as 17, or 17@4 as `log` shows it",
        ),
        (
            "explain x --order abc",
            "invalid value 'abc' for '--order <ID>': expected a number such as 17, or 17@4 as `log` shows it",
        ),
    ] {
        check(&folder, words, 2, &format!("error: {said}{MORE}"));
    }
    for (words, said) in [
        ("man --json --out x", "--json does not apply to `man`, which writes manual pages"),
        (
            "completions --json bash",
            "--json does not apply to `completions`, which prints a script",
        ),
        (
            "generate --json fixtures/traces/surge.gen.toml",
            "--json needs --out: standard output is the trace itself",
        ),
    ] {
        check(&folder, words, 2, &format!("error: {said}\n"));
    }
    for words in ["", "capture", "verify", "nosuchverb", "bisect a b --when c", "explain x"] {
        assert_eq!(folder.run(words).code, Some(2), "{words}");
    }
    assert!(!folder.path("x").exists());
}

#[test]
fn places_where_no_journal_is_or_can_be() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    fs::create_dir(folder.path("photos")).expect("room");
    folder.write("photos/cat.png", "meow");
    folder.write("file", "text");
    let readers = [
        "replay {}",
        "verify {}",
        "bisect {}",
        "state {}",
        "log {}",
        "explain {} --order 1",
        "jobs {}",
        "diff {} j.tfj",
        "diff j.tfj {}",
        "bisect j.tfj {}",
        "snapshot take {}",
        "snapshot list {}",
        "snapshot check {}",
        "salvage {} --out s.tfj",
        "capture --resume --out {}",
    ];
    for reader in readers {
        for (place, said) in [
            (
                "nosuch",
                "nosuch is not a journal: there is no such directory\nhelp: `tensorforge capture --out DIR` makes one",
            ),
            (
                "photos",
                "photos is not a journal: it has no segments\nhelp: a journal is the directory that holds `segments`",
            ),
            ("file", "cannot list file/segments: Not a directory (os error 20)"),
        ] {
            check(&folder, &reader.replace("{}", place), 2, &format!("error: {said}\n"));
        }
    }
    for (out, said) in [
        (
            "j.tfj",
            "error: j.tfj is a journal already\nhelp: give another directory, or go on with `tensorforge capture --resume --out j.tfj`\n",
        ),
        (
            "photos",
            "error: photos is not empty: it holds cat.png\nhelp: give a directory that is not there yet, or is empty\n",
        ),
        ("file", "error: cannot create file/segments: Not a directory (os error 20)\n"),
    ] {
        check(&folder, &format!("capture --out {out}"), 2, said);
    }
    // Only a capture can go on.
    const OTHER: &str = "help: give another directory\n";
    let said = format!("error: j.tfj is a journal already\n{OTHER}");
    check(&folder, "salvage j.tfj --out j.tfj", 2, &said);
    folder.ok("tour --keep toured");
    let ran = folder.run("tour --keep toured");
    let said = format!("error: toured/morning.tfj is a journal already\n{OTHER}");
    assert_eq!((ran.code, ran.stderr), (Some(2), said));
    assert_eq!(files(&folder.path("photos")).len(), 1, "something was left among the photos");
    // A text where the first segment should be.
    fs::create_dir_all(folder.path("text.tfj/segments")).expect("room");
    folder.write("text.tfj/segments/0000000000.seg", "x".repeat(8_192));
    let said = "error: text.tfj is not a journal: its first segment is something else\n\
        help: give the directory that a capture was told to write\n";
    check(&folder, "verify text.tfj", 2, said);
}

#[test]
fn numbers_and_names_that_the_journal_does_not_have() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj --snapshot-every 1024");
    let end = folder.log("j.tfj").len();
    let orders = {
        let control = folder.json("state j.tfj control.0.orders");
        control.as_u64().expect("a count")
    };
    let beyond = end + 1;
    let snapshots: Vec<String> =
        (1..=end / 1_024).map(|block| (block * 1_024).to_string()).collect();
    let snapshots = snapshots.join(", ");
    let none = |what: &str| {
        format!(
            "error: there are no {what} records: the journal holds {end}\nhelp: give a number from 0 to {end}\n"
        )
    };
    let from = |what: &str| {
        format!(
            "error: --from {what}: expected `genesis` or the records of a snapshot\nhelp: snapshots of this journal: {snapshots}\n"
        )
    };
    let order = |what: &str| {
        format!(
            "error: there is no {what} in j.tfj\nhelp: orders are numbered from 1 to {orders}\n"
        )
    };
    const MOMENT: &str = "help: a moment is a whole or decimal number of us, ms, s, m or h: 90s, 1.5s, 2m; a microsecond is the least\n";
    const SLOTS: &str =
        "help: a slot goes from one order to the next; the number alone is enough\n";
    const EXTERNAL: &str = "error: there is no external number 999999 in j.tfj\nhelp: external numbers of this journal lie from 1 to 1246\n";
    const ENGINE: &str = "help: --engine takes the path of another build of tensorforge\n";
    const TABLES: &str = "help: a path is a table, a key and fields, such as vessels.0.manifest.slots; the tables are control, limits, stance, policies, waiting, tenants, accounts, regions, models, vessels, loads, orders, berths, keys, prefixes, lines, turns, flow, calls, spending, reserves, lengths, stops, hedges, sla, jobs, incidents\n";
    let nothing =
        |path: &str| format!("error: there is nothing at `{path}` after {end} records\n{TABLES}");
    for (words, said) in [
        (format!("replay j.tfj --to {beyond}"), none(&beyond.to_string())),
        (format!("state j.tfj --at {beyond}"), none(&beyond.to_string())),
        (format!("log j.tfj --to {beyond}"), none(&beyond.to_string())),
        (format!("snapshot take j.tfj --at {beyond}"), none(&beyond.to_string())),
        ("replay j.tfj --to 5x".into(), format!("error: --to 5x: expected a number of records, or a moment\n{MOMENT}")),
        ("state j.tfj --at 5x".into(), format!("error: --at 5x: expected a number of records, or a moment\n{MOMENT}")),
        ("log j.tfj --from 5x".into(), format!("error: --from 5x: expected a number of records, or a moment\n{MOMENT}")),
        ("log j.tfj --to 5x".into(), format!("error: --to 5x: expected a number of records, or a moment\n{MOMENT}")),
        ("replay j.tfj --to 1.5us".into(), format!("error: --to 1.5us: expected a number of records, or a moment\n{MOMENT}")),
        ("replay j.tfj --from 512".into(), from("512")),
        ("replay j.tfj --from yesterday".into(), from("yesterday")),
        ("replay j.tfj --from 2048 --to 2000".into(), "error: --from 2048 is beyond --to 2000\n".into()),
        ("log j.tfj --from 5 --to 4".into(), "error: --from 5 is beyond 4, where it stops\n".into()),
        ("snapshot take j.tfj --at 1023".into(), "error: no block ends at or before record 1023\nhelp: snapshots stand at the ends of blocks, every 1024 records\n".into()),
        ("explain j.tfj --order 999999".into(), order("order 999999")),
        ("explain j.tfj --order 0".into(), order("order 0")),
        ("explain j.tfj --external 999999".into(), EXTERNAL.into()),
        ("explain j.tfj --order 17@1".into(), format!("error: order 17 is 17@6, not 17@1\n{SLOTS}")),
        ("explain j.tfj --order 17@-".into(), format!("error: order 17 is 17@6, not 17@-\n{SLOTS}")),
        ("state j.tfj nosuch".into(), nothing("nosuch")),
        ("state j.tfj vessels.99".into(), nothing("vessels.99")),
        ("state j.tfj vessels.0.nosuch".into(), nothing("vessels.0.nosuch")),
        ("bisect j.tfj --engine a".into(), "error: --engine is given twice, once for each build to compare\n".into()),
        ("bisect j.tfj --engine nosuch --engine nosuch".into(), "error: nosuch: No such file or directory (os error 2)\nhelp: --engine takes the path of another build of tensorforge\n".into()),
        ("bisect j.tfj --engine /bin/true --engine /bin/true".into(), format!("error: /bin/true replay --to {end} --decide: it printed nothing\n{ENGINE}")),
        ("bisect j.tfj --engine /bin/echo --engine /bin/echo".into(), "error: /bin/echo did not answer in JSON: expected value at line 1 column 1\nhelp: --engine takes the path of another build of tensorforge\n".into()),
    ] {
        check(&folder, &words, 2, &said);
    }
}

#[test]
fn predicates_and_judges_that_cannot_answer() {
    const WHEN: &str = "help: an expression of the Common Expression Language over the state, such as `waiting.queued > 10` or `vessels.exists(v, vessels[v].status == 'lost')`; `tensorforge state` shows what there is\n";
    const RUN: &str = "help: exit with 0 for good, 1-127 for bad, 125 to skip\n";
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let end = folder.log("j.tfj").len();
    for (expression, said) in [
        (
            "3",
            "it speaks of no table; there are control, limits, stance, policies, waiting, tenants, accounts, regions, models, vessels, loads, orders, berths, keys, prefixes, lines, turns, flow, calls, spending, reserves, lengths, stops, hedges, sla, jobs, incidents",
        ),
        ("waiting.queued", "expected true or false, found Int(0)"),
        ("waiting.nosuch > 3", "nothing called `nosuch` was ever there"),
        ("waiting.queued > 'a'", "found no matching overload for '_>_' applied to '(int, string)'"),
    ] {
        let said = format!("error: --when {expression}: {said}\n{WHEN}");
        check_argument(&folder, "bisect j.tfj --when", expression, &said);
    }
    // Literals need no suffix; a hash that fits no signed number is unsigned.
    for expression in [
        r#"loads["0"].used * 2 > 12"#,
        r#"loads["0"].used - 7 >= 0"#,
        r#"6 < loads["0"].used && loads["0"].used + 0 != 6 && loads["0"].used > 6.5"#,
    ] {
        let ran = Ran::of(folder.command("bisect j.tfj --json --when").arg(expression));
        let plain =
            Ran::of(folder.command("bisect j.tfj --json --when").arg(r#"loads["0"].used > 6"#));
        let (found, plain) = (document(&ran.stdout), document(&plain.stdout));
        assert_eq!(
            (ran.code, &found["seq"]),
            (Some(1), &plain["seq"]),
            "{expression}: {}",
            ran.stderr
        );
    }
    // A vessel that nobody waits for is never looked at; never is beyond what is signed.
    let fleet =
        fs::read_to_string(folder.path("fixtures/fleets/four-vessels.toml")).expect("a fleet");
    folder.write("quiet.toml", fleet.replace("count = 2\n", "count = 2\nheartbeat_ms = 0\n"));
    folder.ok("capture --fleet quiet.toml --out quiet.tfj");
    let never = "loads.exists(v, loads[v].wake > 9223372036854775807u)";
    let ran = Ran::of(folder.command("bisect quiet.tfj --when").arg(never));
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    // What never turns is told with how much was seen.
    for (flag, judge, said) in [
        ("when", "limits.tenants < 0", "`limits.tenants < 0` never true in"),
        ("run", "exit 0", "`exit 0` never bad in"),
    ] {
        let ran = Ran::of(folder.command(&format!("bisect j.tfj --{flag}")).arg(judge));
        let (thousands, rest) = (end / 1_000, end % 1_000);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(
            ran.stdout.split(" (").next(),
            Some(format!("{said} {thousands} {rest:03} records").as_str())
        );
    }
    let ran = Ran::of(folder.command("bisect j.tfj --run").arg("exit 0"));
    assert!(ran.stdout.ends_with(" (1 probe)\n"), "{}", ran.stdout);
    let broken = Ran::of(folder.command("bisect j.tfj --when").arg("waiting.queued >"));
    assert_eq!(broken.code, Some(2));
    let place = "error: --when waiting.queued >: 1:17: Syntax error";
    assert!(broken.stderr.starts_with(place) && broken.stderr.ends_with(WHEN), "{}", broken.stderr);
    for (command, said) in [
        ("exit 128", "exit code 128"),
        ("exit 200", "exit code 200"),
        ("kill -9 $$", "it was killed by a signal"),
        ("exit 125", "it skips the last state, so that nothing is known to be bad"),
        ("exit 126", "exit code 126, and so before the first record"),
        ("exec 2> /dev/null; nosuchprogram", "exit code 127, and so before the first record"),
    ] {
        let said = format!("error: --run gave no answer after {end} records: {said}\n{RUN}");
        check_argument(&folder, "bisect j.tfj --run", command, &said);
    }
    // Answers that are as good as any other: 127 from somewhere on, 125 on the way there.
    for (command, turning) in [
        ("test $TENSORFORGE_RECORDS -lt 700 || exit 127", 699),
        ("test $TENSORFORGE_RECORDS -lt 700 || exit 1", 699),
        ("test $TENSORFORGE_RECORDS -gt 2 && exit 3; exit 0", 2),
    ] {
        let ran = Ran::of(folder.command("bisect j.tfj --json --run").arg(command));
        assert_eq!(ran.code, Some(1), "{command}: {}", ran.stderr);
        assert_eq!(number(&document(&ran.stdout), "seq"), turning, "{command}");
    }
    let skipping = "test $TENSORFORGE_RECORDS -lt 700 && exit 0; test $TENSORFORGE_RECORDS -ge 705 || exit 125; exit 1";
    let ran = Ran::of(folder.command("bisect j.tfj --json --run").arg(skipping));
    let found = document(&ran.stdout);
    assert_eq!((number(&found, "seq"), number(&found, "skipped")), (704, 5), "{found}");
    let root = folder.json("replay j.tfj --to 705")["root"].clone();
    assert_eq!(found["root"], root, "the root of the state that was judged");
}

#[test]
fn damage_is_named_by_its_place_and_salvaged_as_the_help_says() {
    let folder = Folder::new();
    folder.ok("capture --out whole.tfj --frame-records 100");
    let whole = Journal::open(folder.path("whole.tfj")).expect("a journal");
    let log = folder.ok("log whole.tfj --json");
    let frame = |number: usize| &whole.frames()[number];
    let at = |place: u64| usize::try_from(place).expect("a place");
    let start = |number: usize| at(frame(number).offset);
    let end = |number: usize| at(frame(number).offset + frame(number).length);
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(&str, Change, usize, &str); 6] = [
        ("a bit of a record", &|bytes| bytes[end(5) - 40] ^= 1, 5, "body hash differs"),
        (
            "a header",
            &|bytes| bytes[start(3)..start(3) + 64].fill(0),
            3,
            "frame header is not valid",
        ),
        (
            "a frame left out",
            &|bytes| drop(bytes.drain(start(7)..end(7))),
            7,
            "frame header is not valid",
        ),
        (
            "a frame doubled",
            &|bytes| {
                let frame = bytes[start(2)..end(2)].to_vec();
                bytes.splice(end(2)..end(2), frame);
            },
            3,
            "frame header is not valid",
        ),
        ("a trailer", &|bytes| bytes[end(4) - 8] ^= 255, 4, "frame trailer differs"),
        ("the end cut off", &|bytes| bytes.truncate(end(20) - 9), 20, "frame is cut short"),
    ];
    let program = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", program.parent().expect("a folder").display());
    for (case, change, number, kind) in cases {
        fs::create_dir_all(folder.path("hurt.tfj/segments")).expect("room");
        let segment = "segments/0000000000.seg";
        let mut bytes = fs::read(folder.path("whole.tfj").join(segment)).expect("a segment");
        change(&mut bytes);
        folder.write(&format!("hurt.tfj/{segment}"), bytes);
        let (first, kept) = (frame(number).offset, frame(number).first_seq);
        let ran = folder.run("verify hurt.tfj");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{case}: {}", ran.stderr);
        let (error, help) = ran.stderr.split_once('\n').expect("an error and help");
        let place = format!("error: segment 0 is damaged at byte {first}: {kind} (frame {number}");
        assert!(error.starts_with(&place), "{case}: {error}");
        let command = "tensorforge salvage hurt.tfj --out saved.tfj";
        assert_eq!(
            help,
            format!("help: `{command}` keeps the {kept} records before it\n"),
            "{case}"
        );

        let mut salvage = Command::new("sh");
        let salvaged =
            Ran::of(salvage.args(["-c", command]).current_dir(folder.path("")).env("PATH", &path));
        assert_eq!(salvaged.code, Some(0), "{case}: {}", salvaged.stderr);
        if let Some(lost) = salvaged.stdout.lines().find_map(|line| line.strip_prefix("lost: ")) {
            assert!(lost.ends_with(" records, from the damaged one on"), "{case}: {lost}");
        }
        let verified = folder.json("verify saved.tfj");
        assert_eq!(self::number(&verified, "records"), kept, "{case}");
        assert_eq!(verified["closed"], false, "{case}: a part passes for the whole");
        assert!(log.starts_with(&folder.ok("log saved.tfj --json")), "{case}: other records");
        let go_on = "capture --resume --out saved.tfj";
        let said = format!(
            "\ngo on: tensorforge {go_on}, with the arguments of the capture, makes the rest again\n"
        );
        assert!(salvaged.stdout.ends_with(&said), "{case}: {}", salvaged.stdout);
        folder.ok(&format!("{go_on} --frame-records 100"));
        assert!(log == folder.ok("log saved.tfj --json"), "{case}: the rest is another one");
        for name in ["hurt.tfj", "saved.tfj"] {
            fs::remove_dir_all(folder.path(name)).expect("a folder");
        }
    }
}

#[test]
fn a_salvaged_part_is_not_closed_and_says_so() {
    const OPEN: &str = "\nclosed: no: killed, still being written, or salvaged in part\n";
    let folder = Folder::new();
    folder.ok("capture --out whole.tfj --frame-records 100");
    assert!(folder.ok("verify whole.tfj").contains("\nclosed: yes\n"));
    folder.ok("salvage whole.tfj --out copy.tfj");
    assert!(folder.ok("verify copy.tfj").contains("\nclosed: yes\n"));
    assert_eq!(folder.run("diff whole.tfj copy.tfj").stderr, "");
    let segment = folder.path("whole.tfj/segments/0000000000.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    let (end, last) = {
        let whole = Journal::open(folder.path("whole.tfj")).expect("a journal");
        // The last two frames are close marks.
        let last = whole.frames()[whole.frames().len() - 3].clone();
        (last.offset + last.length, last.first_seq)
    };
    bytes[usize::try_from(end).expect("a place") - 20] ^= 1;
    fs::write(&segment, bytes).expect("room");
    let told = folder.ok("salvage whole.tfj --out part.tfj");
    assert!(
        told.starts_with(&format!("salvaged {} {:03} records", last / 1_000, last % 1_000)),
        "{told}"
    );
    assert!(folder.ok("verify part.tfj").contains(OPEN));
    let ran = folder.run("diff copy.tfj part.tfj");
    let note = "note: part.tfj was not closed";
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    assert!(ran.stderr.starts_with(note), "{}", ran.stderr);
}

#[test]
fn a_salvage_that_was_interrupted_leaves_nothing_under_its_name() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    // What a run that was killed leaves is as little ours to remove as anything else that stands there.
    folder.ok("salvage j.tfj --out s.tfj");
    fs::rename(folder.path("s.tfj"), folder.path("s.tfj.part")).expect("a name");
    let said = "error: s.tfj.part is in the way: the copy grows there\n\
        help: remove it if a salvage that was interrupted has left it, or give another --out\n";
    for source in ["j.tfj", "s.tfj.part", "nosuch"] {
        check(&folder, &format!("salvage {source} --out s.tfj"), 2, said);
        assert_eq!(folder.ok("log s.tfj.part --json"), folder.ok("log j.tfj --json"));
    }
    fs::remove_dir_all(folder.path("s.tfj.part")).expect("a folder");
    folder.ok("salvage j.tfj --out s.tfj/");
    assert_eq!(folder.ok("log s.tfj --json"), folder.ok("log j.tfj --json"));
    // Nor does one that fails leave anything.
    assert_eq!(folder.run("salvage fixtures --out u.tfj").code, Some(2));
    assert!(!folder.path("u.tfj").exists() && !folder.path("u.tfj.part").exists());
    // An empty folder is as good as none, also by another name.
    fs::create_dir(folder.path("v.tfj")).expect("room");
    std::os::unix::fs::symlink("v.tfj", folder.path("w")).expect("a link");
    folder.ok("salvage j.tfj --out w");
    assert!(folder.path("v.tfj/segments").exists() && folder.path("w/segments").exists());
}

#[test]
fn journals_of_another_version_or_schema_are_left_to_who_wrote_them() {
    const HELP: &str = "help: open it with the build that wrote it, or a later one\n";
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let segment = folder.path("j.tfj/segments/0000000000.seg");
    let whole = fs::read(&segment).expect("a segment");
    let sealed = |place: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        let checksum = xxh3_128(&bytes[..4_080]).to_le_bytes();
        bytes[4_080..4_096].copy_from_slice(&checksum);
        fs::write(&segment, bytes).expect("room");
    };
    // The format's version is at byte 8, the schema's fingerprint at byte 152.
    sealed(8, 2);
    let said = "error: segment 0 of j.tfj has format version 2, this build reads 1\n";
    for words in ["verify j.tfj", "log j.tfj", "capture --resume --out j.tfj"] {
        check(&folder, words, 2, &format!("{said}{HELP}"));
    }
    sealed(152, !whole[152]);
    let ran = folder.run("replay j.tfj");
    let said = "whose schema is another one\n";
    assert!(ran.stderr.starts_with("error: j.tfj was written by build 0.1.0+"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with(&format!("{said}{HELP}")), "{}", ran.stderr);
    assert_eq!(ran.code, Some(2));
    // A page that was not sealed again is damaged, not newer.
    let mut bytes = whole.clone();
    bytes[8] = 2;
    fs::write(&segment, bytes).expect("room");
    let said = "error: segment 0 is damaged at byte 0: the header page's checksum differs\n\
        help: `tensorforge salvage j.tfj --out saved.tfj` keeps those behind it that verify\n";
    check(&folder, "verify j.tfj", 3, said);
}

/// The way out that an error names is there, and leads as far as it says.
#[test]
fn a_header_page_that_is_gone_is_damage_and_costs_what_it_says() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let log = folder.ok("log j.tfj --json");
    let segment = folder.path("j.tfj/segments/0000000000.seg");
    let whole = fs::read(&segment).expect("a segment");
    let hurt = |range: std::ops::Range<usize>| {
        let mut bytes = whole.clone();
        bytes[range].fill(0);
        fs::write(&segment, bytes).expect("room");
    };
    let said = "error: segment 0 is damaged at byte 0: the header page's checksum differs\nhelp: ";
    // Behind the name, the number and the types, nothing is told by the page alone.
    hurt(184..4_096);
    let way_out = "`tensorforge salvage j.tfj --out saved.tfj` keeps those behind it that verify\n";
    for words in ["verify j.tfj", "log j.tfj", "capture --resume --out j.tfj"] {
        check(&folder, words, 3, &format!("{said}{way_out}"));
    }
    let told = folder.ok("salvage j.tfj --out saved.tfj");
    let lines: Vec<&str> = told.lines().collect();
    let passed = "passed over: segment 0 is damaged at byte 0: the header page's checksum differs; \
        the rest tells what it said";
    assert!(lines[0].starts_with("salvaged 3 090 records") && lines[1..] == [passed], "{told}");
    assert_eq!(folder.ok("log saved.tfj --json"), log);
    assert!(folder.ok("verify saved.tfj").contains("\nclosed: yes\n"));
    // The name went with the first sector, and there is no other segment to ask.
    hurt(0..512);
    let no_way = "no record precedes it; restore j.tfj from a copy\n";
    for words in ["verify j.tfj", "salvage j.tfj --out other.tfj"] {
        check(&folder, words, 3, &format!("{said}{no_way}"));
    }
    assert!(!folder.path("other.tfj").exists());
    // Nothing of ours is left.
    hurt(0..whole.len());
    let said = "error: j.tfj is not a journal: its first segment is something else\n\
        help: give the directory that a capture was told to write\n";
    check(&folder, "verify j.tfj", 2, said);
}

#[test]
fn a_journal_has_one_writer_and_any_number_of_readers() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let root = folder.json("replay j.tfj")["root"].clone();
    let (writer, _) =
        Ledger::open(&folder.path("j.tfj"), LedgerOptions::default()).expect("a writer");
    let said = "error: j.tfj is open for writing elsewhere\n\
        help: stop the process that writes it, or open it for reading\n";
    check(&folder, "capture --resume --out j.tfj", 2, said);
    assert_eq!(folder.json("verify j.tfj")["root"], root);
    assert_eq!(folder.json("replay j.tfj")["root"], root);
    drop(writer);
    folder.ok("capture --resume --out j.tfj");
}

/// Runs a script in which `$D` is a disk of its own with so much room; `None` where nobody may mount.
fn on_a_disk(folder: &Folder, size: &str, script: &str) -> Option<Ran> {
    let script = format!("D=$1; T=$2; mount -t tmpfs -o size={size} tmpfs $D || exit 99\n{script}");
    fs::create_dir_all(folder.path("disk")).expect("room");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(folder.path("disk"));
    command.arg(env!("CARGO_BIN_EXE_tensorforge")).current_dir(folder.path(""));
    let Ok(out) = command.output() else {
        println!("skipped: no unshare");
        return None;
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let ran = Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) };
    if ran.code == Some(99) || ran.stderr.starts_with("unshare:") {
        println!("skipped: mounting is not permitted");
        return None;
    }
    Some(ran)
}

#[test]
fn a_full_disk_loses_nothing_that_was_durable() {
    const HELP: &str = "help: make room, then open the journal again: nothing durable was lost";
    let folder = Folder::new();
    folder.long_trace("long.jsonl");
    folder.ok("capture --trace long.jsonl --out whole.tfj");
    let full = |size: &str, after: &str| {
        on_a_disk(
            &folder,
            size,
            &format!("$T capture --trace long.jsonl --out $D/j.tfj; echo $?\n{after}"),
        )
    };
    // No room for the first segment.
    let Some(ran) = full("300k", "") else { return };
    assert_eq!(ran.stdout, "2\n");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines[0].ends_with("0000000000.tmp: No space left on device (os error 28)"),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [HELP]);
    // Room for some of it; then there is room again, and it goes on.
    let after = "$T verify $D/j.tfj --json; mount -o remount,size=20m $D
        $T capture --trace long.jsonl --resume --out $D/j.tfj --json; $T verify $D/j.tfj --json";
    let Some(ran) = full("1500k", after) else { return };
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines[0].ends_with("0000000000.seg: No space left on device (os error 28)"),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [HELP]);
    let answers = self::lines(&ran.stdout);
    let [code, part, _, whole] = answers.as_slice() else { panic!("{}", ran.stdout) };
    assert_eq!(*code, 2);
    assert_eq!((&part["verified"], &part["closed"]), (&true.into(), &false.into()));
    assert!(number(part, "records") > 0 && number(part, "records") < number(whole, "records"));
    let expected = folder.json("verify whole.tfj");
    assert_eq!((&whole["root"], &whole["tree_root"]), (&expected["root"], &expected["tree_root"]));
}

#[test]
fn a_disk_that_is_read_only_is_read() {
    let folder = Folder::new();
    let script = "$T capture --out $D/j.tfj > /dev/null; mount -o remount,ro $D
        $T verify $D/j.tfj --json; echo $?
        for words in \"capture --out $D/k.tfj\" \"capture --resume --out $D/j.tfj\" \\
            \"snapshot take $D/j.tfj\" \"salvage $D/j.tfj --out $D/s.tfj\" \"man --out $D/man\"; do
            $T $words; echo $?
        done";
    let Some(ran) = on_a_disk(&folder, "20m", script) else { return };
    let (verified, codes) = ran.stdout.split_once('\n').expect("answers");
    assert_eq!(document(verified)["verified"], true);
    assert_eq!(codes, "0\n2\n2\n2\n2\n2\n");
    let said = ran.stderr.replace(&folder.path("disk").display().to_string(), "D");
    const WHY: &str = "Read-only file system (os error 30)";
    const ELSEWHERE: &str =
        "help: give a place that can be written; to read a journal none is needed\n";
    let expected = [
        ("error: D/k.tfj/segments cannot be written", ELSEWHERE),
        ("error: D/j.tfj/LOCK cannot be written", ELSEWHERE),
        (
            "error: cannot write the snapshot of 3072 records into D/j.tfj/snapshots",
            "help: `tensorforge snapshot take D/j.tfj --at 3072` takes it when the folder can be written\n",
        ),
        ("error: D/s.tfj.part", ""),
        ("error: D/man", ""),
    ];
    assert_eq!(said, expected.map(|(line, help)| format!("{line}: {WHY}\n{help}")).concat());
}

/// A snapshot spares time and is nothing else: one that cannot be written costs no order.
#[test]
fn a_snapshot_that_cannot_be_written_is_told_and_the_journal_is_whole() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("j.tfj")).expect("room");
    folder.write("j.tfj/snapshots", "in the way");
    let ran = folder.run("capture --out j.tfj --snapshot-every 1024 --json");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let first = ran.stderr.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        "note: cannot write the snapshot of 1024 records into j.tfj/snapshots: File exists (os error 17); \
         `tensorforge snapshot take j.tfj --at 1024` takes it when the folder can be written"
    );
    let records = number(&document(&ran.stdout), "records");
    assert_eq!(ran.stderr.lines().count() as u64, records / 1_024);
    assert_eq!(number(&folder.json("verify j.tfj"), "records"), records);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    for words in
        ["log j.tfj", "log j.tfj --json", "state j.tfj", "generate fixtures/traces/surge.gen.toml"]
    {
        let mut command = folder.command(words);
        let mut running =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
        // The first bytes are read, and then nobody reads any more.
        let mut out = running.stdout.take().expect("its output");
        out.read_exact(&mut [0; 1]).expect("a byte");
        drop(out);
        let left = running.wait_with_output().expect("an end");
        assert_eq!(String::from_utf8_lossy(&left.stderr), "", "{words}");
        assert_eq!(left.status.code(), Some(0), "{words}");
    }
}
