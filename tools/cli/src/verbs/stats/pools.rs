//! Vessels beside those that do the same work.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tensorforge_engine::fixed::Fixed;
use tensorforge_engine::models::LegKind;
use tensorforge_engine::statistics::{interpolated, nearest_rank, robust_z};
use tensorforge_engine::units::{Micros, ModelId, Ppm, VesselId};

use crate::names::Names;
use crate::output::{percent, span};

/// A vessel that was called less often is not judged.
const CALLS_MIN: usize = 10;
/// Nobody is an outlier of fewer.
const VESSELS_MIN: usize = 3;

/// What vessels were asked and how they answered, by the model and the hop that they did it for.
#[derive(Default)]
pub(super) struct Pools(BTreeMap<(ModelId, u8), BTreeMap<VesselId, Seen>>);

/// What was seen of one vessel.
#[derive(Default)]
struct Seen {
    calls: u64,
    failed: u64,
    /// From the order being handed over to its first token, in microseconds.
    first_tokens: Vec<u64>,
}

/// By what vessels are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The median time to the first token, in microseconds.
    FirstToken,
    /// The share of calls that failed.
    Failing,
}

/// A figure of a vessel beside those of its pool.
pub(super) struct Judged {
    pub(super) model: ModelId,
    hop: u8,
    pub(super) vessel: VesselId,
    pub(super) figure: Figure,
    pub(super) value: u64,
    /// That of the pool, to the nearest whole number.
    pub(super) median: u64,
    /// How far off it is.
    pub(super) z: Fixed,
}

impl Figure {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FirstToken => "first token",
            Self::Failing => "failing",
        }
    }

    pub(super) fn text(self, value: u64) -> String {
        match self {
            Self::FirstToken => span(value),
            Self::Failing => percent(value),
        }
    }

    /// What it is of a vessel; none where too little was seen of it.
    fn of(self, seen: &Seen) -> Option<u64> {
        match self {
            Self::FirstToken => {
                let mut sorted = seen.first_tokens.clone();
                sorted.sort_unstable();
                nearest_rank(&sorted, Ppm(500_000)).filter(|_| sorted.len() >= CALLS_MIN)
            }
            Self::Failing => {
                let share = Ppm::ratio(seen.failed, seen.calls).0;
                (seen.calls >= CALLS_MIN as u64).then_some(share)
            }
        }
    }
}

impl Judged {
    /// Above 3.5, one way or the other.
    pub(super) fn is_outlier(&self) -> bool {
        self.z.abs() > Fixed::ratio(7, 2)
    }

    pub(super) fn hop(&self) -> &'static str {
        match self.hop {
            hop if hop == LegKind::Prefill as u8 => "prefill",
            hop if hop == LegKind::Decode as u8 => "decode",
            _ => "whole",
        }
    }

    pub(super) fn json(&self, names: &Names) -> Value {
        let of_pool = match self.figure {
            Figure::FirstToken => ["first_token_us", "pool_first_token_us"],
            Figure::Failing => ["failing_ppm", "pool_failing_ppm"],
        };
        let [own, pool] = of_pool;
        json!({
            "vessel": names.vessel(self.vessel),
            "model": names.model(self.model),
            "hop": self.hop(),
            own: self.value,
            pool: self.median,
            "robust_z_thousandths": i64::try_from(self.z.in_parts(1_000)).unwrap_or(i64::MAX),
            "outlier": self.is_outlier(),
        })
    }
}

impl Pools {
    /// Counts a call of a vessel, and the time to its first token if there was one.
    pub(super) fn count(
        &mut self,
        model: ModelId,
        kind: LegKind,
        vessel: VesselId,
        failed: bool,
        first_token: Micros,
    ) {
        let seen = self.0.entry((model, kind as u8)).or_default().entry(vessel).or_default();
        seen.calls = seen.calls.saturating_add(1);
        seen.failed = seen.failed.saturating_add(u64::from(failed));
        seen.first_tokens.extend(Some(first_token.0).filter(|span| *span > 0));
    }

    /// Every figure of every vessel that has enough like it.
    pub(super) fn judge(&self) -> Vec<Judged> {
        let mut judged = Vec::new();
        for ((model, hop), vessels) in &self.0 {
            for figure in [Figure::FirstToken, Figure::Failing] {
                let values: Vec<(VesselId, u64)> = vessels
                    .iter()
                    .filter_map(|(vessel, seen)| Some((*vessel, figure.of(seen)?)))
                    .collect();
                if values.len() < VESSELS_MIN {
                    continue;
                }
                let all: Vec<Fixed> = values.iter().map(|(_, value)| Fixed::from(*value)).collect();
                let mut sorted = all.clone();
                sorted.sort_unstable();
                let median = interpolated(&sorted, Ppm(500_000)).map_or(0, Fixed::rounded);
                judged.extend(values.iter().zip(robust_z(&all)).map(|((vessel, value), z)| {
                    let (model, hop, vessel, value) = (*model, *hop, *vessel, *value);
                    Judged { model, hop, vessel, figure, value, median, z }
                }));
            }
        }
        judged
    }
}
