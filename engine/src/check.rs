//! What is true of every state between two records. Run after every record in tests and simulation.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::models::{Role, Stage};
use crate::state::State;
use crate::units::{BerthId, Micros, VesselId};
use crate::{allocator, routing};

impl State {
    /// Everything that contradicts itself, in sentences; empty for a sound state.
    ///
    /// Looks at every row: for tests, simulation and `verify`, not for the way of an order.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.check_digests(&mut faults);
        self.check_loads(&mut faults);
        self.check_orders(&mut faults);
        self.check_open(&mut faults);
        faults
    }

    fn check_digests(&self, faults: &mut Vec<String>) {
        for table in self.tables.all() {
            if table.digest() != table.recomputed_digest() {
                faults.push(alloc::format!("{}: the digest is not that of the rows", table.name()));
            }
        }
    }

    /// What vessels have aboard is what running orders have put there.
    fn check_loads(&self, faults: &mut Vec<String>) {
        let mut aboard: BTreeMap<VesselId, (u32, Micros)> = BTreeMap::new();
        for (_, order) in self.tables.orders.iter() {
            for leg in routing::capacity_legs(&allocator::held(order)) {
                let (used, backlog) = aboard.entry(leg.vessel).or_default();
                *used = used.saturating_add(1);
                *backlog += leg.work;
            }
        }
        for (id, load) in self.tables.loads.iter() {
            let (used, backlog) = aboard.remove(&id).unwrap_or_default();
            if (load.used, load.backlog) != (used, backlog) {
                faults.push(alloc::format!(
                    "loads.{id}: {} slots and {} us of work, but its orders hold {used} and {backlog}",
                    load.used,
                    load.backlog,
                ));
            }
        }
    }

    fn check_orders(&self, faults: &mut Vec<String>) {
        let mut live: BTreeMap<_, u64> = BTreeMap::new();
        let mut queued = 0u64;
        for (slot, order) in self.tables.orders.iter() {
            *live.entry(order.tenant).or_default() =
                live.get(&order.tenant).map_or(1, |n| n.saturating_add(1));
            if order.stage == Stage::Queued {
                queued = queued.saturating_add(1);
            }
            if order.id.slot() != slot {
                faults.push(alloc::format!("orders.{slot}: holds an order of another slot"));
            }
            if order.wake > order.deadline {
                faults.push(alloc::format!("orders.{slot}: nothing wakes it before its deadline"));
            }
            let berthed = order.stage == Stage::Berthed;
            if berthed != (order.berth != BerthId::NONE) {
                faults.push(alloc::format!("orders.{slot}: stage and berth contradict each other"));
            }
        }
        let counted = self.control().map_or(0, |control| control.queued);
        if counted != queued {
            faults.push(alloc::format!("control: {counted} orders queued, but {queued} wait"));
        }
        for (id, account) in self.tables.accounts.iter() {
            let found = live.get(&id).copied().unwrap_or(0);
            if account.live != found {
                faults
                    .push(alloc::format!("accounts.{id}: {} live, but {found} are", account.live));
            }
        }
    }

    /// The sets of open vessels are what the rows say.
    fn check_open(&self, faults: &mut Vec<String>) {
        for (id, vessel) in self.tables.vessels.iter() {
            let Some(load) = self.tables.loads.get(id) else { continue };
            let open = allocator::is_open(vessel, load);
            for model in &vessel.manifest.models {
                let Some(serving) = self.index.serving.get(model.0 as usize) else { continue };
                for (role, set) in Role::ALL.iter().zip(&serving.open) {
                    if set.contains(id.0) != (open && *role == vessel.manifest.role) {
                        faults.push(alloc::format!(
                            "vessels.{id}: its place among the open is wrong"
                        ));
                    }
                }
            }
        }
    }
}
