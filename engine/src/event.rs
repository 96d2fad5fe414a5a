//! What was decided. Variants are numbered by their place; places are never reused.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::command::{Fault, LossCause};
use crate::config::Limits;
use crate::image::code;
use crate::models::{Demand, End, LegKind, Manifest, Route, Tenant, Window};
use crate::policy::{Policy, PolicyLevel};
use crate::refusal::Refusal;
use crate::units::{
    BerthId, KeySlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, PolicyVersion, Ppm,
    RegionId, TenantId, Tokens, VesselId,
};

code! {
    /// Why a vessel that was drawn could not be had.
    pub enum Verdict {
        /// It could.
        Eligible = 0,
        /// The order is larger than its context.
        TooLarge = 1,
    }
}

/// A route that was considered, and what it would have meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where the prompt would have been worked.
    pub vessel: VesselId,
    /// Where the answer would have been generated, if elsewhere.
    pub decode: VesselId,
    /// Whether it could be had.
    pub verdict: Verdict,
    /// The points it got; the fewest win.
    pub score: u64,
    /// The draw that decides between equal scores; the lowest wins.
    pub tie: u32,
    /// The expected time to completion.
    pub eta: Micros,
    /// The expected price.
    pub cost: MicroUsd,
    /// The expected fuel.
    pub energy: Millijoules,
    /// Prompt tokens that its prefix cache is believed to hold.
    pub cached: Tokens,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The bounds of the exchange were set.
    Configured(Limits),
    /// A tenant was added or its contract changed.
    TenantRegistered {
        /// Which one.
        tenant: TenantId,
        /// Its contract.
        contract: Tenant,
    },
    /// A region was added or the way into it changed.
    RegionRegistered {
        /// Which one.
        region: RegionId,
        /// Its name.
        name: String,
        /// The time that a hop into it takes.
        hop: Micros,
    },
    /// A model was added.
    ModelRegistered {
        /// Which one.
        model: ModelId,
        /// Its name.
        name: String,
    },
    /// A vessel was added, changed or brought back; it takes work.
    VesselRegistered {
        /// Which one.
        vessel: VesselId,
        /// Its name.
        name: String,
        /// What it carries.
        manifest: Manifest,
    },
    /// A vessel was heard of.
    VesselSeen {
        /// Which one.
        vessel: VesselId,
    },
    /// A lost vessel was heard of, and takes work again.
    VesselReturned {
        /// Which one.
        vessel: VesselId,
    },
    /// A vessel takes no more work.
    VesselDraining {
        /// Which one.
        vessel: VesselId,
    },
    /// A draining vessel has nothing left aboard.
    VesselDrained {
        /// Which one.
        vessel: VesselId,
    },
    /// A vessel is gone.
    VesselLost {
        /// Which one.
        vessel: VesselId,
        /// Why it counts as lost.
        cause: LossCause,
    },
    /// A vessel failed too often in a row and is cut off.
    BreakerOpened {
        /// Which one.
        vessel: VesselId,
        /// Failures in a row.
        failures: u32,
        /// Until when.
        until: Micros,
    },
    /// A vessel that was cut off may have one order, as a probe.
    BreakerProbing {
        /// Which one.
        vessel: VesselId,
    },
    /// A probe succeeded.
    BreakerClosed {
        /// Which vessel's.
        vessel: VesselId,
    },
    /// A policy came into force.
    PolicyChanged {
        /// As which version.
        version: PolicyVersion,
        /// Its rules.
        policy: Box<Policy>,
    },
    /// The rules of an earlier version came into force again.
    PolicyRolledBack {
        /// As which version.
        version: PolicyVersion,
        /// The version that they are from.
        to: PolicyVersion,
        /// The rules.
        policy: Box<Policy>,
    },
    /// The risk was reviewed.
    RiskReviewed {
        /// What it is.
        risk: Ppm,
        /// The share of legs that failed since the last review.
        failing: Ppm,
        /// How full the queue is.
        pressure: Ppm,
        /// The share of vessels that are lost or cut off.
        lost: Ppm,
        /// When it is reviewed next.
        next: Micros,
    },
    /// The level moved.
    LevelChanged {
        /// From where.
        from: PolicyLevel,
        /// To where.
        to: PolicyLevel,
        /// The risk that moved it.
        risk: Ppm,
    },
    /// A command was refused.
    CommandRefused {
        /// Why.
        refusal: Refusal,
    },
    /// An order was refused; it ends here.
    OrderRefused {
        /// Its name.
        order: OrderId,
        /// Who sent it; `NONE` if nobody who is known.
        tenant: TenantId,
        /// The submitter's own number for it.
        external: u64,
        /// Why.
        refusal: Refusal,
    },
    /// A demand named a key that is remembered; the order it stands for is the answer.
    OrderDeduplicated {
        /// The order that was opened under the key.
        order: OrderId,
        /// Who sent it.
        tenant: TenantId,
        /// The submitter's own number for it.
        external: u64,
    },
    /// An order was admitted.
    OrderAdmitted {
        /// Its name.
        order: OrderId,
        /// Who pays.
        tenant: TenantId,
        /// The level under which it was admitted.
        level: PolicyLevel,
        /// The tenant's next theoretical arrival time.
        arrival: Micros,
        /// When it expires.
        deadline: Micros,
        /// Where its key is remembered.
        key: KeySlot,
        /// What was asked for.
        demand: Demand,
    },
    /// An order waits for a vessel with room.
    OrderQueued {
        /// Which one.
        order: OrderId,
        /// Its place.
        ticket: u64,
        /// Orders waiting before it, of all classes and models.
        ahead: u64,
    },
    /// An order holds capacity for its window.
    OrderBerthed {
        /// Which one.
        order: OrderId,
        /// What it holds.
        berth: BerthId,
        /// On which vessel.
        vessel: VesselId,
        /// For which window.
        window: Window,
        /// Berths of that vessel that overlap the window, this one not counted.
        overlapping: u32,
    },
    /// An order's berth was given back.
    BerthReleased {
        /// Whose.
        order: OrderId,
        /// Which one.
        berth: BerthId,
    },
    /// An order's route was chosen.
    OrderRouted {
        /// Which one.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Under which policy.
        policy: PolicyVersion,
        /// How many vessels had room and could have been drawn.
        open: u32,
        /// What was considered, the chosen one first, then in the order of their scores.
        candidates: Vec<Candidate>,
        /// The hops of the chosen one.
        route: Route,
    },
    /// A leg was handed to its vessel.
    LegDispatched {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// What is to be done.
        kind: LegKind,
        /// Where.
        vessel: VesselId,
        /// When it counts as failed.
        timeout: Micros,
    },
    /// A leg was worked to its end.
    LegCompleted {
        /// Of which order.
        order: OrderId,
        /// Which leg.
        leg: u8,
        /// Where.
        vessel: VesselId,
        /// Tokens generated on it.
        tokens_out: Tokens,
        /// Prompt tokens found in the vessel's prefix cache.
        cached: Tokens,
        /// Time from submission to the first token; zero where it generated none.
        first_token: Micros,
        /// What it costs.
        cost: MicroUsd,
        /// What it burnt.
        energy: Millijoules,
    },
    /// A leg failed, and with it the attempt; what the route still held is given back.
    LegFailed {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// Where.
        vessel: VesselId,
        /// Why.
        fault: Fault,
    },
    /// An order will be tried again.
    RetryScheduled {
        /// Which one.
        order: OrderId,
        /// Attempts made so far.
        attempts: u16,
        /// When.
        at: Micros,
    },
    /// An order's account was settled.
    OrderSettled {
        /// Which one.
        order: OrderId,
        /// Who pays.
        tenant: TenantId,
        /// Tokens of its prompt.
        tokens_in: Tokens,
        /// Prompt tokens found in prefix caches.
        cached: Tokens,
        /// Tokens generated.
        tokens_out: Tokens,
        /// What is charged.
        cost: MicroUsd,
        /// What was burnt.
        energy: Millijoules,
    },
    /// An order that had been admitted ended.
    OrderEnded {
        /// Which one.
        order: OrderId,
        /// Who paid.
        tenant: TenantId,
        /// The submitter's own number for it.
        external: u64,
        /// How.
        end: End,
        /// Attempts made.
        attempts: u16,
        /// The vessel that was working on it and has to stop; `NONE` if none was.
        stop: VesselId,
        /// Time from submission to the first token; zero if there was none.
        first_token: Micros,
        /// Time from submission to the end.
        latency: Micros,
    },
}
