//! Predictions: what others got, and how fast a vessel has been.

use tensorforge_engine::models::{Class, Demand, Manifest, Tenant, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::telemetry::Forecast;
use tensorforge_engine::units::{Micros, Millijoules, Ppm, TenantId, Tokens, VesselId};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, allocator, models, resilience, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_percent = 300;
    policy.timeout_min = Micros(SECOND);
    policy.breaker.slow = Ppm::ZERO;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm::ZERO;
    policy.lifetime = [Micros(10_000 * SECOND); 3];
    policy.forecast = Forecast {
        samples: 20,
        prior: Ppm(500_000),
        legs: u32::MAX,
        window: Micros(1_000 * SECOND),
    };
    policy
}

/// A thousand tokens in, which take a second; three thousand out at most, which take thirty.
fn chat() -> Demand {
    Demand { tokens_out_max: Tokens(3_000), ..demand() }
}

fn done(tokens_out: u64) -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules::ZERO);
    Outcome::Done { tokens_out: Tokens(tokens_out), cached, first_token, energy }
}

/// The expected answer and the longest of 95, in tokens, of an order that is routed now to an idle vessel; its prompt
/// takes a second.
fn answers(events: &[Event]) -> (u64, u64) {
    let found = events.iter().find_map(|event| match event {
        Event::Workflow(workflow::Event::LegDispatched { answer, within, .. }) => {
            Some((answer.0 / 10_000, (within.0 - SECOND) / 10_000))
        }
        _ => None,
    });
    found.unwrap()
}

/// How long the leg that was dispatched is given.
fn patience(events: &[Event]) -> (u64, u64) {
    let found = events.iter().find_map(|event| match event {
        Event::Workflow(workflow::Event::LegDispatched { within, timeout, .. }) => {
            Some((within.0, timeout.0))
        }
        _ => None,
    });
    found.unwrap()
}

/// Orders of which each may have 3 000 tokens and gets 300: they are expected to last four seconds, not 31, and
/// whoever does not answer is given up after twelve. One for which a call has failed is waited for as long
/// as its longest answer takes, three times over.
#[test]
fn an_order_is_expected_to_last_as_long_as_others_did() {
    let mut desk = Desk::open(1, &rules(), (0, 0, 0));
    desk.vessel("dory", boat());
    for turn in 1..=20 {
        let now = turn * 10 * SECOND;
        let events = desk.submit(now, chat());
        assert_eq!(answers(&events), (1_500, 3_000), "the {turn}. is not known to be shorter");
        assert_eq!(patience(&events), (31 * SECOND, now + 93 * SECOND));
        desk.report(now + 4 * SECOND, 0, done(300));
    }
    let now = 1_000 * SECOND;
    let events = desk.submit(now, chat());
    let (usual, late) = answers(&events);
    // 300 lies in the bucket of 256 to 319.
    assert!((256..=320).contains(&usual) && (usual..=320).contains(&late), "{usual} {late}");
    let (within, timeout) = patience(&events);
    assert_eq!((within, timeout), ((1_000 + late * 10) * 1_000, now + 3 * within));
    let events = desk.report(now + SECOND, 0, Outcome::Failed(Fault::Error));
    let [_, Event::Resilience(resilience::Event::RetryScheduled { at: again, .. })] = events[..]
    else {
        panic!("{events:?}");
    };
    let events = desk.tell(again.0, workflow::Command::Advance);
    assert_eq!(answers(&events).0, usual);
    assert_eq!(patience(&events), (31 * SECOND, again.0 + 93 * SECOND));
    // Of those who allow a much shorter one nothing is known.
    let short = Demand { tokens_out_max: Tokens(50), ..demand() };
    assert_eq!(answers(&desk.submit(again.0, short)).0, 25);
}

/// Nobody's answer is expected to be longer than it may be.
#[test]
fn no_answer_is_expected_to_be_longer_than_it_may_be() {
    let mut desk = Desk::open(4, &rules(), (0, 0, 0));
    desk.vessel("dory", boat());
    for turn in 1..=20 {
        let now = turn * 10 * SECOND;
        desk.submit(now, Demand { tokens_out_max: Tokens(511), ..demand() });
        desk.report(now + 6 * SECOND, 0, done(500));
    }
    let events = desk.submit(1_000 * SECOND, Demand { tokens_out_max: Tokens(256), ..demand() });
    assert_eq!(answers(&events), (256, 256));
}

/// One tenant's long answers say nothing about another's short ones, nor a class about another; of whom too
/// little is known, everybody's do.
#[test]
fn a_tenants_own_answers_come_before_everybodys() {
    let mut desk = Desk::open(2, &rules(), (0, 0, 0));
    desk.vessel("dory", boat());
    for name in ["bora", "cira"] {
        desk.tell(1, models::Command::RegisterTenant(Tenant::unlimited(name)));
    }
    let mut now = SECOND;
    for turn in 0..60 {
        let (tenant, tokens) = [(0, 100), (0, 100), (1, 2_000)][turn % 3];
        desk.tenant = TenantId(tenant);
        now += 30 * SECOND;
        desk.submit(now, chat());
        desk.report(now + 21 * SECOND, 0, done(tokens));
    }
    let mut expected = |tenant, class| {
        desk.tenant = TenantId(tenant);
        now += 30 * SECOND;
        let found = answers(&desk.submit(now, Demand { class, ..chat() }));
        desk.tell(now, workflow::Command::Cancel { order: desk.order(0) });
        desk.settle(now + SECOND);
        found
    };
    let (usual, late) = expected(0, Class::Standard);
    assert!((96..112).contains(&usual) && (96..112).contains(&late), "{usual} {late}");
    let (usual, late) = expected(1, Class::Standard);
    assert!((1_792..2_048).contains(&usual) && late < 2_048, "{usual} {late}");
    let (usual, late) = expected(2, Class::Standard);
    assert!((96..112).contains(&usual) && (1_792..2_048).contains(&late), "{usual} {late}");
    assert_eq!(expected(0, Class::Interactive), (1_500, 3_000));
}

/// A vessel that takes twice the time it declares is expected to where a berth is not to be run into, from as many legs on
/// as the policy asks for; with time that is forgotten.
#[test]
fn a_vessel_is_as_fast_as_it_was_lately() {
    let mut policy = rules();
    policy.forecast.legs = 4;
    let mut desk = Desk::open(3, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 1, ..boat() });
    let short = || Demand { tokens_out_max: Tokens(100), ..demand() };
    // When the dory is free of an order that is handed to her now: of a second for its prompt and a second at most for
    // its answer.
    let free = |desk: &mut Desk, now: u64| {
        desk.submit(now, short());
        let [from, until] = [now, now + 500_000].map(Micros);
        let job = Demand { window: Some(Window { from, until }.into()), ..short() };
        let events = desk.submit(now, job);
        let Event::Workflow(workflow::Event::OrderRefused {
            refusal: Refusal::Allocator(allocator::Refusal::NoBerth { earliest }),
            ..
        }) = &events[0]
        else {
            panic!("{events:?}");
        };
        earliest.0 - now
    };
    let mut now = SECOND;
    for turn in 0..4 {
        assert_eq!(free(&mut desk, now), 2 * SECOND, "turn {turn}");
        now += 4 * SECOND;
        let events = desk.report(now, 0, done(100));
        let Event::Workflow(workflow::Event::LegCompleted { predicted, .. }) = events[0] else {
            panic!("{events:?}");
        };
        assert_eq!(predicted, Micros(2 * SECOND));
    }
    let row = desk.state().tables.loads.get(VesselId(0)).unwrap().pace;
    assert_eq!((row.took, row.predicted, row.legs), (Micros(16 * SECOND), Micros(8 * SECOND), 4));
    assert_eq!(free(&mut desk, now), 4 * SECOND);
    desk.report(now + 4 * SECOND, 0, done(100));
    // A span later five legs count as two, which are too few.
    assert_eq!(free(&mut desk, now + 1_000 * SECOND), 2 * SECOND);
}

/// Prompts are worked one after the other: whoever comes stands behind all of them, and no longer once they have left.
#[test]
fn a_prompt_stands_behind_those_before_it() {
    let mut desk = Desk::open(5, &rules(), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 10, ..boat() });
    let short = || Demand { tokens_out_max: Tokens(100), ..demand() };
    let queue = |events: &[Event]| {
        let found = events.iter().find_map(|event| match event {
            Event::Workflow(workflow::Event::LegDispatched { queue, .. }) => Some(queue.0 / 1_000),
            _ => None,
        });
        found.unwrap()
    };
    // A second for each prompt before it, and a tenth of the second and a half that each takes in all.
    let now = SECOND;
    let waits: Vec<u64> = (0..4).map(|_| queue(&desk.submit(now, short()))).collect();
    assert_eq!(waits, [0, 1_150, 2_300, 3_450]);
    // Half a second later half a prompt less is to be worked.
    assert_eq!(queue(&desk.submit(now + 500_000, short())), 4_600 - 500);
    // Those who are withdrawn leave no prompts behind: one order is left, and with it a second and a half at most.
    for slot in 0..4 {
        let order = desk.order(slot);
        desk.tell(now + 500_000, workflow::Command::Cancel { order });
    }
    assert_eq!(queue(&desk.submit(now + 500_000, short())), 1_500 + 150);
}
