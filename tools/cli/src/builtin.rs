//! What is built into the program, so that it does its work with nothing beside it.

/// A morning at the exchange: name and contents of the trace.
pub(crate) const TRACE: (&str, &str) =
    ("harbour-morning.jsonl", include_str!("../../../fixtures/traces/harbour-morning.jsonl"));

/// Four vessels in one region.
pub(crate) const FLEET: (&str, &str) =
    ("four-vessels.toml", include_str!("../../../fixtures/fleets/four-vessels.toml"));

/// The default rules.
pub(crate) const POLICY: (&str, &str) =
    ("balanced.toml", include_str!("../../../fixtures/policies/balanced.toml"));

/// The rules that the tour compares them with.
pub(crate) const OTHER_POLICY: (&str, &str) =
    ("thrifty.toml", include_str!("../../../fixtures/policies/thrifty.toml"));
