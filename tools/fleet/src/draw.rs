//! Keyed draws: a value is a function of a seed, a purpose and a counter, and of nothing else.
//!
//! Adding one use never shifts another, and there is no state that a run could leave behind.

use xxhash_rust::xxh3::xxh3_64;

/// What a value is drawn for. Purposes are numbered by their place; places are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The seed of one of many alike.
    Seed,
    /// The gap before the next arrival.
    Gap,
    /// Whose order it is.
    Tenant,
    /// How long the prompt is.
    TokensIn,
    /// How long the answer is.
    TokensOut,
    /// Which shared prefix the prompt begins with.
    Prefix,
    /// Whether the client sends it twice.
    Resend,
    /// Whether a failing vessel fails this leg.
    Failing,
}

/// The value of one seed, purpose and counter: XXH3-64 of the three as little-endian words.
pub fn draw(seed: u64, purpose: Purpose, counter: u64) -> u64 {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..].copy_from_slice(&counter.to_le_bytes());
    xxh3_64(&key)
}

/// The share of the range of `u64` that `value` stands for, scaled to `0..bound`; zero for none.
///
/// The bias of the multiplication is below `bound` in 2^64 (Lemire, "Fast random integer generation
/// in an interval", 2019).
pub fn below(value: u64, bound: u64) -> u64 {
    ((u128::from(value) * u128::from(bound)) >> 64) as u64
}

/// The values of one purpose, one after the other.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: u64,
    purpose: Purpose,
    counter: u64,
}

impl Draws {
    /// Begins at counter zero.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, counter: 0 }
    }

    /// The next value.
    pub fn word(&mut self) -> u64 {
        let value = draw(self.seed, self.purpose, self.counter);
        self.counter = self.counter.wrapping_add(1);
        value
    }

    /// The next value, scaled to `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        below(self.word(), bound)
    }

    /// The next value, scaled to the open interval between zero and one.
    ///
    /// Every step is exact: 52 bits and a half fit a double.
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 52) as f64;
        ((self.word() >> 12) as f64 + 0.5) * STEP
    }
}
