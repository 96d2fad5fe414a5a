//! `tensorforge snapshot-test`: same, different, new and accepted, as text, as JSON and as exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn snapshot_test(scenarios: &Path, snapshots: &Path, more: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tensorforge"))
        .arg("snapshot-test")
        .arg(scenarios)
        .arg("--snapshots")
        .arg(snapshots)
        .args(more)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A folder with the scenario of a plain life and what it needs, and the accepted snapshot.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        "scenarios/plain-life.toml",
        "scenarios/fleets/one-boat.toml",
        "scenarios/policies/brisk.toml",
    ] {
        let to = folder.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fixtures().join("fixtures").join(path), to).unwrap();
    }
    fs::create_dir(folder.path().join("snapshots")).unwrap();
    let accepted = fixtures().join("snapshots/scenarios/plain-life.snap");
    fs::copy(accepted, folder.path().join("snapshots/plain-life.snap")).unwrap();
    folder
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn the_repositorys_own_scenarios_are_as_accepted() {
    let (scenarios, snapshots) =
        (fixtures().join("fixtures/scenarios"), fixtures().join("snapshots/scenarios"));
    let (code, out, err) = snapshot_test(&scenarios, &snapshots, &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.lines().count() >= 12 && out.lines().all(|line| line.starts_with("     same ")));
}

#[test]
fn a_change_is_told_line_by_line_until_it_is_accepted() {
    let folder = workplace();
    let (scenarios, snapshots) = (folder.path().join("scenarios"), folder.path().join("snapshots"));
    // One generated token less is charged: two micro-dollars.
    let scenario = scenarios.join("plain-life.toml");
    for (from, to) in [
        ("tokens_out = 80", "tokens_out = 79"),
        ("cost=1160", "cost=1158"),
        ("\"accounts.0.cost\" = 1_160", "\"accounts.0.cost\" = 1_158"),
        ("\"accounts.0.tokens_out\" = 180", "\"accounts.0.tokens_out\" = 179"),
        ("\"accounts.0.cost\" = 1_460", "\"accounts.0.cost\" = 1_458"),
    ] {
        edit(&scenario, from, to);
    }
    let (code, out, err) = snapshot_test(&scenarios, &snapshots, &[]);
    assert_eq!(code, 1, "{err}");
    assert!(out.starts_with("different plain-life\n"), "{out}");
    assert!(out.contains("\n  -     cost: 1460\n"), "{out}");
    assert!(out.contains("\n  +     cost: 1458\n"), "{out}");
    assert!(err.contains("1 of 1 differ") && err.contains("--accept"), "{err}");

    let (code, out, _) = snapshot_test(&scenarios, &snapshots, &["--json"]);
    assert_eq!(code, 1);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["different"], 1);
    assert_eq!(document["scenarios"][0]["verdict"], "different");

    let (code, out, err) = snapshot_test(&scenarios, &snapshots, &["--accept"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, " accepted plain-life\n", ""));
    let (code, out, _) = snapshot_test(&scenarios, &snapshots, &[]);
    assert_eq!((code, out.as_str()), (0, "     same plain-life\n"));
}

#[test]
fn a_scenario_that_was_never_accepted_is_new() {
    let folder = workplace();
    let snapshots = folder.path().join("elsewhere");
    let (code, out, _) = snapshot_test(&folder.path().join("scenarios"), &snapshots, &[]);
    assert_eq!(code, 1);
    assert!(out.starts_with("      new plain-life\n"), "{out}");
    assert!(!snapshots.exists(), "nothing is written unless it is asked for");
}

#[test]
fn an_expectation_that_fails_names_its_step() {
    let folder = workplace();
    let scenarios = folder.path().join("scenarios");
    edit(&scenarios.join("plain-life.toml"), "order_ended 1 completed", "order_ended 1 expired");
    let (code, out, _) = snapshot_test(&scenarios, &folder.path().join("snapshots"), &[]);
    assert_eq!(code, 1);
    let said = out.lines().find(|line| line.contains("step 2 at 1510 ms: expected"));
    assert!(said.is_some_and(|line| line.contains("expired")), "{out}");
    assert!(out.contains("   failed plain-life\n"), "{out}");
}

#[test]
fn a_key_that_is_none_is_told_in_one_line() {
    let folder = workplace();
    let scenarios = folder.path().join("scenarios");
    edit(&scenarios.join("plain-life.toml"), "external = 7,", "key = -1,");
    let (code, out, _) = snapshot_test(&scenarios, &folder.path().join("snapshots"), &[]);
    assert_eq!(code, 1);
    let said =
        "step 1 at 10 ms: submit: expected a text of 1 to 255 bytes, or a whole number, in `key`";
    assert!(out.lines().any(|line| line.ends_with(said)), "{out}");
}

#[test]
fn a_scenario_that_cannot_be_played_says_where() {
    let folder = workplace();
    let scenarios = folder.path().join("scenarios");
    let file = scenarios.join("plain-life.toml");
    let text = fs::read_to_string(&file).unwrap();
    let check = |text: &str, expected: &str| {
        fs::write(&file, text).unwrap();
        let (code, out, err) = snapshot_test(&scenarios, &folder.path().join("snapshots"), &[]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert_eq!(err, format!("error: {}: {expected}\n", file.display()));
    };
    let back = format!("{text}\n[[step]]\nat_ms = 5\nwait = {{}}\n");
    let count = back.matches("[[step]]").count();
    let last = text.rsplit_once("\nat_ms = ").unwrap().1.split('\n').next().unwrap();
    let last = last.replace('_', "");
    check(&back, &format!("step {count} at 5 ms is before step {} at {last} ms", count - 1));
    let long = "x".repeat(129);
    check(
        &text.replacen("tenants = [", &format!("tenants = [\"{long}\", "), 1),
        &format!(
            "fleet \"one-boat\": the exchange refuses tenant \"{long}\": \
             invalid: name is empty, longer than 128 bytes or not printable"
        ),
    );
}
