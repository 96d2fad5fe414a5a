//! What is true of accounts and incidents.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::units::{Micros, Ppm, Tokens};
use crate::state::State;
use crate::telemetry::decide::incidents::told;
use crate::telemetry::rows::Severity;

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

/// What is open is one outage, of which whoever is on call knows the worst that is not silenced; and what is found is told
/// to be otherwise since some moment, or not at all.
fn check_incidents(state: &State, faults: &mut Vec<String>) {
    let (now, rows) = (state.now(), || state.tables.incidents.iter());
    let mut groups = rows().filter(|(_, row)| row.severity.is_some()).map(|(_, row)| row.group);
    let first = groups.next();
    if groups.any(|group| Some(group) != first) {
        faults.push("incidents: two outages at once".into());
    }
    for (concern, row) in rows() {
        let open = row.severity.is_some();
        let since = Severity::ALL.iter().zip(row.since);
        let mut wrong = since.map(|(severity, since)| {
            let differs = since != Micros::MAX;
            differs != row.differs(*severity) || differs && since > now
        });
        if wrong.any(|wrong| wrong) {
            faults.push(format!("incidents.{concern:?}: is not since when it is found otherwise"));
        }
        if open && (row.raised == 0 || row.raised_at > now || row.group > state.seq()) {
            faults.push(format!("incidents.{concern:?}: is open, and was never raised"));
        }
        if !row.is_silenced() && row.severity > told(state, row.group) {
            faults.push(format!("incidents.{concern:?}: nobody was told"));
        }
    }
}

/// Every tenant has as many live orders as are counted, and as much set aside for them.
pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_lengths(state, faults);
    check_incidents(state, faults);
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
