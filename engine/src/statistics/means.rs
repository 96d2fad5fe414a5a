//! Means: plain, weighted, and of what is lately so.

use crate::kernel::fixed::Fixed;
use crate::kernel::units::Micros;

/// The mean, to the nearest step, halves up, however large the sum is; none of none.
pub fn mean(values: &[Fixed]) -> Option<Fixed> {
    let count = i128::try_from(values.len()).ok()?;
    let (mut whole, mut rest) = (0i128, 0i128);
    for value in values {
        whole = whole.saturating_add(value.steps().checked_div_euclid(count)?);
        rest = rest.saturating_add(value.steps().checked_rem_euclid(count)?);
    }
    let rest = rest.saturating_add(count / 2).checked_div(count)?;
    Some(Fixed::from_steps(whole.saturating_add(rest)))
}

/// The mean of values that weigh so much each, to the nearest step; none where nothing weighs anything.
///
/// Weights whose sum with the values has more than 127 bits lose the last of theirs: with a thousand values of 64
/// bits, what is below a 2^53rd of the largest weight.
pub fn weighted_mean(values: &[(u64, u64)]) -> Option<Fixed> {
    let bits = |most: u64| most.checked_ilog2().map_or(0, |place| place.saturating_add(1));
    let count = bits(values.len() as u64);
    let value = bits(values.iter().map(|(value, _)| *value).max()?);
    let weight = bits(values.iter().map(|(_, weight)| *weight).max()?);
    let lost = count.saturating_add(value).saturating_add(weight).saturating_sub(127);
    let (mut sum, mut weights) = (0u128, 0u128);
    for (value, weight) in values {
        let weight = u128::from(*weight) >> lost;
        sum = sum.saturating_add(u128::from(*value).saturating_mul(weight));
        weights = weights.saturating_add(weight);
    }
    (weights > 0).then(|| Fixed::ratio(sum, weights))
}

/// What is left of a weight after such a span, where half of it is after each half-life: two to the power of
/// -passed / half_life, off by at most two steps. With no half-life nothing is left of what is past.
pub fn decay(passed: Micros, half_life: Micros) -> Fixed {
    if passed == Micros::ZERO {
        return Fixed::ONE;
    }
    (-Fixed::ratio(passed.0.into(), half_life.0.into())).exp2()
}

/// A mean of values that come at any moments, in which each weighs half with every half-life that passes: the
/// exponentially weighted moving average of an irregular series, its weights normalised (Cormode, Shkapenyuk,
/// Srivastava & Xu, "Forward Decay", ICDE 2009), kept up value by value (West, "Updating Mean and Variance
/// Estimates", CACM 22(9), 1979).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ema {
    half_life: Micros,
    /// When the last value came.
    at: Micros,
    /// What all values together weigh at that moment.
    weight: Fixed,
    mean: Fixed,
}

impl Ema {
    /// Of nothing so far.
    pub fn new(half_life: Micros) -> Self {
        Self { half_life, at: Micros::ZERO, weight: Fixed::ZERO, mean: Fixed::ZERO }
    }

    /// Counts a value; one that is late counts as if it came with the last.
    pub fn add(&mut self, at: Micros, value: Fixed) {
        self.weight = self.weight * decay(at - self.at, self.half_life) + Fixed::ONE;
        self.at = self.at.max(at);
        self.mean = self.mean + (value - self.mean) / self.weight;
    }

    /// The mean, off by at most three steps for each value that still weighs something; none before the first
    /// value.
    pub fn mean(&self) -> Option<Fixed> {
        (self.weight > Fixed::ZERO).then_some(self.mean)
    }
}
