//! The room to wait in: for how many, for how much, for whom; and batches, which are let in whole or in part.

use tensorforge_engine::config::{Bound, Limits, Refusal as Config};
use tensorforge_engine::models::{Allowance, Class, Demand, Manifest, Role, Stage, Tenant};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::units::{MicroUsd, Micros, TenantId, Tokens};
use tensorforge_engine::{Event, Exchange, models, queue, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

/// Nothing expires, and no level turns anybody away.
fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.lifetime = [Micros(3_600_000_000); 3];
    policy.timeout_min = Micros(3_600_000_000);
    policy.escalation.review = Micros(3_600_000_000);
    policy.escalation.dwell = Micros(3_600_000_000);
    policy
}

/// A boat with one slot, which the first order takes, and twelve places to wait in.
fn desk(contract: Tenant) -> Desk {
    let limits = Limits { queued: 12, ..Limits::default() };
    let mut desk = Desk::within(1, &rules(), limits, contract);
    desk.vessel("dory", Manifest { slots: 1, context_max: Tokens(1_000_000), ..boat() });
    desk.submit(0, demand());
    desk
}

fn another_tenant(desk: &mut Desk, name: &str) {
    let tenant = desk.state().tables.tenants.len();
    desk.tell(0, models::Command::RegisterTenant(Tenant::unlimited(name)));
    desk.tenant = TenantId(tenant);
}

/// Submits until somebody is refused: how many were let in, and why the next one was not.
fn fill(desk: &mut Desk, demand: &Demand) -> (usize, Refusal) {
    for admitted in 0.. {
        if let Some(refusal) = refusals(&desk.submit(0, demand.clone())).pop() {
            return (admitted, refusal);
        }
    }
    unreachable!("no bound")
}

fn refusals(events: &[Event]) -> Vec<Refusal> {
    let refused = events.iter().filter_map(|event| match event {
        Event::Workflow(
            workflow::Event::OrderRefused { refusal, .. }
            | workflow::Event::CommandRefused { refusal },
        ) => Some(refusal.clone()),
        _ => None,
    });
    refused.collect()
}

fn full(bound: Bound, max: u64) -> Refusal {
    Config::Full { bound, max }.into()
}

/// Of twelve places one tenant's flood takes six: as many as are left. The next one's takes three of the six, and so
/// there are always some for whoever comes.
#[test]
fn a_flood_leaves_half_of_what_is_left() {
    let mut desk = desk(Tenant::unlimited("alba"));
    assert_eq!(fill(&mut desk, &demand()), (6, full(Bound::TenantQueue, 6)));
    another_tenant(&mut desk, "brae");
    assert_eq!(fill(&mut desk, &demand()), (3, full(Bound::TenantQueue, 3)));
    another_tenant(&mut desk, "cove");
    // Two of three, and then one of the one that is left.
    assert_eq!(fill(&mut desk, &demand()), (2, full(Bound::TenantQueue, 1)));
    // The first has more than its share by now, and waits for room like everybody else.
    desk.tenant = TenantId(0);
    assert_eq!(fill(&mut desk, &demand()), (0, full(Bound::TenantQueue, 1)));
}

/// A contract's own bound stands for that rule: it may be less, and it may be all there is.
#[test]
fn a_contract_may_say_otherwise() {
    for (queued_max, refusal) in
        [(2, full(Bound::TenantQueue, 2)), (u32::MAX, full(Bound::Queue, 12))]
    {
        let mut desk = desk(Tenant { queued_max, ..Tenant::unlimited("alba") });
        assert_eq!(fill(&mut desk, &demand()), (queued_max.min(12) as usize, refusal));
    }
}

/// Room is counted in tokens too: of three thousand two orders of 1 100 find room, and a smaller one besides. Whoever
/// leaves gives his back.
#[test]
fn tokens_that_wait_are_bounded() {
    let limits = Limits { queued_kilotokens: 3, ..Limits::default() };
    let mut desk = Desk::within(1, &rules(), limits, Tenant::unlimited("alba"));
    desk.vessel("dory", Manifest { slots: 1, ..boat() });
    desk.submit(0, demand());
    assert_eq!(fill(&mut desk, &demand()), (2, full(Bound::QueuedTokens, 3_000)));
    let small = Demand { tokens_in: Tokens(700), ..demand() };
    assert_eq!(fill(&mut desk, &small), (1, full(Bound::QueuedTokens, 3_000)));
    assert_eq!(desk.state().waiting().unwrap().tokens, Tokens(3_000));
    let order = desk.order(1);
    desk.tell(0, workflow::Command::Cancel { order });
    assert_eq!(desk.state().waiting().unwrap().tokens, Tokens(1_900));
    assert_eq!(fill(&mut desk, &demand()), (1, full(Bound::QueuedTokens, 3_000)));
}

fn batch(desk: &mut Desk, demands: Vec<Demand>, whole: bool) -> Vec<Event> {
    desk.tell(0, workflow::Command::SubmitBatch { demands, whole })
}

/// As many as fit are let in and the others told why; or none is, and not a number, a token or a cent is gone.
#[test]
fn a_batch_is_let_in_as_far_as_it_fits_or_not_at_all() {
    let allowance = Allowance { period: Micros(60_000_000), amount: 100, burst: 5 };
    let contract = Tenant { orders: allowance, ..Tenant::unlimited("alba") };
    let mut desk = desk(contract);
    // One of the five is gone already.
    let before = desk.state().root();
    let events = batch(&mut desk, vec![demand(); 5], true);
    let [Refusal::Queue(queue::Refusal::RateLimited { .. })] = refusals(&events)[..] else {
        panic!("{events:?}")
    };
    assert_eq!(events.len(), 1);
    assert_eq!(desk.state().root(), before, "nothing has changed");
    assert_eq!(batch(&mut desk, vec![demand(); 4], true).len(), 8, "four come, and four wait");
    assert_eq!(desk.count(Stage::Queued), 4);

    let mut desk = self::desk(Tenant { queued_max: 3, ..Tenant::unlimited("alba") });
    let events = batch(&mut desk, vec![demand(); 5], false);
    assert_eq!(refusals(&events), vec![full(Bound::TenantQueue, 3); 2]);
    assert_eq!(desk.count(Stage::Queued), 3);
    // Numbers are given to all of them, the refused ones included.
    assert_eq!(desk.state().control().unwrap().orders, 6);
}

/// Each bound that may stop a single order stops a batch by the order that would be the first beyond it.
#[test]
fn a_whole_batch_meets_every_bound_that_its_last_order_would() {
    type Case = (fn(&mut Tenant), Demand, usize, &'static str);
    let cases: [Case; 5] = [
        (|tenant| tenant.live_max = 3, demand(), 2, "full bound=TenantOrders max=3"),
        (|tenant| tenant.queued_max = 3, demand(), 3, "full bound=TenantQueue max=3"),
        (
            |tenant| {
                let period = Micros(60_000_000);
                tenant.tokens = Allowance { period, amount: 5_500, burst: 5_500 };
            },
            demand(),
            4,
            "tokens_limited",
        ),
        // 1 200 micro-dollars each, and one is set aside for the order aboard.
        (|tenant| tenant.budget = MicroUsd(4_000), demand(), 2, "budget_spent"),
        (|_| {}, Demand { class: Class::Batch, ..demand() }, 6, "full bound=TenantQueue max=6"),
    ];
    for (change, demand, fit, refusal) in cases {
        let mut contract = Tenant::unlimited("alba");
        change(&mut contract);
        let mut desk = desk(contract.clone());
        let told = refusals(&batch(&mut desk, vec![demand.clone(); fit + 1], true));
        assert!(told.len() == 1 && told[0].to_string().starts_with(refusal), "{refusal}: {told:?}");
        assert_eq!(desk.state().tables.orders.len(), 1);
        assert_eq!(refusals(&batch(&mut desk, vec![demand; fit], true)), vec![]);
        assert_eq!(desk.count(Stage::Queued), fit, "{refusal}");
    }
}

/// A batch is one record, however much it asks for; what a record has no room to route waits, and is served by the next.
#[test]
fn a_long_batch_makes_a_short_record() {
    let mut policy = Policy { candidates: 64, ..rules() };
    policy.escalation.review = Micros(3_600_000_000);
    let mut desk = Desk::within(1, &policy, Limits::default(), Tenant::unlimited("alba"));
    for vessel in 0..140 {
        let role = [Role::Prefill, Role::Decode][vessel % 2];
        desk.vessel(&format!("v{vessel}"), Manifest { role, ..boat() });
    }
    for whole in [false, true] {
        batch(&mut desk, vec![demand(); 64], whole);
        assert!(desk.longest <= Exchange::RECORD_BYTES_MAX, "{}", desk.longest);
        assert!(desk.count(Stage::Queued) > 10, "a pair's candidates fill a record");
        desk.settle(0);
    }
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (128, 0));
    let told = refusals(&batch(&mut desk, vec![demand(); 65], false));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(refusals(&batch(&mut desk, vec![], true)).len(), 1);
    let keyed = Demand { idempotency: 5, ..demand() };
    assert_eq!(refusals(&batch(&mut desk, vec![keyed.clone()], true)).len(), 1);
    assert_eq!(refusals(&batch(&mut desk, vec![keyed], false)), vec![]);
}
