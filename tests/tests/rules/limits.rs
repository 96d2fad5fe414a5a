//! Limits: what an order may cost at most, and what becomes of it where it would cost more.

use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Mark, Role, Stage, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::routing::{Choice, Exclusion, Verdict, exclusion};
use tensorforge_engine::units::{MicroUsd, Micros, Millijoules, Ppm, TenantId, Tokens, VesselId};
use tensorforge_engine::workflow::{Outcome, Withheld};
use tensorforge_engine::{Event, allocator, models, routing, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// The longest answer is expected, nothing times out, nobody is turned away, and price alone counts.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(100_000 * SECOND);
    policy.lifetime = [Micros(100_000 * SECOND); 3];
    policy.forecast.samples = 127;
    policy.forecast.legs = u32::MAX;
    policy.breaker.slow = Ppm::ZERO;
    policy.hedge_percent = [0; 3];
    policy.escalation.review = Micros(50_000 * SECOND);
    policy.escalation.dwell = Micros(50_000 * SECOND);
    policy.berth_grace = Micros(20 * SECOND);
    policy.price_time = [false; 3];
    policy
}

/// A thousand tokens in and a hundred out cost 1 200 on the boat.
fn at_most(limit: u32) -> Demand {
    Demand { limit, ..demand() }
}

/// A boat that asks so many times as much.
fn times(price: u64) -> Manifest {
    Manifest {
        price_in: MicroUsd(price * 1_000_000),
        price_cached: MicroUsd(price * 100_000),
        price_out: MicroUsd(price * 2_000_000),
        ..boat()
    }
}

fn with(vessels: &[(&str, Manifest)], policy: &Policy) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    vessels.iter().for_each(|(name, manifest)| desk.vessel(name, manifest.clone()));
    desk
}

fn done() -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    Outcome::Done { tokens_out: Tokens(100), cached, first_token, energy }
}

/// What was decided about the order of these events, in a word, and on which vessels or at what price.
fn told(events: &[Event]) -> (&'static str, Vec<u64>) {
    let word = events.iter().find_map(|event| match event {
        Event::Routing(routing::Event::OrderRouted { route, .. }) => {
            Some(("routed", route.iter().map(|leg| leg.vessel.0.into()).collect()))
        }
        Event::Allocator(allocator::Event::OrderTooDear { least, .. }) => {
            Some(("too dear", vec![least.0]))
        }
        Event::Workflow(workflow::Event::OrderRefused {
            refusal: Refusal::Allocator(allocator::Refusal::LimitTooLow { limit, least }),
            ..
        }) => Some(("too low", vec![limit.0, least.0])),
        _ => None,
    });
    word.unwrap_or(("", Vec::new()))
}

/// 1 000 for the prompt and 200 for the answer; what is less than the prompt alone is refused at once.
#[test]
fn nothing_is_taken_that_costs_more() {
    let check = |limit: u32, word: &str, of: &[u64]| {
        let mut desk = with(&[("dory", boat())], &rules());
        assert_eq!(told(&desk.submit(SECOND, at_most(limit))), (word, of.to_vec()), "{limit}");
    };
    check(0, "routed", &[0]);
    check(1_200, "routed", &[0]);
    check(1_199, "too dear", &[1_200]);
    check(1_000, "too dear", &[1_200]);
    check(999, "too low", &[999, 1_000]);
}

/// As much of a prompt as is named may be in a cache, for a tenth: 400 and 60 of 1 000 with 600 named. What no vessel that is up
/// and works prompts asks does not count.
#[test]
fn a_limit_is_too_low_where_the_cheapest_prompt_costs_more() {
    let named = |tokens: u64, limit: u32| Demand {
        prefix: vec![Mark { hash: 7, tokens: Tokens(tokens) }],
        ..at_most(limit)
    };
    let check = |demand: Demand, of: &[u64]| {
        let cheap = Manifest { role: Role::Decode, ..times(1) };
        let mut desk = with(&[("dory", times(2)), ("mill", cheap), ("nemo", times(1))], &rules());
        assert_ne!(told(&desk.submit(SECOND, demand.clone())).0, "too low");
        let told = desk.tell(SECOND, models::Command::Lose { vessel: VesselId(2) });
        assert!(!told.is_empty());
        let (word, found) = self::told(&desk.submit(SECOND, demand));
        assert_eq!((word, found), ("too low", of.to_vec()));
    };
    check(at_most(1_999), &[1_999, 2_000]);
    check(Demand { tokens_out_max: Tokens::ZERO, ..named(600, 919) }, &[919, 920]);
    check(Demand { tokens_out_max: Tokens::ZERO, ..named(5_000, 100) }, &[100, 200]);
}

/// A sixteenth of what is left of its time, a second at least and five minutes at most.
#[test]
fn it_is_looked_at_again_now_and_then() {
    for (lives, after) in [(8_000, 1_000), (16_000, 1_000), (33_000, 2_062), (4_799_984, 299_999)] {
        check_interval(lives * 1_000, after);
    }
    check_interval(4_800_000_000, 300_000);
    check_interval(48_000_000_000, 300_000);
    // Its deadline comes first.
    let mut desk = with(&[("dory", boat())], &rules());
    desk.submit(SECOND, Demand { deadline: Micros(SECOND + 400_000), ..at_most(1_100) });
    assert_eq!(desk.state().next_deadline(), Some(Micros(SECOND + 400_000)));
}

fn check_interval(lives: u64, after_millis: u64) {
    let mut desk = with(&[("dory", boat())], &rules());
    let deadline = Micros(SECOND + lives);
    let events = desk.submit(SECOND, Demand { deadline, ..at_most(1_100) });
    let Some(Event::Allocator(allocator::Event::OrderTooDear { at, .. })) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!((at.0 - SECOND) / 1_000, after_millis, "{lives}");
}

/// Two wait for the only slot, and it costs the first one too much: the second one goes. The first one goes once a cheaper
/// vessel is there.
#[test]
fn nobody_waits_behind_who_minds_the_price() {
    let single = |price: u64| Manifest { slots: 1, ..times(price) };
    let mut desk = with(&[("dory", single(2))], &rules());
    desk.submit(SECOND, demand());
    desk.submit(SECOND, at_most(2_300));
    desk.submit(SECOND, demand());
    assert_eq!(desk.count(Stage::Queued), 2);
    let events = desk.report(10 * SECOND, 0, done());
    assert_eq!(told(&events), ("too dear", vec![2_400]));
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Backoff)), (1, 1));
    let name = "nemo".into();
    let command = models::Command::RegisterVessel { name, manifest: single(1), start: 0 };
    desk.tell(11 * SECOND, command);
    assert_eq!(told(&desk.tell(309 * SECOND, workflow::Command::Advance)), ("", vec![]));
    assert_eq!(told(&desk.tell(310 * SECOND, workflow::Command::Advance)), ("routed", vec![1]));
}

/// One of forty vessels asks half of what the others do, and one is drawn.
#[test]
fn a_cheaper_vessel_is_searched_for() {
    let fleet: Vec<(String, Manifest)> =
        (0..40).map(|n| (format!("v{n}"), times(if n == 23 { 1 } else { 2 }))).collect();
    let fleet: Vec<(&str, Manifest)> =
        fleet.iter().map(|(name, manifest)| (name.as_str(), manifest.clone())).collect();
    for route_by in [Choice::Score, Choice::LeastLoad, Choice::RoundRobin, Choice::Affinity] {
        let mut desk = with(&fleet, &Policy { candidates: 1, route_by, ..rules() });
        assert_eq!(
            told(&desk.submit(SECOND, at_most(2_399))),
            ("routed", vec![23]),
            "{route_by:?}"
        );
    }
}

/// The quick halves ask 2 000 each, the slow ones 1 000; a quick prompt saves 0.9 s, a quick answer 2 s. Where one half may be
/// quick, but not both, and where neither may, though each alone would be cheap enough.
#[test]
fn the_cheapest_halves_are_a_pair() {
    let half = |role, price: u64| {
        let quick = price == 2;
        Manifest {
            role,
            prefill_per_kilotoken: Micros(if quick { 100_000 } else { 1_000_000 }),
            decode_per_token: Micros(if quick { 1_000 } else { 5_000 }),
            ..times(price)
        }
    };
    let fleet = [
        ("pump", half(Role::Prefill, 2)),
        ("hand", half(Role::Prefill, 1)),
        ("mill", half(Role::Decode, 2)),
        ("quern", half(Role::Decode, 1)),
    ];
    for (limit, of) in [
        (0, ("routed", vec![0, 2])),
        (4_000, ("routed", vec![0, 2])),
        (3_999, ("routed", vec![1, 2])),
        (3_000, ("routed", vec![1, 2])),
        (2_999, ("routed", vec![1, 3])),
        (2_000, ("routed", vec![1, 3])),
        (1_999, ("too dear", vec![2_000])),
    ] {
        let weights = routing::Weights { time: 1_000, cost: 1, energy: 0 };
        let mut desk = with(&fleet, &Policy { candidates: 8, weights, ..rules() });
        let order = Demand { tokens_out_max: Tokens(500), ..at_most(limit) };
        assert_eq!(told(&desk.submit(SECOND, order)), of, "{limit}");
    }
}

/// Another vessel would work it as well, at twice the price.
#[test]
fn no_hedge_is_too_dear() {
    let check = |limit: u32, hedged: bool| {
        let policy = Policy { hedge_percent: [100; 3], ..rules() };
        let mut desk = with(&[("dory", boat()), ("nemo", times(2))], &policy);
        assert_eq!(told(&desk.submit(SECOND, at_most(limit))), ("routed", vec![0]));
        let events = desk.tell(4 * SECOND, workflow::Command::Advance);
        let found = events.iter().find_map(|event| match event {
            Event::Workflow(workflow::Event::LegHedged { .. }) => Some(true),
            Event::Workflow(workflow::Event::HedgeWithheld { reason, .. }) => {
                assert_eq!(*reason, Withheld::NoRoom);
                Some(false)
            }
            _ => None,
        });
        assert_eq!(found, Some(hedged), "{limit}: {events:?}");
    };
    check(0, true);
    check(2_400, true);
    check(2_399, false);
}

/// A call has failed, and whoever else is there asks twice as much: it waits, and goes back to who failed it.
#[test]
fn no_retry_is_too_dear() {
    let policy = rules();
    let mut desk = with(&[("dory", Manifest { slots: 1, ..boat() }), ("nemo", times(2))], &policy);
    assert_eq!(told(&desk.submit(SECOND, at_most(2_000))), ("routed", vec![0]));
    desk.report(2 * SECOND, 0, Outcome::Failed(workflow::Fault::Error));
    assert_eq!(told(&desk.submit(2 * SECOND, at_most(2_000))), ("routed", vec![0]));
    let events = desk.tell(3 * SECOND, workflow::Command::Advance);
    assert_eq!(told(&events), ("too dear", vec![2_400]));
    desk.report(4 * SECOND, 1, done());
    let order = desk.order(0);
    assert_eq!(
        told(&desk.tell(5 * SECOND, workflow::Command::Retry { order })),
        ("routed", vec![0])
    );
}

/// A berth is given where it costs no more, and has no vessel at all where it does everywhere. Where its vessel has become
/// dearer by the time it begins, it goes elsewhere at once.
#[test]
fn a_berth_is_not_too_dear() {
    let job = |limit: u32| {
        let window = Window { from: Micros(60 * SECOND), until: Micros(120 * SECOND) };
        Demand { kind: Kind::Training, window: Some(window.into()), ..at_most(limit) }
    };
    let mut desk = with(&[("dory", times(2)), ("nemo", boat())], &rules());
    let events = desk.submit(SECOND, job(1_199));
    assert!(matches!(
        events[..],
        [Event::Workflow(workflow::Event::OrderRefused {
            refusal: Refusal::Allocator(allocator::Refusal::NoBerth { earliest: Micros::MAX }),
            ..
        })]
    ));
    let events = desk.submit(SECOND, job(1_200));
    let [_, Event::Allocator(allocator::Event::OrderBerthed { vessel, .. })] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(vessel, VesselId(1));
    // The two change their prices.
    for (name, manifest) in [("nemo", times(2)), ("dory", boat())] {
        let name = name.into();
        desk.tell(2 * SECOND, models::Command::RegisterVessel { name, manifest, start: 0 });
    }
    let events = desk.tell(60 * SECOND, workflow::Command::Advance);
    assert_eq!(told(&events), ("routed", vec![0]));
}

/// No batch order gives way on a vessel that would be too dear.
#[test]
fn nobody_gives_way_where_it_is_too_dear() {
    let check = |limit: u32, gives_way: bool| {
        let policy = Policy { preempt: true, candidates: 8, ..rules() };
        let mut desk = with(&[("dory", Manifest { slots: 1, ..boat() })], &policy);
        desk.submit(0, Demand { class: Class::Batch, ..demand() });
        let events = desk.submit(SECOND, Demand { class: Class::Interactive, ..at_most(limit) });
        let found = events.iter().any(|event| {
            matches!(event, Event::Allocator(allocator::Event::OrderPreempted { .. }))
        });
        assert_eq!(found, gives_way, "{limit}: {events:?}");
    };
    check(0, true);
    check(1_200, true);
    check(1_199, false);
}

/// Who sends it again may pay more or less for it: it is the same order.
#[test]
fn a_limit_is_no_part_of_what_a_key_stands_for() {
    let mut desk = with(&[("dory", boat())], &rules());
    desk.submit(SECOND, Demand { idempotency: 9, ..at_most(1_200) });
    let events = desk.submit(2 * SECOND, Demand { idempotency: 9, ..at_most(1_300) });
    assert!(matches!(events[..], [Event::Workflow(workflow::Event::OrderDeduplicated { .. })]));
}

/// Whoever asks why a vessel is not to be had is told what it would cost.
#[test]
fn what_is_too_dear_is_told() {
    let mut desk = with(&[("dory", boat())], &rules());
    desk.exchange.wind();
    let told = |limit: u32| exclusion(desk.state(), VesselId(0), TenantId(0), &at_most(limit));
    assert_eq!(told(1_200), None);
    let (cost, limit) = (MicroUsd(1_200), MicroUsd(1_199));
    assert_eq!(told(1_199), Some(Exclusion::TooDear { cost, limit }));
    assert!(Verdict::Late < Verdict::Dear && Verdict::Dear < Verdict::Promised);
}
