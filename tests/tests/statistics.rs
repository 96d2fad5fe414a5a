//! What can be said of many numbers, held against the library that others use (`statrs`) and the machine's own
//! floats, over random numbers and hostile ones.

use std::collections::BTreeMap;

use statrs::statistics::{Data, OrderStatistics, Statistics};
use tensorforge_engine::fixed::Fixed;
use tensorforge_engine::statistics::{
    Ema, Histogram, Moments, decay, interpolated, mean, min_max, nearest_rank, pearson, robust_z,
    spearman, weighted_mean, z,
};
use tensorforge_engine::units::{Micros, Ppm};
use tensorforge_tests::walk::Random;

/// The smallest step of a fixed number.
const STEP: f64 = 1.0 / 4_294_967_296.0;

fn float(number: Fixed) -> f64 {
    number.steps() as f64 * STEP
}

/// Two numbers are as close as `relative` of the larger one, or as `absolute`.
fn close(found: f64, expected: f64, relative: f64, absolute: f64, about: &dyn std::fmt::Debug) {
    let off = (found - expected).abs();
    let most = absolute.max(relative * expected.abs().max(found.abs()));
    assert!(off <= most, "{found}, not {expected}: {off} off, {most} at most, of {about:?}");
}

/// All bits of a word; the generator itself gives forty.
fn word(random: &mut Random) -> u64 {
    random.below(1 << 32) << 32 | random.below(1 << 32)
}

/// A number with any number of bits up to `bits`, so that small ones are as frequent as large ones.
fn number(random: &mut Random, bits: u64) -> u64 {
    word(random) >> (64 - random.below(bits).max(1))
}

/// A number of any size and sign that has no more than so many bits before the point.
fn signed(random: &mut Random, bits: u64) -> Fixed {
    let steps = i128::from(number(random, 64)) << random.below(bits + 32 - 63).min(63);
    Fixed::from_steps(if random.below(2) == 0 { steps } else { -steps })
}

/// Numbers as they come: few or many, alike or not, of one size or of all.
fn numbers(random: &mut Random, least: u64) -> Vec<u64> {
    let count = least + random.below(60);
    let bits = 2 + random.below(38);
    let alike = random.below(4);
    (0..count)
        .map(|_| match alike {
            0 => random.below(5),
            1 => (1 << bits) + random.below(1_000),
            _ => number(random, bits),
        })
        .collect()
}

fn fixed(values: &[u64]) -> Vec<Fixed> {
    values.iter().map(|value| Fixed::from(*value)).collect()
}

fn floats(values: &[u64]) -> Vec<f64> {
    values.iter().map(|value| *value as f64).collect()
}

/// By how much each is above the least: what is asked does not depend on where they lie, and floats are exact
/// where they are small.
fn above_least(values: &[u64]) -> Vec<f64> {
    let least = values.iter().min().copied().unwrap_or(0);
    values.iter().map(|value| (value - least) as f64).collect()
}

/// Fails when a carry is lost between the halves of a product, or a quotient loses a place.
#[test]
fn products_and_quotients_are_those_of_floats() {
    let random = &mut Random(1);
    for _ in 0..20_000 {
        let (left, right) = (signed(random, 60), signed(random, 60));
        let about = (left, right);
        let bound = 2f64.powi(95);
        let product = (float(left) * float(right)).clamp(-bound, bound);
        close(float(left * right), product, 1e-15, STEP, &about);
        if right != Fixed::ZERO {
            let ratio = (float(left) / float(right)).clamp(-bound, bound);
            close(float(left / right), ratio, 1e-15, STEP, &about);
        }
        let (part, whole) = (number(random, 64), number(random, 64).max(1));
        let scaled = (float(left) * part as f64 / whole as f64).clamp(-bound, bound);
        close(float(left.scaled(part, whole)), scaled, 1e-15, STEP, &(left, part, whole));
    }
    // To the nearest step, halves away from zero: three halves of a step are two of them.
    let third = Fixed::from_steps(3).scaled(1, 2);
    assert_eq!((third, -third), (Fixed::from_steps(2), Fixed::from_steps(-3).scaled(1, 2)));
    assert_eq!(Fixed::ratio(2, 3).steps(), 2_863_311_531);
    assert_eq!((Fixed::ONE / (Fixed::ONE + Fixed::ONE)).steps(), 1 << 31);
    assert_eq!((-Fixed::ratio(5, 2)).in_parts(1), -3);
    assert_eq!(Fixed::ratio(1, 3).in_parts(1_000), 333);
}

/// Fails when anything beyond the range comes round at its other end.
#[test]
fn what_leaves_the_range_sticks_at_its_end() {
    let (max, min, one) = (Fixed::MAX, Fixed::MIN, Fixed::ONE);
    assert_eq!((max + one, min - one, -min, -max), (max, min, max, min));
    assert_eq!((max * max, max * min, min * min), (max, min, max));
    assert_eq!((one / Fixed::ZERO, -one / Fixed::ZERO), (max, min));
    assert_eq!((Fixed::ZERO / Fixed::ZERO, Fixed::ratio(0, 0)), (Fixed::ZERO, Fixed::ZERO));
    assert_eq!((Fixed::ratio(u128::MAX, 1), Fixed::ratio(1, u128::MAX)), (max, Fixed::ZERO));
    assert_eq!(Fixed::ratio(u128::MAX, u128::MAX), one);
    assert_eq!((max.scaled(u64::MAX, 1), max.scaled(1, 0), max.scaled(7, 7)), (max, max, max));
    assert_eq!(Fixed::from_steps(i128::MIN), min);
    assert_eq!((max.rounded(), min.rounded(), min.abs()), (u64::MAX, 0, max));
    assert_eq!(
        (max.exp2(), min.exp2(), min.sqrt(), min.log2()),
        (max, Fixed::ZERO, Fixed::ZERO, None)
    );
    assert_eq!(Fixed::from(u64::MAX).rounded(), u64::MAX);
    close(float(max.sqrt()), 2f64.powf(47.5), 1e-14, 0.0, &"root");
    close(float(max.log2().unwrap()), 95.0, 0.0, STEP, &"logarithm");
}

/// Fails when a root of two is wrong, when the mantissa is truncated too early, or when a bound is not kept: a
/// float is right to 2^-52 of itself, and the bounds are in the docs.
#[test]
fn roots_powers_and_logarithms_are_those_of_floats() {
    let random = &mut Random(2);
    for _ in 0..20_000 {
        let value = signed(random, 94).abs();
        let root = float(value).sqrt();
        close(float(value.sqrt()), root, 2f64.powi(-47), STEP, &value);
        if value > Fixed::ZERO {
            close(float(value.log2().unwrap()), float(value).log2(), 1e-15, STEP, &value);
        }
        let exponent = Fixed::from_steps(signed(random, 32).steps() % (100 << 32));
        let power = float(exponent).exp2().min(2f64.powi(95));
        close(float(exponent.exp2()), power, 4e-15, STEP, &exponent);
    }
    for exact in 0..62u64 {
        let power = Fixed::from(1 << exact);
        assert_eq!(Fixed::from(exact).exp2(), power);
        assert_eq!(power.log2(), Some(Fixed::from(exact)));
        assert_eq!((power * power).sqrt(), power.min(Fixed::MAX.sqrt()));
    }
    assert_eq!((-Fixed::from(32)).exp2(), Fixed::STEP);
    assert_eq!((-Fixed::from(40)).exp2(), Fixed::ZERO);
    assert_eq!(Fixed::STEP.log2(), Some(-Fixed::from(32)));
    // The root of two in steps: 1.414 213 562 373 095 048 8 times 2^32.
    assert_eq!(Fixed::from(2).sqrt().steps(), 6_074_001_000);
}

/// Fails when a rank is off by one: the library picks by the rank, which is counted up to here.
#[test]
fn the_nearest_rank_is_the_first_that_holds_the_share() {
    let random = &mut Random(3);
    for _ in 0..4_000 {
        let mut values = numbers(random, 1);
        values.sort_unstable();
        let share = *random.one(&[0, 1, 250_000, 500_000, 900_000, 990_000, 999_999, 1_000_000]);
        let count = values.len() as u64;
        let rank = (1..=count).find(|rank| rank * 1_000_000 >= count * share).unwrap();
        let mut data = Data::new(floats(&values));
        let expected = data.order_statistic(rank as usize);
        let found = nearest_rank(&values, Ppm(share)).unwrap();
        assert_eq!(found as f64, expected, "{share} of {values:?}");
    }
    let values: Vec<u64> = (1..=10).collect();
    let at = |share| nearest_rank(&values, Ppm(share));
    assert_eq!([at(500_000), at(900_000), at(990_000)], [Some(5), Some(9), Some(10)]);
    assert_eq!([at(0), at(1_000_000), at(u64::MAX)], [Some(1), Some(10), Some(10)]);
    assert_eq!((nearest_rank::<u64>(&[], Ppm(1)), nearest_rank(&[7], Ppm(0))), (None, Some(7)));
}

/// Fails when another of the nine definitions is taken. The library has type 8, whose place in the row is
/// (n + 1/3) p + 1/3 against (n - 1) p + 1 of type 7, so it is asked for the share that leads to the same place.
#[test]
fn interpolated_percentiles_are_those_of_type_7() {
    let random = &mut Random(4);
    for _ in 0..4_000 {
        let mut values = numbers(random, 2);
        values.sort_unstable();
        let share = random.below(1_000_001);
        let count = values.len() as f64;
        let place = (count - 1.0) * share as f64 / 1e6;
        let expected =
            Data::new(floats(&values)).quantile((place + 2.0 / 3.0) / (count + 1.0 / 3.0));
        let found = float(interpolated(&fixed(&values), Ppm(share)).unwrap());
        // The library's own place is off by a float's precision, and so is what lies between two far values.
        let most = values[values.len() - 1] as f64;
        close(found, expected, 0.0, most * 1e-12 + STEP, &(share, &values));
    }
    // R: quantile(1:10, c(0.1, 0.5, 0.99), type = 7) is 1.9, 5.5, 9.91.
    let ten = fixed(&(1..=10).collect::<Vec<_>>());
    let at = |share| interpolated(&ten, Ppm(share)).unwrap().in_parts(1_000);
    assert_eq!([at(100_000), at(500_000), at(990_000), at(0)], [1_900, 5_500, 9_910, 1_000]);
    assert_eq!(at(u64::MAX), 10_000);
    assert_eq!(interpolated(&[], Ppm(1)), None);
    let wide = [Fixed::MIN, Fixed::MAX];
    assert_eq!(interpolated(&wide, Ppm::ONE), Some(Fixed::MAX));
}

/// Fails when a bucket's bound is off, or a merged histogram is not that of all values.
#[test]
fn a_histogram_is_off_by_a_128th_at_most_and_merges() {
    let random = &mut Random(5);
    for round in 0..600u64 {
        let mut values: Vec<u64> = (0..1 + random.below(80)).map(|_| number(random, 64)).collect();
        if round % 7 == 0 {
            values.extend([0, u64::MAX, u64::MAX - 1, 255, 256]);
        }
        let (mut whole, mut parts) = (Histogram::default(), vec![Histogram::default(); 3]);
        for value in &values {
            whole.add(*value);
            parts[random.below(3) as usize].add(*value);
        }
        let mut merged = Histogram::default();
        parts.iter().for_each(|part| merged.merge(part));
        assert_eq!(merged, whole, "{values:?}");
        values.sort_unstable();
        let (least, most) = (values[0], values[values.len() - 1]);
        let about = (whole.count(), whole.min(), whole.max());
        assert_eq!(about, (values.len() as u64, Some(least), Some(most)));
        for share in [0, 10_000, 500_000, 900_000, 990_000, 1_000_000] {
            let found = whole.quantile(Ppm(share)).unwrap();
            let exact = nearest_rank(&values, Ppm(share)).unwrap();
            let within = found >= exact && found - exact <= exact / 128;
            assert!(within, "{found}, not {exact}: {share} of {values:?}");
            assert!(exact >= 256 || found == exact, "{found}, not {exact}: {values:?}");
        }
    }
    let none = Histogram::default();
    assert_eq!((none.count(), none.min(), none.quantile(Ppm::ONE)), (0, None, None));
}

/// Fails when a sum overflows, or a mean is rounded towards zero.
#[test]
fn means_are_those_of_the_library() {
    let random = &mut Random(6);
    for _ in 0..3_000 {
        let values = numbers(random, 1);
        let found = float(mean(&fixed(&values)).unwrap());
        close(found, floats(&values).mean(), 1e-14, STEP, &values);
        let pairs: Vec<(u64, u64)> =
            values.iter().map(|value| (*value, number(random, 40))).collect();
        // A value that weighs w is w values: the mean of products by the mean of weights.
        let products = pairs.iter().map(|(value, weight)| *value as f64 * *weight as f64);
        let weights: Vec<f64> = pairs.iter().map(|(_, weight)| *weight as f64).collect();
        let (over, under) = (products.collect::<Vec<_>>().mean(), weights.mean());
        match weighted_mean(&pairs) {
            Some(found) => close(float(found), over / under, 1e-13, STEP, &pairs),
            None => assert_eq!(under, 0.0),
        }
    }
    assert_eq!((mean(&[]), weighted_mean(&[]), weighted_mean(&[(3, 0)])), (None, None, None));
    assert_eq!(mean(&[Fixed::MAX; 5]), Some(Fixed::MAX));
    assert_eq!(mean(&[Fixed::MIN, Fixed::MAX]), Some(Fixed::ZERO));
    let full = Some(Fixed::from(u64::MAX));
    assert_eq!(mean(&[Fixed::from(u64::MAX); 3]), full);
    assert_eq!(weighted_mean(&[(u64::MAX, u64::MAX); 9]), full);
    let halves = weighted_mean(&[(u64::MAX, u64::MAX), (1, u64::MAX)]);
    assert_eq!(halves, Some(Fixed::from(1 << 63)));
}

/// Fails when the squares of one part are counted from the mean of another, which is what merging has to mend.
#[test]
fn moments_are_those_of_the_library_whole_or_merged() {
    let random = &mut Random(7);
    for _ in 0..3_000 {
        let values = numbers(random, 2);
        let split = random.below(values.len() as u64 + 1) as usize;
        let of = |values: &[u64]| fixed(values).into_iter().collect::<Moments>();
        let (mut merged, rest) = (of(&values[..split]), of(&values[split..]));
        merged.merge(&rest);
        for moments in [of(&values), merged] {
            assert_eq!(moments.count(), values.len() as u64);
            let all = floats(&values);
            let size = all.iter().fold(1.0, |most: f64, value| most.max(*value));
            close(float(moments.mean().unwrap()), (&all).mean(), 1e-14, 64.0 * STEP, &values);
            // A step of error in a mean is one of twice the distance in a square.
            let off = 64.0 * STEP * size;
            let (variance, expected) = (float(moments.variance().unwrap()), (&all).variance());
            close(variance, expected, 1e-11, off, &values);
            let deviation = float(moments.deviation().unwrap());
            close(deviation, (&all).std_dev(), 1e-11, off.sqrt(), &values);
        }
    }
    let none = Moments::default();
    assert_eq!((none.mean(), none.variance()), (None, None));
    let one: Moments = [Fixed::ONE].into_iter().collect();
    assert_eq!((one.mean(), one.variance()), (Some(Fixed::ONE), None));
    let mut alike: Moments = [Fixed::from(u64::MAX); 4].into_iter().collect();
    alike.merge(&none);
    assert_eq!((alike.mean(), alike.variance()), (Some(Fixed::from(u64::MAX)), Some(Fixed::ZERO)));
    let far: Moments = [Fixed::MIN, Fixed::MAX, Fixed::MIN].into_iter().collect();
    assert_eq!(far.variance(), Some(Fixed::MAX.scaled(1, 2)));
}

/// Fails when time is left out of the decay, or the first value is given the weight of an endless past. The judge
/// sums all weights anew, as the definition has it.
#[test]
fn a_moving_mean_weighs_by_half_lives() {
    let random = &mut Random(8);
    for _ in 0..1_000 {
        let half_life = 1 + number(random, 30);
        let mut ema = Ema::new(Micros(half_life));
        assert_eq!(ema.mean(), None);
        let (mut at, mut told): (u64, Vec<(u64, f64)>) = (random.below(1 << 30), Vec::new());
        for _ in 0..1 + random.below(40) {
            at += if random.below(3) == 0 { 0 } else { number(random, 32) };
            let value = number(random, 40);
            ema.add(Micros(at), Fixed::from(value));
            told.push((at, value as f64));
            let weight = |then: u64| (-((at - then) as f64 / half_life as f64)).exp2();
            let weights: f64 = told.iter().map(|(then, _)| weight(*then)).sum();
            let sum: f64 = told.iter().map(|(then, value)| weight(*then) * value).sum();
            let most = told.iter().fold(1.0, |most: f64, (_, value)| most.max(*value));
            // Each weight is off by two steps at most.
            let off = 3.0 * STEP * most * told.len() as f64;
            close(float(ema.mean().unwrap()), sum / weights, 1e-12, off, &told);
        }
    }
    for (passed, half_life, parts) in
        [(0, 0, 1_000), (1, 0, 0), (0, 5, 1_000), (5, 5, 500), (10, 5, 250), (u64::MAX, 1, 0)]
    {
        assert_eq!(decay(Micros(passed), Micros(half_life)).in_parts(1_000), parts);
    }
    let mut late = Ema::new(Micros(10));
    late.add(Micros(100), Fixed::from(8));
    late.add(Micros(90), Fixed::from(16));
    assert_eq!(late.mean(), Some(Fixed::from(12)));
    let mut full = Ema::new(Micros(1));
    (0..4).for_each(|_| full.add(Micros::MAX, Fixed::MAX));
    assert_eq!(full.mean(), Some(Fixed::MAX));
}

/// Fails when the deviation is that of all and not of a sample, or when the median is taken for the mean.
#[test]
fn values_are_normalised_as_by_the_library() {
    let random = &mut Random(9);
    for _ in 0..2_000 {
        let values = numbers(random, 2);
        let (all, own) = (above_least(&values), fixed(&values));
        let (least, most) = ((&all).min(), (&all).max());
        let middle = Data::new(all.clone()).median();
        let apart: Vec<f64> = all.iter().map(|value| (value - middle).abs()).collect();
        let typical = Data::new(apart.clone()).median();
        let unit = if typical > 0.0 { typical / 0.6745 } else { (&apart).mean() * 1.253314 };
        let judged = [
            (min_max(&own), least, most - least),
            (z(&own), (&all).mean(), (&all).std_dev()),
            (robust_z(&own), middle, unit),
        ];
        for (found, from, by) in judged {
            assert_eq!(found.len(), values.len());
            for (found, value) in found.iter().zip(&all) {
                let expected = if by > 0.0 { (value - from) / by } else { 0.0 };
                // What is small beside the largest of all is known to a 2^32nd of its unit only.
                let off = 16.0 * STEP + 64.0 * STEP / by.max(STEP);
                close(float(*found), expected, 1e-9, off, &values);
            }
        }
    }
    for all in [&[][..], &[Fixed::MAX], &[Fixed::from(u64::MAX); 5]] {
        let nothing = vec![Fixed::ZERO; all.len()];
        assert_eq!(
            (min_max(all), z(all), robust_z(all)),
            (nothing.clone(), nothing.clone(), nothing)
        );
    }
    // Iglewicz and Hoaglin: 0.6745 (x - 3) / 1 of 1, 2, 3, 4, 100.
    let told = robust_z(&fixed(&[1, 2, 3, 4, 100]));
    let told: Vec<i128> = told.iter().map(|z| z.in_parts(10_000)).collect();
    assert_eq!(told, [-13_490, -6_745, 0, 6_745, 654_265]);
    // More than half alike: 9 by a mean distance of 1.5, times 1.253314.
    let told = robust_z(&fixed(&[4, 4, 4, 4, 4, 13]));
    assert_eq!(told.last().unwrap().in_parts(1_000), 4_787);
}

/// Fails when covariance is not divided by both deviations, when ties keep the ranks that they were met in, or
/// when sums of large products wrap.
#[test]
fn correlations_are_those_of_the_library() {
    let random = &mut Random(10);
    let mut judged = BTreeMap::<bool, u32>::new();
    for _ in 0..3_000 {
        let left = numbers(random, 2);
        // Some of them follow the others, upwards or downwards.
        let follows = random.below(3);
        let right: Vec<u64> = left
            .iter()
            .map(|value| match follows {
                0 => number(random, 40),
                1 => value / 2 + random.below(1_000),
                _ => (1 << 41) - value + random.below(50),
            })
            .collect();
        let of = |left: &[f64], right: &[f64]| {
            left.covariance(right) / (left.std_dev() * right.std_dev())
        };
        let pairs: Vec<_> = fixed(&left).into_iter().zip(fixed(&right)).collect();
        let expected = of(&above_least(&left), &above_least(&right));
        let ranked = |values: &[u64]| -> Vec<f64> {
            let rank = |own: &u64| {
                let less = values.iter().filter(|value| *value < own).count() as f64;
                let alike = values.iter().filter(|value| *value == own).count() as f64;
                less + (alike + 1.0) / 2.0
            };
            values.iter().map(rank).collect()
        };
        let by_rank = of(&ranked(&left), &ranked(&right));
        for (found, expected) in [(pearson(&pairs), expected), (spearman(&pairs), by_rank)] {
            *judged.entry(found.is_some()).or_default() += 1;
            match found {
                Some(found) => close(float(found), expected, 1e-12, 2.0 * STEP, &pairs),
                None => assert!(expected.is_nan(), "{expected} of {pairs:?}"),
            }
        }
    }
    assert!(judged[&true] > 5_000 && judged[&false] > 10, "{judged:?}");
    let pair = |left: u64, right: u64| (Fixed::from(left), Fixed::from(right));
    for none in [&[][..], &[pair(1, 2)], &[pair(1, 2), pair(1, 3)], &[pair(5, 7); 9]] {
        assert_eq!((pearson(none), spearman(none)), (None, None));
    }
    // From end to end of the range, upwards and downwards.
    let wide = [(Fixed::MIN, Fixed::MAX), (Fixed::MAX, Fixed::MIN)];
    assert_eq!((pearson(&wide), spearman(&wide)), (Some(-Fixed::ONE), Some(-Fixed::ONE)));
    let full: Vec<_> = (0..1_000).map(|n| pair(u64::MAX - n, u64::MAX / 2 - n)).collect();
    assert_eq!((pearson(&full), spearman(&full)), (Some(Fixed::ONE), Some(Fixed::ONE)));
    // By hand, with a tie: ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4 are 4.5 / sqrt(4.5 * 5).
    let tied = [pair(1, 1), pair(5, 30), pair(5, 20), pair(9, 1_000)];
    assert_eq!(spearman(&tied).unwrap().in_parts(1_000_000), 948_683);
}
