//! What is true of the level.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::units::{Micros, Ppm};
use crate::policy::rows::BurnAlert;
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
    check_promises(state, faults);
}

/// Orders are counted for those tenants that were promised something, and no window has more of them than there were.
fn check_promises(state: &State, faults: &mut Vec<String>) {
    for (id, contract) in state.tables.tenants.iter() {
        if (contract.sla.objective > Ppm::ZERO) != state.tables.sla.get(id).is_some() {
            faults.push(format!("sla.{id}: counted, but not promised, or the other way round"));
        }
    }
    for (id, row) in state.tables.sla.iter() {
        let within = |[good, bad]: [u64; 2], [all_good, all_bad]: [u64; 2]| {
            good <= all_good && bad <= all_bad
        };
        let counts = row.counts(state.now());
        let all = [row.good, row.bad];
        let longer = counts.iter().skip(1).chain([&all]);
        if counts.iter().zip(longer).any(|(short, long)| !within(*short, *long)) {
            faults.push(format!("sla.{id}: a window holds more than a longer one"));
        }
        let early = |alert: &BurnAlert| alert.since > state.now() && alert.since != Micros::MAX;
        if row.alerts.iter().any(|alert| early(alert) || alert.raised && alert.since == Micros::MAX)
        {
            faults.push(format!("sla.{id}: an alert of no time, or from the future"));
        }
    }
}
