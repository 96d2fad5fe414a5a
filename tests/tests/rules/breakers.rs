//! When breakers open, before how many vessels and for how long, and how they are probed.

use super::*;

/// The breaker trips with the failure that is one too many, and a success in between forgives all.
#[test]
fn breakers_count_failures_in_a_row() {
    let check = |limit: u32, outcomes: &str, tripped: bool| {
        let mut policy = walk::policy();
        policy.breaker.failures = limit;
        policy.breaker.failing = Ppm(0);
        policy.retry.attempts = 1;
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        for (at, outcome) in (10..).zip(outcomes.chars()) {
            desk.submit(at, demand());
            let outcome = if outcome == 'x' { Outcome::Failed(Fault::Error) } else { DONE };
            desk.report(at, 0, outcome);
        }
        let breaker = desk.state().tables.loads.get(VesselId(0)).unwrap().breaker;
        assert_eq!(breaker == Breaker::Open, tripped, "{limit} {outcomes}");
    };
    check(3, "xx", false);
    check(3, "xxx", true);
    check(3, "xx.xx", false);
    check(3, "xx.xxx", true);
    check(1, "x", true);
    check(0, "xxxxxxxxxx", false);
}

/// Orders of one attempt, answered a moment after they come, one every `every` us: `x` with an error, `r`
/// with a rejection, anything else with success.
pub(crate) fn answer(desk: &mut Desk, from: u64, every: u64, outcomes: &str) {
    for (at, outcome) in (from..).step_by(every as usize).zip(outcomes.chars()) {
        let events = desk.submit(at, demand());
        let Some(Event::Workflow(workflow::Event::OrderAdmitted { order, .. })) = events.first()
        else {
            panic!("{events:?}");
        };
        let outcome = match outcome {
            'x' => Outcome::Failed(Fault::Error),
            'r' => Outcome::Failed(Fault::Rejected),
            _ => DONE,
        };
        if desk.state().order(*order).is_some_and(|row| row.stage == Stage::Running) {
            desk.report(at + 1, order.slot().0, outcome);
        }
    }
}

pub(crate) fn breaker(desk: &Desk, vessel: u32) -> Breaker {
    desk.state().tables.loads.get(VesselId(vessel)).unwrap().breaker
}

/// A share of calls trips a breaker once there are enough of them, not long ago; a run of failures does
/// so by itself, and a request that is at fault itself does neither.
#[test]
fn breakers_count_shares_of_calls() {
    let check = |failures: u32, every: u64, outcomes: &str, opens: bool| {
        let mut policy = walk::policy();
        policy.retry.attempts = 1;
        policy.breaker.failures = failures;
        policy.breaker.failing = Ppm(400_000);
        policy.breaker.calls = 10;
        policy.breaker.window = Micros(1_000_000);
        // The exchange as a whole is not to be shut.
        policy.escalation.calls = u32::MAX;
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        answer(&mut desk, 10, every, outcomes);
        assert_eq!(breaker(&desk, 0) == Breaker::Open, opens, "{failures} {outcomes}");
    };
    // Four of every five; two of every five; and one call fewer.
    check(0, 1_000, "xxxx.xxxx.x", true);
    check(0, 1_000, "x.x..x...x", true);
    check(0, 1_000, "x.x..x..x", false);
    // Three of ten, however many.
    check(0, 1_000, ".x..x..x..".repeat(5).as_str(), false);
    // One failure of one, or nine of nine, are no share yet.
    check(0, 1_000, "xxxxxxxxx", false);
    check(5, 1_000, "xxxxx", true);
    // What lies two windows back does not count any more: never are there ten calls.
    check(0, 300_000, "xxxxxxxxxxxxxxxx", false);
    // Twenty rejections neither count as failures nor as calls, and break no run.
    check(0, 1_000, "rrrrrrrrrrrrrrrrrrrr", false);
    check(0, 1_000, "x.x..x.xrrrrrrrr.", false);
    check(5, 1_000, "xxxxrrrrx", true);
}

/// While a breaker is half open only its probes pass, and only they count.
#[test]
fn probes_are_gated() {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    policy.breaker.failures = 2;
    policy.breaker.probes = 3;
    policy.escalation.calls = u32::MAX;
    policy.lifetime = [Micros(3_600_000_000); 3];
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 64, ..boat() });
    // Two that began before, and are still at work when the probes pass.
    desk.submit(5, demand());
    desk.submit(5, demand());
    answer(&mut desk, 10, 1, "xx");
    assert_eq!(breaker(&desk, 0), Breaker::Open);
    for _ in 0..40 {
        desk.submit(20, demand());
    }
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (2, 40));
    let reopened = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
    desk.tell(reopened, workflow::Command::Advance);
    // They take the places of probes, since nobody knows how they will end.
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (3, 39));
    // What becomes of them says nothing about the probes, good or bad, nor do rejections.
    desk.report(reopened + 1, 1, DONE);
    desk.report(reopened + 1, 0, Outcome::Failed(Fault::Error));
    assert_eq!(breaker(&desk, 0), Breaker::Probing);
    assert_eq!(running(&desk).len(), 3);
    for slot in running(&desk) {
        desk.report(reopened + 2, slot, Outcome::Failed(Fault::Rejected));
    }
    assert_eq!((breaker(&desk, 0), running(&desk).len()), (Breaker::Probing, 3));
    // Each success leaves one fewer to pass.
    for (left, slot) in [2, 1].into_iter().zip(running(&desk)) {
        desk.report(reopened + 3, slot, DONE);
        assert_eq!((breaker(&desk, 0), running(&desk).len()), (Breaker::Probing, left));
    }
    desk.report(reopened + 4, running(&desk)[0], DONE);
    assert_eq!((breaker(&desk, 0), desk.count(Stage::Queued)), (Breaker::Closed, 0));
}

/// It opens for longer each time that it opens again soon, up to a bound; and a vessel that has stood for
/// long begins anew.
#[test]
fn breakers_open_for_longer() {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    policy.breaker.failures = 1;
    policy.breaker.probes = 1;
    policy.breaker.open = Micros(1_000);
    policy.breaker.open_max = Micros(5_000);
    policy.escalation.calls = u32::MAX;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    let mut now = 100_000;
    for span in [1_000, 2_000, 4_000, 5_000, 5_000] {
        answer(&mut desk, now, 1, "x");
        let until = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
        assert_eq!(until - now - 1, span);
        desk.tell(until, workflow::Command::Advance);
        now = until;
    }
    answer(&mut desk, now, 1, ".");
    assert_eq!(breaker(&desk, 0), Breaker::Closed);
    answer(&mut desk, now + 2_000, 1, "x");
    assert_eq!(desk.state().tables.loads.get(VesselId(0)).unwrap().trips, 6);
    now = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
    desk.tell(now, workflow::Command::Advance);
    answer(&mut desk, now, 1, ".");
    answer(&mut desk, now + 10_000, 1, "x");
    assert_eq!(desk.state().tables.loads.get(VesselId(0)).unwrap().trips, 1);
}

/// However many fail, no more than a share of those that could stand in is cut off; but one may be.
#[test]
fn a_share_of_vessels_is_cut_off_at_most() {
    for (cut_off, most) in [(0, 1), (250_000, 2), (500_000, 4), (1_000_000, 8)] {
        let mut policy = walk::policy();
        policy.retry.attempts = 1;
        policy.breaker.failures = 1;
        policy.breaker.open = Micros(1_000_000);
        policy.breaker.cut_off = Ppm(cut_off);
        policy.escalation.calls = u32::MAX;
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        for vessel in 0..8 {
            desk.vessel(&format!("v{vessel}"), boat());
        }
        answer(&mut desk, 10, 10, "x".repeat(100).as_str());
        let open = (0..8).filter(|vessel| breaker(&desk, *vessel) == Breaker::Open).count();
        assert_eq!(open, most, "{cut_off}");
    }
}

/// Calls that take too long open a breaker as failures do, once they are enough of them; and a slow probe
/// opens it again.
#[test]
fn breakers_count_slow_calls() {
    let mut policy = walk::policy();
    policy.breaker.failing = Ppm(0);
    policy.breaker.slow = Ppm(600_000);
    policy.breaker.slow_percent = 150;
    policy.breaker.calls = 5;
    policy.breaker.window = Micros(60_000_000);
    policy.breaker.probes = 1;
    policy.timeout_min = Micros(60_000_000);
    // An order takes two seconds, so it is slow after three.
    let play = |calls: &str| {
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        let mut now = 10;
        for call in calls.chars() {
            desk.submit(now, demand());
            now += if call == 's' { 3_000_001 } else { 3_000_000 };
            desk.report(now, 0, DONE);
        }
        (desk, now)
    };
    assert_eq!(breaker(&play("ssss").0, 0), Breaker::Closed);
    assert_eq!(breaker(&play("ss...").0, 0), Breaker::Closed);
    assert_eq!(breaker(&play("..sss").0, 0), Breaker::Open);
    let (mut desk, now) = play("sssss");
    for (took, after) in [(3_000_001, Breaker::Open), (3_000_000, Breaker::Closed)] {
        let due = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
        assert!(due > now);
        desk.settle(due);
        desk.submit(due, demand());
        desk.report(due + took, 0, DONE);
        assert_eq!(breaker(&desk, 0), after);
    }
}

/// Who says that it has no room is left in peace, for longer each time, and has not failed; the order goes
/// elsewhere at once, and has used up no attempt.
#[test]
fn overload_is_no_failure() {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    policy.overload.pause = Micros(1_000);
    policy.overload.pause_max = Micros(3_000);
    policy.breaker.failures = 1;
    policy.lifetime = [Micros(3_600_000_000); 3];
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    let mut now = 20;
    for pause in [1_000, 2_000, 3_000, 3_000] {
        let events = desk.report(now, 0, Outcome::Failed(Fault::Overloaded));
        let paused = events.iter().any(|event| {
            matches!(event, Event::Resilience(resilience::Event::VesselPaused { until, .. })
                if until.0 == now + pause)
        });
        assert!(paused, "{pause}: {events:?}");
        assert_eq!(desk.count(Stage::Queued), 1);
        desk.settle(now + pause - 1);
        assert_eq!(desk.count(Stage::Queued), 1);
        now += pause;
        desk.settle(now);
        assert_eq!(desk.count(Stage::Running), 1);
    }
    assert_eq!(breaker(&desk, 0), Breaker::Closed);
    let row = desk.state().tables.orders.get(OrderSlot(0)).unwrap();
    assert_eq!((row.attempt, row.bounced, row.tried.len()), (5, 4, 0));
    // Another one takes it at once.
    vessels::register(&mut desk, now, "punt");
    desk.report(now + 10, 0, Outcome::Failed(Fault::Overloaded));
    let row = desk.state().tables.orders.get(OrderSlot(0)).unwrap();
    assert_eq!((row.stage, row.route[0].vessel), (Stage::Running, VesselId(1)));
    desk.report(now + 20, 0, DONE);
    // What it completes makes up for what it said before.
    let pauses = |desk: &Desk| desk.state().tables.loads.get(VesselId(0)).unwrap().pauses;
    desk.settle(now + 4_000);
    desk.tell(now + 4_000, models::Command::Drain { vessel: VesselId(1) });
    desk.submit(now + 4_000, demand());
    assert_eq!(pauses(&desk), 5);
    desk.report(now + 4_010, 0, DONE);
    assert_eq!(pauses(&desk), 0);
}

/// An order that nobody ever has room for does not have one vessel after the other left in peace for ever.
#[test]
fn who_is_always_turned_away_fails_in_the_end() {
    let mut policy = walk::policy();
    policy.retry.attempts = 2;
    policy.retry.least = 100;
    policy.lifetime = [Micros(3_600_000_000); 3];
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    for vessel in 0..4 {
        desk.vessel(&format!("v{vessel}"), boat());
    }
    desk.submit(10, demand());
    let mut bounces = 0;
    for now in (1_000_000u64..).step_by(1_000_000) {
        desk.settle(now);
        if desk.count(Stage::Running) == 0 {
            break;
        }
        desk.report(now, 0, Outcome::Failed(Fault::Overloaded));
        bounces += 1;
    }
    let ended = desk.state().tables.accounts.get(TenantId(0)).unwrap().ended;
    // Eight times for nothing, and then as often as it may be tried.
    assert_eq!((bounces, ended), (10, [0, 0, 1, 0, 0]));
}

/// Who fails a share of its calls is taken to last as much longer as it has to be asked more often.
#[test]
fn who_fails_at_once_does_not_look_quick() {
    let mut policy = walk::policy();
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    policy.breaker.calls = 4;
    policy.breaker.window = Micros(60_000_000);
    policy.retry.attempts = 1;
    policy.escalation.calls = u32::MAX;
    policy.forecast.legs = u32::MAX;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    answer(&mut desk, 1_000, 10, "x.x.");
    let events = desk.submit(2_000, demand());
    let candidate = &candidates(&events)[0];
    // Two seconds, twice as long by its failures: 40 000 points of 10 a millisecond; 1 200 micro-dollars at
    // 3 points and 2 joules at one.
    assert_eq!((candidate.failing, candidate.score), (Ppm(500_000), 40_000 + 3_600 + 2));
    answer(&mut desk, 3_000, 10, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    let events = desk.submit(4_000, demand());
    // Behind the order aboard, half of it in each slot, and its two seconds may all be for its prompt: five seconds; never
    // more than ten times as long.
    let score = candidates(&events)[0].score;
    assert!((499_500..=500_000).contains(&(score - 3_600 - 2)), "{score}");
}

/// While everything fails for a minute there are no more than 1.2 calls for an order; and those that are
/// held back by then are served once it is over, and none has failed for want of a try.
#[test]
fn retries_are_a_share_of_what_is_called() {
    let mut policy = walk::policy();
    policy.retry.attempts = 16;
    policy.retry.budget = Ppm(200_000);
    policy.retry.least = 3;
    policy.retry.backoff = Micros(100_000);
    policy.retry.backoff_max = Micros(2_000_000);
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    policy.escalation.calls = u32::MAX;
    policy.escalation.window = Micros(10_000_000);
    policy.lifetime = [Micros(600_000_000); 3];
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.checks = false;
    for vessel in 0..4 {
        desk.vessel(&format!("v{vessel}"), Manifest { slots: 100, ..boat() });
    }
    let (mut orders, mut calls) = (0u32, 0u32);
    let mut after = 0;
    for now in (10_000u64..).step_by(10_000) {
        let over = now > 60_000_000;
        desk.settle(now);
        if !over {
            desk.submit(now, demand());
            orders += 1;
        }
        for slot in running(&desk) {
            if !over {
                calls += 1;
            }
            let outcome = if over { DONE } else { Outcome::Failed(Fault::Error) };
            desk.report(now, slot, outcome);
        }
        if over && desk.state().tables.orders.is_empty() {
            after = now;
            break;
        }
    }
    assert!(orders == 6_000 && calls > 6_000 && calls * 10 <= orders * 12, "{calls} of {orders}");
    let ended = desk.state().tables.accounts.get(TenantId(0)).unwrap().ended;
    // A fifth more at each turn of two seconds, from three on.
    assert!(ended == [6_000, 0, 0, 0, 0] && after < 160_000_000, "{ended:?} {after}");
}
