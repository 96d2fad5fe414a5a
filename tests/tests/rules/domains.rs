//! Failure domains: who was failed by a vessel goes to one that would not be lost with it.

use tensorforge_engine::models::Manifest;
use tensorforge_engine::policy::Policy;
use tensorforge_engine::routing::{Choice, Verdict};
use tensorforge_engine::units::{Micros, Ppm, RegionId, VesselId};
use tensorforge_engine::workflow::{Fault, Outcome, Withheld};
use tensorforge_engine::{Event, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::candidates;

const SECOND: u64 = 1_000_000;

fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.lifetime = [Micros(1_000 * SECOND); 3];
    policy.timeout_min = Micros(100 * SECOND);
    policy.hedge_percent = [0; 3];
    policy.forecast.samples = 127;
    policy.retry.attempts = 16;
    policy.retry.least = 1_000;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    policy.escalation.review = Micros(10_000 * SECOND);
    policy.escalation.dwell = Micros(10_000 * SECOND);
    policy
}

/// Vessels of so many slots in these domains.
fn desk(journal: u8, policy: &Policy, domains: impl IntoIterator<Item = u32>) -> Desk {
    let mut desk = Desk::open(journal, policy, (0, 0, 0));
    for (number, domain) in domains.into_iter().enumerate() {
        desk.vessel(&format!("boat-{number}"), Manifest { domain, ..boat() });
    }
    desk
}

/// Has the order of the first slot fail, and its next attempt made: where that goes, and what it was.
fn again(desk: &mut Desk) -> (VesselId, Verdict) {
    let now = desk.state().now().0;
    desk.report(now, 0, Outcome::Failed(Fault::Error));
    let due = desk.state().next_deadline().unwrap();
    let events = desk.tell(due.0, workflow::Command::Advance);
    let best = &candidates(&events)[0];
    (best.vessel, best.verdict)
}

/// Fifty vessels of one rack and one of another, of which three are drawn: an order that has failed once is tried there, however
/// many of the rack are found before it. After that all racks have failed it, and it is anybody's who has not failed it
/// himself; there is no rack without a number.
#[test]
fn the_next_attempt_is_in_another_rack() {
    for journal in 0..20 {
        let rack = (0..50).map(|_| 7);
        let mut desk = desk(journal, &rules(), rack.chain([9]));
        desk.submit(1, demand());
        let order = desk.order(0);
        let first = desk.state().order(order).unwrap().route[0].vessel;
        if first == VesselId(50) {
            continue;
        }
        assert_eq!(again(&mut desk), (VesselId(50), Verdict::Eligible));
        let (third, verdict) = again(&mut desk);
        assert_eq!(verdict, Verdict::Near);
        assert!(third != first && third != VesselId(50));
    }
    let mut desk = desk(1, &rules(), [0, 0, 0]);
    desk.submit(1, demand());
    assert_eq!(
        [again(&mut desk), again(&mut desk)].map(|(_, verdict)| verdict),
        [Verdict::Eligible; 2]
    );
    // Nobody else is left.
    assert_eq!(again(&mut desk).1, Verdict::Tried);
}

/// The word about a hedge that these events have.
fn hedge(events: &[Event]) -> Option<Result<VesselId, Withheld>> {
    events.iter().find_map(|event| match event {
        Event::Workflow(workflow::Event::LegHedged { vessel, .. }) => Some(Ok(*vessel)),
        Event::Workflow(workflow::Event::HedgeWithheld { reason, .. }) => Some(Err(*reason)),
        _ => None,
    })
}

/// A leg that hangs is asked of nobody in its own rack: of the other one, however the draw falls, or of nobody. Where vessels
/// are in no rack, of any other.
#[test]
fn a_hedge_stays_out_of_the_rack() {
    let policy = Policy { hedge_percent: [200; 3], ..rules() };
    for journal in 0..20 {
        for (domains, other) in [([4, 4, 4, 4, 4, 5], true), ([4; 6], false), ([0; 6], true)] {
            let mut desk = desk(journal, &policy, domains);
            desk.submit(1, demand());
            let order = desk.order(0);
            let first = desk.state().order(order).unwrap().route[0].vessel;
            let due = desk.state().next_deadline().unwrap();
            let told = hedge(&desk.tell(due.0, workflow::Command::Advance)).unwrap();
            let domain = |vessel: VesselId| domains[vessel.0 as usize];
            match told {
                Ok(second) => {
                    assert!(other && second != first, "{domains:?}: {first} and {second}");
                    assert!(domain(first) == 0 || domain(first) != domain(second), "{domains:?}");
                }
                Err(reason) => assert_eq!((other, reason), (false, Withheld::NoRoom)),
            }
        }
    }
}

/// Two and five slots: the fewest that are left win, whatever is quick or cheap, and be it because they are in use.
#[test]
fn the_best_fit_has_the_fewest_slots_left() {
    let policy = Policy { route_by: Choice::BestFit, ..rules() };
    let mut desk = Desk::open(3, &policy, (0, 0, 0));
    let slow = Micros(90_000);
    desk.vessel("large", Manifest { slots: 5, region: RegionId(1), ..boat() });
    desk.vessel("small", Manifest { slots: 2, decode_per_token: slow, ..boat() });
    let mut go = |now: u64| {
        let events = desk.submit(now, demand());
        candidates(&events).iter().map(|c| (c.vessel.0, c.score)).collect::<Vec<_>>()
    };
    assert_eq!(go(1), [(1, 2), (0, 5)]);
    assert_eq!(go(2), [(1, 1), (0, 5)]);
    assert_eq!(go(3), [(0, 5)]);
    assert_eq!(go(4), [(0, 4)]);
}
