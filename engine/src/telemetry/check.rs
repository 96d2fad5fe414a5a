//! What is true of accounts.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::state::State;

/// Every tenant has as many live orders as are counted.
pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
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
    faults.extend(live.keys().map(|id| format!("accounts.{id}: has orders, but no account")));
}
