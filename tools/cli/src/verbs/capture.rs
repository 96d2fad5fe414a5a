//! `capture`: a trace, a fleet and a policy become a journal.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros};
use tensorforge_engine::{BUILD, Event, Root, policy};
use tensorforge_fleet::scenario::Scenario;
use tensorforge_fleet::{Fleet, Trace, parse_policy};
use tensorforge_journal::{
    Closed, Journal, JournalError, Ledger, LedgerError, LedgerOptions, Mode, Phase, Replay,
    ReplayError, WriterOptions, hex, reproduce,
};

use crate::args::CaptureArgs;
use crate::builtin;
use crate::drive::{Recorder, World, drive};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::machine;
use crate::output::{self, FAINT, GOOD, NAME, counted, grouped};
use crate::tally::Tally;
use crate::text::paint;
use crate::verbs;

/// Who captures, and so what else can be done about a journal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The verb itself, which can go on with what is there.
    Verb,
    /// A tour in a folder that is kept.
    Tour,
    /// A tour in a folder that is about to go.
    PassingTour,
}

pub(crate) fn run(args: &CaptureArgs, json: bool) -> Result<Exit> {
    run_by(By::Verb, args, json)
}

/// Captures as a part of something else.
pub(crate) fn run_by(by: By, args: &CaptureArgs, json: bool) -> Result<Exit> {
    if let Some(path) = &args.scenario {
        return record(path, args, json);
    }
    let (trace, fleet, policy) = (&args.trace, &args.fleet, &args.policy);
    let inputs = Inputs::read(trace.as_deref(), fleet.as_deref(), policy.as_deref())?;
    let world = inputs.world(args.seed)?;
    // Whatever is wrong with them is said before a journal is made.
    world.check()?;
    let id = args.journal_id.map_or_else(|| default_id(&world), |id| Ok(JournalId(id)))?;
    let started = Instant::now();
    let bar = output::progress("capturing", world.trace.rows.len() as u64);
    let heeding = interrupt::heed()?;
    let (ledger, recorded) = open(by, args, id)?;
    let mut recorder = Capture::begin(ledger, recorded.as_ref(), args.check, bar);
    let flow = drive(&world, &mut recorder)?;
    let ended = recorder.end(flow)?;
    // Heeded until the journal is closed.
    drop(heeding);
    let report = Report { args, id, ended, seconds: started.elapsed().as_secs_f64() };
    if report.ended.interrupted {
        report.print_interrupted(by, json);
        return Ok(Exit::Interrupted);
    }
    report.check_complete(&world)?;
    report.print(json);
    Ok(Exit::AsAsked)
}

/// Records a scenario: every command that it tells, and the time that passes between two of them.
fn record(path: &Path, args: &CaptureArgs, as_json: bool) -> Result<Exit> {
    let scenario = Scenario::open(path).map_err(Failure::input)?;
    let played = scenario.play().map_err(Failure::input)?;
    verbs::refuse_other_files(&args.out)?;
    let mut ledger = create(By::Verb, &args.out, played.state.journal(), options(args))?;
    let mut events = 0u64;
    for ((time, _), (source, command)) in played.records.iter().zip(&played.commands) {
        events += ledger.record(*time, *source, command)?.len() as u64;
    }
    let (records, id) = (ledger.records(), played.state.journal());
    let Closed { root, .. } = ledger.close()?;
    if as_json {
        let (journal, dir) = (id.to_string(), args.out.to_string_lossy());
        output::json(&json!({
            "journal": journal, "dir": dir, "records": records, "events": events, "root": hex(&root),
            "build": BUILD,
        }));
        return Ok(Exit::AsAsked);
    }
    let (out, records) = (args.out.display(), counted(records, "record"));
    let told = format!(" {} into {out}: {records}, {}", path.display(), counted(events, "event"));
    output::say(paint(GOOD, "captured") + told);
    output::say(paint(NAME, "root") + " " + hex(&root));
    Ok(Exit::AsAsked)
}

/// The texts that a capture is made from.
pub(super) struct Inputs {
    trace: (String, Vec<u8>),
    fleet: (String, String),
    policy: (String, String),
}

impl Inputs {
    /// Reads them; those built in where no file is named.
    pub(super) fn read(
        trace: Option<&Path>,
        fleet: Option<&Path>,
        policy: Option<&Path>,
    ) -> Result<Self> {
        let text = |path: Option<&Path>, builtin: (&str, &str)| -> Result<(String, String)> {
            match path {
                Some(path) => {
                    let text = std::fs::read_to_string(path);
                    Ok((
                        path.display().to_string(),
                        text.map_err(|error| Failure::file(path, &error))?,
                    ))
                }
                None => Ok((builtin.0.to_owned(), builtin.1.to_owned())),
            }
        };
        let trace = match trace {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
                (path.display().to_string(), bytes)
            }
            None => (builtin::TRACE.0.to_owned(), builtin::TRACE.1.as_bytes().to_vec()),
        };
        Ok(Self {
            trace,
            fleet: text(fleet, builtin::FLEET)?,
            policy: text(policy, builtin::POLICY)?,
        })
    }

    pub(super) fn world(&self, seed: u64) -> Result<World> {
        Ok(World {
            trace: Trace::parse(&self.trace.0, &self.trace.0, &self.trace.1, None)
                .map_err(Failure::input)?,
            fleet: Fleet::parse(&self.fleet.0, &self.fleet.1).map_err(Failure::input)?,
            policy: parse_policy(&self.policy.0, &self.policy.1).map_err(Failure::input)?,
            seed,
        })
    }
}

/// The same demand on the same fleet has the same name everywhere, and so the same draws, whatever its
/// files look like: what two policies, or two kinds of faults, make of it differs by them alone.
pub(super) fn default_id(world: &World) -> Result<JournalId> {
    let setup = world.fleet.setup_commands(&world.trace, &world.policy);
    let parties = setup
        .iter()
        .filter(|command| !matches!(command, Command::Policy(policy::Command::SetPolicy(_))));
    let parties = serde_json::to_vec(&parties.collect::<Vec<_>>()).map_err(Failure::input)?;
    let rows = serde_json::to_vec(&world.trace.rows).map_err(Failure::input)?;
    let mut hasher = blake3::Hasher::new();
    for part in [parties, rows] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(&part);
    }
    hasher.update(&world.trace.block_tokens.to_le_bytes()).update(&world.seed.to_le_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    Ok(JournalId(id))
}

/// A ledger that is written by a capture, and what is counted on the way.
struct Capture<'j> {
    ledger: Ledger,
    tally: Tally,
    events: Vec<Event>,
    /// What an interrupted capture has recorded: it is decided again and must come out the same.
    earlier: Option<Replay<'j>>,
    bar: ProgressBar,
    check: bool,
}

/// What a capture leaves.
struct Ended {
    tally: Tally,
    /// Whether the tally is of all that the journal holds: it is not where a capture was broken off
    /// while what was there was still being compared.
    whole: bool,
    records: u64,
    /// Orders that have not ended.
    live: u64,
    root: Root,
    interrupted: bool,
}

impl<'j> Capture<'j> {
    fn begin(ledger: Ledger, recorded: Option<&'j Journal>, check: bool, bar: ProgressBar) -> Self {
        let begun = recorded.filter(|journal| journal.next_seq() > 0);
        Self {
            ledger,
            tally: Tally::default(),
            events: Vec::new(),
            earlier: begun.map(|journal| Replay::from_genesis(journal, Mode::Decide)),
            bar,
            check,
        }
    }

    fn end(self, flow: ControlFlow<()>) -> Result<Ended> {
        self.bar.finish_and_clear();
        let whole = self.earlier.is_none();
        if let Some(earlier) = self.earlier.filter(|_| flow.is_continue()) {
            return Err(other_input(earlier.records()));
        }
        let sums = Tally::sums_of_accounts(self.ledger.state());
        if whole && sums != self.tally.sums {
            let message =
                format!("the accounts hold {sums:?}, the orders add up to {:?}", self.tally.sums);
            return Err(Failure { exit: Exit::Different, message, help: None });
        }
        let (records, live) =
            (self.ledger.records(), self.ledger.state().tables.orders.len().into());
        let Closed { root, missed, .. } = self.ledger.close()?;
        for missed in &missed {
            output::note(format!("{missed}; {}", missed.help()));
        }
        Ok(Ended { tally: self.tally, whole, records, live, root, interrupted: flow.is_break() })
    }

    /// Decides again what is recorded already, and compares.
    fn follow(&mut self, time: Micros, source: Source, command: &Command) -> Result<()> {
        let Some(earlier) = &mut self.earlier else { return Ok(()) };
        let (seq, end) = (earlier.records(), earlier.journal().next_seq());
        let time = time.max(earlier.state().now());
        let (events, mut same) = (&mut self.events, false);
        let found = reproduce(earlier.journal(), earlier, seq + 1, |step| {
            same = (step.head.time, step.head.source) == (time, source)
                && step.command().is_ok_and(|recorded| recorded == *command);
            events.extend_from_slice(step.events);
        })?;
        match found {
            Some(found) if same && found.phase != Phase::Decided => {
                return Err(LedgerError::Diverged(Box::new(found)).into());
            }
            None if same => {}
            _ => return Err(other_input(seq)),
        }
        if seq + 1 == end {
            self.earlier = None;
        }
        Ok(())
    }
}

/// The ledger to write, and what it holds already where it is resumed.
fn open(by: By, args: &CaptureArgs, id: JournalId) -> Result<(Ledger, Option<Journal>)> {
    let options = options(args);
    if args.resume {
        return resume(args, id, options).map(|(ledger, journal)| (ledger, Some(journal)));
    }
    verbs::refuse_other_files(&args.out)?;
    Ok((create(by, &args.out, id, options)?, None))
}

fn options(args: &CaptureArgs) -> LedgerOptions {
    LedgerOptions {
        frame_records: args.frame_records,
        snapshot_every: args.snapshot_every,
        writer: WriterOptions { sync: !args.no_sync, ..WriterOptions::default() },
        ..LedgerOptions::default()
    }
}

fn create(by: By, out: &Path, id: JournalId, options: LedgerOptions) -> Result<Ledger> {
    Ledger::create(out, id, options).map_err(|error| match error {
        LedgerError::Replay(ReplayError::Journal(JournalError::Exists { .. }))
            if by == By::Verb =>
        {
            Failure::from(error).with_help(format!(
                "give another directory, or go on with `tensorforge capture --resume --out {}`",
                out.display()
            ))
        }
        error => error.into(),
    })
}

fn other_input(seq: u64) -> Failure {
    Failure::input(format!("the journal is not of this capture: record {seq} differs"))
        .with_help("resume with the arguments, and the build, of the capture that was interrupted")
}

fn resume(args: &CaptureArgs, id: JournalId, options: LedgerOptions) -> Result<(Ledger, Journal)> {
    let (ledger, _) = Ledger::open(&args.out, options)?;
    let journal = Journal::open(&args.out)?;
    let found = JournalId(journal.id());
    if found != id {
        return Err(Failure::input(format!("{} is journal {found}, not {id}", args.out.display()))
            .with_help("resume with the arguments of the capture that was interrupted"));
    }
    Ok((ledger, journal))
}

impl Recorder for Capture<'_> {
    fn record(&mut self, time: Micros, source: Source, command: &Command) -> Result<&[Event]> {
        self.events.clear();
        if self.earlier.is_some() {
            self.follow(time, source, command)?;
        } else {
            self.events.extend_from_slice(self.ledger.record(time, source, command)?);
            if self.check
                && let Some(fault) = self.ledger.state().check().into_iter().next()
            {
                let message = format!("record {}: {fault}", self.ledger.records() - 1);
                return Err(Failure { exit: Exit::Different, message, help: None });
            }
        }
        self.tally.count(&self.events);
        Ok(&self.events)
    }

    fn next_deadline(&self) -> Option<Micros> {
        match &self.earlier {
            Some(earlier) => earlier.state().next_deadline(),
            None => self.ledger.state().next_deadline(),
        }
    }

    fn go_on(&mut self, arrived: usize) -> ControlFlow<()> {
        if arrived.is_multiple_of(64) {
            self.bar.set_position(arrived as u64);
        }
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

struct Report<'a> {
    args: &'a CaptureArgs,
    id: JournalId,
    ended: Ended,
    seconds: f64,
}

impl Report<'_> {
    /// Every row of the trace is an order that has ended in one state, but for those sent twice.
    fn check_complete(&self, world: &World) -> Result<()> {
        let (rows, ended) = (world.trace.rows.len() as u64, self.ended.tally.orders());
        let repeated =
            world.trace.rows.iter().filter(|row| row.idempotency.is_some()).count() as u64;
        if ended > rows || ended + repeated < rows {
            let message = format!("{rows} orders went in, {ended} have ended");
            return Err(Failure { exit: Exit::Different, message, help: None });
        }
        Ok(())
    }

    fn print_interrupted(&self, by: By, as_json: bool) {
        if as_json {
            output::json(&self.json());
        }
        output::note(format!(
            "interrupted: {} in {}, orders live: {}; {}",
            counted(self.ended.records, "record"),
            self.args.out.display(),
            grouped(self.ended.live),
            match by {
                By::PassingTour => "they go with the tour; `tensorforge tour` begins again",
                By::Tour => "`tensorforge tour --keep` into another directory begins again",
                By::Verb => "the same command with --resume goes on",
            },
        ));
    }

    fn print(&self, as_json: bool) {
        if as_json {
            return output::json(&self.json());
        }
        let Ended { tally, root, .. } = &self.ended;
        let records = counted(tally.records, "record");
        let events = counted(tally.events, "event");
        let rate = tally.records as f64 / self.seconds.max(1e-9);
        let rate = grouped(rate.round() as u64);
        output::say(
            paint(GOOD, "captured")
                + format!(" {} into {}: {records}, {events} ", self.id, self.args.out.display())
                + paint(FAINT, format!("({:.2} s, {rate} records/s)", self.seconds)),
        );
        output::say(paint(NAME, "root") + " " + hex(root));
        let rows: Vec<Vec<String>> =
            tally.lines().into_iter().map(|(name, _, text)| vec![name, text]).collect();
        output::say(output::table(&["", ""], &rows));
    }

    fn json(&self) -> Value {
        let Ended { tally, whole, records, live, root, interrupted } = &self.ended;
        let mut document = json!({
            "journal": self.id.to_string(),
            "dir": self.args.out.to_string_lossy(),
            "interrupted": interrupted,
            "records": records,
            "live": live,
            "root": hex(root),
            "build": BUILD,
            "seconds": self.seconds,
            "peak_bytes": machine::peak_bytes(),
        });
        if let (Some(document), true) = (document.as_object_mut(), *whole) {
            document.insert("events".to_owned(), tally.events.into());
            document.extend(tally.json().as_object().cloned().unwrap_or_default());
        }
        document
    }
}
