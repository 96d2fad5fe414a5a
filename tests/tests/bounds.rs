//! The bad hour: everything falls due at once. Records stay short, time goes on, and nobody is forgotten.

use tensorforge_engine::models::{Demand, Manifest, Mark, Role, Stage};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::units::{Micros, Tokens, VesselId};
use tensorforge_engine::{Command, Event, Exchange, models, queue, routing, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

/// A desk at which so much happens that it is looked over at the end alone.
fn desk() -> Desk {
    let mut desk = Desk::open(1, &wide(), (0, 0, 0));
    desk.checks = false;
    desk
}

fn large_boat() -> Manifest {
    Manifest { slots: 64, heartbeat: Micros(30_000_000), ..boat() }
}

fn wide() -> Policy {
    let mut policy = Policy { candidates: 64, ..walk::policy() };
    policy.lifetime = [Micros(3_600_000_000); 3];
    policy.escalation.review = Micros(3_600_000_000);
    policy.escalation.dwell = Micros(3_600_000_000);
    policy
}

/// Eighty vessels are lost and come back at once before a long queue: each return may serve sixty-four
/// orders with sixty-four candidates each, and their retries fall due with it.
#[test]
fn a_fleet_that_comes_back_at_once_makes_short_records() {
    let mut desk = desk();
    for vessel in 0..80 {
        desk.vessel(&format!("v{vessel}"), large_boat());
    }
    for _ in 0..12_000 {
        desk.submit(0, demand());
    }
    assert_eq!(desk.count(Stage::Running), 80 * 64);
    for vessel in (0..80).map(VesselId) {
        desk.tell(10_000_000, models::Command::Lose { vessel });
    }
    desk.settle(10_000_000);
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Backoff)), (0, 80 * 64));
    // By now every retry is due.
    for vessel in (0..80).map(VesselId) {
        desk.tell(20_000_000, models::Command::Heartbeat { vessel, start: 0 });
    }
    let records = desk.settle(20_000_000);
    assert_eq!(desk.count(Stage::Running), 80 * 64, "there is room, and somebody waits");
    assert!(records > 10, "{records} records held all of it");
    assert!(desk.longest <= Exchange::RECORD_BYTES_MAX, "{} bytes", desk.longest);
    assert_eq!(desk.state().check(), Vec::<String>::new());
}

/// A vessel as large as a fleet comes, and thousands have waited for it. What a record has no room for is
/// left to the next one, which is due at once.
#[test]
fn whoever_cannot_be_served_at_once_is_served_next() {
    let mut desk = desk();
    desk.vessel("punt", Manifest { slots: 1, ..boat() });
    for _ in 0..2_501 {
        desk.submit(0, demand());
    }
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (1, 2_500));
    let (name, manifest) = ("ferry".into(), Manifest { slots: 3_000, ..boat() });
    let events = desk.tell(0, models::Command::RegisterVessel { name, manifest, start: 0 });
    let at = Micros(0);
    assert_eq!(events.last(), Some(&queue::Event::ServiceDeferred { at }.into()));
    let left = desk.count(Stage::Queued);
    assert!((1_500..2_200).contains(&left), "{left} are left");
    assert_eq!(desk.state().next_deadline(), Some(at));
    // Each record serves as many as fit into it.
    let records = desk.settle(0);
    assert_eq!(desk.count(Stage::Queued), 0);
    assert!((2..8).contains(&records), "{records} records");
    assert!(desk.longest <= Exchange::RECORD_BYTES_MAX, "{} bytes", desk.longest);
    assert_eq!(desk.state().waiting().unwrap().serve_at, Micros::MAX);
    assert_eq!(desk.state().check(), Vec::<String>::new());
}

/// The most candidates that a route may have, as they come: sixty-four drawn of each role, and the
/// holders of eight prefixes besides.
#[test]
fn the_longest_route_is_what_a_unit_is_bounded_by() {
    let mut desk = desk();
    for (role, letter) in [(Role::Whole, 'w'), (Role::Prefill, 'p'), (Role::Decode, 'd')] {
        for vessel in 0..1_000 {
            desk.vessel(&format!("{letter}{vessel}"), Manifest { role, ..large_boat() });
        }
    }
    let mut most = 0;
    for round in 0..200u64 {
        let prefix = (0..8).map(|mark| Mark {
            hash: 1 + (round + mark * 3) % 64,
            tokens: Tokens(100 * (mark + 1)),
        });
        let order = Demand { prefix: prefix.collect(), ..demand() };
        for event in desk.submit(0, order) {
            if let Event::Routing(routing::Event::OrderRouted { candidates, .. }) = event {
                most = most.max(candidates.len());
            }
        }
    }
    assert!((190..=routing::Candidate::MOST).contains(&most), "{most} candidates");
}

/// At the end of time nothing falls due, whether the timers are those of an exchange that lived through
/// it or of one that was restored.
#[test]
fn what_is_never_due_is_never_due_after_a_restore_either() {
    let mut desk = desk();
    for (name, heartbeat) in [("dory", Micros::ZERO), ("punt", Micros(u64::MAX / 2))] {
        desk.vessel(name, Manifest { heartbeat, ..boat() });
    }
    desk.settle(u64::MAX - 10);
    desk.submit(u64::MAX - 10, Demand { deadline: Micros(u64::MAX), ..demand() });
    let state = desk.state();
    let mut rows = Vec::new();
    for (number, table) in (0u8..).zip(state.tables.all()) {
        table.export(&mut |key, writer, image| rows.push((number, key, writer, image.to_vec())));
    }
    let restored = tensorforge_engine::State::restore(state.journal(), state.seq(), rows).unwrap();
    let mut restored = Exchange::resume(restored);
    for time in [u64::MAX - 10, u64::MAX] {
        let advance = Command::Workflow(workflow::Command::Advance);
        let stamp = desk.stamp(time, &advance);
        let (mut live, mut again) = (Vec::new(), Vec::new());
        desk.exchange.decide(stamp, &advance, &mut live).unwrap();
        restored.decide(stamp, &advance, &mut again).unwrap();
        assert_eq!(live, again);
        assert_eq!(desk.state().next_deadline(), restored.state().next_deadline());
        assert_eq!(desk.state().root(), restored.state().root());
    }
    assert_eq!(desk.state().tables.orders.len(), 1);
    assert_eq!(desk.state().check(), Vec::<String>::new());
}
