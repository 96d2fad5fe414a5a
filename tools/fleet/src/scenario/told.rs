//! How decisions and states are told to people: text that compares line by line.
//!
//! It depends on the rows and events alone, and not on which features of the JSON library some other
//! crate has asked for.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use tensorforge_engine::table::{Row, Table};
use tensorforge_engine::units::{Key, Micros, PicoUsd, VesselId};
use tensorforge_engine::{
    Event, State, Tables, allocator, jobs, models, policy, queue, resilience, routing, telemetry,
    workflow,
};

use super::Played;

/// What is accepted of a scenario: every record, then the root and every row of the state at the end.
pub fn snapshot_text(played: &Played) -> String {
    let root: String = played.state.root().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}\nroot {root}\n{}", played.transcript, state_text(&played.state))
}

/// Every row, a line for each of its fields, under the path by which the verb `state` and a step's
/// `see` know it.
fn state_text(state: &State) -> String {
    // Taken apart by name, so that a table more does not compile without a line here.
    let Tables {
        control,
        limits,
        stance,
        policies,
        waiting,
        tenants,
        accounts,
        regions,
        models,
        vessels,
        loads,
        orders,
        berths,
        keys,
        prefixes,
        lines,
        turns,
        flow,
        calls,
        spending,
        reserves,
        lengths,
        stops,
        hedges,
        sla,
        jobs,
        incidents,
    } = &state.tables;
    let tables = [
        rows("control", control),
        rows("limits", limits),
        rows("stance", stance),
        rows("policies", policies),
        rows("waiting", waiting),
        rows("tenants", tenants),
        rows("accounts", accounts),
        rows("regions", regions),
        rows("models", models),
        rows("vessels", vessels),
        rows("loads", loads),
        rows("orders", orders),
        rows("berths", berths),
        rows("keys", keys),
        rows("prefixes", prefixes),
        rows("lines", lines),
        rows("turns", turns),
        rows("flow", flow),
        rows("calls", calls),
        rows("spending", spending),
        rows("reserves", reserves),
        rows("lengths", lengths),
        rows("stops", stops),
        rows("hedges", hedges),
        rows("sla", sla),
        rows("jobs", jobs),
        rows("incidents", incidents),
    ];
    tables.concat()
}

fn rows<K: Key, R: Row>(name: &str, table: &Table<K, R>) -> String {
    let row =
        |(key, row): (K, &R)| format!("\n{name}.{}{}\n", key.index(), spelled(row, Plain::lines()));
    table.iter().map(row).collect()
}

/// An event on one line, but for the items of its lists, which have a line each.
pub(super) fn event_text(event: &Event, indent: usize) -> String {
    spelled(event, Plain { indent, ..Plain::default() })
}

/// The name of a code, as JSON spells it.
pub(super) fn name(value: &impl Serialize) -> String {
    name_in(&serde_json::to_value(value).unwrap_or_default())
}

/// The name of a command or an event, without its module's.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let of_module = value.as_object().and_then(|modules| modules.values().next());
    of_module.map(name_in).unwrap_or_default()
}

fn name_in(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(name) => name.clone(),
        value => {
            value.as_object().and_then(|fields| fields.keys().next().cloned()).unwrap_or_default()
        }
    }
}

/// What a story would say of an event besides its name; empty where the name says it all.
pub(super) fn detail(event: &Event, vessel: impl Fn(VesselId) -> String) -> String {
    match event {
        Event::Workflow(workflow::Event::CommandRefused { refusal })
        | Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => refusal.to_string(),
        Event::Models(models::Event::VesselReturned { vessel: id, .. })
        | Event::Models(models::Event::VesselAnnounced { vessel: id, .. })
        | Event::Models(models::Event::VesselJoined { vessel: id, .. })
        | Event::Models(models::Event::VesselRestarted { vessel: id, .. })
        | Event::Models(models::Event::VesselRetired { vessel: id })
        | Event::Resilience(resilience::Event::VesselPaused { vessel: id, .. })
        | Event::Resilience(resilience::Event::VesselResumed { vessel: id })
        | Event::Models(models::Event::VesselDraining { vessel: id })
        | Event::Models(models::Event::VesselDrained { vessel: id })
        | Event::Resilience(resilience::Event::BreakerOpened { vessel: id, .. })
        | Event::Resilience(resilience::Event::BreakerProbing { vessel: id, .. })
        | Event::Resilience(resilience::Event::BreakerClosed { vessel: id })
        | Event::Allocator(allocator::Event::OrderBerthed { vessel: id, .. })
        | Event::Workflow(workflow::Event::LegCompleted { vessel: id, .. }) => vessel(*id),
        Event::Allocator(
            allocator::Event::MaintenancePlanned { vessel: id, .. }
            | allocator::Event::MaintenanceEnded { vessel: id, .. }
            | allocator::Event::BerthOpened { vessel: id, .. },
        ) => vessel(*id),
        Event::Allocator(allocator::Event::OrderPreempted { order, vessel: id, by, .. }) => {
            format!("{order} {} by={by}", vessel(*id))
        }
        Event::Allocator(allocator::Event::OrderHeldBack { order, at, .. }) => {
            format!("{order} at={at}")
        }
        Event::Allocator(allocator::Event::OrderTooDear { order, least, at }) => {
            format!("{order} least={least} at={at}")
        }
        Event::Allocator(allocator::Event::OrderCrowdedOut {
            order,
            vessel: id,
            decode,
            needs,
            ..
        }) => {
            let decode = Some(*decode).filter(|id| *id != VesselId::NONE).map(&vessel);
            let decode = decode.map_or_else(String::new, |name| format!(" {name}"));
            format!("{order} {}{decode} needs={needs}", vessel(*id))
        }
        Event::Workflow(workflow::Event::StopAwaited { awaited, .. }) => {
            format!("{} {}", awaited.order, vessel(awaited.vessel))
        }
        Event::Workflow(workflow::Event::StopSettled {
            order,
            usage,
            cost,
            burnt,
            estimated,
            ..
        }) => {
            let (cost, burnt) = (micro_dollars(*cost), micro_dollars(*burnt));
            let estimated = if *estimated { " estimated" } else { "" };
            let (read, made) = (usage.tokens_in, usage.tokens_out);
            format!("{order} in={read} out={made} cost={cost} burnt={burnt}{estimated}")
        }
        Event::Models(models::Event::VesselLost { vessel: id, cause }) => {
            format!("{} {}", vessel(*id), name(cause))
        }
        Event::Workflow(workflow::Event::LegFailed { vessel: id, fault, .. }) => {
            format!("{} {}", vessel(*id), name(fault))
        }
        Event::Workflow(workflow::Event::LegDispatched { vessel: id, kind, .. }) => {
            format!("{} {}", name(kind), vessel(*id))
        }
        Event::Workflow(
            workflow::Event::LegHedged { order, vessel: id, .. }
            | workflow::Event::FirstTokenSeen { order, vessel: id, .. },
        ) => format!("{order} {}", vessel(*id)),
        Event::Workflow(workflow::Event::HedgeWithheld { order, reason, .. }) => {
            format!("{order} {}", name(reason))
        }
        Event::Workflow(workflow::Event::LegDropped { order, vessel: id, fault, .. }) => {
            let fault = fault.as_ref().map_or(String::new(), |fault| format!(" {}", name(fault)));
            format!("{order} {}{fault}", vessel(*id))
        }
        Event::Routing(routing::Event::OrderRouted { order, attempt, .. }) => {
            format!("{order} attempt={attempt}")
        }
        Event::Resilience(resilience::Event::RetryScheduled { order, attempts, .. }) => {
            format!("{order} attempts={attempts}")
        }
        Event::Queue(queue::Event::OrderOverdue { order, needs, left }) => {
            format!("{order} needs={needs} left={left}")
        }
        Event::Queue(queue::Event::OrderQueued { order, ahead, ripe_at, .. }) => {
            let gathers = if *ripe_at > Micros::ZERO { " gathers" } else { "" };
            format!("{order} ahead={ahead}{gathers}")
        }
        Event::Queue(queue::Event::BatchReleased { orders, tokens, .. }) => {
            format!("orders={orders} tokens={tokens}")
        }
        Event::Workflow(workflow::Event::OrderDeduplicated { order, .. })
        | Event::Workflow(workflow::Event::KeyForgotten { order, .. })
        | Event::Queue(queue::Event::OrderChosen { order, .. }) => order.to_string(),
        Event::Telemetry(telemetry::Event::OrderSettled { order, cost, burnt, energy, .. }) => {
            let (cost, burnt) = (micro_dollars(*cost), micro_dollars(*burnt));
            let besides = if burnt == cost { String::new() } else { format!(" burnt={burnt}") };
            format!("{order} cost={cost} energy={energy}{besides}")
        }
        Event::Workflow(workflow::Event::OrderEnded { order, end, .. }) => {
            format!("{order} {}", name(end))
        }
        Event::Policy(policy::Event::RiskReviewed { risk, .. }) => risk.to_string(),
        Event::Policy(policy::Event::LevelChanged { to, reasons, .. }) => {
            reasons.iter().fold(name(to), |told, reason| told + " " + &name(reason))
        }
        Event::Policy(policy::Event::LevelOverridden { level, .. }) => name(level),
        Event::Policy(policy::Event::OverrideEnded { level, reason, .. }) => {
            format!("{} {}", name(level), name(reason))
        }
        Event::Policy(
            policy::Event::BurnSeen { tenant, window, burn }
            | policy::Event::BurnRaised { tenant, window, burn, .. }
            | policy::Event::BurnCleared { tenant, window, burn, .. },
        ) => format!("{tenant} {} {burn}", name(window)),
        Event::Telemetry(event) => incident_detail(event),
        Event::Jobs(event) => job_detail(event, vessel),
        _ => String::new(),
    }
}

/// What a story may say of an event besides: the points of the route that was taken.
pub(super) fn more(event: &Event) -> String {
    match event {
        Event::Routing(routing::Event::OrderRouted { candidates, .. }) => {
            let best = candidates.first().map(|best| format!("score={}", best.score));
            best.unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn incident_detail(event: &telemetry::Event) -> String {
    let severity = |severity: &Option<telemetry::Severity>| {
        severity.as_ref().map_or_else(|| "none".to_owned(), name)
    };
    match event {
        telemetry::Event::IncidentSeen { concern, severity: seen, found } => {
            format!("{} {} found={found}", name(concern), severity(seen))
        }
        telemetry::Event::IncidentRaised { concern, severity, found, group, notice, .. } => {
            let (concern, severity, notice) = (name(concern), name(severity), name(notice));
            format!("{concern} {severity} found={found} group={group} {notice}")
        }
        telemetry::Event::IncidentResolved { concern, found, group, notice, .. } => {
            format!("{} found={found} group={group} {}", name(concern), name(notice))
        }
        telemetry::Event::IncidentSilenced { concern, .. } => name(concern),
        telemetry::Event::SilenceEnded { concern, severity: open, notice, .. } => {
            format!("{} {} {}", name(concern), severity(open), name(notice))
        }
        telemetry::Event::OrderSettled { .. } => String::new(),
    }
}

fn job_detail(event: &jobs::Event, vessel: impl Fn(VesselId) -> String) -> String {
    match event {
        jobs::Event::JobStarted { name, .. } => name.clone(),
        jobs::Event::StepBegan { step, task, attempt, vessel: id, .. } => {
            let of =
                if *id == VesselId::NONE { String::new() } else { format!(" {}", vessel(*id)) };
            format!("{step} {}{of} attempt={attempt}", name(task))
        }
        jobs::Event::StepEnded { step, outcome, .. } => format!("{step} {}", name(outcome)),
        jobs::Event::StepRetried { step, outcome, attempts, .. } => {
            format!("{step} {} attempts={attempts}", name(outcome))
        }
        jobs::Event::JobWaits { wait, .. } => name(wait),
        jobs::Event::JobPromoted { step, calls, failing, slow, .. } => {
            format!("{step} calls={calls} failing={failing} slow={slow}")
        }
        jobs::Event::JobRolledBack { cause, calls, failing, slow, .. } => {
            format!("{} calls={calls} failing={failing} slow={slow}", name(cause))
        }
        jobs::Event::JobEnded { end, done, failed, compensated, skipped, .. } => format!(
            "{} done={done} failed={failed} compensated={compensated} skipped={skipped}",
            name(end)
        ),
        jobs::Event::JobPaused { .. } | jobs::Event::JobResumed { .. } => String::new(),
    }
}

/// Micro-dollars, with as many places as there are.
fn micro_dollars(PicoUsd(amount): PicoUsd) -> String {
    let text = format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn spelled(value: &impl Serialize, plain: Plain) -> String {
    let mut text = Vec::new();
    // A writer that only grows and values that JSON can spell: neither fails.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, plain));
    String::from_utf8_lossy(&text).into_owned()
}

/// JSON with the quotes of keys left out, and line breaks where people look for them.
#[derive(Default)]
struct Plain {
    /// Where items of lists begin.
    indent: usize,
    /// Whether the outermost fields have a line each.
    lines: bool,
    /// The objects and lists around the present value; true is a list.
    around: Vec<bool>,
    in_key: bool,
}

impl Plain {
    fn lines() -> Self {
        Self { indent: 8, lines: true, ..Self::default() }
    }

    fn outermost(&self) -> bool {
        self.lines && self.around.len() == 1
    }
}

impl Formatter for Plain {
    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.in_key { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin_string(writer)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.around.push(true);
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.around.pop();
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let item = self.around.last() == Some(&true);
        self.around.push(false);
        if self.outermost() {
            return Ok(());
        }
        if item {
            write!(writer, "\n{:1$}", "", self.indent)?;
        }
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let outermost = self.outermost();
        self.around.pop();
        if outermost { Ok(()) } else { writer.write_all(b"}") }
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.in_key = true;
        match (self.outermost(), first) {
            (true, _) => writer.write_all(b"\n    "),
            (false, true) => Ok(()),
            (false, false) => writer.write_all(b", "),
        }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
