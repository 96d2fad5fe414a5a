//! Hedges: a leg that lasts is worked by another vessel as well, the first answer counts, and nobody pays for the other.

use tensorforge_engine::models::{Class, Demand, Manifest, Usage};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::units::{
    Micros, Millijoules, OrderId, PicoUsd, Ppm, RegionId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, models, policy, telemetry, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// Standard orders are hedged after twice their time; they time out after thirty seconds.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.hedge_percent = [200, 200, 0];
    policy.timeout_min = Micros(30 * SECOND);
    policy.lifetime = [Micros(1_000 * SECOND); 3];
    policy.forecast.samples = 127;
    policy.retry.least = 1;
    policy.stop = Micros(100 * SECOND);
    policy.escalation.review = Micros(10_000 * SECOND);
    policy.escalation.dwell = Micros(10_000 * SECOND);
    policy
}

/// Boats with two slots each: an order lasts two seconds there, and is hedged after four.
fn desk(policy: &Policy, boats: u32) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    for boat_number in 0..boats {
        desk.vessel(&format!("boat-{boat_number}"), boat());
    }
    desk
}

/// What is due by this second is decided.
fn wait(desk: &mut Desk, second: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(due) = desk.state().next_deadline().filter(|due| due.0 <= second * SECOND) {
        let at = due.max(desk.state().now());
        events.extend(desk.tell(at.0, workflow::Command::Advance));
    }
    events
}

fn done(tokens_out: u64) -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    Outcome::Done { tokens_out: Tokens(tokens_out), cached, first_token, energy }
}

fn tell(desk: &mut Desk, second: u64, order: OrderId, leg: u8, outcome: Outcome) -> Vec<Event> {
    let report = workflow::Command::ReportLeg { order, attempt: 1, leg, outcome };
    desk.tell(second * SECOND, report)
}

/// The words of events about legs, each with its leg and vessel.
fn legs(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::Workflow(workflow::Event::LegDispatched { leg, vessel, .. }) => {
            Some(format!("dispatched {leg} {vessel}"))
        }
        Event::Workflow(workflow::Event::LegHedged { leg, vessel, .. }) => {
            Some(format!("hedged {leg} {vessel}"))
        }
        Event::Workflow(workflow::Event::HedgeWithheld { reason, .. }) => {
            Some(format!("withheld {reason:?}"))
        }
        Event::Workflow(workflow::Event::LegDropped { leg, vessel, fault, .. }) => {
            Some(format!("dropped {leg} {vessel} {fault:?}"))
        }
        Event::Workflow(workflow::Event::LegCompleted { leg, vessel, .. }) => {
            Some(format!("completed {leg} {vessel}"))
        }
        Event::Workflow(workflow::Event::LegFailed { leg, vessel, fault, .. }) => {
            Some(format!("failed {leg} {vessel} {fault:?}"))
        }
        Event::Workflow(workflow::Event::FirstTokenSeen { leg, vessel, .. }) => {
            Some(format!("begun {leg} {vessel}"))
        }
        Event::Workflow(workflow::Event::OrderEnded { end, .. }) => Some(format!("{end:?}")),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

/// An order that has been hedged after four seconds: where it was first, and where it is besides.
fn hedged(desk: &mut Desk) -> (OrderId, [VesselId; 2]) {
    desk.submit(0, demand());
    let order = desk.order(0);
    let events = wait(desk, 4);
    assert_eq!(events.len(), 1, "{events:?}");
    let held: Vec<VesselId> =
        desk.state().order(order).unwrap().route.iter().map(|leg| leg.vessel).collect();
    assert_eq!(legs(&events), [format!("hedged 1 {}", held[1])]);
    assert_ne!(held[0], held[1]);
    (order, [held[0], held[1]])
}

fn load(desk: &Desk, vessel: VesselId) -> (u32, u64) {
    let load = desk.state().tables.loads.get(vessel).unwrap();
    (load.used, load.backlog.0)
}

/// A prompt takes a second and a hundred tokens another; twice that is four. Not a moment sooner.
#[test]
fn what_lasts_twice_its_time_is_asked_of_another_vessel() {
    let mut desk = desk(&rules(), 2);
    let events = desk.submit(0, demand());
    let Some(Event::Workflow(workflow::Event::LegDispatched { hedge, .. })) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(*hedge, Micros(4 * SECOND));
    assert_eq!(legs(&wait(&mut desk, 3)), Vec::<String>::new());
    let events = wait(&mut desk, 4);
    assert!(legs(&events)[0].starts_with("hedged 1 "), "{events:?}");
    let call = tensorforge_engine::effects(&events).collect::<Vec<_>>();
    assert_eq!(call.len(), 1, "the other vessel is called: {call:?}");
}

/// The one that answers first is paid; the other is told to stop, and what it says it had worked is burnt and charged
/// to nobody.
#[test]
fn the_first_answer_counts_and_the_other_costs_nothing() {
    for winner in [0u8, 1] {
        let mut desk = desk(&rules(), 2);
        let (order, held) = hedged(&mut desk);
        let events = tell(&mut desk, 5, order, winner, done(40));
        let (won, beaten) = (held[usize::from(winner)], held[usize::from(1 - winner)]);
        assert_eq!(
            legs(&events),
            [
                format!("dropped {} {beaten} None", 1 - winner),
                format!("completed {winner} {won}"),
                "Completed".to_owned()
            ]
        );
        // A thousand tokens at one micro-dollar each and forty at two.
        let settled = events.iter().find_map(|event| match event {
            Event::Telemetry(telemetry::Event::OrderSettled { cost, burnt, .. }) => {
                Some((*cost, *burnt))
            }
            _ => None,
        });
        let worth = PicoUsd(1_080 * SECOND);
        assert_eq!(settled, Some((worth, worth)));
        // The slot of the beaten one is taken until it has said what it had done.
        assert_eq!([load(&desk, won), load(&desk, beaten)], [(0, 0), (1, 0)]);
        let usage = Usage { tokens_in: Tokens(1_000), tokens_out: Tokens(7), ..Usage::NONE };
        let told = workflow::Command::ReportStop { order, attempt: 1, leg: 1 - winner, usage };
        let events = desk.tell(6 * SECOND, told);
        let Some(Event::Workflow(workflow::Event::StopSettled { cost, burnt, ended, .. })) =
            events.first()
        else {
            panic!("{events:?}")
        };
        assert_eq!((cost.0, burnt.0, *ended), (0, 1_014 * SECOND, false));
        assert_eq!(load(&desk, beaten), (0, 0));
        assert!(desk.state().tables.hedges.is_empty());
    }
}

/// Whichever of the two fails, the order goes on with the other, has used up no attempt, and waits for nothing.
#[test]
fn one_that_fails_leaves_the_order_to_the_other() {
    for failed in [0u8, 1] {
        let mut desk = desk(&rules(), 3);
        let (order, held) = hedged(&mut desk);
        let events = tell(&mut desk, 5, order, failed, Outcome::Failed(Fault::Error));
        let vessel = held[usize::from(failed)];
        assert_eq!(legs(&events), [format!("dropped {failed} {vessel} Some(Error)")]);
        let row = desk.state().order(order).unwrap();
        assert_eq!((row.attempt, row.tried.to_vec()), (1, vec![vessel]));
        let failures = desk.state().tables.loads.get(vessel).unwrap().failures;
        assert_eq!(failures, 1, "its breaker counts it");
        let again = tell(&mut desk, 5, order, failed, done(40));
        assert!(format!("{again:?}").contains("Stale"), "{again:?}");
        let events = tell(&mut desk, 6, order, 1 - failed, done(40));
        assert_eq!(legs(&events).last().unwrap(), "Completed");
    }
}

/// Each of the two has its own time; the order fails with the last of them.
#[test]
fn each_times_out_by_itself() {
    let mut desk = desk(&rules(), 2);
    let (_, held) = hedged(&mut desk);
    assert_eq!(legs(&wait(&mut desk, 29)), Vec::<String>::new());
    assert_eq!(legs(&wait(&mut desk, 30)), [format!("dropped 0 {} Some(Timeout)", held[0])]);
    // Four seconds later it is the other's turn, and another attempt is made.
    assert_eq!(legs(&wait(&mut desk, 33)), Vec::<String>::new());
    assert_eq!(legs(&wait(&mut desk, 34))[0], format!("failed 1 {} Timeout", held[1]));
}

/// A vessel that is lost takes nothing with it that another one works as well; two that are lost do.
#[test]
fn a_loss_leaves_the_other() {
    let mut desk = desk(&rules(), 2);
    let (order, held) = hedged(&mut desk);
    desk.tell(5 * SECOND, models::Command::Lose { vessel: held[0] });
    assert_eq!(legs(&wait(&mut desk, 5)), [format!("dropped 0 {} Some(VesselLost)", held[0])]);
    desk.tell(6 * SECOND, models::Command::Lose { vessel: held[1] });
    assert_eq!(legs(&wait(&mut desk, 6)), [format!("failed 1 {} VesselLost", held[1])]);
    assert!(desk.state().order(order).is_some(), "it waits for another attempt");

    let mut desk = self::desk(&rules(), 2);
    let (_, held) = hedged(&mut desk);
    for vessel in held {
        desk.tell(5 * SECOND, models::Command::Lose { vessel });
    }
    let told = legs(&wait(&mut desk, 5));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("dropped ") && told[1].starts_with("failed "), "{told:?}");
}

/// Once a token is on its way nobody else is asked, and whoever was asked besides is told to stop.
#[test]
fn a_first_token_settles_it() {
    let mut desk = desk(&rules(), 2);
    desk.submit(0, demand());
    let order = desk.order(0);
    let begun = |leg| workflow::Command::ReportFirstToken { order, attempt: 1, leg };
    desk.tell(2 * SECOND, begun(0));
    assert_eq!(legs(&wait(&mut desk, 29)), Vec::<String>::new());
    assert_eq!(desk.state().order(order).unwrap().first_token, Micros(2 * SECOND));

    let mut desk = self::desk(&rules(), 2);
    let (order, held) = hedged(&mut desk);
    let begun = |leg| workflow::Command::ReportFirstToken { order, attempt: 1, leg };
    let events = desk.tell(5 * SECOND, begun(1));
    assert_eq!(
        legs(&events),
        [format!("dropped 0 {} None", held[0]), format!("begun 1 {}", held[1])]
    );
    let again = desk.tell(5 * SECOND, begun(1));
    assert!(format!("{again:?}").contains("Stale"), "a token is the first once: {again:?}");
}

/// What somebody reads along is not begun anew: its failure is the end of it. Of anybody else it is not.
#[test]
fn what_is_read_along_is_not_tried_again() {
    for (class, ends) in [(Class::Interactive, true), (Class::Standard, false)] {
        let mut desk = desk(&rules(), 2);
        desk.submit(0, Demand { class, ..demand() });
        let order = desk.order(0);
        desk.tell(SECOND, workflow::Command::ReportFirstToken { order, attempt: 1, leg: 0 });
        let events = tell(&mut desk, 2, order, 0, Outcome::Failed(Fault::Error));
        assert_eq!(legs(&events).last().unwrap() == "Failed", ends, "{events:?}");
        assert_eq!(desk.state().order(order).is_none(), ends);
        if !ends {
            // The first token of the attempt that is seen is the one that counts.
            wait(&mut desk, 3);
            assert_eq!(desk.state().order(order).unwrap().first_token, Micros::ZERO);
        }
    }
}

/// Nobody is asked who has failed the order, lies elsewhere, or has no room; nor beyond the budget of retries.
#[test]
fn a_hedge_takes_nothing_that_others_need() {
    // Its only other vessel is full.
    let mut desk = desk(&rules(), 1);
    desk.submit(0, demand());
    assert_eq!(legs(&wait(&mut desk, 4)), ["withheld NoRoom"]);
    assert_eq!(legs(&wait(&mut desk, 30))[0], "failed 0 0 Timeout");

    // Elsewhere there is one, behind a hop.
    let mut desk = self::desk(&rules(), 1);
    desk.vessel("far", Manifest { region: RegionId(1), ..boat() });
    desk.submit(0, Demand { origin: RegionId(0), ..demand() });
    assert_eq!(desk.state().order(desk.order(0)).unwrap().route[0].vessel, VesselId(0));
    assert_eq!(legs(&wait(&mut desk, 4)), ["withheld NoRoom"]);

    // One hedge there may be; of the second the budget says no.
    let mut desk = self::desk(&rules(), 4);
    desk.submit(0, demand());
    desk.submit(0, demand());
    let told = legs(&wait(&mut desk, 4));
    assert!(told[0].starts_with("hedged ") && told[1] == "withheld Budget", "{told:?}");
    assert_eq!(desk.state().flow().unwrap().present.retries, 1);
}

/// Cancelled while two work it: both are told to stop, and the first is charged for.
#[test]
fn a_hedged_order_that_ends_stops_both() {
    let mut desk = desk(&rules(), 2);
    let (order, held) = hedged(&mut desk);
    let events = desk.tell(5 * SECOND, workflow::Command::Cancel { order });
    assert_eq!(legs(&events), [format!("dropped 1 {} None", held[1]), "Cancelled".to_owned()]);
    let stops: Vec<_> = tensorforge_engine::effects(&events)
        .filter_map(|effect| match effect {
            tensorforge_engine::Effect::Stop { vessel, .. } => Some(vessel),
            _ => None,
        })
        .collect();
    assert_eq!(stops, [held[1], held[0]]);
    let shares: Vec<Ppm> = desk.state().tables.stops.iter().map(|(_, stop)| stop.share).collect();
    assert_eq!(shares, [Ppm::ZERO, Ppm(999_999)]);
}

/// A policy of more patience does not put off what is due by the one before it, and does not blame the other vessel for it.
#[test]
fn the_first_is_late_first_whatever_the_policy_says() {
    let mut desk = desk(&rules(), 2);
    let (_, [first, _]) = hedged(&mut desk);
    let mut patient = rules();
    patient.timeout_min = Micros(60 * SECOND);
    desk.tell(10 * SECOND, policy::Command::SetPolicy(Box::new(patient)));
    assert_eq!(legs(&wait(&mut desk, 31)), [format!("dropped 0 {first} Some(Timeout)")]);
}
