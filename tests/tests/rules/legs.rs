//! Routes of two legs: the best of all pairs, what was made of a prompt on its way from region to region, and both places or
//! none.

use tensorforge_engine::models::{Demand, LegKind, Manifest, Role, Stage, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::routing::Verdict;
use tensorforge_engine::units::{Micros, Millijoules, RegionId, Tokens, VesselId};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, allocator, models, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::candidates;

const SECOND: u64 = 1_000_000;

/// Nobody is late, slow or learnt from, and only time counts: ten points a millisecond.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.candidates = 64;
    policy.lifetime = [Micros(1_000 * SECOND); 3];
    policy.timeout_min = Micros(100 * SECOND);
    policy.forecast.samples = 127;
    policy.escalation.review = Micros(10_000 * SECOND);
    policy.escalation.dwell = Micros(10_000 * SECOND);
    (policy.weights.cost, policy.weights.energy) = (0, 0);
    policy
}

/// Regions 0, 1 and 2, into each of which what was made of a thousand prompt tokens takes so long.
fn desk(journal: u8, transfers: [u64; 3]) -> Desk {
    let mut desk = Desk::open(journal, &rules(), (0, 0, 0));
    for (name, transfer) in ["here", "there", "yonder"].into_iter().zip(transfers) {
        let (name, hop, transfer) = (name.into(), Micros::ZERO, Micros(transfer));
        desk.tell(0, models::Command::RegisterRegion { name, hop, transfer });
    }
    desk
}

/// A vessel that works a prompt of a thousand tokens in so many milliseconds.
fn pump(region: u32, millis: u64) -> Manifest {
    let prefill_per_kilotoken = Micros(millis * 1_000);
    Manifest { region: RegionId(region), role: Role::Prefill, prefill_per_kilotoken, ..boat() }
}

/// One that takes so many milliseconds for a hundred tokens.
fn mill(region: u32, millis: u64) -> Manifest {
    let decode_per_token = Micros(millis * 10);
    Manifest { region: RegionId(region), role: Role::Decode, decode_per_token, ..boat() }
}

fn done(tokens_out: u64) -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    Outcome::Done { tokens_out: Tokens(tokens_out), cached, first_token, energy }
}

/// The pairs that were considered, and their points.
fn pairs(events: &[Event]) -> Vec<(u32, u32, u64)> {
    candidates(events).iter().map(|c| (c.vessel.0, c.decode.0, c.score)).collect()
}

/// Of every begun thousand its share of the time, rounded up; within a region nothing.
#[test]
fn what_was_made_elsewhere_is_fetched() {
    for (tokens_in, to, transfer, fetch) in [
        (1_000, 1, 40_000, 40_000),
        (1_500, 1, 40_000, 60_000),
        (1_000, 1, 2_501, 2_501),
        (3, 1, 2_501, 8),
        (3, 0, 2_501, 0),
        (1_000, 1, 0, 0),
    ] {
        let mut desk = desk(1, [transfer; 3]);
        desk.vessel("pump", pump(0, 1_000));
        desk.vessel("mill", mill(to, 1_000));
        let events = desk.submit(1, Demand { tokens_in: Tokens(tokens_in), ..demand() });
        let prompt = tokens_in * 1_000;
        assert_eq!(candidates(&events)[0].eta, Micros(prompt + fetch + SECOND), "{tokens_in}");
        let events = desk.report(1 + prompt, 0, done(0));
        let Some(Event::Workflow(workflow::Event::LegDispatched {
            kind: LegKind::Decode,
            queue,
            prompt: fetched,
            answer,
            within,
            ..
        })) = events.last()
        else {
            panic!("{events:?}")
        };
        assert_eq!([*queue, *fetched, *answer], [0, fetch, SECOND].map(Micros), "{tokens_in}");
        assert_eq!(*within, Micros(fetch + SECOND));
        // It waits for no prompt, and none waits for it.
        assert_eq!(desk.state().tables.loads.get(VesselId(1)).unwrap().prompts, Micros::ZERO);
    }
}

/// The quickest pump, the quickest mill and the best pair, in which neither of them is: alone 1 000 and 1 100 ms, 1 000 and 1 200;
/// wherever a region is left, 500 more.
#[test]
fn the_best_pair_needs_neither_of_the_best_halves() {
    // However the draws fall.
    for journal in 0..16 {
        let mut desk = desk(journal, [500_000; 3]);
        desk.vessel("quick-pump", pump(0, 1_000));
        desk.vessel("pump", pump(1, 1_100));
        desk.vessel("mill", mill(1, 1_200));
        desk.vessel("quick-mill", mill(2, 1_000));
        desk.vessel("slow-pump", pump(1, 1_150));
        let events = desk.submit(1, demand());
        // Of the mill the best with the pump beside it, of the quick one with the quick pump; and the pump that is in neither
        // with the mill that is taken.
        assert_eq!(pairs(&events), [(1, 2, 23_000), (4, 2, 23_500), (0, 3, 25_000)]);
        let route = &desk.state().order(desk.order(0)).unwrap().route;
        let legs: Vec<_> = route.iter().map(|leg| (leg.kind, leg.vessel.0, leg.work.0)).collect();
        assert_eq!(legs, [(LegKind::Prefill, 1, 1_100_000), (LegKind::Decode, 2, 1_200_000)]);
    }
}

/// Seven pumps and three mills, all alike: one line each, and whichever pump the draw prefers it does so beside all three. No pump
/// is preferred for its number.
#[test]
fn among_equals_one_pump_is_drawn_for_all_mills() {
    let mut taken = [0; 10];
    let mut desk = desk(1, [0; 3]);
    for number in 0..7 {
        desk.vessel(&format!("pump-{number}"), Manifest { slots: 1_000, ..pump(number % 3, 0) });
    }
    for number in 0..3 {
        desk.vessel(&format!("mill-{number}"), Manifest { slots: 1_000, ..mill(number, 0) });
    }
    for turn in 0..700 {
        let pairs = pairs(&desk.submit(1 + turn, demand()));
        assert_eq!(pairs.len(), 9, "{pairs:?}");
        let (pump, mill, _) = pairs[0];
        taken[pump as usize] += 1;
        taken[mill as usize] += 1;
        let of = |mill: u32| pairs.iter().filter(move |pair| pair.1 == mill).count();
        assert_eq!([7, 8, 9].map(of).iter().max(), Some(&7), "{pairs:?}");
    }
    // A hundred expected of each pump, and 233 of each mill: four deviations either way.
    assert!(taken[..7].iter().all(|count| (63..=137).contains(count)), "{taken:?}");
    assert!(taken[7..].iter().all(|count| (183..=283).contains(count)), "{taken:?}");
}

/// A second for the prompt, 400 ms on the way and a second at most for the answer: 2 400 ms are enough, and not one
/// microsecond less.
#[test]
fn who_would_be_late_by_the_way_is_late() {
    for (left, verdict) in [(2_400_000, Verdict::Eligible), (2_399_999, Verdict::Late)] {
        let mut desk = desk(1, [400_000; 3]);
        desk.vessel("pump", pump(0, 1_000));
        desk.vessel("mill", mill(1, 1_000));
        let events = desk.submit(5, Demand { deadline: Micros(5 + left), ..demand() });
        assert_eq!(candidates(&events)[0].verdict, verdict, "{left}");
    }
}

/// The mill is out from 1 300 ms on. Who has nothing to fetch is done by then, who fetches for 400 ms is not.
#[test]
fn who_would_last_into_maintenance_by_the_way_is_held_back() {
    for (region, held_back) in [(1, false), (0, true)] {
        let mut desk = desk(1, [400_000; 3]);
        desk.vessel("pump", pump(region, 1_000));
        desk.vessel("mill", mill(1, 1_000));
        let window = Window { from: Micros(1_300_000), until: Micros(9_000_000) };
        desk.tell(1, allocator::Command::Maintain { vessel: VesselId(1), window });
        let events = desk.submit(1, demand());
        let told = events
            .iter()
            .any(|event| matches!(event, Event::Allocator(allocator::Event::OrderHeldBack { .. })));
        assert_eq!(told, held_back, "{events:?}");
    }
}

/// 1 400 ms for a second of work are as long as it should take: the mill is as fast as it says, and its calls are not slow.
#[test]
fn the_way_is_not_the_vessels_slowness() {
    let mut desk = desk(1, [400_000; 3]);
    desk.vessel("pump", pump(0, 1_000));
    desk.vessel("mill", mill(1, 1_000));
    for turn in 0..5 {
        let now = 1 + turn * 10 * SECOND;
        desk.submit(now, demand());
        desk.report(now + SECOND, 0, done(0));
        let events = desk.report(now + 2_400_000, 0, done(100));
        let predicted = events.iter().find_map(|event| match event {
            Event::Workflow(workflow::Event::LegCompleted { predicted, .. }) => Some(*predicted),
            _ => None,
        });
        assert_eq!(predicted, Some(Micros(1_400_000)));
    }
    let load = desk.state().tables.loads.get(VesselId(1)).unwrap();
    assert_eq!((load.outcomes.slow, load.completed), (0, 5));
}

/// An order holds a place on both vessels from the moment that it is routed, or on none; and gives both back when the first leg
/// fails.
#[test]
fn both_places_are_taken_or_none() {
    let mut desk = desk(1, [0; 3]);
    desk.vessel("pump", pump(0, 1_000));
    desk.vessel("mill", Manifest { slots: 1, ..mill(0, 1_000) });
    let used = |desk: &Desk| {
        [0, 1].map(|vessel| desk.state().tables.loads.get(VesselId(vessel)).unwrap().used)
    };
    desk.submit(1, demand());
    assert_eq!(used(&desk), [1, 1]);
    // The pump has a slot left, the mill has none.
    desk.submit(2, demand());
    assert_eq!((used(&desk), desk.count(Stage::Queued)), ([1, 1], 1));
    let events = desk.report(3, 0, Outcome::Failed(Fault::Error));
    assert_eq!((used(&desk), desk.count(Stage::Queued)), ([1, 1], 0), "{events:?}");
    let order = desk.order(1);
    desk.tell(4, workflow::Command::Cancel { order });
    // The pump's is kept until it has said that it has stopped.
    assert_eq!(used(&desk), [1, 0]);
}
