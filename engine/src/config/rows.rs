//! The bounds of the exchange: how much it may hold at once.

use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::image::{code, row};
use crate::kernel::units::Tokens;

row! {
    /// How many of each thing there may be. Memory is bounded by these.
    pub struct Limits {
        /// Tenants.
        pub tenants: u32,
        /// Regions.
        pub regions: u32,
        /// Models.
        pub models: u32,
        /// Vessels.
        pub vessels: u32,
        /// Live orders.
        pub orders: u32,
        /// Orders that wait in the queue before new ones are refused. One that was admitted before may
        /// come back to a full queue, and so may one for which a vessel seemed to have room.
        pub queued: u32,
        /// Versions of the policy.
        pub policies: u32,
        /// Berths.
        pub berths: u32,
        /// Idempotency keys that are remembered. For one more the first of an order that was served is
        /// forgotten, of whoever has the most; those of live orders never are.
        pub keys: u32,
        /// Prefixes that are remembered; a new one displaces the one in its place.
        pub prefixes: u32,
        /// Thousands of tokens, of prompts and longest answers, that orders may have which wait in the queue, before new
        /// ones are refused; as `queued` is kept.
        pub queued_kilotokens: u32,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tenants: 4_096,
            regions: 256,
            models: 1_024,
            vessels: 16_384,
            orders: 1_000_000,
            queued: 200_000,
            policies: 1_024,
            berths: 65_536,
            keys: 1_048_576,
            prefixes: 65_536,
            queued_kilotokens: 4_000_000,
        }
    }
}

impl Limits {
    /// The tokens that orders may have which wait.
    pub(crate) fn queued_tokens(&self) -> Tokens {
        Tokens(u64::from(self.queued_kilotokens).saturating_mul(1_000))
    }

    /// Everything that is wrong with these limits, each fault naming its field.
    pub fn faults(&self) -> Vec<String> {
        let bounded = [
            ("tenants", self.tenants, 1 << 20),
            ("regions", self.regions, 1 << 16),
            ("models", self.models, 1 << 16),
            ("vessels", self.vessels, 1 << 20),
            ("orders", self.orders, 0x00ff_ffff),
            ("queued", self.queued, 0x00ff_ffff),
            ("policies", self.policies, 1 << 16),
            ("berths", self.berths, 1 << 20),
            ("keys", self.keys, 1 << 24),
            ("prefixes", self.prefixes, 1 << 24),
            ("queued_kilotokens", self.queued_kilotokens, 1 << 30),
        ];
        bounded
            .iter()
            .filter(|(_, value, max)| *value == 0 || value > max)
            .map(|(name, value, max)| alloc::format!("{name} is {value}, not in 1..={max}"))
            .collect()
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
        /// Idempotency keys.
        Keys = 9,
        /// Idempotency keys of one tenant.
        TenantKeys = 10,
        /// Tokens of orders that wait.
        QueuedTokens = 11,
        /// Orders of one tenant that wait.
        TenantQueue = 12,
        /// Live jobs.
        Jobs = 13,
        /// Steps of one job, those that undo others included.
        JobSteps = 14,
    }
}
