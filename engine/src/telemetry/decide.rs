//! What an order amounts to, and what of it is charged.

use crate::kernel::units::{Millijoules, PicoUsd, Ppm};
use crate::models::rows::{End, Order};
use crate::state::State;
use crate::telemetry::words::Event;

/// The settlement of an order that ends so: its last attempt is charged as the policy says, and those before
/// it never are. None for an order that nobody has worked on.
pub(crate) fn settlement(state: &State, order: &Order, end: End) -> Option<Event> {
    let burnt = order.cost + order.wasted;
    if end != End::Completed && burnt == PicoUsd::ZERO && order.energy == Millijoules::ZERO {
        return None;
    }
    let charge = state.policy().map(|(_, policy)| &policy.charge);
    let share = match end {
        End::Completed => Ppm::ONE,
        End::Failed => charge.map_or(Ppm::ZERO, |charge| charge.failed),
        End::Expired => charge.map_or(Ppm::ZERO, |charge| charge.expired),
        End::Cancelled => charge.map_or(Ppm::ZERO, |charge| charge.cancelled),
        End::Refused => Ppm::ZERO,
    };
    Some(Event::OrderSettled {
        order: order.id,
        tenant: order.tenant,
        tokens_in: order.demand.tokens_in,
        cached: order.cached,
        tokens_out: order.tokens_out,
        cost: order.cost.share(share),
        burnt,
        energy: order.energy,
    })
}
