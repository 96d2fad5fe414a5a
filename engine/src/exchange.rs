//! The face of the engine: decide a command, or fold what was decided.

use alloc::vec::Vec;

use crate::command::{Command, Stamp};
use crate::event::Event;
use crate::fold::fold;
use crate::kernel::table::Breach;
use crate::kernel::units::{JournalId, Micros, OrderId, Seq};
use crate::refusal::Refusal;
use crate::security::decide::require;
use crate::security::rows::{Scope, Source};
use crate::state::State;
use crate::transaction::Transaction;
use crate::workflow::decide::{refuse, serve};
use crate::workflow::refusal::Refusal as Workflow;
use crate::{allocator, config, jobs, models, policy, telemetry, workflow};

/// The exchange: the state and the two ways to move it.
#[derive(Clone, Debug)]
pub struct Exchange {
    state: State,
}

impl Exchange {
    /// The most bytes of events that a record has, besides the one that repeats its command.
    pub const RECORD_BYTES_MAX: usize = Transaction::BYTES + 2 * Transaction::UNIT_BYTES;

    /// The exchange of a new journal.
    pub fn genesis(journal: JournalId) -> Self {
        Self::resume(State::genesis(journal))
    }

    /// The exchange at some state of its journal.
    pub fn resume(state: State) -> Self {
        Self { state }
    }

    /// The state after the last record.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state, when nothing more is to be decided.
    pub fn into_state(self) -> State {
        self.state
    }

    /// Has ready what decisions ask for, for whoever asks before the first decision after a fold, which has it so by
    /// itself.
    pub fn wind(&mut self) {
        self.state.wind();
    }

    /// Decides `command`, appends what is decided to `events` and folds it.
    ///
    /// Every command is decided: one that cannot be done is refused by an event.
    /// A breach means that decide and fold disagree; the state must not be used any more.
    pub fn decide(
        &mut self,
        stamp: Stamp,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Result<(), Breach> {
        let now = self.state.now();
        self.anticipate(command.continues().into_iter());
        self.state.wind();
        self.state.begin(stamp.seq, stamp.time)?;
        let mut tx = Transaction::new(&mut self.state, stamp, events);
        let decided = if stamp.time < now {
            Err(Workflow::TimeRegressed { now }.into())
        } else {
            dispatch(&mut tx, command)
        };
        if let Err(refusal) = decided {
            refuse(&mut tx, command, refusal);
        }
        serve(&mut tx);
        let breach = tx.into_breach();
        self.state.prune();
        self.state.settle();
        breach.map_or(Ok(()), Err)
    }

    /// Folds what record `seq` decided at `time`.
    ///
    /// The first decision after a fold looks at every row for its timers: fold first, then decide.
    pub fn fold(&mut self, seq: Seq, time: Micros, events: &[Event]) -> Result<(), Breach> {
        self.fold_unsettled(seq, time, events)?;
        self.settle();
        Ok(())
    }

    /// Folds without bringing the digests up to date: [`settle`](Self::settle) has to come before one
    /// is read. Spares the digests of rows that many records write, where no tag is asked for between.
    pub fn fold_unsettled(
        &mut self,
        seq: Seq,
        time: Micros,
        events: &[Event],
    ) -> Result<(), Breach> {
        self.state.unwind();
        self.state.begin(seq, time)?;
        events.iter().try_for_each(|event| fold(&mut self.state, event))
    }

    /// Looks at the rows of orders that records to come will change. Nothing comes of it, but that memory
    /// brings all at once what nobody has looked at for long: whoever folds would wait for one after the
    /// other, and for nothing as long.
    pub fn anticipate(&self, orders: impl Iterator<Item = OrderId>) {
        for order in orders {
            if let Some(row) = self.state.tables.orders.get(order.slot()) {
                // A field of each line of memory that a row takes.
                let lines = (row.demand.external, row.id, row.wake, row.energy, row.tenant);
                core::hint::black_box(lines);
            }
        }
    }

    /// Brings the digests up to date with everything folded so far.
    pub fn settle(&mut self) {
        self.state.settle();
    }
}

/// Hands a command to the module that decides it. Scope first, then bounds, then the rules.
fn dispatch(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    let source = tx.stamp().source;
    require(source, scope(source, command))?;
    if tx.state().limits().is_none() && !matches!(command, Command::Config(_)) {
        return Err(config::words::Refusal::NotConfigured.into());
    }
    match command {
        Command::Config(command) => config::decide::decide(tx, command),
        Command::Models(command) => models::decide::decide(tx, command),
        Command::Policy(command) => policy::decide::decide(tx, command),
        Command::Workflow(command) => workflow::decide::decide(tx, command),
        Command::Allocator(command) => allocator::decide::decide(tx, command),
        Command::Jobs(command) => jobs::decide::decide(tx, command),
        Command::Telemetry(command) => telemetry::decide::decide(tx, command),
    }
}

/// What a sender has to be allowed for a command.
fn scope(source: Source, command: &Command) -> Scope {
    use models::words::Command as Models;
    use workflow::words::Command as Workflow;
    match command {
        Command::Config(_)
        | Command::Models(
            Models::RegisterTenant(_)
            | Models::RegisterRegion { .. }
            | Models::RegisterModel { .. },
        ) => Scope::Admin,
        Command::Models(
            Models::RegisterVessel { .. }
            | Models::Heartbeat { .. }
            | Models::Drain { .. }
            | Models::Lose { .. }
            | Models::Retire { .. }
            | Models::Announce { .. },
        )
        | Command::Workflow(
            Workflow::ReportLeg { .. }
            | Workflow::ReportStop { .. }
            | Workflow::ReportFirstToken { .. },
        )
        | Command::Allocator(_) => Scope::Fleet,
        // Whoever may say what there is may have it changed step by step.
        Command::Jobs(_) if source.scopes.has(Scope::Admin) => Scope::Admin,
        Command::Jobs(_) => Scope::Fleet,
        // Whoever may have the level hold may have nobody told.
        Command::Policy(_) | Command::Telemetry(_) => Scope::Policy,
        Command::Workflow(
            Workflow::Submit(_)
            | Workflow::SubmitBatch { .. }
            | Workflow::Cancel { .. }
            | Workflow::Retry { .. },
        ) => Scope::Order,
        Command::Workflow(Workflow::Advance) => Scope::Clock,
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use crate::models::rows::Order;

    /// A field that is added may push others into a line that nobody looks at, which costs a tenth of a replay.
    #[test]
    fn every_line_of_an_order_is_anticipated() {
        let looked_at = [
            offset_of!(Order, demand.external),
            offset_of!(Order, id),
            offset_of!(Order, wake),
            offset_of!(Order, energy),
            offset_of!(Order, tenant),
        ];
        for start in [0, 16, 32] {
            for line in 0..(start + size_of::<Order>()).div_ceil(64) {
                let looks = looked_at.iter().any(|place| (start + place) / 64 == line);
                assert!(looks, "nothing of line {line} from {start} on: {looked_at:?}");
            }
        }
    }
}
