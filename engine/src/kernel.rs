//! What every module stands on: units and keys, bytes, tables, draws and timers. Nothing here knows
//! what the exchange is about.

pub mod fixed;
pub mod units;

pub mod bits;
pub mod draw;
pub mod image;
pub mod sketch;
pub mod table;
pub mod wheel;
