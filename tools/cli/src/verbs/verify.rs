//! `verify`: prove a journal.

use std::time::Instant;

use serde_json::json;
use tensorforge_journal::{hex, verify};

use crate::args::VerifyArgs;
use crate::failure::{Exit, Result};
use crate::machine;
use crate::output::{self, FAINT, GOOD, NAME, counted, grouped};
use crate::text::paint;
use crate::verbs::{self, diff};

pub(crate) fn run(args: &VerifyArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let threads = machine::threads(args.threads);
    let started = Instant::now();
    let bar = output::progress("verifying", journal.next_seq());
    let verified = verify(&journal, threads, &|records| bar.set_position(records))?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    // What this build does not make of the journal, it does not count either.
    let live = verified.divergence.is_none().then_some(verified.live);
    let spans = counted(verified.spans as u64, "span");
    if as_json {
        output::json(&json!({
            "records": verified.records,
            "events": verified.events,
            "root": hex(&verified.root),
            "tree_root": hex(&journal.tree_root()),
            "blocks": journal.blocks().len(),
            "closed": journal.closed(),
            "live": live,
            "spans": verified.spans,
            "verified": verified.divergence.is_none(),
            "divergence": verified.divergence,
            "seconds": seconds,
            "peak_bytes": machine::peak_bytes(),
        }));
    } else if let Some(divergence) = &verified.divergence {
        output::say(diff::describe(divergence, "recorded", "this build"));
    } else {
        let (records, events) =
            (counted(verified.records, "record"), counted(verified.events, "event"));
        output::say(
            paint(GOOD, "verified")
                + format!(" {records}, {events}: chain, decisions and every root ")
                + paint(FAINT, format!("({spans}, {seconds:.3} s)")),
        );
        output::say(paint(NAME, "root") + " " + hex(&verified.root));
        let blocks = counted(journal.blocks().len() as u64, "block");
        output::say(paint(NAME, "tree") + format!(" {} over {blocks}", hex(&journal.tree_root())));
        let closed = match journal.closed() {
            true => "yes",
            false => "no: killed, still being written, or salvaged in part",
        };
        output::say(paint(NAME, "closed:") + " " + closed);
        let live = grouped(live.unwrap_or_default().into());
        output::say(paint(NAME, "orders live:") + " " + live);
    }
    Ok(if verified.divergence.is_none() { Exit::AsAsked } else { Exit::Different })
}
