//! `generate`: a trace from a description of its demand.

use tensorforge_fleet::Recipe;

use crate::args::GenerateArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output;

pub(crate) fn run(args: &GenerateArgs) -> Result<Exit> {
    let recipe = Recipe::open(&args.description).map_err(Failure::input)?;
    let trace = recipe.generate().to_jsonl();
    match &args.out {
        Some(path) => std::fs::write(path, trace).map_err(|error| Failure::file(path, &error))?,
        None => output::print(&trace),
    }
    Ok(Exit::AsAsked)
}
