//! `explain`: the whole story of one order, read from the journal. Nothing is decided or folded.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tensorforge_engine::command::Stamp;
use tensorforge_engine::event::{Candidate, Event, Verdict};
use tensorforge_engine::units::{OrderId, VesselId};
use tensorforge_journal::{Journal, Record, read_records};

use crate::args::ExplainArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, BAD, FAINT, GOOD, NAME, dollars, grouped, paint, span};
use crate::tally::end_name;
use crate::verbs;

pub(crate) fn run(args: &ExplainArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let story = Story::read(&journal, args)?;
    let Some(order) = story.order else {
        let asked = match (args.order, args.external) {
            (Some(number), _) => format!("order {number}"),
            (_, external) => format!("external number {}", external.unwrap_or_default()),
        };
        return Err(Failure::input(format!("there is no {asked} in {}", args.dir.display()))
            .with_help(format!("orders are numbered from 1 to {}", story.last)));
    };
    if as_json {
        let told = story.told.iter().map(|(stamp, command, event)| {
            json!({ "seq": stamp.seq, "time_us": stamp.time, "command": command, "event": event })
        });
        output::json(&json!({
            "order": order.number(),
            "vessels": story.names.vessels,
            "tenants": story.names.tenants,
            "events": told.collect::<Vec<_>>(),
        }));
        return Ok(Exit::AsAsked);
    }
    let arrived = story.told.first().map_or(0, |(stamp, ..)| stamp.time.0);
    output::say(&format!(
        "{}, arrived at {}",
        paint(NAME, format!("order {order}")),
        span(arrived)
    ));
    output::say(&paint(FAINT, format!("{:>12}  {:>8}", "since then", "record")));
    let mut first = None;
    for (stamp, _, event) in &story.told {
        let since = stamp.time.0 - *first.get_or_insert(stamp.time.0);
        let (head, rest) = story.names.tell(event, &story.told, stamp);
        output::say(&format!(
            "{:>12}  {:>8}  {head}",
            format!("+{}", span(since)),
            paint(FAINT, stamp.seq.0)
        ));
        for line in rest {
            output::say(&format!("{:>24}{line}", ""));
        }
    }
    Ok(Exit::AsAsked)
}

struct Story {
    order: Option<OrderId>,
    /// Every event about the order: where it stands, the command that led to it, and the event.
    told: Vec<(Stamp, String, Event)>,
    names: Names,
    /// The number of the last order in the journal.
    last: u64,
}

impl Story {
    fn read(journal: &Journal, args: &ExplainArgs) -> Result<Self> {
        let number = match args.external {
            Some(external) => numbered(journal, external)?,
            None => args.order,
        };
        let mut story = Self { order: None, told: Vec::new(), names: Names::default(), last: 0 };
        read_records(journal, 0, journal.next_seq(), |record| {
            story.take(&record, number);
            ControlFlow::Continue(())
        })?;
        Ok(story)
    }

    fn take(&mut self, record: &Record, number: Option<u64>) {
        let command = command_name(record);
        for event in &record.events {
            self.names.learn(event);
            let Some(id) = subject(event) else { continue };
            self.last = self.last.max(id.number());
            if number == Some(id.number()) {
                self.order = Some(id);
                self.told.push((record.stamp, command.clone(), event.clone()));
            }
        }
    }
}

/// The number of the first order that was submitted under an external number, or sent again under it.
fn numbered(journal: &Journal, wanted: u64) -> Result<Option<u64>> {
    let mut number = None;
    read_records(journal, 0, journal.next_seq(), |record| {
        let order = record.events.iter().find_map(|event| match event {
            Event::OrderAdmitted { order, demand, .. } if demand.external == wanted => Some(order),
            Event::OrderRefused { order, external, .. }
            | Event::OrderDeduplicated { order, external, .. }
                if *external == wanted =>
            {
                Some(order)
            }
            _ => None,
        });
        number = order.map(|order| order.number());
        if number.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(number)
}

fn command_name(record: &Record) -> String {
    match serde_json::to_value(&record.command) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The order that an event is about.
fn subject(event: &Event) -> Option<OrderId> {
    match event {
        Event::OrderAdmitted { order, .. }
        | Event::OrderRefused { order, .. }
        | Event::OrderDeduplicated { order, .. }
        | Event::OrderQueued { order, .. }
        | Event::OrderBerthed { order, .. }
        | Event::BerthReleased { order, .. }
        | Event::OrderRouted { order, .. }
        | Event::LegDispatched { order, .. }
        | Event::LegCompleted { order, .. }
        | Event::LegFailed { order, .. }
        | Event::RetryScheduled { order, .. }
        | Event::OrderSettled { order, .. }
        | Event::OrderEnded { order, .. } => Some(*order),
        _ => None,
    }
}

/// What the journal calls things, learned from its own events.
#[derive(Default)]
struct Names {
    tenants: BTreeMap<u32, String>,
    models: BTreeMap<u32, String>,
    vessels: BTreeMap<u32, String>,
}

impl Names {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::TenantRegistered { tenant, contract } => {
                self.tenants.insert(tenant.0, contract.name.clone());
            }
            Event::ModelRegistered { model, name } => {
                self.models.insert(model.0, name.clone());
            }
            Event::VesselRegistered { vessel, name, .. } => {
                self.vessels.insert(vessel.0, name.clone());
            }
            _ => {}
        }
    }

    fn vessel(&self, id: VesselId) -> String {
        self.vessels.get(&id.0).cloned().unwrap_or_else(|| format!("vessel {id}"))
    }

    fn tenant(&self, id: u32) -> String {
        self.tenants.get(&id).cloned().unwrap_or_else(|| "an unknown tenant".to_owned())
    }

    /// An event in a sentence, and lines of detail.
    fn tell(
        &self,
        event: &Event,
        told: &[(Stamp, String, Event)],
        stamp: &Stamp,
    ) -> (String, Vec<String>) {
        let plain = |text: String| (text, Vec::new());
        match event {
            Event::OrderAdmitted { tenant, level, deadline, demand, .. } => {
                let model = self.models.get(&demand.model.0).cloned().unwrap_or_default();
                let prefix = demand.prefix.last().map_or(String::new(), |mark| {
                    format!(", {} tokens of it named by prefix", grouped(mark.tokens.0))
                });
                (
                    format!(
                        "{} from {} as external number {}, class {:?}, under level {level:?}",
                        paint(GOOD, "admitted"),
                        self.tenant(tenant.0),
                        demand.external,
                        demand.class,
                    ),
                    vec![format!(
                        "{model}: {} prompt tokens{prefix}, at most {} generated; expires after {}",
                        grouped(demand.tokens_in.0),
                        grouped(demand.tokens_out_max.0),
                        span(deadline.0 - stamp.time.0),
                    )],
                )
            }
            Event::OrderRefused { tenant, external, refusal, .. } => plain(format!(
                "{} from {} as external number {external}: {refusal}",
                paint(BAD, "refused"),
                self.tenant(tenant.0),
            )),
            Event::OrderDeduplicated { external, .. } => plain(format!(
                "sent again as external number {external}: the same key, the same order"
            )),
            Event::OrderQueued { ticket, ahead, .. } => plain(format!(
                "queued with ticket {ticket}: no vessel has room, {ahead} orders wait already"
            )),
            Event::OrderBerthed { vessel, window, overlapping, .. } => plain(format!(
                "given a berth on {} from {} to {}; {overlapping} others overlap it",
                self.vessel(*vessel),
                span(window.from.0),
                span(window.until.0),
            )),
            Event::BerthReleased { .. } => plain("berth given back".to_owned()),
            Event::OrderRouted { attempt, policy, open, candidates, .. } => {
                let chosen = candidates.first().map_or_else(String::new, |best| self.place(best));
                (
                    format!(
                        "{} to {chosen}: attempt {attempt}, policy version {policy}, {open} vessels had room",
                        paint(GOOD, "routed"),
                    ),
                    candidates
                        .iter()
                        .enumerate()
                        .map(|(rank, candidate)| self.candidate(rank, candidate))
                        .collect(),
                )
            }
            Event::LegDispatched { leg, kind, vessel, timeout, .. } => plain(format!(
                "leg {leg} ({kind:?}) handed to {}; times out after {}",
                self.vessel(*vessel),
                span(timeout.0 - stamp.time.0),
            )),
            Event::LegCompleted { leg, vessel, tokens_out, cached, cost, energy, .. } => {
                plain(format!(
                    "leg {leg} done by {}: {} tokens generated, {} prompt tokens from its cache, {}, {} mJ",
                    self.vessel(*vessel),
                    grouped(tokens_out.0),
                    grouped(cached.0),
                    dollars(cost.0),
                    grouped(energy.0),
                ))
            }
            Event::LegFailed { leg, vessel, fault, attempt, .. } => plain(format!(
                "{}: leg {leg} of attempt {attempt} on {}: {fault:?}",
                paint(BAD, "failed"),
                self.vessel(*vessel),
            )),
            Event::RetryScheduled { attempts, at, .. } => plain(format!(
                "tried again in {}, after {attempts} attempts",
                span(at.0 - stamp.time.0)
            )),
            Event::OrderSettled { tokens_in, cached, tokens_out, cost, energy, .. } => {
                plain(format!(
                    "settled: {} in ({} cached), {} out, {}, {} mJ",
                    grouped(tokens_in.0),
                    grouped(cached.0),
                    grouped(tokens_out.0),
                    dollars(cost.0),
                    grouped(energy.0),
                ))
            }
            Event::OrderEnded { end, attempts, first_token, latency, .. } => plain(format!(
                "{} after {}, first token after {}, {attempts} attempts, {} events",
                paint(NAME, end_name(*end)),
                span(latency.0),
                span(first_token.0),
                told.len(),
            )),
            _ => plain(String::new()),
        }
    }

    fn place(&self, candidate: &Candidate) -> String {
        match candidate.decode {
            VesselId::NONE => self.vessel(candidate.vessel),
            decode => format!("{} then {}", self.vessel(candidate.vessel), self.vessel(decode)),
        }
    }

    fn candidate(&self, rank: usize, candidate: &Candidate) -> String {
        let verdict = match candidate.verdict {
            Verdict::Eligible if rank == 0 => paint(GOOD, "chosen"),
            Verdict::Eligible => "      ".to_owned(),
            Verdict::TooLarge => paint(BAD, "small "),
        };
        format!(
            "{verdict} {:<24} score {:>10}  done in {:>11}  {}  {} mJ  cached {}  draw {:08x}",
            self.place(candidate),
            grouped(candidate.score),
            span(candidate.eta.0),
            dollars(candidate.cost.0),
            grouped(candidate.energy.0),
            grouped(candidate.cached.0),
            candidate.tie,
        )
    }
}
