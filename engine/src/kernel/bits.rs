//! A set of small integers with rank selection: canonical, so it can be rebuilt from rows.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places are below 2^32 over 64, and sums of them below 2^32"
)]

use alloc::vec::Vec;

/// Words under one entry of the summary.
const GROUP: usize = 64;

/// A set of `u32`, as bits with a count for every 64 and for every 4 096 of them.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    words: Vec<u64>,
    /// Members in each word.
    counts: Vec<u8>,
    /// Members among each group of words.
    groups: Vec<u32>,
    count: u32,
}

impl Bits {
    /// How many members there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether `index` is a member.
    pub fn contains(&self, index: u32) -> bool {
        let (word, bit) = split(index);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds `index`.
    pub fn insert(&mut self, index: u32) {
        let (word, bit) = split(index);
        if self.words.len() <= word {
            let groups = word / GROUP + 1;
            self.groups.resize(groups, 0);
            self.counts.resize(groups * GROUP, 0);
            self.words.resize(groups * GROUP, 0);
        }
        self.turn(word, bit, true);
    }

    /// Takes `index` out.
    pub fn remove(&mut self, index: u32) {
        let (word, bit) = split(index);
        self.turn(word, bit, false);
    }

    /// Sets or clears a bit, unless it is so already or lies beyond.
    fn turn(&mut self, word: usize, bit: u64, member: bool) {
        let (Some(entry), Some(count), Some(group)) = (
            self.words.get_mut(word),
            self.counts.get_mut(word),
            self.groups.get_mut(word / GROUP),
        ) else {
            return;
        };
        if (*entry & bit != 0) == member {
            return;
        }
        *entry ^= bit;
        if member {
            (*count, *group, self.count) = (*count + 1, *group + 1, self.count + 1);
        } else {
            (*count, *group, self.count) = (*count - 1, *group - 1, self.count - 1);
        }
    }

    /// Adds or takes out.
    pub fn set(&mut self, index: u32, member: bool) {
        if member { self.insert(index) } else { self.remove(index) }
    }

    /// The member with `rank` members below it.
    pub fn select(&self, rank: u32) -> Option<u32> {
        let mut left = rank;
        let group = self.groups.iter().position(|members| match left.checked_sub(*members) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })?;
        let start = group * GROUP;
        let counts = self.counts.get(start..)?.iter();
        let word = start
            + counts
                .map(|members| u32::from(*members))
                .take_while(|members| {
                    let beyond = left >= *members;
                    left -= if beyond { *members } else { 0 };
                    beyond
                })
                .count();
        Some(word as u32 * u64::BITS + nth_one(*self.words.get(word)?, left))
    }

    /// The lowest integer that is not a member.
    pub fn first_absent(&self) -> u32 {
        let full = GROUP as u32 * u64::BITS;
        let group = self.groups.iter().position(|members| *members < full);
        let start = group.unwrap_or(self.groups.len()) * GROUP;
        let words = self.words.get(start..).unwrap_or_default();
        let open = words.iter().position(|word| *word != u64::MAX).unwrap_or(0);
        let low = words.get(open).map_or(0, |word| word.trailing_ones());
        ((start + open) as u32 * u64::BITS).saturating_add(low)
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.iter_from(0)
    }

    /// The members from `start` on, in order.
    pub fn iter_from(&self, start: u32) -> impl Iterator<Item = u32> {
        let (first, bit) = split(start);
        let mut mask = !(bit.wrapping_sub(1));
        self.words.iter().enumerate().skip(first).flat_map(move |(place, word)| {
            let base = place as u32 * u64::BITS;
            let members = word & core::mem::replace(&mut mask, u64::MAX);
            Ones(members).map(move |bit| base.saturating_add(bit))
        })
    }
}

fn split(index: u32) -> (usize, u64) {
    ((index / u64::BITS) as usize, 1u64 << (index % u64::BITS))
}

/// The positions of the one bits of a word, lowest first.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let lowest = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (lowest < u64::BITS).then_some(lowest)
    }
}

/// The position of the one bit that has `rank` one bits below it, where there is one.
fn nth_one(word: u64, rank: u32) -> u32 {
    const EACH_BYTE: u64 = u64::MAX / 0xff;
    // The one bits of every byte, and of all bytes up to it (Vigna, Broadword implementation of
    // rank/select queries, WEA 2008).
    let pairs = word - ((word >> 1) & (EACH_BYTE * 0x55));
    let nibbles = (pairs & (EACH_BYTE * 0x33)) + ((pairs >> 2) & (EACH_BYTE * 0x33));
    let bytes = (nibbles + (nibbles >> 4)) & (EACH_BYTE * 0x0f);
    let upto = bytes.wrapping_mul(EACH_BYTE);
    let below = |byte: &u32| (upto >> (byte * 8)) & 0xff <= u64::from(rank);
    let byte = (0..u64::BITS / 8 - 1).take_while(below).count() as u32;
    let before = (upto << 8 >> (byte * 8)) & 0xff;
    let mut left = word >> (byte * 8);
    for _ in before..u64::from(rank) {
        left &= left.wrapping_sub(1);
    }
    byte * 8 + left.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn agrees_with_an_ordered_set() {
        let mut bits = Bits::default();
        let mut model = BTreeSet::new();
        let mut word = 1u64;
        for step in 0..20_000 {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let index = (word >> 40) as u32 % 10_000;
            if word >> 39 & 1 == 1 {
                bits.insert(index);
                model.insert(index);
            } else {
                bits.remove(index);
                model.remove(&index);
            }
            assert_eq!(bits.count() as usize, model.len());
            assert_eq!(bits.contains(index), model.contains(&index));
            if step % 500 == 0 {
                assert!(bits.iter().eq(model.iter().copied()));
                assert!(bits.iter_from(index).eq(model.range(index..).copied()));
                for rank in (0..model.len()).step_by(97) {
                    assert_eq!(bits.select(rank as u32), model.iter().nth(rank).copied());
                }
                assert_eq!(bits.select(model.len() as u32), None);
                let absent = (0..).find(|index| !model.contains(index)).unwrap();
                assert_eq!(bits.first_absent(), absent);
            }
        }
    }

    #[test]
    fn first_absent_looks_beyond_full_groups() {
        let mut bits = Bits::default();
        assert_eq!(bits.first_absent(), 0);
        (0..4_096 + 64).for_each(|index| bits.insert(index));
        assert_eq!(bits.first_absent(), 4_160);
        (4_160..8_192).for_each(|index| bits.insert(index));
        assert_eq!(bits.first_absent(), 8_192);
        bits.remove(70);
        assert_eq!(bits.first_absent(), 70);
    }
}
