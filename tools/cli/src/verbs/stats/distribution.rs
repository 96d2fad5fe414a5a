//! What is measured of an order, and how such figures are spread.

use serde_json::{Value, json};
use tensorforge_engine::fixed::Fixed;
use tensorforge_engine::statistics::Moments;

use crate::output::{dollars, grouped, span};
use crate::tally::percentiles;

/// What is measured of an order that was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// From its arrival to its end, in microseconds.
    Latency,
    /// From its arrival to its first token, in microseconds; there is none without a token.
    FirstToken,
    /// From its arrival until it was first handed to a vessel, in microseconds.
    Waiting,
    /// Tokens generated.
    Answer,
    /// In pico-dollars.
    Charge,
}

/// Every measure, in the order in which they are gathered and told.
pub(super) const MEASURES: [Measure; 5] =
    [Measure::Latency, Measure::FirstToken, Measure::Waiting, Measure::Answer, Measure::Charge];

/// How figures are spread.
pub(super) struct Distribution {
    number: u64,
    mean: u64,
    /// The deviation of a sample; none of one.
    deviation: Option<u64>,
    percentiles: Vec<(u64, u64)>,
    most: u64,
}

impl Distribution {
    pub(super) fn of(measure: Measure, values: &[u64]) -> Self {
        let unit = measure.unit();
        let moments: Moments =
            values.iter().map(|value| Fixed::ratio((*value).into(), unit.into())).collect();
        let whole = |number: Fixed| (number * Fixed::from(unit)).rounded();
        Self {
            number: moments.count(),
            mean: moments.mean().map_or(0, whole),
            deviation: moments.deviation().map(whole),
            percentiles: percentiles(values),
            most: values.iter().max().copied().unwrap_or(0),
        }
    }
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::FirstToken => "first token",
            Self::Waiting => "waiting",
            Self::Answer => "tokens out",
            Self::Charge => "charge",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Latency => "latency_us",
            Self::FirstToken => "first_token_us",
            Self::Waiting => "waiting_us",
            Self::Answer => "tokens_out",
            Self::Charge => "charge_pico_usd",
        }
    }

    /// So many go into the unit that is squared, so that squares of any amount fit.
    fn unit(self) -> u64 {
        if self == Self::Charge { 1_000_000 } else { 1 }
    }

    fn text(self, value: u64) -> String {
        match self {
            Self::Latency | Self::FirstToken | Self::Waiting => span(value),
            Self::Answer => grouped(value),
            Self::Charge => dollars(value / 1_000_000 + u64::from(value % 1_000_000 >= 500_000)),
        }
    }

    /// A row of a table; a dash where there is nothing to tell.
    pub(super) fn row(self, found: &Distribution) -> Vec<String> {
        let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |v| self.text(v));
        let some = |value: u64| text((found.number > 0).then_some(value));
        let mut row = vec![self.name().to_owned(), grouped(found.number)];
        row.extend([some(found.mean), text(found.deviation)]);
        row.extend([50, 90, 99].map(|percent| text(found.at(percent))));
        row.push(some(found.most));
        row
    }

    pub(super) fn json(self, found: &Distribution) -> Value {
        let some = |value: u64| (found.number > 0).then_some(value);
        json!({
            "number": found.number,
            "mean": some(found.mean),
            "sd": found.deviation,
            "p50": found.at(50),
            "p90": found.at(90),
            "p99": found.at(99),
            "max": some(found.most),
        })
    }
}

impl Distribution {
    fn at(&self, percent: u64) -> Option<u64> {
        self.percentiles.iter().find(|found| found.0 == percent).map(|found| found.1)
    }
}
