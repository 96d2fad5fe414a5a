//! Price and time: who goes first of a class whose orders go by what they may cost.

use tensorforge_engine::models::{Class, Demand, Manifest, Tenant};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::units::{Micros, Millijoules, Ppm, TenantId, Tokens};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{Event, models, policy, queue, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// Batch goes by price and time. Nothing times out, and nobody is turned away.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(100_000 * SECOND);
    policy.lifetime = [Micros(100_000 * SECOND); 3];
    policy.forecast.samples = 127;
    policy.forecast.legs = u32::MAX;
    policy.breaker.slow = Ppm::ZERO;
    policy.patience = [Micros(100_000 * SECOND); 3];
    policy.hedge_percent = [0; 3];
    policy.preempt = false;
    policy.escalation.review = Micros(50_000 * SECOND);
    policy.escalation.dwell = Micros(50_000 * SECOND);
    policy.price_time = [false, false, true];
    policy
}

/// A boat with one slot, in which the first order is.
fn desk() -> Desk {
    let mut desk = Desk::open(1, &rules(), (0, 0, 0));
    for name in ["bruno", "carla"] {
        desk.tell(0, models::Command::RegisterTenant(Tenant::unlimited(name)));
    }
    desk.vessel("dory", Manifest { slots: 1, ..boat() });
    desk.submit(0, Demand { class: Class::Batch, ..demand() });
    desk
}

/// Orders of these tenants and limits, one after the other; they expire in the reverse order.
fn wait(desk: &mut Desk, class: Class, orders: &[(u32, u32)]) {
    for (place, (tenant, limit)) in (1..).zip(orders) {
        desk.tenant = TenantId(*tenant);
        let deadline = Micros((90_000 - place) * SECOND);
        let now = desk.state().now().0 + 1;
        desk.submit(now, Demand { class, limit: *limit, deadline, ..demand() });
    }
}

/// Serves the one aboard; the number of who goes next.
fn next(desk: &mut Desk, seconds: u64) -> Option<u64> {
    let row = desk.state().tables.orders.iter().map(|(_, row)| row);
    let aboard = row.filter(|row| !row.route.is_empty()).map(|row| row.id.slot().0).next();
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    let outcome = Outcome::Done { tokens_out: Tokens(100), cached, first_token, energy };
    let events = desk.report(seconds * SECOND, aboard.unwrap(), outcome);
    events.iter().find_map(|event| match event {
        Event::Queue(queue::Event::OrderChosen { order, .. }) => Some(order.number()),
        _ => None,
    })
}

fn all(desk: &mut Desk) -> Vec<u64> {
    (1..).map_while(|round| next(desk, 10 * round)).collect()
}

/// The highest limit first, none before all, then who came first: whoever's they are, and whenever they expire.
#[test]
fn those_who_may_cost_most_go_first() {
    let check = |orders: &[(u32, u32)], expected: &[u64]| {
        let mut desk = desk();
        wait(&mut desk, Class::Batch, orders);
        assert_eq!(all(&mut desk), expected, "{orders:?}");
    };
    check(&[(0, 2_000), (0, 3_000), (1, 2_500)], &[3, 4, 2]);
    check(&[(0, 2_000), (1, 2_000), (0, 2_000)], &[2, 3, 4]);
    check(&[(0, 2_001), (1, u32::MAX), (2, 0), (0, 2_000)], &[4, 3, 2, 5]);
    check(&[(0, 0), (0, 0), (1, 0)], &[2, 3, 4]);
}

/// Of any other class, tenants take turns, and of one tenant's orders the one goes first that expires first.
#[test]
fn other_classes_go_by_turns() {
    let mut desk = desk();
    wait(&mut desk, Class::Standard, &[(0, 2_000), (0, 3_000), (1, 2_500)]);
    assert_eq!(all(&mut desk), [3, 4, 2]);
    let mut desk = self::desk();
    wait(&mut desk, Class::Standard, &[(0, 3_000), (0, 2_000), (1, 2_500)]);
    assert_eq!(all(&mut desk), [3, 4, 2]);
}

/// Classes share as ever: interactive orders are served eight tokens for one of batch, whatever that offers.
#[test]
fn classes_share_by_weight() {
    let mut desk = desk();
    wait(&mut desk, Class::Batch, &[(0, 9_000), (0, 9_000)]);
    wait(&mut desk, Class::Interactive, &[(1, 1_500); 10]);
    // Nobody has been served: interactive first, then batch, then seven more until both stand alike, and one again.
    assert_eq!(all(&mut desk), [13, 2, 12, 11, 10, 9, 8, 7, 6, 5, 3, 4]);
}

/// Another policy, another order, of those who wait already; and back.
#[test]
fn a_policy_reorders_those_who_wait() {
    let mut desk = desk();
    wait(&mut desk, Class::Batch, &[(0, 2_000), (0, 3_000), (1, 2_500), (1, 2_400), (1, 0)]);
    let set = |price_time| {
        let policy = Policy { price_time, ..rules() };
        policy::Command::SetPolicy(Box::new(policy))
    };
    assert_eq!(next(&mut desk, 10), Some(6));
    desk.tell(11 * SECOND, set([false; 3]));
    // Bruno was served the last one, so it is the turn of who was not; what expires first of his.
    assert_eq!(next(&mut desk, 20), Some(3));
    assert_eq!(next(&mut desk, 30), Some(2));
    desk.tell(31 * SECOND, set([false, false, true]));
    assert_eq!(next(&mut desk, 40), Some(4));
    desk.tell(
        41 * SECOND,
        policy::Command::RollBackPolicy { to: tensorforge_engine::units::PolicyVersion(1) },
    );
    assert_eq!(next(&mut desk, 50), Some(5));
}

/// Who is too dear makes way for who is not, and does not come first again before he has come again.
#[test]
fn the_highest_limit_may_be_too_low() {
    let mut desk = desk();
    wait(&mut desk, Class::Batch, &[(0, 1_190), (1, 1_150)]);
    desk.tenant = TenantId(2);
    desk.submit(
        9,
        Demand { class: Class::Batch, tokens_out_max: Tokens(10), limit: 1_100, ..demand() },
    );
    // 1 200 for the others, and 1 020 for the one that may cost least.
    assert_eq!(next(&mut desk, 10), Some(4));
    let waits = desk.state().waiting().map(|waiting| waiting.queued);
    assert_eq!(waits, Some(0));
    let order = desk.order(1);
    let events = desk.tell(11 * SECOND, workflow::Command::Retry { order });
    assert!(matches!(events[..], [Event::Queue(queue::Event::OrderQueued { .. })]), "{events:?}");
}
