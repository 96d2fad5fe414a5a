//! The rules as tables: what is asked, and what was worked out by hand beside it.

use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{
    Class, Demand, Manifest, Mark, Role, Stage, Tenant, VesselStatus, Window,
};
use tensorforge_engine::policy::PolicyLevel;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::resilience::Breaker;
use tensorforge_engine::routing::Candidate;
use tensorforge_engine::units::{
    JournalId, KeySlot, MicroUsd, Micros, Millijoules, OrderId, OrderSlot, PicoUsd, Ppm, RegionId,
    Seq, TenantId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{
    Command, Event, Exchange, config, models, queue, resilience, routing, telemetry, workflow,
};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk::{self, Random};

mod breakers;
mod calendar;
mod crowding;
mod domains;
mod embeddings;
mod exclusions;
mod fairness;
mod forecasts;
mod gangs;
mod gathering;
mod health;
mod hedges;
mod incidents;
mod jobs;
mod legs;
mod limits;
mod money;
mod policy;
mod preemption;
mod room;
mod spot;
mod vessels;

use breakers::answer;

const DONE: Outcome = Outcome::Done {
    tokens_out: Tokens(100),
    cached: Tokens::ZERO,
    first_token: Micros::ZERO,
    energy: Millijoules::ZERO,
};

/// What was considered for the route that these events tell of.
fn candidates(events: &[Event]) -> &[Candidate] {
    let routed = events.iter().find_map(|event| match event {
        Event::Routing(routing::Event::OrderRouted { candidates, .. }) => Some(candidates),
        _ => None,
    });
    routed.unwrap()
}

/// The slots of the orders that are on their way.
fn running(desk: &Desk) -> Vec<u32> {
    let orders = desk.state().tables.orders.iter();
    let running = orders.filter(|(_, row)| row.stage == Stage::Running);
    running.map(|(slot, _)| slot.0).collect()
}

/// Arrivals, and those that pass; or when the refused one is told to come again.
#[test]
fn rates_are_kept() {
    let check = |rate: u32, burst: u32, arrivals: &[(u64, Option<u64>)]| {
        let mut desk = Desk::open(1, &walk::policy(), (rate, burst, 0));
        desk.vessel("dory", Manifest { slots: 100, ..boat() });
        for (at, refused) in arrivals {
            let events = desk.submit(*at, demand());
            let told = match &events[0] {
                Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => {
                    refusal.to_string()
                }
                Event::Workflow(workflow::Event::OrderAdmitted { .. }) => String::new(),
                other => panic!("{other:?}"),
            };
            let expected =
                refused.map_or(String::new(), |at| format!("rate_limited retry_at={at}"));
            assert_eq!(told, expected, "rate {rate}, burst {burst}, at {at}");
        }
    };
    // No rate, no limit.
    check(0, 0, &[(1, None), (1, None), (1, None), (1, None)]);
    // One in 500 ms; the moment before is too early, the moment itself is not.
    check(2, 1, &[(1, None), (1, Some(500_001)), (500_000, Some(500_001)), (500_001, None)]);
    // Three at once, then one in 500 ms. Those refused use up nothing.
    check(
        2,
        3,
        &[
            (10, None),
            (10, None),
            (10, None),
            (10, Some(500_010)),
            (10, Some(500_010)),
            (500_010, None),
            (500_010, Some(1_000_010)),
            (1_000_010, None),
        ],
    );
    // After a long rest there is one burst, and not two.
    check(2, 2, &[(10, None), (9_000_000, None), (9_000_000, None), (9_000_000, Some(9_500_000))]);
    // A third of a second is not whole in microseconds; rounded up, so that no fourth one slips in.
    check(3, 1, &[(1, None), (333_334, Some(333_335)), (333_335, None), (666_669, None)]);
    // 700 000 a second is one in two microseconds; one in one would be a million.
    check(700_000, 1, &[(10, None), (11, Some(12)), (12, None), (14, None)]);
}

/// The wait before each attempt lies between the least and three times the wait before it, up to the most,
/// and all of that span is used.
#[test]
fn retries_wait_ever_longer() {
    let mut policy = walk::policy();
    policy.retry.attempts = 6;
    policy.retry.least = 6;
    policy.retry.backoff = Micros(1_000);
    policy.retry.backoff_max = Micros(5_000);
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    // Three times 1 000, and from then on what is longer than that is cut to 5 000.
    let spans = [1_000..=3_000, 1_000..=5_000, 1_000..=5_000, 1_000..=5_000, 1_000..=5_000];
    let mut seen = vec![Vec::new(); spans.len()];
    for journal in 0..100 {
        let mut desk = Desk::open(journal, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        desk.submit(10, demand());
        let (mut now, mut before) = (10, 1_000);
        for (attempt, span) in (1u16..).zip(&spans) {
            let events = desk.report(now, 0, Outcome::Failed(Fault::Error));
            let [_, Event::Resilience(resilience::Event::RetryScheduled { attempts, at, .. })] =
                events[..]
            else {
                panic!("{events:?}")
            };
            assert_eq!(attempts, attempt);
            let wait = at.0 - now;
            assert!(span.contains(&wait) && wait <= 3 * before, "{attempt}: {wait}, {before}");
            seen[usize::from(attempt) - 1].push(wait);
            before = wait;
            now = at.0;
            desk.tell(now, Command::Workflow(workflow::Command::Advance));
        }
        let events = desk.report(now, 0, Outcome::Failed(Fault::Error));
        assert!(matches!(
            events[..],
            [
                Event::Workflow(workflow::Event::LegFailed { .. }),
                Event::Workflow(workflow::Event::OrderEnded { .. })
            ]
        ));
    }
    for (waits, span) in seen.iter().zip(&spans) {
        let (low, high) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        let tenth = (span.end() - span.start()) / 10;
        assert!(*low < span.start() + tenth && *high > span.end() - tenth, "{low} {high} {span:?}");
    }
}

/// A retry that would come after the deadline is none.
#[test]
fn an_order_is_not_tried_again_when_it_is_worth_nothing() {
    let check = |deadline: u64, retried: bool| {
        let mut policy = walk::policy();
        policy.retry.backoff = Micros(1);
        policy.retry.backoff_max = Micros(1);
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        desk.tell(
            10,
            Command::Workflow(workflow::Command::Submit(Demand {
                deadline: Micros(deadline),
                ..demand()
            })),
        );
        // A wait of one microsecond has no half to take off.
        let events = desk.report(20, 0, Outcome::Failed(Fault::Error));
        assert_eq!(
            matches!(events[1], Event::Resilience(resilience::Event::RetryScheduled { .. })),
            retried,
            "{events:?}"
        );
    };
    check(22, true);
    check(21, false);
}

/// Points by hand: `time` a millisecond, `cost` a micro-dollar, `energy` a joule, rounded down together.
#[test]
fn routes_are_scored() {
    let check = |weights: [u32; 3], manifest: Manifest, origin: u32, expected: [u64; 4]| {
        let mut policy = walk::policy();
        let [time, cost, energy] = weights;
        policy.weights = tensorforge_engine::routing::Weights { time, cost, energy };
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", manifest);
        let demand = Demand { origin: RegionId(origin), ..demand() };
        let events = desk.tell(10, Command::Workflow(workflow::Command::Submit(demand)));
        let Event::Routing(routing::Event::OrderRouted { candidates, .. }) = &events[1] else {
            panic!("{events:?}")
        };
        let best = &candidates[0];
        let found = [best.score, best.eta.0, best.cost.0, best.energy.0];
        assert_eq!(found, expected, "{weights:?}");
    };
    // 1 000 + 1 000 ms, 1 000 + 200 micro-dollars, 1 000 + 1 000 mJ.
    check([1, 0, 0], boat(), 9, [2_000, 2_000_000, 1_200, 2_000]);
    check([0, 1, 0], boat(), 9, [1_200, 2_000_000, 1_200, 2_000]);
    check([0, 0, 1], boat(), 9, [2, 2_000_000, 1_200, 2_000]);
    check([10, 2, 5], boat(), 9, [22_410, 2_000_000, 1_200, 2_000]);
    // From the other region there are 10 ms to go into this one; from this one there are none.
    check([1, 0, 0], boat(), 1, [2_010, 2_010_000, 1_200, 2_000]);
    check([1, 0, 0], boat(), 0, [2_000, 2_000_000, 1_200, 2_000]);
    // 1 000 tokens at 1 500 for a million are 1.5, of 100 at 2 500 a quarter: 2 and 1, rounded up.
    let odd = Manifest {
        price_in: MicroUsd(1_500),
        price_out: MicroUsd(2_500),
        fuel_in: Millijoules(1),
        fuel_out: Millijoules(1),
        prefill_per_kilotoken: Micros(1),
        decode_per_token: Micros(0),
        ..boat()
    };
    // 0.001 ms, 3 micro-dollars, 0.001 + 0.0001 J in two begun millijoules: 3.003 points.
    check([1, 1, 1], odd, 9, [3, 1, 3, 2]);
}

/// In a fleet of many that are too small, the one that holds an order is found, and is not taken from
/// it: of those that hold a smaller one, the least goes first where none that was drawn will do.
#[test]
fn who_holds_an_order_is_found() {
    let mut policy = walk::policy();
    policy.candidates = 1;
    let sized = |tokens: u64| Demand { tokens_in: Tokens(tokens - 100), ..demand() };
    for journal in 0..8 {
        let mut desk = Desk::open(journal, &policy, (0, 0, 0));
        desk.checks = false;
        for vessel in 0..1_500 {
            let context_max = Tokens(match vessel {
                700 => 4_000,
                900 => 3_000,
                _ => 1_000,
            });
            desk.vessel(&format!("v{vessel}"), Manifest { context_max, slots: 1, ..boat() });
        }
        for (order, tokens, vessel) in [(0, 2_000, 900), (1, 3_500, 700)] {
            desk.submit(10, sized(tokens));
            let row = desk.state().tables.orders.get(OrderSlot(order)).unwrap();
            assert_eq!(row.route[0].vessel, VesselId(vessel), "{tokens}");
        }
        assert_eq!(desk.state().check(), Vec::<String>::new());
    }
}

/// An order does not go back to a vessel that has failed it while another one has room, drawn or not; and
/// where all have failed it, it goes all the same.
#[test]
fn an_order_does_not_go_back_to_who_failed_it() {
    let mut policy = walk::policy();
    policy.candidates = 1;
    policy.retry.attempts = 6;
    policy.retry.least = 6;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    policy.escalation.calls = u32::MAX;
    policy.lifetime = [Micros(3_600_000_000); 3];
    for journal in 0..20 {
        let mut desk = Desk::open(journal, &policy, (0, 0, 0));
        for vessel in 0..4 {
            desk.vessel(&format!("v{vessel}"), boat());
        }
        desk.submit(10, demand());
        let mut visited = Vec::new();
        for _ in 0..5 {
            let row = desk.state().tables.orders.get(OrderSlot(0)).unwrap();
            visited.push(row.route[0].vessel);
            let now = desk.state().now().0;
            desk.report(now, 0, Outcome::Failed(Fault::Error));
            let due = desk.state().tables.orders.get(OrderSlot(0)).unwrap().wake.0;
            desk.tell(due, workflow::Command::Advance);
        }
        let first: std::collections::BTreeSet<_> = visited[..4].iter().collect();
        assert_eq!((first.len(), visited.len()), (4, 5), "{visited:?}");
    }
}

/// One failed leg of one, or of a few, says nothing about the exchange; nor do probes, losses and
/// rejections.
#[test]
fn a_few_failures_are_no_risk() {
    let risk = |outcomes: &str| {
        let mut policy = walk::policy();
        policy.retry.attempts = 1;
        policy.breaker.failures = 0;
        policy.breaker.failing = Ppm(0);
        policy.escalation.calls = 20;
        policy.escalation.window = Micros(10_000_000);
        policy.escalation.review = Micros(60_000_000);
        policy.escalation.dwell = Micros(60_000_000);
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        answer(&mut desk, 59_000_000, 1_000, outcomes);
        desk.tell(60_000_000, workflow::Command::Advance);
        desk.state().stance().unwrap().risk
    };
    assert_eq!(risk("x"), Ppm(0));
    assert_eq!(risk("xxxxxxxxxxxxxxxxxxx"), Ppm(0));
    assert_eq!(risk("xxxxx..............."), Ppm(250_000));
    assert_eq!(risk("rrrrrrrrrrrrrrrrrrrrrrrr"), Ppm(0));
}

/// The level follows what becomes of the work and not who is there: it stays where it is when vessels are
/// lost for good and the others cope; it turns away a class for what that class or a more urgent one waits,
/// and comes down again once they wait no more.
#[test]
fn levels_follow_what_waits() {
    let mut policy = walk::policy();
    policy.escalation.calls = 10;
    policy.escalation.window = Micros(10_000_000);
    policy.escalation.late = Ppm(500_000);
    policy.escalation.review = Micros(1_000_000);
    policy.escalation.dwell = Micros(1_000_000);
    policy.escalation.halted = Ppm(700_000);
    policy.escalation.halted_below = Ppm(650_000);
    policy.lifetime = [Micros(20_000_000); 3];
    let level = |desk: &Desk| desk.state().stance().unwrap().level;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    for vessel in 0..4 {
        desk.vessel(&format!("v{vessel}"), boat());
    }
    for vessel in (1..4).map(VesselId) {
        desk.tell(10, models::Command::Lose { vessel });
    }
    answer(&mut desk, 20, 100_000, &".".repeat(100));
    desk.settle(20_000_000);
    assert_eq!(level(&desk), PolicyLevel::Normal);
    // So many of one class wait for the two slots that most of them wait for half of their time.
    for (class, reached) in [
        (Class::Batch, PolicyLevel::Elevated),
        (Class::Standard, PolicyLevel::Restricted),
        (Class::Interactive, PolicyLevel::Halted),
    ] {
        let from = desk.state().now().0 + 1;
        for _ in 0..42 {
            desk.submit(from, Demand { class, ..demand() });
        }
        let mut most = PolicyLevel::Normal;
        for now in (from..from + 60_000_000).step_by(1_000_000) {
            desk.settle(now);
            running(&desk).into_iter().for_each(|slot| drop(desk.report(now, slot, DONE)));
            desk.settle(now);
            most = most.max(level(&desk));
        }
        assert_eq!((most, level(&desk)), (reached, PolicyLevel::Normal), "{class:?}");
    }
}

/// To have arrived at a vessel is no success of the vessel.
#[test]
fn a_hop_neither_forgives_nor_closes() {
    let mut policy = walk::policy();
    policy.breaker.failures = 2;
    policy.breaker.probes = 1;
    policy.retry.attempts = 1;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    let far =
        || Command::Workflow(workflow::Command::Submit(Demand { origin: RegionId(1), ..demand() }));
    for at in [10, 20] {
        desk.tell(at, far());
        desk.report(at, 0, DONE);
        desk.report(at, 0, Outcome::Failed(Fault::Error));
    }
    let load = |desk: &Desk| desk.state().tables.loads.get(VesselId(0)).unwrap().clone();
    assert_eq!((load(&desk).breaker, load(&desk).failures), (Breaker::Open, 2));
    desk.tell(30, far());
    let until = load(&desk).retry_at.0;
    desk.tell(until, Command::Workflow(workflow::Command::Advance));
    desk.report(until + 1, 0, DONE);
    assert_eq!(load(&desk).breaker, Breaker::Probing);
    desk.report(until + 2, 0, DONE);
    assert_eq!(load(&desk).breaker, Breaker::Closed);
}

/// A loss that nobody has seen is an error of the vessel that claims it.
#[test]
fn a_loss_is_forgiven_only_when_there_was_one() {
    let mut policy = walk::policy();
    policy.breaker.failures = 1;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    desk.report(20, 0, Outcome::Failed(Fault::VesselLost));
    let load = desk.state().tables.loads.get(VesselId(0)).unwrap();
    assert_eq!((load.breaker, load.failures), (Breaker::Open, 1));

    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    desk.tell(20, Command::Models(models::Command::Lose { vessel: VesselId(0) }));
    desk.tell(20, Command::Workflow(workflow::Command::Advance));
    let load = desk.state().tables.loads.get(VesselId(0)).unwrap();
    assert_eq!((load.breaker, load.failures, load.failed), (Breaker::Closed, 0, 1));
}

/// A timer that is due at the very beginning of time is due.
#[test]
fn a_berth_at_the_first_moment_is_taken_up() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", boat());
    let window = Some(Window { from: Micros(0), until: Micros(5) });
    desk.submit(0, Demand { window: window.map(Box::new), ..demand() });
    assert_eq!(desk.state().next_deadline(), Some(Micros(0)));
    desk.tell(0, Command::Workflow(workflow::Command::Advance));
    let order = desk.state().order(desk.order(0)).unwrap();
    assert_eq!(order.stage, Stage::Running);
}

/// Nobody waits for a vessel that has been sent away.
#[test]
fn a_drained_vessel_may_be_silent() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    let heartbeat = Micros(1_000);
    desk.vessel("dory", Manifest { heartbeat, ..boat() });
    desk.vessel("punt", Manifest { heartbeat, ..boat() });
    desk.tell(10, Command::Models(models::Command::Drain { vessel: VesselId(0) }));
    desk.tell(100_000, Command::Workflow(workflow::Command::Advance));
    let status = |id| desk.state().tables.vessels.get(VesselId(id)).unwrap().status;
    assert_eq!([status(0), status(1)], [VesselStatus::Drained, VesselStatus::Lost]);
}

/// A leg has so many percent of its own time and of all that is aboard before it, and a least time.
#[test]
fn legs_time_out() {
    let mut policy = walk::policy();
    policy.timeout_percent = 150;
    policy.timeout_min = Micros(20_000);
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    let mut timeout = |at: u64, origin: u32| {
        let demand = Demand { origin: RegionId(origin), ..demand() };
        let events = desk.tell(at, Command::Workflow(workflow::Command::Submit(demand)));
        let Some(Event::Workflow(workflow::Event::LegDispatched { timeout, .. })) = events.last()
        else {
            panic!("{events:?}")
        };
        timeout.0 - at
    };
    // 2 000 ms of its own.
    assert_eq!(timeout(10, 9), 3_000_000);
    // A way of 10 ms, for which nothing aboard matters: 15 ms, but never less than 20.
    assert_eq!(timeout(20, 1), 20_000);
    let events = desk.report(30, 1, DONE);
    let Some(Event::Workflow(workflow::Event::LegDispatched { timeout, .. })) = events.last()
    else {
        panic!("{events:?}")
    };
    // 2 000 ms of its own behind 2 000 ms.
    assert_eq!(timeout.0 - 30, 6_000_000);
}

/// A loss is one event, however many are aboard; they are due at once, and a record fails over so many.
#[test]
fn a_loss_is_failed_over_record_by_record() {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 1_500, ..boat() });
    (0..1_500).for_each(|_| drop(desk.submit(10, demand())));
    let vessel = VesselId(0);
    let events = desk.tell(20, Command::Models(models::Command::Lose { vessel }));
    assert!(matches!(events[..], [Event::Models(models::Event::VesselLost { .. })]), "{events:?}");
    assert_eq!(desk.state().next_deadline(), Some(Micros(20)));
    let failed = |events: &[Event]| {
        let lost = |event: &&Event| {
            matches!(
                event,
                Event::Workflow(workflow::Event::LegFailed { fault: Fault::VesselLost, .. })
            )
        };
        events.iter().filter(lost).count()
    };
    let back = [
        Command::Models(models::Command::Heartbeat { vessel, start: 0 }),
        Command::Models(models::Command::RegisterVessel {
            name: "dory".into(),
            manifest: boat(),
            start: 0,
        }),
    ];
    // Two events an order: 256 KiB of them at 112 bytes each, and the order that goes beyond.
    for (orders, due) in [(1_500, 1_171), (329, 329)] {
        for command in back.clone() {
            let events = desk.tell(20, command);
            let refusal = Refusal::Models(models::Refusal::StillAboard { orders });
            assert_eq!(events, [Event::Workflow(workflow::Event::CommandRefused { refusal })]);
        }
        assert_eq!(failed(&desk.tell(20, Command::Workflow(workflow::Command::Advance))), due);
    }
    let events = desk.tell(20, back[0].clone());
    assert_eq!(events, [Event::Models(models::Event::VesselReturned { vessel, start: 0 })]);
}

/// Between a loss and its failing over a leg may still be reported: its order does not go on to a vessel
/// that is gone.
#[test]
fn no_leg_goes_to_a_vessel_that_is_lost() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", Manifest { role: Role::Prefill, ..boat() });
    desk.vessel("punt", Manifest { role: Role::Decode, ..boat() });
    desk.submit(10, demand());
    desk.tell(20, Command::Models(models::Command::Lose { vessel: VesselId(1) }));
    let events = desk.report(20, 0, DONE);
    let [
        Event::Workflow(workflow::Event::LegCompleted { .. }),
        Event::Workflow(workflow::Event::LegFailed { fault, .. }),
        Event::Resilience(resilience::Event::RetryScheduled { .. }),
    ] = events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(fault, Fault::VesselLost);
}

/// What an attempt found and generated counts for that attempt; what it cost, too, but what was burnt is counted for all.
#[test]
fn an_attempt_begins_anew_and_only_the_last_is_charged() {
    let mut policy = walk::policy();
    policy.retry.attempts = 2;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { role: Role::Prefill, ..boat() });
    desk.vessel("punt", Manifest { role: Role::Decode, ..boat() });
    let done = |tokens_out, cached| Outcome::Done {
        tokens_out: Tokens(tokens_out),
        cached: Tokens(cached),
        first_token: Micros::ZERO,
        energy: Millijoules(7),
    };
    desk.submit(10, demand());
    desk.report(20, 0, done(1, 800));
    desk.report(30, 0, Outcome::Failed(Fault::Error));
    let retry = desk.state().next_deadline().unwrap().0;
    desk.tell(retry, Command::Workflow(workflow::Command::Advance));
    desk.report(retry + 1, 0, done(1, 900));
    let events = desk.report(retry + 2, 0, done(99, 0));
    let Some(Event::Telemetry(telemetry::Event::OrderSettled {
        cached,
        tokens_out,
        cost,
        burnt,
        energy,
        ..
    })) = events.get(1)
    else {
        panic!("{events:?}")
    };
    // 200 fresh prompt tokens at a micro-dollar and 800 at a tenth; 100 and 900; 99 at two.
    let exact = |micros: u64| PicoUsd(micros * 1_000_000);
    assert_eq!((*cost, energy.0), (exact(100 + 90 + 198), 3 * 7));
    assert_eq!(*burnt, exact(200 + 80 + 100 + 90 + 198));
    assert_eq!((cached.0, tokens_out.0), (900, 100));
}

/// What a vessel may declare: the largest order takes, costs and burns no more than 2^46 microseconds, 2^39 micro-dollars and 2^46 millijoules.
#[test]
fn manifests_are_bounded() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    let mut check = |manifest: Manifest, expected: &str| {
        let events = desk.tell(
            0,
            Command::Models(models::Command::RegisterVessel {
                name: "dory".into(),
                manifest,
                start: 0,
            }),
        );
        let told = match &events[..] {
            [Event::Workflow(workflow::Event::CommandRefused { refusal })] => refusal.to_string(),
            [Event::Models(models::Event::VesselRegistered { .. })] => "taken".into(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told, expected);
    };
    // 2^46 = 70 368 744 177 664, over the 4 000 tokens of the largest order: 17 592 186 044.416 each.
    let idle = Manifest { prefill_per_kilotoken: Micros(0), ..boat() };
    let free = Manifest { price_in: MicroUsd(0), price_cached: MicroUsd(0), ..boat() };
    let cold = Manifest { fuel_in: Millijoules(0), ..boat() };
    check(boat(), "taken");
    check(Manifest { slots: 65_536, ..boat() }, "taken");
    check(Manifest { slots: 65_537, ..boat() }, "invalid: manifest.slots is above 65536");
    check(Manifest { decode_per_token: Micros(17_592_186_044), ..idle.clone() }, "taken");
    check(
        Manifest { decode_per_token: Micros(17_592_186_045), ..idle },
        "invalid: an order of manifest.context_max takes more than 2^46 us",
    );
    let price_out = MicroUsd(1_000_000_000);
    let dear = |tokens| Manifest { price_out, context_max: Tokens(tokens), ..free.clone() };
    // 2^39 = 549 755 813 888, at a thousand a token.
    check(dear(549_755_813), "taken");
    check(
        dear(549_755_814),
        "invalid: an order of manifest.context_max costs more than 2^39 micro-dollars",
    );
    check(
        Manifest { price_out: MicroUsd(1_000_000_001), ..boat() },
        "invalid: a price is above 1000000000 micro-dollars a million tokens",
    );
    check(Manifest { fuel_out: Millijoules(17_592_186_044_416), ..cold.clone() }, "taken");
    check(
        Manifest { fuel_out: Millijoules(17_592_186_044_417), ..cold },
        "invalid: an order of manifest.context_max burns more than 2^46 mJ",
    );
    check(
        Manifest { prefill_per_kilotoken: Micros(u64::MAX), ..boat() },
        "invalid: an order of manifest.context_max takes more than 2^46 us",
    );
}

/// Events that nobody decided: whatever they name beyond the bounds is a breach, and takes no memory.
#[test]
fn a_fold_stays_within_the_limits() {
    let limits = Limits { vessels: 2, orders: 3, keys: 2, ..Limits::default() };
    let check = |events: &[Event], expected: &str| {
        let mut exchange = Exchange::genesis(JournalId([1; 16]));
        let setup = [
            Event::Config(config::Event::Configured(limits.clone())),
            Event::Models(models::Event::TenantRegistered {
                tenant: TenantId(0),
                contract: Tenant::unlimited("alba").into(),
            }),
        ];
        exchange.fold(Seq(0), Micros(0), &setup).unwrap();
        let folded = exchange.fold(Seq(1), Micros(0), events);
        assert_eq!(folded.map_or_else(|breach| breach.to_string(), |()| "ok".into()), expected);
    };
    let vessel = |id| {
        Event::Models(models::Event::VesselRegistered {
            vessel: VesselId(id),
            name: "dory".into(),
            manifest: boat().into(),
            start: 0,
        })
    };
    let order = |slot, key| {
        Event::Workflow(workflow::Event::OrderAdmitted {
            order: OrderId::new(1, OrderSlot(slot)),
            tenant: TenantId(0),
            level: PolicyLevel::Normal,
            arrival: Micros(0),
            token_arrival: Micros(0),
            deadline: Micros(9),
            key: KeySlot(key),
            reserved: None,
            demand: demand().into(),
        })
    };
    let beyond = |table: &str, row: u32| {
        let module = if table == "keys" { "workflow" } else { "models" };
        format!(
            "record 1: table `{table}` of {module}, row {row}: it lies beyond the table's bound"
        )
    };
    check(&[vessel(0), vessel(1)], "ok");
    check(&[vessel(0), vessel(2)], &beyond("vessels", 2));
    check(&[vessel(0), vessel(1), vessel(2)], &beyond("vessels", 2));
    check(&[vessel(u32::MAX - 1)], &beyond("vessels", u32::MAX - 1));
    let none = KeySlot::NONE.0;
    check(&[order(0, 0), order(1, 1), order(2, none)], "ok");
    check(&[order(0, 0), order(2, 1)], &beyond("orders", 2));
    check(&[order(0, 0), order(1, 1), order(2, none), order(3, none)], &beyond("orders", 3));
    check(&[order(0, 1)], &beyond("keys", 1));
    check(&[order(0, 0), order(1, 1), order(2, 2)], &beyond("keys", 2));
    let mut exchange = Exchange::genesis(JournalId([1; 16]));
    let endless = Limits { prefixes: u32::MAX, ..limits };
    let folded =
        exchange.fold(Seq(0), Micros(0), &[Event::Config(config::Event::Configured(endless))]);
    let told = "record 0: table `limits` of config, row 0: its contents contradict the event";
    assert_eq!(folded.unwrap_err().to_string(), told);
}

/// A vessel is believed to hold a prompt from when it was given it; not by the order that it failed, and
/// by nobody once it was lost.
#[test]
fn what_failed_is_not_believed_to_be_cached() {
    let mut policy = walk::policy();
    policy.retry.attempts = 2;
    let prompt = || Demand {
        prefix: vec![Mark { hash: 5, tokens: Tokens(512) }, Mark { hash: 6, tokens: Tokens(900) }],
        ..demand()
    };
    // What the routed order is believed to find on the vessel.
    let believed = |events: &[Event]| {
        let routed = events.iter().find_map(|event| match event {
            Event::Routing(routing::Event::OrderRouted { candidates, .. }) => {
                Some(candidates[0].cached.0)
            }
            _ => None,
        });
        routed.unwrap_or_else(|| panic!("{events:?}"))
    };
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    assert_eq!(believed(&desk.tell(10, Command::Workflow(workflow::Command::Submit(prompt())))), 0);
    assert_eq!(
        believed(&desk.tell(20, Command::Workflow(workflow::Command::Submit(prompt())))),
        900
    );
    desk.report(30, 0, Outcome::Failed(Fault::Error));
    let retry = desk.state().next_deadline().unwrap().0;
    assert_eq!(believed(&desk.tell(retry, Command::Workflow(workflow::Command::Advance))), 0);
    // That one of them failed takes nothing from the others.
    desk.report(retry, 1, DONE);
    assert_eq!(
        believed(&desk.tell(retry, Command::Workflow(workflow::Command::Submit(prompt())))),
        900
    );
    desk.tell(retry, Command::Models(models::Command::Lose { vessel: VesselId(0) }));
    desk.tell(retry, Command::Workflow(workflow::Command::Advance));
    desk.tell(retry, Command::Models(models::Command::Heartbeat { vessel: VesselId(0), start: 0 }));
    assert_eq!(
        believed(&desk.tell(retry, Command::Workflow(workflow::Command::Submit(prompt())))),
        0
    );

    // The prompt of a pair is worked by the first of the two: that the other one fails changes nothing.
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { role: Role::Prefill, ..boat() });
    desk.vessel("punt", Manifest { role: Role::Decode, ..boat() });
    assert_eq!(believed(&desk.tell(10, Command::Workflow(workflow::Command::Submit(prompt())))), 0);
    desk.report(20, 0, DONE);
    desk.report(30, 0, Outcome::Failed(Fault::Error));
    let retry = desk.state().next_deadline().unwrap().0;
    assert_eq!(believed(&desk.tell(retry, Command::Workflow(workflow::Command::Advance))), 900);
}

/// Halves of pairs serve nobody on their own.
#[test]
fn a_half_without_the_other_is_no_vessel() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    for (role, name) in [(Role::Prefill, "dory"), (Role::Decode, "punt")] {
        let events = desk.submit(0, demand());
        let Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) = &events[0] else {
            panic!("{events:?}")
        };
        assert_eq!(refusal, &Refusal::Models(models::Refusal::NoVessel));
        desk.vessel(name, Manifest { role, ..boat() });
    }
    let events = desk.submit(0, demand());
    assert!(
        matches!(events[0], Event::Workflow(workflow::Event::OrderAdmitted { .. })),
        "{events:?}"
    );
}
