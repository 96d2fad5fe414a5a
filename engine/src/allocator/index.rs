//! Berths and orders by vessel.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::kernel::units::{BerthId, OrderSlot, VesselId};

/// The berths of each vessel.
pub(crate) type Berths = BTreeMap<VesselId, Vec<BerthId>>;

/// The vessels that keep themselves for an order until they have memory enough for it.
pub(crate) type Kept = BTreeSet<(OrderSlot, VesselId)>;

/// Those of one order.
pub(crate) fn kept_of(kept: &Kept, slot: OrderSlot) -> impl Iterator<Item = VesselId> {
    kept.range((slot, VesselId(0))..=(slot, VesselId::NONE)).map(|(_, vessel)| *vessel)
}

/// No place in a list.
const NONE: u32 = u32::MAX;

/// The orders that hold capacity of each vessel: lists through the slots of orders, so that each costs
/// the same to join and to leave. An order holds capacity of two vessels at most, and has a place for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aboard {
    first: Vec<u32>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    vessel: VesselId,
    before: u32,
    behind: u32,
}

impl Place {
    const FREE: Self = Self { vessel: VesselId::NONE, before: NONE, behind: NONE };
}

impl Aboard {
    /// Notes that an order holds capacity of a vessel.
    pub(crate) fn join(&mut self, slot: OrderSlot, vessel: VesselId) {
        let row = vessel.0 as usize;
        if self.first.len() <= row {
            self.first.resize(row.saturating_add(1), NONE);
        }
        let [first, second] = places(slot);
        if self.places.len() <= second as usize {
            self.places.resize((second as usize).saturating_add(1), Place::FREE);
        }
        let place = if self.is_of(first, VesselId::NONE) { first } else { second };
        let Some(first) = self.first.get_mut(row) else { return };
        let behind = core::mem::replace(first, place);
        self.set(place, Place { vessel, before: NONE, behind });
        if let Some(next) = self.places.get_mut(behind as usize) {
            next.before = place;
        }
    }

    /// Notes that it holds it no more.
    pub(crate) fn leave(&mut self, slot: OrderSlot, vessel: VesselId) {
        let Some(place) = places(slot).into_iter().find(|place| self.is_of(*place, vessel)) else {
            return;
        };
        let Some(Place { before, behind, .. }) = self.places.get(place as usize).copied() else {
            return;
        };
        match self.places.get_mut(before as usize) {
            Some(previous) => previous.behind = behind,
            None => {
                if let Some(first) = self.first.get_mut(vessel.0 as usize) {
                    *first = behind;
                }
            }
        }
        if let Some(next) = self.places.get_mut(behind as usize) {
            next.before = before;
        }
        self.set(place, Place::FREE);
    }

    fn is_of(&self, place: u32, vessel: VesselId) -> bool {
        self.places.get(place as usize).is_some_and(|held| held.vessel == vessel)
    }

    /// Those who hold capacity of a vessel, in no order.
    pub(crate) fn of(&self, vessel: VesselId) -> impl Iterator<Item = OrderSlot> {
        let mut place = self.first.get(vessel.0 as usize).copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            let held = self.places.get(place as usize)?;
            let slot = OrderSlot(place / 2);
            place = held.behind;
            Some(slot)
        })
    }

    fn set(&mut self, place: u32, links: Place) {
        if let Some(held) = self.places.get_mut(place as usize) {
            *held = links;
        }
    }
}

/// The places of an order: slots have 24 bits, so their doubles fit.
fn places(slot: OrderSlot) -> [u32; 2] {
    let first = slot.0.saturating_mul(2);
    [first, first.saturating_add(1)]
}
