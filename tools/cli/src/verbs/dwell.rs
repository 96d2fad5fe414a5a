//! `dwell`: how long orders were in each of their states, read from the events; where the time of the slowest went; and
//! Little's law, held against what was counted record by record.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tensorforge_engine::models::{End, LegKind, Stage};
use tensorforge_engine::units::{Micros, OrderId, Ppm, StopSlot, VesselId};
use tensorforge_engine::workflow::machine::{self, Standing};
use tensorforge_engine::{Event, models, queue, routing, workflow};
use tensorforge_journal::{Record, read_records};

use crate::args::DwellArgs;
use crate::failure::{Exit, Failure, Result};
use crate::names::Names;
use crate::output::{self, NAME, counted, grouped, span, table};
use crate::tally::percentiles;
use crate::text::paint;
use crate::verbs;

pub(crate) fn run(args: &DwellArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let mut course = Course::default();
    let mut failed = None;
    read_records(&journal, 0, journal.next_seq(), |record| match course.take(&record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => {
            failed = Some(failure);
            ControlFlow::Break(())
        }
    })?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    course.end();
    if as_json {
        output::json(&course.json());
    } else {
        course.print();
    }
    Ok(Exit::AsAsked)
}

/// The states of an order that takes time, a running one by what is worked.
const STATES: [&str; 8] =
    ["queued", "berthed", "hop", "whole", "prefill", "decode", "backoff", "gathering"];

/// The place of those who wait in the queue for others, and not for room.
const GATHERING: usize = 7;

/// The place of a state in the list.
fn state_of(stage: Stage, kind: LegKind) -> usize {
    match (stage, kind) {
        (Stage::Queued, _) => 0,
        (Stage::Berthed, _) => 1,
        (Stage::Running, LegKind::Hop) => 2,
        (Stage::Running, LegKind::Whole) => 3,
        (Stage::Running, LegKind::Prefill) => 4,
        (Stage::Running, LegKind::Decode) => 5,
        (Stage::Backoff, _) => 6,
    }
}

/// When a stay began, and in which record: what begins and ends in one record is none.
#[derive(Clone, Copy)]
struct Since {
    time: Micros,
    seq: u64,
}

/// An order on its way.
struct Life {
    standing: Standing,
    state: usize,
    since: Since,
    model: u32,
    /// What it was in each state so far.
    spent: [u64; STATES.len()],
    /// The legs for which it has slots: their places and vessels.
    held: Vec<(u8, VesselId, Since)>,
}

/// Who comes to a place and leaves it again.
#[derive(Default)]
struct Place {
    arrivals: u64,
    /// Who left again, and what all of their stays add up to.
    finished: u64,
    stays: u128,
    /// Who is there, counted over time: the sum of everybody's microseconds.
    area: u128,
    here: u64,
    until: Micros,
    /// Who had not left by the end, and how long they had been there.
    unfinished: u64,
    unfinished_stays: u128,
}

impl Place {
    /// Counts who was there until now.
    fn pass(&mut self, now: Micros) {
        self.area += u128::from(self.here) * u128::from((now - self.until).0);
        self.until = now;
    }

    fn enter(&mut self, now: Micros) {
        self.pass(now);
        self.here += 1;
        self.arrivals += 1;
    }

    fn leave(&mut self, now: Since, since: Since) {
        self.pass(now.time);
        self.here = self.here.saturating_sub(1);
        if now.seq == since.seq {
            self.arrivals = self.arrivals.saturating_sub(1);
        } else {
            self.finished += 1;
            self.stays += u128::from((now.time - since.time).0);
        }
    }

    fn remain(&mut self, now: Micros, since: Since) {
        self.unfinished += 1;
        self.unfinished_stays += u128::from((now - since.time).0);
    }

    /// Both sides of Little's law, and the rate of arrivals, in thousandths: who is there at a time, who comes a second,
    /// and the second times the mean stay.
    fn little(&self, length: Micros) -> [u64; 3] {
        let length = u128::from(length.0.max(1));
        let arrivals = u128::from(self.arrivals);
        let product = (arrivals * self.stays * 1_000)
            .checked_div(u128::from(self.finished) * length)
            .unwrap_or(0);
        [self.area * 1_000 / length, arrivals * 1_000_000_000 / length, product].map(narrow)
    }

    fn mean(&self) -> u64 {
        narrow(self.stays.checked_div(self.finished.into()).unwrap_or(0))
    }
}

fn narrow(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// A vessel: who has slots of it, and how many it has, over time.
#[derive(Default)]
struct Vessel {
    slots: Place,
    has: u64,
    had: u128,
    until: Micros,
}

impl Vessel {
    fn pass(&mut self, now: Micros) {
        self.had += u128::from(self.has) * u128::from((now - self.until).0);
        self.until = now;
    }

    /// The share of the time of all its slots, from its registration on, for which they were taken.
    fn busy(&self) -> Ppm {
        Ppm(narrow((self.slots.area * 1_000_000).checked_div(self.had).unwrap_or(0)))
    }
}

/// What a journal tells of all orders.
#[derive(Default)]
struct Course {
    names: Names,
    lives: BTreeMap<u64, Life>,
    /// Every stay that ended, by state.
    stays: [Vec<u64>; STATES.len()],
    /// Of orders that were served: how long they took, and their time in each state.
    served: Vec<(u64, [u64; STATES.len()])>,
    /// Time in each state by model.
    models: BTreeMap<u32, [u64; STATES.len()]>,
    queue: Place,
    vessels: BTreeMap<VesselId, Vessel>,
    stops: BTreeMap<StopSlot, (VesselId, Since)>,
    records: u64,
    first: Option<Micros>,
    now: Micros,
}

impl Course {
    fn take(&mut self, record: &Record) -> Result<()> {
        self.records += 1;
        self.now = self.now.max(record.stamp.time);
        self.first.get_or_insert(self.now);
        let now = Since { time: self.now, seq: record.stamp.seq.0 };
        for event in &record.events {
            self.names.learn(event);
            self.stock(event);
            if let Some((order, word)) = machine::word(event) {
                self.follow(order, word, event, now)?;
            }
            if let Event::Queue(queue::Event::BatchReleased { model, .. }) = event {
                self.release(model.0, now);
            }
        }
        Ok(())
    }

    /// Those who gathered for a model wait for room.
    fn release(&mut self, model: u32, now: Since) {
        let gathers = |life: &Life| life.state == GATHERING && life.model == model;
        let gone = self.lives.iter().filter(|(_, life)| gathers(life));
        let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
        for number in gone {
            self.turn(number, Some(state_of(Stage::Queued, LegKind::Hop)), now);
        }
    }

    /// Notes how many slots there are.
    fn stock(&mut self, event: &Event) {
        let Event::Models(
            models::Event::VesselRegistered { vessel, manifest, .. }
            | models::Event::VesselAnnounced { vessel, manifest, .. },
        ) = event
        else {
            return;
        };
        let row = self.vessels.entry(*vessel).or_default();
        row.pass(self.now);
        row.has = manifest.slots.into();
    }

    /// Leads an order on by one of its events.
    fn follow(&mut self, order: OrderId, word: &str, event: &Event, now: Since) -> Result<()> {
        self.slots(order, event, now);
        let known = self.lives.get(&order.number()).map(|life| life.standing);
        let from = known.unwrap_or(match event {
            Event::Workflow(
                workflow::Event::OrderAdmitted { .. } | workflow::Event::OrderRefused { .. },
            ) => Standing::New,
            _ => Standing::Ended,
        });
        let to = machine::next(from, word).ok_or_else(|| {
            Failure::input(format!(
                "record {}: {word} is said of order {order}, which is {from:?}",
                now.seq
            ))
            .with_help(
                "`tensorforge verify` tells whether this build decides what the journal holds",
            )
        })?;
        if let Event::Workflow(workflow::Event::OrderAdmitted { demand, .. }) = event {
            let (state, model) = (state_of(Stage::Backoff, LegKind::Hop), demand.model.0);
            let spent = [0; STATES.len()];
            let life = Life { standing: to, state, since: now, model, spent, held: Vec::new() };
            self.lives.insert(order.number(), life);
        }
        let Some(life) = self.lives.get_mut(&order.number()) else { return Ok(()) };
        life.standing = to;
        let next = match (to, event) {
            (_, Event::Workflow(workflow::Event::LegDispatched { kind, .. })) => {
                Some(state_of(Stage::Running, *kind))
            }
            (_, Event::Queue(queue::Event::OrderQueued { ripe_at, .. }))
                if *ripe_at > Micros::ZERO =>
            {
                Some(GATHERING)
            }
            // It runs once its first leg is dispatched, which the same record says.
            (Standing::Live(Stage::Running), _) => return Ok(()),
            (Standing::Live(stage), _) if from != to => Some(state_of(stage, LegKind::Hop)),
            (Standing::Live(_), _) => return Ok(()),
            _ => None,
        };
        self.turn(order.number(), next, now);
        if let Event::Workflow(workflow::Event::OrderEnded { end, latency, .. }) = event
            && let Some(life) = self.lives.remove(&order.number())
        {
            self.count(&life);
            if *end == End::Completed {
                self.served.push((latency.0, life.spent));
            }
        }
        Ok(())
    }

    /// Ends an order's stay in a state, and begins the next one.
    fn turn(&mut self, order: u64, next: Option<usize>, now: Since) {
        let Some(life) = self.lives.get_mut(&order) else { return };
        let (before, since) = (life.state, life.since);
        if since.seq != now.seq {
            let stay = (now.time - since.time).0;
            life.spent[before] = life.spent[before].saturating_add(stay);
            self.stays[before].push(stay);
        }
        let queued = state_of(Stage::Queued, LegKind::Hop);
        if before == queued {
            self.queue.leave(now, since);
        }
        if next == Some(queued) {
            self.queue.enter(now.time);
        }
        if let Some(next) = next {
            (life.state, life.since) = (next, now);
        }
    }

    /// Notes which slots an order takes and gives back, and those that stops hold.
    fn slots(&mut self, order: OrderId, event: &Event, now: Since) {
        let mut take = |vessel: VesselId| {
            let row = self.vessels.entry(vessel).or_default();
            row.slots.enter(now.time);
        };
        let life = self.lives.get_mut(&order.number());
        let mut left = Vec::new();
        match event {
            Event::Routing(routing::Event::OrderRouted { route, .. }) => {
                let legs = (0u8..).zip(route).filter(|(_, leg)| leg.kind != LegKind::Hop);
                legs.clone().for_each(|(_, leg)| take(leg.vessel));
                if let Some(life) = life {
                    life.held = legs.map(|(place, leg)| (place, leg.vessel, now)).collect();
                }
            }
            Event::Workflow(workflow::Event::LegCompleted { leg, .. }) => {
                if let Some(life) = life {
                    left = life.held.extract_if(.., |held| held.0 == *leg).collect();
                }
            }
            Event::Workflow(
                workflow::Event::LegFailed { .. } | workflow::Event::OrderEnded { .. },
            ) => {
                left = life.map(|life| std::mem::take(&mut life.held)).unwrap_or_default();
            }
            Event::Workflow(workflow::Event::StopAwaited { stop, awaited }) => {
                take(awaited.vessel);
                self.stops.insert(*stop, (awaited.vessel, now));
            }
            Event::Workflow(workflow::Event::StopSettled { stop, .. }) => {
                left.extend(self.stops.remove(stop).map(|(vessel, since)| (0, vessel, since)));
            }
            _ => {}
        }
        for (_, vessel, since) in left {
            self.vessels.entry(vessel).or_default().slots.leave(now, since);
        }
    }

    /// Adds the time of an order to that of its model.
    fn count(&mut self, life: &Life) {
        let sums = self.models.entry(life.model).or_default();
        add(sums, &life.spent);
    }

    /// Takes account of whoever is still on the way.
    fn end(&mut self) {
        let now = self.now;
        for (_, mut life) in std::mem::take(&mut self.lives) {
            if life.state == state_of(Stage::Queued, LegKind::Hop) {
                self.queue.remain(now, life.since);
            }
            for (_, vessel, since) in &life.held {
                self.vessels.entry(*vessel).or_default().slots.remain(now, *since);
            }
            let stay = (now - life.since.time).0;
            life.spent[life.state] = life.spent[life.state].saturating_add(stay);
            self.count(&life);
        }
        for (vessel, since) in std::mem::take(&mut self.stops).into_values() {
            self.vessels.entry(vessel).or_default().slots.remain(now, since);
        }
        self.queue.pass(now);
        for vessel in self.vessels.values_mut() {
            vessel.pass(now);
            vessel.slots.pass(now);
        }
    }

    /// The time that the journal tells of.
    fn length(&self) -> Micros {
        self.now - self.first.unwrap_or_default()
    }

    /// Time in each state of all orders.
    fn spent(&self) -> [u64; STATES.len()] {
        let mut all = [0; STATES.len()];
        for sums in self.models.values() {
            add(&mut all, sums);
        }
        all
    }

    /// The slowest hundredth of those that were served: how many, from what on, and their time in each state.
    fn slowest(&self) -> (usize, u64, [u64; STATES.len()]) {
        let mut served: Vec<&(u64, [u64; STATES.len()])> = self.served.iter().collect();
        served.sort_by(|a, b| b.cmp(a));
        served.truncate(served.len().div_ceil(100));
        let mut sums = [0; STATES.len()];
        for (_, spent) in &served {
            add(&mut sums, spent);
        }
        (served.len(), served.last().map_or(0, |slowest| slowest.0), sums)
    }
}

/// All of these together; a crafted journal may have them stick.
fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

fn add(sums: &mut [u64; STATES.len()], parts: &[u64; STATES.len()]) {
    sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = sum.saturating_add(*part));
}

/// The place of the largest of these, the first of equal ones; none where all are nothing.
fn largest(sums: &[u64; STATES.len()]) -> Option<usize> {
    let most = sums.iter().copied().max().filter(|most| *most > 0)?;
    sums.iter().position(|sum| *sum == most)
}

/// A share in percent, to a tenth, rounded down.
fn percent(part: u64, whole: u64) -> String {
    let tenths = Ppm::ratio(part, whole).0 / 1_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Thousandths as a number with three places.
fn thousandths(number: u64) -> String {
    format!("{}.{:03}", grouped(number / 1_000), number % 1_000)
}

impl Course {
    fn print(&self) {
        let length = self.length();
        output::say(format!("{} over {}", counted(self.records, "record"), span(length.0)));
        let (spent, life) = (self.spent(), sum(&self.spent()));
        let rows = STATES.iter().enumerate().filter(|(state, _)| spent[*state] > 0);
        let rows = rows.map(|(state, name)| {
            let stays = &self.stays[state];
            let mean = sum(stays).checked_div(stays.len() as u64).unwrap_or(0);
            let mut row = vec![
                (*name).to_owned(),
                grouped(stays.len() as u64),
                span(spent[state]),
                span(mean),
            ];
            row.extend(fifty_and_99(stays).map(span));
            row.push(percent(spent[state], life));
            row
        });
        let header = ["", "stays", "total", "mean", "p50", "p99", "of all life"];
        output::say(table(&header, &rows.collect::<Vec<_>>()));
        self.print_slowest();
        self.print_little();
        self.print_bottlenecks();
    }

    fn print_slowest(&self) {
        let (count, from, sums) = self.slowest();
        let Some(most) = largest(&sums) else { return };
        let all = sum(&sums);
        output::say(
            paint(NAME, "critical: ")
                + format!(
                    "{} is {} of the time of the slowest hundredth ({} from {} on)",
                    STATES[most],
                    percent(sums[most], all),
                    counted(count as u64, "order"),
                    span(from),
                ),
        );
        let parts: Vec<String> = STATES
            .iter()
            .zip(sums)
            .filter(|(_, sum)| *sum > 0)
            .map(|(name, sum)| format!("{name} {}", percent(sum, all)))
            .collect();
        output::say(format!("  {}", parts.join(", ")));
    }

    /// The places that somebody came to, by name.
    fn places(&self) -> Vec<(String, &Place, Option<&Vessel>)> {
        let queue = ("queue".to_owned(), &self.queue, None);
        let vessels = self.vessels.iter();
        let vessels = vessels.map(|(id, row)| (self.names.vessel(*id), &row.slots, Some(row)));
        [queue].into_iter().chain(vessels).filter(|(_, place, _)| place.arrivals > 0).collect()
    }

    fn print_little(&self) {
        let places = self.places();
        if places.is_empty() {
            return;
        }
        output::say(
            paint(NAME, "Little's law")
                + ": L is who is there at a time, lambda who comes a second, W the mean stay",
        );
        let rows = places.iter().map(|(name, place, _)| {
            let [there, rate, product] = place.little(self.length());
            let (rate, there, product) =
                (thousandths(rate), thousandths(there), thousandths(product));
            vec![name.clone(), there, product, rate, span(place.mean())]
        });
        let header = ["", "L", "lambda W", "lambda", "W"];
        output::say(table(&header, &rows.collect::<Vec<_>>()));
        for (name, place, _) in places.iter().filter(|(_, place, _)| place.unfinished > 0) {
            let [there, _, product] = place.little(self.length());
            output::say(format!(
                "  {name}: {} had not left by the end, after {} in all, where as many mean stays are {}: {}{} of L",
                grouped(place.unfinished),
                span(narrow(place.unfinished_stays)),
                span(place.mean().saturating_mul(place.unfinished)),
                if there < product { "-" } else { "+" },
                thousandths(there.abs_diff(product)),
            ));
        }
    }

    fn print_bottlenecks(&self) {
        let busiest =
            self.vessels.iter().max_by_key(|(id, row)| (row.busy(), std::cmp::Reverse(**id)));
        if let Some((id, row)) = busiest.filter(|(_, row)| row.busy() > Ppm::ZERO) {
            output::say(
                paint(NAME, "busiest: ")
                    + format!(
                        "{}, of whose time {} was worked ({})",
                        self.names.vessel(*id),
                        percent(row.busy().0, 1_000_000),
                        counted(row.has, "slot"),
                    ),
            );
        }
        if let Some((model, waited, all)) = self.slowest_model() {
            let name = self.names.models.get(&model).cloned().unwrap_or_default();
            output::say(
                paint(NAME, "waited for: ")
                    + format!(
                        "{name}, for which orders waited {} in all, {} of their life",
                        span(waited),
                        percent(waited, all),
                    ),
            );
        }
    }

    /// The model for which orders waited the longest in all, how long, and of how much.
    fn slowest_model(&self) -> Option<(u32, u64, u64)> {
        let waited = |sums: &[u64; STATES.len()]| {
            sum(&[Stage::Queued, Stage::Backoff].map(|stage| sums[state_of(stage, LegKind::Hop)]))
        };
        let models = self.models.iter().map(|(id, sums)| (*id, waited(sums), sum(sums)));
        let most = models.max_by_key(|(id, waited, _)| (*waited, std::cmp::Reverse(*id)));
        most.filter(|(_, waited, _)| *waited > 0)
    }

    fn json(&self) -> Value {
        let spent = self.spent();
        let states = STATES.iter().enumerate().map(|(state, name)| {
            let stays = &self.stays[state];
            let [p50, p99] = fifty_and_99(stays);
            let told = json!({
                "stays": stays.len(),
                "finished_us": sum(stays),
                "total_us": spent[state],
                "mean_us": sum(stays).checked_div(stays.len() as u64).unwrap_or(0),
                "p50_us": p50,
                "p99_us": p99,
                "share_ppm": Ppm::ratio(spent[state], sum(&spent)),
            });
            ((*name).to_owned(), told)
        });
        let of = |sums: &[u64; STATES.len()]| -> Value {
            STATES.iter().zip(sums).map(|(name, sum)| ((*name).to_owned(), json!(sum))).collect()
        };
        let places = self.places().into_iter().map(|(name, place, vessel)| {
            let [there, rate, product] = place.little(self.length());
            json!({
                "place": name,
                "arrivals": place.arrivals,
                "finished": place.finished,
                "stays_us": narrow(place.stays),
                "area_us": narrow(place.area),
                "unfinished": place.unfinished,
                "unfinished_us": narrow(place.unfinished_stays),
                "there_thousandths": there,
                "arrivals_a_second_thousandths": rate,
                "mean_stay_us": place.mean(),
                "product_thousandths": product,
                "slots": vessel.map(|row| row.has),
                "busy_ppm": vessel.map(Vessel::busy),
            })
        });
        let (count, from, sums) = self.slowest();
        let models = self
            .models
            .iter()
            .map(|(id, sums)| (self.names.models.get(id).cloned().unwrap_or_default(), of(sums)));
        let busiest =
            self.vessels.iter().max_by_key(|(id, row)| (row.busy(), std::cmp::Reverse(**id)));
        json!({
            "records": self.records,
            "length_us": self.length(),
            "states": states.collect::<serde_json::Map<_, _>>(),
            "slowest": {
                "orders": count,
                "from_us": from,
                "critical": largest(&sums).map(|state| STATES[state]),
                "spent_us": of(&sums),
            },
            "places": places.collect::<Vec<_>>(),
            "models": models.collect::<serde_json::Map<_, _>>(),
            "busiest": busiest.map(|(id, _)| self.names.vessel(*id)),
            "waited_for": self.slowest_model().and_then(|(id, ..)| self.names.models.get(&id)),
        })
    }
}

/// What 50 and 99 of 100 do not exceed.
fn fifty_and_99(values: &[u64]) -> [u64; 2] {
    let found = percentiles(values);
    [50, 99].map(|percent| found.iter().find(|(of, _)| *of == percent).map_or(0, |of| of.1))
}
