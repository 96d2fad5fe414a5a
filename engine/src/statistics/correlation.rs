//! What goes with what.

use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::fixed::Fixed;

/// How closely pairs of values lie to a line, from -1 to 1: the covariance by the product of both deviations
/// (Pearson, "Notes on Regression and Inheritance", Proc. Royal Society 58, 1895). Off by at most two steps for whole
/// numbers that span less than 2^40, of which there are fewer than 2^44; of what spans more, what is below a 2^40th
/// of the span is cut off. None where there are fewer than two pairs, or where all of one side are alike.
pub fn pearson(pairs: &[(Fixed, Fixed)]) -> Option<Fixed> {
    // Sums of so many products of two deviations fit 126 bits.
    let count = i128::try_from(pairs.len()).ok()?;
    let places = 124u32.saturating_sub(count.checked_ilog2()?.saturating_add(1)) / 2;
    let left = deviations(pairs.iter().map(|pair| pair.0), count, places)?;
    let right = deviations(pairs.iter().map(|pair| pair.1), count, places)?;
    let sum = |left: &[i128], right: &[i128]| {
        let products = left.iter().zip(right).map(|(left, right)| left.saturating_mul(*right));
        let own = |side: &[i128]| side.iter().fold(0i128, |sum, one| sum.saturating_add(*one));
        // Deviations are from a mean that was rounded, and so do not add up to nothing.
        let rest = own(left).saturating_mul(own(right)).checked_div(count);
        let all = products.fold(0i128, i128::saturating_add);
        all.saturating_sub(rest.unwrap_or(0))
    };
    let (root_left, up_left) = root(sum(&left, &left))?;
    let (root_right, up_right) = root(sum(&right, &right))?;
    // Both roots were taken of something larger by these powers of four.
    let shared = sum(&left, &right);
    let wide = shared.unsigned_abs() << up_left.saturating_add(up_right).min(127);
    let ratio = Fixed::ratio(wide, root_left.saturating_mul(root_right)).min(Fixed::ONE);
    Some(if shared < 0 { -ratio } else { ratio })
}

/// How closely the ranks of pairs of values lie to a line, and so whether one rises with the other at all
/// (Spearman, "The Proof and Measurement of Association between Two Things", 1904). Those that are alike share the
/// mean of their ranks. None where there are fewer than two pairs, or where all of one side are alike.
pub fn spearman(pairs: &[(Fixed, Fixed)]) -> Option<Fixed> {
    let left = ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let right = ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
    pearson(&left.into_iter().zip(right).collect::<Vec<_>>())
}

/// The rank of each value from one on; exact.
fn ranks(values: &[Fixed]) -> Vec<Fixed> {
    let mut places: Vec<(Fixed, usize)> = values.iter().copied().zip(0..).collect();
    places.sort_unstable();
    let mut ranks = vec![Fixed::ZERO; values.len()];
    let mut before = 0u64;
    for alike in places.chunk_by(|left, right| left.0 == right.0) {
        let count = alike.len() as u64;
        // From before + 1 to before + count.
        let twice = before.saturating_mul(2).saturating_add(count).saturating_add(1);
        for (_, place) in alike {
            if let Some(rank) = ranks.get_mut(*place) {
                *rank = Fixed::ratio(twice.into(), 2);
            }
        }
        before = before.saturating_add(count);
    }
    ranks
}

/// How far each value is from the mean, in units so small that the widest distance has at most so many places;
/// none where all are alike.
fn deviations(
    values: impl Iterator<Item = Fixed> + Clone,
    count: i128,
    places: u32,
) -> Option<Vec<i128>> {
    let steps = values.map(Fixed::steps);
    let (least, most) = (steps.clone().min()?, steps.clone().max()?);
    let span = most.abs_diff(least);
    let lost = span.checked_ilog2()?.saturating_add(1).saturating_sub(places.min(40));
    let above = steps.map(|steps| (steps.abs_diff(least) >> lost) as i128);
    let sum = above.clone().fold(0i128, i128::saturating_add);
    let mean = sum.saturating_add(count / 2).checked_div(count)?;
    Some(above.map(|above| above.saturating_sub(mean)).collect())
}

/// The root of so much times a power of four, of at least 62 bits, and by which power of two that makes it larger;
/// none of nothing.
fn root(sum: i128) -> Option<(u128, u32)> {
    let sum = u128::try_from(sum).ok().filter(|sum| *sum > 0)?;
    let spare = sum.leading_zeros().saturating_sub(2) & !1;
    Some(((sum << spare).isqrt(), spare / 2))
}
