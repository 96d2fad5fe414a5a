//! What is said by routing.

use alloc::vec::Vec;
use core::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::kernel::image::{Image, Sink, Source, code, row, words};
use crate::kernel::units::{
    MicroUsd, Micros, Millijoules, OrderId, PolicyVersion, Ppm, Tokens, VesselId,
};
use crate::models::rows::Route;
use crate::policy::rows::CANDIDATES_MAX;
use crate::routing::rows::HOLDERS_MAX;

code! {
    /// Why a vessel that was drawn could not be had.
    pub enum Verdict {
        /// It could.
        Eligible = 0,
        /// It could, but it is kept for a larger order that waits, and this one fits another vessel: it is
        /// taken only where there is no other.
        Kept = 1,
        /// It would be lost with a vessel that has failed this order: it is taken only where there is no other.
        Near = 2,
        /// It has failed this order: it is taken only where there is no other.
        Tried = 3,
        /// The order would not be done there by its deadline, if its answer is as long as 95 of 100 are at most: it is
        /// taken only where there is no other, and nobody else waits.
        Late = 4,
        /// It would have more aboard than it may be given for its memory: it is not taken.
        Crowded = 5,
        /// The order is expected to cost more there than it may: it is not taken.
        Dear = 6,
        /// The order would last into a berth that is promised there: it is not taken.
        Promised = 7,
        /// The order is larger than its context.
        TooLarge = 8,
    }
}

row! {
    /// A route that was considered, and what it would have meant.
    pub struct Candidate {
        /// Where the prompt would have been worked.
        pub vessel: VesselId,
        /// Where the answer would have been generated, if elsewhere.
        pub decode: VesselId,
        /// Whether it could be had.
        pub verdict: Verdict,
        /// The points it got; the fewest win.
        pub score: u64,
        /// The draw that decides between equal scores; the lowest wins.
        pub tie: u32,
        /// The expected time to completion: behind what is aboard, for the prompt and for the answer, and the way
        /// there.
        pub eta: Micros,
        /// The expected price.
        pub cost: MicroUsd,
        /// The expected fuel.
        pub energy: Millijoules,
        /// Prompt tokens that its prefix cache is believed to hold.
        pub cached: Tokens,
        /// The share of its calls that have failed lately, by which it is taken to last longer.
        pub failing: Ppm,
    }
}

impl Candidate {
    /// The most bytes of its packed image.
    pub const BYTES: usize = 5 + 5 + 1 + 9 + 5 + 9 * 5;

    /// The most that one route is chosen from: of each role those that are drawn, one that is kept and those that hold a
    /// prefix, decode vessels none; of pairs the best of each decode vessel, and one of each prefill vessel that is in none
    /// of them.
    pub const MOST: usize = {
        let drawn = CANDIDATES_MAX as usize + 1;
        let held = drawn + HOLDERS_MAX;
        held + (held + drawn - 1)
    };
}

/// What was considered for a route. Folding never looks at it: whoever skims has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Candidates(pub Vec<Candidate>);

impl Deref for Candidates {
    type Target = [Candidate];

    fn deref(&self) -> &[Candidate] {
        &self.0
    }
}

impl Image for Candidates {
    fn write(&self, sink: &mut impl Sink) {
        sink.measured(|sink| self.0.write(sink));
    }

    #[inline(always)]
    fn read(source: &mut impl Source) -> Self {
        Self(source.measured(Vec::read))
    }
}

words! {
    /// Which way an order goes.
    #[serde(rename = "routing::Event")]
    pub enum Event {
        /// An order's route was chosen.
        OrderRouted = 0 {
            /// Which one.
            order: OrderId,
            /// In which attempt.
            attempt: u16,
            /// Under which policy.
            policy: PolicyVersion,
            /// How many vessels had room and could have been drawn.
            open: u32,
            /// What was considered, the chosen one first, then in the order of their scores.
            candidates: Candidates,
            /// The hops of the chosen one.
            route: Route,
        },
    }
}
