//! Committing on a thread of its own: one frame is written and synced while the next one fills.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::error::{JournalError, Operation, Result, failed};
use crate::writing::seal::Sealed;
use crate::writing::writer::Writer;

/// A frame became durable: nobody needs to wait for its records any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The frame's first record.
    pub first_seq: u64,
    /// The first record after it; all before are durable.
    pub next_seq: u64,
}

/// What the two threads share.
#[derive(Debug, Default)]
struct Shared {
    /// The first record that is not durable.
    durable: AtomicU64,
    /// The error that ended it.
    failure: OnceLock<JournalError>,
}

/// A writer on its own thread.
///
/// Frames are committed in the order in which they are submitted, one sync each: no two are ever in
/// flight, so a crash can tear no more than one. An error ends the committer for good: every later
/// call returns it, and frames that were submitted behind the one that failed are not written.
///
/// Dropping it waits for the submitted frames too: who drops a writer may open its journal again.
#[derive(Debug)]
pub struct Committer {
    /// `None` once it ends.
    frames: Option<Sender<Sealed>>,
    notices: Receiver<Durable>,
    buffers: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Writer>>,
}

impl Committer {
    /// Starts the thread. At most `depth` frames, and at least one, wait for it; then
    /// [`submit`](Self::submit) waits too.
    pub fn start(writer: Writer, depth: usize) -> Result<Self> {
        let depth = depth.max(1);
        let (frames, submitted) = bounded(depth);
        // One notice a frame, of two words: whoever does not read them loses little memory.
        let (notify, notices) = unbounded();
        let (recycle, buffers) = bounded(depth.saturating_add(1));
        let shared = Arc::new(Shared::default());
        shared.durable.store(writer.next_seq(), Ordering::Release);
        let lane = Lane { writer, submitted, notify, recycle, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || lane.run());
        let thread = thread.map_err(failed(Operation::Start, "the journal".as_ref()))?;
        Ok(Self { frames: Some(frames), notices, buffers, shared, thread: Some(thread) })
    }

    /// Hands a frame over; waits while too many are waiting. Returns the error that ended the
    /// committer, if one did.
    pub fn submit(&self, frame: Sealed) -> Result<()> {
        self.check()?;
        let frames = self.frames.as_ref().ok_or(JournalError::Closed)?;
        frames.send(frame).map_err(|_| self.failure())
    }

    /// The first record that is not durable: a watermark that only rises.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The frames as they become durable, in their order. Disconnected once the committer has ended.
    pub fn notices(&self) -> &Receiver<Durable> {
        &self.notices
    }

    /// Waits until every record before `seq` is durable.
    ///
    /// Takes notices: use either this or [`notices`](Self::notices). Records that were never submitted
    /// are waited for until the committer ends.
    pub fn wait(&self, seq: u64) -> Result<()> {
        while self.durable() < seq {
            if self.notices.recv().is_err() && self.durable() < seq {
                return Err(self.failure());
            }
        }
        Ok(())
    }

    /// An empty buffer for the next frame, one that a frame was written from if there is one.
    pub fn buffer(&self) -> Vec<u8> {
        self.buffers.try_recv().unwrap_or_default()
    }

    /// Returns the error that ended the committer, if one did.
    pub fn check(&self) -> Result<()> {
        match self.shared.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// Waits for all submitted frames, and gives the writer back.
    pub fn finish(mut self) -> Result<Writer> {
        let writer = self.end().ok_or(JournalError::Closed)?;
        self.check().map(|()| writer)
    }

    /// Lets the thread write what was submitted, and waits for its end.
    fn end(&mut self) -> Option<Writer> {
        drop(self.frames.take());
        self.thread.take()?.join().ok()
    }

    /// Waits for all submitted frames, and closes the journal.
    pub fn close(self) -> Result<()> {
        self.finish()?.close()
    }

    fn failure(&self) -> JournalError {
        self.shared.failure.get().cloned().unwrap_or(JournalError::Closed)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// The thread's side.
struct Lane {
    writer: Writer,
    submitted: Receiver<Sealed>,
    notify: Sender<Durable>,
    recycle: Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

impl Lane {
    fn run(mut self) -> Writer {
        while let Ok(mut frame) = self.submitted.recv() {
            if let Err(failure) = self.writer.append(&mut frame) {
                // Set before the channels close, so that whoever sees them closed sees it.
                let _ = self.shared.failure.set(failure);
                break;
            }
            let (first_seq, next_seq) = (frame.header().first_seq, frame.header().next_seq());
            self.shared.durable.store(next_seq, Ordering::Release);
            // Nobody has to listen, and no more buffers are kept than can be filled.
            let _ = self.notify.send(Durable { first_seq, next_seq });
            let _ = self.recycle.try_send(frame.into_buffer());
        }
        self.writer
    }
}
