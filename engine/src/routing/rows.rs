//! Prefixes, and what a route is judged by.

use arrayvec::ArrayVec;

use crate::kernel::image::{code, row};
use crate::kernel::units::{Micros, Tokens, VesselId};

row! {
    /// A prefix, and the vessels that last worked, or are working, on a prompt beginning with it.
    pub struct Prefix {
        /// The hash of the prefix.
        #[serde(with = "crate::kernel::units::hex64")] pub hash: u64,
        /// How long it is.
        pub tokens: Tokens,
        /// Who worked on it, the last one first.
        pub holders: ArrayVec<Holder, HOLDERS_MAX>,
    }
}

/// How many vessels are remembered to have worked on a prefix.
pub const HOLDERS_MAX: usize = 4;

row! {
    /// A vessel that has worked on a prefix.
    #[derive(Copy)]
    pub struct Holder {
        /// Which one.
        pub vessel: VesselId,
        /// How often the vessel had begun anew by then; what it held before is gone.
        pub starts: u32,
        /// When it was.
        pub at: Micros,
    }
}

impl Prefix {
    /// Remembers that a vessel works on it.
    pub(crate) fn note(&mut self, holder: Holder) {
        self.holders.retain(|other| other.vessel != holder.vessel);
        if self.holders.is_full() {
            self.holders.pop();
        }
        self.holders.insert(0, holder);
    }
}

code! {
    /// Which vessels are considered for a route, and by what the best of them is found.
    pub enum Choice {
        /// A few are drawn, those that hold a part of the prompt join them, and the fewest points win.
        Score = 0,
        /// A few are drawn, and the one wins that has the smallest share of its slots in use.
        LeastLoad = 1,
        /// One after the other, by the number of the order among those that have room.
        RoundRobin = 2,
        /// The same vessel for the same beginning of a prompt, or for the same tenant where that is not named; the next one
        /// that has room, where it has none (jump consistent hash: Lamping and Veach, arXiv 1406.2294, 2014).
        Affinity = 3,
        /// A few are drawn, and the one wins that has the fewest slots left: so that others have none aboard at all.
        BestFit = 4,
    }
}

row! {
    /// What each objective weighs in the score of a route, in points; a lower score wins.
    pub struct Weights {
        /// Points for each millisecond until the answer is expected to be complete.
        pub time: u32,
        /// Points for each micro-dollar.
        pub cost: u32,
        /// Points for each joule.
        pub energy: u32,
    }
}
