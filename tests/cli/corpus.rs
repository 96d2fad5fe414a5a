//! The corpus: every scenario as a journal that was recorded once. What this build decides otherwise than the one that
//! recorded it is found by `verify`, and by `bisect` at its record.
//!
//! With TENSORFORGE_ACCEPT=1 the journals are recorded anew: on purpose, when a rule has changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::support::{Folder, document, text, workspace};

fn corpus() -> PathBuf {
    workspace().join("fixtures/corpus")
}

/// The names of what lies in a folder and ends so, without that.
fn names(folder: PathBuf, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let names = names.map(|name| name.expect("a name"));
    names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect()
}

#[test]
fn every_recording_is_decided_again_as_it_was() {
    let folder = Folder::new();
    let scenarios = names(workspace().join("fixtures/scenarios"), ".toml");
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        let _ = fs::remove_dir_all(corpus());
        fs::create_dir_all(corpus()).expect("room");
        for name in &scenarios {
            let out = corpus().join(format!("{name}.tfj"));
            folder.ok(&format!(
                "capture --scenario fixtures/scenarios/{name}.toml --out {}",
                out.display()
            ));
            fs::remove_file(out.join("LOCK")).expect("a lock that nobody holds");
        }
    }
    assert_eq!(names(corpus(), ".tfj"), scenarios);
    for name in &scenarios {
        let journal = format!("{}/{name}.tfj", corpus().display());
        let told = folder.ok(&format!("verify {journal}"));
        assert!(told.contains("closed: yes"), "{name}: {told}");
        folder.ok(&format!("capture --scenario fixtures/scenarios/{name}.toml --out {name}.tfj"));
        let logs = [&format!("log {journal} --json"), &format!("log {name}.tfj --json")];
        let [recorded, told_now] = logs.map(|words| folder.ok(words));
        assert_eq!(recorded, told_now, "{name} tells something else by now");
    }
}

/// One scenario where it is ordinary, and one where it saves the day. Of a setting one is enough.
#[test]
fn every_rule_is_reached_by_two_scenarios() {
    let folder = Folder::new();
    let told = document(&folder.ok("rules fixtures/scenarios --json"));
    let rules = told["rules"].as_array().expect("rules");
    let named = |rule: &serde_json::Value| format!("{} {}", text(rule, "kind"), text(rule, "name"));
    let scenarios = |rule: &serde_json::Value| rule["scenarios"].as_array().map_or(0, Vec::len);
    let least = |rule: &serde_json::Value| if text(rule, "kind") == "setting" { 1 } else { 2 };
    let missing = rules.iter().filter(|rule| scenarios(rule) < least(rule));
    assert_eq!(missing.map(named).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(told["unreached"], 0);
    let once = rules.iter().filter(|rule| scenarios(rule) == 1).count();
    assert_eq!(told["once"], once);
    let names: Vec<String> = rules.iter().map(named).collect();
    for name in [
        "event allocator.order_held_back",
        "command workflow.report_stop",
        "refusal workflow.key_conflict",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    let flood =
        rules.iter().find(|rule| named(rule) == "event queue.order_chosen").expect("a rule");
    assert!(flood["scenarios"].as_array().expect("names").contains(&"flood".into()), "{flood}");
}
