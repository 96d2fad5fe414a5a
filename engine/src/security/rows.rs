//! Identity as a fact: proved outside, recorded with every command, judged here by scope alone.

use serde::{Deserialize, Serialize};

use crate::kernel::image::code;
use crate::kernel::units::TenantId;

code! {
    /// One thing that a sender may be allowed to do.
    pub enum Scope {
        /// Submit, cancel and retry its own orders.
        Order = 0,
        /// Register, drain and lose vessels, and report on them.
        Fleet = 1,
        /// Change the policy, and silence incidents.
        Policy = 2,
        /// Register tenants, regions and models, and set bounds.
        Admin = 3,
        /// Let time pass.
        Clock = 4,
    }
}

/// A set of scopes; bit n is the scope of number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(pub u16);

impl Scopes {
    /// Every scope there is.
    pub const ALL: Self = Self(0b1_1111);

    /// The set of these scopes.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, scope| set | Self::bit(*scope)))
    }

    /// Whether `scope` is in the set.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    fn bit(scope: Scope) -> u16 {
        1u16.checked_shl(u32::from(scope as u8)).unwrap_or(0)
    }
}

/// Who sent a command, as verified before it came here. No key or token is ever part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The tenant it speaks for; `NONE` for the exchange's own operators.
    pub tenant: TenantId,
    /// Which of the subject's keys it was verified by.
    pub key: u32,
    /// What it may do.
    pub scopes: Scopes,
}

impl Source {
    /// An operator of the exchange, allowed everything.
    pub const OPERATOR: Self = Self { tenant: TenantId::NONE, key: 0, scopes: Scopes::ALL };

    /// A tenant that may submit and cancel.
    pub fn tenant(tenant: TenantId) -> Self {
        Self { tenant, key: 0, scopes: Scopes::of(&[Scope::Order]) }
    }
}
