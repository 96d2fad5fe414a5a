//! Berths and orders by vessel.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::kernel::units::{BerthId, OrderSlot, VesselId};
use crate::models::rows::{Leg, LegKind};

/// The berths of each vessel.
pub(crate) type Berths = BTreeMap<VesselId, Vec<BerthId>>;

/// No place in a list.
const NONE: u32 = u32::MAX;

/// The orders that hold capacity of each vessel: lists through the slots of orders, so that each costs
/// the same to join and to leave. An order holds at most two legs, and has a place for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aboard {
    first: Vec<u32>,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    before: u32,
    behind: u32,
}

impl Aboard {
    /// Notes that an order holds capacity for a leg.
    pub(crate) fn join(&mut self, slot: OrderSlot, leg: &Leg) {
        let (vessel, place) = (leg.vessel.0 as usize, place(slot, leg.kind));
        if self.first.len() <= vessel {
            self.first.resize(vessel.saturating_add(1), NONE);
        }
        if self.places.len() <= place as usize {
            let empty = Place { before: NONE, behind: NONE };
            self.places.resize((place as usize).saturating_add(1), empty);
        }
        let Some(first) = self.first.get_mut(vessel) else { return };
        let behind = core::mem::replace(first, place);
        self.set(place, Place { before: NONE, behind });
        if let Some(next) = self.places.get_mut(behind as usize) {
            next.before = place;
        }
    }

    /// Notes that it holds it no more.
    pub(crate) fn leave(&mut self, slot: OrderSlot, leg: &Leg) {
        let place = place(slot, leg.kind);
        let Some(Place { before, behind }) = self.places.get(place as usize).copied() else {
            return;
        };
        match self.places.get_mut(before as usize) {
            Some(previous) => previous.behind = behind,
            None => {
                if let Some(first) = self.first.get_mut(leg.vessel.0 as usize) {
                    *first = behind;
                }
            }
        }
        if let Some(next) = self.places.get_mut(behind as usize) {
            next.before = before;
        }
        self.set(place, Place { before: NONE, behind: NONE });
    }

    /// Those who hold capacity of a vessel, in no order; one with both legs there comes twice.
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

/// The place of an order's leg: slots have 24 bits, so their doubles fit.
fn place(slot: OrderSlot, kind: LegKind) -> u32 {
    slot.0.saturating_mul(2).saturating_add(u32::from(kind == LegKind::Decode))
}
