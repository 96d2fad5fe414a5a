//! What is said to and by the policy.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::kernel::image::words;
use crate::kernel::units::{Micros, PolicyVersion, Ppm, TenantId};
use crate::models::rows::Class;
use crate::policy::rows::{BurnWindow, Drift, OverrideEnd, Policy, PolicyLevel, Signals};

/// Which rules shall be in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "policy::Command")]
pub enum Command {
    /// Puts a policy in force as the next version.
    SetPolicy(Box<Policy>),
    /// Puts the rules of an earlier version in force again, as the next version.
    RollBackPolicy {
        /// The earlier version.
        to: PolicyVersion,
    },
    /// Has a level hold for a while, whatever the risk is; in place of another override, if there is one.
    Override {
        /// Which one.
        level: PolicyLevel,
        /// Until when.
        until: Micros,
    },
    /// Has the level be what the risk says again.
    EndOverride,
}

words! {
    /// Which rules are in force, and how tightly.
    #[serde(rename = "policy::Event")]
    pub enum Event {
        /// A policy came into force.
        PolicyChanged = 0 {
            /// As which version.
            version: PolicyVersion,
            /// Its rules.
            policy: Box<Policy>,
        },
        /// The rules of an earlier version came into force again.
        PolicyRolledBack = 1 {
            /// As which version.
            version: PolicyVersion,
            /// The version that they are from.
            to: PolicyVersion,
            /// The rules.
            policy: Box<Policy>,
        },
        /// The risk was reviewed.
        RiskReviewed = 2 {
            /// What it is: the sum of what follows, as the policy weighs it, for the level that turns away least.
            risk: Ppm,
            /// The share of legs that have failed lately; zero where there were too few.
            failing: Ppm,
            /// How full the queue is.
            pressure: Ppm,
            /// The share of orders of each class that have been late lately; zero where there were too few.
            late: [Ppm; 3],
            /// The share of the slots of vessels that are up which lie behind open breakers.
            cut_off: Ppm,
            /// Whether more legs fail than usually do.
            drift: Drift,
            /// When it is reviewed next.
            next: Micros,
        },
        /// The level moved.
        LevelChanged = 3 {
            /// From where.
            from: PolicyLevel,
            /// To where.
            to: PolicyLevel,
            /// The risk of the level that it has reached, or left.
            risk: Ppm,
            /// The fewest signals that by themselves reach the threshold of that level, the greatest first; none
            /// where it was left.
            reasons: Signals,
        },
        /// Somebody has a level hold for a while. Reviews are told meanwhile, and do not move it.
        LevelOverridden = 4 {
            /// From where.
            from: PolicyLevel,
            /// Which one.
            level: PolicyLevel,
            /// Until when.
            until: Micros,
        },
        /// An override is over: the level is what the risk says.
        OverrideEnded = 5 {
            /// From where.
            from: PolicyLevel,
            /// Which one that is.
            level: PolicyLevel,
            /// Why it is over.
            reason: OverrideEnd,
        },
        /// A tenant's errors use up too fast what is allowed. That is told if it lasts.
        BurnSeen = 6 {
            /// Whose.
            tenant: TenantId,
            /// Over which window.
            window: BurnWindow,
            /// How fast, over the long window: 1 000 000 is as fast as its objective allows.
            burn: Ppm,
        },
        /// A tenant's errors use up too fast what is allowed, and have for as long as the policy says.
        BurnRaised = 7 {
            /// Whose.
            tenant: TenantId,
            /// Over which window.
            window: BurnWindow,
            /// How fast, over the long window: 1 000 000 is as fast as its objective allows.
            burn: Ppm,
            /// The share that is left of what may go wrong within three days.
            budget_left: Ppm,
        },
        /// A tenant's errors do not use up too fast what is allowed any more.
        BurnCleared = 8 {
            /// Whose.
            tenant: TenantId,
            /// Over which window.
            window: BurnWindow,
            /// How fast, over the long window: 1 000 000 is as fast as its objective allows.
            burn: Ppm,
            /// Whether it had lasted for as long as the policy says.
            raised: bool,
        },
    }
}

words! {
    /// What about the rules stood in the way.
    #[serde(rename = "policy::Refusal")]
    pub enum Refusal {
        /// There is no policy of that version.
        Unknown = 0 {
            /// The version.
            version: PolicyVersion,
        },
        /// A rule contradicts itself or another one.
        Invalid = 1 {
            /// The field and what is wrong with it.
            fault: String,
        },
        /// There is no policy in force yet.
        NoPolicy = 2,
        /// The level in force does not admit orders of this class.
        LevelForbids = 3 {
            /// The level.
            level: PolicyLevel,
            /// The class.
            class: Class,
        },
        /// The level is not overridden.
        NoOverride = 4,
        /// The policy has no level be overridden for so long.
        OverrideTooLong = 5 {
            /// How long it was to hold.
            asked: Micros,
            /// The longest that one may.
            max: Micros,
        },
    }
}
