//! Keyed, counter-based randomness: the same on every machine, and one use never shifts another.
//!
//! A draw is XXH3-64 of (journal, record, order, purpose, counter). There is no generator to advance,
//! so a use added elsewhere changes nothing here.

use xxhash_rust::xxh3::xxh3_64;

use crate::kernel::units::{JournalId, OrderId, Seq, clamp};

/// What a draw is for; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Which vessels become candidates.
    Candidates = 1,
    /// Which vessels become candidates for the decode leg.
    DecodeCandidates = 2,
    /// Which of several equal candidates wins.
    Tie = 3,
    /// How a retry's wait is spread.
    Jitter = 4,
    /// Which vessels are asked for a berth.
    Berth = 5,
    /// For which of several models those who wait are served.
    Service = 6,
    /// Which vessels are asked to give up an order for a more urgent one.
    Preemption = 7,
    /// How the wait of a job's step for its next attempt is spread.
    JobRetry = 8,
}

/// A source of draws for one purpose in one record.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Journal, record, order and purpose, and room for the counter.
    key: [u8; 41],
}

impl Draw {
    /// The draws for `purpose`, about `order`, in record `seq` of `journal`.
    pub fn new(journal: JournalId, seq: Seq, order: OrderId, purpose: Purpose) -> Self {
        let mut key = [0; 41];
        let mut rest = &mut key[..];
        put(&mut rest, journal.0);
        put(&mut rest, seq.0.to_le_bytes());
        put(&mut rest, order.0.to_le_bytes());
        put(&mut rest, [purpose as u8]);
        Self { key }
    }

    /// The draw of this counter.
    pub fn at(&self, counter: u64) -> u64 {
        let mut bytes = self.key;
        if let Some(place) = bytes.last_chunk_mut() {
            *place = counter.to_le_bytes();
        }
        xxh3_64(&bytes)
    }

    /// A draw in `0..bound`, by multiplication and shift; zero if there is nothing to choose from.
    pub fn below(&self, counter: u64, bound: u32) -> u32 {
        let wide = u128::from(self.at(counter)).saturating_mul(u128::from(bound));
        u32::try_from(clamp(wide >> 64)).unwrap_or(0)
    }

    /// `count` distinct integers in `0..bound`, in the order drawn; all of them if there are no more.
    ///
    /// R. Floyd's sampling without replacement (Bentley, Programming Pearls, CACM 30(9), 1987).
    pub fn sample(&self, count: u32, bound: u32, each: &mut alloc::vec::Vec<u32>) {
        each.clear();
        for last in bound.saturating_sub(count)..bound {
            let drawn = self.below(u64::from(last), last.saturating_add(1));
            each.push(if each.contains(&drawn) { last } else { drawn });
        }
    }
}

/// Writes bytes at the front of what is left.
fn put<const N: usize>(rest: &mut &mut [u8], bytes: [u8; N]) {
    if let Some((head, tail)) = core::mem::take(rest).split_first_chunk_mut() {
        *head = bytes;
        *rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn draw(seq: u64, purpose: Purpose) -> Draw {
        Draw::new(
            JournalId([7; 16]),
            Seq(seq),
            OrderId::new(1, crate::kernel::units::OrderSlot(0)),
            purpose,
        )
    }

    #[test]
    fn draws_are_pinned() {
        assert_eq!(draw(1, Purpose::Tie).at(0), 0x98a8_3e53_5480_8a2c);
        assert_ne!(draw(1, Purpose::Tie).at(0), draw(2, Purpose::Tie).at(0));
        assert_ne!(draw(1, Purpose::Tie).at(0), draw(1, Purpose::Jitter).at(0));
        assert_ne!(draw(1, Purpose::Tie).at(0), draw(1, Purpose::Tie).at(1));
    }

    #[test]
    fn samples_are_distinct_and_fair() {
        let mut drawn = Vec::new();
        let mut hits = [0u32; 10];
        for seq in 0..10_000 {
            draw(seq, Purpose::Candidates).sample(3, 10, &mut drawn);
            assert_eq!(drawn.len(), 3);
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 3);
            drawn.iter().for_each(|place| hits[*place as usize] += 1);
        }
        // 3 000 expected of each, standard deviation 46: five of them either way.
        assert!(hits.iter().all(|hits| (2_770..3_230).contains(hits)), "{hits:?}");
        draw(0, Purpose::Candidates).sample(5, 2, &mut drawn);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1]);
    }
}
