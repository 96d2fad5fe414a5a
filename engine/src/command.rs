//! What the world asks or reports: the sum of what is said to the modules. Variants are numbered by
//! their place; places are never reused.

use serde::{Deserialize, Serialize};

use crate::kernel::units::{Micros, OrderId, RegionId, Seq};
use crate::security::rows::Source;
use crate::{allocator, config, jobs, models, policy, telemetry, workflow};

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

/// One thing that the world asks or reports, by the module that it is said to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The bounds of the exchange.
    Config(config::words::Command),
    /// Who takes part.
    Models(models::words::Command),
    /// The rules in force.
    Policy(policy::words::Command),
    /// Orders, and the time that passes.
    Workflow(workflow::words::Command),
    /// When vessels are to be left alone.
    Allocator(allocator::words::Command),
    /// What is to be done to the fleet step by step.
    Jobs(jobs::words::Command),
    /// Of what nobody is to be told.
    Telemetry(telemetry::words::Command),
}

impl Command {
    /// The order, admitted by an earlier record, of which it speaks.
    pub fn continues(&self) -> Option<OrderId> {
        use workflow::words::Command as Workflow;
        match self {
            Self::Workflow(
                Workflow::ReportLeg { order, .. }
                | Workflow::ReportFirstToken { order, .. }
                | Workflow::ReportStop { order, .. }
                | Workflow::Cancel { order }
                | Workflow::Retry { order },
            ) => Some(*order),
            _ => None,
        }
    }
}

impl From<config::words::Command> for Command {
    fn from(command: config::words::Command) -> Self {
        Self::Config(command)
    }
}

impl From<models::words::Command> for Command {
    fn from(command: models::words::Command) -> Self {
        Self::Models(command)
    }
}

impl From<policy::words::Command> for Command {
    fn from(command: policy::words::Command) -> Self {
        Self::Policy(command)
    }
}

impl From<workflow::words::Command> for Command {
    fn from(command: workflow::words::Command) -> Self {
        Self::Workflow(command)
    }
}

impl From<allocator::words::Command> for Command {
    fn from(command: allocator::words::Command) -> Self {
        Self::Allocator(command)
    }
}

impl From<jobs::words::Command> for Command {
    fn from(command: jobs::words::Command) -> Self {
        Self::Jobs(command)
    }
}

impl From<telemetry::words::Command> for Command {
    fn from(command: telemetry::words::Command) -> Self {
        Self::Telemetry(command)
    }
}

/// The origin of an order whose submitter names no region.
pub const ANYWHERE: RegionId = RegionId::NONE;
