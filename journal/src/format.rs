//! The bytes: what a record, a frame and a segment are, and what they hash to.

pub mod block;
pub mod chain;
pub mod tree;

pub mod batch;
pub mod body;
pub mod codec;

pub mod frame;
pub mod segment;
