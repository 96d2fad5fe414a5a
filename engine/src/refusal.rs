//! What stood in the way: normal, the caller's to act on, and recorded like any other decision.

use core::fmt;

use crate::kernel::image::sum;
use crate::{allocator, config, jobs, models, policy, queue, security, telemetry, workflow};

sum! {
    /// Why a command was not done, by the module that refused it.
    pub enum Refusal {
        /// A bound.
        Config = 0 (config::words::Refusal),
        /// Who takes part.
        Models = 1 (models::words::Refusal),
        /// The rate of submissions.
        Queue = 2 (queue::words::Refusal),
        /// Capacity.
        Allocator = 3 (allocator::words::Refusal),
        /// The rules in force.
        Policy = 4 (policy::words::Refusal),
        /// The sender's scopes.
        Security = 5 (security::words::Refusal),
        /// The order.
        Workflow = 6 (workflow::refusal::Refusal),
        /// The tenant's budget, or a silence.
        Telemetry = 7 (telemetry::words::Refusal),
        /// The job.
        Jobs = 8 (jobs::words::Refusal),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use {
            allocator::words as a, config::words as c, jobs::words as j, models::words as m,
            policy::words as p, telemetry::words as t, workflow::refusal as w,
        };
        match self {
            Self::Config(c::Refusal::NotConfigured) => f.write_str("not_configured"),
            Self::Config(c::Refusal::AlreadyConfigured) => f.write_str("already_configured"),
            Self::Config(c::Refusal::Full { bound, max }) => {
                write!(f, "full bound={bound:?} max={max}")
            }
            Self::Config(c::Refusal::Invalid { fault })
            | Self::Models(m::Refusal::Invalid { fault })
            | Self::Policy(p::Refusal::Invalid { fault })
            | Self::Workflow(w::Refusal::Invalid { fault })
            | Self::Jobs(j::Refusal::Invalid { fault }) => write!(f, "invalid: {fault}"),
            Self::Models(m::Refusal::Unknown { thing, id }) => {
                write!(f, "unknown thing={thing:?} id={id}")
            }
            Self::Models(m::Refusal::WrongStatus) => f.write_str("wrong_status"),
            Self::Models(m::Refusal::StillAboard { orders }) => {
                write!(f, "still_aboard orders={orders}")
            }
            Self::Models(m::Refusal::NoVessel) => f.write_str("no_vessel"),
            Self::Models(m::Refusal::TooLarge { asked, max }) => {
                write!(f, "too_large asked={asked} max={max}")
            }
            Self::Models(m::Refusal::Superseded { start }) => {
                write!(f, "superseded start={start}")
            }
            Self::Queue(queue::words::Refusal::RateLimited { retry_at }) => {
                write!(f, "rate_limited retry_at={retry_at}")
            }
            Self::Queue(queue::words::Refusal::TokensLimited { retry_at }) => {
                write!(f, "tokens_limited retry_at={retry_at}")
            }
            Self::Allocator(a::Refusal::NoBerth { earliest }) => {
                write!(f, "no_berth earliest={earliest}")
            }
            Self::Allocator(a::Refusal::Promised { berth }) => write!(f, "promised berth={berth}"),
            Self::Allocator(a::Refusal::NoMaintenance) => f.write_str("no_maintenance"),
            Self::Allocator(a::Refusal::LimitTooLow { limit, least }) => {
                write!(f, "limit_too_low limit={limit} least={least}")
            }
            Self::Policy(p::Refusal::Unknown { version }) => {
                write!(f, "unknown thing=Policy id={version}")
            }
            Self::Policy(p::Refusal::NoPolicy) => f.write_str("no_policy"),
            Self::Policy(p::Refusal::LevelForbids { level, class }) => {
                write!(f, "level_forbids level={level:?} class={class:?}")
            }
            Self::Policy(p::Refusal::NoOverride) => f.write_str("no_override"),
            Self::Policy(p::Refusal::OverrideTooLong { asked, max }) => {
                write!(f, "override_too_long asked={asked} max={max}")
            }
            Self::Security(security::words::Refusal::Forbidden { scope }) => {
                write!(f, "forbidden scope={scope:?}")
            }
            Self::Telemetry(t::Refusal::BudgetSpent { asked, left, renewed_at }) => {
                write!(f, "budget_spent asked={asked} left={left} renewed_at={renewed_at}")
            }
            Self::Telemetry(t::Refusal::NotSilenced { concern }) => {
                write!(f, "not_silenced concern={concern:?}")
            }
            Self::Telemetry(t::Refusal::SilenceTooLong { asked, max }) => {
                write!(f, "silence_too_long asked={asked} max={max}")
            }
            Self::Workflow(w::Refusal::TimeRegressed { now }) => {
                write!(f, "time_regressed now={now}")
            }
            Self::Workflow(w::Refusal::Unknown { order }) => {
                write!(f, "unknown thing=Order id={order}")
            }
            Self::Jobs(j::Refusal::Unknown { job }) => write!(f, "unknown thing=Job id={job}"),
            Self::Jobs(j::Refusal::Taken { vessel, job }) => {
                write!(f, "taken vessel={vessel} job={job}")
            }
            Self::Jobs(j::Refusal::NotRunning { order }) => {
                write!(f, "not_running order={order}")
            }
            Self::Jobs(j::Refusal::WrongPhase) => f.write_str("wrong_phase"),
            Self::Jobs(j::Refusal::Stale) => f.write_str("stale"),
            Self::Jobs(j::Refusal::NotReported) => f.write_str("not_reported"),
            Self::Workflow(w::Refusal::Stale) => f.write_str("stale"),
            Self::Workflow(w::Refusal::WrongStage) => f.write_str("wrong_stage"),
            Self::Workflow(w::Refusal::KeyConflict { order, ordered, asked }) => {
                write!(f, "key_conflict order={order} ordered={ordered:016x} asked={asked:016x}")
            }
        }
    }
}
