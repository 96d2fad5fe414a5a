//! An interrupt ends the process at once, unless something is under way that looks by itself whether
//! to end: a capture, which closes its journal, and a tour, which removes its folder.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::failure::{Exit, Failure, Result};

/// Whether the process has been asked to end.
static ASKED: AtomicBool = AtomicBool::new(false);
/// How many are under way that look at that.
static HEEDING: AtomicU32 = AtomicU32::new(0);

/// Something under way that looks at [`asked`], until it is dropped.
pub(crate) struct Heeding;

/// Leaves it to the caller to end the process.
pub(crate) fn heed() -> Result<Heeding> {
    static LISTENING: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    HEEDING.fetch_add(1, Ordering::SeqCst);
    let heeding = Heeding;
    let listening = LISTENING
        .get_or_init(|| ctrlc::set_handler(interrupted).map_err(|error| error.to_string()));
    listening.clone().map(|()| heeding).map_err(Failure::input)
}

impl Drop for Heeding {
    fn drop(&mut self) {
        HEEDING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the process has been asked to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

fn interrupted() {
    ASKED.store(true, Ordering::SeqCst);
    if HEEDING.load(Ordering::SeqCst) == 0 {
        process::exit(Exit::Interrupted as i32);
    }
}
