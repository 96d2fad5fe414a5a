//! The risk, what it is made of, and the level that follows it.

use tensorforge_engine::models::Promise;
use tensorforge_engine::policy::{
    self, Drift, DriftRule, Policy, RiskWeights, Signal, Sla, SlaRule,
};

use super::*;

pub(super) const NOTHING: RiskWeights =
    RiskWeights { failing: Ppm(0), pressure: Ppm(0), late: Ppm(0), cut_off: Ppm(0), drift: Ppm(0) };

/// What is tried once, before breakers that never open, and reviewed every second.
pub(super) fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.retry.attempts = 1;
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    policy.escalation.calls = 10;
    policy.escalation.window = Micros(100_000);
    policy.escalation.review = Micros(1_000_000);
    policy.escalation.dwell = Micros(1_000_000);
    policy.incidents.begins = [[Ppm(0); 4]; 7];
    policy
}

/// Ten orders shortly before the end of a second, of which so many fail; then the review.
pub(super) fn second(desk: &mut Desk, number: u64, failing: usize) -> Vec<Event> {
    let end = number * 1_000_000;
    for turn in 0..10 {
        let events = desk.submit(end - 50_000, Demand { class: Class::Interactive, ..demand() });
        let Some(Event::Workflow(workflow::Event::OrderAdmitted { order, .. })) = events.first()
        else {
            continue;
        };
        let outcome = if turn < failing { Outcome::Failed(Fault::Error) } else { DONE };
        desk.report(end - 50_000, order.slot().0, outcome);
    }
    desk.tell(end, workflow::Command::Advance)
}

/// The level that these events lead to, the risk it is for, and what carried it.
fn moved(events: &[Event]) -> Option<(PolicyLevel, u64, Vec<Signal>)> {
    events.iter().find_map(|event| match event {
        Event::Policy(policy::Event::LevelChanged { to, risk, reasons, .. }) => {
            Some((*to, risk.0, reasons.to_vec()))
        }
        _ => None,
    })
}

/// Half of four legs fail, and a quarter of all slots is behind the breaker that this opens: each counts as it
/// is weighed, and the fewest that reach the threshold are told.
#[test]
fn what_speaks_for_a_risk_adds_up() {
    use PolicyLevel::{Elevated, Halted, Restricted};
    use Signal::{CutOff, Failing};
    let check = |failing: u64, cut_off: u64, risk: u64, level| {
        let mut policy = walk::policy();
        policy.retry.attempts = 1;
        policy.breaker.failures = 2;
        policy.escalation.calls = 4;
        policy.escalation.window = Micros(10_000_000);
        policy.escalation.review = Micros(60_000_000);
        policy.escalation.dwell = Micros(60_000_000);
        policy.escalation.weights =
            RiskWeights { failing: Ppm(failing), cut_off: Ppm(cut_off), ..NOTHING };
        let mut desk = Desk::open(1, &policy, (0, 0, 0));
        desk.vessel("dory", boat());
        // Takes no order by itself.
        desk.vessel("tug", Manifest { role: Role::Prefill, slots: 6, ..boat() });
        answer(&mut desk, 59_500_000, 1_000, "..xx");
        assert_eq!(breakers::breaker(&desk, 0), Breaker::Open);
        let events = desk.tell(60_000_000, workflow::Command::Advance);
        let stance = desk.state().stance().unwrap();
        assert_eq!((stance.risk, moved(&events)), (Ppm(risk), level), "{failing} {cut_off}");
    };
    // 500 000, and of 300 000, 500 000 and 900 000 the second is reached.
    check(1_000_000, 0, 500_000, Some((Restricted, 500_000, vec![Failing])));
    // 750 000, of which the first is enough.
    check(1_000_000, 1_000_000, 750_000, Some((Restricted, 750_000, vec![Failing])));
    // Two alike: the one that is listed first is told first.
    check(500_000, 1_000_000, 500_000, Some((Restricted, 500_000, vec![Failing, CutOff])));
    check(400_000, 1_000_000, 450_000, Some((Elevated, 450_000, vec![CutOff, Failing])));
    check(0, 1_000_000, 250_000, None);
    // A third of a third of 500 000 is rounded down.
    check(111_111, 0, 55_555, None);
    // There is no more than all.
    check(10_000_000, 10_000_000, 1_000_000, Some((Halted, 1_000_000, vec![Failing])));
}

/// Each level has a risk at which it begins, and one below which it is left, step by step.
#[test]
fn a_level_is_left_below_its_own_threshold() {
    use PolicyLevel::{Elevated, Halted, Normal, Restricted};
    let mut policy = rules();
    policy.escalation.elevated = Ppm(400_000);
    policy.escalation.elevated_below = Ppm(200_000);
    policy.escalation.restricted = Ppm(600_000);
    policy.escalation.restricted_below = Ppm(500_000);
    policy.escalation.halted = Ppm(800_000);
    policy.escalation.halted_below = Ppm(700_000);
    policy.escalation.weights = RiskWeights { failing: Ppm(1_000_000), ..NOTHING };
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    for (number, (failing, level)) in (1..).zip([
        (3, Normal),
        (4, Elevated),
        (3, Elevated),
        // Not below 200 000.
        (2, Elevated),
        (1, Normal),
        // Two at once.
        (6, Restricted),
        (5, Restricted),
        // Below 500 000, and not below 200 000.
        (4, Elevated),
        (4, Elevated),
        (9, Halted),
        // Nobody is admitted, and so nothing fails.
        (9, Restricted),
        (0, Elevated),
        (0, Normal),
    ]) {
        second(&mut desk, number, failing);
        assert_eq!(desk.state().stance().unwrap().level, level, "second {number}");
    }
}

/// What fails beyond the usual and a slack of 50 000 is added up to twice 200 000; the usual is a mean of four reviews.
#[test]
fn what_creeps_in_is_told_from_what_is_usual() {
    let mut policy = rules();
    policy.escalation.weights = RiskWeights { drift: Ppm(200_000), ..NOTHING };
    policy.escalation.drift = DriftRule { slack: Ppm(50_000), threshold: Ppm(200_000), reviews: 4 };
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    for (number, (failing, usual, sum, reviews, alarm)) in (1..).zip([
        // The first share is what is usual.
        (Some(1), 100_000, 0, 1, false),
        (Some(1), 100_000, 0, 2, false),
        // 300 000 - 100 000 - 50 000; and a third of 200 000.
        (Some(3), 166_666, 150_000, 3, false),
        // 150 000 + 300 000 - 166 666 - 50 000; and a fourth of 133 334.
        (Some(3), 199_999, 233_334, 4, true),
        (Some(3), 224_999, 283_335, 4, true),
        // No more than twice 200 000.
        (Some(10), 418_749, 400_000, 4, true),
        // Nobody came: as many as usual, but for the slack.
        (None, 418_749, 350_000, 4, true),
        (Some(0), 314_062, 0, 4, false),
    ]) {
        match failing {
            Some(failing) => second(&mut desk, number, failing),
            None => desk.tell(number * 1_000_000, workflow::Command::Advance),
        };
        let stance = desk.state().stance().unwrap();
        let drift = Drift { usual: Ppm(usual), sum: Ppm(sum), reviews, alarm };
        assert_eq!(stance.drift, drift, "second {number}");
        assert_eq!(stance.risk, Ppm(if alarm { 200_000 } else { 0 }), "second {number}");
    }
}

/// Somebody has the level hold where the risk would not have it, for no longer than the policy lets him; after that
/// the level is where the risk is.
#[test]
fn an_override_holds_and_ends() {
    use PolicyLevel::{Elevated, Halted, Normal, Restricted};
    let mut policy = rules();
    policy.escalation.weights = RiskWeights { failing: Ppm(1_000_000), ..NOTHING };
    policy.escalation.override_max = Micros(3_500_000);
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    let told = |events: &[Event]| -> Vec<String> {
        let told = events.iter().map(|event| match event {
            Event::Policy(policy::Event::RiskReviewed { risk, next, .. }) => {
                format!("risk {risk}, next {next}")
            }
            Event::Policy(policy::Event::LevelOverridden { from, level, until }) => {
                format!("{from:?} -> {level:?} until {until}")
            }
            Event::Policy(policy::Event::OverrideEnded { from, level, reason }) => {
                format!("{from:?} -> {level:?} {reason:?}")
            }
            Event::Policy(policy::Event::LevelChanged { from, to, .. }) => {
                format!("{from:?} -> {to:?}")
            }
            Event::Workflow(workflow::Event::CommandRefused { refusal }) => refusal.to_string(),
            other => panic!("{other:?}"),
        });
        told.collect()
    };
    let hold = |level, until| policy::Command::Override { level, until: Micros(until) };
    // The time before the bound, and there has to be one.
    for (until, refusal) in [
        (100, "invalid: until is not ahead"),
        (3_500_101, "override_too_long asked=3500001 max=3500000"),
    ] {
        assert_eq!(told(&desk.tell(100, hold(Halted, until))), [refusal]);
    }
    assert_eq!(told(&desk.tell(100, policy::Command::EndOverride)), ["no_override"]);
    let events = desk.tell(100, hold(Restricted, 3_500_100));
    assert_eq!(told(&events), ["Normal -> Restricted until 3500100"]);
    // The risk alone would have it halted, and then normal.
    let events = second(&mut desk, 1, 9);
    assert_eq!(told(&events), ["risk 900000, next 2000000"]);
    let advance = workflow::Command::Advance;
    assert_eq!(told(&desk.tell(2_000_000, advance.clone())), ["risk 0, next 3000000"]);
    // Another policy does not end it, and the review is no later than its end.
    desk.tell(2_900_000, policy::Command::SetPolicy(Box::new(policy.clone())));
    assert_eq!(desk.state().next_deadline(), Some(Micros(3_500_100)));
    let events = desk.tell(3_500_100, advance.clone());
    assert_eq!(told(&events), ["risk 0, next 4500100", "Restricted -> Normal Expired"]);
    // Let in although everything fails; one override takes the place of another. It is withdrawn at once.
    desk.tell(3_600_000, hold(Elevated, 7_000_000));
    let events = desk.tell(3_700_000, hold(Normal, 7_000_000));
    assert_eq!(told(&events), ["Elevated -> Normal until 7000000"]);
    desk.settle(4_600_000);
    second(&mut desk, 5, 6);
    let events = desk.tell(5_000_001, policy::Command::EndOverride);
    assert_eq!(told(&events), ["risk 600000, next 6000001", "Normal -> Restricted Withdrawn"]);
    let stance = desk.state().stance().unwrap();
    assert_eq!((stance.override_until, stance.level_since), (Micros(0), Micros(5_000_001)));
}

/// A desk whose tenant was promised that so many of its orders are good, within five seconds and a first token in half of
/// one; every minute is reviewed, and no level moves.
fn promised(objective: u64, rule: SlaRule) -> Desk {
    let mut policy = rules();
    policy.breaker.slow = Ppm(0);
    policy.escalation.weights = RiskWeights { drift: Ppm(1), ..NOTHING };
    policy.escalation.review = Micros(60_000_000);
    policy.escalation.dwell = Micros(60_000_000);
    policy.escalation.override_max = Micros(60_000_000);
    policy.sla = rule;
    let mut desk = Desk::open(1, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 64, ..boat() });
    let sla = Promise {
        objective: Ppm(objective),
        first_token: Micros(500_000),
        latency: Micros(5_000_000),
    };
    desk.tell(0, models::Command::RegisterTenant(Tenant { sla, ..Tenant::unlimited("alba") }));
    desk
}

fn rule() -> SlaRule {
    SlaRule {
        burns: [Ppm(3_000_000), Ppm(2_000_000), Ppm(1_000_000)],
        clear: Ppm(500_000),
        hold: Micros(60_000_000),
        orders: 10,
    }
}

fn sla(desk: &Desk) -> &Sla {
    desk.state().tables.sla.get(TenantId(0)).unwrap()
}

/// What becomes of an order, and whether that is good, bad, or does not count.
#[test]
fn an_order_is_as_good_as_was_promised_or_it_is_not() {
    let mut desk = promised(900_000, rule());
    let counted = |desk: &Desk| [sla(desk).good, sla(desk).bad];
    let done = |first_token| Outcome::Done {
        tokens_out: Tokens(100),
        cached: Tokens::ZERO,
        first_token: Micros(first_token),
        energy: Millijoules::ZERO,
    };
    for (at, took, outcome, after) in [
        (10, 5_000_000, done(500_000), [1, 0]),
        (10_000_000, 5_000_001, done(500_000), [1, 1]),
        (20_000_000, 1_000_000, done(500_001), [1, 2]),
        // No first token is none too late.
        (22_000_000, 1_000_000, done(0), [2, 2]),
        (24_000_000, 1_000, Outcome::Failed(Fault::Error), [2, 3]),
    ] {
        desk.submit(at, demand());
        desk.report(at + took, 0, outcome);
        assert_eq!(counted(&desk), after, "{at}");
    }
    // Withdrawn: neither.
    desk.submit(25_000_000, demand());
    let order = desk.order(0);
    desk.tell(25_000_001, workflow::Command::Cancel { order });
    assert_eq!(counted(&desk), [2, 3]);
    // Expired.
    desk.submit(26_000_000, Demand { deadline: Micros(26_500_000), ..demand() });
    desk.settle(27_000_000);
    assert_eq!(counted(&desk), [2, 4]);
    // Too large for any vessel is the tenant's own doing; to be turned away by the level is not.
    desk.submit(27_000_000, Demand { tokens_in: Tokens(9_000), ..demand() });
    assert_eq!(counted(&desk), [2, 4]);
    let hold = policy::Command::Override { level: PolicyLevel::Halted, until: Micros(50_000_000) };
    desk.tell(28_000_000, hold);
    desk.submit(28_000_000, demand());
    assert_eq!((counted(&desk), sla(&desk).compliance()), ([2, 5], Ppm(285_714)));
    // Whoever is promised nothing any more is not counted.
    desk.tell(29_000_000, models::Command::RegisterTenant(Tenant::unlimited("alba")));
    assert!(desk.state().tables.sla.is_empty());
}

/// An order counts in a window for as long as that is, and for a fourth longer at most: up to the fifth multiple of that
/// fourth behind it.
#[test]
fn windows_forget() {
    let mut desk = promised(900_000, rule());
    desk.submit(10, demand());
    desk.report(1_000_000, 0, DONE);
    for (seconds, counted) in [
        (374, [1, 1, 1, 1, 1]),
        (375, [0, 1, 1, 1, 1]),
        (2_249, [0, 1, 1, 1, 1]),
        (2_250, [0, 0, 1, 1, 1]),
        (4_500, [0, 0, 0, 1, 1]),
        (26_999, [0, 0, 0, 1, 1]),
        (27_000, [0, 0, 0, 0, 1]),
        (324_000, [0, 0, 0, 0, 0]),
    ] {
        let counts = sla(&desk).counts(Micros(seconds * 1_000_000));
        assert_eq!(counts, counted.map(|good| [good, 0]), "{seconds}");
    }
}

/// So many orders at a moment, of which so many fail; then the review at such a minute, and what that says of burns.
fn minute(desk: &mut Desk, at: u64, orders: usize, failing: usize, minute: u64) -> Vec<String> {
    for turn in 0..orders {
        desk.submit(at, demand());
        let outcome = if turn < failing { Outcome::Failed(Fault::Error) } else { DONE };
        desk.report(at, 0, outcome);
    }
    let events = desk.tell(minute * 60_000_000, workflow::Command::Advance);
    let told = events.iter().filter_map(|event| match event {
        Event::Policy(policy::Event::BurnSeen { window, burn, .. }) => {
            Some(format!("{window:?} {burn} seen"))
        }
        Event::Policy(policy::Event::BurnRaised { window, burn, budget_left, .. }) => {
            Some(format!("{window:?} {burn} raised, {budget_left} left"))
        }
        Event::Policy(policy::Event::BurnCleared { window, burn, raised, .. }) => {
            Some(format!("{window:?} {burn} cleared, raised {raised}"))
        }
        _ => None,
    });
    told.collect()
}

/// A tenth may go wrong; what does is a multiple of that. It is told where it is high over a long window and a short one,
/// if there were enough orders and it lasts, and is over at half of that over the short one.
#[test]
fn what_burns_is_told() {
    // Four of ten: four times a tenth. It has to last for a minute.
    let mut desk = promised(900_000, rule());
    assert_eq!(
        minute(&mut desk, 50_000_000, 10, 4, 1),
        ["Hour 4000000 seen", "SixHours 4000000 seen", "ThreeDays 4000000 seen"]
    );
    assert_eq!(
        minute(&mut desk, 70_000_000, 0, 0, 2),
        [
            "Hour 4000000 raised, 0 left",
            "SixHours 4000000 raised, 0 left",
            "ThreeDays 4000000 raised, 0 left"
        ]
    );
    // Four of forty: below one and a half, not below one, not below a half.
    assert_eq!(minute(&mut desk, 130_000_000, 30, 0, 3), ["Hour 1000000 cleared, raised true"]);
    // Four of fifty.
    assert_eq!(minute(&mut desk, 190_000_000, 10, 0, 4), ["SixHours 800000 cleared, raised true"]);
    let promise = desk.state().tables.tenants.get(TenantId(0)).unwrap().sla.clone();
    let now = desk.state().now();
    assert_eq!(sla(&desk).burns(now, &promise), [Ppm(800_000); 5]);
    assert_eq!(sla(&desk).budget_left(now, &promise), Ppm(200_000));
    let since: Vec<u64> = sla(&desk).alerts.iter().map(|alert| alert.since.0).collect();
    assert_eq!(since, [u64::MAX, u64::MAX, 60_000_000]);

    // What does not last is not told, but for what does.
    let mut desk = promised(900_000, rule());
    assert_eq!(minute(&mut desk, 50_000_000, 10, 4, 1).len(), 3);
    assert_eq!(
        minute(&mut desk, 70_000_000, 30, 0, 2),
        [
            "Hour 1000000 cleared, raised false",
            "SixHours 1000000 cleared, raised false",
            "ThreeDays 1000000 raised, 0 left"
        ]
    );
    // Nine are too few; and where nothing has to last it is told at once.
    let mut desk = promised(900_000, rule());
    assert_eq!(minute(&mut desk, 50_000_000, 9, 4, 1), Vec::<String>::new());
    let mut desk = promised(900_000, SlaRule { hold: Micros(0), ..rule() });
    assert_eq!(
        minute(&mut desk, 50_000_000, 10, 2, 1),
        ["SixHours 2000000 raised, 0 left", "ThreeDays 2000000 raised, 0 left"]
    );
    // One of thirty, where one of a thousand may: 33 and a third, rounded down.
    let mut desk = promised(999_000, SlaRule { hold: Micros(0), ..rule() });
    assert_eq!(minute(&mut desk, 50_000_000, 30, 1, 1)[0], "Hour 33333333 raised, 0 left");
}
