//! `compare`: the same demand on the same fleet under several policies, side by side.

use std::ops::ControlFlow;
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, Seq};
use tensorforge_engine::{Event, Exchange};

use crate::args::CompareArgs;
use crate::drive::{Recorder, drive};
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::output;
use crate::tally::Tally;
use crate::verbs::capture::{Inputs, default_id};

pub(crate) fn run(args: &CompareArgs, as_json: bool) -> Result<Exit> {
    let mut worlds = Vec::new();
    for policy in &args.policies {
        let (trace, fleet) = (args.trace.as_deref(), args.fleet.as_deref());
        let world = Inputs::read(trace, fleet, Some(policy))?.world(args.seed)?;
        world.check()?;
        worlds.push((name(policy), world));
    }
    let _heeding = interrupt::heed()?;
    let mut tallies: Vec<(String, Tally)> = Vec::new();
    for (name, world) in &worlds {
        let bar = output::progress("playing", world.trace.rows.len() as u64);
        let mut played = Played {
            exchange: Exchange::genesis(default_id(world)?),
            records: 0,
            events: Vec::new(),
            tally: Tally::default(),
            bar,
        };
        let flow = drive(world, &mut played)?;
        played.bar.finish_and_clear();
        if flow.is_break() {
            output::note(format!("interrupted under {name}: nothing is compared"));
            return Ok(Exit::Interrupted);
        }
        tallies.push((name.clone(), played.tally));
    }
    if as_json {
        let all = tallies.iter().map(|(name, tally)| (name.clone(), tally.json()));
        output::json(&json!({ "policies": Value::Object(all.collect()) }));
    } else {
        print(&tallies);
    }
    Ok(Exit::AsAsked)
}

/// What people call a policy file.
fn name(policy: &Path) -> String {
    policy.file_stem().unwrap_or(policy.as_os_str()).to_string_lossy().into_owned()
}

/// A column for each policy, a row for each line of any summary.
fn print(tallies: &[(String, Tally)]) {
    let columns: Vec<Vec<(String, u64, String)>> =
        tallies.iter().map(|(_, tally)| tally.lines()).collect();
    let mut names: Vec<&str> = Vec::new();
    for column in &columns {
        let mut last = 0;
        for (name, ..) in column {
            match names.iter().position(|known| known == name) {
                Some(place) => last = place + 1,
                None => {
                    names.insert(last, name);
                    last += 1;
                }
            }
        }
    }
    let cell = |column: &[(String, u64, String)], name: &str| {
        let line = column.iter().find(|line| line.0 == name);
        line.map_or_else(|| "0".to_owned(), |line| line.2.clone())
    };
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| {
            let cells = columns.iter().map(|column| cell(column, name));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        })
        .collect();
    let header: Vec<&str> =
        std::iter::once("").chain(tallies.iter().map(|(name, _)| name.as_str())).collect();
    output::say(output::table(&header, &rows));
}

/// An exchange that leaves no journal, and what is counted of it.
struct Played {
    exchange: Exchange,
    records: u64,
    events: Vec<Event>,
    tally: Tally,
    bar: ProgressBar,
}

impl Recorder for Played {
    fn record(&mut self, time: Micros, source: Source, command: &Command) -> Result<&[Event]> {
        self.events.clear();
        let stamp = Stamp { seq: Seq(self.records), time, source };
        self.exchange
            .decide(stamp, command, &mut self.events)
            .map_err(|breach| Failure::input(breach.to_string()))?;
        self.records += 1;
        self.tally.count(&self.events);
        Ok(&self.events)
    }

    fn next_deadline(&self) -> Option<Micros> {
        self.exchange.state().next_deadline()
    }

    fn go_on(&mut self, arrived: usize) -> ControlFlow<()> {
        if arrived.is_multiple_of(64) {
            self.bar.set_position(arrived as u64);
        }
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
