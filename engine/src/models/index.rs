//! What is derived from vessels and their loads: names, who serves what, who has room, who is missing.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::bits::Bits;
use crate::kernel::units::{ModelId, RegionId, TenantId, Tokens, VesselId};
use crate::models::rows::{Load, Role, Vessel, VesselStatus};
use crate::resilience::rows::Breaker;

/// Which vessels serve a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    /// Those that take work at this moment, by role.
    pub(crate) open: [Bits; 3],
    /// Those that are up.
    pub(crate) up: Bits,
    /// How many of those that are up hold at most so much, by role.
    contexts: [BTreeMap<Tokens, u32>; 3],
}

impl Serving {
    /// The largest order that can be held: by one whole vessel, or by a pair of prefill and decode.
    pub(crate) fn context_max(&self) -> Tokens {
        let largest = |held: &BTreeMap<Tokens, u32>| {
            held.last_key_value().map_or(Tokens::ZERO, |(largest, _)| *largest)
        };
        let [whole, prefill, decode] = self.contexts.each_ref().map(largest);
        whole.max(prefill.min(decode))
    }

    /// Whether some vessel, or some of both halves of a pair, takes work at this moment.
    pub(crate) fn has_open(&self) -> bool {
        let [whole, prefill, decode] = self.open.each_ref().map(|open| open.count() > 0);
        whole || (prefill && decode)
    }

    fn count(&mut self, role: Role, size: Tokens, up: bool) {
        let [whole, prefill, decode] = &mut self.contexts;
        let held = match role {
            Role::Whole => whole,
            Role::Prefill => prefill,
            Role::Decode => decode,
        };
        if up {
            let count = held.entry(size).or_default();
            *count = count.saturating_add(1);
        } else if let Some(count) = held.get_mut(&size) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&size);
            }
        }
    }
}

/// What is known about those who take part without looking at every row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parties {
    pub(crate) tenants: BTreeMap<String, TenantId>,
    pub(crate) regions: BTreeMap<String, RegionId>,
    pub(crate) models: BTreeMap<String, ModelId>,
    pub(crate) vessels: BTreeMap<String, VesselId>,
    pub(crate) serving: Vec<Serving>,
    /// Vessels that take one more order.
    pub(crate) open: Bits,
    /// How many orders each vessel takes at this moment, those aboard included.
    room: Vec<u32>,
    /// Vessels that should take work, and do.
    pub(crate) working: u32,
    /// Vessels that should take work and do not: lost, or cut off by their breaker.
    pub(crate) missing: u32,
}

impl Parties {
    /// Has room for one model more.
    pub(crate) fn serve(&mut self, model: ModelId) {
        let count = (model.0 as usize).saturating_add(1).max(self.serving.len());
        self.serving.resize_with(count, Serving::default);
    }

    /// Takes in a vessel as its rows have it.
    pub(crate) fn enter(&mut self, id: VesselId, vessel: &Vessel, load: &Load) {
        self.count(id, vessel, load, true);
        self.reopen(id, vessel, load.used);
    }

    /// Takes out a vessel as its rows have it, before they change.
    pub(crate) fn leave(&mut self, id: VesselId, vessel: &Vessel, load: &Load) {
        self.set_open(id, vessel, false);
        self.count(id, vessel, load, false);
    }

    /// Whether a vessel with `used` slots in use would be open, and is not known as such; or the other
    /// way round. Asked without its rows at hand, since most orders change nothing about it.
    pub(crate) fn turns(&self, id: VesselId, used: u32) -> bool {
        (used < self.room_of(id)) != self.open.contains(id.0)
    }

    /// Brings the sets of open vessels up to date with one that has so many slots in use.
    pub(crate) fn reopen(&mut self, id: VesselId, vessel: &Vessel, used: u32) {
        self.set_open(id, vessel, used < self.room_of(id));
    }

    fn room_of(&self, id: VesselId) -> u32 {
        self.room.get(id.0 as usize).copied().unwrap_or(0)
    }

    fn set_open(&mut self, id: VesselId, vessel: &Vessel, open: bool) {
        if open == self.open.contains(id.0) {
            return;
        }
        self.open.set(id.0, open);
        for model in &vessel.manifest.models {
            if let Some(serving) = self.serving.get_mut(model.0 as usize) {
                let [whole, prefill, decode] = &mut serving.open;
                let of_role = match vessel.manifest.role {
                    Role::Whole => whole,
                    Role::Prefill => prefill,
                    Role::Decode => decode,
                };
                of_role.set(id.0, open);
            }
        }
    }

    fn count(&mut self, id: VesselId, vessel: &Vessel, load: &Load, enters: bool) {
        let up = vessel.status == VesselStatus::Up;
        let cut_off = load.breaker == Breaker::Open;
        let counted = match vessel.status {
            VesselStatus::Up if !cut_off => Some(&mut self.working),
            VesselStatus::Up | VesselStatus::Lost => Some(&mut self.missing),
            VesselStatus::Draining | VesselStatus::Drained => None,
        };
        if let Some(count) = counted {
            *count = if enters { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        let place = id.0 as usize;
        if self.room.len() <= place {
            self.room.resize(place.saturating_add(1), 0);
        }
        if let Some(room) = self.room.get_mut(place) {
            *room = if enters { vessel.room(load) } else { 0 };
        }
        if !up {
            return;
        }
        let Vessel { manifest, .. } = vessel;
        for (earlier, model) in manifest.models.iter().enumerate() {
            let again = manifest.models.iter().take(earlier).any(|other| other == model);
            if let Some(serving) = self.serving.get_mut(model.0 as usize).filter(|_| !again) {
                serving.up.set(id.0, enters);
                serving.count(manifest.role, manifest.context_max, enters);
            }
        }
    }
}
