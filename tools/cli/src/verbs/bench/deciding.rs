//! Deciding a dispatch, among fleets of several sizes.

use std::time::{Duration, Instant};

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{Event, Exchange, workflow};

use super::load::Load;
use super::{Bench, Bound, Work};
use crate::failure::{Failure, Result};
use crate::output::grouped;

const DECIDED: &[Work] = &[Work::Decide, Work::Fold, Work::Digest];

impl Bench {
    pub(super) fn decide(&mut self) -> Result<()> {
        let total = |spans: &[Duration]| spans.iter().sum::<Duration>();
        let mut best = [10, 100, 1_000, 10_000].map(|vessels| (vessels, Vec::new()));
        for _ in 0..self.rounds() {
            for (vessels, best) in &mut best {
                let spans = dispatches(*vessels, self.scaled(200_000))?;
                if best.is_empty() || total(&spans) < total(best) {
                    *best = spans;
                }
            }
        }
        let mut of_thousand = 0.0;
        for (vessels, spans) in best {
            let rate = spans.len() as f64 / total(&spans).as_secs_f64() / 1e6;
            let micros = |percent: usize| {
                spans.get(spans.len() * percent / 100).map_or(0.0, |span| span.as_secs_f64() * 1e6)
            };
            let method = format!(
                "{} submissions, half of all slots in use; p50 {:.2} us",
                grouped(spans.len() as u64),
                micros(50)
            );
            let what = format!("decide a dispatch among {} vessels", grouped(u64::from(vessels)));
            let budget = (vessels == 1_000).then_some((Bound::AtLeast, 0.8));
            self.line(&what, (rate, "M orders/s"), DECIDED, budget, method);
            if vessels == 1_000 {
                of_thousand = rate;
                self.line(
                    "  its 99th percentile",
                    (micros(99), "us"),
                    DECIDED,
                    Some((Bound::AtMost, 10.0)),
                    "each submission timed by itself".into(),
                );
            }
            if vessels == 10_000 {
                self.line(
                    "growth: 10 000 vessels against 1 000",
                    (of_thousand / rate, "x time"),
                    DECIDED,
                    Some((Bound::AtMost, 1.5)),
                    "logarithmic growth would be 1.33".into(),
                );
            }
        }
        Ok(())
    }
}

/// What each of so many submissions takes, the shortest first.
fn dispatches(vessels: u32, orders: u64) -> Result<Vec<Duration>> {
    let mut exchange = Exchange::genesis(JournalId([2; 16]));
    let mut load = Load::new(vessels);
    let mut seq = 0;
    let mut decide =
        |time: Micros, source: Source, command: &Command| -> Result<(Vec<Event>, Duration)> {
            let mut events = Vec::with_capacity(8);
            let stamp = Stamp { seq: Seq(seq), time, source };
            seq += 1;
            let started = Instant::now();
            let decided = exchange.decide(stamp, command, &mut events);
            let spent = started.elapsed();
            decided.map_err(Failure::input)?;
            Ok((events, spent))
        };
    load.begin(|time, source, command| Ok(decide(time, source, command)?.0))?;
    load.fill(u64::from(vessels) * 32, |time, source, command| {
        Ok(decide(time, source, command)?.0)
    })?;
    let mut spans = Vec::with_capacity(orders as usize);
    load.turn(orders, |time, source, command| {
        let (events, spent) = decide(time, source, command)?;
        if matches!(command, Command::Workflow(workflow::Command::Submit(_))) {
            spans.push(spent);
        }
        Ok(events)
    })?;
    spans.sort_unstable();
    Ok(spans)
}
