//! Which keys are remembered, and whose is the first to be forgotten; which stops are awaited of whom.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::kernel::table::Table;
use crate::kernel::units::{KeySlot, Micros, OrderId, StopSlot, TenantId, VesselId};
use crate::workflow::rows::{RememberedKey, Stop};

/// The keys that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    places: BTreeMap<(TenantId, u64), KeySlot>,
    /// Of orders that were served, the one that stands for the shortest time to come first.
    served: BTreeSet<(Micros, KeySlot)>,
    holders: BTreeMap<TenantId, Holder>,
    /// Who holds how many, among those who hold one of an order that was served.
    givers: BTreeSet<(u32, TenantId)>,
}

/// How many keys there are besides those of orders that were served.
fn beyond(keys: usize, served: &BTreeSet<(Micros, KeySlot)>) -> u32 {
    u32::try_from(keys.saturating_sub(served.len())).unwrap_or(u32::MAX)
}

/// What one tenant has remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holder {
    keys: u32,
    served: BTreeSet<(Micros, KeySlot)>,
}

impl Keys {
    /// Those of a table.
    pub(crate) fn of(table: &Table<KeySlot, RememberedKey>) -> Self {
        let mut keys = Self::default();
        table.iter().for_each(|(slot, row)| keys.enter(slot, row));
        keys
    }

    /// Where a tenant's key is remembered.
    pub(crate) fn get(&self, tenant: TenantId, key: u64) -> Option<KeySlot> {
        self.places.get(&(tenant, key)).copied()
    }

    /// How many a tenant has remembered.
    pub(crate) fn held(&self, tenant: TenantId) -> u32 {
        self.holders.get(&tenant).map_or(0, |holder| holder.keys)
    }

    /// How many of them are of live orders.
    pub(crate) fn live(&self, tenant: TenantId) -> u32 {
        self.holders.get(&tenant).map_or(0, |holder| beyond(holder.keys as usize, &holder.served))
    }

    /// How many of all tenants' are.
    pub(crate) fn live_of_all(&self) -> u32 {
        beyond(self.places.len(), &self.served)
    }

    /// The first of a tenant's keys to be forgotten; none if all are of live orders.
    pub(crate) fn first_of(&self, tenant: TenantId) -> Option<KeySlot> {
        self.holders.get(&tenant)?.served.first().map(|(_, slot)| *slot)
    }

    /// The key that is forgotten so that one more of a tenant's can be remembered, where all places are
    /// taken: one that stands for nothing any more; else the first of whoever holds the most, of those who
    /// hold one of an order that was served, and nobody takes from one who holds no more than himself. None
    /// if there is no such one.
    pub(crate) fn first_for(&self, tenant: TenantId, now: Micros) -> Option<KeySlot> {
        if let Some((_, slot)) = self.served.first().filter(|(until, _)| *until <= now) {
            return Some(*slot);
        }
        let (most, giver) = self.givers.last()?;
        self.first_of(if self.held(tenant) >= *most { tenant } else { *giver })
    }

    /// Takes in a key as its row has it.
    pub(crate) fn enter(&mut self, slot: KeySlot, row: &RememberedKey) {
        self.places.insert((row.tenant, row.key), slot);
        self.change(row.tenant, |holder, served| {
            holder.keys = holder.keys.saturating_add(1);
            if !row.is_live() {
                holder.served.insert((row.until, slot));
                served.insert((row.until, slot));
            }
        });
    }

    /// Takes out a key as its row has it, before that changes.
    pub(crate) fn leave(&mut self, slot: KeySlot, row: &RememberedKey) {
        self.places.remove(&(row.tenant, row.key));
        self.change(row.tenant, |holder, served| {
            holder.keys = holder.keys.saturating_sub(1);
            holder.served.remove(&(row.until, slot));
            served.remove(&(row.until, slot));
        });
    }

    fn change(
        &mut self,
        tenant: TenantId,
        change: impl FnOnce(&mut Holder, &mut BTreeSet<(Micros, KeySlot)>),
    ) {
        let holder = self.holders.entry(tenant).or_default();
        self.givers.remove(&(holder.keys, tenant));
        change(holder, &mut self.served);
        if !holder.served.is_empty() {
            self.givers.insert((holder.keys, tenant));
        }
        if holder.keys == 0 {
            self.holders.remove(&tenant);
        }
    }
}

/// The stops that have not been answered, by their legs and by their vessels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stops {
    legs: BTreeMap<(OrderId, u16, u8), StopSlot>,
    vessels: BTreeSet<(VesselId, StopSlot)>,
}

impl Stops {
    /// Those of a table.
    pub(crate) fn of(table: &Table<StopSlot, Stop>) -> Self {
        let mut stops = Self::default();
        table.iter().for_each(|(slot, row)| stops.enter(slot, row));
        stops
    }

    /// The stop of a leg.
    pub(crate) fn of_leg(&self, order: OrderId, attempt: u16, leg: u8) -> Option<StopSlot> {
        self.legs.get(&(order, attempt, leg)).copied()
    }

    /// Those of a vessel.
    pub(crate) fn of_vessel(&self, vessel: VesselId) -> impl Iterator<Item = StopSlot> {
        let all = (vessel, StopSlot(0))..=(vessel, StopSlot::NONE);
        self.vessels.range(all).map(|(_, slot)| *slot)
    }

    pub(crate) fn enter(&mut self, slot: StopSlot, row: &Stop) {
        self.legs.insert((row.order, row.attempt, row.leg), slot);
        self.vessels.insert((row.vessel, slot));
    }

    pub(crate) fn leave(&mut self, slot: StopSlot, row: &Stop) {
        self.legs.remove(&(row.order, row.attempt, row.leg));
        self.vessels.remove(&(row.vessel, slot));
    }
}
