//! How large something has been, in a few bytes: a histogram with buckets of growing width.
//!
//! A value below four has a bucket of its own; of the values from one power of two to the next each
//! quarter has one, so that a quantile is off by a quarter of itself at most (log-linear buckets, as in
//! HdrHistogram: Tene 2012). What is older counts less: whenever as many values as a byte holds have been
//! counted, all counts are halved.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::kernel::image::{Image, Sink, Source};
use crate::kernel::units::Ppm;

/// Buckets: four that hold one value each, and four for each power of two from 4 to 2^19.
const BUCKETS: usize = 4 + 4 * 18;

/// A histogram of values, of which those above a million are counted as a million (2^20 - 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Filled>", into = "Vec<Filled>")]
pub struct Sketch {
    counts: [u8; BUCKETS],
    /// The sum of them.
    sum: u32,
}

/// A bucket in which something is, as people read it.
#[derive(Clone, Serialize, Deserialize)]
struct Filled {
    /// The largest value that it counts.
    most: u64,
    /// How many it has counted.
    count: u8,
}

impl Default for Sketch {
    fn default() -> Self {
        Self::of([0; BUCKETS])
    }
}

impl Sketch {
    /// As many values are counted before what was is halved.
    pub const MOST: u32 = 255;

    fn of(counts: [u8; BUCKETS]) -> Self {
        Self { counts, sum: counts.iter().map(|count| u32::from(*count)).sum() }
    }

    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        if self.sum >= Self::MOST {
            self.halve();
        }
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count = count.saturating_add(1);
            self.sum = self.sum.saturating_add(1);
        }
    }

    /// How many values are counted.
    pub fn count(&self) -> u32 {
        self.sum
    }

    /// The value that a share of all is not above, as if the values of a bucket lay evenly in it; rounded
    /// up. Nothing where nothing is counted.
    pub fn quantile(&self, share: Ppm) -> u64 {
        let wanted = u64::from(self.sum).saturating_mul(share.0.min(1_000_000));
        let mut rank = (wanted.div_ceil(1_000_000) as u32).max(1);
        let mut first = 0usize;
        // Four buckets at once, as long as they hold less.
        for four in self.counts.as_chunks::<4>().0 {
            let sum = four.iter().map(|count| u32::from(*count)).sum();
            if rank <= sum {
                break;
            }
            rank = rank.saturating_sub(sum);
            first = first.saturating_add(4);
        }
        for (place, count) in self.counts.iter().enumerate().skip(first) {
            let count = u32::from(*count);
            if rank <= count {
                let before = place.checked_sub(1).map_or(0, |place| most(place).saturating_add(1));
                let width = most(place).saturating_sub(before).saturating_add(1);
                let part = u64::from(rank).saturating_mul(width).div_ceil(u64::from(count.max(1)));
                return before.saturating_add(part.saturating_sub(1));
            }
            rank = rank.saturating_sub(count);
        }
        0
    }

    /// Halves what is counted up to every value, and so no quantile moves by more than one rank.
    fn halve(&mut self) {
        let (mut sum, mut kept) = (0u32, 0u32);
        for count in &mut self.counts {
            sum = sum.saturating_add(u32::from(*count));
            let own = (sum / 2).saturating_sub(kept);
            kept = sum / 2;
            *count = own as u8;
        }
        self.sum = kept;
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let value = value.min((1 << 20) - 1) as usize;
    let Some(octave) = value.checked_ilog2().filter(|octave| *octave >= 2) else { return value };
    let quarter = value >> octave.saturating_sub(2);
    (octave as usize).saturating_sub(2).saturating_mul(4).saturating_add(quarter)
}

/// The largest value of a bucket.
fn most(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 4 {
        return bucket;
    }
    let (octave, quarter) = ((bucket / 4).saturating_sub(1), bucket % 4);
    (quarter.saturating_add(5) << octave).saturating_sub(1)
}

impl From<Sketch> for Vec<Filled> {
    fn from(sketch: Sketch) -> Self {
        let places = sketch.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        places.map(|(place, count)| Filled { most: most(place), count: *count }).collect()
    }
}

impl From<Vec<Filled>> for Sketch {
    fn from(filled: Vec<Filled>) -> Self {
        let mut counts = [0; BUCKETS];
        for Filled { most, count } in filled {
            if let Some(place) = counts.get_mut(bucket(most)) {
                *place = count;
            }
        }
        Self::of(counts)
    }
}

impl Image for Sketch {
    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.slice(&self.counts);
    }

    fn read(source: &mut impl Source) -> Self {
        Self::of(source.array())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_value_has_the_bucket_whose_bounds_hold_it() {
        let mut last = 0;
        for value in (0..5_000).chain([(1 << 20) - 1, 1 << 20, u64::MAX]) {
            let place = bucket(value);
            assert!(place == last || place == last + 1 || value > 4_999, "{value}");
            assert!(value <= most(place) || value >= 1 << 20, "{value}: {place}");
            assert!(place == 0 || most(place - 1) < value, "{value}: {place}");
            assert_eq!(bucket(most(place)), place, "{value}");
            last = place;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    /// Held against the exact quantile of the values, which a bucket's width may hide.
    #[test]
    fn a_quantile_is_off_by_a_quarter_at_most() {
        for step in [1, 7, 40, 1_000] {
            let values: Vec<u64> = (1..=200).map(|n| n * step).collect();
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            for share in [1, 50_000, 500_000, 950_000, 1_000_000] {
                let exact = values[(200 * share as usize).div_ceil(1_000_000) - 1];
                let found = sketch.quantile(Ppm(share));
                assert!(found.abs_diff(exact) * 4 <= exact, "{found}, not {exact} of {step}");
            }
        }
    }

    #[test]
    fn what_is_older_counts_less_and_no_tail_is_lost() {
        let mut sketch = Sketch::default();
        (0..10_000u64).for_each(|n| sketch.add(if n % 16 == 0 { 900 } else { 10 }));
        assert!((127..=255).contains(&sketch.count()));
        assert!((10..=11).contains(&sketch.quantile(Ppm(500_000))));
        assert!((896..1_024).contains(&sketch.quantile(Ppm(960_000))), "{sketch:?}");
        (0..1_000).for_each(|_| sketch.add(100));
        assert!((96..=111).contains(&sketch.quantile(Ppm(10_000))), "{sketch:?}");
        assert_eq!(Sketch::default().quantile(Ppm::ONE), 0);
    }

    /// Of values that all differ half remain, spread as they were: none is lost for being alone in its bucket.
    #[test]
    fn what_is_halved_is_spread_as_it_was() {
        let mut sketch = Sketch::default();
        let values: Vec<u64> = (0..BUCKETS).map(most).collect();
        for turn in 0..4 {
            let count = if turn == 3 { Sketch::MOST as usize % BUCKETS } else { BUCKETS };
            values.iter().take(count).for_each(|value| sketch.add(*value));
        }
        assert_eq!(sketch.count(), Sketch::MOST);
        let before = sketch.clone();
        sketch.halve();
        assert_eq!(sketch.count(), Sketch::MOST / 2);
        let up_to = |sketch: &Sketch, place: usize| -> u32 {
            sketch.counts[..=place].iter().map(|count| u32::from(*count)).sum()
        };
        for place in 0..BUCKETS {
            assert_eq!(up_to(&sketch, place), up_to(&before, place) / 2, "{place}");
        }
    }

    #[test]
    fn people_read_what_is_counted_and_it_can_be_read_back() {
        let mut sketch = Sketch::default();
        [0, 3, 3, 4_000, 70_000].into_iter().for_each(|value| sketch.add(value));
        let text = serde_json::to_string(&sketch).unwrap();
        assert!(text.starts_with(r#"[{"most":0,"count":1},{"most":3,"count":2},"#), "{text}");
        assert_eq!(serde_json::from_str::<Sketch>(&text).unwrap(), sketch);
    }
}
