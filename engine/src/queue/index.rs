//! Who waits in which order.

use alloc::collections::{BTreeMap, VecDeque};

use crate::kernel::units::{ModelId, OrderId};
use crate::models::rows::Class;

/// Where an order stands while it waits.
pub(crate) type Lane = (ModelId, Class);

/// Who waits, by model and class, first come first. The first entry of each lane waits; entries
/// behind it of those who left are skipped.
pub(crate) type Lanes = BTreeMap<Lane, VecDeque<(u64, OrderId)>>;
