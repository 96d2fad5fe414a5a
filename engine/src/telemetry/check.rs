//! What is true of accounts.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::units::{Ppm, Tokens};
use crate::state::State;

/// What is told of lengths is what their sketches say.
fn check_lengths(state: &State, faults: &mut Vec<String>) {
    for (id, row) in state.tables.lengths.iter() {
        let quantile = |share| Tokens(row.sketch.quantile(Ppm(share)));
        if (row.usual, row.late) != (quantile(500_000), quantile(950_000)) {
            faults.push(format!("lengths.{id}: not what its sketch says"));
        }
        if row.samples > row.sketch.count() {
            faults.push(format!("lengths.{id}: more samples than are counted"));
        }
    }
}

/// Every tenant has as many live orders as are counted, and as much set aside for them.
pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_lengths(state, faults);
    let mut live: BTreeMap<_, u64> = BTreeMap::new();
    for (_, order) in state.tables.orders.iter() {
        let count = live.entry(order.tenant).or_default();
        *count = count.saturating_add(1);
    }
    for (id, account) in state.tables.accounts.iter() {
        let found = live.remove(&id).unwrap_or(0);
        if account.live != found {
            faults.push(format!("accounts.{id}: {} live, but {found} are", account.live));
        }
    }
    let mut reserved: BTreeMap<_, u128> = BTreeMap::new();
    for (slot, reserve) in state.tables.reserves.iter() {
        let Some(order) = state.tables.orders.get(slot) else {
            faults.push(format!("reserves.{slot}: of no live order"));
            continue;
        };
        let sum = reserved.entry(order.tenant).or_default();
        *sum = sum.saturating_add(u128::from(reserve.amount.0));
    }
    for (_, stop) in state.tables.stops.iter() {
        let sum = reserved.entry(stop.tenant).or_default();
        let own = stop.reserved.map_or(0, |amount| u128::from(amount.0));
        *sum = sum.saturating_add(own);
    }
    reserved.retain(|_, sum| *sum > 0);
    for (id, spending) in state.tables.spending.iter() {
        let found = reserved.remove(&id).unwrap_or(0);
        let reserved = spending.reserved.in_picos();
        if reserved != found {
            faults.push(format!("spending.{id}: {reserved} reserved, but {found} are"));
        }
    }
    faults.extend(reserved.keys().map(|id| format!("spending.{id}: reserves, but no row")));
    faults.extend(live.keys().map(|id| format!("accounts.{id}: has orders, but no account")));
}
