//! What goes into a capture comes out of it: every row, every token, and every byte again.

use std::fs;

use tensorforge_journal::Journal;

use crate::support::*;

const ENDS: [&str; 5] = ["completed", "refused", "failed", "expired", "cancelled"];

/// Captures, and compares four countings: the rows of the file, the log, the summary and the accounts.
fn check(trace: &str, fleet: &str, policy: &str, rows: usize) -> Audit {
    let folder = Folder::new();
    let summary = folder.json(&format!(
        "capture --out j.tfj --trace {trace} --fleet fixtures/fleets/{fleet}.toml \
         --policy fixtures/policies/{policy}.toml --seed 3"
    ));
    let log = folder.log("j.tfj");
    let audit = Audit::of(&log);
    let case = format!("{trace} {fleet} {policy}");
    assert_eq!(audit.ends.len() as u64 + audit.deduplicated, rows as u64, "{case}");
    let events: u64 = log.iter().map(|record| events(record).count() as u64).sum();
    assert_eq!(
        (number(&summary, "records"), number(&summary, "events")),
        (log.len() as u64, events)
    );
    let mut ended = 0;
    for end in ENDS {
        assert_eq!(number(&summary["orders"], end), audit.ended(end), "{case}: {end}");
        ended += audit.ended(end);
    }
    assert_eq!(ended, audit.ends.len() as u64, "{case}: {:?}", audit.ends);
    assert_eq!(number(&summary, "retries"), audit.retries, "{case}");
    assert_eq!(number(&summary, "repeated"), audit.deduplicated, "{case}");
    let [tokens_in, cached, tokens_out, energy, cost, burnt] = audit.sums;
    let sums = [tokens_in, cached, tokens_out, energy, micro_dollars(cost), micro_dollars(burnt)];
    let names = [
        "tokens_in",
        "tokens_cached",
        "tokens_out",
        "energy_millijoules",
        "cost_micro_usd",
        "burnt_micro_usd",
    ];
    assert_eq!(names.map(|name| number(&summary, name)), sums, "{case}: summary and log");

    let accounts = folder.json("state j.tfj accounts");
    let accounts = accounts.as_object().expect("a table");
    let sum = |row: &serde_json::Value, name| match name {
        "cost" => number(row, name) * 1_000_000 + number(row, "cost_picos"),
        "burnt" => number(row, name) * 1_000_000 + number(row, "burnt_picos"),
        _ => number(row, name),
    };
    let sums = SUMS.map(|name| accounts.values().map(|row| sum(row, name)).sum::<u64>());
    assert_eq!(sums, audit.sums, "{case}: accounts and log");
    for (place, end) in ENDS.iter().enumerate() {
        let count = |row: &serde_json::Value| row["ended"][place].as_u64().expect("a count");
        assert_eq!(accounts.values().map(count).sum::<u64>(), audit.ended(end), "{case}: {end}");
    }
    assert!(accounts.values().all(|row| number(row, "live") == 0), "{case}: {accounts:?}");
    audit
}

#[test]
fn every_row_of_a_fixture_ends_once_and_sums_agree() {
    let mut seen = [0; 5];
    let mut deduplicated = 0;
    for (trace, fleet, policy) in [
        ("harbour-morning", "four-vessels", "balanced"),
        ("harbour-morning", "rough-seas", "swift"),
        ("surge", "rough-seas", "balanced"),
        ("surge", "two-regions", "thrifty"),
        ("long-tail", "prefill-decode", "cautious"),
    ] {
        let path = format!("fixtures/traces/{trace}.jsonl");
        let text = fs::read_to_string(workspace().join(&path)).expect("a fixture");
        let audit = check(&path, fleet, policy, text.lines().count() - 1);
        seen.iter_mut().zip(ENDS).for_each(|(seen, end)| *seen += audit.ended(end));
        deduplicated += audit.deduplicated;
    }
    // A judge that never sees a refusal proves nothing about refusals.
    assert!(
        seen[..2].iter().all(|count| *count > 0) && seen[3] > 0 && deduplicated > 0,
        "{seen:?}"
    );
}

#[test]
fn every_row_of_a_real_trace_ends_once_and_sums_agree() {
    for (file, rows, header) in [
        ("azure-llm-2023/AzureLLMInferenceTrace_code.csv", 8_819, 1),
        ("mooncake/synthetic_trace.jsonl", 3_993, 0),
    ] {
        let Some(path) = shared_data(file) else { return };
        let text = fs::read_to_string(&path).expect("a trace");
        assert_eq!(text.lines().count() - header, rows);
        for fleet in ["four-vessels", "rough-seas"] {
            check(&path.display().to_string(), fleet, "balanced", rows);
        }
    }
}

/// What is compared is what captures say, policy by policy.
#[test]
fn policies_are_compared_as_they_are_captured() {
    let folder = Folder::new();
    let policies = ["balanced", "least-load", "round-robin", "affinity"];
    let files: Vec<String> = policies.map(|p| format!("fixtures/policies/{p}.toml")).into();
    let compared = folder.json(&format!("compare {}", files.join(" ")));
    for (policy, file) in policies.iter().zip(&files) {
        let captured = folder.json(&format!("capture --policy {file} --out {policy}.tfj"));
        let column = compared["policies"][*policy].as_object().expect("a policy");
        for (name, value) in column {
            assert_eq!(captured[name], *value, "{policy}: {name}");
        }
        assert!(column.contains_key("first_token_us"), "{column:?}");
    }
    let told = folder.ok(&format!("compare {} {}", files[0], files[1]));
    assert!(
        told.lines().next().is_some_and(|line| line.ends_with("balanced   least-load")),
        "{told}"
    );
    let missing = Ran::of(&mut folder.command("compare nosuch.toml"));
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
}

/// On a real trace the default policy is ahead of one after the other and of the emptiest first, in the time to the
/// first token and in money, and serves as many.
#[test]
fn the_default_policy_is_ahead_on_a_real_trace() {
    let Some(trace) = shared_data("mooncake/synthetic_trace.jsonl") else { return };
    let folder = Folder::new();
    let compared = folder.json(&format!(
        "compare fixtures/policies/balanced.toml fixtures/policies/least-load.toml \
         fixtures/policies/round-robin.toml --trace {}",
        trace.display()
    ));
    let of = |policy: &str| {
        let column = &compared["policies"][policy];
        let first = number(&column["first_token_us"], "p99");
        (number(&column["orders"], "completed"), first, number(column, "cost_micro_usd"))
    };
    let (completed, first, cost) = of("balanced");
    for other in ["least-load", "round-robin"] {
        let (served, later, dearer) = of(other);
        assert_eq!(served, completed, "{other}");
        assert!(first < later && cost < dearer, "{other}: {first} {later}, {cost} {dearer}");
    }
}

#[test]
fn the_same_arguments_give_the_same_bytes_wherever_they_are_given() {
    let here = Folder::new();
    here.long_trace("long.jsonl");
    const REST: &str = "--seed 9 --snapshot-every 1024 --out j.tfj";
    here.ok(&format!("capture --trace long.jsonl --fleet fixtures/fleets/rough-seas.toml {REST}"));
    let expected = files(&here.path("j.tfj"));
    assert!(expected.keys().any(|name| name.starts_with("snapshots")), "{:?}", expected.keys());

    let there = Folder::new();
    std::os::unix::fs::symlink(here.path(""), there.path("elsewhere")).expect("a link");
    let fleet = workspace().join("fixtures/traces/../fleets/rough-seas.toml");
    let mut command = there.command(&format!(
        "capture --trace elsewhere/long.jsonl --fleet {} {REST}",
        fleet.display()
    ));
    command.envs([("LC_ALL", "tr_TR.UTF-8"), ("LANG", "de_DE"), ("TZ", "Pacific/Apia")]);
    command.envs([("HOME", "/nonexistent"), ("TERM", "dumb"), ("RUST_BACKTRACE", "1")]);
    assert_eq!(Ran::of(&mut command).code, Some(0));
    let found = files(&there.path("j.tfj"));
    assert!(expected.keys().eq(found.keys()), "{:?} {:?}", expected.keys(), found.keys());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{} differs", name.display());
    }
}

/// What a file says counts, and not how it is laid out: remarks, ends of lines and names change no draw.
#[test]
fn how_files_look_changes_nothing() {
    let folder = Folder::new();
    let read = |name: &str| fs::read_to_string(workspace().join("fixtures").join(name));
    let fleet = read("fleets/four-vessels.toml").expect("a fleet").replace('\n', "\r\n");
    folder.write("other.toml", format!("# A remark.\r\n{fleet}"));
    let trace = read("traces/harbour-morning.jsonl").expect("a trace").replace('\n', "\r\n");
    folder.write("other.jsonl", trace);
    let plain = folder.json("capture --out a.tfj");
    let same = folder.json("capture --trace other.jsonl --fleet other.toml --out b.tfj");
    for field in ["journal", "root"] {
        assert_eq!(plain[field], same[field], "{field}");
    }
    // What they say is another matter: the size of a block, the name of a vessel.
    let trace = read("traces/harbour-morning.jsonl").expect("a trace");
    folder.write("other.jsonl", trace.replacen("\"block_tokens\":512", "\"block_tokens\":256", 1));
    let other = folder.json("capture --trace other.jsonl --out d.tfj");
    assert!(other["journal"] != plain["journal"]);
    let fleet = fleet.replacen("name = \"deck\"", "name = \"dock\"", 1);
    folder.write("other.toml", fleet);
    let other = folder.json("capture --fleet other.toml --out c.tfj");
    assert!(other["journal"] != plain["journal"]);
}

#[test]
fn what_is_committed_together_changes_no_hash() {
    let folder = Folder::new();
    folder.long_trace("long.jsonl");
    let mut all = Vec::new();
    for records in [1, 7, 5_000] {
        let name = format!("f{records}.tfj");
        folder.ok(&format!(
            "capture --trace long.jsonl --out {name} --frame-records {records} --no-sync"
        ));
        let verified = folder.json(&format!("verify {name}"));
        let journal = Journal::open(folder.path(&name)).expect("a journal");
        assert!(journal.blocks().len() >= 5, "{} blocks", journal.blocks().len());
        let hashes = (
            journal.blocks().to_vec(),
            verified["tree_root"].clone(),
            verified["root"].clone(),
            journal.state_root(),
        );
        all.push((records, hashes, files(&folder.path(&name))));
    }
    for pair in all.windows(2) {
        let [(a, left, x), (b, right, y)] = pair else { unreachable!("two") };
        assert_eq!(left, right, "frames of {a} and {b}");
        assert!(x != y, "frames of {a} and {b} are the same bytes");
    }
}

/// Roots are the same on every machine and in every profile; they change with the engine's rules and
/// the fixtures alone.
#[test]
fn roots_are_pinned() {
    let folder = Folder::new();
    let mut pins = String::new();
    for (name, words) in [
        ("built-in", ""),
        ("built-in, journal 0", "--journal-id 00"),
        (
            "rough seas",
            "--fleet fixtures/fleets/rough-seas.toml --policy fixtures/policies/swift.toml",
        ),
        ("surge", "--trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml"),
        (
            "tail",
            "--trace fixtures/traces/long-tail.jsonl --fleet fixtures/fleets/two-regions.toml",
        ),
    ] {
        let out = format!("{}.tfj", name.replace([' ', ','], "-"));
        let summary = folder.json(&format!("capture {words} --out {out}"));
        let verified = folder.json(&format!("verify {out}"));
        assert_eq!(summary["root"], verified["root"]);
        pins.push_str(&format!(
            "{name}: journal {} records {} events {}\n  root {}\n  tree {}\n",
            text(&summary, "journal"),
            summary["records"],
            summary["events"],
            text(&verified, "root"),
            text(&verified, "tree_root"),
        ));
    }
    accept("roots", &pins);
}

/// A journal is made of regular files; what it is made from may come through pipes.
#[test]
fn inputs_may_come_through_pipes() {
    let folder = Folder::new();
    folder.ok("capture --trace fixtures/traces/surge.jsonl --out j.tfj");
    let make = std::process::Command::new("mkfifo").arg(folder.path("fleet")).status();
    assert!(make.expect("mkfifo").success());
    let program = env!("CARGO_BIN_EXE_tensorforge");
    let script = format!(
        "cat fixtures/fleets/four-vessels.toml > fleet & cat fixtures/traces/surge.jsonl | \
         {program} capture --trace /dev/stdin --fleet fleet --out k.tfj"
    );
    let mut shell = std::process::Command::new("sh");
    let ran = Ran::of(shell.args(["-c", &script]).current_dir(folder.path("")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(folder.log("k.tfj"), folder.log("j.tfj"));
}
