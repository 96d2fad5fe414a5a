//! Bugs planted into copies of the sources: the bisections must name the record where each shows first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::support::*;

/// One replacement in one file, which must match once.
struct Plant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// The largest order that the vessels of the fixture take.
const CONTEXT_MAX: u64 = 262_144;

/// Decides otherwise about an order that fills the context to the last token.
const DECISION: Plant = Plant {
    name: "decision",
    file: "engine/src/routing/decide.rs",
    from: "if size > manifest.context_max {",
    to: "if size >= manifest.context_max {",
};

/// Decides the same and folds it into another sum, which no decision reads.
const FOLD: Plant = Plant {
    name: "fold",
    file: "engine/src/telemetry/fold.rs",
    from: "account.tokens_out += *tokens_out;",
    to: "account.tokens_out += crate::kernel::units::Tokens(tokens_out.0 - u64::from(tokens_out.0 == 4_321));",
};

/// Decides otherwise about one order in a way that no state holds, and about a later one for good.
const HEALING: Plant = Plant {
    name: "healing",
    file: "engine/src/routing/decide.rs",
    from: "    let route = route.clone();\n    Some(Event::OrderRouted {\n        order: id,\n        \
           attempt: order.attempt.saturating_add(1),\n        policy: policy_version,\n        \
           open: whole.count().saturating_add(prefill.count()),\n",
    to: "    let route = if order.demand.tokens_in.0 == 7_777 { scored.last()?.1.clone() } else { route.clone() };\n    \
         Some(Event::OrderRouted {\n        order: id,\n        \
         attempt: order.attempt.saturating_add(1),\n        policy: policy_version,\n        \
         open: whole.count() + u32::from(order.demand.tokens_in.0 == 3_333),\n",
};

/// Decides the same and has no place for one settlement in its state.
const BREACH: Plant = Plant {
    name: "breach",
    file: "engine/src/telemetry/fold.rs",
    from: "let account = state.tables.accounts.edit(*tenant, &mut state.writer)?;\n    account.tokens_in",
    to: "let tenant = if tokens_out.0 == 4_321 { &TenantId(77) } else { tenant };\n        \
         let account = state.tables.accounts.edit(*tenant, &mut state.writer)?;\n    account.tokens_in",
};

/// Builds the program with a plant, unless these very sources have been built with it before. The
/// crates that are not planted in are compiled once for all.
fn build(plant: &Plant) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("planted");
    let wanted = sources(plant);
    let mut hasher = blake3::Hasher::new();
    for (path, bytes) in &wanted {
        hasher.update(path.as_os_str().as_encoded_bytes()).update(&bytes.len().to_le_bytes());
        hasher.update(bytes);
    }
    let program = target.join(format!("{}-{}", plant.name, hasher.finalize().to_hex()));
    if program.exists() {
        return program;
    }
    let folder = target.join("sources");
    lay_out(&wanted, &folder);
    let out = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--quiet", "--package", "tensorforge-cli"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&folder)
        // Nobody debugs a plant, and none runs for long.
        .envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_PROFILE_DEV_OPT_LEVEL", "0")])
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .expect("cargo");
    assert!(out.status.success(), "{}: {}", plant.name, String::from_utf8_lossy(&out.stderr));
    let unfinished = program.with_extension("tmp");
    fs::copy(target.join("debug/tensorforge"), &unfinished).expect("a program");
    fs::rename(&unfinished, &program).expect("a name for it");
    program
}

/// The workspace's files, with the plant in one of them.
fn sources(plant: &Plant) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(workspace()).expect("the workspace") {
        let entry = entry.expect("an entry");
        let name = PathBuf::from(entry.file_name());
        if name.as_os_str().as_encoded_bytes().starts_with(b".") || name == Path::new("target") {
            continue;
        }
        if entry.path().is_dir() {
            let below = files(&entry.path());
            found.extend(below.into_iter().map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    let bytes = found.get_mut(Path::new(plant.file)).expect("the file to plant in");
    let text = String::from_utf8(bytes.clone()).expect("a source in UTF-8");
    assert_eq!(text.matches(plant.from).count(), 1, "{} in {}", plant.from, plant.file);
    *bytes = text.replace(plant.from, plant.to).into_bytes();
    found
}

/// Makes a folder hold these files and no others. Those that are right already keep their times, so
/// that cargo builds what changed.
fn lay_out(wanted: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let present = files(folder);
    for path in present.keys().filter(|path| !wanted.contains_key(*path)) {
        fs::remove_file(folder.join(path)).expect("a file of an earlier plant");
    }
    for (path, bytes) in wanted.iter().filter(|(path, bytes)| present.get(*path) != Some(bytes)) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("room for the sources");
    }
}

/// A journal of several blocks whose trace has these rows changed, by their external numbers.
fn record(rows: &[(usize, Value)]) -> Folder {
    let folder = Folder::new();
    folder.long_trace("plain.jsonl");
    let plain = fs::read_to_string(folder.path("plain.jsonl")).expect("a trace");
    let mut trace: Vec<Value> = lines(&plain);
    for (external, changes) in rows {
        let row: &mut Map<String, Value> = trace[*external].as_object_mut().expect("a row");
        row.retain(|key, _| matches!(key.as_str(), "at" | "tenant"));
        row.extend(changes.as_object().expect("fields").clone());
    }
    let text: String = trace.iter().map(|row| format!("{row}\n")).collect();
    folder.write("long.jsonl", text);
    folder.ok("capture --trace long.jsonl --out j.tfj --snapshot-every 2048 --seed 4");
    folder
}

/// The first record that this build decides or folds otherwise, by comparing line by line.
fn first_difference<'a>(recorded: &'a [Value], decided: &'a [Value]) -> (&'a Value, &'a Value) {
    assert_eq!(recorded.len(), decided.len());
    let mut pairs = recorded.iter().zip(decided);
    pairs.find(|(a, b)| a["events"] != b["events"] || a["tag"] != b["tag"]).expect("a difference")
}

/// The record in which a row's order was submitted.
fn submission(log: &[Value], external: usize) -> u64 {
    let of =
        |record: &&Value| record["command"]["workflow"]["submit"]["external"] == json!(external);
    number(log.iter().find(of).expect("a submission"), "seq")
}

fn at_path<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, part| match part.parse::<usize>() {
        Ok(place) if value.is_array() => &value[place],
        _ => &value[part],
    })
}

/// Both bisections, by this build against the other one and by the other one against the recording.
fn bisect(folder: &Folder, bad: &Path) -> [Value; 2] {
    let good = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let answer = |build: &Path, words: &str| {
        let ran = Ran::of(&mut folder.command_of(build, &format!("bisect j.tfj --json {words}")));
        assert_eq!(ran.code, Some(1), "{words}: {}{}", ran.stdout, ran.stderr);
        document(&ran.stdout)
    };
    let engines = format!("--engine {} --engine {}", good.display(), bad.display());
    let same = folder.json(&format!("bisect j.tfj --engine {0} --engine {0}", good.display()));
    assert_eq!((&same["found"], &same["seq"]), (&json!(false), &Value::Null));
    let answers = [answer(good, &engines), answer(bad, "")];
    let records = number(&folder.json("verify j.tfj"), "records");
    let blocks = records.div_ceil(1_024);
    assert!(blocks >= 8, "{blocks} blocks are too few to search");
    for answer in &answers {
        assert_eq!(answer["found"], json!(true));
        assert!(
            number(answer, "probes") <= u64::from(blocks.next_power_of_two().ilog2()) + 1,
            "{answer}"
        );
    }
    answers
}

/// A story is read, not made: the other build tells the same one.
fn tell_the_same(folder: &Folder, bad: &Path, external: usize) {
    let words = format!("explain j.tfj --external {external}");
    assert_eq!(Ran::of(&mut folder.command_of(bad, &words)).stdout, folder.ok(&words));
}

/// What the other build says of the recording.
fn verify(folder: &Folder, bad: &Path) -> Value {
    let ran = Ran::of(&mut folder.command_of(bad, "verify j.tfj --json"));
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let answer = document(&ran.stdout);
    assert_eq!(answer["verified"], json!(false));
    answer["divergence"].clone()
}

fn decided_by(folder: &Folder, bad: &Path) -> Vec<Value> {
    lines(&Ran::of(&mut folder.command_of(bad, "log j.tfj --json --decide")).stdout)
}

/// Checks that an answer names the first event that differs, and a field in which it does.
fn names_the_event(answer: &Value, a: &Value, b: &Value) {
    assert_eq!((&answer["seq"], &answer["phase"]), (&a["seq"], &json!("decided")), "{answer}");
    let (left, right): (Vec<_>, Vec<_>) = (events(a).collect(), events(b).collect());
    let place =
        (0..left.len().max(right.len())).find(|place| left.get(*place) != right.get(*place));
    let place = place.expect("an event that differs");
    assert_eq!(answer["event"], json!(place), "{answer}");
    let kind = left.get(place).or(right.get(place)).expect("an event").0;
    assert_eq!(answer["kind"], json!(kind), "{answer}");
    let module = modules(a).nth(place).or(modules(b).nth(place));
    assert_eq!(answer["module"].as_str(), module, "{answer}");
    if let (Some((x, left)), Some((y, right))) = (left.get(place), right.get(place))
        && x == y
    {
        let field = text(answer, "field");
        assert_eq!(answer["left"], *at_path(left, field), "{field} in {left}");
        assert_eq!(answer["right"], *at_path(right, field), "{field} in {right}");
        assert_ne!(answer["left"], answer["right"], "{field}");
    }
}

#[test]
fn a_changed_decision_is_found_at_its_record() {
    let bad = build(&DECISION);
    let full =
        json!({ "tokens_in": 1_000, "tokens_out": 9, "tokens_out_max": CONTEXT_MAX - 1_000 });
    let folder = record(&[(1_500, full)]);
    let (log, decided) = (folder.log("j.tfj"), decided_by(&folder, &bad));
    let (a, b) = first_difference(&log, &decided);
    assert_eq!(number(a, "seq"), submission(&log, 1_500));
    for answer in bisect(&folder, &bad) {
        names_the_event(&answer, a, b);
    }
    names_the_event(&verify(&folder, &bad), a, b);
    tell_the_same(&folder, &bad, 1_500);
}

#[test]
fn a_changed_fold_is_found_at_its_record() {
    let bad = build(&FOLD);
    let folder = record(&[(1_900, json!({ "tokens_in": 700, "tokens_out": 4_321 }))]);
    let (log, decided) = (folder.log("j.tfj"), decided_by(&folder, &bad));
    let (a, b) = first_difference(&log, &decided);
    assert_eq!(a["events"], b["events"]);
    assert_eq!(
        a["command"]["workflow"]["report_leg"]["outcome"]["done"]["tokens_out"],
        json!(4_321)
    );
    let seq = number(a, "seq");
    let (_, settled) = events(a).find(|(kind, _)| *kind == "order_settled").expect("a settlement");
    let tenant = number(settled, "tenant");
    let [engines, recording] = bisect(&folder, &bad);
    for answer in [&engines, &recording, &verify(&folder, &bad)] {
        assert_eq!((number(answer, "seq"), &answer["phase"]), (seq, &json!("folded")), "{answer}");
        assert_eq!((&answer["table"], &answer["row"]), (&json!("accounts"), &json!(tenant)));
    }
    // With both builds at hand, the field and its values are known too.
    assert_eq!(engines["field"], json!("tokens_out"), "{engines}");
    let at = seq + 1;
    let sum = folder.json(&format!("state j.tfj --at {at} accounts.{tenant}.tokens_out"));
    assert_eq!(engines["left"], sum);
    assert_eq!(number(&engines, "left"), number(&engines, "right") + 1);
}

#[test]
fn a_decision_that_leaves_no_trace_is_found_before_one_that_does() {
    let bad = build(&HEALING);
    let rows = [
        (400, json!({ "tokens_in": 3_333, "tokens_out": 20 })),
        (2_000, json!({ "tokens_in": 7_777, "tokens_out": 20 })),
    ];
    let folder = record(&rows);
    let (log, decided) = (folder.log("j.tfj"), decided_by(&folder, &bad));
    let (a, b) = first_difference(&log, &decided);
    assert_eq!(number(a, "seq"), submission(&log, 400));
    assert_eq!(a["tag"], b["tag"], "it heals");
    let last = log.len() - 1;
    assert_ne!(log[last]["tag"], decided[last]["tag"], "the later one does not");
    for answer in bisect(&folder, &bad) {
        names_the_event(&answer, a, b);
    }
    names_the_event(&verify(&folder, &bad), a, b);
}

#[test]
fn a_build_that_cannot_fold_is_an_answer_and_no_failure() {
    let bad = build(&BREACH);
    let folder = record(&[(1_900, json!({ "tokens_in": 700, "tokens_out": 4_321 }))]);
    let log = folder.log("j.tfj");
    let settles = |record: &&Value| {
        events(record)
            .any(|(kind, fields)| kind == "order_settled" && fields["tokens_out"] == json!(4_321))
    };
    let seq = number(log.iter().find(settles).expect("a settlement"), "seq");
    let [engines, recording] = bisect(&folder, &bad);
    for answer in [&engines, &recording, &verify(&folder, &bad)] {
        assert_eq!(
            (number(answer, "seq"), &answer["phase"]),
            (seq, &json!("breached")),
            "{answer}"
        );
        assert_eq!((&answer["table"], number(answer, "row")), (&json!("accounts"), 77), "{answer}");
        assert_eq!((&answer["left"], &answer["right"]), (&Value::Null, &json!("it is not there")));
    }
    // Its last answer is the breach, whatever it is asked.
    let decided = decided_by(&folder, &bad);
    let last = decided.last().expect("an answer");
    let breach = json!({
        "module": "telemetry", "table": "accounts", "row": 77, "problem": "it is not there",
    });
    assert_eq!((number(last, "seq"), &last["breach"]), (seq, &breach), "{last}");
    assert_eq!(decided.len() as u64, seq + 1);
    let ran = Ran::of(&mut folder.command_of(&bad, "replay j.tfj --decide --json"));
    let answer = document(&ran.stdout);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{answer}");
    assert_eq!((number(&answer, "records"), &answer["breach"]), (seq, &breach), "{answer}");
    assert_eq!((&answer["root"], &answer["tag"]), (&Value::Null, &Value::Null), "{answer}");

    let good = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let words = format!("bisect j.tfj --engine {} --engine {}", bad.display(), good.display());
    let text = folder.run(&words).stdout;
    let said = format!(
        "part at record {seq}: the state has no place for it\n  first build: it is not there\n  \
         second build: goes on\n  the row: accounts.77 of telemetry\nfound in "
    );
    assert!(text.starts_with(&said), "{text}");
}
