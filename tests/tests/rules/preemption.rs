//! Preemption: an interactive order that finds no room takes the place of a batch order, which loses nothing but time.

use tensorforge_engine::models::{Class, Demand, Manifest, Stage, Usage};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::queue::Shares;
use tensorforge_engine::units::{Micros, Tokens, VesselId};
use tensorforge_engine::{Effect, Event, allocator, effects, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// Nothing times out, nobody is turned away, and every vessel is looked at.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.preempt = true;
    policy.candidates = 8;
    policy.hedge_percent = [0; 3];
    policy.timeout_min = Micros(1_000 * SECOND);
    policy.lifetime = [Micros(1_000 * SECOND); 3];
    policy.stop = Micros(100 * SECOND);
    policy.escalation.review = Micros(10_000 * SECOND);
    policy.escalation.dwell = Micros(10_000 * SECOND);
    policy
}

fn of(class: Class) -> Demand {
    Demand { class, ..demand() }
}

/// A boat with two slots, both taken by orders of this class, the second a second later.
fn full_of(class: Class, policy: &Policy) -> Desk {
    let mut desk = Desk::open(1, policy, (0, 0, 0));
    desk.vessel("dory", boat());
    desk.submit(0, of(class));
    desk.submit(SECOND, of(class));
    assert_eq!(desk.count(Stage::Running), 2);
    desk
}

/// Who gave up his place, if anybody did.
fn preempted(events: &[Event]) -> Option<u64> {
    events.iter().find_map(|event| match event {
        Event::Allocator(allocator::Event::OrderPreempted { order, .. }) => Some(order.number()),
        _ => None,
    })
}

/// The one that was handed over last gives way; its slot is the other's once it has stopped; it is worked again from the
/// beginning, has used up no attempt, and pays for its last attempt alone.
#[test]
fn the_last_batch_order_gives_way() {
    let mut desk = full_of(Class::Batch, &rules());
    let events = desk.submit(2 * SECOND, of(Class::Interactive));
    assert_eq!(preempted(&events), Some(2));
    let stops: Vec<Effect> =
        effects(&events).filter(|effect| matches!(effect, Effect::Stop { .. })).collect();
    assert_eq!(stops, [Effect::Stop { order: desk.order(1), vessel: VesselId(0) }]);
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (1, 2));
    let order = desk.order(1);
    let usage = Usage { tokens_in: Tokens(500), ..Usage::NONE };
    let told = workflow::Command::ReportStop { order, attempt: 1, leg: 0, usage };
    let events = desk.tell(3 * SECOND, told);
    let Some(Event::Workflow(workflow::Event::StopSettled { cost, burnt, .. })) = events.first()
    else {
        panic!("{events:?}")
    };
    assert_eq!((cost.0, burnt.0), (0, 500 * SECOND));
    let stage = |slot| desk.state().order(desk.order(slot)).unwrap().stage;
    assert_eq!([stage(0), stage(1), stage(2)], [Stage::Running, Stage::Queued, Stage::Running]);
    let row = desk.state().order(order).unwrap();
    assert_eq!((row.attempt, row.bounced, row.tried.len()), (1, 1, 0));
}

/// By the shares of the classes the second slot would be a batch order's again, and somebody would have been stopped for
/// nothing: it is his for whom it was made, if he waits still.
#[test]
fn a_place_goes_to_whom_it_was_made_for() {
    let policy = Policy { shares: Shares { classes: [1, 1, 1_000], ..rules().shares }, ..rules() };
    let stopped = |desk: &mut Desk, at: u64, slot: u32| {
        let (order, usage) = (desk.order(slot), Usage::NONE);
        desk.tell(at, workflow::Command::ReportStop { order, attempt: 1, leg: 0, usage });
    };
    let of_class = |desk: &Desk, class: Class| {
        let orders = desk.state().tables.orders.iter();
        let running = orders.filter(|(_, order)| order.stage == Stage::Running);
        running.filter(|(_, order)| order.demand.class == class).count()
    };
    let begin = || {
        let mut desk = full_of(Class::Batch, &policy);
        assert_eq!(preempted(&desk.submit(2 * SECOND, of(Class::Interactive))), Some(2));
        stopped(&mut desk, 3 * SECOND, 1);
        assert_eq!(preempted(&desk.submit(4 * SECOND, of(Class::Interactive))), Some(1));
        desk
    };
    let mut desk = begin();
    stopped(&mut desk, 5 * SECOND, 0);
    assert_eq!(of_class(&desk, Class::Interactive), 2);
    // She has hung up meanwhile: it is a batch order's.
    let mut desk = begin();
    let order = desk.order(3);
    desk.tell(5 * SECOND, workflow::Command::Cancel { order });
    stopped(&mut desk, 5 * SECOND, 0);
    assert_eq!([Class::Interactive, Class::Batch].map(|class| of_class(&desk, class)), [1, 1]);
}

/// Nobody gives way whose answer has begun, nor to anybody but an interactive order, nor where the policy says no.
#[test]
fn nobody_else_gives_way() {
    for class in [Class::Standard, Class::Interactive] {
        let mut desk = full_of(class, &rules());
        assert_eq!(preempted(&desk.submit(2 * SECOND, of(Class::Interactive))), None);
    }
    for class in [Class::Standard, Class::Batch] {
        let mut desk = full_of(Class::Batch, &rules());
        assert_eq!(preempted(&desk.submit(2 * SECOND, of(class))), None);
    }
    let mut desk = full_of(Class::Batch, &Policy { preempt: false, ..rules() });
    assert_eq!(preempted(&desk.submit(2 * SECOND, of(Class::Interactive))), None);
    // The later one has begun its answer, and so the one before it gives way; then there is none left.
    let mut desk = full_of(Class::Batch, &rules());
    let order = desk.order(1);
    let begun = workflow::Command::ReportFirstToken { order, attempt: 1, leg: 0 };
    desk.tell(2 * SECOND, begun);
    assert_eq!(preempted(&desk.submit(2 * SECOND, of(Class::Interactive))), Some(1));
    assert_eq!(preempted(&desk.submit(2 * SECOND, of(Class::Interactive))), None);
}

/// A slot that is too small for the order is no use to it.
#[test]
fn only_where_it_fits() {
    let mut desk = full_of(Class::Batch, &rules());
    desk.vessel("carrack", Manifest { slots: 1, context_max: Tokens(9_000), ..boat() });
    desk.submit(SECOND, of(Class::Standard));
    let large = Demand { tokens_in: Tokens(8_000), ..of(Class::Interactive) };
    assert_eq!(preempted(&desk.submit(2 * SECOND, large)), None);
}

/// Each time costs a batch order the time that it had, and after eight times it is left alone.
#[test]
fn nobody_gives_way_for_ever() {
    let mut policy = rules();
    policy.shares.classes = [1_000, 1, 1];
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 1, ..boat() });
    desk.submit(0, of(Class::Batch));
    let order = desk.order(0);
    for turn in 1..=9u16 {
        let at = u64::from(turn) * 10 * SECOND;
        let events = desk.submit(at, of(Class::Interactive));
        if turn == 9 {
            assert_eq!(preempted(&events), None);
            return;
        }
        assert_eq!(preempted(&events), Some(1), "{turn}");
        let told =
            workflow::Command::ReportStop { order, attempt: turn, leg: 0, usage: Usage::NONE };
        desk.tell(at + 1, told);
        let done = workflow::Outcome::Done {
            tokens_out: Tokens(1),
            cached: Tokens::ZERO,
            first_token: Micros::ZERO,
            energy: tensorforge_engine::units::Millijoules::ZERO,
        };
        desk.report(at + 2, 1, done);
        let row = desk.state().order(order).unwrap();
        assert_eq!((row.stage, row.attempt), (Stage::Running, turn + 1));
    }
}
