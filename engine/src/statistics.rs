//! What can be said of many numbers: percentiles, means, spread, and what goes with what. Pure functions in
//! fixed point: the same numbers are the same answer on every machine.

pub mod percentiles;

pub mod histogram;

pub mod means;
pub mod moments;

pub mod correlation;
pub mod normalisation;

pub use correlation::{pearson, spearman};
pub use histogram::Histogram;
pub use means::{Ema, decay, mean, weighted_mean};
pub use moments::Moments;
pub use normalisation::{min_max, robust_z, z};
pub use percentiles::{interpolated, nearest_rank};
