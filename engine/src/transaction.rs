//! The only way to change the state: one decision after another about one command.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::command::Stamp;
use crate::event::Event;
use crate::fold::fold;
use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, ModelId, OrderId, VesselId};
use crate::kernel::wheel::Due;
use crate::routing::words::Candidate;
use crate::state::State;

/// Shows the state and takes events; each decision sees the state that the one before it left.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    state: &'a mut State,
    stamp: Stamp,
    events: &'a mut Vec<Event>,
    breach: Option<Breach>,
    /// The most bytes that its events have in the record.
    bytes: usize,
    /// What came free: vessels that may have room, and models for which somebody may find it; some more
    /// than once.
    vessels: Vec<VesselId>,
    models: Vec<ModelId>,
    /// For whom a place was made that has come free.
    wanting: Vec<OrderId>,
}

/// A unit of work is a route and a dozen events around it.
const _: () =
    assert!(Candidate::MOST * Candidate::BYTES + 16 * Event::BYTES_MAX <= Transaction::UNIT_BYTES);

impl<'a> Transaction<'a> {
    /// Bytes of events after which a decision leaves what can wait to another record.
    ///
    /// Work is done in units: a timer, an order that is failed over, an order that is served. None is
    /// begun beyond this, and none makes more than [`UNIT_BYTES`](Self::UNIT_BYTES): so a record has at
    /// most the sum of both, besides its command and the one event that repeats what the command says.
    pub(crate) const BYTES: usize = 256 << 10;

    /// The most bytes that one unit of work makes: an order that is failed and routed again, with all
    /// candidates that a policy may ask for, those that hold a prefix, and every pair of them.
    pub(crate) const UNIT_BYTES: usize = 16 << 10;

    /// The transaction of a command on a state that stands at its record.
    pub(crate) fn new(state: &'a mut State, stamp: Stamp, events: &'a mut Vec<Event>) -> Self {
        let (vessels, models, wanting) = (Vec::new(), Vec::new(), Vec::new());
        Self { state, stamp, events, breach: None, bytes: 0, vessels, models, wanting }
    }

    /// The state as it stands.
    pub(crate) fn state(&self) -> &State {
        self.state
    }

    /// Where the command stands, when it came and who sent it.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The time at which the decisions are made.
    pub(crate) fn now(&self) -> Micros {
        self.state.now()
    }

    /// Records a decision and folds it. After a breach nothing more is recorded.
    pub(crate) fn emit(&mut self, event: impl Into<Event>) {
        if self.breach.is_some() {
            return;
        }
        self.events.push(event.into());
        let Some(event) = self.events.last() else { return };
        self.bytes = self.bytes.saturating_add(event.bytes_max());
        if let Err(breach) = fold(self.state, event) {
            self.events.pop();
            self.breach = Some(breach);
        }
    }

    /// Whether another unit of work may be begun.
    pub(crate) fn has_room(&self) -> bool {
        self.breach.is_none() && self.bytes < Self::BYTES
    }

    /// Who is due first, if anybody is. Whoever it is remains so until his row is written.
    pub(crate) fn next_due(&mut self) -> Option<Due> {
        self.state.next_due()
    }

    /// Notes that a vessel may have room for those who wait.
    pub(crate) fn note_vessel(&mut self, vessel: VesselId) {
        self.vessels.push(vessel);
    }

    /// Notes that somebody who waits for a model may find room.
    pub(crate) fn note_model(&mut self, model: ModelId) {
        self.models.push(model);
    }

    /// Notes that a place has come free that was made for an order.
    pub(crate) fn note_wanting(&mut self, order: OrderId) {
        self.wanting.push(order);
    }

    /// Those for whom a place was made.
    pub(crate) fn take_wanting(&mut self) -> Vec<OrderId> {
        core::mem::take(&mut self.wanting)
    }

    /// What has been noted so far, each once.
    pub(crate) fn take_noted(&mut self) -> (BTreeSet<VesselId>, BTreeSet<ModelId>) {
        (self.vessels.drain(..).collect(), self.models.drain(..).collect())
    }

    /// The breach that ended it, if one did.
    pub(crate) fn into_breach(self) -> Option<Breach> {
        self.breach
    }
}
