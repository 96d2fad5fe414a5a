//! The task that serves one request, from its submission to its last byte.
//!
//! It hands one command to the sequencer and awaits the durable decision; from then on the exchange says what is to be done
//! about the order, and the task does that and reports. The last byte, which is the whole body where an answer is not
//! streamed, is held until the order has been settled durably. A client that hangs up withdraws its order, and the task
//! stays until that has been settled as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tensorforge_engine::models::{Demand, End, LegKind, Usage};
use tensorforge_engine::units::{Micros, Millijoules, OrderId, Seq, Tokens, VesselId};
use tensorforge_engine::workflow::{Command, Fault, Outcome};
use tensorforge_engine::{Event, workflow};
use tensorforge_journal::sequencer::{Answer, CallError, Caller, Urgency};
use tensorforge_wire::{
    Answer as Answered, Cleaned, Dialect, End as AnswerEnd, Events, Forward, Kind, Seen,
};
use tokio::sync::{mpsc, oneshot};

use crate::desk::{Task, Tasks};
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::vessel::Begun;

/// Pieces before the first token that are held.
const EARLY_MOST: usize = 64;

/// The longest event of a stream, in bytes.
const EVENT_MOST: usize = 1 << 20;

/// What a client is told before the first byte of a body.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// All of the body, or none where it comes in pieces.
    pub(crate) whole: Option<Bytes>,
}

/// What is asked for.
pub(crate) struct Asked {
    pub(crate) dialect: Dialect,
    pub(crate) streams: bool,
    pub(crate) demand: Demand,
    /// What goes to the vessel, and what is taken out of its answer.
    pub(crate) forward: Forward,
    /// What goes with it.
    pub(crate) headers: HeaderMap,
}

/// One request and its answer.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    asked: Asked,
    /// Taken once the answer has begun.
    head: Option<oneshot::Sender<Head>>,
    /// The pieces of an answer; closed once the client has hung up.
    out: mpsc::Sender<Bytes>,
    order: OrderId,
    seq: Seq,
    withdrawn: bool,
    /// How many events of a stream there were.
    events: u64,
    /// What a vessel has answered, told once the order has been settled.
    held: Option<Held>,
    /// What came while a leg was worked and is to be done next.
    next: Option<Task>,
}

enum Held {
    /// All of an answer.
    Whole { status: StatusCode, headers: HeaderMap, body: Bytes },
    /// The end of a stream.
    Last(Vec<Bytes>),
}

/// A leg that is being worked.
struct Leg {
    attempt: u16,
    number: u8,
    begun: Instant,
    /// What has been generated, as far as is known.
    tokens_out: u64,
}

/// Does not ask what becomes of what he says.
struct Nobody;

impl Caller for Nobody {
    fn answer(self: Box<Self>, _: Answer) {}
}

struct Waits(oneshot::Sender<Answer>);

impl Caller for Waits {
    fn answer(self: Box<Self>, answer: Answer) {
        // Whoever has gone away needs no answer.
        let _ = self.0.send(answer);
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asked: Asked,
        head: oneshot::Sender<Head>,
        out: mpsc::Sender<Bytes>,
    ) -> Self {
        Self {
            shared,
            asked,
            head: Some(head),
            out,
            order: OrderId(0),
            seq: Seq(0),
            withdrawn: false,
            events: 0,
            held: None,
            next: None,
        }
    }

    /// Serves the request.
    pub(crate) async fn run(mut self) {
        let mut tasks = match self.submit().await {
            Ok(tasks) => tasks,
            Err(refusal) => return self.fail(&refusal).await,
        };
        loop {
            let task = match self.next.take() {
                Some(task) => task,
                None => self.told(&mut tasks).await,
            };
            match task {
                Task::Call { attempt, leg, kind, vessel } => {
                    self.work(&mut tasks, (attempt, leg), kind, vessel).await;
                }
                // The leg that was to stop has been reported meanwhile.
                Task::Stop => {}
                Task::Ended { end } => return self.end(end).await,
            }
        }
    }

    /// Has the exchange decide on the request.
    async fn submit(&mut self) -> Result<Tasks, Refusal> {
        let stopped = || Refusal::new(Kind::Overloaded, "the exchange is stopping");
        let answer = self.ask(Command::Submit(self.asked.demand.clone())).await?;
        self.seq = answer.seq;
        for event in &answer.events {
            match event {
                Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) => {
                    self.order = *order;
                    return self.shared.board.claim(*order).ok_or_else(stopped);
                }
                Event::Workflow(
                    workflow::Event::OrderRefused { refusal, .. }
                    | workflow::Event::CommandRefused { refusal },
                ) => return Err(Refusal::of(refusal, self.shared.clock.now())),
                _ => {}
            }
        }
        Err(stopped())
    }

    /// Says something to the exchange and awaits that it is durable.
    async fn ask(&self, command: Command) -> Result<Answer, Refusal> {
        let gone = || Refusal::new(Kind::Overloaded, "the exchange has stopped");
        let (told, answer) = oneshot::channel();
        let offered = self.shared.offer(command, Urgency::Now, Box::new(Waits(told)));
        offered.map_err(|error| match error {
            CallError::Full => {
                Refusal::new(Kind::Overloaded, "too many requests wait to be decided on")
            }
            CallError::Stopped => gone(),
            CallError::Unrecordable(error) => Refusal::new(Kind::Invalid, error.to_string()),
        })?;
        answer.await.map_err(|_| gone())
    }

    /// The same of what has to be heard: while the queue is full it is said again.
    async fn report(&self, command: Command, urgency: Urgency) {
        loop {
            let (told, answer) = oneshot::channel();
            match self.shared.offer(command.clone(), urgency, Box::new(Waits(told))) {
                Ok(()) => {
                    let _ = answer.await;
                    return;
                }
                Err(CallError::Full) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => return,
            }
        }
    }

    /// The next thing to be done. A client that hangs up meanwhile withdraws its order.
    async fn told(&mut self, tasks: &mut Tasks) -> Task {
        loop {
            tokio::select! {
                task = tasks.recv() => {
                    // The sequencer has stopped: what is held has not been settled.
                    return task.unwrap_or_else(|| {
                        self.held = None;
                        Task::Ended { end: End::Failed }
                    });
                }
                () = self.out.closed(), if !self.withdrawn => self.withdraw().await,
            }
        }
    }

    /// Says that nobody waits for the order any more; while the queue is full it is said again.
    async fn withdraw(&mut self) {
        let cancel = Command::Cancel { order: self.order };
        match self.shared.offer(cancel, Urgency::Now, Box::new(Nobody)) {
            Err(CallError::Full) => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => self.withdrawn = true,
        }
    }

    /// Has a vessel work a leg, and reports what becomes of it.
    async fn work(
        &mut self,
        tasks: &mut Tasks,
        (attempt, number): (u16, u8),
        kind: LegKind,
        vessel: VesselId,
    ) {
        let begun = Instant::now();
        let mut leg = Leg { attempt, number, begun, tokens_out: 0 };
        let outcome = match kind {
            // The way there is that of the call itself.
            LegKind::Hop => Some(done(0, 0, Micros::ZERO)),
            // What a vessel has made of a prompt cannot be handed to another one over these APIs.
            LegKind::Prefill | LegKind::Decode => Some(Outcome::Failed(Fault::Rejected)),
            // Bytes have left that another attempt cannot take back.
            LegKind::Whole if self.head.is_none() => Some(Outcome::Failed(Fault::Rejected)),
            LegKind::Whole => self.call(tasks, vessel, &mut leg).await,
        };
        let order = self.order;
        match outcome {
            Some(outcome) => {
                let leg = number;
                let report = Command::ReportLeg { order, attempt, leg, outcome };
                self.report(report, Urgency::Now).await;
            }
            // The exchange has already seen it end.
            None if self.next.is_some() => {}
            // It was told to stop: its connection is closed by now.
            None => {
                // Of what has been heard nothing of it is reckoned by the time that it took.
                let (asked, elapsed) = (&self.asked.demand, elapsed(begun));
                let [read, made] = self.shared.worked(vessel, asked.tokens_in, elapsed);
                let (tokens_in, tokens_out) = match leg.tokens_out {
                    0 if self.asked.streams => (read, Tokens::ZERO),
                    0 => (read, made.min(asked.tokens_out_max)),
                    counted => (asked.tokens_in, Tokens(counted)),
                };
                let usage = Usage { tokens_in, tokens_out, ..Usage::NONE };
                let report = Command::ReportStop { order, attempt, leg: number, usage };
                self.report(report, Urgency::Soon).await;
            }
        }
    }

    /// What became of a call; `None` where it is to be worked no more.
    async fn call(
        &mut self,
        tasks: &mut Tasks,
        vessel: VesselId,
        leg: &mut Leg,
    ) -> Option<Outcome> {
        let shared = Arc::clone(&self.shared);
        let Some(address) = shared.address(vessel) else {
            return Some(Outcome::Failed(Fault::Error));
        };
        let url = format!("{address}{}", self.asked.dialect.path());
        let body = Bytes::copy_from_slice(&self.asked.forward.body);
        let headers = self.asked.headers.clone();
        let begun = tokio::select! {
            begun = shared.vessels.ask(&url, &headers, body) => begun,
            task = self.told(tasks) => return self.interrupted(task),
        };
        let Some(begun) = begun else { return Some(Outcome::Failed(Fault::Error)) };
        let fault = begun.fault();
        if fault.is_none() && self.asked.streams {
            return self.stream(tasks, leg, begun).await;
        }
        let (status, headers) = (begun.status, kind_of(&begun.headers));
        let body = tokio::select! {
            body = begun.whole() => body,
            task = self.told(tasks) => return self.interrupted(task),
        };
        // What is the client's fault is told in the vessel's own words.
        let tell = fault.is_none_or(|fault| fault == Fault::Rejected);
        let Some(body) = body.filter(|_| tell) else {
            return Some(Outcome::Failed(fault.unwrap_or(Fault::Error)));
        };
        let answer = Answered::whole(self.asked.dialect, &body);
        self.held = Some(Held::Whole { status, headers, body });
        Some(match (fault, answer.end()) {
            (Some(fault), _) => Outcome::Failed(fault),
            (None, AnswerEnd::Done) => self.done(&answer, elapsed(leg.begun)),
            // An error, or no answer at all, though the status says that it is one.
            (None, _) => {
                self.held = None;
                Outcome::Failed(Fault::Error)
            }
        })
    }

    /// Passes a stream on as it comes, but for its end.
    async fn stream(&mut self, tasks: &mut Tasks, leg: &mut Leg, begun: Begun) -> Option<Outcome> {
        let (headers, mut body) = (kind_of(&begun.headers), begun.body);
        let mut events = Events::new(EVENT_MOST);
        let mut answer = Answered::new(self.asked.dialect);
        let (mut first_token, mut early, mut last) = (Micros::ZERO, Vec::new(), None);
        let broken = Some(Outcome::Failed(Fault::Error));
        while last.is_none() {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                task = self.told(tasks) => return self.interrupted(task),
            };
            let ended = frame.is_none();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => events.feed(&data),
                Some(Ok(Err(_))) => continue,
                Some(Err(_)) => return broken,
                None => events.end(),
            }
            while last.is_none() {
                let event = match events.next_event() {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(_) => return broken,
                };
                let seen = answer.see(&event);
                self.events = answer.events();
                leg.tokens_out = answer.usage(0).tokens_out;
                if seen == Seen::First {
                    first_token = elapsed(leg.begun);
                    let (order, attempt, leg) = (self.order, leg.attempt, leg.number);
                    let report = Command::ReportFirstToken { order, attempt, leg };
                    // It rides along: no piece waits for it. One that the queue has no place for is not missed.
                    let _ = self.shared.offer(report, Urgency::Soon, Box::new(Nobody));
                }
                let piece = match self.asked.forward.added.clean(&event) {
                    Cleaned::Same => Bytes::from(event.raw),
                    Cleaned::Changed(bytes) => Bytes::from(bytes),
                    Cleaned::Dropped => continue,
                };
                match seen {
                    Seen::Failed => return broken,
                    // Whatever comes behind it is nobody's.
                    Seen::Done => last = Some(piece),
                    // Until there is a token another vessel may still be asked.
                    _ if !answer.has_begun() && early.len() < EARLY_MOST => early.push(piece),
                    _ => {
                        early.push(piece);
                        self.begin(StatusCode::OK, headers.clone(), None);
                        if let Some(task) = self.send(tasks, &mut early).await {
                            return self.interrupted(task);
                        }
                    }
                }
            }
            if ended && last.is_none() {
                return broken;
            }
        }
        self.begin(StatusCode::OK, headers, None);
        self.held = Some(Held::Last(early.into_iter().chain(last).collect()));
        Some(self.done(&answer, first_token))
    }

    /// Sends pieces as fast as the client takes them; what is to be done meanwhile, if anything is.
    async fn send(&mut self, tasks: &mut Tasks, pieces: &mut Vec<Bytes>) -> Option<Task> {
        for piece in pieces.drain(..) {
            let out = self.out.clone();
            tokio::select! {
                // One that has hung up is seen to be gone, and withdraws.
                _ = out.send(piece) => {}
                task = self.told(tasks) => return Some(task),
            }
        }
        None
    }

    /// What is told of an answer: the vessel's numbers, or an estimate where it gave none.
    fn done(&self, answer: &Answered, first_token: Micros) -> Outcome {
        let usage = answer.usage(self.asked.demand.tokens_in.0);
        done(usage.tokens_out, usage.cached, first_token)
    }

    /// Something is to be done about the order while a leg is being worked, which ends with it.
    fn interrupted(&mut self, task: Task) -> Option<Outcome> {
        self.next = Some(task).filter(|task| *task != Task::Stop);
        None
    }

    /// Tells what an order has come to.
    async fn end(mut self, end: End) {
        match (end, self.held.take()) {
            (_, Some(Held::Whole { status, headers, body })) => {
                self.begin(status, headers, Some(body));
            }
            (End::Completed, Some(Held::Last(pieces))) => {
                for piece in pieces {
                    let _ = self.out.send(piece).await;
                }
            }
            (End::Expired, _) => {
                let late = Refusal::new(Kind::TimedOut, "the request was not served in time");
                self.fail(&late).await;
            }
            _ => {
                let failed = "no vessel has served the request, as often as it was tried";
                self.fail(&Refusal::new(Kind::Internal, failed)).await;
            }
        }
    }

    /// Tells what went wrong: as an answer of its own, or as the end of a stream that has begun.
    async fn fail(&mut self, refusal: &Refusal) {
        let dialect = self.asked.dialect;
        if self.head.is_none() {
            let _ = self.out.send(Bytes::from(refusal.event(dialect, self.events))).await;
            return;
        }
        let (status, headers, body) = refusal.whole(dialect);
        self.begin(status, headers, Some(Bytes::from(body)));
    }

    /// Begins the answer, unless it has begun: with where it is to be found in the journal.
    fn begin(&mut self, status: StatusCode, mut headers: HeaderMap, whole: Option<Bytes>) {
        let Some(head) = self.head.take() else { return };
        self.shared.sign(&mut headers, self.order, self.seq);
        let _ = head.send(Head { status, headers, whole });
    }
}

fn done(tokens_out: u64, cached: u64, first_token: Micros) -> Outcome {
    let (tokens_out, cached) = (Tokens(tokens_out), Tokens(cached));
    Outcome::Done { tokens_out, cached, first_token, energy: Millijoules::ZERO }
}

fn elapsed(since: Instant) -> Micros {
    Micros(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// What of a vessel's head is passed on: what its body is.
fn kind_of(headers: &HeaderMap) -> HeaderMap {
    let kept: [HeaderName; 1] = [header::CONTENT_TYPE];
    let found =
        kept.into_iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    found.collect()
}
