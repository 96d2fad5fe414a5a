//! The life of an order is one table: whatever the modules say of an order is a transition of it, and every transition
//! of it is said in some history.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tensorforge_engine::models::Stage;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, OrderId, Seq, VesselId};
use tensorforge_engine::workflow::machine::{Standing, TABLE, allowed};
use tensorforge_engine::workflow::{self, Fault};
use tensorforge_engine::{Command, Event, Exchange, Stamp, State};
use tensorforge_fleet::scenario::Scenario;
use tensorforge_tests::lives::Lives;
use tensorforge_tests::walk::{Random, alike, bounds, command, narrow_bounds, setup};

/// The transitions that a random walk meets.
fn walk(seed: u64, records: u64, setup: Vec<Command>) -> BTreeSet<(Standing, &'static str)> {
    let mut exchange = Exchange::genesis(JournalId([seed as u8; 16]));
    let (mut random, mut lives) = (Random(seed), Lives::default());
    let mut setup = setup.into_iter();
    let mut time = Micros(1);
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None if random.below(20) == 0 => again(&mut random, exchange.state()),
            None => command(&mut random, exchange.state()),
        };
        match exchange.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(40_000)),
        }
        let mut events = Vec::new();
        exchange.decide(Stamp { seq, time, source }, &command, &mut events).unwrap();
        lives.record(&events, exchange.state());
    }
    lives.reached
}

/// The same demand once more of whoever waits for its window, if anybody does.
fn again(random: &mut Random, state: &State) -> (Source, Command) {
    let mut orders = state.tables.orders.iter().map(|(_, row)| row);
    match orders.find(|row| row.stage == Stage::Berthed && row.demand.idempotency != 0) {
        Some(row) => {
            let submit = workflow::Command::Submit(row.demand.clone());
            (Source::tenant(row.tenant), Command::Workflow(submit))
        }
        None => command(random, state),
    }
}

/// The transitions that the scenarios tell.
fn told() -> BTreeSet<(Standing, &'static str)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/scenarios");
    let mut reached = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let played = Scenario::open(&path).and_then(|scenario| scenario.play()).unwrap();
        let mut exchange = Exchange::genesis(played.state.journal());
        let mut lives = Lives::default();
        for (seq, (time, events)) in (0..).map(Seq).zip(&played.records) {
            exchange.fold(seq, *time, events).unwrap();
            lives.record(events, exchange.state());
        }
        reached.append(&mut lives.reached);
    }
    reached
}

#[test]
fn whatever_is_said_of_an_order_is_in_the_table_and_all_of_the_table_is_said() {
    let mut reached = told();
    assert!(reached.len() > 30, "{} transitions in scenarios", reached.len());
    for seed in 1..=48 {
        reached.append(&mut walk(seed, 4_000, setup(bounds())));
        reached.append(&mut walk(seed, 1_000, setup(narrow_bounds())));
        reached.append(&mut walk(seed, 1_000, alike(bounds())));
    }
    let all = TABLE.iter().flat_map(|row| row.from.iter().map(move |from| (*from, row.word)));
    let unreached: Vec<_> = all.filter(|transition| !reached.contains(transition)).collect();
    assert_eq!(unreached, []);
}

/// No transition stands in the table twice, so that one rule leads there.
#[test]
fn a_word_leads_from_where_an_order_stands_to_one_place() {
    let mut seen = BTreeSet::new();
    for row in TABLE {
        assert!(!row.from.is_empty(), "{}", row.word);
        for from in row.from {
            assert!(seen.insert((*from, row.word)), "{from:?} {}", row.word);
            let again = ["held_back", "too_dear", "crowded_out"]
                .map(|word| format!("allocator.order_{word}"));
            assert!(row.to != Some(*from) || again.iter().any(|word| word == row.word), "{row:?}");
        }
    }
}

#[test]
fn what_is_in_no_row_is_not_allowed() {
    let failed = Event::Workflow(workflow::Event::LegFailed {
        order: OrderId(1),
        attempt: 1,
        leg: 0,
        vessel: VesselId(0),
        fault: Fault::Error,
    });
    let live = |stage| Standing::Live(stage);
    for (standing, may) in [
        (Standing::New, false),
        (live(Stage::Queued), false),
        (live(Stage::Berthed), false),
        (live(Stage::Running), true),
        (live(Stage::Backoff), false),
        (Standing::Ended, false),
    ] {
        assert_eq!(allowed(standing, &failed), may, "{standing:?}");
    }
    let refusal = workflow::Refusal::Stale.into();
    let refused = Event::Workflow(workflow::Event::CommandRefused { refusal });
    assert!(!allowed(live(Stage::Running), &refused), "it is about no order");
}
