//! A state from its rows: the indexes are rebuilt.

use crate::kernel::table::{Breach, Problem};
use crate::kernel::units::{JournalId, Micros, OrderSlot, Seq};
use crate::models::rows::VesselStatus;
use crate::queue::index::Queues;
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
            if row.status != VesselStatus::Retired {
                parties.size(&row.manifest, true);
            }
            if let Some(load) = tables.loads.get(id) {
                parties.enter(id, row, load);
                if load.keeps_for != OrderSlot::NONE {
                    index.kept.insert((load.keeps_for, id));
                }
            }
        }
        for (id, berth) in tables.berths.iter() {
            index.berths.entry(berth.vessel).or_default().push(id);
        }
        for (slot, job) in tables.jobs.iter() {
            index.jobs.extend(job.spec.work.vessels().iter().map(|vessel| (*vessel, slot)));
        }
        index.queues = Queues::of(tables, parties);
    }
}
