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

fn breaker(desk: &Desk, vessel: u32) -> Breaker {
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
    // One that began before, and is still at work when the probes pass.
    desk.submit(5, demand());
    answer(&mut desk, 10, 1, "xx");
    assert_eq!(breaker(&desk, 0), Breaker::Open);
    for _ in 0..40 {
        desk.submit(20, demand());
    }
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (1, 40));
    let reopened = desk.state().tables.loads.get(VesselId(0)).unwrap().retry_at.0;
    desk.tell(reopened, workflow::Command::Advance);
    // It takes the place of a probe, since nobody knows how it will end.
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (3, 38));
    // Its failure says nothing about the probes, nor do rejections.
    desk.report(reopened + 1, 0, Outcome::Failed(Fault::Error));
    assert_eq!(breaker(&desk, 0), Breaker::Probing);
    let running = |desk: &Desk| {
        let orders = desk.state().tables.orders.iter();
        let running = orders.filter(|(_, row)| row.stage == Stage::Running);
        running.map(|(slot, _)| slot.0).collect::<Vec<_>>()
    };
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
