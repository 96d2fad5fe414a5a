//! Prefixes, and what a route is judged by.

use arrayvec::ArrayVec;

use crate::kernel::image::row;
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

row! {
    /// What each objective weighs in the score of a route, in points; a lower score wins.
    pub struct Weights {
        /// Points for each millisecond until the answer is expected to be complete.
        pub time: u32,
        /// Points for each micro-dollar.
        pub cost: u32,
        /// Points for each joule.
        pub energy: u32,
        /// Points for the vessel that failed this order last.
        pub avoid: u32,
    }
}
