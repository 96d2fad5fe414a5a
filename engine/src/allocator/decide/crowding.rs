//! How much a vessel may be given for its memory, and how an order comes aboard that is larger than what is left of it.
//!
//! The prompts and answers of all that are aboard lie in a vessel's memory; one that runs out of it puts some aside and
//! works them anew, and all of them take longer (Kwon et al., "Efficient Memory Management for Large Language Model Serving
//! with PagedAttention", SOSP 2023). Most answers are shorter than they may be, so a policy may promise more than there is.
//!
//! Small orders find room where a large one finds none, and would for ever. So one vessel is kept for the large one: it takes
//! nobody else until it has room, which is when those aboard have gone at the latest, and the small ones go on elsewhere
//! (a reservation as in EASY backfilling: Lifka, JSSPP 1995; there it is one, here each large order has its own, so that many
//! of them leave the small ones fewer vessels). A vessel is kept for one order, which has had its turn and is not among those
//! who wait.

use arrayvec::ArrayVec;

use crate::allocator::index::kept_of;
use crate::allocator::words::Event;
use crate::kernel::units::{Micros, OrderId, OrderSlot, Tokens, VesselId, clamp};
use crate::models::rows::{Load, Manifest};
use crate::policy::rows::Policy;
use crate::state::State;
use crate::transaction::Transaction;

/// An order that is crowded out is looked at again after this part of the time that it has left, and never sooner than
/// after a second.
const PARTS: u64 = 16;

/// For whom a vessel is kept, as an order sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keeps {
    It,
    Nobody,
    Another,
}

/// How a vessel's memory stands for an order, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crowd {
    pub(crate) keeps: Keeps,
    /// How many tokens have to go before it has room.
    pub(crate) needs: Tokens,
}

impl Crowd {
    /// That of one whose memory is not looked at.
    pub(crate) const NONE: Self = Self { keeps: Keeps::Nobody, needs: Tokens::ZERO };

    /// Whether it is taken for this reason.
    pub(crate) fn has_room(self) -> bool {
        self.needs == Tokens::ZERO && self.keeps != Keeps::Another
    }

    /// That of both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self { keeps: self.keeps.max(other.keeps), needs: self.needs.max(other.needs) }
    }
}

/// Where an order comes aboard once there is room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) vessel: VesselId,
    /// Where its answer is generated, if elsewhere.
    pub(crate) decode: VesselId,
    pub(crate) needs: Tokens,
}

/// The most that a vessel may be given; none where it may be given whatever its slots take.
pub(crate) fn most(policy: &Policy, manifest: &Manifest) -> Option<Tokens> {
    let percent = policy.overcommit_percent;
    if percent == 0 || manifest.cache_tokens == Tokens::ZERO {
        return None;
    }
    let hundredths = u128::from(manifest.cache_tokens.0).saturating_mul(u128::from(percent));
    Some(Tokens(clamp(hundredths / 100)))
}

/// How a vessel's memory stands for the order of a slot and of this size. With nothing aboard it has room, however large
/// the order is: else nobody would ever serve it.
pub(crate) fn crowd(
    policy: &Policy,
    manifest: &Manifest,
    load: &Load,
    order: OrderSlot,
    size: Tokens,
) -> Crowd {
    let Some(most) = most(policy, manifest) else { return Crowd::NONE };
    let keeps = match load.keeps_for {
        OrderSlot::NONE => Keeps::Nobody,
        slot if slot == order => Keeps::It,
        _ => Keeps::Another,
    };
    Crowd { keeps, needs: (load.held + size - most).min(load.held) }
}

/// Whether these very vessels are kept for an order, and it is not to be looked at again yet.
pub(crate) fn is_settled(state: &State, id: OrderId, spot: Spot) -> bool {
    let kept = kept_of(&state.index.kept, id.slot());
    let wanted = [spot.vessel, spot.decode].into_iter().filter(|vessel| *vessel != VesselId::NONE);
    let same = kept.count() == wanted.clone().count()
        && wanted.into_iter().all(|vessel| state.index.kept.contains(&(id.slot(), vessel)));
    same && state.order(id).is_some_and(|order| order.wake > state.now())
}

/// Has vessels take nobody else until they have room for an order.
pub(crate) fn crowd_out(tx: &mut Transaction, id: OrderId, spot: Spot) {
    let Some(order) = tx.state().order(id) else { return };
    let part = Micros((order.deadline - tx.now()).0 / PARTS).max(Micros::SECOND);
    let Spot { vessel, decode, needs } = spot;
    note_kept(tx, id);
    let at = tx.now() + part;
    tx.emit(Event::OrderCrowdedOut { order: id, vessel, decode, needs, at });
}

/// Whether a vessel is kept for an order.
pub(crate) fn is_kept_for(state: &State, id: OrderId) -> bool {
    kept_of(&state.index.kept, id.slot()).next().is_some()
}

/// Notes that vessels are about to be kept for an order no more.
pub(crate) fn note_kept(tx: &mut Transaction, id: OrderId) {
    let kept = &tx.state().index.kept;
    if kept.is_empty() {
        return;
    }
    let kept: ArrayVec<VesselId, 2> = kept_of(kept, id.slot()).take(2).collect();
    kept.into_iter().for_each(|vessel| tx.note_vessel(vessel));
}

/// The order for which a vessel is kept.
pub(crate) fn crowded_out_of(state: &State, vessel: VesselId) -> Option<OrderId> {
    let slot = state.tables.loads.get(vessel)?.keeps_for;
    state.tables.orders.get(slot).filter(|_| slot != OrderSlot::NONE).map(|order| order.id)
}
