//! `generate`: a trace from a description of its demand.

use serde_json::json;
use tensorforge_fleet::Recipe;

use crate::args::GenerateArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, GOOD, counted, span};
use crate::text::paint;

pub(crate) fn run(args: &GenerateArgs, as_json: bool) -> Result<Exit> {
    if as_json && args.out.is_none() {
        return Err(Failure::input("--json needs --out: standard output is the trace itself"));
    }
    let recipe = Recipe::open(&args.description).map_err(Failure::input)?;
    let trace = recipe.generate();
    let text = trace.to_jsonl();
    let Some(path) = &args.out else {
        output::document(&text);
        return Ok(Exit::AsAsked);
    };
    std::fs::write(path, text).map_err(|error| Failure::file(path, &error))?;
    let (rows, last) = (trace.rows.len() as u64, trace.rows.last().map_or(0, |row| row.at.0));
    if as_json {
        output::json(&json!({
            "trace": trace.name,
            "path": path.to_string_lossy(),
            "rows": rows,
            "tenants": trace.tenants(),
            "last_us": last,
        }));
    } else {
        let (name, path, rows) = (&trace.name, path.display(), counted(rows, "order"));
        let made = format!(" {name} into {path}: {rows}, the last at {}", span(last));
        output::say(paint(GOOD, "generated") + made);
    }
    Ok(Exit::AsAsked)
}
