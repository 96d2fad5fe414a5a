//! An interrupt ends the process at once, unless something is under way that looks by itself whether
//! to end: a capture, which closes its journal, and a tour, which removes its folder.
//!
//! A signal that whoever started the program has it ignore is no interrupt: `nohup` does so with SIGHUP,
//! and a shell without job control with SIGINT for what it runs in the background.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{io, process, ptr, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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
    let listening = LISTENING.get_or_init(|| listen().map_err(|error| error.to_string()));
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

fn listen() -> io::Result<()> {
    let meant = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !ignored(*signal));
    let mut signals = Signals::new(meant)?;
    let listening = move || signals.forever().for_each(|_| interrupted());
    thread::Builder::new().name("interrupts".to_owned()).spawn(listening).map(drop)
}

/// Whether a signal does nothing to this process.
#[expect(unsafe_code, reason = "only the system knows, and it is asked in C")]
fn ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is given, so none is set; the one in force is written to a place that has room
    // for it, and it is read only once it has been written.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn interrupted() {
    ASKED.store(true, Ordering::SeqCst);
    if HEEDING.load(Ordering::SeqCst) == 0 {
        process::exit(Exit::Interrupted as i32);
    }
}
