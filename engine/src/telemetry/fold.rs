//! How what finished work leaves is added up.

use crate::kernel::table::{Breach, Only};
use crate::kernel::units::{Micros, OrderId, PicoUsd, TenantId};
use crate::models::rows::{End, Usage};
use crate::state::State;
use crate::telemetry::rows::{Lengths, Money, Reserve, Spending};
use crate::telemetry::words::Event;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::OrderSettled { tenant, tokens_in, cached, tokens_out, cost, burnt, energy, .. } =
        event;
    let usage =
        Usage { tokens_in: *tokens_in, cached: *cached, tokens_out: *tokens_out, energy: *energy };
    add_usage(state, *tenant, &usage, (*cost, *burnt), true)
}

/// Adds to an account what was worked, what is charged for it and what it is worth; its tokens only where the order
/// has ended with it.
pub(crate) fn add_usage(
    state: &mut State,
    tenant: TenantId,
    usage: &Usage,
    (cost, burnt): (PicoUsd, PicoUsd),
    ended: bool,
) -> Result<(), Breach> {
    let account = state.tables.accounts.edit(tenant, &mut state.writer)?;
    if ended {
        account.tokens_in += usage.tokens_in;
        account.cached += usage.cached;
        account.tokens_out += usage.tokens_out;
    }
    let (mut charged, mut worth) = (account.charged(), account.worth());
    charged += cost;
    worth += burnt;
    (account.cost, account.cost_picos) = (charged.micros, charged.picos);
    (account.burnt, account.burnt_picos) = (worth.micros, worth.picos);
    account.energy += usage.energy;
    if state.tables.spending.get(tenant).is_some() {
        spend(state, tenant, |spending| spending.spent += cost)?;
    }
    Ok(())
}

/// What a tenant has spent in the present period, and has set aside.
pub(crate) fn spending(state: &State, tenant: TenantId, period: Micros) -> Spending {
    let (since, nothing) = (state.now, Money::default());
    let none = Spending { since, reserved: nothing, spent: nothing };
    state.tables.spending.get(tenant).map_or(none, |spending| spending.at(state.now, period))
}

fn spend(
    state: &mut State,
    tenant: TenantId,
    change: impl FnOnce(&mut Spending),
) -> Result<(), Breach> {
    let period = state.tables.tenants.get(tenant).map_or(Micros::ZERO, |row| row.budget_period);
    let mut row = spending(state, tenant, period);
    change(&mut row);
    state.tables.spending.put(tenant, row, &mut state.writer)
}

/// A tenant has a budget from now on: its first period begins.
pub(crate) fn open_budget(state: &mut State, tenant: TenantId) -> Result<(), Breach> {
    if state.tables.spending.get(tenant).is_some() { Ok(()) } else { spend(state, tenant, |_| {}) }
}

/// Sets aside what an order may be charged.
pub(crate) fn set_aside(
    state: &mut State,
    order: OrderId,
    tenant: TenantId,
    amount: PicoUsd,
) -> Result<(), Breach> {
    set_aside_for(state, tenant, amount)?;
    state.tables.reserves.insert(order.slot(), Reserve { amount }, &mut state.writer)
}

/// Sets so much aside of a tenant's budget.
pub(crate) fn set_aside_for(
    state: &mut State,
    tenant: TenantId,
    amount: PicoUsd,
) -> Result<(), Breach> {
    spend(state, tenant, |spending| spending.reserved += amount)
}

/// Sets so much aside no more.
pub(crate) fn give_back_for(
    state: &mut State,
    tenant: TenantId,
    amount: PicoUsd,
) -> Result<(), Breach> {
    spend(state, tenant, |spending| spending.reserved -= amount)
}

/// An order that has ended needs nothing any more.
pub(crate) fn set_free(state: &mut State, order: OrderId, tenant: TenantId) -> Result<(), Breach> {
    let Some(reserve) = state.tables.reserves.get(order.slot()).cloned() else { return Ok(()) };
    give_back_for(state, tenant, reserve.amount)?;
    state.tables.reserves.remove(order.slot(), &mut state.writer)
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

/// Counts how long the answer of an order that was served is, for its model and class and among its tenant's. Where
/// much is known already, a quarter of all orders is enough.
pub(crate) fn note_length(state: &mut State, id: OrderId) -> Result<(), Breach> {
    let tables = &mut state.tables;
    let (Some(order), Some(limits)) = (tables.orders.get(id.slot()), tables.limits.get(Only))
    else {
        return Ok(());
    };
    let (demand, tokens) = (&order.demand, order.tokens_out);
    let own = Lengths::of_one(limits, demand, order.tenant).map(|slot| (slot, order.tenant));
    let all = (Lengths::of_all(demand), TenantId::NONE);
    let lengths = &mut tables.lengths;
    for (slot, tenant) in own.into_iter().chain([all]) {
        let known = lengths.get(slot).map_or(0, |row| row.samples);
        if !Lengths::counts(known, id) {
            continue;
        }
        if lengths.get(slot).is_none() {
            lengths.insert(slot, Lengths::none(demand, tenant), &mut state.writer)?;
        }
        let row = lengths.edit(slot, &mut state.writer)?;
        if !row.holds(demand, tenant) {
            // One of whom more is known is left his place, and will have lost it if he comes no more.
            row.samples = row.samples.saturating_sub(1);
            if row.samples > 0 {
                continue;
            }
            *row = Lengths::none(demand, tenant);
        }
        row.note(tokens);
    }
    Ok(())
}
