//! Bugs planted into copies of the sources: the bisections must name the record where each shows first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;

use serde_json::{Map, Value, json};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Role, Tenant, Window};
use tensorforge_engine::security::{Scopes, Source};
use tensorforge_engine::units::{
    JournalId, MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, RegionId, TenantId,
    Tokens,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Command, config, models, policy, workflow};
use tensorforge_fleet::read_policy;
use tensorforge_journal::{Ledger, LedgerOptions};

use crate::support::*;

/// A build with other words in its sources.
struct Plant {
    name: &'static str,
    edits: &'static [Edit],
}

/// One replacement in one file, which must match once.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// The largest order that the vessels of the fixture take.
const CONTEXT_MAX: u64 = 262_144;

/// Decides or folds some things otherwise, each in another way: all in one build, since a build takes long,
/// and no journal has more than one of them.
const ODD: Plant = Plant {
    name: "odd",
    edits: &[
        // An order that fills the context to the last token.
        Edit {
            file: "engine/src/routing/decide.rs",
            from: "if size > manifest.context_max {",
            to: "if size >= manifest.context_max {",
        },
        // One order in a way that no state holds, and a later one for good.
        Edit {
            file: "engine/src/routing/decide.rs",
            from: "let route = best_of(&scored).map(",
            to: "let open = open + u32::from(order.demand.tokens_in.0 == 3_333);\n    \
                 let odd = order.demand.tokens_in.0 == 7_777;\n    \
                 let worst = || scored.iter().max_by_key(|scored| rank(&scored.candidate));\n    \
                 let route = if odd { worst() } else { best_of(&scored) }.map(",
        },
        // A sum that no decision reads.
        Edit {
            file: "engine/src/telemetry/fold.rs",
            from: "account.tokens_out += usage.tokens_out;",
            to: "account.tokens_out += usage.tokens_out - crate::kernel::units::Tokens(u64::from(usage.tokens_out.0 == 4_321));",
        },
        // A wake behind the deadline.
        Edit {
            file: "engine/src/state/timers.rs",
            from: "let at = at.min(order.deadline);",
            to: "let at = if order.demand.tokens_in.0 == 14_322 { at } else { at.min(order.deadline) };",
        },
        // A dispatch whose time is not noted.
        Edit {
            file: "engine/src/workflow/fold.rs",
            from: "row.dispatched = now;",
            to: "if row.demand.tokens_in.0 != 14_323 { row.dispatched = now; }",
        },
        // A prediction that is remembered as shorter than it is.
        Edit {
            file: "engine/src/workflow/fold.rs",
            from: "row.within = *within;",
            to: "row.within = *within - Micros(u64::from(row.demand.tokens_in.0 == 14_324));",
        },
        // One for each module besides.
        Edit {
            file: "engine/src/config/fold.rs",
            from: "state.tables.limits.insert(Only, limits.clone(), &mut state.writer)?;",
            to: "let mut row = limits.clone();\n    row.keys -= u32::from(row.prefixes == 15_001);\n    \
                 state.tables.limits.insert(Only, row, &mut state.writer)?;",
        },
        Edit {
            file: "engine/src/models/fold.rs",
            from: "let row = Region { name: name.clone(), hop: *hop, transfer: *transfer };",
            to: "let hop = &Micros(hop.0 - u64::from(hop.0 == 15_002));\n    \
                 let row = Region { name: name.clone(), hop: *hop, transfer: *transfer };",
        },
        Edit {
            file: "engine/src/policy/fold.rs",
            from: "let rules = Policy::clone(policy);",
            to: "let mut rules = Policy::clone(policy);\n            \
                 rules.timeout_min.0 -= u64::from(rules.timeout_min.0 == 15_003);",
        },
        Edit {
            file: "engine/src/queue/fold.rs",
            from: "let waiting = state.edit_waiting()?;\n    waiting.tickets = ticket;",
            to: "let odd = state.order(order).is_some_and(|row| row.demand.tokens_in.0 == 15_004);\n    \
                 let waiting = state.edit_waiting()?;\n    waiting.tickets = ticket + u64::from(odd);",
        },
        Edit {
            file: "engine/src/allocator/fold.rs",
            from: "let row = Berth { window: window.clone(), order, vessel, slots, open: false };",
            to: "let mut row = Berth { window: window.clone(), order, vessel, slots, open: false };\n    \
                 let odd = order.and_then(|order| state.order(order));\n    \
                 row.window.until.0 += u64::from(odd.is_some_and(|row| row.demand.tokens_in.0 == 15_005));",
        },
        Edit {
            file: "engine/src/resilience/decide.rs",
            from: "(at < order.deadline).then_some(at)",
            to: "let at = at + Micros(u64::from(order.demand.tokens_in.0 == 15_006));\n    \
                 (at < order.deadline).then_some(at)",
        },
        Edit {
            file: "engine/src/workflow/decide/admission.rs",
            from: "let deadline = deadline(policy, demand, state.now());",
            to: "let deadline = deadline(policy, demand, state.now());\n    \
                 let deadline = deadline + Micros(u64::from(demand.tokens_in.0 == 15_007));",
        },
        Edit {
            file: "engine/src/telemetry/decide.rs",
            from: "cached: order.cached,",
            to: "cached: order.cached + crate::kernel::units::Tokens(u64::from(order.demand.tokens_in.0 == 15_008)),",
        },
        Edit {
            file: "engine/src/security/decide.rs",
            from: "if source.scopes.has(scope) {",
            to: "if source.scopes.has(scope) || source.key == 15_009 {",
        },
    ],
};

/// Decides the same and has no place for one settlement in its state.
const BREACH: Plant = Plant {
    name: "breach",
    edits: &[Edit {
        file: "engine/src/telemetry/fold.rs",
        from: "let account = state.tables.accounts.edit(tenant, &mut state.writer)?;\n    if ended",
        to: "let tenant = if usage.tokens_out.0 == 4_321 { TenantId(77) } else { tenant };\n        \
             let account = state.tables.accounts.edit(tenant, &mut state.writer)?;\n    if ended",
    }],
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
    let out = process::Command::new(env!("CARGO"))
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

/// The workspace's files, with the plant in them.
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
    for Edit { file, from, to } in plant.edits {
        let bytes = found.get_mut(Path::new(file)).expect("the file to plant in");
        let text = String::from_utf8(bytes.clone()).expect("a source in UTF-8");
        assert_eq!(text.matches(from).count(), 1, "{from} in {file}");
        *bytes = text.replace(from, to).into_bytes();
    }
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
    record_in_frames(rows, 1_024)
}

fn record_in_frames(rows: &[(usize, Value)], frame: u32) -> Folder {
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
    folder.ok(&format!(
        "capture --trace long.jsonl --out j.tfj --snapshot-every 2048 --seed 4 --frame-records {frame}"
    ));
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

fn bisect_with(folder: &Folder, build: &Path, words: &str) -> Value {
    let ran = Ran::of(&mut folder.command_of(build, &format!("bisect j.tfj --json {words}")));
    assert_eq!(ran.code, Some(1), "{words}: {}{}", ran.stdout, ran.stderr);
    document(&ran.stdout)
}

/// The bisection by this build against the other one.
fn bisect_builds(folder: &Folder, bad: &Path) -> Value {
    let good = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let words = format!("--engine {} --engine {}", good.display(), bad.display());
    bisect_with(folder, good, &words)
}

/// Both bisections, by this build against the other one and by the other one against the recording.
fn bisect(folder: &Folder, bad: &Path) -> [Value; 2] {
    let good = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let same = folder.json(&format!("bisect j.tfj --engine {0} --engine {0}", good.display()));
    assert_eq!((&same["found"], &same["seq"]), (&json!(false), &Value::Null));
    let answers = [bisect_builds(folder, bad), bisect_with(folder, bad, "")];
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
    let bad = build(&ODD);
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
    let bad = build(&ODD);
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
    assert_eq!(recording["tables"], json!(["accounts"]), "{recording}");
    let said = format!("  it wrote, and differs where its frame ends: accounts, row {tenant}\n");
    let told = Ran::of(&mut folder.command_of(&bad, "verify j.tfj")).stdout;
    assert!(told.contains(&said), "{told}");
}

/// Where only a recording tells, every table that may be at fault is named: what differs at the end of the
/// frame, or has healed until then. Where frames are one record long nothing heals, and nothing follows.
#[test]
fn the_tables_that_may_be_at_fault_are_named() {
    let bad = build(&ODD);
    for tokens_in in [14_322, 14_323, 14_324] {
        // An answer that may be long is waited for until a deadline that is near, however soon it comes.
        let row = json!({
            "tokens_in": tokens_in, "tokens_out": 50, "tokens_out_max": 2_048, "deadline": 60_000_000,
        });
        for frame in [1, 1_024] {
            let folder = record_in_frames(&[(1_900, row.clone())], frame);
            let (log, decided) = (folder.log("j.tfj"), decided_by(&folder, &bad));
            let (a, b) = first_difference(&log, &decided);
            let seq = submission(&log, 1_900);
            assert_eq!((number(a, "seq"), &a["events"]), (seq, &b["events"]), "{tokens_in}");
            // What is at fault, seen in both states.
            let words = format!("state j.tfj --at {} --json --decide orders", seq + 1);
            let (right, wrong) =
                (folder.run(&words), Ran::of(&mut folder.command_of(&bad, &words)));
            let (right, wrong) = (document(&right.stdout), document(&wrong.stdout));
            let orders = right.as_object().expect("rows");
            let rows: Vec<&String> =
                orders.keys().filter(|row| right[*row] != wrong[*row]).collect();
            let row: u64 = rows[0].parse().expect("a row");
            assert_eq!(rows.len(), 1, "{tokens_in}: {rows:?}");

            let bisected = Ran::of(&mut folder.command_of(&bad, "bisect j.tfj --json"));
            for answer in [document(&bisected.stdout), verify(&folder, &bad)] {
                let found = (number(&answer, "seq"), &answer["phase"]);
                assert_eq!(found, (seq, &json!("folded")), "{answer}");
                let orders = json!("orders");
                if frame == 1 {
                    assert_eq!(answer["tables"], json!(["orders"]), "{answer}");
                    assert_eq!(answer["healed"], json!([]), "{answer}");
                    let found = (&answer["table"], number(&answer, "row"), &answer["module"]);
                    assert_eq!(found, (&orders, row, &json!("models")), "{answer}");
                } else {
                    let named =
                        |list: &str| answer[list].as_array().expect("names").contains(&orders);
                    assert!(named("tables") || named("healed"), "{answer}");
                }
            }
        }
    }
}

#[test]
fn a_decision_that_leaves_no_trace_is_found_before_one_that_does() {
    let bad = build(&ODD);
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

/// What one life of an exchange is made of, and what of it makes the odd build answer otherwise.
#[derive(Clone, Copy)]
struct Life {
    prefixes: u32,
    hop: u64,
    timeout_min: u64,
    served: u64,
    queued: u64,
    berthed: u64,
    key: u32,
}

impl Life {
    const PLAIN: Self = Self {
        prefixes: 4_096,
        hop: 10,
        timeout_min: 200_000,
        served: 1_000,
        queued: 1_000,
        berthed: 1_000,
        key: 0,
    };

    /// Records one command of everybody: an order that fails and is served when it is tried again, one
    /// that waits meanwhile, one with a berth, and one by somebody who may not.
    fn record(self, dir: &Path) {
        let mut ledger = Ledger::create(dir, JournalId([7; 16]), LedgerOptions::default());
        let ledger = ledger.as_mut().expect("a journal");
        let mut tell = |time: u64, source: Source, command: Command| {
            ledger.record(Micros(time), source, &command).expect("a record");
            ledger.state().next_deadline().unwrap_or_default()
        };
        let demand = |tokens_in: u64, window: Option<Window>| {
            Command::Workflow(workflow::Command::Submit(Demand {
                external: tokens_in,
                model: ModelId(0),
                origin: RegionId(0),
                kind: Kind::Inference,
                class: Class::Standard,
                tokens_in: Tokens(tokens_in),
                tokens_out_max: Tokens(100),
                deadline: Micros::ZERO,
                limit: 0,
                idempotency: 0,
                prefix: Vec::new(),
                window: window.map(Box::new),
            }))
        };
        let manifest = Manifest {
            region: RegionId(0),
            role: Role::Whole,
            models: vec![ModelId(0)],
            slots: 1,
            context_max: Tokens(100_000),
            cache_tokens: Tokens(0),
            domain: 0,
            prefill_per_kilotoken: Micros(1_000),
            decode_per_token: Micros(10),
            price_in: MicroUsd(1_000_000),
            price_cached: MicroUsd(100_000),
            price_out: MicroUsd(2_000_000),
            fuel_in: Millijoules(1_000),
            fuel_out: Millijoules(10_000),
            heartbeat: Micros::ZERO,
        };
        let rules = read_policy(&workspace().join("fixtures/policies/balanced.toml"));
        let mut rules = rules.expect("rules");
        rules.timeout_min = Micros(self.timeout_min);
        let limits = Limits { prefixes: self.prefixes, ..Limits::default() };
        let alba = Tenant::unlimited("alba");
        for command in [
            Command::Config(config::Command::Configure(limits)),
            Command::Models(models::Command::RegisterRegion {
                name: "here".into(),
                hop: Micros(self.hop),
                transfer: Micros::ZERO,
            }),
            Command::Models(models::Command::RegisterModel { name: "minnow".into() }),
            Command::Models(models::Command::RegisterTenant(alba)),
            Command::Policy(policy::Command::SetPolicy(Box::new(rules))),
            Command::Models(models::Command::RegisterVessel {
                name: "dory".into(),
                manifest,
                start: 0,
            }),
        ] {
            tell(0, Source::OPERATOR, command);
        }
        let tenant = Source::tenant(TenantId(0));
        tell(10, tenant, demand(self.served, None));
        let window = Window { from: Micros(500_000_000), until: Micros(600_000_000) };
        tell(20, tenant, demand(self.berthed, Some(window)));
        tell(30, tenant, demand(self.queued, None));
        tell(40, Source { key: self.key, scopes: Scopes::of(&[]), ..tenant }, demand(1_000, None));
        let report = |attempt: u16, outcome: Outcome| {
            let order = OrderId::new(1, OrderSlot(0));
            Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg: 0, outcome })
        };
        tell(50, Source::OPERATOR, report(1, Outcome::Failed(Fault::Error)));
        // The one that waited is worked now; the first comes back behind it.
        let second = |outcome: Outcome| {
            let order = OrderId::new(3, OrderSlot(2));
            Command::Workflow(workflow::Command::ReportLeg { order, attempt: 1, leg: 0, outcome })
        };
        let done = Outcome::Done {
            tokens_out: Tokens(100),
            cached: Tokens::ZERO,
            first_token: Micros(60),
            energy: Millijoules::ZERO,
        };
        let back = tell(100, Source::OPERATOR, second(done.clone()));
        tell(back.0, Source::OPERATOR, Command::Workflow(workflow::Command::Advance));
        tell(back.0 + 60, Source::OPERATOR, report(2, done));
        ledger.flush().expect("a disk");
    }
}

/// Whatever is at fault, the report says whose it is: as the one who said the event that differs, as the
/// one whose table does, or within a refusal.
#[test]
fn the_module_at_fault_is_named() {
    let odd = build(&ODD);
    let plain = Life::PLAIN;
    let lives: [(&str, &str, Life); 10] = [
        ("config", "folded", Life { prefixes: 15_001, ..plain }),
        ("models", "folded", Life { hop: 15_002, ..plain }),
        ("policy", "folded", Life { timeout_min: 15_003, ..plain }),
        ("queue", "folded", Life { queued: 15_004, ..plain }),
        ("allocator", "folded", Life { berthed: 15_005, ..plain }),
        ("resilience", "decided", Life { served: 15_006, ..plain }),
        ("workflow", "decided", Life { served: 15_007, ..plain }),
        ("telemetry", "decided", Life { served: 15_008, ..plain }),
        ("routing", "decided", Life { served: 3_333, ..plain }),
        ("security", "decided", Life { key: 15_009, ..plain }),
    ];
    let folder = Folder::new();
    plain.record(&folder.path("plain.tfj"));
    let same = Ran::of(&mut folder.command_of(&odd, "verify plain.tfj"));
    assert_eq!(same.code, Some(0), "{}", same.stdout);
    for (module, phase, life) in lives {
        life.record(&folder.path("j.tfj"));
        folder.ok("verify j.tfj");
        let found = verify(&folder, &odd);
        assert_eq!(found["phase"], json!(phase), "{module}: {found}");
        let told = Ran::of(&mut folder.command_of(&odd, "verify j.tfj")).stdout;
        match module {
            // It says nothing but refusals, which others carry.
            "security" => {
                assert_eq!(found["module"], json!("workflow"), "{found}");
                assert!(told.contains("\"security\":{\"forbidden\""), "{told}");
            }
            _ if found["module"] == json!(module) => {}
            // More than one table may be it: this build has the row.
            _ => {
                let both = bisect_builds(&folder, &odd);
                assert_eq!(both["rows"][0]["module"], json!(module), "{found} {both}");
            }
        }
        fs::remove_dir_all(folder.path("j.tfj")).expect("a folder");
    }
}
