//! What is derived from vessels and their loads: names, who serves what, who has room, who is missing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use crate::kernel::bits::Bits;
use crate::kernel::units::{
    MicroUsd, Micros, ModelId, PicoUsd, Ppm, RegionId, TenantId, Tokens, VesselId, worth,
};
use crate::models::rows::{Load, Manifest, Role, Vessel, VesselStatus};
use crate::resilience::rows::Breaker;

/// Which vessels serve a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    /// Those that take work at this moment, by role.
    pub(crate) open: [Bits; 3],
    /// Those that are up.
    pub(crate) up: Bits,
    /// How many of those that are up are cut off by their breakers, or are being probed.
    cut_off: u32,
    /// How many of those that are up, or on their way, hold at most so much, by role.
    contexts: [BTreeMap<Tokens, u32>; 3],
    /// Those that take work at this moment by what they hold at most, by role.
    open_contexts: [BTreeSet<(Tokens, VesselId)>; 3],
    /// How many of all that serve it, wherever they are: orders that wait are set apart by these.
    sizes: BTreeMap<Tokens, u32>,
    /// How many of them ask so much for a million prompt tokens, and for a million generated ones.
    prices: [BTreeMap<MicroUsd, u32>; 2],
    /// How many of them take so long for a thousand prompt tokens, and for a generated one.
    paces: [BTreeMap<Micros, u32>; 2],
    /// How many of those that are up or on their way, and work prompts, ask so much for a million prompt tokens, and for a
    /// million of them found in a cache.
    cheapest: [BTreeMap<MicroUsd, u32>; 2],
}

impl Serving {
    /// The largest order that can be held: by one whole vessel, or by a pair of prefill and decode. Where it wants no
    /// answer, by prefill alone.
    pub(crate) fn context_max(&self, answers: bool) -> Tokens {
        let held = self.contexts.each_ref().map(|held| held.last_key_value().map(|held| *held.0));
        largest(held, answers)
    }

    /// The largest order for which there is room at this moment, likewise.
    pub(crate) fn room(&self, answers: bool) -> Tokens {
        largest(self.open_contexts.each_ref().map(|held| held.last().map(|held| held.0)), answers)
    }

    /// The most that an order may be worth, on the dearest of all that serve the model, wherever they are.
    pub(crate) fn dearest(&self, tokens_in: Tokens, tokens_out: Tokens) -> PicoUsd {
        let most = self.prices.each_ref().map(|held| held.last_key_value().map(|held| *held.0));
        let [prompt, answer] = most.map(|price| price.unwrap_or(MicroUsd::ZERO));
        worth(tokens_in, prompt) + worth(tokens_out, answer)
    }

    /// How long the slowest of all that serve the model take for a thousand prompt tokens, and for a generated one.
    pub(crate) fn slowest(&self) -> [Micros; 2] {
        let most = self.paces.each_ref().map(|held| held.last_key_value().map(|held| *held.0));
        most.map(|pace| pace.unwrap_or(Micros::ZERO))
    }

    /// The least that the prompt of an order may be worth, whose tokens up to `named` may be found in a cache, at the
    /// lowest prices of those that are up or on their way.
    pub(crate) fn cheapest(&self, tokens_in: Tokens, named: Tokens) -> PicoUsd {
        let least = self.cheapest.each_ref().map(|held| held.first_key_value().map(|held| *held.0));
        let [fresh, cached] = least.map(|price| price.unwrap_or(MicroUsd::ZERO));
        let named = named.min(tokens_in);
        worth(tokens_in - named, fresh) + worth(named, cached.min(fresh))
    }

    /// The open vessels of a role that hold an order of this size, the smallest first; of those that are
    /// alike, from `start` on and round.
    pub(crate) fn holding(
        &self,
        role: Role,
        size: Tokens,
        start: VesselId,
    ) -> impl Iterator<Item = VesselId> {
        let [whole, prefill, decode] = &self.open_contexts;
        let held = match role {
            Role::Whole => whole,
            Role::Prefill => prefill,
            Role::Decode => decode,
        };
        let least = held.range((size, VesselId(0))..).next().map_or(size, |(context, _)| *context);
        let (first, last) = ((least, VesselId(0)), (least, VesselId(u32::MAX)));
        let on = held.range((least, start)..=last).chain(held.range(first..(least, start)));
        let larger = held.range((Bound::Excluded(last), Bound::Unbounded));
        on.chain(larger).map(|(_, vessel)| *vessel)
    }
}

/// The largest order that fits, where so much is the most of the vessels of each role: one whole vessel,
/// or a pair of prefill and decode, of which what wants no answer needs the one alone.
fn largest(contexts: [Option<Tokens>; 3], answers: bool) -> Tokens {
    let [whole, prefill, decode] = contexts.map(|context| context.unwrap_or(Tokens::ZERO));
    whole.max(if answers { prefill.min(decode) } else { prefill })
}

fn of_role<T>([whole, prefill, decode]: &mut [T; 3], role: Role) -> &mut T {
    match role {
        Role::Whole => whole,
        Role::Prefill => prefill,
        Role::Decode => decode,
    }
}

/// Counts a vessel of this context or price, or counts it no more.
fn count<K: Ord>(held: &mut BTreeMap<K, u32>, of: K, enters: bool) {
    if enters {
        let count = held.entry(of).or_default();
        *count = count.saturating_add(1);
    } else if let Some(count) = held.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            held.remove(&of);
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
        let Manifest { models, role, context_max, .. } = &vessel.manifest;
        for (place, model) in models.iter().enumerate() {
            let Some(serving) = self.serving.get_mut(model.0 as usize) else { continue };
            of_role(&mut serving.open, *role).set(id.0, open);
            if !models.iter().take(place).any(|other| other == model) {
                let held = of_role(&mut serving.open_contexts, *role);
                let place = (*context_max, id);
                if open {
                    held.insert(place)
                } else {
                    held.remove(&place)
                };
            }
        }
    }

    /// Whether a vessel may be cut off besides those that are, of each of its models this share at most;
    /// the first one always may.
    pub(crate) fn may_cut_off(&self, manifest: &Manifest, most: Ppm) -> bool {
        let serving = manifest.models.iter().filter_map(|model| self.serving.get(model.0 as usize));
        serving.into_iter().all(|serving| {
            let cut_off = u64::from(serving.cut_off).saturating_add(1);
            cut_off == 1 || Ppm::ratio(cut_off, u64::from(serving.up.count())) <= most
        })
    }

    /// How many vessels that serve a model are not up, and how many there are.
    pub(crate) fn out_of(&self, model: ModelId) -> (u32, u32) {
        let Some(serving) = self.serving.get(model.0 as usize) else { return (0, 0) };
        let all = serving.sizes.values().copied().fold(0u32, u32::saturating_add);
        (all.saturating_sub(serving.up.count()), all)
    }

    /// The largest order for a model for which there is room at this moment: with an answer, and without.
    pub(crate) fn rooms_for(&self, model: ModelId) -> [Tokens; 2] {
        let serving = self.serving.get(model.0 as usize);
        [true, false].map(|answers| serving.map_or(Tokens::ZERO, |serving| serving.room(answers)))
    }

    /// The least context of the vessels of a model, wherever they are, that holds so much.
    pub(crate) fn fit(&self, model: ModelId, size: Tokens) -> Tokens {
        let sizes = self.serving.get(model.0 as usize).map(|serving| &serving.sizes);
        let fit = sizes.and_then(|sizes| sizes.range(size..).next());
        fit.map_or(Tokens::MAX, |(context, _)| *context)
    }

    /// Notes what a vessel holds for the models that it serves, once it is registered, or that it does so
    /// no more. Answers with the models whose orders are to be set apart anew.
    pub(crate) fn size(&mut self, manifest: &Manifest, enters: bool) -> Vec<ModelId> {
        let mut changed = Vec::new();
        for (place, model) in manifest.models.iter().enumerate() {
            let again = manifest.models.iter().take(place).any(|other| other == model);
            if let Some(serving) = self.serving.get_mut(model.0 as usize).filter(|_| !again) {
                let [prompts, answers] = &mut serving.prices;
                count(prompts, manifest.price_in.max(manifest.price_cached), enters);
                count(answers, manifest.price_out, enters);
                let [prompts, answers] = &mut serving.paces;
                if manifest.role != Role::Decode {
                    count(prompts, manifest.prefill_per_kilotoken, enters);
                }
                if manifest.role != Role::Prefill {
                    count(answers, manifest.decode_per_token, enters);
                }
                let before = serving.sizes.len();
                count(&mut serving.sizes, manifest.context_max, enters);
                if serving.sizes.len() != before {
                    changed.push(*model);
                }
            }
        }
        changed
    }

    fn count(&mut self, id: VesselId, vessel: &Vessel, load: &Load, enters: bool) {
        let up = vessel.status == VesselStatus::Up;
        let place = id.0 as usize;
        if self.room.len() <= place {
            self.room.resize(place.saturating_add(1), 0);
        }
        if let Some(room) = self.room.get_mut(place) {
            *room = if enters { vessel.room(load) } else { 0 };
        }
        // What is on its way will hold orders, but takes none.
        if !up && vessel.status != VesselStatus::Joining {
            return;
        }
        let Vessel { manifest, .. } = vessel;
        for (earlier, model) in manifest.models.iter().enumerate() {
            let again = manifest.models.iter().take(earlier).any(|other| other == model);
            if let Some(serving) = self.serving.get_mut(model.0 as usize).filter(|_| !again) {
                if up {
                    serving.up.set(id.0, enters);
                }
                if up && load.breaker != Breaker::Closed {
                    let cut_off = &mut serving.cut_off;
                    *cut_off =
                        if enters { cut_off.saturating_add(1) } else { cut_off.saturating_sub(1) };
                }
                let of_role = of_role(&mut serving.contexts, manifest.role);
                count(of_role, manifest.context_max, enters);
                if manifest.role != Role::Decode {
                    let [fresh, cached] = &mut serving.cheapest;
                    count(fresh, manifest.price_in, enters);
                    count(cached, manifest.price_cached, enters);
                }
            }
        }
    }
}
