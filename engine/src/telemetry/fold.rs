//! How what finished work leaves is added up.

use crate::kernel::table::Breach;
use crate::kernel::units::TenantId;
use crate::models::rows::End;
use crate::state::State;
use crate::telemetry::words::Event;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::OrderSettled { tenant, tokens_in, cached, tokens_out, cost, burnt, energy, .. } =
        event;
    let account = state.tables.accounts.edit(*tenant, &mut state.writer)?;
    account.tokens_in += *tokens_in;
    account.cached += *cached;
    account.tokens_out += *tokens_out;
    account.cost += *cost;
    account.burnt += *burnt;
    account.energy += *energy;
    Ok(())
}

/// Counts an order that ended.
pub(crate) fn count_end(state: &mut State, tenant: TenantId, end: End) -> Result<(), Breach> {
    let account = state.tables.accounts.edit(tenant, &mut state.writer)?;
    if let Some(count) = account.ended.get_mut(end as usize) {
        *count = count.saturating_add(1);
    }
    if end != End::Refused {
        account.live = account.live.saturating_sub(1);
    }
    Ok(())
}
