//! `explain`: the whole story of one order, read from the journal. Nothing is decided or folded.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use tensorforge_engine::command::Stamp;
use tensorforge_engine::event::Event;
use tensorforge_engine::models::LegKind;
use tensorforge_engine::routing::{Candidate, Verdict};
use tensorforge_engine::units::{Micros, OrderId, VesselId};
use tensorforge_engine::{allocator, queue, resilience, routing, telemetry, workflow};
use tensorforge_journal::{Journal, Record, read_records};

use crate::args::ExplainArgs;
use crate::failure::{Exit, Failure, Result};
use crate::machine;
use crate::names::Names;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, dollars, exact_dollars, grouped, span};
use crate::tally::end_name;
use crate::text::{Text, paint};
use crate::verbs::{self, log};

pub(crate) fn run(args: &ExplainArgs, as_json: bool) -> Result<Exit> {
    let started = Instant::now();
    let journal = verbs::open(&args.dir)?;
    let story = Story::read(&journal, args)?;
    let seconds = started.elapsed().as_secs_f64();
    if as_json {
        let told = story.told.iter().map(|(stamp, command, event)| {
            json!({ "seq": stamp.seq, "time_us": stamp.time, "command": command, "event": event })
        });
        output::json(&json!({
            "order": story.order.number(),
            "vessels": story.names.vessels,
            "tenants": story.names.tenants,
            "events": told.collect::<Vec<_>>(),
            "seconds": seconds,
            "peak_bytes": machine::peak_bytes(),
        }));
    } else {
        story.print();
    }
    Ok(Exit::AsAsked)
}

/// One order's events, as they are recorded.
struct Story {
    order: OrderId,
    /// Every event about the order: where it stands, the command that led to it, and the event.
    told: Vec<(Stamp, String, Event)>,
    names: Names,
}

impl Story {
    fn read(journal: &Journal, args: &ExplainArgs) -> Result<Self> {
        let number = match (args.order, args.external) {
            (Some(asked), _) => asked.number,
            (None, external) => numbered(journal, args, external.unwrap_or_default())?,
        };
        let (mut told, mut names, mut last) = (Vec::new(), Names::default(), 0);
        let (mut order, mut model, mut gathers) = (None, None, false);
        read_records(journal, 0, journal.next_seq(), |record| {
            let command = command_name(&record);
            for event in record.events {
                names.learn(&event);
                // Whoever gathers is released with all others of his model.
                if let Event::Queue(queue::Event::BatchReleased { model: of, .. }) = &event
                    && gathers
                    && model == Some(*of)
                {
                    gathers = false;
                    told.push((record.stamp, command.clone(), event));
                    continue;
                }
                let Some(id) = subject(&event) else { continue };
                last = last.max(id.number());
                if id.number() == number {
                    order = Some(id);
                    match &event {
                        Event::Workflow(workflow::Event::OrderAdmitted { demand, .. }) => {
                            model = Some(demand.model);
                        }
                        Event::Queue(queue::Event::OrderQueued { ripe_at, .. }) => {
                            gathers = *ripe_at > Micros::ZERO;
                        }
                        _ => {}
                    }
                    told.push((record.stamp, command.clone(), event));
                }
            }
            ControlFlow::Continue(())
        })?;
        let Some(order) = order else {
            let range = format!("orders are numbered from 1 to {last}");
            return Err(absent(args, &format!("order {number}"), range));
        };
        let asked = args.order.and_then(|asked| asked.slot);
        if let Some(asked) = asked.filter(|slot| *slot != order.slot()) {
            let name = |slot| match slot {
                OrderId::NO_SLOT => format!("{number}@-"),
                slot => format!("{number}@{slot}"),
            };
            let (found, asked) = (name(order.slot()), name(asked));
            return Err(Failure::input(format!("order {number} is {found}, not {asked}"))
                .with_help("a slot goes from one order to the next; the number alone is enough"));
        }
        Ok(Self { order, told, names })
    }

    fn print(&self) {
        let arrived = self.told.first().map_or(Micros::ZERO, |(stamp, ..)| stamp.time);
        let order = format!("order {}", self.order);
        output::say(paint(NAME, order) + format!(", arrived at {}", span(arrived.0)));
        output::say(paint(FAINT, format!("{:>12}  {:>8}", "since then", "record")));
        for (stamp, _, event) in &self.told {
            let teller = Teller { names: &self.names, arrived, now: stamp.time };
            let (head, rest) = match event {
                Event::Workflow(workflow::Event::OrderEnded { .. }) => {
                    teller.end(event, self.told.len())
                }
                event => teller.tell(event),
            };
            let since = format!("{:>12}  ", format!("+{}", span((stamp.time - arrived).0)));
            let record = paint(FAINT, format!("{:>8}", stamp.seq.0));
            output::say(Text::from(since) + record + "  " + head);
            for line in rest {
                output::say(Text::from(format!("{:>24}", "")) + line);
            }
        }
    }
}

fn absent(args: &ExplainArgs, asked: &str, range: String) -> Failure {
    Failure::input(format!("there is no {asked} in {}", args.dir.display())).with_help(range)
}

/// The number of the first order that was submitted under an external number, or sent again under it.
fn numbered(journal: &Journal, args: &ExplainArgs, wanted: u64) -> Result<u64> {
    let (mut number, mut least, mut most) = (None, u64::MAX, None);
    read_records(journal, 0, journal.next_seq(), |record| {
        for event in &record.events {
            let (order, external) = match event {
                Event::Workflow(workflow::Event::OrderAdmitted { order, demand, .. }) => {
                    (order, demand.external)
                }
                Event::Workflow(workflow::Event::OrderRefused { order, external, .. })
                | Event::Workflow(workflow::Event::OrderDeduplicated { order, external, .. }) => {
                    (order, *external)
                }
                _ => continue,
            };
            least = least.min(external);
            most = most.max(Some(external));
            if external == wanted {
                number = Some(order.number());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    number.ok_or_else(|| {
        let range = match most {
            Some(most) => format!("external numbers of this journal lie from {least} to {most}"),
            None => "no order was submitted".to_owned(),
        };
        absent(args, &format!("external number {wanted}"), range)
    })
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
        Event::Workflow(workflow::Event::OrderAdmitted { order, .. })
        | Event::Workflow(workflow::Event::OrderRefused { order, .. })
        | Event::Workflow(workflow::Event::OrderDeduplicated { order, .. })
        | Event::Workflow(workflow::Event::KeyForgotten { order, .. })
        | Event::Queue(queue::Event::OrderQueued { order, .. })
        | Event::Queue(queue::Event::OrderChosen { order, .. })
        | Event::Queue(queue::Event::OrderOverdue { order, .. })
        | Event::Allocator(allocator::Event::OrderBerthed { order, .. })
        | Event::Allocator(allocator::Event::BerthReleased { order, .. })
        | Event::Allocator(allocator::Event::OrderHeldBack { order, .. })
        | Event::Allocator(allocator::Event::OrderTooDear { order, .. })
        | Event::Allocator(allocator::Event::OrderCrowdedOut { order, .. })
        | Event::Allocator(allocator::Event::OrderPreempted { order, .. })
        | Event::Workflow(workflow::Event::StopSettled { order, .. })
        | Event::Routing(routing::Event::OrderRouted { order, .. })
        | Event::Workflow(workflow::Event::LegDispatched { order, .. })
        | Event::Workflow(workflow::Event::LegCompleted { order, .. })
        | Event::Workflow(workflow::Event::LegFailed { order, .. })
        | Event::Workflow(workflow::Event::FirstTokenSeen { order, .. })
        | Event::Workflow(workflow::Event::LegHedged { order, .. })
        | Event::Workflow(workflow::Event::HedgeWithheld { order, .. })
        | Event::Workflow(workflow::Event::LegDropped { order, .. })
        | Event::Resilience(resilience::Event::RetryScheduled { order, .. })
        | Event::Resilience(resilience::Event::RetryPostponed { order, .. })
        | Event::Telemetry(telemetry::Event::OrderSettled { order, .. })
        | Event::Workflow(workflow::Event::OrderEnded { order, .. }) => Some(*order),
        Event::Allocator(allocator::Event::BerthOpened { order, .. }) => *order,
        Event::Workflow(workflow::Event::StopAwaited { awaited, .. }) => Some(awaited.order),
        _ => None,
    }
}

/// What is told about one event: a sentence, and lines of detail.
type Told = (Text, Vec<Text>);

/// Tells the events of one record.
struct Teller<'a> {
    names: &'a Names,
    /// When the order came; the story's own zero.
    arrived: Micros,
    /// When the record came.
    now: Micros,
}

impl Teller<'_> {
    fn tell(&self, event: &Event) -> Told {
        match event {
            Event::Workflow(workflow::Event::OrderAdmitted { .. })
            | Event::Workflow(workflow::Event::OrderRefused { .. })
            | Event::Workflow(workflow::Event::OrderDeduplicated { .. }) => self.arrival(event),
            Event::Routing(routing::Event::OrderRouted { .. }) => self.route(event),
            Event::Workflow(workflow::Event::LegHedged { .. }) => self.hedge(event),
            Event::Queue(
                queue::Event::OrderQueued { .. }
                | queue::Event::BatchReleased { .. }
                | queue::Event::OrderChosen { .. }
                | queue::Event::OrderOverdue { .. },
            )
            | Event::Allocator(allocator::Event::OrderBerthed { .. })
            | Event::Allocator(
                allocator::Event::BerthReleased { .. }
                | allocator::Event::BerthOpened { .. }
                | allocator::Event::OrderHeldBack { .. }
                | allocator::Event::OrderTooDear { .. }
                | allocator::Event::OrderCrowdedOut { .. }
                | allocator::Event::OrderPreempted { .. },
            )
            | Event::Resilience(resilience::Event::RetryScheduled { .. })
            | Event::Resilience(resilience::Event::RetryPostponed { .. }) => {
                (self.wait(event).into(), Vec::new())
            }
            _ => (self.work(event), Vec::new()),
        }
    }

    fn arrival(&self, event: &Event) -> Told {
        match event {
            Event::Workflow(workflow::Event::OrderAdmitted {
                tenant,
                level,
                deadline,
                reserved,
                demand,
                ..
            }) => {
                let model = self.names.model(demand.model);
                let prefix = demand.prefix.last().map_or(String::new(), |mark| {
                    format!(", {} of it named by prefix", counted(mark.tokens.0, "token"))
                });
                let told = format!(
                    " from {} as external number {}, class {}, under level {}",
                    self.names.tenant(*tenant),
                    demand.external,
                    word(demand.class),
                    word(level),
                );
                let limit = match demand.limit {
                    0 => String::new(),
                    limit => format!("; may cost {}", dollars(limit.into())),
                };
                let asked = format!(
                    "{model}: {}{prefix}, at most {} generated; expires after {}{limit}",
                    counted(demand.tokens_in.0, "prompt token"),
                    grouped(demand.tokens_out_max.0),
                    self.ahead(*deadline),
                );
                let mut details = vec![asked.into()];
                details.extend(reserved.map(|most| {
                    format!("{} of the budget set aside for it", exact_dollars(most)).into()
                }));
                (paint(GOOD, "admitted") + told, details)
            }
            Event::Workflow(workflow::Event::OrderRefused {
                tenant, external, refusal, ..
            }) => {
                let (tenant, refusal) = (self.names.tenant(*tenant), word(refusal));
                let told = format!(" from {tenant} as external number {external}: {refusal}");
                (paint(BAD, "refused") + told, Vec::new())
            }
            Event::Workflow(workflow::Event::OrderDeduplicated { external, .. }) => (
                format!("sent again as external number {external}: the same key, the same order")
                    .into(),
                Vec::new(),
            ),
            _ => Told::default(),
        }
    }

    fn route(&self, event: &Event) -> Told {
        let Event::Routing(routing::Event::OrderRouted {
            attempt, policy, open, candidates, ..
        }) = event
        else {
            return Told::default();
        };
        let chosen = candidates.first().map_or_else(String::new, |best| self.names.place(best));
        let told = format!(
            " to {chosen}: attempt {attempt}, policy version {policy}, {} had room",
            counted((*open).into(), "vessel"),
        );
        let ranked = candidates.iter().enumerate();
        let head = paint(GOOD, "routed") + told;
        (head, ranked.map(|(rank, candidate)| self.names.candidate(rank, candidate)).collect())
    }

    fn hedge(&self, event: &Event) -> Told {
        let Event::Workflow(workflow::Event::LegHedged {
            leg,
            vessel,
            work,
            within,
            timeout,
            candidates,
            ..
        }) = event
        else {
            return Told::default();
        };
        let told = format!(
            ": nothing heard of it, so {} works it as well, as leg {leg}; should take {}, {} at most; one of them times out after {}",
            self.names.vessel(*vessel),
            span(work.0),
            span(within.0),
            self.ahead(*timeout),
        );
        let ranked = candidates.iter().enumerate();
        let head = paint(GOOD, "hedged") + told;
        (head, ranked.map(|(rank, candidate)| self.names.candidate(rank, candidate)).collect())
    }

    fn wait(&self, event: &Event) -> String {
        match event {
            Event::Queue(queue::Event::OrderQueued { ticket, ahead, ripe_at, .. }) => {
                let why = match *ripe_at {
                    Micros::ZERO => "there is no room for it, or for others first".to_owned(),
                    at => format!(
                        "it gathers with other batch orders, for {} at most",
                        self.ahead(at)
                    ),
                };
                let others = subject_of(*ahead, "order", ["waits", "wait"]);
                format!("queued with ticket {ticket}: {why}; {others} already")
            }
            Event::Queue(queue::Event::BatchReleased { orders, tokens, .. }) => format!(
                "gathered enough, or for long enough: {} for room from now on, with {} in all",
                subject_of((*orders).into(), "order", ["waits", "wait"]),
                counted(tokens.0, "token"),
            ),
            Event::Queue(queue::Event::OrderOverdue { needs, left, .. }) => format!(
                "its turn, and too late: it might take {} and has {} left, so it gives way to others who wait",
                span(needs.0),
                span(left.0),
            ),
            Event::Queue(queue::Event::OrderChosen {
                tokens,
                share,
                class_served,
                tenant_served,
                ..
            }) => format!(
                "its turn: class served least of those who find room ({} a share), tenant served {}; \
                 charged for {} at a share of {share}",
                counted(class_served / 4_096, "token"),
                counted(*tenant_served, "token"),
                grouped(*tokens),
            ),
            Event::Allocator(allocator::Event::OrderBerthed {
                vessel,
                window,
                overlapping,
                ..
            }) => format!(
                "given a berth on {} from +{} to +{}; {} it",
                self.names.vessel(*vessel),
                span((window.from - self.arrived).0),
                span((window.until - self.arrived).0),
                match overlapping {
                    1 => "1 other overlaps".to_owned(),
                    others => format!("{others} others overlap"),
                },
            ),
            Event::Allocator(allocator::Event::BerthReleased { .. }) => {
                "berth given back".to_owned()
            }
            Event::Allocator(allocator::Event::BerthOpened { vessel, until, .. }) => {
                format!(
                    "its berth begins, and no slot of {} is free: the next one is kept for it, for {}",
                    self.names.vessel(*vessel),
                    self.ahead(*until),
                )
            }
            Event::Allocator(allocator::Event::OrderPreempted { leg, vessel, by, .. }) => {
                format!(
                    "leg {leg} on {} given up to order {}, which is interactive and found no room; it waits again, and pays nothing",
                    self.names.vessel(*vessel),
                    by.number(),
                )
            }
            Event::Allocator(allocator::Event::OrderHeldBack { berthed_at, at, .. }) => {
                format!(
                    "held back: wherever there is room it would last into a berth, the first of which begins in {}; \
                     looked at again in {}",
                    self.ahead(*berthed_at),
                    self.ahead(*at),
                )
            }
            Event::Allocator(allocator::Event::OrderTooDear { least, at, .. }) => {
                format!(
                    "too dear: wherever there is room it is expected to cost more than it may, {} at least; \
                     looked at again in {}",
                    dollars(least.0),
                    self.ahead(*at),
                )
            }
            Event::Allocator(allocator::Event::OrderCrowdedOut {
                vessel,
                decode,
                needs,
                at,
                ..
            }) => {
                let place = match *decode {
                    VesselId::NONE => format!("{} takes", self.names.vessel(*vessel)),
                    decode => format!(
                        "{} and {} take",
                        self.names.vessel(*vessel),
                        self.names.vessel(decode)
                    ),
                };
                format!(
                    "crowded out: wherever there is a slot too little memory is left; {place} nobody else until {} less \
                     are aboard; looked at again in {}",
                    counted(needs.0, "token"),
                    self.ahead(*at),
                )
            }
            Event::Resilience(resilience::Event::RetryScheduled { attempts, at, .. }) => {
                let attempts = counted((*attempts).into(), "attempt");
                format!("tried again in {}, after {attempts}", self.ahead(*at))
            }
            Event::Resilience(resilience::Event::RetryPostponed {
                retries, others, at, ..
            }) => {
                format!(
                    "not tried again for {}: {} already, beside {}",
                    self.ahead(*at),
                    subject_of(*retries, "order", ["is", "are"]),
                    counted(*others, "other attempt"),
                )
            }
            _ => String::new(),
        }
    }

    fn work(&self, event: &Event) -> Text {
        let told = match event {
            Event::Workflow(workflow::Event::LegDispatched {
                leg,
                kind,
                vessel,
                queue,
                prompt,
                answer,
                within,
                timeout,
                ..
            }) => format!(
                "leg {leg} ({}) handed to {}; should take {} (queue {}, {} {}, answer {}), {} at most, times out after {}",
                word(kind),
                self.names.vessel(*vessel),
                span((*queue + *prompt + *answer).0),
                span(queue.0),
                // No prompt is worked on a decode leg: what was made of it is fetched from another region.
                if *kind == LegKind::Decode { "transfer" } else { "prompt" },
                span(prompt.0),
                span(answer.0),
                span(within.0),
                self.ahead(*timeout),
            ),
            Event::Workflow(workflow::Event::LegCompleted {
                leg,
                vessel,
                tokens_out,
                cached,
                cost,
                energy,
                predicted,
                ..
            }) => format!(
                "leg {leg} done by {}: {} generated, {} from its cache, {}, {} mJ; alone it takes {}",
                self.names.vessel(*vessel),
                counted(tokens_out.0, "token"),
                counted(cached.0, "prompt token"),
                exact_dollars(*cost),
                grouped(energy.0),
                span(predicted.0),
            ),
            Event::Workflow(workflow::Event::LegFailed { leg, vessel, fault, attempt, .. }) => {
                let (vessel, fault) = (self.names.vessel(*vessel), word(fault));
                let told = format!(": leg {leg} of attempt {attempt} on {vessel}: {fault}");
                return paint(BAD, "failed") + told;
            }
            Event::Workflow(workflow::Event::FirstTokenSeen {
                leg, vessel, first_token, ..
            }) => format!(
                "first token of leg {leg} on its way from {}, {} after submission",
                self.names.vessel(*vessel),
                span(first_token.0),
            ),
            Event::Workflow(workflow::Event::HedgeWithheld { leg, reason, timeout, .. }) => {
                format!(
                    "nothing heard of leg {leg}, and no other vessel is asked ({}); times out after {}",
                    word(reason),
                    self.ahead(*timeout),
                )
            }
            Event::Workflow(workflow::Event::LegDropped { leg, vessel, fault, .. }) => {
                let why = fault.as_ref().map_or("not needed".to_owned(), word);
                format!("leg {leg} on {} given up: {why}", self.names.vessel(*vessel))
            }
            Event::Workflow(workflow::Event::StopAwaited { awaited, .. }) => format!(
                "{} is told to stop; what it has worked is awaited for {}",
                self.names.vessel(awaited.vessel),
                self.ahead(awaited.until),
            ),
            Event::Workflow(workflow::Event::StopSettled {
                usage, cost, burnt, estimated, ..
            }) => format!(
                "stopped: {} in ({} cached), {} out, {} charged of {} burnt, {} mJ{}",
                grouped(usage.tokens_in.0),
                grouped(usage.cached.0),
                grouped(usage.tokens_out.0),
                exact_dollars(*cost),
                exact_dollars(*burnt),
                grouped(usage.energy.0),
                if *estimated { "; nobody said so, it is an estimate" } else { "" },
            ),
            Event::Workflow(workflow::Event::KeyForgotten { .. }) => {
                "its key is remembered no more: whoever sends it again orders anew".to_owned()
            }
            Event::Telemetry(telemetry::Event::OrderSettled {
                tokens_in,
                cached,
                tokens_out,
                cost,
                burnt,
                energy,
                ..
            }) => format!(
                "settled: {} in ({} cached), {} out, {} charged of {} burnt, {} mJ",
                grouped(tokens_in.0),
                grouped(cached.0),
                grouped(tokens_out.0),
                exact_dollars(*cost),
                exact_dollars(*burnt),
                grouped(energy.0),
            ),
            _ => String::new(),
        };
        told.into()
    }

    fn end(&self, event: &Event, events: usize) -> Told {
        let Event::Workflow(workflow::Event::OrderEnded {
            end,
            attempts,
            first_token,
            latency,
            ..
        }) = event
        else {
            return Told::default();
        };
        let first_token = match *first_token {
            Micros::ZERO => "no first token".to_owned(),
            after => format!("first token after {}", span(after.0)),
        };
        let told = format!(
            " after {}, {first_token}, {}, {}",
            span(latency.0),
            counted((*attempts).into(), "attempt"),
            counted(events as u64, "event"),
        );
        (paint(NAME, end_name(*end)) + told, Vec::new())
    }

    /// How far off a moment is.
    fn ahead(&self, moment: Micros) -> String {
        span((moment - self.now).0)
    }
}

/// So many things and what they do, where one does it and where several do.
fn subject_of(number: u64, thing: &str, [one, several]: [&str; 2]) -> String {
    format!("{} {}", counted(number, thing), if number == 1 { one } else { several })
}

/// A name as JSON has it.
pub(crate) fn word(name: impl Serialize) -> String {
    log::value_text(&serde_json::to_value(name).unwrap_or_default())
}

/// What is told of those who were considered.
impl Names {
    pub(crate) fn place(&self, candidate: &Candidate) -> String {
        match candidate.decode {
            VesselId::NONE => self.vessel(candidate.vessel),
            decode => format!("{} then {}", self.vessel(candidate.vessel), self.vessel(decode)),
        }
    }

    pub(crate) fn candidate(&self, rank: usize, candidate: &Candidate) -> Text {
        let verdict = match candidate.verdict {
            Verdict::Eligible if rank == 0 => paint(GOOD, "chosen"),
            Verdict::Eligible => "      ".into(),
            Verdict::Kept | Verdict::Near | Verdict::Tried | Verdict::Late if rank == 0 => {
                paint(GOOD, "chosen")
            }
            Verdict::Late => paint(BAD, "late  "),
            Verdict::Promised => paint(BAD, "berth "),
            Verdict::Kept => paint(BAD, "kept  "),
            Verdict::Near => paint(BAD, "near  "),
            Verdict::Tried => paint(BAD, "tried "),
            Verdict::Crowded => paint(BAD, "crowd "),
            Verdict::Dear => paint(BAD, "dear  "),
            Verdict::TooLarge => paint(BAD, "small "),
        };
        verdict + self.figures(candidate)
    }

    /// What a candidate would mean.
    pub(crate) fn figures(&self, candidate: &Candidate) -> String {
        let told = format!(
            " {:<24} score {:>10}  done in {:>11}  {}  {} mJ  cached {}  draw {:08x}",
            self.place(candidate),
            grouped(candidate.score),
            span(candidate.eta.0),
            dollars(candidate.cost.0),
            grouped(candidate.energy.0),
            grouped(candidate.cached.0),
            candidate.tie,
        );
        let failing = match candidate.failing.0 {
            0 => String::new(),
            ppm => format!("  fails {} %", ppm / 10_000),
        };
        let domains = [candidate.vessel, candidate.decode].map(|id| self.domains.get(&id.0));
        let near = match (candidate.verdict, domains) {
            (Verdict::Near, [Some(one), Some(other)]) => format!("domains {one} and {other}"),
            (Verdict::Near, [Some(domain), None] | [None, Some(domain)]) => {
                format!("domain {domain}")
            }
            _ => String::new(),
        };
        let near = match near.as_str() {
            "" => near,
            near => format!("  of {near}, where one has failed it"),
        };
        told + failing.as_str() + near.as_str()
    }
}
