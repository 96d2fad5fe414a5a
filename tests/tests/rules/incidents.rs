//! Incidents: when they are told, how severe, to whom not, and what is one outage.

use tensorforge_engine::policy as engine;
use tensorforge_engine::policy::{Policy, RiskWeights};
use tensorforge_engine::telemetry::{Concern, Event as Telemetry, IncidentRule, Severity};
use tensorforge_engine::{Effect, effects};

use super::policy::{NOTHING, rules, second};
use super::*;

const NEVER: [u64; 4] = [0; 4];
/// Minor from 400 000 on and until below 240 000, major from 600 000 and until 360 000, critical from 900 000 and until
/// 540 000.
const FAILING: [u64; 4] = [0, 400_000, 600_000, 900_000];
/// Two seconds, which are two reviews.
const HOLD: u64 = 2_000_000;

/// Rules by which no level moves, and by which these two are incidents.
fn rule(failing: [u64; 4], lost: [u64; 4], hold: u64) -> Policy {
    let mut policy = rules();
    policy.escalation.weights = RiskWeights { drift: Ppm(1), ..NOTHING };
    policy.escalation.override_max = Micros(60_000_000);
    policy.incidents = IncidentRule {
        begins: [failing, NEVER, NEVER, NEVER, NEVER, lost, NEVER].map(|four| four.map(Ppm)),
        clear: Ppm(600_000),
        hold: Micros(hold),
        ease: Micros(hold),
    };
    policy
}

/// The dory takes all orders; the tug, of as many slots, takes none by itself.
fn desk(policy: &Policy) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.vessel("tug", Manifest { role: Role::Prefill, ..boat() });
    desk
}

fn lose(desk: &mut Desk, at: u64) {
    desk.tell(at, models::Command::Lose { vessel: VesselId(1) });
}

fn back(desk: &mut Desk, at: u64) {
    desk.tell(at, models::Command::Heartbeat { vessel: VesselId(1), start: 0 });
}

fn silence(desk: &mut Desk, at: u64, until: u64) -> Vec<String> {
    let (concern, until) = (Concern::Failing, Micros(until));
    told(&desk.tell(at, telemetry::Command::Silence { concern, until }))
}

/// What these events say of incidents, and what whoever is on call is told.
fn told(events: &[Event]) -> Vec<String> {
    let name = |severity: Option<Severity>| severity.map_or("none".into(), |s| format!("{s:?}"));
    let of_event = |event: &Event| match *event {
        Event::Telemetry(Telemetry::IncidentSeen { concern, severity, .. }) => {
            Some(format!("{concern:?} seen {}", name(severity)))
        }
        Event::Telemetry(Telemetry::IncidentRaised { concern, from, severity, found, .. }) => {
            Some(format!("{concern:?} {} -> {severity:?} {found}", name(from)))
        }
        Event::Telemetry(Telemetry::IncidentResolved { concern, found, lasted, .. }) => {
            Some(format!("{concern:?} over {found} after {lasted}"))
        }
        Event::Telemetry(Telemetry::IncidentSilenced { concern, until }) => {
            Some(format!("{concern:?} silenced until {until}"))
        }
        Event::Telemetry(Telemetry::SilenceEnded { concern, severity, .. }) => {
            Some(format!("{concern:?} heard {}", name(severity)))
        }
        Event::Workflow(workflow::Event::CommandRefused { ref refusal }) => {
            Some(refusal.to_string())
        }
        _ => None,
    };
    let notified = effects(events).filter_map(|effect| match effect {
        Effect::Notify { concern, severity, .. } => {
            Some(format!("notify {concern:?} {}", name(severity)))
        }
        _ => None,
    });
    events.iter().filter_map(of_event).chain(notified).collect()
}

/// A value that flaps about a threshold is told once: what does not last is not, and what is told is over only well below
/// that, for long enough.
#[test]
fn what_lasts_is_told_once() {
    let mut desk = desk(&rule(FAILING, NEVER, HOLD));
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Minor"][..]),
        (2, 3, &["Failing seen none"]),
        (3, 4, &["Failing seen Minor"]),
        (4, 4, &[]),
        // Since the third second.
        (5, 4, &["Failing none -> Minor 400000", "notify Failing Minor"]),
        (6, 3, &[]),
        (7, 4, &[]),
        (8, 3, &[]),
        (9, 2, &["Failing seen none"]),
        (10, 3, &["Failing seen Minor"]),
        (11, 2, &["Failing seen none"]),
        (12, 2, &[]),
        (13, 2, &["Failing over 200000 after 8000000", "notify Failing none"]),
        (14, 3, &[]),
    ] {
        assert_eq!(told(&second(&mut desk, number, failing)), expected, "second {number}");
    }
    let row = desk.state().tables.incidents.get(Concern::Failing).unwrap();
    assert_eq!((row.raised, row.severity, row.raised_at), (1, None, Micros(5_000_000)));
}

/// Each severity has to last by itself, on its way up and on its way down.
#[test]
fn each_severity_has_its_own_time() {
    let mut desk = desk(&rule(FAILING, NEVER, HOLD));
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Minor"][..]),
        (2, 6, &["Failing seen Major"]),
        // At least minor since the first second, and major since the second one.
        (3, 6, &["Failing none -> Minor 600000", "notify Failing Minor"]),
        (4, 9, &["Failing seen Critical", "Failing Minor -> Major 900000", "notify Failing Major"]),
        (5, 9, &[]),
        (6, 9, &["Failing Major -> Critical 900000", "notify Failing Critical"]),
        (7, 5, &["Failing seen Major"]),
        (8, 3, &["Failing seen Minor"]),
        // Milder is not worth a notice.
        (9, 3, &["Failing Critical -> Major 300000"]),
        (10, 3, &["Failing Major -> Minor 300000"]),
        (11, 2, &["Failing seen none"]),
        (12, 6, &["Failing seen Major"]),
        (13, 2, &["Failing seen none"]),
        (14, 2, &[]),
        (15, 2, &["Failing over 200000 after 12000000", "notify Failing none"]),
    ] {
        assert_eq!(told(&second(&mut desk, number, failing)), expected, "second {number}");
    }
}

/// What is open at the same time is one outage: told of when it begins, when it is worse than was told, and when all of it
/// is over.
#[test]
fn an_outage_is_told_as_one() {
    let mut desk = desk(&rule(FAILING, [0, 0, 400_000, 0], HOLD));
    let mut groups = Vec::new();
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Minor", "Lost seen Major"][..]),
        (2, 4, &[]),
        (
            3,
            4,
            &[
                "Failing none -> Minor 400000",
                "Lost none -> Major 500000",
                "notify Failing Minor",
                "notify Lost Major",
            ],
        ),
        (4, 9, &["Failing seen Critical", "Lost seen none"]),
        (5, 9, &[]),
        (
            6,
            9,
            &[
                "Failing Minor -> Critical 900000",
                "Lost over 0 after 3000000",
                "notify Failing Critical",
            ],
        ),
        (7, 9, &["Lost seen Major"]),
        (8, 9, &[]),
        // Whoever was told of something critical knows.
        (9, 9, &["Lost none -> Major 500000"]),
        (10, 0, &["Failing seen none", "Lost seen none"]),
        (11, 0, &[]),
        (12, 0, &["Failing over 0 after 9000000", "Lost over 0 after 3000000", "notify Lost none"]),
        (13, 4, &["Failing seen Minor"]),
        (14, 4, &[]),
        (15, 4, &["Failing none -> Minor 400000", "notify Failing Minor"]),
    ] {
        match number {
            1 | 7 => lose(&mut desk, number * 1_000_000 - 500_000),
            4 | 10 => back(&mut desk, number * 1_000_000 - 500_000),
            _ => {}
        }
        let events = second(&mut desk, number, failing);
        assert_eq!(told(&events), expected, "second {number}");
        groups.extend(events.iter().filter_map(|event| match event {
            Event::Telemetry(
                Telemetry::IncidentRaised { group, .. } | Telemetry::IncidentResolved { group, .. },
            ) => Some(*group),
            _ => None,
        }));
        if number == 3 {
            assert_eq!(groups, [desk.state().seq(); 2]);
        }
    }
    let [first, .., last] = groups[..] else { panic!("{groups:?}") };
    assert_eq!(groups, [vec![first; 7], vec![desk.state().seq()]].concat());
    assert!(first < last);
}

/// Where one thing ends in the review in which another is raised it is the same outage.
#[test]
fn what_leads_to_something_else_is_one_outage() {
    let mut desk = desk(&rule(FAILING, [0, 0, 400_000, 0], HOLD));
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Minor"][..]),
        (2, 4, &[]),
        (3, 4, &["Failing none -> Minor 400000", "notify Failing Minor"]),
        (4, 0, &["Failing seen none", "Lost seen Major"]),
        (5, 0, &[]),
        (6, 0, &["Lost none -> Major 500000", "Failing over 0 after 3000000", "notify Lost Major"]),
    ] {
        if number == 4 {
            lose(&mut desk, 3_500_000);
        }
        assert_eq!(told(&second(&mut desk, number, failing)), expected, "second {number}");
    }
}

/// Nobody is told of what is silenced until that is over, and then of what is open. Whoever was told that something began
/// is told of its end.
#[test]
fn silence_and_its_end() {
    let mut desk = desk(&rule(FAILING, NEVER, HOLD));
    assert_eq!(silence(&mut desk, 400_000, 400_000), ["not_silenced concern=Failing"]);
    assert_eq!(silence(&mut desk, 500_000, 6_500_000), ["Failing silenced until 6500000"]);
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Minor"][..]),
        (2, 4, &[]),
        (3, 4, &["Failing none -> Minor 400000"]),
        (6, 4, &[]),
        (7, 4, &["Failing heard Minor", "notify Failing Minor"]),
    ] {
        assert_eq!(told(&second(&mut desk, number, failing)), expected, "second {number}");
    }
    let week = 604_800_000_000;
    assert_eq!(
        silence(&mut desk, 7_500_000, 7_500_001 + week),
        ["silence_too_long asked=604800000001 max=604800000000"]
    );
    assert_eq!(
        silence(&mut desk, 7_500_000, 7_500_000 + week),
        ["Failing silenced until 604807500000"]
    );
    assert_eq!(told(&second(&mut desk, 8, 9)), ["Failing seen Critical"]);
    assert_eq!(told(&second(&mut desk, 10, 9)), ["Failing Minor -> Critical 900000"]);
    let heard = ["Failing heard Critical", "notify Failing Critical"];
    assert_eq!(silence(&mut desk, 10_500_000, 10_500_000), heard);
    // Silenced once more: it is told to be over, because it was told.
    silence(&mut desk, 10_600_000, 30_000_000);
    assert_eq!(told(&second(&mut desk, 11, 0)), ["Failing seen none"]);
    assert_eq!(
        told(&second(&mut desk, 13, 0)),
        ["Failing over 0 after 10000000", "notify Failing none"]
    );
    // An outage of which nobody has heard is none to be told of.
    assert_eq!(told(&second(&mut desk, 14, 4)), ["Failing seen Minor"]);
    assert_eq!(told(&second(&mut desk, 16, 4)), ["Failing none -> Minor 400000"]);
    assert_eq!(told(&second(&mut desk, 17, 0)), ["Failing seen none"]);
    assert_eq!(told(&second(&mut desk, 19, 0)), ["Failing over 0 after 3000000"]);
    // Nothing is open when it ends.
    assert_eq!(told(&second(&mut desk, 30, 0)), ["Failing heard none"]);
}

/// Something silenced is no reason to keep what is not.
#[test]
fn one_silence_keeps_nothing_else() {
    let mut desk = desk(&rule([0, 0, 0, 400_000], [0, 400_000, 0, 0], HOLD));
    silence(&mut desk, 100_000, 60_000_000);
    for (number, failing, expected) in [
        (1, 4, &["Failing seen Critical"][..]),
        (2, 4, &["Lost seen Minor"]),
        (3, 4, &["Failing none -> Critical 400000"]),
        // The outage is critical, but nobody knows of it.
        (4, 4, &["Lost none -> Minor 500000", "notify Lost Minor"]),
        (5, 0, &["Failing seen none"]),
        (6, 0, &[]),
        (7, 0, &["Failing over 0 after 4000000"]),
    ] {
        if number == 2 {
            lose(&mut desk, 1_500_000);
        }
        assert_eq!(told(&second(&mut desk, number, failing)), expected, "second {number}");
    }
}

/// Where nothing has to last it is told at once. Nothing found is below the least there is; a severity that the policy
/// does not know any more is left.
#[test]
fn without_hold_and_without_thresholds() {
    let mut policy = rule([0, 1, 0, 0], NEVER, 0);
    policy.incidents.clear = Ppm(1);
    let mut desk = desk(&policy);
    assert_eq!(
        told(&second(&mut desk, 1, 1)),
        ["Failing seen Minor", "Failing none -> Minor 100000", "notify Failing Minor"]
    );
    assert_eq!(
        told(&second(&mut desk, 2, 0)),
        ["Failing seen none", "Failing over 0 after 1000000", "notify Failing none"]
    );
    second(&mut desk, 3, 1);
    let none = rule(NEVER, NEVER, 0);
    desk.tell(3_100_000, engine::Command::SetPolicy(Box::new(none)));
    let events = desk.tell(4_100_000, workflow::Command::Advance);
    assert_eq!(
        told(&events),
        ["Failing seen none", "Failing over 0 after 1100000", "notify Failing none"]
    );
}

/// Lost slots count as a share of those of vessels that are in service; who was sent away or is retired is none of them.
/// The level counts in thirds.
#[test]
fn what_is_lost_and_who_is_turned_away() {
    let mut policy = rule(NEVER, [1, 0, 0, 0], 0);
    policy.incidents.begins[6] = [1, 0, 0, 0].map(Ppm);
    let mut desk = desk(&policy);
    for (name, slots) in [("gig", 6), ("scow", 3), ("hulk", 5)] {
        desk.vessel(name, Manifest { role: Role::Prefill, slots, ..boat() });
    }
    // Of 2, 2, 6, 3 and 5: the scow and the hulk do not count.
    desk.tell(10, models::Command::Drain { vessel: VesselId(3) });
    desk.tell(20, models::Command::Lose { vessel: VesselId(3) });
    desk.tell(30, models::Command::Lose { vessel: VesselId(4) });
    desk.tell(40, models::Command::Retire { vessel: VesselId(4) });
    desk.tell(50, models::Command::Lose { vessel: VesselId(2) });
    let level = PolicyLevel::Restricted;
    desk.tell(60, engine::Command::Override { level, until: Micros(60_000_000) });
    let events = desk.tell(1_000_000, workflow::Command::Advance);
    assert_eq!(
        told(&events),
        [
            "Lost seen Info",
            "Lost none -> Info 600000",
            "Level seen Info",
            "Level none -> Info 666666",
            "notify Lost Info"
        ]
    );
}
