//! What random numbers look like: gaps between arrivals, lengths of prompts, ranks of prefixes.
//!
//! The floats of the crate are those of recipes. What is drawn with them is drawn here, out of
//! `Draws::unit`: through IEEE operations and `libm` alone, never through the platform's mathematics.
//! Every draw is rounded to a whole number at once.

use serde::Deserialize;

use crate::draw::Draws;
use crate::trace::TOKENS_MAX;

/// How orders arrive.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// The distribution of the gaps.
    pub process: Process,
    /// Orders a second, over time.
    pub rate: f64,
    /// The standard deviation of the gaps over their mean; a Poisson process has one.
    pub cv: Option<f64>,
}

/// The distribution of the gaps between arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// Exponential gaps.
    Poisson,
    /// Gamma gaps: bursts, when the coefficient of variation is above one.
    Gamma,
    /// Weibull gaps: long silences, when the coefficient of variation is above one.
    Weibull,
}

/// The distribution of a length in tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lengths {
    /// Always the same.
    Fixed(u64),
    /// Any whole number of the range, equally likely.
    Uniform {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Log-normal, with what is outside the range moved to its edge.
    Lognormal {
        /// Half of the lengths are below it.
        median: f64,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Measured quantiles: share in millionths, then length; straight lines between them.
    Quantiles(Vec<[u64; 2]>),
}

impl Arrivals {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1e-6..=1e6).contains(&self.rate) {
            faults.push(format!("arrivals.rate is {}, not in 0.000001..=1000000", self.rate));
        }
        match (self.process, self.cv) {
            (Process::Poisson, None) => {}
            (Process::Poisson, Some(_)) => {
                faults
                    .push("arrivals.cv is given, but a poisson process has one of its own".into());
            }
            (_, Some(cv)) if (0.1..=10.0).contains(&cv) => {}
            (_, Some(cv)) => faults.push(format!("arrivals.cv is {cv}, not in 0.1..=10")),
            (_, None) => faults.push("arrivals.cv is missing".into()),
        }
        faults
    }
}

/// Gaps between arrivals, in microseconds.
pub(super) enum Gaps {
    Poisson { mean: f64 },
    Gamma { shape: f64, scale: f64 },
    Weibull { shape: f64, scale: f64 },
}

impl Gaps {
    pub(super) fn new(arrivals: &Arrivals) -> Self {
        let mean = 1e6 / arrivals.rate;
        let cv = arrivals.cv.unwrap_or(1.0);
        match arrivals.process {
            Process::Poisson => Self::Poisson { mean },
            Process::Gamma => {
                let shape = 1.0 / (cv * cv);
                Self::Gamma { shape, scale: mean / shape }
            }
            Process::Weibull => {
                let shape = weibull_shape(cv);
                Self::Weibull { shape, scale: mean / libm::tgamma(1.0 + 1.0 / shape) }
            }
        }
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> u64 {
        let gap = match *self {
            Self::Poisson { mean } => mean * exponential(draws),
            Self::Gamma { shape, scale } => scale * gamma(shape, draws),
            Self::Weibull { shape, scale } => scale * libm::pow(exponential(draws), 1.0 / shape),
        };
        libm::round(gap) as u64
    }
}

fn exponential(draws: &mut Draws) -> f64 {
    -libm::log(draws.unit())
}

/// Box and Muller, "A note on the generation of random normal deviates", 1958.
fn normal(draws: &mut Draws) -> f64 {
    let radius = libm::sqrt(2.0 * exponential(draws));
    radius * libm::cos(core::f64::consts::TAU * draws.unit())
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; a shape below one is
/// raised by one and the draw scaled down, as they propose.
fn gamma(shape: f64, draws: &mut Draws) -> f64 {
    if shape < 1.0 {
        let scale = libm::pow(draws.unit(), 1.0 / shape);
        return scale * gamma(shape + 1.0, draws);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(draws);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if libm::log(draws.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// The shape whose coefficient of variation is `cv`, by bisection: the one falls as the other rises.
fn weibull_shape(cv: f64) -> f64 {
    let (mut low, mut high) = (0.1, 20.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        let mean = libm::tgamma(1.0 + 1.0 / middle);
        let variation = libm::tgamma(1.0 + 2.0 / middle) / (mean * mean) - 1.0;
        if variation > cv * cv {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

impl Lengths {
    pub(super) fn draw(&self, draws: &mut Draws) -> u64 {
        match self {
            Self::Fixed(length) => *length,
            Self::Uniform { min, max } => min + draws.below(max - min + 1),
            Self::Lognormal { median, sigma, min, max } => {
                let length = median * libm::exp(sigma * normal(draws));
                (libm::round(length) as u64).clamp(*min, *max)
            }
            Self::Quantiles(points) => quantile(points, draws.below(1_000_001)),
        }
    }

    pub(super) fn faults(&self, key: &str, least: u64) -> Option<String> {
        let fits = |length: u64| (least..=TOKENS_MAX).contains(&length);
        let range = |min: u64, max: u64| fits(min) && fits(max) && min <= max;
        let sound = match self {
            Self::Fixed(length) => fits(*length),
            Self::Uniform { min, max } => range(*min, *max),
            Self::Lognormal { median, sigma, min, max } => {
                range(*min, *max) && (1e-3..=1e9).contains(median) && (0.0..=10.0).contains(sigma)
            }
            Self::Quantiles(points) => {
                let ends = points.first().map(|p| p[0]) == Some(0)
                    && points.last().map(|p| p[0]) == Some(1_000_000);
                let ascending = points.windows(2).all(|w| w[0][0] < w[1][0] && w[0][1] <= w[1][1]);
                ends && ascending && points.iter().all(|point| fits(point[1]))
            }
        };
        (!sound).then(|| match self {
            Self::Quantiles(_) => format!(
                "{key}.quantiles do not ascend from share 0 to share 1000000 with lengths in \
                 {least}..={TOKENS_MAX}"
            ),
            _ => format!("{key} is not a range within {least}..={TOKENS_MAX}: {self:?}"),
        })
    }
}

/// The length at `share`, rounded down, on the straight line between its neighbours.
fn quantile(points: &[[u64; 2]], share: u64) -> u64 {
    let above = points.iter().position(|point| point[0] >= share).unwrap_or(0);
    let (Some(&[high, long]), Some(&[low, short])) =
        (points.get(above), points.get(above.saturating_sub(1)))
    else {
        return 0;
    };
    let part = u128::from(long - short) * u128::from(share - low.min(share));
    short + part.checked_div(u128::from(high - low)).unwrap_or(0) as u64
}

/// Places from zero, each drawn in proportion to its weight.
pub(super) struct Weights {
    /// What the weights add up to, place by place.
    sums: Vec<u64>,
}

impl Weights {
    pub(super) fn new(weights: impl Iterator<Item = u64>) -> Self {
        let sums = weights.scan(0, |sum: &mut u64, weight| {
            *sum = sum.saturating_add(weight);
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// Place n weighs 1 / (n + 1)^`exponent` (Zipf).
    pub(super) fn zipf(count: u32, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| {
            let weight = 4_294_967_296.0 / libm::pow(f64::from(rank), exponent);
            (libm::round(weight) as u64).max(1)
        }))
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> usize {
        let place = draws.below(self.sums.last().copied().unwrap_or(0));
        self.sums.partition_point(|sum| *sum <= place)
    }
}
