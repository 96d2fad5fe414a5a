//! What is told of a vessel to whoever asks: why it cannot be had, and how many it could take.

use tensorforge_engine::models::{Demand, Kind, Manifest, Role, Window};
use tensorforge_engine::routing::{Exclusion, exclusion, room};
use tensorforge_engine::units::{Micros, ModelId, TenantId, Tokens, VesselId};
use tensorforge_engine::{models, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk;

const SECOND: u64 = 1_000_000;

/// A job that wants a slot from one second to another.
fn job(from: u64, until: u64) -> Demand {
    let window = Window { from: Micros(from * SECOND), until: Micros(until * SECOND) };
    Demand { kind: Kind::Training, window: Some(window.into()), ..demand() }
}

fn why(desk: &Desk, vessel: u32, demand: &Demand) -> Option<Exclusion> {
    exclusion(desk.state(), VesselId(vessel), TenantId(0), demand)
}

#[test]
fn a_vessel_is_out_by_the_first_reason_there_is() {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 1, ..boat() });
    desk.vessel("pump", Manifest { role: Role::Prefill, ..boat() });
    let other = Demand { model: ModelId(7), ..demand() };
    let large = Demand { tokens_in: Tokens(4_000), ..demand() };
    let too_large = Exclusion::TooLarge { asked: Tokens(4_100), max: Tokens(4_000) };
    for (vessel, demand, expected) in [
        (0, demand(), None),
        (9, demand(), Some(Exclusion::Unknown)),
        (0, other, Some(Exclusion::OtherModel)),
        (0, large.clone(), Some(too_large)),
        (1, large, Some(too_large)),
        (1, demand(), Some(Exclusion::NoOtherHalf { role: Role::Prefill })),
        (1, job(9, 10), Some(Exclusion::WrongRole { role: Role::Prefill })),
        (0, job(9, 10), None),
    ] {
        assert_eq!(why(&desk, vessel, &demand), expected, "{vessel}: {demand:?}");
    }
    desk.submit(SECOND, demand());
    assert_eq!(why(&desk, 0, &demand()), Some(Exclusion::Full { used: 1, slots: 1 }));
    assert_eq!(why(&desk, 0, &job(9, 10)), None, "a berth is of another time");
    let (name, manifest) = ("mill".into(), Manifest { role: Role::Decode, ..boat() });
    desk.tell(SECOND, models::Command::RegisterVessel { name, manifest, start: 0 });
    assert_eq!([1, 2].map(|vessel| why(&desk, vessel, &demand())), [None, None]);
}

/// Three slots, one of them promised from 10 s on. An order takes two seconds at most, so at 8 s three are done by then,
/// and at 9 s two may still be aboard.
#[test]
fn no_more_fit_than_the_berths_leave() {
    let mut policy = walk::policy();
    policy.forecast.samples = 127;
    policy.forecast.legs = u32::MAX;
    let mut desk = Desk::open(2, &policy, (0, 0, 0));
    desk.vessel("dory", Manifest { slots: 3, ..boat() });
    desk.submit(SECOND, job(10, 12));
    let slots = |desk: &mut Desk, second: u64| {
        desk.settle(second * SECOND);
        desk.tell(second * SECOND, workflow::Command::Advance);
        room(desk.state(), VesselId(0), TenantId(0), &demand()).map(|room| room.slots)
    };
    assert_eq!(slots(&mut desk, 8), Some(3));
    assert_eq!(slots(&mut desk, 9), Some(2));
    desk.submit(9 * SECOND, demand());
    let room = room(desk.state(), VesselId(0), TenantId(0), &demand()).unwrap();
    // A thousandth of a second for each of a thousand tokens, ten for each of a hundred.
    assert_eq!((room.slots, room.frees), (1, vec![Micros(11 * SECOND)]));
}
