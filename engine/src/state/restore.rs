//! A state from its rows: the indexes are rebuilt.

use alloc::collections::{BTreeMap, VecDeque};

use crate::kernel::table::{Breach, Problem, Table};
use crate::kernel::units::{JournalId, Micros, OrderSlot, Seq};
use crate::models::rows::{Order, Stage};
use crate::queue::index::{Lane, Lanes};
use crate::state::State;

impl State {
    /// A state from the rows of a snapshot, handed over table by table.
    pub fn restore(
        journal: JournalId,
        seq: Seq,
        rows: impl IntoIterator<Item = (u8, u32, Seq, impl AsRef<[u8]>)>,
    ) -> Result<Self, Breach> {
        let mut state = Self::empty(journal, seq);
        for (number, key, writer, image) in rows {
            let (module, row) = ("state", u64::from(number));
            let outside =
                Breach { seq, module, table: "tables", row, problem: Problem::OutOfBounds };
            let table = state.tables.by_number(number).ok_or(outside)?;
            state.writer.begin(writer);
            table.import(key, image.as_ref(), &mut state.writer)?;
            // The limits come before whatever they bound.
            if table.name() == "limits" {
                state.bound()?;
            }
            state.settle();
        }
        state.writer.begin(seq);
        state.now = state.control().map_or(Micros::ZERO, |control| control.now);
        state.rebuild_index();
        Ok(state)
    }

    fn rebuild_index(&mut self) {
        let (index, tables) = (&mut self.index, &self.tables);
        let parties = &mut index.parties;
        parties.tenants.extend(tables.tenants.iter().map(|(id, row)| (row.name.clone(), id)));
        parties.regions.extend(tables.regions.iter().map(|(id, row)| (row.name.clone(), id)));
        for (id, row) in tables.models.iter() {
            parties.models.insert(row.name.clone(), id);
            parties.serve(id);
        }
        for (id, row) in tables.vessels.iter() {
            parties.vessels.insert(row.name.clone(), id);
            if let Some(load) = tables.loads.get(id) {
                parties.enter(id, row, load);
            }
        }
        index.keys.extend(tables.keys.iter().map(|(slot, key)| ((key.tenant, key.key), slot)));
        for (id, berth) in tables.berths.iter() {
            index.berths.entry(berth.vessel).or_default().push(id);
        }
        index.lanes = lanes(&tables.orders);
    }
}

/// Who waits. Each list is made as long as it gets, so that none is there twice while it grows.
fn lanes(orders: &Table<OrderSlot, Order>) -> Lanes {
    let waiting = || {
        let queued = orders.iter().map(|(_, order)| order).filter(|o| o.stage == Stage::Queued);
        queued.map(|order| ((order.demand.model, order.demand.class), (order.ticket, order.id)))
    };
    let mut lengths: BTreeMap<Lane, usize> = BTreeMap::new();
    for (lane, _) in waiting() {
        let length = lengths.entry(lane).or_default();
        *length = length.saturating_add(1);
    }
    let empty = |(lane, length)| (lane, VecDeque::with_capacity(length));
    let mut lanes: Lanes = lengths.into_iter().map(empty).collect();
    for (lane, entry) in waiting() {
        lanes.entry(lane).or_default().push_back(entry);
    }
    lanes.values_mut().for_each(|lane| lane.make_contiguous().sort_unstable());
    lanes
}
