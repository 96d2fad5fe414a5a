//! The sequencer: one thread that gives every command its place, fed by many.
//!
//! Callers send commands through a bounded channel. The sequencer decides them one after another
//! while the disk is busy with the frame before; when the disk is done, whatever has gathered becomes
//! the next frame. An idle exchange commits at once, a busy one in large frames. A caller is answered,
//! and effects leave, only when the record is durable.
//!
//! What nobody awaits, such as the report of a leg, need not have a frame of its own: it rides along
//! with the next one that somebody does, and waits for that no longer than the sequencer
//! [lingers](Options::linger). Effects go to one [desk](Desk), whoever's command led to them: an order
//! that waited is routed by the report of another one. With a [clock](Options::clock) the sequencer
//! says by itself that time has passed when something falls due.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, after, bounded, never};
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{Micros, Seq};
use tensorforge_engine::{Effect, Event, effects, workflow};

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

/// Who wants to know what becomes of a command. One that is dropped without an answer has been left by
/// a sequencer that stopped: its command may or may not have been recorded.
pub trait Caller: Send {
    /// The record is durable.
    fn answer(self: Box<Self>, answer: Answer);
}

impl Caller for Sender<Answer> {
    fn answer(self: Box<Self>, answer: Answer) {
        // Whoever has gone away needs no answer.
        let _ = self.send(answer);
    }
}

/// Where the world is told what to do, on the thread of the sequencer: whatever takes long is for others.
pub trait Desk: Send {
    /// A record was decided, and a crash may take it still: nothing that comes of it may be seen by anybody.
    fn decided(&mut self, answer: &Answer) {
        let _ = answer;
    }

    /// It is durable. Its caller is told behind it.
    fn durable(&mut self, answer: &Answer);
}

/// How soon a record has to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody awaits it: as soon as the disk is free.
    Now,
    /// With the next one that somebody awaits, or once it has waited for long enough.
    Soon,
}

/// How a sequencer works.
pub struct Options {
    /// So many commands may wait before senders have to.
    pub queue: usize,
    /// The longest that a record waits for one that somebody awaits.
    pub linger: Duration,
    /// What time it is. Commands are stamped with that instead of what their callers say, and time passes by itself.
    pub clock: Option<Box<dyn Fn() -> Micros + Send>>,
    /// Where effects go besides to the caller.
    pub desk: Option<Box<dyn Desk>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 1_024, linger: Duration::from_millis(2), clock: None, desk: None }
    }
}

struct Request {
    time: Micros,
    source: Source,
    command: Command,
    urgency: Urgency,
    caller: Box<dyn Caller>,
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
    /// As many wait already as may; the command was not sent.
    #[error("the sequencer's queue is full; the command was not recorded")]
    Full,
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
        let (reply, answer) = bounded(1);
        let caller = Box::new(reply);
        let request = Request { time, source, command, urgency: Urgency::Now, caller };
        // Judged at the door, so that one caller's mistake is nobody else's end.
        codec::check_command(&request.command)?;
        self.requests.send(request).map_err(|_| CallError::Stopped)?;
        self.seen()?;
        Ok(Pending { reply: answer })
    }

    /// Sends a command whose caller is told later; refused at once where the sequencer's queue is full.
    pub fn offer(
        &self,
        time: Micros,
        source: Source,
        command: Command,
        urgency: Urgency,
        caller: Box<dyn Caller>,
    ) -> Result<(), CallError> {
        codec::check_command(&command)?;
        let request = Request { time, source, command, urgency, caller };
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => CallError::Full,
            TrySendError::Disconnected(_) => CallError::Stopped,
        })?;
        self.seen()
    }

    /// Looked at behind the send: what is not seen to be shut has been sent early enough to be found.
    fn seen(&self) -> Result<(), CallError> {
        if self.shut.load(Ordering::SeqCst) { Err(CallError::Stopped) } else { Ok(()) }
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
        Self::with(ledger, Options { queue, ..Options::default() })
    }

    /// Starts the thread.
    pub fn with(ledger: Ledger, options: Options) -> Result<(Self, Client), JournalError> {
        let (requests, incoming) = bounded(options.queue);
        let shut = Arc::new(AtomicBool::new(false));
        let door = Door { incoming, shut: Arc::clone(&shut) };
        let thread = thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || Running::new(ledger, options).run(&door.incoming))
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

/// What a caller has to be told, and who if anybody.
type Waiting = (Option<Box<dyn Caller>>, Answer);

struct Running {
    ledger: Ledger,
    options: Options,
    /// Those whose records are not known to be durable yet, in order.
    waiting: VecDeque<Waiting>,
    /// How many records have been handed to the disk.
    committed: u64,
    /// By when the disk has to be handed what it has not been, if there is anything.
    due: Option<Instant>,
}

impl Running {
    fn new(ledger: Ledger, options: Options) -> Self {
        Self { committed: 0, ledger, options, waiting: VecDeque::new(), due: None }
    }

    fn run(mut self, incoming: &Receiver<Request>) -> Result<Closed, LedgerError> {
        // What was recorded before it came here is the first frame that is waited for.
        self.commit()?;
        loop {
            let open = self.take(incoming)?;
            self.pass_time()?;
            // The watermark says what they say; unread, they would pile up. One that comes after this is
            // left to wake the next wait, so none is missed.
            self.ledger.notices().try_iter().for_each(drop);
            let durable = self.ledger.durable()?;
            self.release(durable);
            // One frame is with the disk while the next one fills.
            if durable >= self.committed && self.due.is_some_and(|due| due <= Instant::now()) {
                self.commit()?;
            }
            if !open {
                self.ledger.flush()?;
                let durable = self.ledger.durable()?;
                self.release(durable);
                return self.ledger.close();
            }
        }
    }

    /// Decides what is in the queue. With nothing to decide it waits for a command, for the disk, or until something is due.
    /// False once every client is gone and the queue is empty.
    fn take(&mut self, incoming: &Receiver<Request>) -> Result<bool, LedgerError> {
        for taken in 0..FRAME_COMMANDS {
            let request = match incoming.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Disconnected) => return Ok(false),
                Err(TryRecvError::Empty) if taken > 0 => break,
                Err(TryRecvError::Empty) => {
                    let timer = self.until_due()?.map_or_else(never, after);
                    crossbeam_channel::select! {
                        recv(incoming) -> request => match request {
                            Ok(request) => request,
                            Err(_) => return Ok(false),
                        },
                        recv(self.ledger.notices()) -> notice => match notice {
                            Ok(_) => break,
                            // Its error, if the disk has failed.
                            Err(_) => {
                                self.ledger.durable()?;
                                return Err(JournalError::Closed.into());
                            }
                        },
                        recv(timer) -> _ => break,
                    }
                }
            };
            let Request { time, source, command, urgency, caller } = request;
            let time = self.now().unwrap_or(time);
            self.record(time, source, &command, urgency, Some(caller))?;
        }
        Ok(true)
    }

    fn now(&self) -> Option<Micros> {
        self.options.clock.as_ref().map(|clock| clock())
    }

    /// How long nothing has to be done if nobody says anything; forever where it is none.
    fn until_due(&self) -> Result<Option<Duration>, LedgerError> {
        // While a frame is with the disk, its end is waited for first.
        let idle = self.ledger.durable()? >= self.committed;
        let commit = self.due.filter(|_| idle);
        let commit = commit.map(|due| due.saturating_duration_since(Instant::now()));
        let advance = self.now().zip(self.ledger.state().next_deadline());
        let advance = advance.map(|(now, at)| Duration::from_micros((at - now).0));
        Ok([commit, advance].into_iter().flatten().min())
    }

    /// Says that time has passed, if something is due by now.
    fn pass_time(&mut self) -> Result<(), LedgerError> {
        let due = self.now().zip(self.ledger.state().next_deadline());
        let Some((now, _)) = due.filter(|(now, at)| at <= now) else { return Ok(()) };
        let advance = Command::Workflow(workflow::Command::Advance);
        self.record(now, Source::OPERATOR, &advance, Urgency::Now, None)
    }

    fn record(
        &mut self,
        time: Micros,
        source: Source,
        command: &Command,
        urgency: Urgency,
        caller: Option<Box<dyn Caller>>,
    ) -> Result<(), LedgerError> {
        let seq = Seq(self.ledger.records());
        let events = self.ledger.record(time, source, command)?.to_vec();
        let effects = effects(&events).collect();
        let answer = Answer { seq, events, effects };
        if let Some(desk) = &mut self.options.desk {
            desk.decided(&answer);
        }
        self.waiting.push_back((caller, answer));
        let due = match urgency {
            Urgency::Now => Instant::now(),
            Urgency::Soon => Instant::now() + self.options.linger,
        };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        self.ledger.commit()?;
        (self.committed, self.due) = (self.ledger.records(), None);
        Ok(())
    }

    fn release(&mut self, durable: u64) {
        while self.waiting.front().is_some_and(|(_, answer)| answer.seq.0 < durable) {
            let Some((caller, answer)) = self.waiting.pop_front() else { return };
            if let Some(desk) = &mut self.options.desk {
                desk.durable(&answer);
            }
            if let Some(caller) = caller {
                caller.answer(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger;
    use tensorforge_engine::config::Limits;
    use tensorforge_engine::units::JournalId;
    use tensorforge_engine::{config, models};

    #[test]
    fn a_command_that_is_too_long_is_its_senders_error_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.tfj");
        let ledger = Ledger::create(&path, JournalId([9; 16]), ledger::Options::default()).unwrap();
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

    fn model(n: u64) -> Command {
        Command::Models(models::Command::RegisterModel { name: format!("m{n}") })
    }

    /// An exchange in a new journal that has been configured.
    fn begun(dir: &Path, options: Options) -> (Sequencer, Client) {
        let mut ledger = Ledger::create(dir, JournalId([9; 16]), Default::default()).unwrap();
        let configure = Command::Config(config::Command::Configure(Limits::default()));
        ledger.record(Micros(1), Source::OPERATOR, &configure).unwrap();
        Sequencer::with(ledger, options).unwrap()
    }

    /// Says what is decided and what is durable, and waits to be heard at the former.
    struct Heard {
        decided: Sender<Seq>,
        durable: Sender<Seq>,
    }

    impl Desk for Heard {
        fn decided(&mut self, answer: &Answer) {
            self.decided.send(answer.seq).unwrap();
        }

        fn durable(&mut self, answer: &Answer) {
            self.durable.send(answer.seq).unwrap();
        }
    }

    /// One is being decided and two wait: the next one is refused at once, and nothing of it recorded.
    #[test]
    fn a_full_queue_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let ((decided, hears), (durable, told)) = (bounded(0), crossbeam_channel::unbounded());
        let desk = Some(Box::new(Heard { decided, durable }) as Box<dyn Desk>);
        let options = Options { queue: 2, desk, ..Options::default() };
        let (sequencer, client) = begun(&folder.path().join("j.tfj"), options);
        let (reply, answers) = bounded(8);
        let offer = |n| {
            let caller = Box::new(reply.clone());
            client.offer(Micros(1), Source::OPERATOR, model(n), Urgency::Now, caller)
        };
        offer(0).unwrap();
        // The first is at the desk once there is room for two more besides it.
        while !client.requests.is_empty() {
            thread::yield_now();
        }
        offer(1).unwrap();
        offer(2).unwrap();
        assert_eq!(offer(3), Err(CallError::Full));
        let decided: Vec<Seq> = (0..3).map(|_| hears.recv().unwrap()).collect();
        assert_eq!(decided, [1, 2, 3].map(Seq));
        let answered: Vec<Seq> = (0..3).map(|_| answers.recv().unwrap().seq).collect();
        assert_eq!(answered, decided);
        assert_eq!(told.try_iter().collect::<Vec<Seq>>(), decided);
        drop(client);
        assert_eq!(sequencer.finish().unwrap().records, 4);
    }

    /// Those that nobody awaits are in one frame with the next that somebody does; and alone after a while.
    #[test]
    fn what_nobody_awaits_rides_along() {
        let folder = tempfile::tempdir().unwrap();
        for linger in [Duration::from_secs(3_600), Duration::from_millis(1)] {
            let path = folder.path().join(format!("{}.tfj", linger.as_millis()));
            let options = Options { linger, ..Options::default() };
            let (sequencer, client) = begun(&path, options);
            client.call(Micros(1), Source::OPERATOR, model(100)).unwrap();
            let (reply, answers) = bounded(8);
            for n in 0..3 {
                let caller = Box::new(reply.clone());
                client.offer(Micros(1), Source::OPERATOR, model(n), Urgency::Soon, caller).unwrap();
            }
            let for_long = linger > Duration::from_secs(1);
            if for_long {
                assert_eq!(answers.len(), 0);
                client.call(Micros(1), Source::OPERATOR, model(3)).unwrap();
                // They stand before it, and were answered before it.
                assert_eq!(answers.len(), 3);
            }
            let answered: Vec<Seq> = (0..3).map(|_| answers.recv().unwrap().seq).collect();
            assert_eq!(answered, [2, 3, 4].map(Seq));
            drop(client);
            sequencer.finish().unwrap();
            let journal = crate::Journal::open(&path).unwrap();
            let frames = journal.frames().iter().filter(|frame| !frame.close).count();
            assert!(frames == 3 || !for_long, "{frames}");
        }
    }

    #[test]
    fn what_a_ledger_has_recorded_before_is_waited_for_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.tfj");
        let mut ledger =
            Ledger::create(&path, JournalId([9; 16]), ledger::Options::default()).unwrap();
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
        let mut ledger =
            Ledger::create(&path, JournalId([9; 16]), ledger::Options::default()).unwrap();
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
