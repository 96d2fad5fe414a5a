//! `salvage`: what verifies of a damaged journal, in a new one.

use serde_json::json;
use tensorforge_journal::{WriterOptions, salvage};

use crate::args::SalvageArgs;
use crate::failure::{Exit, Result};
use crate::output::{self, GOOD, grouped, paint};

pub(crate) fn run(args: &SalvageArgs, as_json: bool) -> Result<Exit> {
    let salvaged = salvage(&args.dir, &args.out, WriterOptions::default())?;
    if as_json {
        output::json(&json!({
            "records": salvaged.kept,
            "lost": salvaged.lost,
            "damage": salvaged.fault.as_ref().map(ToString::to_string),
        }));
        return Ok(Exit::AsAsked);
    }
    output::say(&format!(
        "{} {} records into {}",
        paint(GOOD, "salvaged"),
        grouped(salvaged.kept),
        args.out.display()
    ));
    if let Some(fault) = &salvaged.fault {
        output::say(&format!("stopped at: {fault}"));
    }
    if salvaged.lost > 0 {
        output::say(&format!("{} records behind it are lost", grouped(salvaged.lost)));
    }
    Ok(Exit::AsAsked)
}
