//! `snapshot-test`: the state that each scenario leads to, held against what was accepted.
//!
//! The files are in insta's format, so that `cargo insta` reads them too.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use similar::{ChangeTag, TextDiff};
use tensorforge_fleet::scenario::{Scenario, snapshot_text};
use tensorforge_journal::hex;

use crate::args::SnapshotTestArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, BAD, GOOD, NAME};
use crate::text::{Text, paint};

pub(crate) fn run(args: &SnapshotTestArgs, as_json: bool) -> Result<Exit> {
    let snapshots = args.snapshots.clone().unwrap_or_else(|| args.dir.join("snapshots"));
    let scenarios = scenarios(&args.dir)?;
    let mut differing = 0;
    let mut documents = Vec::new();
    for path in &scenarios {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let scenario = Scenario::open(path).map_err(Failure::input)?;
        let played = match scenario.play() {
            Ok(played) => played,
            Err(error) => {
                differing += 1;
                if as_json {
                    let error = error.to_string();
                    documents
                        .push(json!({ "scenario": name, "verdict": "failed", "error": error }));
                } else {
                    output::say(paint(BAD, "   failed") + " " + &name);
                    output::say(format!("  {error}"));
                }
                continue;
            }
        };
        let text = snapshot_text(&played);
        let file = snapshots.join(format!("{name}.snap"));
        let accepted = accepted(&file)?;
        let verdict = match &accepted {
            Some(accepted) if accepted.trim_end() == text.trim_end() => "same",
            _ if args.accept => {
                accept(&file, path, &text)?;
                "accepted"
            }
            Some(_) => "different",
            None => "new",
        };
        let unaccepted = matches!(verdict, "different" | "new");
        differing += u64::from(unaccepted);
        if as_json {
            documents.push(json!({ "scenario": name, "verdict": verdict, "snapshot": file.to_string_lossy(), "root": hex(&played.state.root()) }));
            continue;
        }
        let colour = if unaccepted { BAD } else { GOOD };
        output::say(paint(colour, format!("{verdict:>9}")) + " " + &name);
        if unaccepted {
            output::say(difference(accepted.as_deref().unwrap_or_default(), &text));
        }
    }
    if as_json {
        output::json(&json!({ "scenarios": documents, "different": differing }));
    } else if differing > 0 {
        output::note(format!(
            "{differing} of {} differ; with --accept the states are accepted as they are now",
            scenarios.len()
        ));
    }
    Ok(if differing == 0 { Exit::AsAsked } else { Exit::Different })
}

/// The scenarios in a folder.
pub(super) fn scenarios(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| Failure::file(dir, &error))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(Failure::input(format!("there is no scenario in {}", dir.display()))
            .with_help("a scenario is a .toml file; fixtures/scenarios has examples"));
    }
    Ok(found)
}

/// The text that was accepted, without insta's header.
fn accepted(file: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(file, &error)),
    };
    let body = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    Ok(Some(body.map_or(text.clone(), |(_, body)| body.to_owned())))
}

fn accept(file: &Path, scenario: &Path, text: &str) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
    let source = scenario.file_name().unwrap_or_default().to_string_lossy();
    let contents = format!("---\nsource: {source}\n---\n{text}");
    fs::write(file, contents).map_err(|error| Failure::file(file, &error))
}

/// A difference by lines, with three lines around each change.
fn difference(left: &str, right: &str) -> Text {
    let diff = TextDiff::from_lines(left, right);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(3) {
        lines.push(paint(NAME, "  ..."));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Delete => paint(BAD, format!("  - {line}")),
                ChangeTag::Insert => paint(GOOD, format!("  + {line}")),
                ChangeTag::Equal => format!("    {line}").into(),
            });
        }
    }
    lines.into_iter().collect()
}
