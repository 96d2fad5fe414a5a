//! What is counted, and what is wrong.

use serde::{Deserialize, Serialize};

use crate::kernel::image::words;
use crate::kernel::units::{
    MicroUsd, Micros, Millijoules, OrderId, PicoUsd, Ppm, Seq, TenantId, Tokens,
};
use crate::telemetry::rows::{Concern, Notice, Severity};

/// Of what nobody is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "telemetry::Command")]
pub enum Command {
    /// Has nobody told of incidents about something for a while, in place of another silence, if there is one.
    Silence {
        /// What they are about.
        concern: Concern,
        /// Until when, a week at most; a moment that is not ahead ends a silence.
        until: Micros,
    },
}

words! {
    /// What an order amounted to, and what is wrong.
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
        /// A review found something to be of another severity than the one before it did. That is told if it lasts.
        IncidentSeen = 1 {
            /// What.
            concern: Concern,
            /// How severe; nothing where it is no incident.
            severity: Option<Severity>,
            /// What was found.
            found: Ppm,
        },
        /// Something is wrong, or is more or less severe than it was told to be, and has been for as long as the policy says.
        IncidentRaised = 2 {
            /// What.
            concern: Concern,
            /// How severe it was told to be; nothing where it was not open.
            from: Option<Severity>,
            /// How severe it is.
            severity: Severity,
            /// What was found.
            found: Ppm,
            /// The outage that it is part of: the record that raised the first incident of it.
            group: Seq,
            /// Whether somebody is told.
            notice: Notice,
        },
        /// Something is wrong no more, and has not been for as long as the policy says.
        IncidentResolved = 3 {
            /// What.
            concern: Concern,
            /// What was found.
            found: Ppm,
            /// The outage that it was part of.
            group: Seq,
            /// How long it was open.
            lasted: Micros,
            /// Whether somebody is told that the outage is over; known where something else of it is open.
            notice: Notice,
        },
        /// Nobody is told of incidents about something for a while.
        IncidentSilenced = 4 {
            /// What they are about.
            concern: Concern,
            /// Until when.
            until: Micros,
        },
        /// A silence is over: at the first review after its time, or because somebody ended it.
        SilenceEnded = 5 {
            /// What it was about.
            concern: Concern,
            /// How severe that is; nothing where it is not open.
            severity: Option<Severity>,
            /// The outage that it is part of, or was last.
            group: Seq,
            /// Whether somebody is told of it now.
            notice: Notice,
        },
    }
}

words! {
    /// Why a tenant has to wait for its next budget, or a silence is none.
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
        /// There is no silence to end.
        NotSilenced = 1 {
            /// About what.
            concern: Concern,
        },
        /// Nothing is silenced for so long at once.
        SilenceTooLong = 2 {
            /// How long it was to be.
            asked: Micros,
            /// The longest that one may.
            max: Micros,
        },
    }
}
