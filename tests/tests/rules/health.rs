//! How well vessels, models and the exchange are, point by point.

use tensorforge_engine::policy::Policy;
use tensorforge_engine::telemetry::health::{self, Health, Input};
use tensorforge_engine::units::ModelId;

use super::*;

const SECOND: u64 = 1_000_000;

/// No breaker, no retry, no level: what is looked at is all that is amiss.
fn calm() -> Policy {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm::ZERO;
    policy.breaker.slow = Ppm::ZERO;
    policy.breaker.window = Micros(60 * SECOND);
    policy.escalation.window = Micros(60 * SECOND);
    policy.escalation.calls = u32::MAX;
    policy.forecast.legs = u32::MAX;
    policy.lifetime = [Micros(3_600 * SECOND); 3];
    policy
}

/// The points of the first vessel, the model and the exchange.
fn points(desk: &Desk) -> (u32, u32, u32) {
    let (state, vessel, model) = (desk.state(), VesselId(0), ModelId(0));
    let vessel = health::vessel(state, vessel).expect("a vessel");
    (
        vessel.points,
        health::model(state, model).expect("a model").points,
        health::exchange(state).points,
    )
}

/// An input as it was found, and its worst.
fn input(health: &Health, name: &str) -> (u64, u64) {
    let input = health.inputs.iter().find(|input| input.name == name);
    input.map(|input| (input.found, input.worst)).expect("an input")
}

fn vessel(desk: &Desk) -> Health {
    health::vessel(desk.state(), VesselId(0)).expect("a vessel")
}

/// Nothing is amiss with anybody; and the weights of each are all that there is to lose.
#[test]
fn who_is_well_has_a_hundred_points() {
    let mut desk = Desk::open(1, &calm(), (0, 0, 0));
    desk.vessel("dory", boat());
    assert_eq!(points(&desk), (100, 100, 100));
    let sum = |health: Health| health.inputs.iter().map(|input| input.weight).sum::<u32>();
    assert_eq!(sum(vessel(&desk)), 100 + 100, "the loss of a vessel stands for all else");
    assert_eq!(sum(health::model(desk.state(), ModelId(0)).unwrap()), 100);
    assert_eq!(sum(health::exchange(desk.state())), 100);
    assert_eq!(health::vessel(desk.state(), VesselId(1)), None);
    assert_eq!(health::model(desk.state(), ModelId(1)), None);
}

/// Fails when a share is not measured against a quarter, or a point is rounded up.
#[test]
fn calls_that_fail_take_points() {
    for (outcomes, failing, own, model, exchange) in [
        // Too few calls to say anything.
        ("x..", 0, 100, 100, 100),
        // A tenth is two fifths of the worst: 16 of 40; half of that of the model, and a quarter of that.
        ("x.........", 100_000, 84, 92, 98),
        // A third is beyond the worst.
        ("x.....x.x", 333_333, 60, 80, 95),
        // An eighth is half of it; the model lacks 10 and keeps 90, the exchange 2.5 and keeps 97.5.
        ("x.......", 125_000, 80, 90, 97),
    ] {
        let mut desk = Desk::open(1, &calm(), (0, 0, 0));
        desk.vessel("dory", boat());
        answer(&mut desk, 10, 10, outcomes);
        assert_eq!(input(&vessel(&desk), "failing"), (failing, 250_000), "{outcomes}");
        assert_eq!(points(&desk), (own, model, exchange), "{outcomes}");
    }
    // Those of all vessels together are the exchange's: a tenth takes 8 of 20 besides.
    let mut policy = calm();
    policy.escalation.calls = 3;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    answer(&mut desk, 10, 10, "x.........");
    assert_eq!(points(&desk), (84, 92, 90));
}

/// Fails when a breaker that is probing counts as open, or slots behind one as had.
#[test]
fn a_breaker_takes_points_until_it_closes() {
    let mut policy = calm();
    policy.breaker.failures = 3;
    policy.breaker.probes = 1;
    policy.breaker.calls = u32::MAX;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.vessel("punt", Manifest { slots: 6, models: vec![ModelId(0)], ..boat() });
    desk.tell(5, models::Command::Drain { vessel: VesselId(1) });
    answer(&mut desk, 10, 10, "xxx");
    // No slot is given any work: 12.5, 30 and 20 of the model's points, and 15.75 of the exchange's.
    assert_eq!(points(&desk), (75, 37, 84));
    let until = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
    desk.tell(until, workflow::Command::Advance);
    assert_eq!(breaker(&desk), Breaker::Probing);
    // One of two slots is: 6.5 and 15 of the model's, whose 78.5 are 78.
    assert_eq!((points(&desk).0, points(&desk).1), (87, 78));
    answer(&mut desk, until, 10, ".");
    assert_eq!(points(&desk), (100, 100, 100));
}

fn breaker(desk: &Desk) -> Breaker {
    desk.state().tables.loads.get(VesselId(0)).unwrap().breaker
}

/// Fails when who was sent away counts as a vessel of the model, or who was lost does not; or when slots do not weigh.
#[test]
fn who_is_lost_has_no_points_and_takes_its_slots() {
    let mut desk = Desk::open(1, &calm(), (0, 0, 0));
    desk.vessel("dory", boat());
    desk.vessel("punt", Manifest { slots: 6, ..boat() });
    // One that was lost on its way out is missed by nobody.
    desk.vessel("skiff", Manifest { decode_per_token: Micros(1), slots: 8, ..boat() });
    desk.submit(5, demand());
    desk.tell(6, models::Command::Drain { vessel: VesselId(2) });
    desk.tell(7, models::Command::Lose { vessel: VesselId(2) });
    let skiff = desk.state().tables.vessels.get(VesselId(2)).unwrap();
    assert_eq!((skiff.status, skiff.held), (VesselStatus::Lost, true));
    assert_eq!(points(&desk), (100, 100, 100));
    desk.tell(10, models::Command::Lose { vessel: VesselId(0) });
    // A quarter of the slots: 12.5 and 7.5 points of the model, 5 of the exchange.
    assert_eq!(points(&desk), (0, 80, 95));
    desk.tell(20, models::Command::Lose { vessel: VesselId(1) });
    assert_eq!(points(&desk), (0, 0, 75));
    desk.tell(30, models::Command::Retire { vessel: VesselId(0) });
    assert_eq!(health::vessel(desk.state(), VesselId(0)), None);
    // Without any vessel there is nothing to be had either.
    desk.tell(40, models::Command::Retire { vessel: VesselId(1) });
    assert_eq!(health::model(desk.state(), ModelId(0)).unwrap().points, 0);
}

/// Fails when silence is measured by one period, or counts where nobody has promised to report.
#[test]
fn silence_slowness_and_want_of_room_take_points() {
    let mut desk = Desk::open(1, &calm(), (0, 0, 0));
    desk.vessel("dory", Manifest { heartbeat: Micros(2 * SECOND), ..boat() });
    // A period of two seconds is as it should be, and two more are the worst.
    for (at, silent, own) in
        [(2 * SECOND, 0, 100), (3 * SECOND, SECOND, 97), (5 * SECOND + 400_000, 3_400_000, 91)]
    {
        desk.tell(at, models::Command::RegisterModel { name: format!("model-{at}") });
        assert_eq!(input(&vessel(&desk), "silent"), (silent, 4 * SECOND));
        assert_eq!(points(&desk).0, own, "{at}");
    }
    let mut quiet = Desk::open(1, &calm(), (0, 0, 0));
    quiet.vessel("dory", boat());
    quiet.tell(900 * SECOND, workflow::Command::Advance);
    assert_eq!(points(&quiet), (100, 100, 100));

    // Two seconds' work that took five: 150 percent beyond, half of the worst.
    let mut policy = calm();
    policy.forecast.legs = 2;
    policy.forecast.window = Micros(3_600 * SECOND);
    policy.timeout_min = Micros(60 * SECOND);
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    for turn in 0..3 {
        desk.submit(10 + turn * 5 * SECOND, demand());
        desk.report(10 + (turn + 1) * 5 * SECOND, 0, DONE);
    }
    assert_eq!((input(&vessel(&desk), "slower"), points(&desk).0), ((150, 300), 90));

    let mut desk = Desk::open(1, &calm(), (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    desk.report(20, 0, Outcome::Failed(Fault::Overloaded));
    // Nobody has room, and the order waits beside two slots that no work is given to: 2.5, 30 and 20 points.
    assert_eq!((points(&desk).0, points(&desk).1), (95, 47));
}

/// Fails when the queue of a model is measured by all slots or by the bound of the exchange's, or the other way round.
#[test]
fn those_who_wait_take_points_of_model_and_exchange() {
    let mut desk = Desk::open(1, &calm(), (0, 0, 0));
    desk.vessel("dory", boat());
    desk.vessel("punt", Manifest { slots: 2, ..boat() });
    desk.tell(5, models::Command::Lose { vessel: VesselId(1) });
    let bound = u64::from(Limits::default().queued);
    // Half of the slots are lost: 25 and 15 points of the model.
    for (orders, waiting, model) in [(2, 0, 60), (3, 1, 50), (4, 2, 40), (10, 8, 40)] {
        let told = desk.state().control().unwrap().orders;
        (told..orders).for_each(|order| drop(desk.submit(10 + order, demand())));
        let queue = health::model(desk.state(), ModelId(0)).unwrap();
        assert_eq!(input(&queue, "waiting"), (waiting, 2), "{orders}");
        assert_eq!(points(&desk).1, model, "{orders}");
        assert_eq!(input(&health::exchange(desk.state()), "queue"), (waiting, bound), "{orders}");
    }
}

/// Fails when one class's lateness is taken for another's, or a level is not told: by who is late first, and once the
/// risk has been reviewed by the level too.
#[test]
fn lateness_and_the_level_take_points_of_the_exchange() {
    for (class, weight) in [(Class::Interactive, 12), (Class::Standard, 8), (Class::Batch, 5)] {
        let mut policy = calm();
        policy.escalation.calls = 3;
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", Manifest { slots: 1, ..boat() });
        let before = 3_600 * SECOND / 2;
        let order = |deadline| Demand { class, deadline: Micros(deadline), ..demand() };
        // Four at once on one slot: three wait for half an hour and have an hour, which is late beyond 0.3.
        (0..4).for_each(|_| {
            desk.submit(10, order(10 + 3_600 * SECOND));
        });
        desk.checks = false;
        let name = match class {
            Class::Interactive => "late interactive",
            Class::Standard => "late standard",
            Class::Batch => "late batch",
        };
        desk.report(before, 0, DONE);
        (1..4).for_each(|slot| {
            if desk
                .state()
                .tables
                .orders
                .get(OrderSlot(slot))
                .is_some_and(|row| row.stage == Stage::Running)
            {
                desk.report(before + u64::from(slot), slot, DONE);
            }
        });
        let exchange = health::exchange(desk.state());
        let taken = |health: &Health, name: &str| {
            let input = health.inputs.iter().find(|input| input.name == name);
            input.map_or(0, Input::taken)
        };
        assert_eq!(taken(&exchange, name), weight * 1_000_000, "{class:?}: {exchange:?}");
        let others = ["late interactive", "late standard", "late batch"];
        let others: u64 = others.iter().map(|name| taken(&exchange, name)).sum();
        assert_eq!(others, weight * 1_000_000, "{class:?}: {exchange:?}");
        // The review that follows halts the exchange, turns away all but the urgent, or batch work alone.
        desk.settle(before + 2 * SECOND);
        let level = desk.state().stance().unwrap().level;
        let exchange = health::exchange(desk.state());
        assert_eq!(input(&exchange, "level"), (level as u64, 3));
        assert_eq!(taken(&exchange, "level"), level as u64 * 5_000_000);
        assert!(level > PolicyLevel::Normal, "{class:?}");
    }
}
