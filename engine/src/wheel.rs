//! A bucketed timing wheel: what is due, in exact order, without a sorted set.
//!
//! Buckets are 16.4 ms wide; 4 096 of them stand ready, later ones wait in a map. A timer is never
//! cancelled: rows know when they want to be woken, and a timer that its row does not confirm is
//! dropped when its bucket is reached. So the wheel holds nothing that the rows do not, and is rebuilt
//! from them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::bits::Bits;
use crate::units::{Micros, OrderId, VesselId};

/// Whom a timer wakes, in the order in which those due at the same moment are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The review of the risk.
    Review,
    /// A vessel: silent for too long, or its breaker's time is up.
    Vessel(VesselId),
    /// An order: a timeout, a retry, a berth or its deadline.
    Order(OrderId),
}

/// Somebody to be woken at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When.
    pub at: Micros,
    /// Whom.
    pub due: Due,
}

const BUCKET_BITS: u32 = 14;
const NEAR: u64 = 4_096;

/// Timers by the bucket of their moment.
#[derive(Clone, Debug, Default)]
pub struct Wheel {
    /// The bucket that stands at the front; none before it holds a timer.
    front: u64,
    near: Vec<Vec<Timer>>,
    occupied: Bits,
    far: BTreeMap<u64, Vec<Timer>>,
    /// Timers held, confirmed or not.
    count: usize,
}

impl Wheel {
    /// Adds a timer. One that is overdue joins the front bucket.
    pub fn insert(&mut self, timer: Timer) {
        self.count = self.count.saturating_add(1);
        let bucket = (timer.at.0 >> BUCKET_BITS).max(self.front);
        if bucket.saturating_sub(self.front) < NEAR {
            self.insert_near(bucket, timer);
        } else {
            self.far.entry(bucket).or_default().push(timer);
        }
    }

    /// Moves the front up to `now`, or to the first bucket in which a confirmed timer is left.
    pub fn advance(&mut self, now: Micros, confirmed: impl Fn(&Timer) -> bool) {
        let target = now.0 >> BUCKET_BITS;
        while self.front < target {
            match self.first_near() {
                Some(bucket) if bucket <= target => {
                    self.front = bucket;
                    let place = place(bucket);
                    if let Some(timers) = self.near.get_mut(place as usize) {
                        let held = timers.len();
                        timers.retain(&confirmed);
                        self.count = self.count.saturating_sub(held.saturating_sub(timers.len()));
                        if !timers.is_empty() {
                            break;
                        }
                    }
                    self.occupied.remove(place);
                }
                _ => {
                    let far = self.far.keys().next().copied().unwrap_or(u64::MAX);
                    self.front = target.min(
                        far.saturating_sub(NEAR.saturating_sub(1))
                            .max(self.front.saturating_add(1)),
                    );
                }
            }
            self.pull_in();
        }
        self.pull_in();
    }

    /// Drops whatever is not confirmed once more than `most` timers are held, so that memory follows
    /// the rows and not the past. Worth its time only if `most` leaves room above what is confirmed.
    pub fn sweep(&mut self, most: usize, confirmed: impl Fn(&Timer) -> bool) {
        if self.count <= most {
            return;
        }
        self.near
            .iter_mut()
            .chain(self.far.values_mut())
            .for_each(|timers| timers.retain(&confirmed));
        self.far.retain(|_, timers| !timers.is_empty());
        let near = self.near.iter().map(Vec::len);
        self.count = near.chain(self.far.values().map(Vec::len)).fold(0, usize::saturating_add);
    }

    /// The confirmed timers that are due at `now`, in their order; at most `limit` of them.
    pub fn due(&self, now: Micros, limit: usize, confirmed: impl Fn(&Timer) -> bool) -> Vec<Timer> {
        let last = now.0 >> BUCKET_BITS;
        let mut found: Vec<Timer> = self
            .near_buckets()
            .take_while(|(bucket, _)| *bucket <= last)
            .flat_map(|(_, timers)| timers)
            .chain(self.far.range(..=last).flat_map(|(_, timers)| timers))
            .filter(|timer| timer.at <= now && confirmed(timer))
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(limit);
        found
    }

    /// The moment of the earliest confirmed timer.
    pub fn next(&self, confirmed: impl Fn(&Timer) -> bool) -> Option<Micros> {
        let earliest = |timers: &Vec<Timer>| {
            timers.iter().filter(|timer| confirmed(timer)).map(|timer| timer.at).min()
        };
        self.near_buckets()
            .find_map(|(_, timers)| earliest(timers))
            .or_else(|| self.far.values().find_map(earliest))
    }

    fn insert_near(&mut self, bucket: u64, timer: Timer) {
        if self.near.is_empty() {
            self.near.resize_with(NEAR as usize, Vec::new);
        }
        let place = place(bucket);
        if let Some(timers) = self.near.get_mut(place as usize) {
            timers.push(timer);
            self.occupied.insert(place);
        }
    }

    /// Brings in the far buckets that have come within reach.
    fn pull_in(&mut self) {
        while let Some(entry) = self.far.first_entry() {
            if entry.key().saturating_sub(self.front) >= NEAR {
                break;
            }
            let (bucket, timers) = entry.remove_entry();
            timers.into_iter().for_each(|timer| self.insert_near(bucket.max(self.front), timer));
        }
    }

    fn first_near(&self) -> Option<u64> {
        self.near_buckets().next().map(|(bucket, _)| bucket)
    }

    /// The occupied near buckets from the front on.
    fn near_buckets(&self) -> impl Iterator<Item = (u64, &Vec<Timer>)> {
        let start = place(self.front);
        let bucket_of = move |place: u32| {
            let ahead = u64::from(place.wrapping_sub(start)) % NEAR;
            self.front.saturating_add(ahead)
        };
        let places = self
            .occupied
            .iter_from(start)
            .chain(self.occupied.iter().take_while(move |place| *place < start));
        places.filter_map(move |place| Some((bucket_of(place), self.near.get(place as usize)?)))
    }
}

fn place(bucket: u64) -> u32 {
    (bucket % NEAR) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::OrderSlot;
    use alloc::collections::BTreeSet;

    fn timer(at: u64, order: u64) -> Timer {
        Timer { at: Micros(at), due: Due::Order(OrderId::new(order, OrderSlot(0))) }
    }

    /// Timers come out as an ordered set would give them, whatever the spacing and however time jumps.
    #[test]
    fn agrees_with_an_ordered_set() {
        let mut random = 11u64;
        let mut next = |bound: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 20) % bound
        };
        for spread in [10_000, 1_000_000, 100_000_000, 10_000_000_000] {
            let (mut wheel, mut model, mut now) = (Wheel::default(), BTreeSet::new(), 0);
            for order in 0..4_000 {
                wheel.sweep(2 * model.len() + 64, |t| model.contains(t));
                assert!(wheel.count <= 2 * model.len() + 64);
                let timer = timer(now + next(spread), order);
                wheel.insert(timer);
                model.insert(timer);
                if next(5) == 0 {
                    let gone = model.iter().nth(next(model.len() as u64) as usize).copied();
                    model.remove(&gone.unwrap());
                }
                assert_eq!(wheel.next(|t| model.contains(t)), model.first().map(|t| t.at));
                if next(3) == 0 {
                    now += next(spread / 8);
                    wheel.advance(Micros(now), |t| model.contains(t));
                    let due = wheel.due(Micros(now), 16, |t| model.contains(t));
                    let expected: Vec<Timer> =
                        model.iter().take_while(|t| t.at.0 <= now).take(16).copied().collect();
                    assert_eq!(due, expected);
                    due.iter().for_each(|t| assert!(model.remove(t)));
                }
            }
        }
    }
}
