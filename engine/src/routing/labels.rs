//! Which halves of a route are worth being joined with the other half.
//!
//! A route of two legs is a shortest path: from where the order arises over the hop to a prefill vessel, and over the way of
//! what that has made to a decode vessel. It is judged by several things at once, some of which add up and some of which are
//! as bad as the worse half, so no half is best by itself. Each has a label of all of them instead, and a label is dropped that
//! another one of its region beats in everything: whatever the two are joined with, the same is added to both (label
//! setting: Martins, "On a multicriteria shortest path problem", EJOR 16(2), 1984; with bounds on what adds up: Irnich and
//! Desaulniers, "Shortest path problems with resource constraints", in Column Generation, 2005).

use crate::kernel::units::{RegionId, VesselId};

/// What is to be known of a half to tell whether another one beats it.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// Where what it has made lies.
    pub(super) region: RegionId,
    /// What it means, in the same order for all; less is better.
    pub(super) means: [u64; 9],
    /// What decides between those that mean the same.
    pub(super) tie: (u32, VesselId),
}

impl Label {
    /// Whether no route is better with the other one than with this one.
    fn beats(&self, other: &Self) -> bool {
        self.region == other.region
            && self.tie < other.tie
            && self.means.iter().zip(&other.means).all(|(own, other)| own <= other)
    }
}

/// The places of those that no other one beats.
pub(super) fn unbeaten(labels: &[Label]) -> impl Iterator<Item = usize> + '_ {
    let kept = labels.iter().enumerate();
    kept.filter(|(_, label)| !labels.iter().any(|other| other.beats(label))).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Label, unbeaten};
    use crate::kernel::draw::{Draw, Purpose};
    use crate::kernel::units::{JournalId, OrderId, RegionId, Seq, VesselId};

    fn label(region: u32, means: [u64; 9], tie: u32, vessel: u32) -> Label {
        Label { region: RegionId(region), means, tie: (tie, VesselId(vessel)) }
    }

    fn places(labels: &[Label]) -> Vec<usize> {
        unbeaten(labels).collect()
    }

    #[test]
    fn those_are_kept_that_no_other_one_beats() {
        let same = [0, 10, 20, 30, 40, 50, 60, 70, 80];
        // All alike, and the draw or else the number decides; of each region one.
        assert_eq!(
            places(&[label(0, same, 7, 1), label(0, same, 5, 3), label(0, same, 5, 2)]),
            [2]
        );
        assert_eq!(places(&[label(0, same, 7, 1), label(1, same, 5, 2)]), [0, 1]);
        // Better in one thing, and be it the draw, is enough to be kept.
        for place in 0..9 {
            let mut means = same;
            means[place] += 1;
            assert_eq!(places(&[label(0, same, 6, 1), label(0, means, 5, 2)]), [0, 1], "{place}");
            assert_eq!(places(&[label(0, same, 4, 1), label(0, means, 5, 2)]), [0], "{place}");
        }
    }

    /// The best of a thousand times nine, joined with a second half: worse verdict, and late where it lasts too long; a time
    /// that grows with the larger share of failures, price and fuel; the draws, the number.
    fn rank(first: &Label, second: &[u64; 9], way: u64) -> (u64, u64, u32, VesselId) {
        let [verdict, eta, cost, fuel, failing, _, span, ..] = first.means;
        let late = if span + second[6] + way > 9 { 3 } else { 0 };
        let time = (eta + second[1] + way) * 10 / (10 - failing.max(second[4]));
        let score = (time * 3 + (cost + second[2]) * 2 + fuel + second[3]) / 4;
        (verdict.max(second[0]).max(late), score, first.tie.0, first.tie.1)
    }

    #[test]
    fn whatever_they_are_joined_with_the_best_is_among_them() {
        let draw = Draw::new(JournalId([9; 16]), Seq(1), OrderId(1), Purpose::Tie);
        let mut counter = 0;
        let mut below = |bound| {
            counter += 1;
            draw.below(counter, bound)
        };
        let mut dropped = 0;
        for turn in 0..1_000 {
            let mut means = |bound| [0u32; 9].map(|_| u64::from(below(bound)));
            let halves: Vec<[u64; 9]> =
                (0..9).map(|_| means(if turn % 2 == 0 { 2 } else { 4 })).collect();
            let (second, ways) = (means(4), [u64::from(below(4)), u64::from(below(4))]);
            let labels: Vec<Label> = (0..9u32)
                .zip(&halves)
                .map(|(vessel, means)| label(vessel % 2, *means, below(3), vessel))
                .collect();
            let of = |place: &usize| {
                rank(&labels[*place], &second, ways[labels[*place].region.0 as usize])
            };
            let kept = places(&labels);
            dropped += 9 - kept.len();
            assert_eq!(kept.iter().map(of).min(), (0..9).map(|place| of(&place)).min());
        }
        assert!(dropped > 500, "{dropped}");
    }
}
