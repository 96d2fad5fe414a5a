//! `tour`: the whole of it in a minute, on input that is built in.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use clap::Parser as _;
use serde_json::{Value, json};

use crate::args::{Cli, TourArgs, Verb};
use crate::builtin;
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::output::{self, NAME};
use crate::text::paint;
use crate::verbs::capture::{self, By};

pub(crate) fn run(args: &TourArgs, as_json: bool) -> Result<Exit> {
    let Some(keep) = &args.keep else { return passing(as_json) };
    fs::create_dir_all(keep).map_err(|error| Failure::file(keep, &error))?;
    let (exit, told) = walk(By::Tour, keep, as_json)?;
    if as_json {
        output::json(&json!({ "kept": keep.to_string_lossy(), "stops": told }));
    } else if exit == Exit::AsAsked {
        let keep = keep.display();
        output::say("");
        output::say(format!(
            "The journals and the policy are in {keep}; all but `capture` works again as printed."
        ));
    }
    Ok(exit)
}

/// A tour in a folder that is gone afterwards. It is walked from inside of the folder, so that paths
/// are as short in the answers as they are in the commands.
fn passing(as_json: bool) -> Result<Exit> {
    let _heeding = interrupt::heed()?;
    let scratch = tempfile::tempdir().map_err(Failure::input)?;
    let home = env::current_dir().map_err(Failure::input)?;
    env::set_current_dir(scratch.path()).map_err(|error| Failure::file(scratch.path(), &error))?;
    let walked = walk(By::PassingTour, Path::new(""), as_json);
    env::set_current_dir(&home).map_err(|error| Failure::file(&home, &error))?;
    let (exit, told) = walked?;
    if as_json {
        output::json(&json!({ "kept": null, "stops": told }));
    } else if exit == Exit::AsAsked {
        for line in [
            "",
            "The journals of this tour are gone. `tensorforge tour --keep DIR` keeps them, with the policy,",
            "and prints commands that find them; `tensorforge capture --out morning.tfj` makes the first one.",
        ] {
            output::say(line);
        }
    }
    Ok(exit)
}

/// Runs one verb after another on what stands, or is made, in `folder`; the answers in JSON, if they
/// are wanted so.
fn walk(by: By, folder: &Path, as_json: bool) -> Result<(Exit, Vec<Value>)> {
    let policy = folder.join(builtin::OTHER_POLICY.0);
    fs::write(&policy, builtin::OTHER_POLICY.1).map_err(|error| Failure::file(&policy, &error))?;
    let (morning, thrifty) = (folder.join("morning.tfj"), folder.join("thrifty.tfj"));
    let word = OsStr::new;
    let [policy, morning, thrifty] = [&policy, &morning, &thrifty].map(|path| path.as_os_str());
    let (capture, out) = (word("capture"), word("--out"));
    let stops: [(&str, Vec<&OsStr>); 6] = [
        ("A morning at the exchange becomes a journal.", vec![capture, out, morning]),
        ("Every decision is made again, every root computed again.", vec![word("verify"), morning]),
        (
            "The state after any record can be had back.",
            vec![word("replay"), morning, word("--to"), word("500")],
        ),
        (
            "One order's whole story, with the alternatives.",
            vec![word("explain"), morning, word("--order"), word("17")],
        ),
        (
            "The same demand under another policy.",
            vec![capture, word("--policy"), policy, out, thrifty],
        ),
        ("Where the two part, and what changed.", vec![word("diff"), morning, thrifty]),
    ];
    let mut told = Vec::new();
    for (what, words) in stops {
        // Only a capture is broken off.
        if interrupt::asked() {
            return Ok((Exit::Interrupted, told));
        }
        let command = format!("tensorforge {}", words.join(word(" ")).to_string_lossy());
        if !as_json {
            output::say("");
            output::say(what);
            output::say(paint(NAME, format!("$ {command}")));
        }
        let json = as_json.then_some(word("--json"));
        let cli = Cli::try_parse_from([word("tensorforge")].into_iter().chain(words).chain(json))
            .map_err(Failure::input)?;
        let (exit, answer) = output::gather(|| match &cli.verb {
            Verb::Capture(args) => capture::run_by(by, args, cli.json),
            _ => crate::run(&cli),
        });
        let exit = exit?;
        if as_json {
            let answer = answer.into_iter().next();
            told.push(json!({ "about": what, "command": command, "answer": answer }));
        }
        let expected =
            if matches!(cli.verb, Verb::Diff(_)) { Exit::Different } else { Exit::AsAsked };
        if exit != expected {
            return Ok((exit, told));
        }
    }
    Ok((Exit::AsAsked, told))
}
