//! Embeddings: prompts without answers.

use tensorforge_engine::models::{Demand, Kind, LegKind, Manifest, Role, Stage, Window};
use tensorforge_engine::policy::Policy;
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::routing::{Exclusion, exclusion};
use tensorforge_engine::units::{
    Micros, Millijoules, PicoUsd, Ppm, RegionId, TenantId, Tokens, VesselId,
};
use tensorforge_engine::workflow::Outcome;
use tensorforge_engine::{Event, models, routing, telemetry, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

fn rules() -> Policy {
    let mut policy = walk::policy();
    policy.timeout_min = Micros(100_000 * SECOND);
    policy.lifetime = [Micros(100_000 * SECOND); 3];
    policy.breaker.slow = Ppm::ZERO;
    policy.hedge_percent = [0; 3];
    policy.escalation.review = Micros(50_000 * SECOND);
    policy.escalation.dwell = Micros(50_000 * SECOND);
    policy
}

fn embedding() -> Demand {
    Demand { kind: Kind::Embedding, tokens_out_max: Tokens::ZERO, ..demand() }
}

fn of(role: Role) -> Manifest {
    Manifest { role, slots: 1, ..boat() }
}

/// Vessels of these roles, with a slot each.
fn with(roles: &[Role]) -> Desk {
    let mut desk = Desk::open(1, &rules(), (0, 0, 0));
    for (place, role) in roles.iter().enumerate() {
        desk.vessel(&format!("v{place}"), of(*role));
    }
    desk
}

fn done(tokens_out: u64) -> Outcome {
    let (cached, first_token, energy) = (Tokens::ZERO, Micros::ZERO, Millijoules(1_000));
    Outcome::Done { tokens_out: Tokens(tokens_out), cached, first_token, energy }
}

fn legs(events: &[Event]) -> Vec<(LegKind, u32, u64)> {
    let routes = events.iter().filter_map(|event| match event {
        Event::Routing(routing::Event::OrderRouted { route, .. }) => Some(route),
        _ => None,
    });
    routes.flatten().map(|leg| (leg.kind, leg.vessel.0, leg.work.0)).collect()
}

/// A thousand tokens take a second, wherever they are worked; the way there is a leg of its own.
#[test]
fn a_prompt_is_all_there_is_to_work() {
    let check = |roles: &[Role], expected: &[(LegKind, u32, u64)]| {
        let mut desk = with(roles);
        let far = Demand { origin: RegionId(1), ..embedding() };
        let events = desk.submit(SECOND, far);
        assert_eq!(legs(&events), expected, "{roles:?}: {events:?}");
    };
    let hop = |vessel| (LegKind::Hop, vessel, 10_000);
    check(&[Role::Whole], &[hop(0), (LegKind::Whole, 0, SECOND)]);
    check(&[Role::Prefill], &[hop(0), (LegKind::Prefill, 0, SECOND)]);
    check(&[Role::Decode, Role::Prefill], &[hop(1), (LegKind::Prefill, 1, SECOND)]);
}

/// It is done with its prompt, costs a micro-dollar a token, and nothing is learnt from it about answers, whatever is
/// reported.
#[test]
fn it_ends_with_its_prompt() {
    let mut desk = with(&[Role::Prefill]);
    desk.submit(SECOND, embedding());
    let events = desk.report(2 * SECOND, 0, done(70));
    let ended = events.iter().any(|event| {
        matches!(
            event,
            Event::Workflow(workflow::Event::OrderEnded { end: models::End::Completed, .. })
        )
    });
    let settled = events.iter().find_map(|event| match event {
        Event::Telemetry(telemetry::Event::OrderSettled {
            tokens_in, tokens_out, cost, ..
        }) => Some((tokens_in.0, tokens_out.0, *cost)),
        _ => None,
    });
    assert!(ended, "{events:?}");
    assert_eq!(settled, Some((1_000, 0, PicoUsd(1_000 * SECOND))));
    assert_eq!(desk.state().tables.lengths.iter().count(), 0);
    // An answer without a token is learnt from.
    let mut desk = with(&[Role::Whole]);
    desk.submit(SECOND, Demand { tokens_out_max: Tokens::ZERO, ..demand() });
    desk.report(2 * SECOND, 0, done(0));
    assert_eq!(desk.state().tables.lengths.iter().count(), 2);
}

/// An order that wants an answer waits for the mill; an embedding does not, and does not pass one that finds room.
#[test]
fn it_waits_for_nobody_who_writes_answers() {
    let mut desk = with(&[Role::Prefill, Role::Decode]);
    desk.submit(SECOND, demand());
    desk.submit(SECOND, embedding());
    assert_eq!((desk.count(Stage::Running), desk.count(Stage::Queued)), (1, 1));
    // The prompt is worked: the pump takes the embedding, while the mill is taken.
    let events = desk.report(2 * SECOND, 0, done(1));
    assert_eq!(legs(&events), [(LegKind::Prefill, 0, SECOND)]);
    desk.submit(2 * SECOND, demand());
    let events = desk.report(3 * SECOND, 1, done(0));
    assert_eq!(legs(&events), [], "the mill is still taken");
    assert_eq!(legs(&desk.submit(3 * SECOND, embedding())), [(LegKind::Prefill, 0, SECOND)]);
    // The mill comes free first; then both who wait find room at once, and the one who came first has it.
    desk.submit(3 * SECOND, embedding());
    desk.report(4 * SECOND, 0, done(50));
    let events = desk.report(5 * SECOND, 1, done(0));
    assert_eq!(legs(&events)[0].0, LegKind::Prefill);
    assert_eq!(legs(&events).len(), 2, "prompt and answer: {events:?}");
}

/// An embedding is refused where nobody works prompts, or none so large; an answer is where nobody writes it.
#[test]
fn it_needs_somebody_for_its_prompt() {
    let refused = |roles: &[Role], demand: Demand| {
        let events = with(roles).submit(SECOND, demand);
        match &events[..] {
            [Event::Workflow(workflow::Event::OrderRefused { refusal, .. })] => {
                Some(refusal.clone())
            }
            _ => None,
        }
    };
    let none = Some(Refusal::Models(models::Refusal::NoVessel));
    assert_eq!(refused(&[Role::Decode], embedding()), none);
    assert_eq!(refused(&[Role::Prefill], demand()), none);
    assert_eq!(refused(&[Role::Prefill], embedding()), None);
    let large = Demand { tokens_in: Tokens(4_001), ..embedding() };
    let (asked, max) = (Tokens(4_001), Tokens(4_000));
    let told = Some(Refusal::Models(models::Refusal::TooLarge { asked, max }));
    assert_eq!(refused(&[Role::Prefill], large), told);
    let invalid = |demand: Demand| match refused(&[Role::Whole], demand) {
        Some(Refusal::Workflow(workflow::Refusal::Invalid { fault })) => fault,
        other => panic!("{other:?}"),
    };
    let answer = Demand { tokens_out_max: Tokens(1), ..embedding() };
    assert_eq!(invalid(answer), "tokens_out_max is not 0, and an embedding has no answer");
    let window = Window { from: Micros(2 * SECOND), until: Micros(3 * SECOND) };
    let window = Demand { window: Some(window.into()), ..embedding() };
    assert_eq!(invalid(window), "an embedding has no window");
}

/// Whoever asks why a vessel is not to be had is told.
#[test]
fn halves_that_are_not_needed_are_told() {
    let mut desk = with(&[Role::Prefill, Role::Decode]);
    desk.exchange.wind();
    let told =
        |id: u32, demand: &Demand| exclusion(desk.state(), VesselId(id), TenantId(0), demand);
    assert_eq!((told(0, &embedding()), told(0, &demand())), (None, None));
    assert_eq!(told(1, &embedding()), Some(Exclusion::NoAnswer));
    assert_eq!(told(1, &demand()), None);
}
