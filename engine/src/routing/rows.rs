//! Prefixes, and what a route is judged by.

use crate::kernel::image::row;
use crate::kernel::units::{Tokens, VesselId};

row! {
    /// A prefix, and the vessel that last worked, or is working, on a prompt beginning with it.
    pub struct Prefix {
        /// The hash of the prefix.
        #[serde(with = "crate::kernel::units::hex64")] pub hash: u64,
        /// Where it was.
        pub vessel: VesselId,
        /// How long it is.
        pub tokens: Tokens,
        /// How often the vessel had begun anew by then; what it held before is gone.
        pub starts: u32,
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
