//! How what finished work leaves is added up, and what is known of incidents.

use crate::kernel::table::{Breach, Only};
use crate::kernel::units::{Micros, OrderId, PicoUsd, TenantId};
use crate::models::rows::{End, Usage};
use crate::state::State;
use crate::telemetry::rows::{Concern, Incident, Lengths, Money, Notice, Reserve, Spending};
use crate::telemetry::words::Event;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match *event {
        Event::OrderSettled {
            tenant, tokens_in, cached, tokens_out, cost, burnt, energy, ..
        } => {
            let usage = Usage { tokens_in, cached, tokens_out, energy };
            add_usage(state, tenant, &usage, (cost, burnt), true)
        }
        Event::IncidentSeen { concern, severity, found } => incident(state, concern, |row| {
            (row.seen, row.found) = (severity, found);
        }),
        Event::IncidentRaised { concern, from, severity, found, group, notice } => {
            let now = state.now;
            incident(state, concern, |row| {
                if from.is_none() {
                    row.raised_at = now;
                    row.raised = row.raised.saturating_add(1);
                }
                if row.group != group {
                    (row.group, row.told) = (group, None);
                }
                if notice == Notice::Told {
                    row.told = row.told.max(Some(severity));
                }
                (row.severity, row.found) = (Some(severity), found);
            })
        }
        Event::IncidentResolved { concern, found, .. } => incident(state, concern, |row| {
            (row.severity, row.found) = (None, found);
        }),
        Event::IncidentSilenced { concern, until } => {
            incident(state, concern, |row| row.silenced_until = until)
        }
        Event::SilenceEnded { concern, severity, notice, .. } => incident(state, concern, |row| {
            row.silenced_until = Micros::ZERO;
            if notice == Notice::Told {
                row.told = row.told.max(severity);
            }
        }),
    }
}

fn incident(
    state: &mut State,
    concern: Concern,
    change: impl FnOnce(&mut Incident),
) -> Result<(), Breach> {
    let known = state.tables.incidents.get(concern).copied();
    let mut row = known.unwrap_or(Incident::NONE);
    change(&mut row);
    row.turn(state.now);
    state.tables.incidents.put(concern, row, &mut state.writer)
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
    if !demand.answers() {
        return Ok(());
    }
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
