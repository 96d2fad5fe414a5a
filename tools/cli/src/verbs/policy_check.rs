//! `policy-check`: what would be different if a policy were put in force now. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tensorforge_engine::command::{Command, Stamp};
use tensorforge_engine::models::Stage;
use tensorforge_engine::policy::{Policy, PolicyLevel};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, ModelId, OrderId, Ppm, Seq, VesselId};
use tensorforge_engine::{
    Event, Exchange, State, allocator, models, policy, queue, resilience, routing, workflow,
};
use tensorforge_fleet::{DocumentError, read_policy};
use tensorforge_journal::{Mode, state_at};

use crate::args::PolicyCheckArgs;
use crate::failure::{Exit, Failure, Result};
use crate::moment;
use crate::output::{self, BAD, counted, span};
use crate::text::paint;
use crate::verbs;

/// The most records that either policy is tried for.
const RECORDS_MAX: u64 = 10_000;

/// The most orders that are told of to people.
const ORDERS_MAX: usize = 20;

pub(crate) fn run(args: &PolicyCheckArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let proposed = match read_policy(&args.policy) {
        Ok(policy) => policy,
        Err(DocumentError::Invalid { faults, .. }) => return Ok(faulty(&faults, as_json)),
        Err(error) => return Err(Failure::input(error)),
    };
    let state = state_at(&journal, Mode::Fold, records)?;
    let Some((version, present)) = state.policy().map(|(version, rules)| (version, rules.clone()))
    else {
        return Err(Failure::input(format!("no policy is in force after {records} records"))
            .with_help("give a later place with --at"));
    };
    // Long enough for both to have reviewed the risk.
    let until = state.now() + present.escalation.review.max(proposed.escalation.review);
    let left = Tried::under(&state, records, &present, until)?;
    let right = Tried::under(&state, records, &proposed, until)?;
    let orders = differing(&left.orders, &right.orders);
    let different = left.risk != right.risk
        || left.level != right.level
        || left.next != right.next
        || !orders.is_empty();
    if as_json {
        let side = |tried: &Tried| tried.json(&state);
        let orders = orders.iter().map(
            |(order, [left, right])| json!({ "order": order, "present": left, "proposed": right }),
        );
        output::json(&json!({
            "records": records,
            "time_us": state.now(),
            "until_us": until,
            "policy": version,
            "faults": [],
            "different": different,
            "present": side(&left),
            "proposed": side(&right),
            "orders": orders.collect::<Vec<_>>(),
        }));
    } else {
        let head = format!(
            "after {}, and for {} more",
            span(state.now().0),
            span((until - state.now()).0)
        );
        output::say(head);
        print(&state, &left, &right, &orders);
    }
    Ok(if different { Exit::Different } else { Exit::AsAsked })
}

fn faulty(faults: &[String], as_json: bool) -> Exit {
    if as_json {
        output::json(&json!({ "faults": faults, "different": true }));
    } else {
        faults.iter().for_each(|fault| output::say(paint(BAD, "fault") + format!(" {fault}")));
    }
    Exit::Different
}

/// What becomes of a state under a policy while nothing more is heard.
struct Tried {
    /// The risk and the level in the end.
    risk: Ppm,
    level: PolicyLevel,
    /// What is decided about orders, by their numbers.
    orders: BTreeMap<u64, Vec<String>>,
    /// Who would have the next slot that came free, by model.
    next: BTreeMap<u32, Option<u64>>,
}

impl Tried {
    /// Puts a policy in force one record on and lets time pass until then. The one in force is put in force anew, so that
    /// both have the same draws.
    fn under(state: &State, records: u64, rules: &Policy, until: Micros) -> Result<Self> {
        let mut bench = Bench { exchange: Exchange::resume(state.clone()), seq: records };
        let set = policy::Command::SetPolicy(Box::new(rules.clone()));
        let told = bench.decide(state.now(), set.into())?;
        if let Some(refusal) = told.iter().find_map(|event| match event {
            Event::Workflow(workflow::Event::CommandRefused { refusal }) => Some(refusal),
            _ => None,
        }) {
            return Err(Failure::input(format!("the exchange refuses the policy: {refusal}")));
        }
        let next = bench.next()?;
        let mut orders: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let end = records.saturating_add(RECORDS_MAX);
        while let Some(due) = bench.exchange.state().next_deadline().filter(|due| *due <= until)
            && bench.seq < end
        {
            for event in bench.decide(due.max(state.now()), workflow::Command::Advance.into())? {
                if let Some((order, what)) = about(state, &event) {
                    orders.entry(order.number()).or_default().push(what);
                }
            }
        }
        let stance = bench.exchange.state().stance();
        let (risk, level) =
            stance.map_or((Ppm::ZERO, PolicyLevel::Normal), |stance| (stance.risk, stance.level));
        Ok(Self { risk, level, orders, next })
    }

    fn json(&self, state: &State) -> Value {
        let next = self.next.iter().map(|(model, order)| {
            json!({ "model": model, "name": model_name(state, *model), "order": order })
        });
        json!({
            "risk_ppm": self.risk,
            "level": self.level,
            "next": next.collect::<Vec<_>>(),
        })
    }
}

/// An exchange on which something is tried.
struct Bench {
    exchange: Exchange,
    seq: u64,
}

impl Bench {
    fn decide(&mut self, time: Micros, command: Command) -> Result<Vec<Event>> {
        let stamp = Stamp { seq: Seq(self.seq), time, source: Source::OPERATOR };
        let mut events = Vec::new();
        self.exchange
            .decide(stamp, &command, &mut events)
            .map_err(|breach| Failure::input(breach.to_string()))?;
        self.seq += 1;
        Ok(events)
    }

    /// Who would be served next, of each model that somebody waits for: a vessel is lent one more slot.
    fn next(&self) -> Result<BTreeMap<u32, Option<u64>>> {
        let state = self.exchange.state();
        let waiting: BTreeSet<u32> = state
            .tables
            .orders
            .iter()
            .filter(|(_, row)| row.stage == Stage::Queued)
            .map(|(_, row)| row.demand.model.0)
            .collect();
        let mut next = BTreeMap::new();
        for model in waiting {
            let mut served = None;
            for (vessel, row) in state.tables.vessels.iter() {
                if served.is_none() && row.manifest.models.contains(&ModelId(model)) {
                    served = self.lend(vessel, ModelId(model))?;
                }
            }
            next.insert(model, served);
        }
        Ok(next)
    }

    /// Who of a model's would have one more slot of a vessel.
    fn lend(&self, vessel: VesselId, model: ModelId) -> Result<Option<u64>> {
        let state = self.exchange.state();
        let Some(row) = state.tables.vessels.get(vessel).cloned() else { return Ok(None) };
        let mut bench = Self { exchange: self.exchange.clone(), seq: self.seq };
        let mut manifest = row.manifest;
        // For this model alone, as many as it has in use and one more.
        manifest.models = vec![model];
        let used = state.tables.loads.get(vessel).map_or(0, |load| load.used);
        manifest.slots = used.saturating_add(1);
        let register =
            models::Command::RegisterVessel { name: row.name, manifest, start: row.start };
        let events = bench.decide(state.now(), register.into())?;
        Ok(events.iter().find_map(|event| match event {
            Event::Queue(queue::Event::OrderChosen { order, .. }) => Some(order.number()),
            _ => None,
        }))
    }
}

/// What an event says of an order.
fn about(state: &State, event: &Event) -> Option<(OrderId, String)> {
    let vessel = |id: VesselId| {
        let row = state.tables.vessels.get(id);
        row.map_or_else(|| format!("vessel {id}"), |row| row.name.clone())
    };
    match event {
        Event::Routing(routing::Event::OrderRouted { order, route, .. }) => {
            let way: Vec<String> = route.iter().map(|leg| vessel(leg.vessel)).collect();
            Some((*order, format!("routed to {}", way.join(", "))))
        }
        Event::Queue(queue::Event::OrderQueued { order, .. }) => Some((*order, "waits".into())),
        Event::Allocator(allocator::Event::OrderHeldBack { order, at, .. }) => {
            Some((*order, format!("held back until {}", span(at.0))))
        }
        Event::Allocator(allocator::Event::OrderTooDear { order, at, .. }) => {
            Some((*order, format!("too dear, until {}", span(at.0))))
        }
        Event::Allocator(allocator::Event::OrderCrowdedOut { order, vessel: at, .. }) => {
            Some((*order, format!("crowded out of {}", vessel(*at))))
        }
        Event::Resilience(resilience::Event::RetryScheduled { order, .. }) => {
            Some((*order, "tried again later".into()))
        }
        Event::Resilience(resilience::Event::RetryPostponed { order, .. }) => {
            Some((*order, "put off".into()))
        }
        Event::Workflow(workflow::Event::LegFailed { order, vessel: at, fault, .. }) => {
            let fault = serde_json::to_value(fault).unwrap_or_default();
            Some((*order, format!("{} at {}", fault.as_str().unwrap_or_default(), vessel(*at))))
        }
        Event::Workflow(workflow::Event::OrderEnded { order, end, .. }) => {
            let end = serde_json::to_value(end).unwrap_or_default();
            Some((*order, end.as_str().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}

/// Orders of which something else is decided.
fn differing(
    left: &BTreeMap<u64, Vec<String>>,
    right: &BTreeMap<u64, Vec<String>>,
) -> BTreeMap<u64, [Vec<String>; 2]> {
    let orders: BTreeSet<u64> = left.keys().chain(right.keys()).copied().collect();
    let both = orders.into_iter().map(|order| {
        let of = |side: &BTreeMap<u64, Vec<String>>| side.get(&order).cloned().unwrap_or_default();
        (order, [of(left), of(right)])
    });
    both.filter(|(_, [left, right])| left != right).collect()
}

fn print(state: &State, left: &Tried, right: &Tried, orders: &BTreeMap<u64, [Vec<String>; 2]>) {
    let word = |level: PolicyLevel| {
        serde_json::to_value(level).ok().and_then(|name| name.as_str().map(str::to_owned))
    };
    let mut rows = vec![
        ["risk", &share(left.risk), &share(right.risk)].map(str::to_owned).to_vec(),
        vec![
            "level".to_owned(),
            word(left.level).unwrap_or_default(),
            word(right.level).unwrap_or_default(),
        ],
    ];
    let order =
        |order: Option<u64>| order.map_or("nobody".into(), |order| format!("order {order}"));
    for (model, next) in &left.next {
        let other = right.next.get(model).copied().flatten();
        let name = model_name(state, *model);
        rows.push(vec![format!("next for {name}"), order(*next), order(other)]);
    }
    let told = |words: &[String]| {
        if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
    };
    for (order, [left, right]) in orders.iter().take(ORDERS_MAX) {
        rows.push(vec![format!("order {order}"), told(left), told(right)]);
    }
    output::say(output::table(&["", "present", "proposed"], &rows));
    if orders.len() > ORDERS_MAX {
        let more = counted((orders.len() - ORDERS_MAX) as u64, "more order");
        output::say(format!("and {more} of which something else is decided"));
    }
}

fn share(Ppm(share): Ppm) -> String {
    format!("{}.{:04} %", share / 10_000, share % 10_000)
}

fn model_name(state: &State, model: u32) -> String {
    let row = state.tables.models.get(ModelId(model));
    row.map_or_else(|| format!("model {model}"), |row| row.name.clone())
}
