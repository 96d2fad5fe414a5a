//! Percentiles of what is too much to be kept: a histogram that others can be added to.

use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::units::{Ppm, clamp};

/// Parts into which the values from one power of two to the next are told apart, as a power of two: enough for
/// two significant digits.
const PARTS_LOG2: u32 = 7;

/// Counts of values, by buckets as wide as a 128th of what they hold at most (log-linear buckets, as in
/// HdrHistogram with two significant digits: Tene 2012). Values below 256 have a bucket of their own.
///
/// At most 7 424 buckets of eight bytes, and none above the largest value. Whatever order values and
/// histograms come in, the sum is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Up to the last bucket in which something is.
    counts: Vec<u64>,
    count: u64,
    /// The least value and the largest.
    ends: Option<[u64; 2]>,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        let place = bucket(value);
        if self.counts.len() <= place {
            self.counts.resize(place.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        let [least, most] = self.ends.unwrap_or([value; 2]);
        self.ends = Some([least.min(value), most.max(value)]);
    }

    /// Counts all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            let mut counts = vec![0; other.counts.len()];
            counts.iter_mut().zip(&self.counts).for_each(|(count, own)| *count = *own);
            self.counts = counts;
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count = self.count.saturating_add(other.count);
        let both = self.ends.into_iter().chain(other.ends);
        self.ends = both.reduce(|[least, most], [low, high]| [least.min(low), most.max(high)]);
    }

    /// How many values are counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least of them.
    pub fn min(&self) -> Option<u64> {
        self.ends.map(|[least, _]| least)
    }

    /// The largest of them.
    pub fn max(&self) -> Option<u64> {
        self.ends.map(|[_, most]| most)
    }

    /// The largest value that lies in one bucket with the one of the nearest rank: never below that, and above it
    /// by less than a 128th of it. None of none.
    pub fn quantile(&self, share: Ppm) -> Option<u64> {
        let [least, most] = self.ends?;
        let wanted = u128::from(self.count).saturating_mul(u128::from(share.0.min(Ppm::ONE.0)));
        let mut rank = clamp(wanted.div_ceil(u128::from(Ppm::ONE.0))).max(1);
        for (place, count) in self.counts.iter().enumerate() {
            if rank <= *count {
                return Some(largest(place).clamp(least, most));
            }
            rank = rank.saturating_sub(*count);
        }
        Some(most)
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let shift = value.checked_ilog2().unwrap_or(0).saturating_sub(PARTS_LOG2);
    let part = (value >> shift) as usize;
    ((shift as usize) << PARTS_LOG2).saturating_add(part)
}

/// The largest value of a bucket.
fn largest(bucket: usize) -> u64 {
    let shift = (bucket >> PARTS_LOG2).saturating_sub(1) as u32;
    let part = bucket.saturating_sub((shift as usize) << PARTS_LOG2) as u128;
    clamp((part.saturating_add(1) << shift).saturating_sub(1))
}
