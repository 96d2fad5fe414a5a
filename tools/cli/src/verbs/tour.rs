//! `tour`: the whole of it in a minute, on input that is built in.

use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::args::{Cli, TourArgs, Verb};
use crate::builtin;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, NAME, paint};

pub(crate) fn run(args: &TourArgs) -> Result<Exit> {
    let scratch = tempfile::tempdir().map_err(Failure::input)?;
    let folder = args.keep.clone().unwrap_or_else(|| scratch.path().to_path_buf());
    let morning = folder.join("morning.tfj");
    let thrifty = folder.join("thrifty.tfj");
    let policy = scratch.path().join(builtin::OTHER_POLICY.0);
    std::fs::write(&policy, builtin::OTHER_POLICY.1)
        .map_err(|error| Failure::file(&policy, &error))?;

    let text = |path: &PathBuf| path.display().to_string();
    let (morning, thrifty, policy) = (text(&morning), text(&thrifty), text(&policy));
    let stops: [(&str, Vec<&str>); 6] = [
        ("A morning at the exchange becomes a journal.", vec!["capture", "--out", &morning]),
        ("Every decision is made again, every root computed again.", vec!["verify", &morning]),
        ("The state after any record can be had back.", vec!["replay", &morning, "--to", "500"]),
        (
            "One order's whole story, with the alternatives.",
            vec!["explain", &morning, "--order", "17"],
        ),
        (
            "The same demand under another policy.",
            vec!["capture", "--policy", &policy, "--out", &thrifty],
        ),
        ("Where the two part, and what changed.", vec!["diff", &morning, &thrifty]),
    ];
    for (what, words) in stops {
        let shown: Vec<String> =
            words.iter().map(|word| shorten(word, &folder, scratch.path())).collect();
        output::say(&format!(
            "\n{what}\n{}",
            paint(NAME, format!("$ tensorforge {}", shown.join(" ")))
        ));
        let cli = Cli::try_parse_from(["tensorforge"].into_iter().chain(words))
            .map_err(Failure::input)?;
        let exit = crate::run(&cli)?;
        let expected =
            if matches!(cli.verb, Verb::Diff(_)) { Exit::Different } else { Exit::AsAsked };
        if exit != expected {
            return Ok(exit);
        }
    }
    if let Some(keep) = &args.keep {
        output::say(&format!("\nThe journals are in {}.", keep.display()));
    }
    Ok(Exit::AsAsked)
}

/// A path as a reader would have typed it.
fn shorten(word: &str, folder: &Path, scratch: &Path) -> String {
    let path = Path::new(word);
    let inside = path.strip_prefix(folder).or_else(|_| path.strip_prefix(scratch));
    inside.map_or_else(|_| word.to_owned(), |rest| rest.display().to_string())
}
