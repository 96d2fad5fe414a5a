//! Every scenario leads to what was accepted for it: the decisions, and the state at the end.

use std::fs;
use std::path::{Path, PathBuf};

use tensorforge_engine::Exchange;
use tensorforge_engine::units::Seq;
use tensorforge_fleet::scenario::{Played, Scenario, snapshot_text};
use tensorforge_tests::audit::Audit;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scenarios() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("fixtures/scenarios")).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    paths
}

/// The same files that `tensorforge snapshot-test` compares and accepts.
#[test]
fn every_scenario_is_as_it_was_accepted() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("snapshots/scenarios"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut wrong = Vec::new();
    for path in scenarios() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match Scenario::open(&path).and_then(|scenario| scenario.play()) {
            Err(error) => wrong.push(error.to_string()),
            Ok(played) => {
                let text = snapshot_text(&played);
                audit(&played);
                assert!(!text.contains("BREACH") && !text.contains("UNSOUND"), "{text}");
                settings.bind(|| insta::assert_snapshot!(name, text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Folding what was decided leads to the same state, and not a pico-dollar comes from nowhere or goes there.
fn audit(played: &Played) {
    let (mut exchange, mut audit) = (Exchange::genesis(played.state.journal()), Audit::default());
    for (seq, (time, events)) in (0..).map(Seq).zip(&played.records) {
        exchange.fold(seq, *time, events).unwrap();
        audit.record(events, exchange.state());
    }
    assert_eq!(exchange.state().root(), played.state.root());
}

#[test]
fn every_scenario_has_its_snapshot_and_every_snapshot_its_scenario() {
    let names = |paths: Vec<PathBuf>| -> Vec<String> {
        paths.iter().map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let mut snapshots: Vec<PathBuf> = fs::read_dir(root().join("snapshots/scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "snap"))
        .collect();
    snapshots.sort();
    assert_eq!(names(scenarios()), names(snapshots));
}
