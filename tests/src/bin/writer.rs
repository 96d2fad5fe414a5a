//! Writes a journal until somebody kills it: `writer DIR`.
//!
//! Several clients keep an exchange busy through one sequencer. A record is printed, with its number
//! and events, once its caller was told that it is durable, and never before.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;
use tensorforge_engine::Effect;
use tensorforge_engine::command::{ANYWHERE, Command};
use tensorforge_engine::models::{Class, Demand, Kind};
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Millijoules, ModelId, TenantId, Tokens};
use tensorforge_engine::workflow;
use tensorforge_engine::workflow::Outcome;
use tensorforge_fleet::{Fleet, Trace, parse_policy};
use tensorforge_journal::sequencer::CallError;
use tensorforge_journal::{Client, JournalError, Ledger, LedgerError, ReplayError, Sequencer};
use tensorforge_tests::small_segments;

const CLIENTS: u64 = 3;

fn main() {
    let dir = std::env::args().nth(1).expect("a directory");
    let ledger = open(Path::new(&dir)).expect("a journal");
    let written = usize::try_from(ledger.records()).expect("few records");
    let clock = AtomicU64::new(ledger.state().now().0);
    let externals = AtomicU64::new(ledger.records());
    let (_sequencer, client) = Sequencer::start(ledger, 64).expect("a sequencer");
    for command in setup().into_iter().skip(written) {
        tell(&client, Micros::ZERO, Source::OPERATOR, command).expect("an answer");
    }
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, clock, externals) = (client.clone(), &clock, &externals);
            scope.spawn(move || keep_busy(&client, number, clock, externals));
        }
        // Whatever nobody reports on, since its caller was killed, times out.
        while tell(
            &client,
            tick(&clock),
            Source::OPERATOR,
            Command::Workflow(workflow::Command::Advance),
        )
        .is_ok()
        {}
    });
}

fn open(dir: &Path) -> Result<Ledger, LedgerError> {
    match Ledger::open(dir, small_segments()) {
        Err(LedgerError::Replay(ReplayError::Journal(JournalError::NotAJournal { .. }))) => {
            Ledger::create(dir, JournalId(*b"writer's journal"), small_segments())
        }
        opened => opened.map(|(ledger, _)| ledger),
    }
}

fn setup() -> Vec<Command> {
    let fleet = include_str!("../../../fixtures/fleets/four-vessels.toml");
    let fleet = Fleet::parse("four-vessels", fleet).expect("a fleet");
    let trace = "{\"tensorforge_trace\":1,\"name\":\"t\",\"block_tokens\":512}\n\
        {\"at\":0,\"tenant\":\"kelp\",\"tokens_in\":1,\"tokens_out\":1}\n";
    let trace = Trace::parse("t", "t", trace.as_bytes(), None).expect("a trace");
    fleet.setup_commands(&trace, &parse_policy("p", "").expect("a policy"))
}

fn tick(clock: &AtomicU64) -> Micros {
    Micros(clock.fetch_add(50_000, Ordering::Relaxed))
}

/// Submits orders and reports on every leg that it is told to have worked.
fn keep_busy(client: &Client, number: u64, clock: &AtomicU64, externals: &AtomicU64) {
    let mut work = VecDeque::new();
    loop {
        let (source, command) = match work.pop_front() {
            Some(report) => (Source::OPERATOR, report),
            None => {
                let external = externals.fetch_add(1, Ordering::Relaxed);
                (
                    Source::tenant(TenantId(0)),
                    Command::Workflow(workflow::Command::Submit(demand(number, external))),
                )
            }
        };
        let Ok(effects) = tell(client, tick(clock), source, command) else { return };
        work.extend(effects.iter().filter_map(report));
    }
}

fn demand(client: u64, external: u64) -> Demand {
    Demand {
        external,
        model: ModelId(0),
        origin: ANYWHERE,
        kind: Kind::Inference,
        class: Class::Standard,
        tokens_in: Tokens(100 + client),
        tokens_out_max: Tokens(64),
        deadline: Micros::ZERO,
        limit: 0,
        idempotency: 0,
        prefix: Vec::new(),
        window: None,
    }
}

fn report(effect: &Effect) -> Option<Command> {
    let Effect::Call { order, attempt, leg, .. } = effect else { return None };
    let (order, attempt, leg) = (*order, *attempt, *leg);
    let outcome = Outcome::Done {
        tokens_out: Tokens(order.0 % 64),
        cached: Tokens::ZERO,
        first_token: Micros(900),
        energy: Millijoules(77),
    };
    Some(Command::Workflow(workflow::Command::ReportLeg { order, attempt, leg, outcome }))
}

/// Sends a command, waits until its record is durable, and says so in one line.
fn tell(
    client: &Client,
    time: Micros,
    source: Source,
    command: Command,
) -> Result<Vec<Effect>, CallError> {
    let answer = client.call(time, source, command)?;
    let line = format!("{}\n", json!({ "seq": answer.seq, "events": answer.events }));
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("somebody who reads");
    Ok(answer.effects)
}
