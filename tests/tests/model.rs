//! The engine against the model: the same random commands, and after every record the same decisions, the
//! same state, and nobody who waits for nothing.

use std::collections::BTreeSet;

use tensorforge_engine::config::Limits;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{Command, Event, Exchange, Stamp, workflow};
use tensorforge_tests::model::Model;
use tensorforge_tests::walk::{Random, alike, bounds, command, narrow_bounds, setup, stays};

/// Walks so many records, at this pace, and notes what was met on the way.
fn agree(seed: u64, records: u64, pace: u64, bounds: Limits, met: &mut BTreeSet<String>) {
    walk(seed, records, pace, setup(bounds), |_| true, met);
}

/// Walks from this beginning on, and takes those of the commands that are let through.
fn walk(
    seed: u64,
    records: u64,
    pace: u64,
    setup: Vec<Command>,
    lets: impl Fn(&Command) -> bool,
    met: &mut BTreeSet<String>,
) {
    let mut exchange = Exchange::genesis(JournalId([seed as u8; 16]));
    let mut model = Model::default();
    let mut random = Random(seed);
    let mut setup = setup.into_iter();
    let mut time = Micros(0);
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => {
                let mut some = || command(&mut random, exchange.state());
                std::iter::repeat_with(&mut some).find(|(_, command)| lets(command)).unwrap()
            }
        };
        match exchange.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(pace)),
        }
        let sent = if random.below(200) == 0 { time - Micros(90_000) } else { time };
        let stamp = Stamp { seq, time: sent, source };
        let mut events = Vec::new();
        exchange.decide(stamp, &command, &mut events).unwrap();
        let context = || format!("seed {seed}, record {seq} at {time}: {command:?}\n{events:#?}");
        if let Err(disagreement) = model.step(stamp, &command, &events) {
            panic!("{disagreement}\n{}", context());
        }
        let differences = model.differences(exchange.state());
        assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), context());
        assert_eq!(model.forgotten(), None, "{}", context());
        met.extend(events.iter().map(kind));
    }
}

/// The kind of an event, and of the refusal in it.
fn kind(event: &Event) -> String {
    let told = match event {
        Event::Workflow(
            workflow::Event::CommandRefused { refusal }
            | workflow::Event::OrderRefused { refusal, .. },
        ) => refusal.to_string().split(" max=").next().unwrap_or_default().to_owned(),
        // Without the module's name.
        event => {
            format!("{event:?}").split_once('(').map_or_else(String::new, |(_, word)| word.into())
        }
    };
    let words = if told.starts_with("full") { 2 } else { 1 };
    told.split_inclusive([' ', '{', '('])
        .take(words)
        .collect::<String>()
        .trim_end_matches([' ', '{', '(', ')'])
        .to_owned()
}

#[test]
fn the_engine_decides_as_the_model_does() {
    let mut met = BTreeSet::new();
    for seed in 100..112 {
        agree(seed, 3_000, 40_000, bounds(), &mut met);
    }
    // Time hardly passes: queues fill and bounds are reached.
    for seed in 200..206 {
        agree(seed, 3_000, 8_000, narrow_bounds(), &mut met);
    }
    // The same with room to wait: many orders that fit some vessels only.
    for seed in 400..406 {
        agree(seed, 3_000, 4_000, bounds(), &mut met);
    }
    // Time flies: almost everything times out, expires or falls silent.
    for seed in 300..306 {
        agree(seed, 2_000, 900_000, bounds(), &mut met);
    }
    // A fleet alike that stays as it is, at leisure: whatever lasts is asked of another vessel as well.
    for seed in 500..510 {
        walk(seed, 2_500, 300_000, alike(bounds()), stays, &mut met);
    }
    // A walk that never meets something proves nothing about it.
    let refusals = [
        "already_configured",
        "budget_spent",
        "forbidden",
        "full bound=Berths",
        "full bound=Keys",
        "full bound=Orders",
        "full bound=Policies",
        "full bound=Queue",
        "full bound=QueuedTokens",
        "full bound=TenantKeys",
        "full bound=TenantOrders",
        "full bound=TenantQueue",
        "full bound=Tenants",
        "full bound=Vessels",
        "invalid:",
        "key_conflict",
        "level_forbids",
        "limit_too_low",
        "no_berth",
        "no_maintenance",
        "no_override",
        "no_vessel",
        "override_too_long",
        "not_reported",
        "not_running",
        "not_silenced",
        "promised",
        "rate_limited",
        "silence_too_long",
        "stale",
        "still_aboard",
        "taken",
        "time_regressed",
        "tokens_limited",
        "too_large",
        "unknown",
        "wrong_phase",
        "wrong_stage",
        "wrong_status",
    ];
    let missed: Vec<_> = refusals.iter().filter(|kind| !met.contains(**kind)).collect();
    let events = met.iter().filter(|kind| kind.starts_with(char::is_uppercase)).count();
    assert!(missed.is_empty() && events == 73, "{missed:?} {events} {met:#?}");
}
