//! What several judges share: a random walk through the commands, and the model that it is held against.

pub mod model;
pub mod walk;
