//! The tensorforge command line: parses, runs a verb, and ends with its exit code.

// What is printed goes through `output`, which lets nothing act on a terminal.
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![deny(unsafe_code)]

mod allocator;
mod args;
mod asked;
mod builtin;
mod drive;
mod failure;
mod interrupt;
mod machine;
mod moment;
mod names;
mod output;
mod tally;
mod text;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::allocator::Mimalloc;
use crate::args::{Cli, Verb};
use crate::failure::{Exit, Failure, Result};
use crate::text::Text;

#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(error),
    };
    output::set_colour(cli.color);
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::complain(&failure);
            failure.exit.into()
        }
    }
}

fn run(cli: &Cli) -> Result<Exit> {
    match &cli.verb {
        Verb::Tour(args) => verbs::tour::run(args, cli.json),
        #[cfg(feature = "serve")]
        Verb::Serve(args) => verbs::serve::run(args, cli.json),
        Verb::Capture(args) => verbs::capture::run(args, cli.json),
        Verb::Compare(args) => verbs::compare::run(args, cli.json),
        Verb::Replay(args) => verbs::replay::run(args, cli.json),
        Verb::Verify(args) => verbs::verify::run(args, cli.json),
        Verb::Diff(args) => verbs::diff::run(args, cli.json),
        Verb::Bisect(args) => verbs::bisect::run(args, cli.json),
        Verb::Explain(args) => verbs::explain::run(args, cli.json),
        Verb::Stats(args) => verbs::stats::run(args, cli.json),
        Verb::Health(args) => verbs::health::run(args, cli.json),
        Verb::Route(args) => verbs::route::run(args, cli.json),
        Verb::Fits(args) => verbs::fits::run(args, cli.json),
        Verb::Dwell(args) => verbs::dwell::run(args, cli.json),
        Verb::Audit(args) => verbs::audit::run(args, cli.json),
        Verb::Jobs(args) => verbs::jobs::run(args, cli.json),
        Verb::State(args) => verbs::state::run(args, cli.json),
        Verb::Log(args) => verbs::log::run(args, cli.json),
        Verb::Sla(args) => verbs::sla::run(args, cli.json),
        Verb::Incidents(args) => verbs::incidents::run(args, cli.json),
        Verb::PolicyCheck(args) => verbs::policy_check::run(args, cli.json),
        Verb::Snapshot(args) => verbs::snapshot::run(args, cli.json),
        Verb::SnapshotTest(args) => verbs::snapshot_test::run(args, cli.json),
        Verb::Rules(args) => verbs::rules::run(args, cli.json),
        Verb::Salvage(args) => verbs::salvage::run(args, cli.json),
        Verb::Generate(args) => verbs::generate::run(args, cli.json),
        Verb::Bench(args) => verbs::bench::run(args, cli.json),
        Verb::Completions { .. } if cli.json => Err(no_json("completions", "prints a script")),
        Verb::Man { .. } if cli.json => Err(no_json("man", "writes manual pages")),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tensorforge", &mut script);
            output::document(&String::from_utf8_lossy(&script));
            Ok(Exit::AsAsked)
        }
        Verb::Man { out } => man(out),
    }
}

/// Answers arguments that say nothing, or ask for help. What they say is repeated, so it is read once
/// more with everything spelled out that a terminal would not show.
fn misread(error: clap::Error) -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    let spelled: Vec<String> =
        given.iter().map(|word| Text::from(word.to_string_lossy()).as_str().to_owned()).collect();
    let plain = given.iter().zip(&spelled).all(|(given, spelled)| given == OsStr::new(spelled));
    if plain {
        error.exit();
    }
    match Cli::try_parse_from(spelled) {
        Err(same) if same.kind() == error.kind() => same.exit(),
        _ => {
            let failure = Failure::input(error.kind());
            output::complain(&failure);
            failure.exit.into()
        }
    }
}

fn no_json(verb: &str, what: &str) -> Failure {
    Failure::input(format!("--json does not apply to `{verb}`, which {what}"))
}

/// Writes one manual page for the program and one for each verb.
fn man(out: &Path) -> Result<Exit> {
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, &error))?;
    clap_mangen::generate_to(Cli::command(), out).map_err(|error| Failure::file(out, &error))?;
    Ok(Exit::AsAsked)
}
