//! Writing: frames are sealed, appended and made durable; what a crash or damage left is mended.

pub mod committer;
pub mod seal;
pub mod writer;

pub mod repair;
pub mod salvage;
