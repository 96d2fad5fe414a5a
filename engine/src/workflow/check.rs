//! What is true of remembered keys.

use alloc::string::String;
use alloc::vec::Vec;

use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    let keys = &state.tables.keys;
    let found =
        keys.iter().all(|(slot, row)| state.index.keys.get(&(row.tenant, row.key)) == Some(&slot));
    if !found || state.index.keys.len() != keys.len() as usize {
        faults.push("keys: not found by tenant and key".into());
    }
}
