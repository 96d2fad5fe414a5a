//! `route`: where an order would go that came now. The engine decides it on a copy of the state; nothing is written.

use serde_json::{Value, json};
use tensorforge_engine::models::Mark;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::routing::{
    Candidate, Choice, Exclusion, Verdict, Weights, exclusion, points,
};
use tensorforge_engine::units::{MicroUsd, Micros, OrderId, Tokens, VesselId};
use tensorforge_engine::{Event, State, allocator, queue, routing, workflow};

use crate::args::RouteArgs;
use crate::asked::Asked;
use crate::failure::{Exit, Failure, Result};
use crate::names::Names;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, dollars, grouped, span};
use crate::text::{Text, paint};
use crate::verbs::explain::word;

pub(crate) fn run(args: &RouteArgs, as_json: bool) -> Result<Exit> {
    let mut asked = Asked::read(&args.asked, args.tokens_in, args.tokens_out)?;
    asked.demand.limit = args.limit;
    if let Some(name) = &args.origin {
        asked.demand.origin = asked.region(name)?;
    }
    let marks = args.prefixes.iter();
    asked.demand.prefix =
        marks.map(|(hash, at)| Mark { hash: *hash, tokens: Tokens(*at) }).collect();
    let plan = Plan::of(&asked)?;
    if as_json {
        output::json(&plan.json(&asked));
    } else {
        plan.print(&asked);
    }
    let routed = matches!(plan.answer, Answer::Routed { .. });
    Ok(if routed { Exit::AsAsked } else { Exit::Different })
}

/// What would become of the order.
enum Answer {
    Routed {
        open: u32,
        candidates: Vec<Candidate>,
    },
    /// For room; or with others, until then at most.
    Queued {
        ahead: u64,
        ripe_at: Option<Micros>,
    },
    HeldBack {
        berthed_at: Micros,
        at: Micros,
    },
    TooDear {
        least: MicroUsd,
        at: Micros,
    },
    CrowdedOut {
        place: String,
        needs: Tokens,
    },
    Refused(Refusal),
}

/// The answer, and every vessel of the model that was not considered: why it could not be had, if it could not.
struct Plan {
    answer: Answer,
    others: Vec<(VesselId, Option<Exclusion>)>,
}

impl Plan {
    fn of(asked: &Asked) -> Result<Self> {
        let events = asked.decide(&asked.demand)?;
        let answer = answer(&events, &Names::of(asked.state()))
            .ok_or_else(|| Failure::input("the engine has decided nothing about such an order"))?;
        let considered = |id: VesselId| match &answer {
            Answer::Routed { candidates, .. } => candidates
                .iter()
                .any(|candidate| [candidate.vessel, candidate.decode].contains(&id)),
            _ => false,
        };
        let vessels = asked.state().tables.vessels.iter();
        let serving = vessels.filter(|(_, row)| row.manifest.models.contains(&asked.demand.model));
        let others = serving
            .map(|(id, _)| id)
            .filter(|id| !considered(*id))
            .map(|id| (id, exclusion(asked.state(), id, asked.tenant, &asked.demand)));
        Ok(Self { others: others.collect(), answer })
    }

    fn print(&self, asked: &Asked) {
        let (state, names) = (asked.state(), Names::of(asked.state()));
        let (demand, now) = (&asked.demand, state.now());
        output::say(format!(
            "after {}, at {}: {}, {} and at most {} generated, from {}, class {}",
            counted(asked.records, "record"),
            span(now.0),
            names.models.get(&demand.model.0).cloned().unwrap_or_default(),
            counted(demand.tokens_in.0, "prompt token"),
            grouped(demand.tokens_out_max.0),
            names.tenant(asked.tenant),
            word(demand.class),
        ));
        match &self.answer {
            Answer::Routed { open, candidates } => {
                let chosen = candidates.first().map_or_else(String::new, |best| names.place(best));
                let open = counted((*open).into(), "vessel");
                output::say(paint(GOOD, "would go") + format!(" to {chosen}; {open} had room"));
                for (rank, candidate) in candidates.iter().enumerate() {
                    let line = match rank {
                        1 if can_be_had(candidate) => {
                            paint(NAME, "next  ") + names.figures(candidate)
                        }
                        rank => names.candidate(rank, candidate),
                    };
                    output::say(Text::from("  ") + line);
                }
                margin(state, candidates).iter().for_each(|margin| output::say(margin.text()));
            }
            Answer::Queued { ahead, ripe_at } => {
                let why = match ripe_at {
                    None => "there is no room for it, or for others first".to_owned(),
                    Some(at) => format!(
                        "it would gather with other batch orders, for {} at most",
                        span((*at - now).0)
                    ),
                };
                let told = format!(": {why}; behind {}", counted(*ahead, "order"));
                output::say(paint(BAD, "would wait") + told);
            }
            Answer::HeldBack { berthed_at, at } => output::say(
                paint(BAD, "would be held back")
                    + format!(
                        ": wherever there is room it would last into a berth, the first of which begins in {}; \
                         looked at again in {}",
                        span((*berthed_at - now).0),
                        span((*at - now).0),
                    ),
            ),
            Answer::TooDear { least, at } => output::say(
                paint(BAD, "would be too dear")
                    + format!(
                        ": wherever there is room it is expected to cost more than the {} that it may, {} at least; \
                         looked at again in {}",
                        dollars(demand.limit.into()),
                        dollars(least.0),
                        span((*at - now).0),
                    ),
            ),
            Answer::CrowdedOut { place, needs } => output::say(
                paint(BAD, "would be crowded out")
                    + format!(
                        ": wherever there is a slot too little memory is left; {place} would take nobody else until {} \
                         less are aboard",
                        counted(needs.0, "token"),
                    ),
            ),
            Answer::Refused(refusal) => {
                output::say(paint(BAD, "would be refused") + format!(": {}", word(refusal)));
            }
        }
        for (id, why) in &self.others {
            let why = why.map_or_else(|| self.open().to_owned(), |why| told(why, now));
            let name = format!("  not    {:<24} ", names.vessel(*id));
            output::say(paint(FAINT, name) + why);
        }
    }

    /// Why an open vessel was not considered.
    fn open(&self) -> &'static str {
        match self.answer {
            Answer::Routed { .. } => "it has room, and was not drawn",
            Answer::Queued { ripe_at: Some(_), .. } => "it has room, and the order gathers",
            Answer::Queued { .. } => "it has room, and others go first",
            Answer::HeldBack { .. } | Answer::TooDear { .. } | Answer::CrowdedOut { .. } => {
                "it has room, and was not looked at"
            }
            Answer::Refused(_) => "it has room",
        }
    }

    fn json(&self, asked: &Asked) -> Value {
        let (state, names) = (asked.state(), Names::of(asked.state()));
        let mut document = json!({
            "records": asked.records,
            "time_us": state.now(),
            "tenant": names.tenant(asked.tenant),
            "demand": asked.demand,
            "answer": match &self.answer {
                Answer::Routed { .. } => "routed",
                Answer::Queued { .. } => "queued",
                Answer::HeldBack { .. } => "held_back",
                Answer::TooDear { .. } => "too_dear",
                Answer::CrowdedOut { .. } => "crowded_out",
                Answer::Refused(_) => "refused",
            },
            "open": null,
            "candidates": [],
            "margin": null,
        });
        match &self.answer {
            Answer::Routed { open, candidates } => {
                let weights = state.policy().map(|(_, policy)| policy.weights.clone());
                let told = candidates.iter().map(|candidate| {
                    let [time, cost, energy] =
                        weights.as_ref().map_or([0; 3], |weights| points(weights, candidate));
                    let mut value = serde_json::to_value(candidate).unwrap_or_default();
                    value["name"] = names.place(candidate).into();
                    value["thousandths"] = json!({ "time": time, "cost": cost, "energy": energy });
                    value
                });
                document["candidates"] = told.collect();
                document["open"] = (*open).into();
                document["margin"] =
                    margin(state, candidates).map_or(Value::Null, |margin| margin.json());
            }
            Answer::Queued { ahead, ripe_at } => {
                document["ahead"] = (*ahead).into();
                if let Some(at) = ripe_at {
                    document["ripe_at"] = json!(at);
                }
            }
            Answer::HeldBack { berthed_at, at } => {
                document["berthed_at"] = json!(berthed_at);
                document["at"] = json!(at);
            }
            Answer::TooDear { least, at } => {
                document["least"] = json!(least);
                document["at"] = json!(at);
            }
            Answer::CrowdedOut { place, needs } => {
                document["place"] = json!(place);
                document["needs"] = json!(needs);
            }
            Answer::Refused(refusal) => document["refusal"] = json!(refusal),
        }
        let others = self.others.iter().map(|(id, why)| {
            let mut value = why.map_or_else(
                || json!({ "why": "open" }),
                |why| serde_json::to_value(why).unwrap_or_default(),
            );
            value["vessel"] = json!(id);
            value["name"] = names.vessel(*id).into();
            value
        });
        document["others"] = others.collect();
        document
    }
}

/// What the events of a submission say of its order.
fn answer(events: &[Event], names: &Names) -> Option<Answer> {
    let (mut own, mut waits): (Option<OrderId>, Option<Answer>) = (None, None);
    for event in events {
        match event {
            Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => {
                return Some(Answer::Refused(refusal.clone()));
            }
            Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) => own = Some(*order),
            Event::Routing(routing::Event::OrderRouted { order, open, candidates, .. })
                if own == Some(*order) =>
            {
                return Some(Answer::Routed { open: *open, candidates: candidates.0.clone() });
            }
            Event::Queue(queue::Event::OrderQueued { order, ahead, ripe_at, .. })
                if own == Some(*order) =>
            {
                // With it those who gathered may be enough, and then it goes on.
                let ripe_at = Some(*ripe_at).filter(|at| *at > Micros::ZERO);
                waits = Some(Answer::Queued { ahead: *ahead, ripe_at });
            }
            Event::Queue(queue::Event::BatchReleased { .. }) => {
                if let Some(Answer::Queued { ripe_at, .. }) = &mut waits {
                    *ripe_at = None;
                }
            }
            Event::Allocator(allocator::Event::OrderHeldBack { order, berthed_at, at })
                if own == Some(*order) =>
            {
                return Some(Answer::HeldBack { berthed_at: *berthed_at, at: *at });
            }
            Event::Allocator(allocator::Event::OrderTooDear { order, least, at })
                if own == Some(*order) =>
            {
                return Some(Answer::TooDear { least: *least, at: *at });
            }
            Event::Allocator(allocator::Event::OrderCrowdedOut {
                order,
                vessel,
                decode,
                needs,
                ..
            }) if own == Some(*order) => {
                let place = match *decode {
                    VesselId::NONE => names.vessel(*vessel),
                    decode => format!("{} and {}", names.vessel(*vessel), names.vessel(decode)),
                };
                return Some(Answer::CrowdedOut { place, needs: *needs });
            }
            _ => {}
        }
    }
    waits
}

/// Whether the candidate could have been taken.
fn can_be_had(candidate: &Candidate) -> bool {
    matches!(candidate.verdict, Verdict::Eligible | Verdict::Kept | Verdict::Near | Verdict::Tried)
}

/// What the next best route would have had more than the chosen one, in thousandths of a point.
enum Margin {
    /// It is taken only where there is no other.
    Verdict(Verdict),
    /// Time, price and fuel.
    Points { all: u64, parts: [i128; 3], tie: bool },
    /// The share of slots in use, in ppm.
    Load(u64),
    /// The slots that are left.
    Left(u64),
}

fn margin(state: &State, candidates: &[Candidate]) -> Option<Margin> {
    let (_, policy) = state.policy()?;
    let [best, next, ..] = candidates else { return None };
    if !can_be_had(next) {
        return None;
    }
    if next.verdict != best.verdict {
        return Some(Margin::Verdict(next.verdict));
    }
    let all = next.score.saturating_sub(best.score);
    match policy.route_by {
        Choice::LeastLoad => Some(Margin::Load(all)),
        Choice::BestFit => Some(Margin::Left(all)),
        _ => {
            let [best, other] = [best, next].map(|candidate| parts(&policy.weights, candidate));
            let parts = [0, 1, 2].map(|part: usize| other[part] - best[part]);
            Some(Margin::Points { all, parts, tie: all == 0 })
        }
    }
}

fn parts(weights: &Weights, candidate: &Candidate) -> [i128; 3] {
    points(weights, candidate).map(i128::from)
}

impl Margin {
    fn text(&self) -> String {
        match self {
            Self::Verdict(verdict) => {
                format!(
                    "  the next one is {}: it is taken only where there is no other",
                    word(verdict)
                )
            }
            Self::Load(0) => {
                "  no margin: as large a share of slots is in use, and a draw decides".into()
            }
            Self::Load(ppm) => format!("  by {} ppm of its slots in use", grouped(*ppm)),
            Self::Left(0) => "  no margin: as many slots are left, and a draw decides".into(),
            Self::Left(slots) => format!("  by {} fewer left", counted(*slots, "slot")),
            Self::Points { all, parts: [time, cost, energy], tie } => {
                let head = if *tie {
                    let head =
                        "  no margin: the points are the same, and a draw decides".to_owned();
                    if [time, cost, energy] == [&0; 3] {
                        return head;
                    }
                    head
                } else {
                    let points = if *all == 1 { "point" } else { "points" };
                    format!("  by {} {points}", grouped(*all))
                };
                let [time, cost, energy] = [time, cost, energy].map(|part| signed(*part));
                format!("{head}: {time} for time, {cost} for the price, {energy} for fuel")
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Verdict(verdict) => json!({ "by": "verdict", "verdict": verdict }),
            Self::Load(ppm) => json!({ "by": "load", "ppm": ppm }),
            Self::Left(slots) => json!({ "by": "left", "slots": slots }),
            Self::Points { all, parts, tie } => {
                let [time, cost, energy] =
                    parts.map(|part| i64::try_from(part).unwrap_or(i64::MAX));
                json!({
                    "by": if *tie { "draw" } else { "score" },
                    "points": all,
                    "thousandths": { "time": time, "cost": cost, "energy": energy },
                })
            }
        }
    }
}

/// Thousandths of a point as points, with their sign.
fn signed(thousandths: i128) -> String {
    let (whole, part) = (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
    let sign = match thousandths {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    let whole = grouped(u64::try_from(whole).unwrap_or(u64::MAX));
    if part == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part:03}") }
}

/// Why a vessel cannot be had, for people.
pub(crate) fn told(why: Exclusion, now: Micros) -> String {
    let left = |until: Micros| span((until - now).0);
    match why {
        Exclusion::Unknown => "there is none of that number".into(),
        Exclusion::OtherModel => "it does not serve the model".into(),
        Exclusion::Draining => "it drains, and takes no more".into(),
        Exclusion::Drained => "it is drained".into(),
        Exclusion::Lost => "it is lost".into(),
        Exclusion::Restarting => "it began anew, and what it had is still failed over".into(),
        Exclusion::Retired => "it is gone for good".into(),
        Exclusion::Joining { until } => {
            format!("it is on its way, and has {} to be there", left(until))
        }
        Exclusion::WrongRole { role } => format!("it has no berths: it works {} alone", word(role)),
        Exclusion::TooLarge { asked, max } => {
            format!("it is too small: {} of {} asked", grouped(max.0), counted(asked.0, "token"))
        }
        Exclusion::BreakerOpen { until } => {
            format!("its breaker is open; a probe may pass in {}", left(until))
        }
        Exclusion::Paused { until } => format!("it is left in peace for {}", left(until)),
        Exclusion::Maintenance { until } => format!("it is in maintenance for {}", left(until)),
        Exclusion::Probing { used, probes } => {
            format!(
                "its breaker is being probed: {used} of {} aboard",
                counted(probes.into(), "probe")
            )
        }
        Exclusion::Full { used, slots } => {
            format!("it is full: {used} of {slots} slots are in use")
        }
        Exclusion::KeptForBerths { used, kept, slots } => format!(
            "the rest of it is kept for berths: {used} of {slots} slots are in use, {kept} kept"
        ),
        Exclusion::NoOtherHalf { role } => format!(
            "it works {} alone, and nobody that could do the rest is open and large enough",
            word(role)
        ),
        Exclusion::NoAnswer => "it works answers alone, and there is none to work".into(),
        Exclusion::Crowded { held, asked, most } => format!(
            "it is crowded: {} are aboard at most, and {} more would be above {}",
            counted(held.0, "token"),
            grouped(asked.0),
            grouped(most.0)
        ),
        Exclusion::KeptForOrder { .. } => {
            "it is kept for an order that waits until it has memory enough".into()
        }
        Exclusion::Promised { berthed_at } => {
            format!("it would last into a berth that begins in {}", left(berthed_at))
        }
        Exclusion::TooDear { cost, limit } => {
            format!("it is too dear: {} of {} at most", dollars(cost.0), dollars(limit.0))
        }
    }
}
