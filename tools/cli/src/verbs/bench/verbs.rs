//! What the verbs take, from their start to their exit: on a journal of a million records, and to make one.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tensorforge_fleet::Recipe;

use super::asking::{Asked, ask, best, best_of_each};
use super::{Bench, Bound, Work};
use crate::failure::{Failure, Result};
use crate::output::grouped;

const REPLAYED: &[Work] = &[Work::Hash, Work::Decode, Work::Fold, Work::Digest, Work::Root];
const TOLD: &[Work] = &[Work::Hash, Work::Decode, Work::Fold, Work::Digest];
const EXPLAINED: &[Work] = &[Work::Hash, Work::Decode];
const VERIFIED: &[Work] =
    &[Work::Hash, Work::Decode, Work::Decide, Work::Fold, Work::Digest, Work::Tag, Work::Root];
const CAPTURED: &[Work] = &[
    Work::Simulate,
    Work::Decide,
    Work::Fold,
    Work::Digest,
    Work::Tag,
    Work::Root,
    Work::Encode,
    Work::Hash,
    Work::Write,
    Work::Sync,
];

/// An hour and a half of demand: 12 000 orders.
const RECIPE: &str = include_str!("demand.gen.toml");
/// How long it is.
const DURATION: &str = "duration_ms = 5_000_000";

impl Bench {
    /// Reading a large journal.
    pub(super) fn verbs(&mut self, dir: &Path) -> Result<()> {
        self.steady(dir)?;
        let words = |words: &[&str]| -> Vec<OsString> {
            let place = |word: &&str| match *word {
                "DIR" => dir.as_os_str().to_owned(),
                word => word.into(),
            };
            words.iter().map(place).collect()
        };
        let replay = |threads| words(&["replay", "DIR", "--from", "genesis", "--threads", threads]);
        let replayed = ask(&replay("1"))?;
        let (records, events) = (replayed.number("records"), replayed.number("events"));
        let told = words(&["state", "DIR", "control", "--at", &(records - 1).to_string()]);
        let last = ask(&told)?.number("orders").max(1).to_string();
        let explain = words(&["explain", "DIR", "--order", &last]);
        let rounds = self.rounds();
        let verbs = [replay("1"), replay("2"), told, explain];
        let [alone, ahead, told, explained] = best_of_each(rounds, &verbs)?;
        let of = format!("{} records, {} events, no snapshot", grouped(records), grouped(events));
        let rate = |asked: &Asked| (events as f64 / asked.seconds / 1e6, "M events/s");
        for (what, replayed, promised) in
            [("`replay`, one thread", alone, 6.0), ("`replay`, 2 threads", ahead, 9.6)]
        {
            let method = format!("{of}; the root of every frame and block is compared");
            let budget = Some((Bound::AtLeast, promised));
            self.line(what, rate(&replayed), REPLAYED, budget, method);
            self.peak(&replayed);
        }
        let what = "`state --at` the last record but one";
        self.line(what, (told.seconds, "s"), TOLD, None, of.clone());
        self.peak(&told);
        self.line("`explain` the last order", (explained.seconds, "s"), EXPLAINED, None, of);
        self.peak(&explained);
        // Spans are from one snapshot to the next: with one in the middle there are two.
        ask(&words(&["snapshot", "take", "DIR", "--at", &(records / 2).to_string()]))?;
        let verify = |threads| words(&["verify", "DIR", "--threads", threads]);
        let [alone, beside] = best_of_each(rounds, &[verify("1"), verify("2")])?;
        for (what, verified, promised) in
            [("`verify`, one thread", alone, Some(1.2)), ("`verify`, 2 threads", beside, None)]
        {
            let method = format!("{} spans", verified.number("spans"));
            let budget = promised.map(|promised| (Bound::AtLeast, promised));
            self.line(what, rate(&verified), VERIFIED, budget, method);
            self.peak(&verified);
        }
        Ok(())
    }

    /// Making a journal: of an hour's demand, and of a million records.
    pub(super) fn captures(&mut self, scratch: &Path) -> Result<()> {
        let hour = self.trace(&scratch.join("hour.jsonl"), 1)?;
        let captured = best(5, |round| capture(scratch, "hour", round))?;
        self.line(
            &format!("`capture` a trace of {} orders over 4 vessels", grouped(hour)),
            (captured.seconds, "s"),
            CAPTURED,
            Some((Bound::AtMost, 0.2)),
            "the trace is read and the journal closed; best of 5".into(),
        );
        self.line(
            "  its peak memory",
            (captured.peak_mib(), "MiB"),
            &[],
            Some((Bound::AtMost, 95.4)),
            "VmHWM of that process".into(),
        );
        let days = self.trace(&scratch.join("days.jsonl"), self.scaled(40))?;
        let captured =
            best(if self.quick { 1 } else { 3 }, |round| capture(scratch, "days", round))?;
        let records = captured.number("records");
        self.line(
            "`capture`, a large trace",
            (records as f64 / captured.seconds / 1e6, "M records/s"),
            CAPTURED,
            None,
            format!(
                "{} orders, {} records, a snapshot every 16 384",
                grouped(days),
                grouped(records)
            ),
        );
        self.peak(&captured);
        Ok(())
    }

    /// Writes a trace as many times as long as the recipe's; its orders.
    fn trace(&self, path: &Path, times: u64) -> Result<u64> {
        let duration = format!("duration_ms = {}", 5_000_000 * times);
        let recipe = RECIPE.replace(DURATION, &duration);
        let trace = Recipe::parse("bench", &recipe).map_err(Failure::input)?.generate();
        fs::write(path, trace.to_jsonl()).map_err(|error| Failure::file(path, &error))?;
        Ok(trace.rows.len() as u64)
    }

    fn peak(&mut self, asked: &Asked) {
        let peak = (asked.peak_mib(), "MiB");
        self.line("  its peak memory", peak, &[], None, "VmHWM of that process".into());
    }
}

fn capture(scratch: &Path, name: &str, round: usize) -> Result<Asked> {
    let (trace, out) =
        (scratch.join(format!("{name}.jsonl")), scratch.join(format!("{name}-{round}.tfj")));
    let words = [
        "capture".into(),
        "--trace".into(),
        trace.into_os_string(),
        "--out".into(),
        out.clone().into(),
    ];
    let asked = ask::<OsString>(&words)?;
    fs::remove_dir_all(&out).map_err(|error| Failure::file(&out, &error))?;
    Ok(asked)
}
