//! The calendar: what is promised is kept, and nothing is promised that cannot be.

use tensorforge_engine::models::{Demand, Kind, Manifest, Role, Stage, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::units::{MicroUsd, Micros, Millijoules, ModelId, Ppm, Tokens, VesselId};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{Event, allocator, models, routing, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// Nothing times out, and nobody is turned away.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(100_000 * SECOND);
    policy.lifetime = [Micros(100_000 * SECOND); 3];
    policy.breaker.slow = Ppm::ZERO;
    policy.forecast.samples = 127;
    policy.forecast.legs = u32::MAX;
    policy.berth_grace = Micros(20 * SECOND);
    policy.escalation.late = Ppm::ONE;
    policy
}

/// One slot each: a token takes ten milliseconds, a thousand of the prompt a second.
fn single() -> Manifest {
    Manifest { slots: 1, context_max: Tokens(100_000), ..boat() }
}

/// An order that takes this many seconds at most, one of them for its prompt.
fn lasting(seconds: u64) -> Demand {
    Demand { tokens_out_max: Tokens((seconds - 1) * 100), ..demand() }
}

/// A job that wants a slot from one second to another.
fn job(from: u64, until: u64) -> Demand {
    let window = Window { from: Micros(from * SECOND), until: Micros(until * SECOND) };
    Demand { kind: Kind::Training, window: Some(window.into()), ..lasting(5) }
}

/// A vessel that comes later.
fn register(desk: &mut Desk, seconds: u64, name: &str, manifest: Manifest) {
    let name = name.into();
    let command = models::Command::RegisterVessel { name, manifest, start: 0 };
    desk.tell(seconds * SECOND, command);
}

fn done() -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    Outcome::Done { tokens_out: Tokens(10), cached, first_token, energy }
}

/// Where the order that these events tell of was routed to, if it was.
fn routed(events: &[Event]) -> Option<u32> {
    events.iter().find_map(|event| match event {
        Event::Routing(routing::Event::OrderRouted { route, .. }) => Some(route[0].vessel.0),
        _ => None,
    })
}

/// Lets time pass until a moment, timer by timer; hands back what was decided.
fn until(desk: &mut Desk, seconds: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(due) = desk.state().next_deadline().filter(|due| due.0 <= seconds * SECOND) {
        let now = due.max(desk.state().now());
        events.extend(desk.tell(now.0, workflow::Command::Advance));
        assert!(events.len() < 10_000, "{due}: {:?}", &events[9_990..]);
    }
    events
}

fn starts(events: &[Event]) -> Vec<u64> {
    let starts = events.iter().filter_map(|event| match event {
        Event::Workflow(workflow::Event::LegDispatched { order, .. }) => Some(order.number()),
        _ => None,
    });
    starts.collect()
}

/// A job has the only slot from 60 s to 120 s. What would last until 60 s starts; what lasts longer waits, and
/// starts after the job; with another vessel it goes there at once.
#[test]
fn what_would_last_into_a_berth_waits_or_goes_elsewhere() {
    let check = |seconds: u64, vessels: u32, goes: Option<u32>| {
        let mut desk = Desk::open(1, &rules(), (0, 0, 0));
        desk.vessel("dory", single());
        desk.submit(SECOND, job(60, 120));
        // The second one is dearer, so that it is taken only where the first is not to be had.
        if vessels > 1 {
            register(
                &mut desk,
                2,
                "nemo",
                Manifest { price_out: MicroUsd(50_000_000), ..single() },
            );
        }
        let events = desk.submit(50 * SECOND, lasting(seconds));
        assert_eq!(routed(&events), goes, "{seconds} s, {vessels} vessels: {events:?}");
        if goes.is_some() {
            desk.report((50 + seconds) * SECOND, 1, done());
        }
        let events = until(&mut desk, 60);
        assert_eq!(starts(&events), [1], "the job starts when it was promised: {events:?}");
        let events = desk.report(119 * SECOND, 0, done());
        let waits = if goes.is_none() { vec![2] } else { vec![] };
        assert_eq!(starts(&events), waits, "{events:?}");
    };
    check(10, 1, Some(0));
    check(11, 1, None);
    check(11, 2, Some(1));
    check(10, 2, Some(0));
}

/// Two slots, one promised: one order may last as long as it likes, and a second one may not.
#[test]
fn as_many_pass_as_there_are_slots_besides() {
    let mut desk = Desk::open(2, &rules(), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 2, ..single() });
    desk.submit(SECOND, job(60, 120));
    assert_eq!(routed(&desk.submit(10 * SECOND, lasting(100))), Some(0));
    let events = desk.submit(10 * SECOND, lasting(100));
    assert!(
        matches!(
            events[..],
            [_, Event::Allocator(allocator::Event::OrderHeldBack { berthed_at, at, .. })]
                if berthed_at == Micros(60 * SECOND) && at == Micros(13_125_000)
        ),
        "{events:?}"
    );
    // It does not stand in the way of who is done in time.
    assert_eq!(routed(&desk.submit(11 * SECOND, lasting(30))), Some(0));
    desk.report(40 * SECOND, 3, done());
    // The one who was held back goes as soon as somebody has made room for him.
    desk.report(41 * SECOND, 1, done());
    assert_eq!(starts(&until(&mut desk, 59)), [3]);
    assert_eq!(starts(&until(&mut desk, 60)), [1]);
}

/// An order that takes longer than anybody expected holds the slot when the window begins: the next one is kept
/// for the job, and nobody else gets it, however urgent.
#[test]
fn a_slot_that_is_late_is_kept_for_its_berth() {
    let mut desk = Desk::open(3, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, job(60, 120));
    assert_eq!(routed(&desk.submit(40 * SECOND, lasting(20))), Some(0));
    desk.submit(41 * SECOND, lasting(5));
    let events = until(&mut desk, 60);
    let opened = |event: &Event| {
        matches!(event, Event::Allocator(allocator::Event::BerthOpened { slots: 1, until, .. })
            if *until == Micros(80 * SECOND))
    };
    assert!(events.iter().any(opened) && starts(&events).is_empty(), "{events:?}");
    desk.submit(61 * SECOND, lasting(5));
    let events = desk.report(70 * SECOND, 1, done());
    assert_eq!(starts(&events), [1], "{events:?}");
    // Who waited goes after the job.
    assert_eq!(starts(&desk.report(118 * SECOND, 0, done())).len(), 1);
}

/// Who does not get his slot in time goes wherever there is room, and keeps nothing from others: here because the
/// order before him does not end, there because his vessel is lost.
#[test]
fn a_berth_that_cannot_begin_is_given_back() {
    let mut desk = Desk::open(4, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, job(60, 120));
    desk.submit(40 * SECOND, lasting(20));
    until(&mut desk, 79);
    register(&mut desk, 79, "nemo", single());
    let events = until(&mut desk, 80);
    assert_eq!((starts(&events), routed(&events)), (vec![1], Some(1)), "{events:?}");
    assert!(desk.state().tables.berths.is_empty());
    assert_eq!(desk.state().tables.loads.get(VesselId(0)).unwrap().kept, 0);

    let mut desk = Desk::open(5, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, job(60, 120));
    desk.tell(30 * SECOND, models::Command::Lose { vessel: VesselId(0) });
    register(&mut desk, 31, "nemo", single());
    let events = until(&mut desk, 60);
    assert_eq!((starts(&events), routed(&events)), (vec![1], Some(1)), "{events:?}");
}

/// Whoever is refused a berth is told from when on there is one, and gets that one when he asks for it.
#[test]
fn the_earliest_start_is_true() {
    let mut desk = Desk::open(6, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, lasting(30));
    desk.submit(2 * SECOND, job(60, 120));
    desk.submit(2 * SECOND, job(125, 200));
    let mut check = |from: u64, until: u64, earliest: Option<u64>| {
        let events = desk.submit(3 * SECOND, job(from, until));
        let refused = match &events[0] {
            Event::Workflow(workflow::Event::OrderRefused {
                refusal: Refusal::Allocator(allocator::Refusal::NoBerth { earliest }),
                ..
            }) => Some(earliest.0 / SECOND),
            Event::Workflow(workflow::Event::OrderAdmitted { .. }) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused, earliest, "{from} to {until}");
    };
    // The order aboard ends at 31 s; until 60 there are 29 s, between 120 and 125 five, and from 200 on all.
    check(20, 40, Some(31));
    check(20, 50, Some(200));
    check(100, 104, Some(120));
    check(100, 106, Some(200));
    check(31, 51, None);
    check(51, 61, Some(200));
    check(200, 300, None);
    check(120, 125, None);
    check(50, 60, Some(300));
    check(51, 60, None);
}

/// A vessel that is to be maintained gets no work that would last into it, and none while it is; then those who
/// waited are served. What is promised is not maintained away, and what is maintained is not promised.
#[test]
fn a_vessel_is_left_alone_while_it_is_maintained() {
    let maintain = |from: u64, until: u64| allocator::Command::Maintain {
        vessel: VesselId(0),
        window: Window { from: Micros(from * SECOND), until: Micros(until * SECOND) },
    };
    let mut desk = Desk::open(7, &rules(), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 3, ..single() });
    desk.submit(SECOND, job(200, 220));
    let refusal = |events: &[Event]| match &events[0] {
        Event::Workflow(workflow::Event::CommandRefused { refusal })
        | Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => refusal.to_string(),
        other => format!("{other:?}"),
    };
    let told = refusal(&desk.tell(2 * SECOND, maintain(150, 201)));
    assert_eq!(told, "promised berth=0");
    desk.tell(2 * SECOND, maintain(60, 90));
    assert_eq!(refusal(&desk.tell(2 * SECOND, maintain(80, 95))), "promised berth=1");
    let told = refusal(&desk.submit(2 * SECOND, job(80, 100)));
    assert_eq!(told, format!("no_berth earliest={}", 90 * SECOND));
    assert_eq!(routed(&desk.submit(10 * SECOND, lasting(50))), Some(0));
    assert_eq!(routed(&desk.submit(11 * SECOND, lasting(50))), None);
    until(&mut desk, 60);
    // Nobody is sent away who is aboard already, and nobody comes.
    assert_eq!(desk.count(Stage::Running), 1);
    desk.report(61 * SECOND, 1, done());
    assert_eq!(routed(&desk.submit(62 * SECOND, lasting(2))), None);
    assert_eq!(desk.count(Stage::Queued), 2);
    let events = until(&mut desk, 90);
    assert_eq!(starts(&events).len(), 2, "{events:?}");
    // It is called off, or ended early, by one word.
    desk.tell(91 * SECOND, maintain(100, 190));
    until(&mut desk, 101);
    assert_eq!(routed(&desk.submit(102 * SECOND, lasting(2))), None);
    let end = allocator::Command::EndMaintenance { vessel: VesselId(0) };
    assert_eq!(starts(&desk.tell(103 * SECOND, end.clone())).len(), 1);
    assert_eq!(refusal(&desk.tell(104 * SECOND, end)), "no_maintenance");
    // The job has its berth still.
    for (slot, _) in running(&desk) {
        desk.report(105 * SECOND, slot, done());
    }
    assert_eq!(starts(&until(&mut desk, 200)), [1]);
}

/// Those on their way: their slots, and where they are.
fn running(desk: &Desk) -> Vec<(u32, u32)> {
    let orders = desk.state().tables.orders.iter();
    let running = orders.filter(|(_, row)| row.stage == Stage::Running);
    running.map(|(slot, row)| (slot.0, row.route[0].vessel.0)).collect()
}

/// A slot whose order was told to stop is taken until the vessel has answered: no berth is promised on it before.
#[test]
fn a_slot_that_is_stopping_is_not_promised() {
    let mut policy = rules();
    policy.stop = Micros(30 * SECOND);
    let mut desk = Desk::open(8, &policy, (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, lasting(100));
    desk.tell(2 * SECOND, workflow::Command::Cancel { order: desk.order(0) });
    let events = desk.submit(2 * SECOND, job(5, 10));
    let Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(refusal.to_string(), format!("no_berth earliest={}", 32 * SECOND));
}

/// A clock that is late begins nobody in a window that is over, which may be somebody else's by now.
#[test]
fn no_berth_begins_when_its_window_is_over() {
    let mut desk = Desk::open(9, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, job(10, 20));
    let window = Window { from: Micros(20 * SECOND), until: Micros(40 * SECOND) };
    desk.tell(SECOND, allocator::Command::Maintain { vessel: VesselId(0), window });
    let events = desk.tell(30 * SECOND, workflow::Command::Advance);
    assert_eq!(starts(&events), Vec::<u64>::new(), "{events:?}");
    assert_eq!(starts(&until(&mut desk, 40)), [1]);
}

/// A vessel that was registered anew as something else, or for another model, keeps no promise; the order goes elsewhere,
/// and stands in nobody's way.
#[test]
fn a_vessel_that_became_another_begins_nobody() {
    let mut desk = Desk::open(10, &rules(), (0, 0, 0));
    desk.vessel("dory", single());
    desk.submit(SECOND, job(10, 100));
    register(&mut desk, 5, "dory", Manifest { role: Role::Prefill, ..single() });
    register(&mut desk, 5, "nemo", single());
    let events = until(&mut desk, 40);
    assert_eq!((starts(&events), routed(&events)), (vec![1], Some(1)), "{events:?}");
}

/// Two jobs have berths that begin while both slots are late; of the vessel's models only the second one's is left. Who
/// cannot begin keeps nobody waiting.
#[test]
fn a_berth_that_cannot_begin_does_not_hold_up_another() {
    let mut desk = Desk::open(11, &rules(), (0, 0, 0));
    desk.tell(0, models::Command::RegisterModel { name: "herring".into() });
    let both = Manifest { slots: 2, models: vec![ModelId(0), ModelId(1)], ..single() };
    desk.vessel("dory", both.clone());
    desk.submit(SECOND, job(10, 100));
    desk.submit(SECOND, Demand { model: ModelId(1), ..job(10, 100) });
    for _ in 0..2 {
        assert_eq!(routed(&desk.submit(2 * SECOND, lasting(8))), Some(0));
    }
    until(&mut desk, 10);
    assert_eq!(desk.state().tables.loads.get(VesselId(0)).unwrap().kept, 2);
    register(&mut desk, 11, "dory", Manifest { models: vec![ModelId(1)], ..both });
    assert_eq!(starts(&desk.report(12 * SECOND, 2, done())), [2]);
}
