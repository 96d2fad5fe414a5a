//! Batches that are let in whole: the largest first, and gangs, which have all of their berths or none.

use tensorforge_engine::allocator::Event as Allocator;
use tensorforge_engine::models::{Demand, Kind, Manifest, Stage, Window};
use tensorforge_engine::units::{Micros, ModelId, Tokens, VesselId};
use tensorforge_engine::{Event, models, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::running;

const SECOND: u64 = 1_000_000;

fn of(tokens: u64) -> Demand {
    Demand { tokens_in: Tokens(tokens - 100), tokens_out_max: Tokens(100), ..demand() }
}

fn training(tokens: u64, [from, until]: [u64; 2]) -> Demand {
    let window = Window { from: Micros(from * SECOND), until: Micros(until * SECOND) };
    Demand { kind: Kind::Training, window: Some(Box::new(window)), ..of(tokens) }
}

fn whole(desk: &mut Desk, at: u64, demands: Vec<Demand>) -> Vec<Event> {
    desk.tell(at * SECOND, workflow::Command::SubmitBatch { demands, whole: true })
}

/// The vessels of the berths that were given, in that order.
fn berthed(events: &[Event]) -> Vec<u32> {
    let given = events.iter().filter_map(|event| match event {
        Event::Allocator(Allocator::OrderBerthed { vessel, .. }) => Some(vessel.0),
        _ => None,
    });
    given.collect()
}

/// What the command was refused for; nothing was decided besides.
fn refused(events: &[Event]) -> String {
    match events {
        [Event::Workflow(workflow::Event::CommandRefused { refusal })] => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A boat with one slot and one that is smaller.
fn two_boats() -> Desk {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("large", Manifest { slots: 1, ..boat() });
    desk.vessel("small", Manifest { slots: 1, context_max: Tokens(1_000), ..boat() });
    desk
}

/// The small one stands first in the batch, and may be worked anywhere; the large one has the only vessel that holds it. Not
/// so where they come one by one: the quicker vessel is anybody's.
#[test]
fn the_largest_of_a_whole_batch_comes_first() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    let quick = Micros(1);
    desk.vessel("large", Manifest { slots: 1, decode_per_token: quick, ..boat() });
    desk.vessel("small", Manifest { slots: 1, context_max: Tokens(1_000), ..boat() });
    whole(&mut desk, 1, vec![of(500), of(2_000)]);
    assert_eq!((running(&desk).len(), desk.count(Stage::Queued)), (2, 0));
    let first = desk.state().tables.orders.iter().next().unwrap().1;
    assert_eq!((first.demand.tokens_in, first.route[0].vessel), (Tokens(1_900), VesselId(0)));

    // Of one size they come as they stand.
    let mut desk = two_boats();
    let named = |external| Demand { external, ..of(600) };
    whole(&mut desk, 1, vec![named(7), named(3), named(5)]);
    let rows = desk.state().tables.orders.iter();
    assert_eq!(rows.map(|(_, row)| row.demand.external).collect::<Vec<_>>(), [7, 3, 5]);
}

/// One window for all: berths for all of them, the largest first; or for none, and then nothing is let in.
#[test]
fn a_gang_has_all_of_its_berths_or_none() {
    let mut desk = two_boats();
    let window = [10, 20];
    let events = whole(&mut desk, 1, vec![training(500, window), training(2_000, window)]);
    assert_eq!(berthed(&events), [0, 1]);
    assert_eq!((desk.count(Stage::Berthed), desk.state().tables.berths.len()), (2, 2));
    // Each sees those that are found before it: two slots are two berths, and the third has none before 20 s.
    let mut desk = two_boats();
    let demands = vec![training(500, window); 3];
    assert_eq!(refused(&whole(&mut desk, 1, demands)), "no_berth earliest=18446744073709551615");
    assert_eq!((desk.state().tables.orders.len(), desk.state().tables.berths.len()), (0, 0));
    // Two large ones never go together with one vessel that holds them.
    let demands = vec![training(2_000, window); 2];
    assert_eq!(refused(&whole(&mut desk, 1, demands)), "no_berth earliest=18446744073709551615");
    // Each by itself is another matter.
    let demands = vec![training(2_000, window); 2];
    let events = desk.tell(SECOND, workflow::Command::SubmitBatch { demands, whole: false });
    assert_eq!(berthed(&events), [0]);
}

/// The large vessel is promised from 12 to 25 s, the small one from 24 to 40: in 10 to 20 there is a berth on the small one
/// alone. From 25 s the large one has one, when the small one has none before 40. From then on both have, and who asks for
/// that gets it; for 39 s he is told the same.
#[test]
fn a_gang_is_told_when_all_have_berths() {
    let mut desk = two_boats();
    for (vessel, from, until) in [(0, 12, 25), (1, 24, 40)] {
        let (vessel, [from, until]) = (VesselId(vessel), [from, until].map(|s| Micros(s * SECOND)));
        let window = Window { from, until };
        let planned = tensorforge_engine::allocator::Command::Maintain { vessel, window };
        assert_eq!(desk.tell(SECOND, planned).len(), 1);
    }
    let gang = |from| vec![training(500, [from, from + 10]), training(2_000, [from, from + 10])];
    for from in [10, 39] {
        assert_eq!(refused(&whole(&mut desk, 1, gang(from))), "no_berth earliest=40000000");
    }
    assert_eq!(berthed(&whole(&mut desk, 1, gang(40))), [0, 1]);
}

/// Windows that differ are no gang, nor is one beside orders without any; keys are refused as ever.
#[test]
fn windows_of_a_whole_batch_are_the_same() {
    let mut desk = two_boats();
    let of_keys = Demand { idempotency: 9, ..training(500, [10, 20]) };
    for other in [of(500), training(500, [10, 21]), of_keys] {
        let told = refused(&whole(&mut desk, 1, vec![training(600, [10, 20]), other]));
        assert!(told.starts_with("invalid"), "{told}");
    }
    let told = refused(&whole(&mut desk, 30, vec![training(500, [10, 20]); 2]));
    assert_eq!(told, "invalid: window has begun");
}

/// Members for several models, and slots of one vessel: four of two models on a vessel with three slots for one of them.
#[test]
fn members_of_a_gang_share_vessels() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.tell(0, models::Command::RegisterModel { name: "whale".into() });
    desk.vessel("both", Manifest { slots: 3, models: vec![ModelId(0), ModelId(1)], ..boat() });
    desk.vessel("one", Manifest { slots: 1, ..boat() });
    let whale = Demand { model: ModelId(1), ..training(900, [10, 20]) };
    let demands =
        vec![whale.clone(), whale.clone(), training(500, [10, 20]), training(500, [10, 20])];
    // The third and the fourth go where the fewest are.
    let events = whole(&mut desk, 1, demands);
    assert_eq!(berthed(&events)[..3], [0, 0, 1]);
    assert_eq!(berthed(&events)[3], 0);
    assert_eq!(refused(&whole(&mut desk, 1, vec![whale])), "no_berth earliest=20000000");
}
