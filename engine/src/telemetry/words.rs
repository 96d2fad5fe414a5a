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
            /// Prompt tokens found in prefix caches.
            cached: Tokens,
            /// Tokens generated.
            tokens_out: Tokens,
            /// What is charged.
            cost: PicoUsd,
            /// What was worked in all of its attempts is worth.
            burnt: PicoUsd,
            /// What they burnt.
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
            /// What is left, rounded down.
            left: MicroUsd,
            /// When the next period begins; without end if none does.
            renewed_at: Micros,
        },
    }
}
