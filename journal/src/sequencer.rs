//! The sequencer: one thread that gives every command its place, fed by many.
//!
//! Callers send commands through a bounded channel. The sequencer decides them one after another
//! while the disk is busy with the frame before; when the disk is done, whatever has gathered becomes
//! the next frame. There is no timer: an idle exchange commits at once, a busy one in large frames.
//! A caller is answered, and effects leave, only when the record is durable.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, Seq};
use tensorforge_engine::{Effect, Event, effects};

use crate::error::JournalError;
use crate::format::codec::{self, EncodeError};
use crate::ledger::{Closed, Ledger, LedgerError};

/// What a caller is told once its record is durable.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where the record stands.
    pub seq: Seq,
    /// What was decided.
    pub events: Vec<Event>,
    /// What the world now has to do.
    pub effects: Vec<Effect>,
}

struct Request {
    time: Micros,
    source: Source,
    command: Command,
    reply: Sender<Answer>,
}

/// A way to send commands. Clones share the one sequencer.
#[derive(Clone)]
pub struct Client {
    requests: Sender<Request>,
    shut: Arc<AtomicBool>,
}

/// Why a command got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The sequencer has stopped.
    #[error("the sequencer has stopped; the command may or may not have been recorded")]
    Stopped,
    /// The command cannot be recorded, and was not sent.
    #[error(transparent)]
    Unrecordable(#[from] EncodeError),
}

/// An answer to come.
pub struct Pending {
    reply: Receiver<Answer>,
}

impl Pending {
    /// Waits until the record is durable.
    pub fn wait(self) -> Result<Answer, CallError> {
        self.reply.recv().map_err(|_| CallError::Stopped)
    }
}

impl Client {
    /// Sends a command and waits until its record is durable.
    pub fn call(
        &self,
        time: Micros,
        source: Source,
        command: Command,
    ) -> Result<Answer, CallError> {
        self.send(time, source, command)?.wait()
    }

    /// Sends a command; blocks while the sequencer's queue is full.
    pub fn send(
        &self,
        time: Micros,
        source: Source,
        command: Command,
    ) -> Result<Pending, CallError> {
        // Judged at the door, so that one caller's mistake is nobody else's end.
        codec::check_command(&command)?;
        let (reply, answer) = bounded(1);
        let request = Request { time, source, command, reply };
        self.requests.send(request).map_err(|_| CallError::Stopped)?;
        // Looked at behind the send: what is not seen to be shut has been sent early enough to be found.
        if self.shut.load(Ordering::SeqCst) {
            return Err(CallError::Stopped);
        }
        Ok(Pending { reply: answer })
    }
}

/// Where commands come in. A channel keeps what nobody takes out, and its callers would wait for as
/// long as there is a client: so whoever leaves, however it comes to that, lets them all go.
struct Door {
    incoming: Receiver<Request>,
    shut: Arc<AtomicBool>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut.store(true, Ordering::SeqCst);
        self.incoming.try_iter().for_each(drop);
    }
}

/// A running sequencer.
pub struct Sequencer {
    thread: JoinHandle<Result<Closed, LedgerError>>,
}

/// The most commands that are decided before a frame is handed to the disk.
const FRAME_COMMANDS: usize = 4_096;

impl Sequencer {
    /// Starts the thread. `queue` commands may wait before senders have to.
    pub fn start(ledger: Ledger, queue: usize) -> Result<(Self, Client), JournalError> {
        let (requests, incoming) = bounded(queue);
        let shut = Arc::new(AtomicBool::new(false));
        let door = Door { incoming, shut: Arc::clone(&shut) };
        let thread = thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || run(ledger, &door))
            .map_err(crate::error::failed(
                crate::error::Operation::Start,
                Path::new("sequencer"),
            ))?;
        Ok((Self { thread }, Client { requests, shut }))
    }

    /// Waits until every client is gone and everything they sent is durable; then the journal is
    /// closed.
    pub fn finish(self) -> Result<Closed, LedgerError> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(mut ledger: Ledger, Door { incoming, .. }: &Door) -> Result<Closed, LedgerError> {
    let mut waiting: VecDeque<(Sender<Answer>, Answer)> = VecDeque::new();
    // What was recorded before it came here is the first frame that is waited for.
    ledger.commit()?;
    let mut committed = ledger.records();
    loop {
        let open = take(&mut ledger, incoming, &mut waiting)?;
        // The watermark says what they say; unread, they would pile up. One that comes after this is
        // left to wake the next wait, so none is missed.
        ledger.notices().try_iter().for_each(drop);
        let durable = ledger.durable()?;
        release(&mut waiting, durable);
        // One frame is with the disk while the next one fills.
        if durable >= committed && ledger.records() > committed {
            ledger.commit()?;
            committed = ledger.records();
        }
        if !open {
            ledger.flush()?;
            release(&mut waiting, ledger.durable()?);
            return ledger.close();
        }
    }
}

/// Decides what is in the queue. With nothing to decide it waits for a command, or for the disk. False
/// once every client is gone and the queue is empty.
fn take(
    ledger: &mut Ledger,
    incoming: &Receiver<Request>,
    waiting: &mut VecDeque<(Sender<Answer>, Answer)>,
) -> Result<bool, LedgerError> {
    for taken in 0..FRAME_COMMANDS {
        let request = match incoming.try_recv() {
            Ok(request) => request,
            Err(TryRecvError::Disconnected) => return Ok(false),
            Err(TryRecvError::Empty) if taken > 0 => break,
            // Nothing to decide: either the disk or a caller has something to say next.
            Err(TryRecvError::Empty) => crossbeam_channel::select! {
                recv(incoming) -> request => match request {
                    Ok(request) => request,
                    Err(_) => return Ok(false),
                },
                recv(ledger.notices()) -> notice => match notice {
                    Ok(_) => break,
                    Err(_) => return Err(JournalError::Closed.into()),
                },
            },
        };
        let seq = Seq(ledger.records());
        let events = ledger.record(request.time, request.source, &request.command)?.to_vec();
        let effects = effects(&events).collect();
        waiting.push_back((request.reply, Answer { seq, events, effects }));
    }
    Ok(true)
}

fn release(waiting: &mut VecDeque<(Sender<Answer>, Answer)>, durable: u64) {
    while waiting.front().is_some_and(|(_, answer)| answer.seq.0 < durable) {
        if let Some((reply, answer)) = waiting.pop_front() {
            // A caller that has gone away needs no answer.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Options;
    use tensorforge_engine::config::Limits;
    use tensorforge_engine::units::JournalId;
    use tensorforge_engine::{config, models};

    #[test]
    fn a_command_that_is_too_long_is_its_senders_error_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.tfj");
        let ledger = Ledger::create(&path, JournalId([9; 16]), Options::default()).unwrap();
        let (sequencer, client) = Sequencer::start(ledger, 8).unwrap();
        let call = |command| client.call(Micros(1), Source::OPERATOR, command);
        call(Command::Config(config::Command::Configure(Limits::default()))).unwrap();
        let long = Command::Models(models::Command::RegisterModel {
            name: "m".repeat(codec::COMMAND_BYTES_MAX),
        });
        assert!(matches!(call(long).unwrap_err(), CallError::Unrecordable(_)));
        let answer =
            call(Command::Models(models::Command::RegisterModel { name: "m".into() })).unwrap();
        assert_eq!(answer.seq, Seq(1));
        drop(client);
        assert_eq!(sequencer.finish().unwrap().records, 2);
    }

    #[test]
    fn what_a_ledger_has_recorded_before_is_waited_for_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.tfj");
        let mut ledger = Ledger::create(&path, JournalId([9; 16]), Options::default()).unwrap();
        let configure = Command::Config(config::Command::Configure(Limits::default()));
        ledger.record(Micros(1), Source::OPERATOR, &configure).unwrap();
        let (sequencer, client) = Sequencer::start(ledger, 8).unwrap();
        let command = Command::Models(models::Command::RegisterModel { name: "m".into() });
        assert_eq!(client.call(Micros(1), Source::OPERATOR, command).unwrap().seq, Seq(1));
        drop(client);
        assert_eq!(sequencer.finish().unwrap().records, 2);
    }

    #[test]
    fn a_ledger_refuses_what_is_too_long_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.tfj");
        let mut ledger = Ledger::create(&path, JournalId([9; 16]), Options::default()).unwrap();
        let before = ledger.state().root();
        let long = Command::Models(models::Command::RegisterModel {
            name: "m".repeat(codec::COMMAND_BYTES_MAX),
        });
        assert!(ledger.record(Micros(1), Source::OPERATOR, &long).is_err());
        assert_eq!((ledger.records(), ledger.state().root()), (0, before));
        ledger
            .record(
                Micros(1),
                Source::OPERATOR,
                &Command::Config(config::Command::Configure(Limits::default())),
            )
            .unwrap();
        assert_eq!(ledger.close().unwrap().records, 1);
    }
}
