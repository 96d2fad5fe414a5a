//! The rules in force: versioned, validated, and a level that tightens and relaxes with risk.

pub mod rows;
pub mod words;

pub(crate) mod fold;

pub(crate) mod decide;

pub(crate) mod check;

pub use rows::{
    Burn, BurnAlert, BurnWindow, Drift, DriftRule, Escalation, OverrideEnd, Policy, PolicyLevel,
    RiskWeights, Signal, Signals, Sla, SlaRule, SlaWindow, Stance,
};
pub use words::{Command, Event, Refusal};
