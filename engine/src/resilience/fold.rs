//! How breakers trip and close, and how long an order that failed waits.

use crate::kernel::table::Breach;
use crate::kernel::units::VesselId;
use crate::models::fold::alter_load;
use crate::models::rows::{Load, Stage};
use crate::resilience::rows::Breaker;
use crate::resilience::words::Event;
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::BreakerOpened { vessel, until, .. } => {
            let until = *until;
            fold_breaker(state, *vessel, |load| {
                load.breaker = Breaker::Open;
                load.retry_at = until;
            })
        }
        Event::BreakerProbing { vessel } => {
            fold_breaker(state, *vessel, |load| load.breaker = Breaker::Probing)
        }
        Event::BreakerClosed { vessel } => {
            fold_breaker(state, *vessel, |load| load.breaker = Breaker::Closed)
        }
        Event::RetryScheduled { order, at, .. } => {
            state.edit_order(*order)?.stage = Stage::Backoff;
            state.wake_order(*order, *at)
        }
    }
}

fn fold_breaker(
    state: &mut State,
    vessel: VesselId,
    change: impl FnOnce(&mut Load),
) -> Result<(), Breach> {
    alter_load(state, vessel, change)?;
    state.wake_vessel(vessel)
}
