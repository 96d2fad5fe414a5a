//! A state from its rows: the indexes are rebuilt.

use alloc::vec::Vec;

use crate::kernel::table::{Breach, Problem};
use crate::kernel::units::{JournalId, Micros, Seq};
use crate::models::rows::Stage;
use crate::state::State;
use crate::state::tables::Tables;

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
            table.import(key, writer, image.as_ref())?;
            // The limits come before whatever they bound.
            if table.name() == "limits" {
                state.bound()?;
            }
        }
        for number in 0..Tables::COUNT as u8 {
            state.sum = state.sum.wrapping_add(state.tables.settle(number, &mut state.scratch));
        }
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
        let orders = tables.orders.iter().map(|(_, order)| order);
        let mut waiting: Vec<_> = orders.filter(|order| order.stage == Stage::Queued).collect();
        waiting.sort_unstable_by_key(|order| order.ticket);
        for order in waiting {
            let lane = index.lanes.entry((order.demand.model, order.demand.class)).or_default();
            lane.push_back((order.ticket, order.id));
        }
    }
}
