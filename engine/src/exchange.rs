//! The face of the engine: decide a command, or fold what was decided.

use alloc::vec::Vec;

use crate::command::{Command, Stamp};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::security::Scope;
use crate::state::State;
use crate::table::Breach;
use crate::units::{JournalId, Micros, Seq};
use crate::{config, fleet, policy, workflow};

/// One decision after another about one command: it shows the state and takes events, and each
/// decision sees the state that the one before it left. There is no other way to change the state.
#[derive(Debug)]
pub struct Transaction<'a> {
    state: &'a mut State,
    stamp: Stamp,
    events: &'a mut Vec<Event>,
    breach: Option<Breach>,
}

impl Transaction<'_> {
    /// The state as it stands.
    pub fn state(&self) -> &State {
        self.state
    }

    /// Where the command stands, when it came and who sent it.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The time at which the decisions are made.
    pub fn now(&self) -> Micros {
        self.state.now()
    }

    /// Records a decision and folds it. After a breach nothing more is recorded.
    pub fn emit(&mut self, event: Event) {
        if self.breach.is_some() {
            return;
        }
        match self.state.fold(&event) {
            Ok(()) => self.events.push(event),
            Err(breach) => self.breach = Some(breach),
        }
    }
}

/// The exchange: the state and the two ways to move it.
#[derive(Clone, Debug)]
pub struct Exchange {
    state: State,
}

impl Exchange {
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
        let regressed = stamp.time < self.state.now();
        self.state.wind();
        self.state.begin(stamp.seq, stamp.time)?;
        let mut tx = Transaction { state: &mut self.state, stamp, events, breach: None };
        if regressed {
            let now = tx.now();
            workflow::refuse(&mut tx, command, Refusal::TimeRegressed { now });
        } else if let Err(refusal) = dispatch(&mut tx, command) {
            workflow::refuse(&mut tx, command, refusal);
        }
        let breach = tx.breach;
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
        events.iter().try_for_each(|event| self.state.fold(event))
    }

    /// Brings the digests up to date with everything folded so far.
    pub fn settle(&mut self) {
        self.state.settle();
    }
}

/// Hands a command to the module that decides it. Scope first, then bounds, then the rules.
fn dispatch(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    tx.stamp().source.require(scope(command))?;
    if tx.state().limits().is_none() && !matches!(command, Command::Configure(_)) {
        return Err(Refusal::NotConfigured);
    }
    match command {
        Command::Configure(limits) => config::decide(tx, limits),
        Command::RegisterTenant(contract) => fleet::register_tenant(tx, contract),
        Command::RegisterRegion { name, hop } => fleet::register_region(tx, name, *hop),
        Command::RegisterModel { name } => fleet::register_model(tx, name),
        Command::RegisterVessel { name, manifest } => fleet::register_vessel(tx, name, manifest),
        Command::Heartbeat { vessel } => fleet::heartbeat(tx, *vessel),
        Command::Drain { vessel } => fleet::drain(tx, *vessel),
        Command::Lose { vessel } => fleet::lose(tx, *vessel),
        Command::SetPolicy(policy) => policy::set(tx, policy),
        Command::RollBackPolicy { to } => policy::roll_back(tx, *to),
        Command::Submit(demand) => workflow::submit(tx, demand),
        Command::Cancel { order } => workflow::cancel(tx, *order),
        Command::Retry { order } => workflow::retry(tx, *order),
        Command::ReportLeg { order, attempt, leg, outcome } => {
            workflow::report_leg(tx, *order, *attempt, *leg, outcome)
        }
        Command::Advance => workflow::advance(tx),
    }
}

/// What a sender has to be allowed for a command.
fn scope(command: &Command) -> Scope {
    match command {
        Command::Configure(_)
        | Command::RegisterTenant(_)
        | Command::RegisterRegion { .. }
        | Command::RegisterModel { .. } => Scope::Admin,
        Command::RegisterVessel { .. }
        | Command::Heartbeat { .. }
        | Command::Drain { .. }
        | Command::Lose { .. }
        | Command::ReportLeg { .. } => Scope::Fleet,
        Command::SetPolicy(_) | Command::RollBackPolicy { .. } => Scope::Policy,
        Command::Submit(_) | Command::Cancel { .. } | Command::Retry { .. } => Scope::Order,
        Command::Advance => Scope::Clock,
    }
}
