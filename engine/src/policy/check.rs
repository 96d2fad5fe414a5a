//! What is true of the level.

use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::units::Micros;
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    let Some(stance) = state.stance() else { return };
    let overridden = stance.override_until != Micros::ZERO;
    let wrong = [
        (stance.level_since > state.now(), "stance: the level is from the future"),
        (
            overridden && stance.review_at > stance.override_until,
            "stance: nobody looks at the override when it is over",
        ),
        (stance.drift.sum.0 > 0 && stance.drift.reviews == 0, "stance: drifts from nothing"),
    ];
    faults.extend(wrong.iter().filter(|(wrong, _)| *wrong).map(|(_, what)| String::from(*what)));
}
