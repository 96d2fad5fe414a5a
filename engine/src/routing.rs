//! Where an order goes: candidates are drawn, scored and recorded, and the best one is taken.

pub mod rows;
pub mod words;

pub(crate) mod fold;

mod labels;

pub(crate) mod decide;

pub mod room;

pub use room::{Exclusion, Room, exclusion, points, room};
pub use rows::{Choice, HOLDERS_MAX, Holder, Prefix, Weights};
pub use words::{Candidate, Candidates, Event, Verdict};
