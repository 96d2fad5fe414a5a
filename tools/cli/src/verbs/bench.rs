//! `bench`: the budgets, measured.
//!
//! Everything is measured on demand of our own making: one model, one tenant, vessels with 64 slots,
//! orders that come and complete in random order. Parts of the work are timed where they are done, best of
//! several rounds in turns, since the best is what the machine can do and the rest is its noise; what a
//! verb takes is timed from outside of it, from its start to its exit, as whoever runs it would.

mod asking;
mod load;

mod reading;
mod verbs;

mod deciding;
mod storms;

mod opening;
mod writing;

use std::path::Path;

use clap::ValueEnum as _;
use serde_json::json;
use tensorforge_journal::{LedgerOptions, WriterOptions};

use crate::args::{BenchArgs, BenchPart};
use crate::failure::{Exit, Failure, Result};
use crate::machine;
use crate::output::{self, BAD, FAINT, GOOD, NAME};
use crate::text::{Text, paint};

pub(crate) fn run(args: &BenchArgs, as_json: bool) -> Result<Exit> {
    let scratch = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.map_err(Failure::input)?;
    let mut bench = Bench { lines: Vec::new(), quick: args.quick, as_json };
    bench.say(paint(NAME, "tensorforge bench") + " on " + machine::description());
    for part in BenchPart::value_variants() {
        if args.only.is_empty() || args.only.contains(part) {
            bench.part(*part, scratch.path())?;
        }
    }
    if as_json {
        let lines: Vec<_> = bench.lines.iter().map(Line::json).collect();
        output::json(
            &json!({ "machine": machine::description(), "quick": args.quick, "figures": lines }),
        );
    }
    Ok(Exit::AsAsked)
}

/// What a figure includes of the work that is done about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// The bytes are hashed, and compared with what their headers claim.
    Hash,
    /// They become heads and events, and commands where they are decided again.
    Decode,
    /// The simulated fleet is played.
    Simulate,
    /// The command is decided, which folds its events.
    Decide,
    /// The events are folded into the state.
    Fold,
    /// The digests of the rows that changed go into those of their tables.
    Digest,
    /// The digests of all tables are summed up after every record.
    Tag,
    /// They are hashed, at the ends of frames and blocks.
    Root,
    /// The record becomes bytes.
    Encode,
    /// The bytes go to the system.
    Write,
    /// The disk is waited for.
    Sync,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Decode => "decode",
            Self::Simulate => "simulate",
            Self::Decide => "decide",
            Self::Fold => "fold",
            Self::Digest => "digest",
            Self::Tag => "tag",
            Self::Root => "root",
            Self::Encode => "encode",
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

/// What was measured, what it includes, what was promised, and how.
struct Line {
    what: String,
    value: f64,
    unit: &'static str,
    /// Empty where it is no work on records.
    of: &'static [Work],
    /// The promise: at least, or at most, this.
    budget: Option<(Bound, f64)>,
    method: String,
    /// Whether it is of the whole work, of which the promise is made.
    full: bool,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast,
    AtMost,
}

impl Line {
    fn holds(&self) -> Option<bool> {
        self.budget.filter(|_| self.full).map(|(bound, promised)| match bound {
            Bound::AtLeast => self.value >= promised,
            Bound::AtMost => self.value <= promised,
        })
    }

    fn includes(&self) -> Vec<&'static str> {
        self.of.iter().map(|work| work.name()).collect()
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "includes": self.includes(),
            "budget": self.budget.map(|(_, promised)| promised),
            "holds": self.holds(),
            "method": self.method,
        })
    }

    fn text(&self) -> Text {
        let verdict = match self.holds() {
            Some(true) => paint(GOOD, "holds"),
            Some(false) => paint(BAD, "misses"),
            None => paint(FAINT, "     "),
        };
        let budget = match self.budget {
            Some((Bound::AtLeast, promised)) => format!(">= {promised}"),
            Some((Bound::AtMost, promised)) => format!("<= {promised}"),
            None => String::new(),
        };
        let figure =
            format!("{:<52} {:>9.2} {:<11} {budget:<8} ", self.what, self.value, self.unit);
        let said = [self.includes().join(", "), self.method.clone()];
        let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
        let method = Text::from("    ") + paint(FAINT, said.join("; "));
        [Text::from(figure) + verdict, method].into_iter().collect()
    }
}

struct Bench {
    lines: Vec<Line>,
    quick: bool,
    as_json: bool,
}

impl Bench {
    fn part(&mut self, part: BenchPart, scratch: &Path) -> Result<()> {
        match part {
            BenchPart::Replay => self.replay(&scratch.join("steady.tfj")),
            BenchPart::Verbs => self.verbs(&scratch.join("steady.tfj")),
            BenchPart::Decide => self.decide(),
            BenchPart::Storm => self.storms(scratch),
            BenchPart::Append => self.append(scratch),
            BenchPart::Open => self.open(&scratch.join("large.tfj")),
            BenchPart::Capture => self.captures(scratch),
        }
    }

    fn say(&self, text: Text) {
        if !self.as_json {
            output::say(text);
        }
    }

    fn line(
        &mut self,
        what: &str,
        (value, unit): (f64, &'static str),
        of: &'static [Work],
        budget: Option<(Bound, f64)>,
        method: String,
    ) {
        let line =
            Line { what: what.to_owned(), value, unit, of, budget, method, full: !self.quick };
        self.say(line.text());
        self.lines.push(line);
    }

    fn scaled(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }

    /// How often something is measured of which the best counts.
    fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }
}

fn unsynced() -> LedgerOptions {
    let writer = WriterOptions { sync: false, ..WriterOptions::default() };
    LedgerOptions { writer, ..LedgerOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_judged_by_the_whole_work() {
        for (bound, full, holds, end) in [
            (Bound::AtLeast, true, Some(true), "holds"),
            (Bound::AtMost, true, Some(false), "misses"),
            (Bound::AtLeast, false, None, ""),
            (Bound::AtMost, false, None, ""),
        ] {
            let (what, method) = ("a".to_owned(), "b".to_owned());
            let (of, budget) = (&[Work::Hash, Work::Decode], Some((bound, 1.0)));
            let line = Line { what, value: 2.0, unit: "x", of, budget, method, full };
            assert_eq!((line.holds(), &line.json()["holds"]), (holds, &json!(holds)));
            assert_eq!(line.json()["includes"], json!(["hash", "decode"]));
            let text = anstream::adapter::strip_str(line.text().as_str()).to_string();
            let verdict = text.lines().next().unwrap_or_default().rsplit("= 1").next();
            assert_eq!(verdict.map(str::trim), Some(end));
            assert_eq!(text.lines().nth(1), Some("    hash, decode; b"));
        }
    }
}
