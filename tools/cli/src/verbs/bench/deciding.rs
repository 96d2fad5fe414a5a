//! Deciding a dispatch, among fleets of several sizes.

use std::time::{Duration, Instant};

use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{Event, Exchange, queue, workflow};

use super::load::Load;
use super::{Bench, Bound, Work};
use crate::failure::{Failure, Result};
use crate::output::grouped;

const DECIDED: &[Work] = &[Work::Decide, Work::Fold, Work::Digest];

impl Bench {
    pub(super) fn decide(&mut self) -> Result<()> {
        let best = self.best_of_each([10, 100, 1_000, 10_000], |bench, vessels| {
            let filled = u64::from(vessels) * 32;
            spans(Load::new(vessels), filled, bench.scaled(200_000), |command, _| {
                is_submit(command)
            })
        })?;
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
        self.turns()
    }

    /// The fastest of several rounds at each size, in turns.
    fn best_of_each<S: Copy, const N: usize>(
        &self,
        sizes: [S; N],
        measure: impl Fn(&Self, S) -> Result<Vec<Duration>>,
    ) -> Result<[(S, Vec<Duration>); N]> {
        let mut best = sizes.map(|size| (size, Vec::new()));
        for _ in 0..self.rounds() {
            for (size, best) in &mut best {
                let spans = measure(self, *size)?;
                if best.is_empty() || total(&spans) < total(best) {
                    *best = spans;
                }
            }
        }
        Ok(best)
    }

    /// Whose turn it is, where many wait.
    fn turns(&mut self) -> Result<()> {
        let (vessels, slots) = (16, 64);
        let most = self.scaled(100_000);
        let chooses =
            |event: &Event| matches!(event, Event::Queue(queue::Event::OrderChosen { .. }));
        let best = self.best_of_each([most / 10, most], |bench, waiting| {
            let load = Load::new(vessels).with_tenants((waiting / 10) as u32);
            let filled = u64::from(vessels * slots) + waiting;
            spans(load, filled, bench.scaled(20_000), |_, events| events.iter().any(chooses))
        })?;
        let [(_, few), (waiting, many)] = best;
        let each = |spans: &[Duration]| total(spans).as_secs_f64() / spans.len() as f64;
        let tenants = grouped(waiting / 10);
        self.line(
            &format!("serve the next of {} who wait", grouped(waiting)),
            (1e-6 / each(&many), "M orders/s"),
            DECIDED,
            None,
            format!("{} completions, {tenants} tenants, every class", grouped(many.len() as u64)),
        );
        self.line(
            "  growth: against a tenth of it",
            (each(&many) / each(&few), "x time"),
            DECIDED,
            None,
            "a tenth of the orders and of the tenants".into(),
        );
        Ok(())
    }
}

fn total(spans: &[Duration]) -> Duration {
    spans.iter().sum()
}

fn is_submit(command: &Command) -> bool {
    matches!(command, Command::Workflow(workflow::Command::Submit(_)))
}

/// What each of these decisions takes, the shortest first, while so many orders complete and as many come,
/// with `filled` live ones.
fn spans(
    mut load: Load,
    filled: u64,
    turns: u64,
    of: impl Fn(&Command, &[Event]) -> bool,
) -> Result<Vec<Duration>> {
    let mut exchange = Exchange::genesis(JournalId([2; 16]));
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
    load.fill(filled, |time, source, command| Ok(decide(time, source, command)?.0))?;
    let mut spans = Vec::with_capacity(turns as usize);
    load.turn(turns, |time, source, command| {
        let (events, spent) = decide(time, source, command)?;
        if of(command, &events) {
            spans.push(spent);
        }
        Ok(events)
    })?;
    spans.sort_unstable();
    Ok(spans)
}
