//! What the world asks or reports. Variants are numbered by their place; places are never reused.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::config::Limits;
use crate::image::code;
use crate::models::{Demand, Manifest, Tenant};
use crate::policy::Policy;
use crate::security::Source;
use crate::units::{Micros, Millijoules, OrderId, PolicyVersion, RegionId, Seq, Tokens, VesselId};

/// What the exchange is told besides the command: where it stands, when it came and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The record that the command becomes.
    pub seq: Seq,
    /// When it came. Never before the time of the record before it.
    pub time: Micros,
    /// The verified identity of the sender.
    pub source: Source,
}

code! {
    /// Why a vessel counts as lost.
    pub enum LossCause {
        /// Somebody reported it.
        Reported = 0,
        /// It was silent for three heartbeats.
        Silent = 1,
    }
}

code! {
    /// Why a leg failed.
    pub enum Fault {
        /// The vessel answered with an error.
        Error = 0,
        /// The vessel had no room.
        Overloaded = 1,
        /// There was no outcome in time.
        Timeout = 2,
        /// The vessel was lost.
        VesselLost = 3,
    }
}

/// What became of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was worked to its end.
    Done {
        /// Tokens generated on it.
        tokens_out: Tokens,
        /// Prompt tokens that the vessel found in its prefix cache.
        cached: Tokens,
        /// Time from its dispatch to its first token; zero where it generates none.
        first_token: Micros,
        /// What it burnt.
        energy: Millijoules,
    },
    /// It was not.
    Failed(Fault),
}

/// One thing that the world asks or reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Sets the bounds of the exchange; the first command of a journal, and never repeated.
    Configure(Limits),
    /// Adds a tenant, or changes its contract.
    RegisterTenant(Tenant),
    /// Adds a region, or changes the way into it.
    RegisterRegion {
        /// Its name.
        name: String,
        /// The time that a hop into it takes.
        hop: Micros,
    },
    /// Adds a model.
    RegisterModel {
        /// Its name.
        name: String,
    },
    /// Adds a vessel, changes its manifest or brings it back, as a heartbeat does.
    RegisterVessel {
        /// Its name.
        name: String,
        /// What it carries.
        manifest: Manifest,
    },
    /// Reports that a vessel lives. A lost one is up again, whatever it was before; it is refused until
    /// everything it had aboard has been failed over, which takes an `Advance` or two, due at once.
    Heartbeat {
        /// Which one.
        vessel: VesselId,
    },
    /// Lets a vessel finish what it has and gives it no more.
    Drain {
        /// Which one.
        vessel: VesselId,
    },
    /// Reports that a vessel is gone.
    Lose {
        /// Which one.
        vessel: VesselId,
    },
    /// Puts a policy in force as the next version.
    SetPolicy(Box<Policy>),
    /// Puts the rules of an earlier version in force again, as the next version.
    RollBackPolicy {
        /// The earlier version.
        to: PolicyVersion,
    },
    /// Submits an order for the tenant that sends it.
    Submit(Demand),
    /// Withdraws an order.
    Cancel {
        /// Which one.
        order: OrderId,
    },
    /// Ends an order's wait for its next attempt.
    Retry {
        /// Which one.
        order: OrderId,
    },
    /// Reports what became of a leg.
    ReportLeg {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// What became of it.
        outcome: Outcome,
    },
    /// Lets time pass: whatever is due is decided.
    Advance,
}

/// The origin of an order whose submitter names no region.
pub const ANYWHERE: RegionId = RegionId::NONE;
