//! Memory: a vessel is given no more than it may be, a large order is not starved by small ones, and holds none of them up.

use tensorforge_engine::allocator::Event as Allocator;
use tensorforge_engine::models::{Demand, Manifest, Role, Stage, Usage};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::units::{Micros, OrderSlot, Ppm, Tokens, VesselId};
use tensorforge_engine::{Event, models, policy, queue, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::{DONE, running};

const SECOND: u64 = 1_000_000;

/// Nothing times out, nobody is turned away, and every vessel is looked at.
fn rules(overcommit_percent: u32) -> Policy {
    let mut policy = walk::policy();
    policy.overcommit_percent = overcommit_percent;
    policy.candidates = 8;
    policy.preempt = false;
    policy.hedge_percent = [0; 3];
    policy.timeout_min = Micros(10_000 * SECOND);
    policy.lifetime = [Micros(1_600 * SECOND); 3];
    policy.stop = Micros(100 * SECOND);
    policy.escalation.weights.pressure = Ppm(0);
    policy.escalation.review = Micros(100_000 * SECOND);
    policy.escalation.dwell = Micros(100_000 * SECOND);
    policy
}

/// Eight slots, and memory for 4 000 tokens.
fn hold() -> Manifest {
    Manifest { slots: 8, cache_tokens: Tokens(4_000), ..boat() }
}

fn of(tokens: u64) -> Demand {
    Demand { tokens_in: Tokens(tokens - 100), tokens_out_max: Tokens(100), ..demand() }
}

/// Which vessel is kept for whom, and how many tokens have to go.
fn crowded_out(events: &[Event]) -> Option<(u64, u32, u64)> {
    events.iter().find_map(|event| match event {
        Event::Allocator(Allocator::OrderCrowdedOut { order, vessel, needs, .. }) => {
            Some((order.number(), vessel.0, needs.0))
        }
        _ => None,
    })
}

fn held(desk: &Desk) -> Vec<u64> {
    desk.state().tables.loads.iter().map(|(_, load)| load.held.0).collect()
}

/// Where those aboard are, by slot.
fn aboard(desk: &Desk) -> Vec<(u32, u32)> {
    let orders = desk.state().tables.orders.iter();
    orders.filter_map(|(slot, row)| Some((slot.0, row.route.first()?.vessel.0))).collect()
}

/// Of orders of 1 100 tokens, with memory for 3 000.
#[test]
fn a_vessel_gets_what_it_has_memory_for() {
    let check = |percent: u32, expected: usize| {
        let mut desk = Desk::open(1, &rules(percent), (0, 0, 0));
        desk.vessel("dory", Manifest { cache_tokens: Tokens(3_000), ..hold() });
        for _ in 0..4 {
            desk.submit(SECOND, of(1_100));
        }
        assert_eq!(desk.count(Stage::Running), expected, "{percent}");
        assert_eq!(held(&desk), [expected as u64 * 1_100]);
    };
    check(0, 4);
    // Two are 2 200, three 3 300: more than 3 000 and than 3 270, and as many as 3 300.
    check(100, 2);
    check(109, 2);
    check(110, 3);
    check(147, 4);
    check(146, 3);
}

/// Who is larger than all that it may be given is taken where nothing is aboard, and is alone there.
#[test]
fn an_empty_vessel_takes_anybody() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    desk.vessel("dory", Manifest { cache_tokens: Tokens(500), ..hold() });
    desk.submit(SECOND, of(2_000));
    assert_eq!(running(&desk), [0]);
    // All that is aboard has to go, and not more.
    let events = desk.submit(SECOND, of(2_000));
    assert_eq!(crowded_out(&events), Some((2, 0, 2_000)));
    desk.report(2 * SECOND, 0, DONE);
    assert_eq!(running(&desk), [1]);
}

/// Two vessels have three small ones aboard each when a large one comes, and small ones go on coming, one for each that goes.
/// The large one is aboard as soon as two of the three have gone where it is kept for; the small ones go elsewhere.
#[test]
fn a_large_order_is_not_starved() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    for name in ["dory", "punt"] {
        desk.vessel(name, hold());
    }
    for _ in 0..6 {
        desk.submit(SECOND, of(1_000));
    }
    // The least eta wins, so they go one here and one there.
    assert_eq!(held(&desk), [3_000, 3_000]);
    let (order, kept, needs) = crowded_out(&desk.submit(SECOND, of(3_000))).unwrap();
    assert_eq!((order, needs), (7, 2_000));
    let other = 1 - kept;
    // There is memory for one more small one on either, and slots; it goes to the other one.
    desk.submit(2 * SECOND, of(1_000));
    assert_eq!(aboard(&desk).last(), Some(&(7, other)));
    let on = |desk: &Desk, vessel: u32| -> Vec<u32> {
        let all = aboard(desk).into_iter();
        all.filter(|(_, of)| *of == vessel).map(|(slot, _)| slot).collect()
    };
    let before = on(&desk, kept);
    assert_eq!((before.len(), on(&desk, other).len()), (3, 4));
    // The stream: nobody takes the place of who leaves it.
    for (at, slot) in [(3, before[0]), (4, before[1])] {
        desk.submit(at * SECOND, of(1_000));
        assert!(!on(&desk, kept).contains(&6), "{at}");
        desk.report(at * SECOND, slot, DONE);
    }
    assert!(on(&desk, kept).contains(&6));
    assert_eq!(held(&desk)[kept as usize], 4_000);
    // No memory is left on either: the one is kept for the first of the two that came meanwhile, the other for the second.
    assert_eq!((desk.count(Stage::Backoff), desk.count(Stage::Queued)), (2, 0));
    let first = on(&desk, other)[0];
    desk.report(5 * SECOND, first, DONE);
    assert_eq!((desk.count(Stage::Backoff), held(&desk)), (1, vec![4_000; 2]));
}

/// A large order at the head of the queue has a vessel kept for it, and whoever is behind it goes elsewhere in the same record.
/// Where there is but one such vessel the second large one waits, in front of whoever needs as large a one; who fits the
/// small vessel passes, and the second is next once the first is aboard.
#[test]
fn a_large_order_holds_nobody_up() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 3, ..hold() });
    desk.vessel("punt", Manifest { slots: 1, context_max: Tokens(1_000), ..hold() });
    // Both are full of slots, and so all wait: two large ones, one that fits the small vessel, one that does not.
    for tokens in [1_500, 1_100, 1_100, 500] {
        desk.submit(SECOND, of(tokens));
    }
    assert_eq!(held(&desk), [3_700, 500]);
    for tokens in [3_500, 3_600, 900, 1_100] {
        desk.submit(2 * SECOND, of(tokens));
    }
    assert_eq!((running(&desk).len(), desk.count(Stage::Queued)), (4, 4));
    // A slot of the large vessel comes free, where 2 600 are aboard still: 2 100 have to go for 3 500.
    let events = desk.report(3 * SECOND, 1, DONE);
    assert_eq!(crowded_out(&events), Some((5, 0, 2_100)));
    assert_eq!(desk.count(Stage::Queued), 3);
    // The small one comes free: 3 600 finds no vessel that could be kept for it, and does not hold up the 900.
    desk.report(4 * SECOND, 3, DONE);
    assert_eq!(held(&desk), [2_600, 900]);
    assert_eq!(desk.count(Stage::Queued), 2);
    // 1 100 would fit beside the 1 500, and that vessel is kept.
    desk.report(5 * SECOND, 2, DONE);
    assert_eq!(held(&desk), [1_500, 900]);
    // The first large one begins, and the vessel is kept for the second; the last is behind it.
    let events = desk.report(6 * SECOND, 0, DONE);
    assert_eq!(crowded_out(&events), Some((6, 0, 3_100)));
    assert_eq!((held(&desk), desk.count(Stage::Queued)), (vec![3_500, 900], 1));
}

/// No vessel is kept for who would not be done in time, while others wait who may; and who finds so on a vessel that was kept
/// for him is given up.
#[test]
fn nothing_is_kept_for_who_is_late() {
    // A thousand prompt tokens take a second, 100 generated ones take one.
    let large = |seconds: u64| Demand { deadline: Micros(seconds * SECOND), ..of(3_000) };
    let ends = |events: &[Event]| {
        events.iter().any(|event| matches!(event, Event::Queue(queue::Event::OrderOverdue { .. })))
    };
    let full = || {
        let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
        desk.vessel("dory", Manifest { slots: 2, ..hold() });
        (0..2).for_each(|_| drop(desk.submit(SECOND, of(1_500))));
        desk
    };
    let mut desk = full();
    desk.submit(SECOND, large(4));
    desk.submit(SECOND, of(1_000));
    assert_eq!(desk.count(Stage::Queued), 2);
    // A slot comes free in the last second but one: she would take 3.9.
    let events = desk.report(2 * SECOND, 0, DONE);
    assert!(ends(&events), "{events:?}");
    assert_eq!((crowded_out(&events), running(&desk)), (None, vec![1, 3]));
    // With nobody else she tries.
    let mut desk = full();
    desk.submit(SECOND, large(4));
    let events = desk.report(2 * SECOND, 0, DONE);
    assert_eq!(crowded_out(&events), Some((3, 0, 500)));
    // The vessel has room for her two seconds later, when somebody waits: she would be late, and he is not.
    desk.submit(3 * SECOND, of(1_000));
    assert_eq!((desk.count(Stage::Backoff), desk.count(Stage::Queued)), (1, 1));
    let events = desk.report(4 * SECOND, 1, DONE);
    assert!(ends(&events), "{events:?}");
    assert_eq!(desk.count(Stage::Running), 1);
}

/// What stops holds its memory until it has; hedges and pairs hold it on both vessels.
#[test]
fn memory_is_held_until_a_leg_has_stopped() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    desk.vessel("dory", hold());
    desk.submit(SECOND, of(3_000));
    let order = desk.order(0);
    desk.tell(2 * SECOND, workflow::Command::Cancel { order });
    assert_eq!(held(&desk), [3_000]);
    let events = desk.submit(3 * SECOND, of(2_000));
    assert_eq!(crowded_out(&events), Some((2, 0, 1_000)));
    let usage = Usage { tokens_in: Tokens(500), ..Usage::NONE };
    desk.tell(4 * SECOND, workflow::Command::ReportStop { order, attempt: 1, leg: 0, usage });
    assert_eq!((running(&desk), held(&desk)), (vec![0], vec![2_000]));
    // A pair has it on both, and on the second alone once the prompt is worked.
    let mut desk = Desk::open(2, &rules(100), (0, 0, 0));
    desk.vessel("pump", Manifest { role: Role::Prefill, ..hold() });
    desk.vessel("mill", Manifest { role: Role::Decode, ..hold() });
    desk.submit(SECOND, of(2_500));
    assert_eq!(held(&desk), [2_500, 2_500]);
    // Both are kept for the next one, and it begins when the first has gone from both.
    let events = desk.submit(SECOND, of(2_000));
    assert_eq!(crowded_out(&events), Some((2, 0, 500)));
    let keeps: Vec<_> = desk.state().tables.loads.iter().map(|(_, load)| load.keeps_for).collect();
    assert_eq!(keeps, [OrderSlot(1); 2]);
    desk.report(2 * SECOND, 0, DONE);
    assert_eq!((running(&desk), held(&desk)), (vec![0], vec![0, 2_500]));
    desk.report(3 * SECOND, 0, DONE);
    assert_eq!((running(&desk), held(&desk)), (vec![1], vec![2_000, 2_000]));
}

/// Another vessel comes, with one slot.
fn register(desk: &mut Desk) {
    let manifest = Manifest { slots: 1, ..hold() };
    let vessel = models::Command::RegisterVessel { name: "punt".into(), manifest, start: 0 };
    desk.tell(2 * SECOND, vessel);
}

/// What was kept for an order is anybody's once the order ends; where the vessel is lost the order looks at once for another
/// one; rules that allow more let it go at once; and it is looked at again after a sixteenth of its time.
#[test]
fn a_vessel_is_kept_no_longer_than_needed() {
    let start = || {
        let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
        desk.vessel("dory", hold());
        desk.submit(SECOND, of(2_000));
        desk.submit(SECOND, of(1_000));
        let events = desk.submit(SECOND, of(2_500));
        assert_eq!(crowded_out(&events), Some((3, 0, 1_500)));
        desk.submit(SECOND, of(1_000));
        assert_eq!((running(&desk).len(), desk.count(Stage::Queued)), (2, 1));
        desk
    };
    let mut desk = start();
    let order = desk.order(2);
    desk.tell(2 * SECOND, workflow::Command::Cancel { order });
    assert_eq!((running(&desk), desk.count(Stage::Queued)), (vec![0, 1, 3], 0));

    // 3 000 and 2 500 are 5 500, and 1 000 more 6 500: as much as the one allows, and more than the other does.
    for (percent, all) in [(162, 3), (163, 4)] {
        let mut desk = start();
        let policy = policy::Command::SetPolicy(Box::new(rules(percent)));
        desk.tell(2 * SECOND, policy);
        assert_eq!(running(&desk).len(), all, "{percent}");
    }

    let mut desk = start();
    register(&mut desk);
    // The new one has room for the one that waits, and the one for whom the other is kept is not looked at yet.
    assert_eq!(running(&desk), [0, 1, 3]);
    desk.report(3 * SECOND, 3, DONE);
    assert_eq!(running(&desk), [0, 1]);
    // A sixteenth of 1 600 seconds.
    desk.settle(100 * SECOND);
    assert_eq!(running(&desk), [0, 1]);
    desk.settle(101 * SECOND);
    assert_eq!(running(&desk), [0, 1, 2]);

    let mut desk = start();
    register(&mut desk);
    desk.report(3 * SECOND, 3, DONE);
    let vessel = VesselId(0);
    desk.tell(4 * SECOND, models::Command::Lose { vessel });
    assert_eq!(desk.state().tables.orders.get(OrderSlot(2)).unwrap().stage, Stage::Running);
    assert_eq!(held(&desk)[1], 2_500);
}

/// Whoever has a berth is promised it, whatever memory is left.
#[test]
fn a_berth_does_not_wait_for_memory() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    desk.vessel("dory", hold());
    let window = tensorforge_engine::models::Window {
        from: Micros(50 * SECOND),
        until: Micros(90 * SECOND),
    };
    desk.submit(SECOND, Demand { window: Some(Box::new(window)), ..of(3_000) });
    desk.submit(SECOND, of(2_000));
    desk.settle(50 * SECOND);
    assert_eq!((running(&desk), held(&desk)), (vec![0, 1], vec![5_000]));
}

/// The vessel that is kept for it is lost, and the other one is full of small ones: it waits in the queue like everybody
/// else, has its turn given back, and does not sleep until it is looked at again.
#[test]
fn who_loses_the_vessel_that_was_kept_waits_for_another() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    for name in ["dory", "punt"] {
        desk.vessel(name, Manifest { slots: 3, ..hold() });
    }
    for _ in 0..5 {
        desk.submit(SECOND, of(1_000));
    }
    let (order, kept, _) = crowded_out(&desk.submit(SECOND, of(3_000))).unwrap();
    assert_eq!(order, 6);
    // The last slot of the other one.
    desk.submit(SECOND, of(1_000));
    let lost = VesselId(kept);
    let full = desk.state().tables.loads.get(VesselId(1 - kept)).unwrap().used == 3;
    assert!(full, "{:?}", aboard(&desk));
    desk.tell(2 * SECOND, models::Command::Lose { vessel: lost });
    let slot = OrderSlot(5);
    assert_eq!(desk.state().tables.orders.get(slot).unwrap().stage, Stage::Queued);
    assert!(desk.state().tables.loads.iter().all(|(_, load)| load.keeps_for == OrderSlot::NONE));
}

/// Nobody is stopped on a vessel that is kept: what comes free there is not the more urgent one's.
#[test]
fn nobody_is_stopped_where_it_helps_nobody() {
    let mut desk = Desk::open(1, &Policy { preempt: true, ..rules(100) }, (0, 0, 0));
    desk.vessel("dory", hold());
    let class = tensorforge_engine::models::Class::Batch;
    for _ in 0..3 {
        desk.submit(SECOND, Demand { class, ..of(1_000) });
    }
    assert!(crowded_out(&desk.submit(SECOND, of(3_000))).is_some());
    let class = tensorforge_engine::models::Class::Interactive;
    let events = desk.submit(2 * SECOND, Demand { class, ..of(1_000) });
    let stopped =
        |event: &Event| matches!(event, Event::Allocator(Allocator::OrderPreempted { .. }));
    assert!(!events.iter().any(stopped), "{events:?}");
}

/// One that ends while a vessel is kept for it was not served, and its class and tenant are not charged for it.
#[test]
fn a_turn_that_led_nowhere_is_given_back() {
    let mut desk = Desk::open(1, &rules(100), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 3, ..hold() });
    for _ in 0..3 {
        desk.submit(SECOND, of(1_000));
    }
    // They wait; with the slot that comes free the large one has its turn, and the vessel is kept for it.
    desk.submit(SECOND, of(3_500));
    desk.submit(SECOND, of(1_000));
    desk.submit(SECOND, of(1_000));
    let turn = |desk: &Desk| {
        desk.state().tables.turns.iter().map(|(_, row)| row.served).collect::<Vec<u64>>()
    };
    let before = turn(&desk);
    desk.report(2 * SECOND, 0, DONE);
    assert_ne!(turn(&desk), before);
    let large = desk.order(3);
    desk.tell(3 * SECOND, workflow::Command::Cancel { order: large });
    // A small one that goes instead is charged for: its prompt of 900 and twice its 100 tokens. Another one still waits.
    assert_eq!(desk.count(Stage::Queued), 1);
    assert_eq!(turn(&desk), [before[0] + 1_100]);
}
