//! What an order amounts to.

use crate::models::rows::Order;
use crate::telemetry::words::Event;

/// The settlement of an order, as its legs have added up.
pub(crate) fn settlement(order: &Order) -> Event {
    Event::OrderSettled {
        order: order.id,
        tenant: order.tenant,
        tokens_in: order.demand.tokens_in,
        cached: order.cached,
        tokens_out: order.tokens_out,
        cost: order.cost,
        energy: order.energy,
    }
}
