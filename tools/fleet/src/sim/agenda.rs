//! What is going to happen, in a total order.

use std::collections::BTreeMap;

use tensorforge_engine::units::{Micros, VesselId};

use crate::vessel::{Begun, Finished, Stopped};

/// Everything that is known to happen, soonest first.
pub(super) type Agenda = BTreeMap<Place, Happening>;

/// A place on the agenda.
pub(super) type Place = (Micros, Rank, u64);

/// What comes first when several things happen at once. Arrivals come after all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Lift,
    Set,
    Work,
    Reply,
    Report,
    Beat,
}

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A fault ends.
    Lift(usize),
    /// A fault begins.
    Set(usize),
    /// Something ends aboard a vessel.
    Work(VesselId),
    /// The answer to a call that no vessel had to work for; one that is down gives none, the way has none.
    Reply { called: VesselId, from: Option<VesselId>, reply: Finished },
    /// The first token of an answer is on its way.
    Begun(Begun),
    /// A vessel tells what it had worked of a leg that it was told to stop.
    Stopped(Stopped),
    /// Somebody reports a loss.
    Report(VesselId),
    /// A vessel reports that it lives.
    Beat(VesselId),
}
