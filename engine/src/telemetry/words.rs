//! What is counted.

use crate::kernel::image::words;
use crate::kernel::units::{MicroUsd, Micros, Millijoules, OrderId, PicoUsd, TenantId, Tokens};

words! {
    /// What an order amounted to.
    #[serde(rename = "telemetry::Event")]
    pub enum Event {
        /// An order's account was settled.
        OrderSettled = 0 {
            /// Which one.
            order: OrderId,
            /// Who pays.
            tenant: TenantId,
            /// Tokens of its prompt.
            tokens_in: Tokens,
            /// Prompt tokens found in prefix caches, in its last attempt.
            cached: Tokens,
            /// Tokens generated in its last attempt.
            tokens_out: Tokens,
            /// What is charged.
            cost: PicoUsd,
            /// What the completed legs of all of its attempts are worth.
            burnt: PicoUsd,
            /// The fuel that they took.
            energy: Millijoules,
        },
    }
}

words! {
    /// Why a tenant has to wait for its next budget.
    #[serde(rename = "telemetry::Refusal")]
    pub enum Refusal {
        /// What is left of its budget is less than the order might be charged.
        BudgetSpent = 0 {
            /// What the order might be charged, rounded up.
            asked: MicroUsd,
            /// What is left, rounded down.
            left: MicroUsd,
            /// When the next period begins; without end if none would bring enough.
            renewed_at: Micros,
        },
    }
}
