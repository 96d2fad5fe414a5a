//! Judges of the command line: they run the program as people do, and hold its answers against what
//! they read in its journals themselves.

mod support;

mod asking;
mod bad_days;
mod captures;
mod corpus;
mod jobs;
mod replays;
mod resumes;

mod forged;
mod planted;

mod examples;
mod health;
mod incidents;
mod inputs;
mod policies;
mod predicates;
mod promises;
mod stats;
mod terminal;
mod times;
