//! What is left of finished work: sums by tenant.

use crate::event::Event;
use crate::models::{End, Order};
use crate::state::State;
use crate::table::Breach;
use crate::units::TenantId;

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

/// Counts an order that ended.
pub(crate) fn count_end(state: &mut State, tenant: TenantId, end: End) -> Result<(), Breach> {
    let account = state.tables.accounts.edit(tenant, state.seq)?;
    if let Some(count) = account.ended.get_mut(end as usize) {
        *count = count.saturating_add(1);
    }
    if end != End::Refused {
        account.live = account.live.saturating_sub(1);
    }
    Ok(())
}

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    if let Event::OrderSettled { tenant, tokens_in, cached, tokens_out, cost, energy, .. } = event {
        let account = state.tables.accounts.edit(*tenant, state.seq)?;
        account.tokens_in += *tokens_in;
        account.cached += *cached;
        account.tokens_out += *tokens_out;
        account.cost += *cost;
        account.energy += *energy;
    }
    Ok(())
}
