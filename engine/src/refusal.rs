//! What stood in the way: normal, the caller's to act on, and recorded like any other decision.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::image::code;
use crate::models::Class;
use crate::policy::PolicyLevel;
use crate::security::Scope;
use crate::units::{Micros, Tokens};

code! {
    /// What a command named that is not there.
    pub enum Thing {
        /// A tenant.
        Tenant = 0,
        /// A region.
        Region = 1,
        /// A model.
        Model = 2,
        /// A vessel.
        Vessel = 3,
        /// An order that is live.
        Order = 4,
        /// A version of the policy.
        Policy = 5,
    }
}

code! {
    /// A table of bounded size.
    pub enum Bound {
        /// Tenants.
        Tenants = 0,
        /// Regions.
        Regions = 1,
        /// Models.
        Models = 2,
        /// Vessels.
        Vessels = 3,
        /// Live orders.
        Orders = 4,
        /// Orders that wait.
        Queue = 5,
        /// Versions of the policy.
        Policies = 6,
        /// Berths.
        Berths = 7,
        /// Live orders of one tenant.
        TenantOrders = 8,
    }
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The exchange has no bounds yet.
    NotConfigured,
    /// The exchange has its bounds already.
    AlreadyConfigured,
    /// The command is older than the record before it.
    TimeRegressed {
        /// The time of the record before it.
        now: Micros,
    },
    /// The sender may not do this.
    Forbidden {
        /// What it would have to be allowed.
        scope: Scope,
    },
    /// The command names something that is not there.
    Unknown {
        /// What.
        thing: Thing,
        /// Its number.
        id: u64,
    },
    /// A value is outside of what it may be.
    Invalid {
        /// The field and what is wrong with it.
        fault: String,
    },
    /// There is no room for another one.
    Full {
        /// Of what.
        bound: Bound,
        /// How many there may be.
        max: u64,
    },
    /// The tenant submits faster than its contract allows.
    RateLimited {
        /// When the next order would pass.
        retry_at: Micros,
    },
    /// The level in force does not admit orders of this class.
    LevelForbids {
        /// The level.
        level: PolicyLevel,
        /// The class.
        class: Class,
    },
    /// No vessel, and no pair of them, that serves the model is up.
    NoVessel,
    /// No vessel that serves the model can hold the order.
    TooLarge {
        /// Tokens of prompt and answer.
        asked: Tokens,
        /// The most that any vessel takes.
        max: Tokens,
    },
    /// No vessel has a berth left for the window.
    NoBerth,
    /// There is no policy in force yet.
    NoPolicy,
    /// The report speaks of an attempt or a leg that is over.
    Stale,
    /// The order, or the vessel, is not in the stage that the command needs.
    WrongStage,
    /// A lost vessel does not come back before everything it had aboard has been failed over.
    StillAboard {
        /// How many orders are left.
        orders: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("not_configured"),
            Self::AlreadyConfigured => f.write_str("already_configured"),
            Self::TimeRegressed { now } => write!(f, "time_regressed now={now}"),
            Self::Forbidden { scope } => write!(f, "forbidden scope={scope:?}"),
            Self::Unknown { thing, id } => write!(f, "unknown thing={thing:?} id={id}"),
            Self::Invalid { fault } => write!(f, "invalid: {fault}"),
            Self::Full { bound, max } => write!(f, "full bound={bound:?} max={max}"),
            Self::RateLimited { retry_at } => write!(f, "rate_limited retry_at={retry_at}"),
            Self::LevelForbids { level, class } => {
                write!(f, "level_forbids level={level:?} class={class:?}")
            }
            Self::NoVessel => f.write_str("no_vessel"),
            Self::TooLarge { asked, max } => write!(f, "too_large asked={asked} max={max}"),
            Self::NoBerth => f.write_str("no_berth"),
            Self::NoPolicy => f.write_str("no_policy"),
            Self::Stale => f.write_str("stale"),
            Self::WrongStage => f.write_str("wrong_stage"),
            Self::StillAboard { orders } => write!(f, "still_aboard orders={orders}"),
        }
    }
}
