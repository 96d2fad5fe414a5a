//! A bucketed timing wheel: what is due, in exact order, without a sorted set.
//!
//! Buckets are 16.4 ms wide. The front one is a heap; 4 096 behind it are lists that stand ready, later
//! ones wait in a map. A timer is never cancelled: rows know when they want to be woken, and a timer that
//! its row does not confirm is dropped when it comes to the top. So the wheel holds nothing that the
//! rows do not, and is rebuilt from them; and each timer costs a logarithm once, however many there are.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::kernel::bits::Bits;
use crate::kernel::units::{JobSlot, Micros, ModelId, OrderId, StopSlot, VesselId};

/// Whom a timer wakes, in the order in which those due at the same moment are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The review of the risk.
    Review,
    /// Those who wait and could not be served at once.
    Queue,
    /// Those who gather in the queue of a model.
    Line(ModelId),
    /// A vessel: silent for too long, its breaker's time up, or lost with orders aboard.
    Vessel(VesselId),
    /// An order: a timeout, a retry, a berth or its deadline.
    Order(OrderId),
    /// A leg that was told to stop, and has not answered.
    Stop(StopSlot),
    /// A job: a step is overdue or to be tried again, or something has happened to a vessel of its.
    Job(JobSlot),
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
    /// The bucket that stands at the front.
    front: u64,
    /// The timers of that bucket, and of any before it.
    soon: BinaryHeap<Reverse<Timer>>,
    /// Those of the buckets behind it, by their number modulo `NEAR`.
    near: Vec<Vec<Timer>>,
    occupied: Bits,
    far: BTreeMap<u64, Vec<Timer>>,
    /// Timers held, confirmed or not.
    count: usize,
}

impl Wheel {
    /// Adds a timer. What is never due is not held.
    pub fn insert(&mut self, timer: Timer) {
        if timer.at == Micros::MAX {
            return;
        }
        self.count = self.count.saturating_add(1);
        let bucket = timer.at.0 >> BUCKET_BITS;
        if bucket <= self.front {
            self.soon.push(Reverse(timer));
        } else if bucket.saturating_sub(self.front) < NEAR {
            self.insert_near(bucket, timer);
        } else {
            self.far.entry(bucket).or_default().push(timer);
        }
    }

    /// Brings the earliest confirmed timer to the top.
    pub fn prune(&mut self, confirmed: impl Fn(&Timer) -> bool) {
        loop {
            while let Some(Reverse(timer)) = self.soon.peek() {
                if confirmed(timer) {
                    return;
                }
                self.soon.pop();
                self.count = self.count.saturating_sub(1);
            }
            if !self.step() {
                return;
            }
        }
    }

    /// The timer at the top. It is the earliest confirmed one if the wheel has been
    /// [pruned](Self::prune) since anything changed.
    pub fn first(&self) -> Option<Timer> {
        self.soon.peek().map(|Reverse(timer)| *timer)
    }

    /// Drops whatever is not confirmed once more than `most` timers are held, so that memory follows
    /// the rows and not the past. Worth its time only if `most` leaves room above what is confirmed.
    pub fn sweep(&mut self, most: usize, confirmed: impl Fn(&Timer) -> bool) {
        if self.count <= most {
            return;
        }
        self.soon.retain(|Reverse(timer)| confirmed(timer));
        self.near
            .iter_mut()
            .chain(self.far.values_mut())
            .for_each(|timers| timers.retain(&confirmed));
        self.far.retain(|_, timers| !timers.is_empty());
        let lists = self.near.iter().chain(self.far.values()).map(Vec::len);
        self.count = lists.fold(self.soon.len(), usize::saturating_add);
    }

    /// Moves the front to the next bucket that holds a timer; false if there is none. The front may
    /// run ahead of the time: what is set before it joins the heap.
    fn step(&mut self) -> bool {
        let start = place(self.front);
        let ahead = self.occupied.iter_from(start).next().or_else(|| self.occupied.iter().next());
        if let Some(place) = ahead {
            let distance = u64::from(place.wrapping_sub(start)) % NEAR;
            self.front = self.front.saturating_add(distance);
            self.occupied.remove(place);
            let timers = self.near.get_mut(place as usize).map(core::mem::take).unwrap_or_default();
            self.soon = timers.into_iter().map(Reverse).collect();
        } else if let Some((bucket, timers)) = self.far.pop_first() {
            self.front = bucket;
            self.soon = timers.into_iter().map(Reverse).collect();
        } else {
            return false;
        }
        self.pull_in();
        true
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
            timers.into_iter().for_each(|timer| self.insert_near(bucket, timer));
        }
    }
}

fn place(bucket: u64) -> u32 {
    (bucket % NEAR) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::units::OrderSlot;
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
                wheel.prune(|t| model.contains(t));
                assert_eq!(wheel.first(), model.first().copied());
                if next(3) == 0 {
                    now += next(spread / 8);
                    while let Some(due) = wheel.first().filter(|t| t.at.0 <= now) {
                        assert!(model.remove(&due));
                        wheel.prune(|t| model.contains(t));
                        assert_eq!(wheel.first(), model.first().copied());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_never_due_is_not_held() {
        let mut wheel = Wheel::default();
        wheel.insert(timer(u64::MAX, 1));
        wheel.insert(timer(u64::MAX - 1, 2));
        wheel.prune(|_| true);
        assert_eq!((wheel.first(), wheel.count), (Some(timer(u64::MAX - 1, 2)), 1));
    }
}
