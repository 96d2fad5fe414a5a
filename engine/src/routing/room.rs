//! What room a vessel has for a demand, and what stands in the way where it has none: for whoever asks about a state,
//! not for whoever decides.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use serde::Serialize;

use crate::allocator::decide::crowding::most;
use crate::allocator::decide::{aboard, left_at_berths};
use crate::allocator::rows::Berth;
use crate::kernel::units::{MicroUsd, Micros, OrderSlot, TenantId, Tokens, VesselId};
use crate::models::index::Serving;
use crate::models::rows::{Demand, Load, Role, Vessel, VesselStatus};
use crate::resilience::rows::Breaker;
use crate::routing::decide::{Asked, Part, holders, part, sight, thousandths};
use crate::routing::rows::Weights;
use crate::routing::words::Candidate;
use crate::state::State;
use crate::telemetry::decide::{expected_of, pace};

/// Why a vessel cannot take a demand at this moment: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Exclusion {
    /// There is none of that number.
    Unknown,
    /// It does not serve the model.
    OtherModel,
    /// It finishes what it has, and takes no more.
    Draining,
    /// It has finished draining.
    Drained,
    /// It is lost.
    Lost,
    /// It has begun anew, and what it had aboard is still failed over.
    Restarting,
    /// It is gone for good.
    Retired,
    /// It has been announced, and is on its way.
    Joining {
        /// By when it has to be there.
        until: Micros,
    },
    /// The demand asks for a window, and only a vessel that works prompt and answer has berths.
    WrongRole {
        /// What it does.
        role: Role,
    },
    /// The demand is larger than its context.
    TooLarge {
        /// Tokens of prompt and answer.
        asked: Tokens,
        /// The most it takes.
        max: Tokens,
    },
    /// Its breaker is open.
    BreakerOpen {
        /// When a probe may pass.
        until: Micros,
    },
    /// It has said that it had no room, and is left in peace.
    Paused {
        /// Until when.
        until: Micros,
    },
    /// It is in maintenance.
    Maintenance {
        /// Until when.
        until: Micros,
    },
    /// Its breaker is being probed, and as many are aboard as may be.
    Probing {
        /// Slots in use.
        used: u32,
        /// Probes that may pass.
        probes: u32,
    },
    /// All of its slots are in use.
    Full {
        /// Slots in use.
        used: u32,
        /// Its slots.
        slots: u32,
    },
    /// Whatever is free of it is kept for berths whose windows have begun.
    KeptForBerths {
        /// Slots in use.
        used: u32,
        /// Slots that are kept.
        kept: u32,
        /// Its slots.
        slots: u32,
    },
    /// It works prompts alone, or answers alone, and no vessel that could do the rest is open and large enough.
    NoOtherHalf {
        /// What it does.
        role: Role,
    },
    /// It works answers alone, and the demand wants none.
    NoAnswer,
    /// It would have more aboard than it may be given for its memory.
    Crowded {
        /// What those aboard may come to.
        held: Tokens,
        /// Tokens of prompt and answer.
        asked: Tokens,
        /// The most that it may be given.
        most: Tokens,
    },
    /// It is kept for an order that waits until it has memory enough.
    KeptForOrder {
        /// The slot of that order.
        order: OrderSlot,
    },
    /// It would last into a berth that is promised there.
    Promised {
        /// When the first of these begins.
        berthed_at: Micros,
    },
    /// It is expected to take more for its share than the demand may cost.
    TooDear {
        /// What it is expected to take.
        cost: MicroUsd,
        /// The most that the demand may cost.
        limit: MicroUsd,
    },
}

/// Why a vessel cannot take such a demand of this tenant at this moment; `None` where it may be considered. What it has
/// aboard is known to a state that is about to decide (`Exchange::wind`).
pub fn exclusion(
    state: &State,
    id: VesselId,
    tenant: TenantId,
    demand: &Demand,
) -> Option<Exclusion> {
    let tables = &state.tables;
    let Some((vessel, load)) = tables.vessels.get(id).zip(tables.loads.get(id)) else {
        return Some(Exclusion::Unknown);
    };
    // Berths are given where there is no slot at this moment.
    let barred = barred(vessel, load, demand);
    if barred.is_some() || demand.window.is_some() {
        return barred;
    }
    let maintenance = state.maintenance(id).filter(|_| load.kept >= Berth::ALL);
    if let Some((until, _)) = maintenance {
        return Some(Exclusion::Maintenance { until });
    }
    taken(vessel, load).or_else(|| alone(state, vessel, demand)).or_else(|| {
        let part = meant(state, id, tenant, demand)?;
        let dear = !demand.may_cost(part.cost);
        let limit = MicroUsd(u64::from(demand.limit));
        let dear = dear.then_some(Exclusion::TooDear { cost: part.cost, limit });
        let promised = part.promised.map(|berthed_at| Exclusion::Promised { berthed_at });
        promised.or(dear).or_else(|| crowded(state, vessel, load, demand))
    })
}

/// What keeps a vessel from it, however many slots are free.
fn barred(vessel: &Vessel, load: &Load, demand: &Demand) -> Option<Exclusion> {
    let (manifest, asked) = (&vessel.manifest, demand.size());
    let (role, max) = (manifest.role, manifest.context_max);
    if !manifest.models.contains(&demand.model) {
        return Some(Exclusion::OtherModel);
    }
    match vessel.status {
        VesselStatus::Up => {}
        VesselStatus::Draining => return Some(Exclusion::Draining),
        VesselStatus::Drained => return Some(Exclusion::Drained),
        VesselStatus::Lost => return Some(Exclusion::Lost),
        VesselStatus::Restarting => return Some(Exclusion::Restarting),
        VesselStatus::Retired => return Some(Exclusion::Retired),
        VesselStatus::Joining => return Some(Exclusion::Joining { until: vessel.joins }),
    }
    if demand.window.is_some() && role != Role::Whole {
        Some(Exclusion::WrongRole { role })
    } else if asked > max {
        Some(Exclusion::TooLarge { asked, max })
    } else if demand.window.is_some() {
        None
    } else if load.breaker == Breaker::Open {
        Some(Exclusion::BreakerOpen { until: load.retry_at })
    } else if load.paused != Micros::ZERO {
        Some(Exclusion::Paused { until: load.paused })
    } else {
        None
    }
}

/// What keeps a slot of a vessel that takes work from being taken.
fn taken(vessel: &Vessel, load: &Load) -> Option<Exclusion> {
    let (used, kept, slots) = (load.used, load.kept, vessel.manifest.slots);
    if used < vessel.room(load) {
        None
    } else if load.breaker == Breaker::Probing && used >= load.probes {
        Some(Exclusion::Probing { used, probes: load.probes })
    } else if used >= slots {
        Some(Exclusion::Full { used, slots })
    } else {
        Some(Exclusion::KeptForBerths { used, kept, slots })
    }
}

/// What keeps a vessel's memory from being given to one more.
fn crowded(state: &State, vessel: &Vessel, load: &Load, demand: &Demand) -> Option<Exclusion> {
    let most = most(state.policy()?.1, &vessel.manifest)?;
    let (held, asked, order) = (load.held, demand.size(), load.keeps_for);
    if order != OrderSlot::NONE {
        Some(Exclusion::KeptForOrder { order })
    } else if held > Tokens::ZERO && held + asked > most {
        Some(Exclusion::Crowded { held, asked, most })
    } else {
        None
    }
}

/// Whether a vessel does but a half of the work, and nobody does the other one.
fn alone(state: &State, vessel: &Vessel, demand: &Demand) -> Option<Exclusion> {
    let role = vessel.manifest.role;
    let other = match role {
        Role::Whole => return None,
        Role::Prefill if !demand.answers() => return None,
        Role::Decode if !demand.answers() => return Some(Exclusion::NoAnswer),
        Role::Prefill => Role::Decode,
        Role::Decode => Role::Prefill,
    };
    let serving: Option<&Serving> = state.index.parties.serving.get(demand.model.0 as usize);
    let found =
        serving.and_then(|serving| serving.holding(other, demand.size(), VesselId(0)).next());
    if found.is_some() { None } else { Some(Exclusion::NoOtherHalf { role }) }
}

/// What it would mean to have a vessel do its share.
fn meant(state: &State, id: VesselId, tenant: TenantId, demand: &Demand) -> Option<Part> {
    let answer = expected_of(state, tenant, demand);
    let (slot, domains) = (OrderSlot::NONE, ArrayVec::new());
    let (_, policy) = state.policy()?;
    let asked = Asked { policy, slot, demand, tried: &[], domains, berthed: false, answer };
    let sight = sight(state, id.0)?;
    Some(part(state, &asked, &sight, &holders(state, &demand.prefix), Tokens::MAX))
}

/// What room a vessel has for orders that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many of them could begin at this moment.
    pub slots: u32,
    /// How long one is expected to last there, once it has begun.
    pub lasts: Micros,
    /// When the slots that are in use are expected to come free, in no order.
    pub frees: Vec<Micros>,
}

/// What room a vessel has for orders like this one; `None` if there is no such vessel. As with `exclusion`, of a state
/// that is about to decide.
pub fn room(state: &State, id: VesselId, tenant: TenantId, demand: &Demand) -> Option<Room> {
    let tables = &state.tables;
    let (vessel, load) = tables.vessels.get(id).zip(tables.loads.get(id))?;
    let part = meant(state, id, tenant, demand)?;
    let free = vessel.room(load).saturating_sub(load.used);
    // As many as the berths to come leave, where they would last into one.
    let left =
        left_at_berths(state, id, state.now() + part.span(state)).map(|(_, left)| left).min();
    let left = left.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX));
    // As many as there is memory for; one in any case, where nothing is aboard.
    let memory = most(state.policy()?.1, &vessel.manifest).map_or(u64::MAX, |most| {
        let fit = (most - load.held).0.checked_div(demand.size().0).unwrap_or(u64::MAX);
        fit.max(u64::from(load.used == 0))
    });
    let left = left.min(u32::try_from(memory).unwrap_or(u32::MAX));
    let excluded = exclusion(state, id, tenant, demand).is_some();
    Some(Room {
        slots: if excluded { 0 } else { free.min(left) },
        lasts: part.hop + part.work().percent(pace(state, load)),
        frees: aboard(state, id),
    })
}

/// What a candidate's points are made of, in thousandths of a point: the time, the price and the fuel. What it was
/// charged for having failed the order is not among them.
pub fn points(weights: &Weights, candidate: &Candidate) -> [u64; 3] {
    let Candidate { eta, failing, cost, energy, .. } = *candidate;
    let parts = thousandths(weights, eta, failing, cost, energy);
    parts.map(|part| u64::try_from(part).unwrap_or(u64::MAX))
}
