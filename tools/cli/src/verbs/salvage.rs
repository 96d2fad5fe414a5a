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
        let lost = grouped(salvaged.lost);
        output::say(&format!("lost: {lost} records, from the damaged one on"));
    }
    if let (None, Some(tail)) = (&salvaged.fault, &salvaged.torn) {
        output::say(&format!(
            "left out: the last frame, of which {} bytes were written; nothing is damaged",
            tail.length
        ));
    }
    // Damage may hide how much came after it, so the way on is shown even if nothing is known to be lost.
    if salvaged.fault.is_some() || salvaged.torn.is_some() {
        output::say(&format!(
            "go on: tensorforge capture --resume --out {}, with the arguments of the capture, \
             makes the rest again",
            args.out.display()
        ));
    }
    Ok(Exit::AsAsked)
}
