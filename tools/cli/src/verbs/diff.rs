//! `diff`: where two journals first part, the first decision that flipped, and what changed in all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::command::Command;
use tensorforge_engine::models::Demand;
use tensorforge_engine::units::{Micros, ModelId, OrderId, RegionId, VesselId};
use tensorforge_engine::{allocator, models, queue, routing, workflow};
use tensorforge_journal::{Divergence, Journal, Phase, diff, read_records};

use crate::args::DiffArgs;
use crate::failure::{Exit, Result};
use crate::output::{self, BAD, GOOD, NAME, counted, grouped};
use crate::tally::{Tally, end_name, refusal_kind};
use crate::text::{Text, paint};
use crate::verbs;

pub(crate) fn run(args: &DiffArgs, as_json: bool) -> Result<Exit> {
    let (left, right) = (verbs::open(&args.left)?, verbs::open(&args.right)?);
    let parting = diff(&left, &right)?;
    let Some(divergence) = &parting.divergence else {
        if as_json {
            output::json(&with_divergence(
                json!({ "different": false, "records": left.next_seq() }),
                None,
            ));
        } else {
            let records = counted(left.next_seq(), "record");
            output::say(paint(GOOD, "same") + format!(" {records}, equal to the last bit"));
        }
        return Ok(Exit::AsAsked);
    };
    let (a, b) = (Course::read(&left)?, Course::read(&right)?);
    let demand = Demands::compare(&a, &b);
    // Of orders that have nothing in common, nothing was decided otherwise.
    let flip = demand.same().then(|| first_flip(&a, &b));
    let flipped = demand.same().then(|| flipped_orders(&a, &b));
    note_part(&left, &a.tally);
    note_part(&right, &b.tally);
    if as_json {
        let document = json!({
            "different": true,
            "probes": parting.probes,
            "same_demand": demand.same(),
            "demand": demand,
            "flip": flip,
            "flipped_orders": flipped,
            "tally": { "left": a.tally.json(), "right": b.tally.json() },
        });
        output::json(&with_divergence(document, Some(divergence)));
        return Ok(Exit::Different);
    }
    output::say(describe(divergence, "left", "right"));
    match &flip {
        None => output::say(demand.text()),
        Some(Some(flip)) => output::say(flip.text(flipped.unwrap_or_default())),
        Some(None) => output::say("no order was decided otherwise"),
    }
    output::say(changes(&a.tally, &b.tally));
    Ok(Exit::Different)
}

/// Says that a journal ends before its trace does, as far as it shows: sums over it are of a part.
fn note_part(journal: &Journal, tally: &Tally) {
    let dir = journal.dir().display();
    let closed = if journal.closed() { "" } else { "was not closed" };
    let live = match tally.live() {
        0 => String::new(),
        live => format!("is not at its end, orders live: {}", grouped(live)),
    };
    let said: Vec<&str> = [closed, &live].into_iter().filter(|said| !said.is_empty()).collect();
    if !said.is_empty() {
        let said = said.join(" and ");
        output::note(format!("{dir} {said}; what would have come after it is not counted"));
    }
}

/// Puts the fields of a divergence into a document, each null if there is none.
pub(crate) fn with_divergence(mut document: Value, divergence: Option<&Divergence>) -> Value {
    const FIELDS: [&str; 13] = [
        "seq", "phase", "event", "kind", "module", "tables", "healed", "table", "row", "field",
        "left", "right", "rows",
    ];
    let found = serde_json::to_value(divergence).unwrap_or(Value::Null);
    if let Some(fields) = document.as_object_mut() {
        for field in FIELDS {
            fields.insert(field.to_owned(), found.get(field).cloned().unwrap_or(Value::Null));
        }
    }
    document
}

/// A divergence for people.
pub(crate) fn describe(divergence: &Divergence, left: &str, right: &str) -> Text {
    let Divergence { seq, phase, .. } = divergence;
    let mut head = paint(BAD, "part") + format!(" at record {seq}: {}", phase.says());
    if let Some(event) = divergence.event {
        let module = divergence.module.as_deref().unwrap_or("none");
        let kind = divergence.kind.as_deref().unwrap_or("none");
        head += format!(", event {event} ({module}.{kind})");
    }
    if let Some(field) = &divergence.field {
        head += format!(", field `{field}`");
    }
    let mut lines = vec![head];
    let mut line = |text: String| lines.push(text.into());
    if !divergence.left.is_null() || !divergence.right.is_null() {
        let side = |value: &Value| match (divergence.phase, value) {
            (Phase::Breached, Value::Null) => "goes on".to_owned(),
            (Phase::Breached, Value::String(problem)) => problem.clone(),
            _ => value.to_string(),
        };
        let (a, b) = (side(&divergence.left), side(&divergence.right));
        line(format!("  {left}: {a}"));
        line(format!("  {right}: {b}"));
    }
    let (tables, healed) = (divergence.tables.join(", "), divergence.healed.join(", "));
    let row = divergence.row.map_or(String::new(), |row| format!(", row {row}"));
    if divergence.phase == Phase::Folded && !(tables.is_empty() && healed.is_empty()) {
        if !tables.is_empty() {
            line(format!("  it wrote, and differs where its frame ends: {tables}{row}"));
        }
        if !healed.is_empty() {
            line(format!("  it wrote, and others have again by then: {healed}{row}"));
        }
    } else if !tables.is_empty() {
        line(format!("  tables that differ: {tables}"));
    } else if let (Some(table), Some(row)) = (&divergence.table, divergence.row) {
        let which = match divergence.phase {
            Phase::Breached => "the row",
            _ => "first row that differs afterwards",
        };
        let of = divergence.rows.first().map(|first| first.module.as_ref());
        let of = of.or(divergence.module.as_deref()).unwrap_or("no module");
        line(format!("  {which}: {table}.{row} of {of}"));
    }
    for row in divergence.rows.iter().take(8) {
        let path = format!("{}.{}.{}", row.table, row.row, row.field);
        line(format!("    {}: {} | {}", path.trim_end_matches('.'), row.left, row.right));
    }
    if divergence.rows.len() > 8 {
        line(format!("    and {} more fields", divergence.rows.len() - 8));
    }
    lines.into_iter().collect()
}

/// What was decided about one order, in its order, apart from when.
type Decisions = Vec<(u64, String, Value)>;

/// What an order asks for and when: the names of its tenant, its model and its origin, which may have other
/// numbers in another journal, and all the rest of its demand.
type Asked = ([Option<String>; 3], Micros, Demand);

/// The orders of a journal, by tenant and the tenant's own number, and what became of all of them.
struct Course {
    tally: Tally,
    orders: BTreeMap<(u32, u64), Decisions>,
    asked: BTreeMap<(u32, u64), Asked>,
    names: Names,
}

/// What the journal calls things, from its own events.
#[derive(Default)]
struct Names {
    tenants: BTreeMap<u32, String>,
    models: BTreeMap<u32, String>,
    regions: BTreeMap<u32, String>,
    vessels: BTreeMap<u32, String>,
    /// The tenant and the tenant's own number of every admitted order.
    orders: BTreeMap<u64, (u32, u64)>,
}

impl Course {
    fn read(journal: &Journal) -> Result<Self> {
        let mut course = Self {
            tally: Tally::default(),
            orders: BTreeMap::new(),
            asked: BTreeMap::new(),
            names: Names::default(),
        };
        read_records(journal, 0, journal.next_seq(), |record| {
            course.tally.count(&record.events);
            if let Command::Workflow(workflow::Command::Submit(demand)) = &record.command {
                course.ask(record.stamp.source.tenant.0, record.stamp.time, demand);
            }
            for event in &record.events {
                course.take(record.stamp.seq.0, event);
            }
            ControlFlow::Continue(())
        })?;
        Ok(course)
    }

    fn ask(&mut self, tenant: u32, time: Micros, demand: &Demand) {
        let names = [
            self.names.tenants.get(&tenant),
            self.names.models.get(&demand.model.0),
            self.names.regions.get(&demand.origin.0),
        ];
        let rest = Demand { model: ModelId::NONE, origin: RegionId::NONE, ..demand.clone() };
        let asked = (names.map(Option::<&String>::cloned), time, rest);
        self.asked.entry((tenant, demand.external)).or_insert(asked);
    }

    fn take(&mut self, seq: u64, event: &Event) {
        let names = &mut self.names;
        let known = |names: &Names, order: &OrderId| names.orders.get(&order.0).copied();
        let (key, what, value) = match event {
            Event::Models(models::Event::TenantRegistered { tenant, contract }) => {
                names.tenants.insert(tenant.0, contract.name.clone());
                return;
            }
            Event::Models(models::Event::ModelRegistered { model, name }) => {
                names.models.insert(model.0, name.clone());
                return;
            }
            Event::Models(models::Event::RegionRegistered { region, name, .. }) => {
                names.regions.insert(region.0, name.clone());
                return;
            }
            Event::Models(
                models::Event::VesselRegistered { vessel, name, .. }
                | models::Event::VesselAnnounced { vessel, name, .. },
            ) => {
                names.vessels.insert(vessel.0, name.clone());
                return;
            }
            Event::Workflow(workflow::Event::OrderAdmitted { order, tenant, demand, .. }) => {
                names.orders.insert(order.0, (tenant.0, demand.external));
                (Some((tenant.0, demand.external)), "admitted", Value::Null)
            }
            Event::Workflow(workflow::Event::OrderRefused {
                tenant, external, refusal, ..
            }) => (Some((tenant.0, *external)), "refused", refusal_kind(refusal).into()),
            Event::Routing(routing::Event::OrderRouted { order, route, .. }) => {
                let vessels: Vec<String> =
                    route.iter().map(|leg| names.vessel(leg.vessel)).collect();
                (known(names, order), "routed to", vessels.join(" then ").into())
            }
            Event::Queue(queue::Event::OrderQueued { order, .. }) => {
                (known(names, order), "queued", Value::Null)
            }
            Event::Allocator(allocator::Event::OrderBerthed { order, vessel, .. }) => {
                (known(names, order), "berthed at", names.vessel(*vessel).into())
            }
            Event::Workflow(workflow::Event::OrderEnded { tenant, external, end, .. }) => {
                (Some((tenant.0, *external)), "ended", end_name(*end).into())
            }
            _ => return,
        };
        if let Some(key) = key {
            self.orders.entry(key).or_default().push((seq, what.to_owned(), value));
        }
    }
}

impl Names {
    fn vessel(&self, id: VesselId) -> String {
        self.vessels.get(&id.0).cloned().unwrap_or_else(|| format!("vessel {id}"))
    }
}

/// How far the orders of two journals are the same ones, as they were asked for.
#[derive(Serialize)]
struct Demands {
    /// Orders of either side that have no partner in the other.
    left_alone: u64,
    right_alone: u64,
    /// Pairs that ask for something else.
    otherwise: u64,
    #[serde(skip)]
    all: u64,
}

impl Demands {
    fn compare(a: &Course, b: &Course) -> Self {
        let alone = |one: &Course, other: &Course| {
            one.asked.keys().filter(|key| !other.asked.contains_key(key)).count() as u64
        };
        let differs = |(key, asked): &(&_, &Asked)| b.asked.get(key).is_some_and(|it| it != *asked);
        let right_alone = alone(b, a);
        Self {
            left_alone: alone(a, b),
            right_alone,
            otherwise: a.asked.iter().filter(differs).count() as u64,
            all: a.asked.len() as u64 + right_alone,
        }
    }

    /// Whether all pairs ask for the same, and one side merely has more orders, or no more than a tenth of
    /// them are without a partner.
    fn same(&self) -> bool {
        let ends_earlier = self.left_alone.min(self.right_alone) == 0;
        let paired = self.all > self.left_alone + self.right_alone;
        let alone = self.left_alone + self.right_alone;
        self.otherwise == 0 && ((ends_earlier && paired) || alone * 10 <= self.all)
    }

    fn text(&self) -> Text {
        let have = |number: u64| if number == 1 { "has" } else { "have" };
        let told = format!(
            " {} of the left {} no partner in the right, {} of the right none in the left, {} for \
             something else",
            counted(self.left_alone, "order"),
            have(self.left_alone),
            grouped(self.right_alone),
            match self.otherwise {
                1 => "1 asks".to_owned(),
                others => format!("{} ask", grouped(others)),
            },
        );
        paint(NAME, "not the same demand:") + told
    }
}

/// The first decision about an order that came out otherwise.
#[derive(Serialize)]
struct Flip {
    tenant: String,
    external: u64,
    left: Option<Side>,
    right: Option<Side>,
}

#[derive(Serialize)]
struct Side {
    seq: u64,
    decision: String,
    value: Value,
}

fn first_flip(a: &Course, b: &Course) -> Option<Flip> {
    let keys: BTreeSet<&(u32, u64)> = a.orders.keys().chain(b.orders.keys()).collect();
    let flips = keys.into_iter().filter_map(|key| {
        let of = |course: &Course| course.orders.get(key).cloned().unwrap_or_default();
        let (left, right) = (of(a), of(b));
        let place = flipped_at(&left, &right)?;
        let side = |decisions: &Decisions| {
            let (seq, decision, value) = decisions.get(place)?.clone();
            Some(Side { seq, decision, value })
        };
        let named = |course: &Course| course.names.tenants.get(&key.0).cloned();
        let tenant = named(a).or_else(|| named(b)).unwrap_or_default();
        Some(Flip { tenant, external: key.1, left: side(&left), right: side(&right) })
    });
    flips.min_by_key(|flip| flip.left.as_ref().or(flip.right.as_ref()).map(|side| side.seq))
}

/// The place of the first decision that differs, apart from where it is recorded.
fn flipped_at(left: &Decisions, right: &Decisions) -> Option<usize> {
    let same = |place: usize| match (left.get(place), right.get(place)) {
        (Some((_, a, x)), Some((_, b, y))) => (a, x) == (b, y),
        (a, b) => a.is_none() && b.is_none(),
    };
    (0..left.len().max(right.len())).find(|place| !same(*place))
}

fn flipped_orders(a: &Course, b: &Course) -> u64 {
    let nothing = Vec::new();
    let changed = a
        .orders
        .iter()
        .filter(|(key, left)| flipped_at(left, b.orders.get(key).unwrap_or(&nothing)).is_some());
    let added = b.orders.keys().filter(|key| !a.orders.contains_key(key));
    (changed.count() + added.count()) as u64
}

impl Flip {
    fn text(&self, orders: u64) -> Text {
        let side = |side: &Option<Side>| match side {
            Some(Side { seq, decision, value: Value::Null }) => {
                format!("{decision} (record {seq})")
            }
            Some(Side { seq, decision, value }) => {
                format!("{decision} {} (record {seq})", value.as_str().unwrap_or_default())
            }
            None => "no such decision".to_owned(),
        };
        let were = match orders {
            1 => "1 order was".to_owned(),
            orders => format!("{} orders were", grouped(orders)),
        };
        let flipped = format!(
            " external number {} of {}; {were} decided otherwise in all",
            self.external, self.tenant
        );
        [
            paint(NAME, "first flipped decision:") + flipped,
            format!("  left: {}", side(&self.left)).into(),
            format!("  right: {}", side(&self.right)).into(),
        ]
        .into_iter()
        .collect()
    }
}

/// What changed, side by side. Lines that are equal are left out, but for the count of orders.
fn changes(left: &Tally, right: &Tally) -> Text {
    let (a, b) = (left.lines(), right.lines());
    let mut names: Vec<&String> = a.iter().map(|(name, ..)| name).collect();
    for (place, (name, ..)) in b.iter().enumerate() {
        if !names.contains(&name) {
            names.insert(place.min(names.len()), name);
        }
    }
    let find = |lines: &[(String, u64, String)], name: &str| {
        let line = lines.iter().find(|(other, ..)| other == name);
        line.map_or((0, "-".to_owned()), |(_, value, text)| (*value, text.clone()))
    };
    let rows: Vec<Vec<String>> = names
        .into_iter()
        .filter_map(|name| {
            let ((x, left), (y, right)) = (find(&a, name), find(&b, name));
            (x != y || name == "orders")
                .then(|| vec![name.clone(), left, right, output::change(x, y)])
        })
        .collect();
    output::table(&["", "left", "right", "change"], &rows)
}
