//! The values that a share of all do not exceed, exactly.

use crate::kernel::fixed::Fixed;
use crate::kernel::units::Ppm;

/// The least value of a sorted slice that is not below such a share of all of them: the nearest rank, type 1 of
/// Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50(4), 1996. Always one
/// of the values, so nothing is rounded; none of none.
pub fn nearest_rank<T: Copy>(sorted: &[T], share: Ppm) -> Option<T> {
    let wanted = (sorted.len() as u128).saturating_mul(u128::from(share.0.min(Ppm::ONE.0)));
    let rank = wanted.div_ceil(u128::from(Ppm::ONE.0)).max(1);
    sorted.get(usize::try_from(rank.saturating_sub(1)).ok()?).copied()
}

/// The value at a share of the way from the first of a sorted slice to the last, on the line between its two
/// neighbours: type 7 of Hyndman & Fan. Off by at most half a step; none of none.
pub fn interpolated(sorted: &[Fixed], share: Ppm) -> Option<Fixed> {
    let last = sorted.len().checked_sub(1)?;
    let way = (last as u128).saturating_mul(u128::from(share.0.min(Ppm::ONE.0)));
    let (place, rest) = (usize::try_from(way / 1_000_000).ok()?, way % 1_000_000);
    let below = *sorted.get(place)?;
    let above = sorted.get(place.saturating_add(1)).copied().unwrap_or(below);
    Some(below + (above - below).scaled(rest as u64, Ppm::ONE.0))
}
