//! Sums: times, prices, points and rates, in integers so wide that nothing is lost.

use tensorforge_engine::models::Allowance;
use tensorforge_engine::models::{LegKind, Manifest};
use tensorforge_engine::routing::Weights;
use tensorforge_engine::units::MicroUsd;

/// What the engine's `u64` would hold.
pub(super) fn narrow(wide: u128) -> u64 {
    wide.min(u128::from(u64::MAX)) as u64
}

/// `amount` at `rate` for every `unit`; begun units count in proportion, the sum is rounded up.
pub(super) fn charge(amount: u64, rate: u64, unit: u128) -> u128 {
    let whole = u128::from(amount) * u128::from(rate);
    whole / unit + u128::from(whole % unit != 0)
}

pub(super) fn prompt_time(manifest: &Manifest, tokens: u64) -> u64 {
    narrow(charge(tokens, manifest.prefill_per_kilotoken.0, 1_000))
}

pub(super) fn answer_time(manifest: &Manifest, tokens: u64) -> u64 {
    narrow(charge(tokens, manifest.decode_per_token.0, 1))
}

pub(super) fn prompt_price(manifest: &Manifest, tokens: u64, cached: u64) -> u64 {
    let fresh = charge(tokens - cached, manifest.price_in.0, 1_000_000);
    narrow(fresh + charge(cached, manifest.price_cached.0, 1_000_000))
}

pub(super) fn answer_price(manifest: &Manifest, tokens: u64) -> u64 {
    narrow(charge(tokens, manifest.price_out.0, 1_000_000))
}

/// An exact sum of money, in pico-dollars, and so many more.
pub(super) fn plus((micros, picos): (MicroUsd, u32), more: u128) -> (MicroUsd, u32) {
    let sum = u128::from(micros.0) * 1_000_000 + u128::from(picos) + more;
    (MicroUsd(narrow(sum / 1_000_000)), (sum % 1_000_000) as u32)
}

/// What a leg that was worked is worth in pico-dollars, of prompt, cached and generated tokens.
pub(super) fn leg_price(manifest: &Manifest, kind: LegKind, tokens: [u64; 3]) -> u64 {
    let [prompt, cached, answer] = tokens;
    let (prompts, answers) = match kind {
        LegKind::Hop => (false, false),
        LegKind::Whole => (true, true),
        LegKind::Prefill => (true, false),
        LegKind::Decode => (false, true),
    };
    let worth = |tokens: u64, a_million: MicroUsd| u128::from(tokens) * u128::from(a_million.0);
    let fresh = worth(prompt - cached, manifest.price_in);
    let prompt = if prompts { fresh + worth(cached, manifest.price_cached) } else { 0 };
    let answer = if answers { worth(answer, manifest.price_out) } else { 0 };
    narrow(prompt + answer)
}

/// Points: of a millisecond, a micro-dollar and a joule, rounded down.
pub(super) fn points(weights: &Weights, time: u64, cost: u64, energy: u64) -> u64 {
    let [time, cost, energy] = [time, cost, energy].map(u128::from);
    let thousandths = time * u128::from(weights.time)
        + cost * u128::from(weights.cost) * 1_000
        + energy * u128::from(weights.energy);
    narrow(thousandths / 1_000)
}

/// The next arrival time after one of this size, or when that may come. A bucket holds so much as the burst;
/// a size that is above it has to find the bucket full.
pub(super) fn arrival(
    allowance: &Allowance,
    arrival: u64,
    size: u64,
    now: u64,
) -> Result<u64, u64> {
    let Allowance { period, amount, burst } = allowance;
    if *amount == 0 {
        return Ok(arrival);
    }
    let interval = |tokens: u64| charge(tokens, period.0, u128::from(*amount));
    // So many alike at once, each rounded up; or what is left of the bucket, likewise.
    let alike = interval(size) * u128::from((burst / size).max(1) - 1);
    let early = narrow(alike.max(interval(burst.saturating_sub(size))));
    let (earliest, interval) = (arrival.saturating_sub(early), narrow(interval(size)));
    if now < earliest { Err(earliest) } else { Ok(arrival.max(now).saturating_add(interval)) }
}

/// The shortest and the longest wait before the attempt after this one.
pub(super) fn wait(attempt: u16, backoff: u64, longest: u64) -> (u64, u64) {
    let mut most = u128::from(backoff);
    for _ in 0..attempt.min(40) {
        most = (most * 3).min(u128::from(longest));
    }
    (backoff, narrow(most))
}

/// Lamping and Veach's hash: the bucket that a key jumps to last, of so many.
pub(super) fn jump(key: u64, buckets: u64) -> u64 {
    let (mut key, mut jumps) = (key, vec![0u64]);
    loop {
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let last = u128::from(jumps[jumps.len() - 1]);
        let next = (last + 1) * (1 << 31) / (u128::from(key >> 33) + 1);
        if next >= u128::from(buckets) {
            return jumps[jumps.len() - 1];
        }
        jumps.push(next as u64);
    }
}

/// `part` of `whole` in millionths, rounded down.
pub(super) fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 { 0 } else { narrow(u128::from(part) * 1_000_000 / u128::from(whole)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensorforge_engine::units::Micros;

    /// Who judges the judge: its sums, by hand.
    #[test]
    fn sums_are_as_by_hand() {
        let charged = [0, 1, 10, 11].map(|amount| charge(amount, 7, 10));
        assert_eq!(charged, [0, 1, 7, 8]);
        assert_eq!(wait(1, 50, 400), (50, 150));
        assert_eq!(wait(2, 51, 500), (51, 459));
        assert_eq!(wait(5, 50, 401), (50, 401));
        let weights = Weights { time: 10, cost: 2, energy: 5 };
        // 2 000 ms, 1 200 micro-dollars, 2 000 mJ.
        assert_eq!(points(&weights, 2_000_000, 1_200, 2_000), 22_410);
        assert_eq!(points(&weights, 99, 0, 1), 0);
        assert_eq!(points(&weights, 100, 0, 0), 1);
        let thrice = Allowance { period: Micros(1_000_000), amount: 3, burst: 2 };
        assert_eq!(arrival(&thrice, 0, 1, 5), Ok(333_339));
        assert_eq!(arrival(&thrice, 333_339, 1, 5), Ok(666_673));
        assert_eq!(arrival(&thrice, 666_673, 1, 5), Err(333_339));
        assert_eq!(share(1, 3), 333_333);
    }
}
