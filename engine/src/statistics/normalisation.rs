//! Values by how they lie among their own.

use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::fixed::Fixed;
use crate::kernel::units::Ppm;
use crate::statistics::means::mean;
use crate::statistics::moments::Moments;
use crate::statistics::percentiles::interpolated;

/// Where each value lies between the least, 0, and the largest, 1; all at 0 where they are alike. To the nearest
/// step.
pub fn min_max(values: &[Fixed]) -> Vec<Fixed> {
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else {
        return Vec::new();
    };
    values.iter().map(|value| (*value - *least) / (*most - *least)).collect()
}

/// How many standard deviations of the sample each value is above its mean; all at 0 where they are alike, or are
/// fewer than two.
pub fn z(values: &[Fixed]) -> Vec<Fixed> {
    let moments: Moments = values.iter().copied().collect();
    match (moments.mean(), moments.deviation()) {
        (Some(mean), Some(deviation)) => distances(values, mean, deviation),
        _ => vec![Fixed::ZERO; values.len()],
    }
}

/// How far each value is above the median, in units of the median distance from it that are worth a standard
/// deviation where values are normal: 0.6745 of the distance by the median of all distances; what is above 3.5
/// is far off (Iglewicz & Hoaglin, "How to Detect and Handle Outliers", ASQC 1993).
///
/// Where more than half of them lie at the median, that unit is nothing, and the mean distance times 1.253314
/// stands in for it (the same ratio to a standard deviation, from the mean).
pub fn robust_z(values: &[Fixed]) -> Vec<Fixed> {
    let Some(median) = median(values) else { return Vec::new() };
    let apart: Vec<Fixed> = values.iter().map(|value| (*value - median).abs()).collect();
    let typical = self::median(&apart).filter(|typical| *typical > Fixed::ZERO);
    let unit = match typical {
        Some(typical) => typical / Fixed::ratio(6_745, 10_000),
        None => mean(&apart).unwrap_or_default() * Fixed::ratio(1_253_314, 1_000_000),
    };
    distances(values, median, unit)
}

/// The value in the middle, or half way between the two that are.
fn median(values: &[Fixed]) -> Option<Fixed> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    interpolated(&sorted, Ppm(500_000))
}

fn distances(values: &[Fixed], from: Fixed, unit: Fixed) -> Vec<Fixed> {
    let distance = |value: &Fixed| if unit > Fixed::ZERO { (*value - from) / unit } else { unit };
    values.iter().map(distance).collect()
}
