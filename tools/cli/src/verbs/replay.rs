//! `replay`: fold a journal and print where it leads.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use tensorforge_engine::table::Breach;
use tensorforge_engine::{Root, State, effects};
use tensorforge_journal::{
    BLOCK_RECORDS, Journal, Replay, ReplayError, binding, hash_events, hex, list_snapshots,
    read_snapshot, reproduce,
};

use crate::args::ReplayArgs;
use crate::failure::{Exit, Failure, Result};
use crate::machine;
use crate::moment;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, grouped};
use crate::text::paint;
use crate::verbs;
use crate::verbs::diff::describe;

pub(crate) fn run(args: &ReplayArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let to = match &args.to {
        Some(text) => moment::until(&journal, "--to", text)?,
        None => journal.next_seq(),
    };
    let mut replay = start(&journal, args, to)?;
    let (from, started) = (replay.records(), Instant::now());
    let course = Course::follow(&journal, &mut replay, to, args.decide)?;
    let seconds = started.elapsed().as_secs_f64();
    if let (Some(breach), false) = (&course.breach, as_json) {
        return Err(ReplayError::Breach(breach.clone()).into());
    }
    let as_claimed = course.claimed.is_none_or(|claimed| claimed == replay.state().root());
    // A frame's root says that something in it is folded otherwise; its records' tags say where.
    let divergence = if as_claimed || args.decide {
        None
    } else {
        reproduce(&journal, &mut start(&journal, args, to)?, replay.records(), |_| ())?
    };
    if as_json {
        let mut document = course.json(&replay, from, seconds);
        document["divergence"] = serde_json::to_value(&divergence).unwrap_or(Value::Null);
        output::json(&document);
    } else {
        course.print(&replay, from, seconds);
        divergence.iter().for_each(|found| output::say(describe(found, "journal", "this build")));
    }
    let sound = as_claimed && course.breach.is_none();
    Ok(if sound { Exit::AsAsked } else { Exit::Different })
}

/// What a replay passed on its way.
#[derive(Default)]
struct Course {
    events: u64,
    effects: u64,
    /// The root that the journal claims where the replay has stopped.
    claimed: Option<Root>,
    /// A digest of everything that was decided anew.
    decisions: Option<blake3::Hasher>,
    /// Where this build could not go on.
    breach: Option<Breach>,
}

impl Course {
    fn follow(journal: &Journal, replay: &mut Replay<'_>, to: u64, deciding: bool) -> Result<Self> {
        let from = replay.records();
        let bar = output::progress("replaying", to.saturating_sub(from));
        let hasher = deciding.then(blake3::Hasher::new);
        let mut course = Self { decisions: hasher, ..Self::default() };
        let ran = replay.run(to, |step| {
            course.events += step.events.len() as u64;
            course.effects += effects(step.events).count() as u64;
            let block = step.block_root(journal).map(|entry| entry.root);
            course.claimed = block.or(step.frame_end.map(|header| header.state_root));
            if let Some(decisions) = &mut course.decisions {
                decisions.update(&hash_events(step.events));
            }
            if step.head.seq.0.is_multiple_of(BLOCK_RECORDS) {
                bar.set_position(step.head.seq.0 - from);
            }
            // What is decided otherwise is followed to its end; what is folded otherwise is a mistake.
            if !deciding && course.claimed.is_some_and(|claimed| claimed != step.state.root()) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        match ran {
            // The state is of no use after it.
            Err(ReplayError::Breach(breach)) => {
                Ok(Self { breach: Some(breach), claimed: None, ..course })
            }
            ran => Ok(ran.map(|()| course)?),
        }
    }

    fn json(&self, replay: &Replay<'_>, from: u64, seconds: f64) -> Value {
        let state = Some(replay.state()).filter(|_| self.breach.is_none());
        json!({
            "records": replay.records(),
            "events": self.events,
            "effects": self.effects,
            "root": state.map(|state| hex(&state.root())),
            "tag": state.map(|state| format!("{:016x}", state.tag())),
            "time_us": state.map(State::now),
            "from": from,
            "decisions": self.decisions.as_ref().map(|hash| hash.finalize().to_hex().to_string()),
            "claimed_root": self.claimed.map(|claimed| hex(&claimed)),
            "matches": self.claimed.map(|claimed| claimed == replay.state().root()),
            "breach": self.breach.as_ref().map(verbs::breach_json),
            "seconds": seconds,
            "peak_bytes": machine::peak_bytes(),
        })
    }

    fn print(&self, replay: &Replay<'_>, from: u64, seconds: f64) {
        let origin = match from {
            0 => "genesis".to_owned(),
            from => format!("the snapshot at {}", grouped(from)),
        };
        let done = if self.decisions.is_some() { "decided again" } else { "replayed" };
        let records = counted(replay.records() - from, "record");
        let events = counted(self.events, "event");
        output::say(
            paint(GOOD, done)
                + format!(" {records} from {origin}, {events} ")
                + paint(FAINT, format!("({seconds:.3} s)")),
        );
        let (root, records) = (replay.state().root(), counted(replay.records(), "record"));
        output::say(paint(NAME, "root") + format!(" {} after {records}", hex(&root)));
        if let Some(claimed) = self.claimed.filter(|claimed| *claimed != root) {
            let claimed = hex(&claimed);
            output::say(paint(BAD, "differs:") + format!(" the journal claims {claimed}"));
        }
    }
}

fn start<'j>(journal: &'j Journal, args: &ReplayArgs, to: u64) -> Result<Replay<'j>> {
    let mut replay = begin(journal, args, to)?;
    if machine::threads(args.threads) > 1 {
        replay.read_ahead();
    }
    Ok(replay)
}

fn begin<'j>(journal: &'j Journal, args: &ReplayArgs, to: u64) -> Result<Replay<'j>> {
    let mode = verbs::mode(args.decide);
    match args.from.as_deref() {
        Some("genesis") => Ok(Replay::from_genesis(journal, mode)),
        // A digest of decisions is only comparable if it is over all of them.
        None if args.decide => Ok(Replay::from_genesis(journal, mode)),
        None => {
            let (replay, passed_over) = Replay::from_nearest(journal, mode, to);
            for (records, reason) in passed_over {
                output::note(format!("the snapshot at {records} is passed over: {reason}"));
            }
            Ok(replay)
        }
        Some(text) => {
            let bad = || {
                let at: Vec<String> = list_snapshots(journal)
                    .iter()
                    .map(|(records, _)| records.to_string())
                    .collect();
                Failure::input(format!(
                    "--from {text}: expected `genesis` or the records of a snapshot"
                ))
                .with_help(format!(
                    "snapshots of this journal: {}",
                    if at.is_empty() { "none".to_owned() } else { at.join(", ") }
                ))
            };
            let records: u64 = text.parse().map_err(|_| bad())?;
            if records > to {
                return Err(Failure::input(format!("--from {records} is beyond --to {to}")));
            }
            let (_, path) = list_snapshots(journal)
                .into_iter()
                .find(|(held, _)| *held == records)
                .ok_or_else(bad)?;
            let binding = binding(journal, records).ok_or_else(bad)?;
            let state = read_snapshot(&path, &binding).map_err(|reason| {
                Failure::input(format!("the snapshot at {records} cannot be used: {reason}"))
            })?;
            Ok(Replay::from_state(journal, mode, state, records))
        }
    }
}
