//! Batch orders that gather: they wait for each other, not for room, and for no longer than they can.

use tensorforge_engine::config::Limits;
use tensorforge_engine::models::{Class, Demand, Manifest, Stage, Tenant, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::queue::{GatherRule, Line};
use tensorforge_engine::routing::Verdict;
use tensorforge_engine::units::{Micros, ModelId, Tokens};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, policy, queue, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

use super::{DONE, candidates, running};

const SECOND: u64 = 1_000_000;

/// Three thousand tokens or a minute; nothing times out, and nobody is turned away.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.gather = GatherRule { tokens: Tokens(3_000), wait: Micros(60 * SECOND) };
    policy.candidates = 8;
    policy.hedge_percent = [0; 3];
    policy.preempt = false;
    policy.timeout_min = Micros(10_000 * SECOND);
    policy.lifetime = [Micros(1_000 * SECOND); 3];
    policy.escalation.review = Micros(10_000 * SECOND);
    policy.escalation.dwell = Micros(10_000 * SECOND);
    policy
}

/// 1 100 tokens, which take two seconds.
fn batch() -> Demand {
    Demand { class: Class::Batch, ..demand() }
}

fn desk(policy: &Policy, slots: u32) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots, ..boat() });
    desk
}

/// Until when an order that came gathers; zero where it waits for room; none where it does not wait.
fn ripe(events: &[Event]) -> Option<u64> {
    events.iter().find_map(|event| match event {
        Event::Queue(queue::Event::OrderQueued { ripe_at, .. }) => Some(ripe_at.0),
        _ => None,
    })
}

/// The ticket, the orders and the tokens of those that were released.
fn released(events: &[Event]) -> Option<(u64, u32, u64)> {
    events.iter().find_map(|event| match event {
        Event::Queue(queue::Event::BatchReleased { ticket, orders, tokens, .. }) => {
            Some((*ticket, *orders, tokens.0))
        }
        _ => None,
    })
}

fn line(desk: &Desk) -> &Line {
    desk.state().tables.lines.get(ModelId(0)).unwrap()
}

fn advance(desk: &mut Desk, time: u64) -> Vec<Event> {
    desk.tell(time, workflow::Command::Advance)
}

/// Though there is room they begin together, once they are enough: the very token counts.
#[test]
fn a_batch_begins_when_it_is_enough() {
    for (tokens, enough) in [(3_300, true), (3_301, false)] {
        let mut policy = rules();
        policy.gather.tokens = Tokens(tokens);
        let mut desk = desk(&policy, 4);
        assert_eq!(ripe(&desk.submit(SECOND, batch())), Some(61 * SECOND));
        assert_eq!(ripe(&desk.submit(2 * SECOND, batch())), Some(62 * SECOND));
        assert_eq!(desk.count(Stage::Queued), 2);
        assert_eq!((line(&desk).gathering, line(&desk).gathered.0), (2, 2_200));
        let events = desk.submit(3 * SECOND, batch());
        assert_eq!(released(&events), enough.then_some((3, 3, 3_300)), "{tokens}");
        assert_eq!(running(&desk), if enough { vec![0, 1, 2] } else { vec![] }, "{tokens}");
    }
}

/// They go a minute after the first of them came, whoever came later, and not a moment before.
#[test]
fn nobody_gathers_for_longer_than_the_policy_says() {
    let mut desk = desk(&rules(), 4);
    desk.submit(SECOND, batch());
    desk.submit(30 * SECOND, batch());
    assert_eq!(desk.state().next_deadline(), Some(Micros(61 * SECOND)));
    assert_eq!(advance(&mut desk, 61 * SECOND - 1), []);
    assert_eq!(released(&advance(&mut desk, 61 * SECOND)), Some((2, 2, 2_200)));
    assert_eq!(running(&desk), [0, 1]);
}

/// An order takes two seconds on the dory: with four left it goes, and so does whoever gathers with it. A slower vessel
/// than that may be where it goes.
#[test]
fn nobody_misses_his_deadline_for_others() {
    let check = |slower: bool, deadline: u64, ripe_at: Option<u64>| {
        let mut desk = desk(&rules(), 4);
        if slower {
            let decode_per_token = Micros(20_000);
            desk.vessel("barge", Manifest { slots: 1, decode_per_token, ..boat() });
        }
        let deadline = Micros(deadline);
        assert_eq!(ripe(&desk.submit(SECOND, Demand { deadline, ..batch() })), ripe_at);
        let Some(at) = ripe_at else { return assert_eq!(running(&desk), [0]) };
        desk.submit(SECOND, batch());
        assert_eq!(advance(&mut desk, at - 1), []);
        assert_eq!(released(&advance(&mut desk, at)), Some((2, 2, 2_200)), "{deadline:?}");
        assert_eq!(running(&desk), [0, 1]);
    };
    check(false, 20 * SECOND, Some(16 * SECOND));
    // Three seconds on the barge.
    check(true, 20 * SECOND, Some(14 * SECOND));
    // No time to lose, and a microsecond of it.
    check(false, 5 * SECOND, None);
    check(false, 5 * SECOND + 1, Some(SECOND + 1));
}

/// Other classes begin at once, and so does whoever asked for a window, at its time.
#[test]
fn only_batch_orders_without_a_window_gather() {
    let mut desk = desk(&rules(), 4);
    desk.submit(SECOND, batch());
    desk.submit(SECOND, Demand { class: Class::Standard, ..demand() });
    desk.submit(SECOND, Demand { class: Class::Interactive, ..demand() });
    let window = Window { from: Micros(10 * SECOND), until: Micros(20 * SECOND) };
    desk.submit(SECOND, Demand { window: Some(window.into()), ..batch() });
    assert_eq!(running(&desk), [1, 2]);
    advance(&mut desk, 10 * SECOND);
    assert_eq!(running(&desk), [1, 2, 3]);
    assert_eq!(line(&desk).gathering, 1);
    // Nothing is kept for who gathers, though the dory alone can hold it.
    let mut desk = Desk::open(1, &rules(), (0, 0, 0));
    desk.vessel("punt", Manifest { context_max: Tokens(1_100), ..boat() });
    desk.vessel("dory", boat());
    desk.submit(SECOND, Demand { tokens_in: Tokens(2_000), ..batch() });
    let events = desk.submit(SECOND, demand());
    assert!(candidates(&events).iter().all(|one| one.verdict == Verdict::Eligible), "{events:?}");
}

/// Who comes while those before still wait gathers for the next time, however soon he expires.
#[test]
fn whoever_comes_later_gathers_for_the_next_time() {
    let mut desk = desk(&rules(), 1);
    for second in 1..=3 {
        desk.submit(second * SECOND, batch());
    }
    assert_eq!(running(&desk), [0]);
    let soon = Demand { deadline: Micros(100 * SECOND), ..batch() };
    assert_eq!(ripe(&desk.submit(4 * SECOND, soon)), Some(64 * SECOND));
    assert_eq!(line(&desk).queued, [0, 0, 3]);
    assert_eq!((line(&desk).gathering, line(&desk).released), (1, 3));
    desk.report(6 * SECOND, 0, DONE);
    assert_eq!(running(&desk), [1]);
    desk.report(8 * SECOND, 1, DONE);
    assert_eq!(running(&desk), [2]);
    desk.report(10 * SECOND, 2, DONE);
    assert_eq!((running(&desk), desk.count(Stage::Queued)), (vec![], 1));
    assert_eq!(released(&advance(&mut desk, 64 * SECOND)), Some((4, 1, 1_100)));
}

/// Who is withdrawn counts no more; where nobody is left nobody is woken.
#[test]
fn whoever_leaves_counts_no_more() {
    let mut desk = desk(&rules(), 4);
    desk.submit(SECOND, batch());
    desk.submit(2 * SECOND, batch());
    let cancel = |desk: &mut Desk, slot| {
        let order = desk.order(slot);
        desk.tell(3 * SECOND, workflow::Command::Cancel { order })
    };
    cancel(&mut desk, 0);
    assert_eq!((line(&desk).gathering, line(&desk).gathered.0), (1, 1_100));
    assert_eq!(released(&desk.submit(3 * SECOND, batch())), None);
    cancel(&mut desk, 0);
    cancel(&mut desk, 1);
    assert!(desk.state().tables.lines.is_empty());
    // The first comer's minute is over for nobody.
    assert_eq!(desk.state().next_deadline(), Some(Micros(10_000 * SECOND)));
}

/// What has been released once goes by itself: when its call failed, and when it gave way.
#[test]
fn nobody_gathers_twice() {
    let mut policy = rules();
    policy.preempt = true;
    let mut desk = desk(&policy, 3);
    for second in 1..=3 {
        desk.submit(second * SECOND, batch());
    }
    desk.report(4 * SECOND, 0, Outcome::Failed(Fault::Error));
    desk.settle(5 * SECOND);
    assert_eq!(running(&desk), [0, 1, 2]);
    // Slot 1 has the largest number of those that were handed over first, and slot 0 was last of all.
    let events = desk.submit(6 * SECOND, Demand { class: Class::Interactive, ..demand() });
    assert_eq!(ripe(&events[2..]), Some(0), "{events:?}");
    assert_eq!(line(&desk).queued, [1, 0, 1]);
    assert_eq!(line(&desk).gathering, 0);
}

/// Rules under which nobody gathers, or for which they are enough, release them; others leave them where they are.
#[test]
fn other_rules_release_whom_they_would_not_have_gather() {
    for (tokens, goes) in [(0, true), (2_200, true), (2_201, false)] {
        let mut desk = desk(&rules(), 4);
        desk.submit(SECOND, batch());
        desk.submit(SECOND, batch());
        let gather = GatherRule { tokens: Tokens(tokens), wait: Micros(1) };
        let other = Box::new(Policy { gather, ..rules() });
        let events = desk.tell(2 * SECOND, policy::Command::SetPolicy(other));
        assert_eq!(released(&events), goes.then_some((2, 2, 2_200)), "{tokens}");
        assert_eq!(running(&desk).len(), if goes { 2 } else { 0 });
        // They go when they were told to.
        assert_eq!(released(&advance(&mut desk, 61 * SECOND - 1)), None);
        assert_eq!(released(&advance(&mut desk, 61 * SECOND)).is_some(), !goes);
    }
}

/// Who gathers saves up nothing, is not late and not overdue: batch work does not pass talk once it is released.
#[test]
fn to_gather_is_not_to_wait() {
    let mut policy = rules();
    policy.patience = [Micros(1_000 * SECOND), Micros(1_000 * SECOND), Micros(5 * SECOND)];
    policy.escalation.late = tensorforge_engine::units::Ppm(50_000);
    let mut desk = desk(&policy, 1);
    let chat = || Demand { class: Class::Interactive, ..demand() };
    desk.submit(SECOND, chat());
    desk.submit(2 * SECOND, batch());
    // Three others talk meanwhile, each of whom waits: of their class 1 200 tokens each are charged at a share of eight.
    for second in [3, 5, 7] {
        desk.submit(second * SECOND, chat());
        desk.submit(second * SECOND, chat());
        let slot = running(&desk)[0];
        desk.report((second + 1) * SECOND, slot, DONE);
    }
    assert_eq!(line(&desk).served, [3 * 150 * 4_096, 0, 0]);
    assert_eq!(line(&desk).floor, 2 * 150 * 4_096);
    let events = advance(&mut desk, 62 * SECOND);
    assert_eq!(released(&events), Some((7, 1, 1_100)));
    assert_eq!(line(&desk).served[2], 2 * 150 * 4_096);
    // Its turn comes as soon as its class has been served least, five seconds of patience are not over, and a twentieth of
    // 1 000 seconds have not been waited for room.
    let slot = running(&desk)[0];
    let events = desk.report(66 * SECOND, slot, DONE);
    let chosen = events.iter().find_map(|event| match event {
        Event::Queue(queue::Event::OrderChosen { order, share, .. }) => Some((*order, *share)),
        _ => None,
    });
    assert_eq!(chosen.map(|(order, share)| (order.number(), share)), Some((2, 1)));
    let flow = desk.state().flow().unwrap();
    assert_eq!([flow.present.late[2], flow.before.late[2]], [0, 0]);
}

/// A queue has places for so many, whatever they wait for.
#[test]
fn whoever_gathers_has_a_place_in_the_queue() {
    let contract = Tenant { queued_max: 9, ..Tenant::unlimited("alba") };
    let limits = Limits { queued: 2, ..Limits::default() };
    let mut desk = Desk::within(1, &rules(), limits, contract);
    desk.vessel("dory", boat());
    desk.submit(SECOND, batch());
    desk.submit(SECOND, batch());
    let events = desk.submit(SECOND, batch());
    assert!(
        matches!(&events[0], Event::Workflow(workflow::Event::OrderRefused { .. })),
        "{events:?}"
    );
    // Nobody else needs one.
    desk.submit(SECOND, demand());
    assert_eq!(running(&desk), [2]);
}

/// Whose turn it is and who would be late ends for others who wait for room, and not for those who gather.
#[test]
fn nobody_gives_way_to_who_gathers() {
    for (other, ends) in [(batch(), false), (demand(), true)] {
        let mut desk = desk(&rules(), 1);
        desk.submit(SECOND, demand());
        desk.submit(SECOND, Demand { deadline: Micros(4 * SECOND), ..demand() });
        desk.submit(SECOND, other);
        // A second is left of the two that it takes.
        let events = desk.report(3 * SECOND, 0, DONE);
        let overdue =
            |event: &Event| matches!(event, Event::Queue(queue::Event::OrderOverdue { .. }));
        assert_eq!(events.iter().any(overdue), ends, "{events:?}");
    }
}
