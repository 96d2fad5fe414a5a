//! Reading ahead: frames are read, hashed and decoded on a thread of their own, while what came before
//! them is still being folded.

use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Operation, Result, failed};
use crate::reading::batches::{Batches, Portion, Portions};

/// Portions that lie ready: enough that neither thread often waits for the other, which takes as long as to
/// fold one; and each may be of several megabytes.
const READY: usize = 8;

/// Portions that come from another thread.
pub(crate) struct Ahead {
    portion: Portion,
    ready: Receiver<Result<Portion>>,
    /// What is done with goes back, to be filled again.
    done: Sender<Portion>,
}

impl Portions for Ahead {
    fn portion(&self) -> &Portion {
        &self.portion
    }

    fn advance(&mut self) -> Result<bool> {
        // A thread that has come to the end has hung up.
        let Ok(portion) = self.ready.recv() else { return Ok(false) };
        let done = std::mem::replace(&mut self.portion, portion?);
        // It may be gone already, and needs none any more.
        let _ = self.done.try_send(done);
        Ok(true)
    }
}

/// Has `batches` be read on a thread of their own for as long as `with` takes from them.
pub(crate) fn read_ahead<T, E: From<crate::error::JournalError>>(
    batches: Batches<'_>,
    with: impl FnOnce(&mut Ahead) -> Result<T, E>,
) -> Result<T, E> {
    let (filled, ready) = bounded(READY);
    let (done, empty) = bounded(READY + 2);
    thread::scope(|scope| {
        let reader = thread::Builder::new().name("reader".into());
        reader
            .spawn_scoped(scope, move || fill(batches, &filled, &empty))
            .map_err(failed(Operation::Start, Path::new("reading ahead")))?;
        // Whoever stops taking hangs up, and so ends the thread.
        with(&mut Ahead { portion: Portion::default(), ready, done })
    })
}

fn fill(mut batches: Batches<'_>, filled: &Sender<Result<Portion>>, empty: &Receiver<Portion>) {
    loop {
        let portion = match batches.advance() {
            Ok(true) => Ok(batches.exchange(empty.try_recv().unwrap_or_default())),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        let failed = portion.is_err();
        if filled.send(portion).is_err() || failed {
            return;
        }
    }
}
