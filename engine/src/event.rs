//! What was decided: the sum of what the modules say. Numbers are never reused.

use crate::kernel::image::sum;
use crate::kernel::units::OrderId;
use crate::routing::words::Candidate;
use crate::{
    allocator, config, jobs, models, policy, queue, resilience, routing, telemetry, workflow,
};

sum! {
    /// One decision, by the module that made it.
    pub enum Event {
        /// The bounds of the exchange.
        Config = 0 (config::words::Event),
        /// Who takes part.
        Models = 1 (models::words::Event),
        /// Who waits.
        Queue = 2 (queue::words::Event),
        /// What capacity is reserved.
        Allocator = 3 (allocator::words::Event),
        /// Which way an order goes.
        Routing = 4 (routing::words::Event),
        /// Which rules are in force, and how tightly.
        Policy = 5 (policy::words::Event),
        /// What failures lead to.
        Resilience = 6 (resilience::words::Event),
        /// The life of an order.
        Workflow = 7 (workflow::words::Event),
        /// What is counted, and what is wrong.
        Telemetry = 8 (telemetry::words::Event),
        /// What is done to the fleet step by step.
        Jobs = 9 (jobs::words::Event),
    }
}

// An event is as long in memory as the longest of them, and most are short.
const _: () = assert!(size_of::<Event>() <= 104, "what a word repeats at length is boxed");

impl Event {
    /// The most bytes of an event that a rule makes, without its candidates. Those that repeat what a
    /// command says are as long as the command lets them be, and there is one of them a record.
    pub const BYTES_MAX: usize = 112;

    /// The order, admitted by an earlier record, whose life goes on with it.
    pub fn continues(&self) -> Option<OrderId> {
        use workflow::words::Event as Workflow;
        match self {
            Self::Workflow(
                Workflow::LegCompleted { order, .. }
                | Workflow::LegFailed { order, .. }
                | Workflow::FirstTokenSeen { order, .. }
                | Workflow::OrderEnded { order, .. },
            )
            | Self::Routing(routing::words::Event::OrderRouted { order, .. }) => Some(*order),
            _ => None,
        }
    }

    /// The most bytes that it has in a record, if a rule has made it.
    pub fn bytes_max(&self) -> usize {
        if let Self::Jobs(jobs::words::Event::StepBegan { manifest: Some(_), .. }) = self {
            return Self::BYTES_MAX.saturating_add(jobs::words::Event::MANIFEST_BYTES);
        }
        let candidates = match self {
            Self::Routing(routing::words::Event::OrderRouted { candidates, .. })
            | Self::Workflow(workflow::words::Event::LegHedged { candidates, .. }) => {
                candidates.len()
            }
            _ => 0,
        };
        candidates.saturating_mul(Candidate::BYTES).saturating_add(Self::BYTES_MAX)
    }
}
