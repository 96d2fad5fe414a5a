//! What is derived from the tables and never hashed: it is rebuilt from them at any time.

use alloc::collections::BTreeMap;

use crate::allocator::index::{Aboard, Berths, Kept};
use crate::kernel::units::{JobSlot, VesselId};
use crate::kernel::wheel::Wheel;
use crate::models::index::Parties;
use crate::queue::index::Queues;
use crate::workflow::index::{Keys, Stops};

/// Every index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) parties: Parties,
    pub(crate) queues: Queues,
    pub(crate) berths: Berths,
    pub(crate) kept: Kept,
    /// The vessels that have a job, and which.
    pub(crate) jobs: BTreeMap<VesselId, JobSlot>,
    /// None while records are only folded.
    pub(crate) deciding: Option<Deciding>,
}

/// What only decisions ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deciding {
    pub(crate) wheel: Wheel,
    pub(crate) aboard: Aboard,
    pub(crate) keys: Keys,
    pub(crate) stops: Stops,
}
