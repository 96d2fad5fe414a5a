//! Vessels that begin anew, are sent away, are gone for good or do not answer, and what they hold.

use super::*;

/// Tells of a sign of life of the vessel of this number.
fn beat(desk: &mut Desk, time: u64, vessel: u32, start: u64) -> Vec<Event> {
    desk.tell(time, models::Command::Heartbeat { vessel: VesselId(vessel), start })
}

/// Registers a vessel, for the first time or anew.
pub(crate) fn register(desk: &mut Desk, time: u64, name: &str) {
    let (name, manifest) = (name.into(), boat());
    desk.tell(time, models::Command::RegisterVessel { name, manifest, start: 0 });
}

fn status(desk: &Desk, vessel: u32) -> VesselStatus {
    desk.state().tables.vessels.get(VesselId(vessel)).unwrap().status
}

fn refused(events: &[Event]) -> String {
    match events {
        [Event::Workflow(workflow::Event::CommandRefused { refusal })] => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A vessel that begins anew between two signs of life has lost what it had aboard and in its cache,
/// which its number tells; it takes work again once that has been failed over. What an earlier start still
/// says is not listened to.
#[test]
fn a_restart_is_noticed() {
    let mut policy = walk::policy();
    policy.prefix_age = Micros(60_000_000);
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    // That the first number is told is no restart.
    beat(&mut desk, 5, 0, 7);
    let prefix = vec![Mark { hash: 1, tokens: Tokens(512) }];
    desk.submit(10, Demand { prefix: prefix.clone(), ..demand() });
    desk.submit(10, demand());
    beat(&mut desk, 20, 0, 7);
    assert_eq!(desk.count(Stage::Running), 2);
    assert_eq!(refused(&beat(&mut desk, 25, 0, 6)), "superseded start=7");
    beat(&mut desk, 30, 0, 8);
    assert_eq!(status(&desk, 0), VesselStatus::Restarting);
    desk.settle(30);
    assert_eq!(status(&desk, 0), VesselStatus::Up);
    assert_eq!(desk.count(Stage::Backoff), 2);
    // It is lost work and no failed call: nothing is held against the vessel.
    let load = desk.state().tables.loads.get(VesselId(0)).unwrap();
    assert_eq!((load.used, load.failures, load.starts), (0, 0, 1));
    let events = desk.submit(40, Demand { prefix, ..demand() });
    assert_eq!(candidates(&events)[0].cached, Tokens::ZERO);
    // One that is idle takes work at once.
    register(&mut desk, 50, "punt");
    beat(&mut desk, 50, 1, 1);
    beat(&mut desk, 60, 1, 2);
    assert_eq!(status(&desk, 1), VesselStatus::Up);
    assert_eq!(desk.state().tables.loads.get(VesselId(1)).unwrap().starts, 1);
}

/// Whoever was sent away stays away, lost and heard of again, until he is registered anew.
#[test]
fn a_drain_outlasts_a_loss() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    let vessel = VesselId(0);
    desk.tell(20, models::Command::Drain { vessel });
    desk.tell(30, models::Command::Lose { vessel });
    desk.settle(30);
    beat(&mut desk, 40, 0, 0);
    assert_eq!(status(&desk, 0), VesselStatus::Drained);
    desk.settle(1_000_000);
    assert_eq!(desk.count(Stage::Queued), 1);
    register(&mut desk, 1_000_010, "dory");
    assert_eq!((status(&desk, 0), desk.count(Stage::Running)), (VesselStatus::Up, 1));
}

/// What is gone for good does not come back by itself, and no order waits for it apart from others.
#[test]
fn a_retired_vessel_does_not_come_back_by_itself() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", boat());
    desk.vessel("punt", Manifest { context_max: Tokens(2_000), ..boat() });
    let vessel = VesselId(0);
    let retire = models::Command::Retire { vessel };
    assert_eq!(refused(&desk.tell(5, retire.clone())), "wrong_status");
    desk.tell(10, models::Command::Lose { vessel });
    desk.tell(20, retire.clone());
    assert_eq!(status(&desk, 0), VesselStatus::Retired);
    assert_eq!(refused(&beat(&mut desk, 30, 0, 0)), "wrong_status");
    assert_eq!(refused(&desk.tell(30, retire)), "wrong_status");
    assert_eq!(refused(&desk.tell(30, models::Command::Lose { vessel })), "wrong_status");
    register(&mut desk, 40, "dory");
    assert_eq!(status(&desk, 0), VesselStatus::Up);
}

/// Orders that expire aboard a vessel which should have been done by then are its timeouts: one that
/// answers nobody is cut off, though no order lives long enough to time out.
#[test]
fn who_lets_orders_expire_is_cut_off() {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(60_000_000);
    policy.breaker.open = Micros(60_000_000);
    policy.breaker.open_max = Micros(60_000_000);
    policy.escalation.halted = Ppm::ONE;
    policy.escalation.calls = u32::MAX;
    let aboard = |lives: u64| {
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        // An order takes two seconds.
        for at in (0..).map(|n| 10 + n * 4_000_000).take(4) {
            desk.submit(at, Demand { deadline: Micros(at + lives), ..demand() });
            desk.settle(at + lives);
        }
        let ended = desk.state().tables.accounts.get(TenantId(0)).unwrap().ended;
        (breakers::breaker(&desk, 0), ended)
    };
    // Those that come once it is cut off expire in the queue.
    assert_eq!(aboard(3_000_000), (Breaker::Open, [0, 0, 0, 4, 0]));
    // There was no time for it.
    assert_eq!(aboard(1_000_000), (Breaker::Closed, [0, 0, 0, 4, 0]));
}

/// Whoever has worked on a prefix of late is remembered, up to four, and is a candidate.
#[test]
fn a_prefix_has_several_holders() {
    let mut policy = walk::policy();
    policy.candidates = 1;
    policy.prefix_age = Micros(10_000_000);
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    for vessel in 0..12 {
        desk.vessel(&format!("v{vessel}"), Manifest { slots: 1, ..boat() });
    }
    let hot = || Demand { prefix: vec![Mark { hash: 1, tokens: Tokens(900) }], ..demand() };
    // Each takes one order at a time: so six come to work on it.
    for slot in 0..6u32 {
        desk.submit(10 + u64::from(slot), hot());
    }
    let visited: Vec<VesselId> =
        desk.state().tables.orders.iter().map(|(_, row)| row.route[0].vessel).collect();
    for slot in 0..6u32 {
        desk.report(1_000_000 + u64::from(slot), slot, DONE);
    }
    let held = |events: &[Event]| {
        let held = candidates(events).iter().filter(|candidate| candidate.cached == Tokens(900));
        held.map(|candidate| candidate.vessel).collect::<std::collections::BTreeSet<_>>()
    };
    let last: std::collections::BTreeSet<_> = visited[2..].iter().copied().collect();
    assert_eq!(held(&desk.submit(2_000_000, hot())), last);
    desk.report(2_500_000, 0, DONE);
    // All but the one that worked on it since have forgotten it.
    assert_eq!(held(&desk.submit(11_500_000, hot())).len(), 1);
}

fn announce(desk: &mut Desk, time: u64, name: &str, within: u64) -> Vec<Event> {
    let (name, manifest, within) = (name.into(), boat(), Micros(within));
    desk.tell(time, models::Command::Announce { name, manifest, within })
}

/// Orders for who is on his way are let in and wait, and are worked once he has been heard of. Who does not come in
/// time is lost, and nobody is let in any more.
#[test]
fn who_is_on_his_way_is_waited_for() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    let ended = |events: &[Event]| match events.last() {
        Some(Event::Workflow(workflow::Event::OrderRefused { refusal, .. })) => refusal.to_string(),
        _ => String::new(),
    };
    assert_eq!(ended(&desk.submit(1, demand())), "no_vessel");
    announce(&mut desk, 10, "dory", 1_000);
    assert_eq!(status(&desk, 0), VesselStatus::Joining);
    desk.submit(20, demand());
    assert_eq!((desk.count(Stage::Queued), desk.count(Stage::Running)), (1, 0));
    let large = Demand { tokens_in: Tokens(4_000), ..demand() };
    assert_eq!(ended(&desk.submit(25, large)), "too_large asked=4100 max=4000");
    beat(&mut desk, 30, 0, 3);
    assert_eq!(status(&desk, 0), VesselStatus::Up);
    assert_eq!((desk.count(Stage::Queued), desk.count(Stage::Running)), (0, 1));
    let row = desk.state().tables.vessels.get(VesselId(0)).unwrap();
    assert_eq!((row.start, row.joins), (3, Micros::ZERO));

    announce(&mut desk, 40, "punt", 100);
    assert!(desk.tell(139, workflow::Command::Advance).is_empty());
    let lost = desk.tell(140, workflow::Command::Advance);
    let (vessel, cause) = (VesselId(1), models::LossCause::NeverJoined);
    assert_eq!(lost, [Event::Models(models::Event::VesselLost { vessel, cause })]);
    // Late is better than never.
    beat(&mut desk, 150, 1, 1);
    assert_eq!(status(&desk, 1), VesselStatus::Up);
}

/// Only who is not there can be on his way: new, sent away, lost or gone for good; and whatever he had before, in his
/// cache or against him, is not his any more.
#[test]
fn who_is_there_is_not_announced() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", boat());
    assert_eq!(refused(&announce(&mut desk, 1, "dory", 9)), "wrong_status");
    for within in [0, 86_400_000_001] {
        let told = refused(&announce(&mut desk, 1, "punt", within));
        assert_eq!(told, "invalid: within is 0 or above a day");
    }
    desk.submit(2, demand());
    desk.tell(3, models::Command::Drain { vessel: VesselId(0) });
    assert_eq!(refused(&announce(&mut desk, 3, "dory", 9)), "wrong_status");
    desk.tell(4, models::Command::Lose { vessel: VesselId(0) });
    assert_eq!(refused(&announce(&mut desk, 4, "dory", 9)), "still_aboard orders=1");
    desk.settle(4);
    announce(&mut desk, 5, "dory", 100);
    let vessel = desk.state().tables.vessels.get(VesselId(0)).unwrap();
    let load = desk.state().tables.loads.get(VesselId(0)).unwrap();
    assert_eq!(
        (vessel.status, vessel.held, vessel.joins),
        (VesselStatus::Joining, false, Micros(105))
    );
    assert_eq!((load.starts, load.failures), (2, 0));
    // Once more, and for longer.
    announce(&mut desk, 6, "dory", 1_000);
    assert_eq!(desk.state().tables.vessels.get(VesselId(0)).unwrap().joins, Micros(1_006));
    // It may have been called off.
    desk.tell(7, models::Command::Lose { vessel: VesselId(0) });
    desk.tell(8, models::Command::Retire { vessel: VesselId(0) });
    announce(&mut desk, 9, "dory", 100);
    beat(&mut desk, 10, 0, 0);
    assert_eq!(status(&desk, 0), VesselStatus::Up);
}

/// The process that was sent away still beats: it is not who was announced in its place.
#[test]
fn who_was_there_before_does_not_join() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", boat());
    beat(&mut desk, 1, 0, 5);
    desk.tell(2, models::Command::Drain { vessel: VesselId(0) });
    announce(&mut desk, 3, "dory", 1_000);
    assert_eq!(refused(&beat(&mut desk, 4, 0, 5)), "superseded start=5");
    assert_eq!(status(&desk, 0), VesselStatus::Joining);
    beat(&mut desk, 5, 0, 6);
    assert_eq!(status(&desk, 0), VesselStatus::Up);
}
