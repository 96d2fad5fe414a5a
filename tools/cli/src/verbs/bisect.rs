//! `bisect`: the first record where something turns.

mod meter;
mod predicate;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tensorforge_engine::State;
use tensorforge_engine::table::value_differences;
use tensorforge_engine::units::{JournalId, Seq};
use tensorforge_journal::{
    BLOCK_RECORDS, Divergence, Journal, Judgement, Phase, StateVerdict, bisect_build, bisect_state,
    diff, first_bad, hex, read_record,
};

use crate::args::BisectArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, GOOD, NAME, counted};
use crate::text::paint;
use crate::verbs::diff::{describe, with_divergence};
use crate::verbs::{self, log};

pub(crate) fn run(args: &BisectArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    if let Some(other) = &args.other {
        let parting = diff(&journal, &verbs::open(other)?)?;
        return tell(parting.divergence.as_ref(), parting.probes, ("left", "right"), as_json);
    }
    if let Some(expression) = &args.when {
        let verdict = predicate::first_true(&journal, expression)?;
        return turned(&journal, &verdict, (expression, "true"), as_json);
    }
    if let Some(command) = &args.run {
        let folder = tempfile::tempdir().map_err(Failure::input)?;
        let file = folder.path().join("state.json");
        let asked = Asked { command, journal: &journal, dir: &args.dir, file: &file };
        let verdict = bisect_state(&journal, |records, state| asked.judge(records, state))?;
        return turned(&journal, &verdict, (command, "bad"), as_json);
    }
    match args.engines.as_slice() {
        [] => {
            let found = bisect_build(&journal)?;
            tell(found.as_ref(), 1, ("recorded", "this build"), as_json)
        }
        [a, b] => {
            let (divergence, probes) = Builds { journal: &journal, dir: &args.dir, a, b }.part()?;
            tell(divergence.as_ref(), probes, ("first build", "second build"), as_json)
        }
        _ => Err(Failure::input("--engine is given twice, once for each build to compare")),
    }
}

fn tell(
    found: Option<&Divergence>,
    probes: u32,
    (left, right): (&str, &str),
    as_json: bool,
) -> Result<Exit> {
    if as_json {
        let document = json!({ "found": found.is_some(), "probes": probes });
        output::json(&with_divergence(document, found));
    } else if let Some(divergence) = found {
        output::say(describe(divergence, left, right));
        output::say(paint(NAME, "found in") + " " + counted(probes.into(), "probe"));
    } else {
        let probes = counted(probes.into(), "probe");
        output::say(paint(GOOD, "same:") + format!(" nothing turns ({probes})"));
    }
    Ok(if found.is_some() { Exit::Different } else { Exit::AsAsked })
}

/// Tells where a judge's answer turned into another.
fn turned(
    journal: &Journal,
    verdict: &StateVerdict,
    (judge, answer): (&str, &str),
    as_json: bool,
) -> Result<Exit> {
    let probes = counted(verdict.probes.into(), "probe");
    let Some(records) = verdict.records else {
        if as_json {
            output::json(&with_divergence(
                json!({ "found": false, "probes": verdict.probes }),
                None,
            ));
        } else {
            let never = paint(GOOD, format!("`{judge}` never {answer}"));
            let records = counted(journal.next_seq(), "record");
            output::say(never + format!(" in {records} ({probes})"));
        }
        return Ok(Exit::AsAsked);
    };
    let seq = records.saturating_sub(1);
    let record = read_record(journal, Seq(seq))?;
    let command =
        record.as_ref().map(|record| serde_json::to_value(&record.command).unwrap_or_default());
    if as_json {
        let mut document =
            with_divergence(json!({ "found": true, "probes": verdict.probes }), None);
        let fields = json!({
            "seq": seq,
            "skipped": verdict.skipped,
            "root": hex(&verdict.root),
            "command": command,
            "events": record.map(|record| record.events),
        });
        if let (Some(document), Value::Object(fields)) = (document.as_object_mut(), fields) {
            document.extend(fields);
        }
        output::json(&document);
    } else {
        let what = paint(NAME, format!("`{judge}` turns {answer}"));
        output::say(what + format!(" at record {seq} ({probes})"));
        if verdict.skipped > 0 {
            output::say(format!(
                "  or at one of the {} before it, which could not be judged",
                verdict.skipped
            ));
        }
        if let Some(command) = command {
            output::say(format!("  {}", log::value_text(&command)));
            let dir = journal.dir().display();
            output::say(format!("see it: tensorforge state {dir} --at {records}"));
        }
    }
    Ok(Exit::Different)
}

/// A command that judges states by its exit code.
struct Asked<'a> {
    command: &'a str,
    journal: &'a Journal,
    dir: &'a Path,
    /// Where it finds the state.
    file: &'a Path,
}

impl Asked<'_> {
    const HELP: &'static str = "exit with 0 for good, 1-127 for bad, 125 to skip";

    fn judge(&self, records: u64, state: &State) -> Result<Judgement> {
        let wrong = |what: &str| {
            Failure::input(format!("--run gave no answer after {records} records: {what}"))
                .with_help(Self::HELP)
        };
        match self.exit_code(records, state)? {
            Some(0) => Ok(Judgement::Good),
            Some(125) if records == self.journal.next_seq() => {
                Err(wrong("it skips the last state, so that nothing is known to be bad"))
            }
            Some(125) => Ok(Judgement::Skip),
            // The shell's own answers; as in `git bisect run`, a judge that gives them where nothing can
            // be bad yet cannot be run at all.
            Some(code @ (126 | 127)) if self.before_all()? == Some(code) => {
                Err(wrong(&format!("exit code {code}, and so before the first record")))
            }
            Some(1..=127) => Ok(Judgement::Bad),
            Some(code) => Err(wrong(&format!("exit code {code}"))),
            None => Err(wrong("it was killed by a signal")),
        }
    }

    fn before_all(&self) -> Result<Option<i32>> {
        self.exit_code(0, &State::genesis(JournalId(self.journal.id())))
    }

    fn exit_code(&self, records: u64, state: &State) -> Result<Option<i32>> {
        let view = state.view("").unwrap_or_default();
        std::fs::write(self.file, view.to_string())
            .map_err(|error| Failure::file(self.file, &error))?;
        let status = Command::new("sh")
            .args(["-c", self.command])
            .env("TENSORFORGE_STATE", self.file)
            .env("TENSORFORGE_RECORDS", records.to_string())
            .env("TENSORFORGE_JOURNAL", self.dir)
            .stdout(Stdio::null())
            .status()
            .map_err(|error| Failure::input(format!("sh: {error}")))?;
        Ok(status.code())
    }
}

const ENGINE_HELP: &str = "--engine takes the path of another build of tensorforge";

/// A record that one build has no place for in its state, or each of them for another reason.
fn breached(seq: u64, left: &Value, right: &Value) -> Option<Divergence> {
    let breach = |record: &Value| record.get("breach").filter(|breach| breach.is_object()).cloned();
    let problem = |breach: &Option<Value>| {
        breach.as_ref().and_then(|breach| breach.get("problem")).cloned().unwrap_or_default()
    };
    let (a, b) = (breach(left), breach(right));
    let first = a.as_ref().or(b.as_ref())?;
    let text = |field: &str| first.get(field).and_then(Value::as_str).map(str::to_owned);
    let (module, table) = (text("module"), text("table"));
    let row = first.get("row").and_then(Value::as_u64);
    let divergence = Divergence::new(seq, Phase::Breached, problem(&a), problem(&b));
    Some(Divergence { module, table, row, ..divergence })
}

/// What a build has made of a record: what it decided, the tag of its state, or where it breached.
fn answers(record: &Value) -> [Option<&Value>; 3] {
    ["decided", "tag", "breach"].map(|part| record.get(part))
}

/// Two builds of this program over one journal, each run as a process of its own.
struct Builds<'a> {
    journal: &'a Journal,
    dir: &'a Path,
    a: &'a Path,
    b: &'a Path,
}

impl Builds<'_> {
    /// Where the builds part: deciding again, by bisection over blocks and then over the records of one.
    fn part(&self) -> Result<(Option<Divergence>, u32)> {
        let blocks = self.journal.next_seq().div_ceil(BLOCK_RECORDS);
        let end = |block: u64| ((block + 1) * BLOCK_RECORDS).min(self.journal.next_seq());
        let found = first_bad(blocks, |block| self.differ(end(block)))?;
        let Some(block) = found.first else { return Ok((None, found.probes)) };
        let start = block * BLOCK_RECORDS;
        let (left, right) =
            (self.log(self.a, start, end(block))?, self.log(self.b, start, end(block))?);
        for (seq, (x, y)) in (start..).zip(left.iter().zip(&right)) {
            if answers(x) != answers(y) {
                return Ok((Some(self.examine(seq, x, y)?), found.probes));
            }
        }
        // One that stops short has said why in its last line, unless it is no build of ours.
        if left.len() != right.len() {
            let seq = start + left.len().min(right.len()) as u64;
            let message = format!("the builds stop at different records, one of them at {seq}");
            return Err(Failure::input(message).with_help(ENGINE_HELP));
        }
        // The tags agree within the block, so it is the digest or the root at its end.
        let root = |build| {
            Ok::<_, Failure>(
                self.replay(build, end(block))?.get("root").cloned().unwrap_or_default(),
            )
        };
        let divergence =
            Divergence::new(end(block) - 1, Phase::Digested, root(self.a)?, root(self.b)?);
        Ok((Some(divergence), found.probes))
    }

    /// Whether the builds have decided, or folded, anything otherwise by then.
    fn differ(&self, records: u64) -> Result<bool> {
        let of = |build| {
            let replay = self.replay(build, records)?;
            let part = |name: &str| replay.get(name).cloned().unwrap_or_default();
            Ok::<_, Failure>([part("root"), part("decisions"), part("breach")])
        };
        Ok(of(self.a)? != of(self.b)?)
    }

    fn examine(&self, seq: u64, left: &Value, right: &Value) -> Result<Divergence> {
        if let Some(breached) = breached(seq, left, right) {
            return Ok(breached);
        }
        let at = (seq + 1).to_string();
        let state = |build| self.ask(build, &["state", "--at", &at, "--decide"]);
        let (a, b) = (state(self.a)?, state(self.b)?);
        let events = |record: &Value| record.get("events").cloned().unwrap_or_default();
        Ok(Divergence::of_views(seq, &events(left), &events(right), value_differences("", &a, &b)))
    }

    fn replay(&self, build: &Path, records: u64) -> Result<Value> {
        self.ask(build, &["replay", "--to", &records.to_string(), "--decide"])
    }

    fn log(&self, build: &Path, from: u64, to: u64) -> Result<Vec<Value>> {
        let out = self.output(
            build,
            &["log", "--from", &from.to_string(), "--to", &to.to_string(), "--decide"],
        )?;
        out.lines().map(|line| self.parse(build, line)).collect()
    }

    fn ask(&self, build: &Path, words: &[&str]) -> Result<Value> {
        self.parse(build, &self.output(build, words)?)
    }

    fn parse(&self, build: &Path, text: &str) -> Result<Value> {
        serde_json::from_str(text).map_err(|error| {
            Failure::input(format!("{} did not answer in JSON: {error}", build.display()))
                .with_help(ENGINE_HELP)
        })
    }

    fn output(&self, build: &Path, words: &[&str]) -> Result<String> {
        let out = Command::new(build)
            .args(words)
            .arg("--json")
            .arg(self.dir)
            .stdin(Stdio::null())
            .output();
        let out = out.map_err(|error| Failure::file(build, &error).with_help(ENGINE_HELP))?;
        // A build that does not reproduce the recording answers 1 and says what it computed.
        if !matches!(out.status.code(), Some(0 | 1)) || out.stdout.is_empty() {
            let said = String::from_utf8_lossy(&out.stderr);
            let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            let said = Some(said.join("; ")).filter(|said| !said.is_empty());
            return Err(Failure::input(format!(
                "{} {}: {}",
                build.display(),
                words.join(" "),
                said.as_deref().unwrap_or("it printed nothing")
            ))
            .with_help(ENGINE_HELP));
        }
        String::from_utf8(out.stdout)
            .map_err(|error| Failure::input(format!("{}: {error}", build.display())))
    }
}
