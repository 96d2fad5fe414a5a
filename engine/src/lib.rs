//! The pure reducer of TensorForge.
//!
//! A [`Command`] is decided into [`Event`]s against the [`State`]; events are folded into it; the
//! state knows its digest after every record. Nothing here can read a clock, a file, the environment
//! or a randomly seeded map: the crate is `no_std` and holds no unsafe code.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bits;
pub mod command;
pub mod config;
pub mod effect;
pub mod event;
pub mod image;
pub mod models;
pub mod policy;
pub mod refusal;
pub mod security;
pub mod table;
pub mod units;
