//! The live exchange: a gateway between clients, one sequencer and vessels.
//!
//! A request becomes an order. Its submission is decided and durable before a vessel is called; what becomes of the call is
//! reported, and the end of the answer waits until the order has been settled durably. So every answer is found in the
//! journal, which replays, verifies and explains like any that was captured. Prompts never enter it: their length does, and
//! salted hashes of their beginnings, by which a vessel is found that has worked them before.

#![forbid(unsafe_code)]

mod body;
mod config;
mod demo;
mod desk;
mod gateway;
mod refusal;
mod shared;
mod vessel;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, OrderId, TenantId};
use tensorforge_engine::{Event, workflow};
use tensorforge_fleet::{Fleet, parse_policy};
use tensorforge_journal::sequencer::{Options, Sequencer};
use tensorforge_journal::{
    Client, Closed, JournalError, Ledger, LedgerError, LedgerOptions, ReplayError,
};
use tensorforge_wire::{Measure, Salt};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use crate::config::Config;
use crate::config::drawn;
use crate::desk::Board;
use crate::shared::{BLOCK_TOKENS, Clock, Shared};
use crate::vessel::Vessels;

/// How long requests that are under way may take to end once the exchange is to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// How long those may take to be settled then who have hung up.
const SETTLE: Duration = Duration::from_secs(3);

/// A snapshot is taken every so many records, so that a restart is quick.
const SNAPSHOT_EVERY: u64 = 65_536;

/// The most tokens of an answer where the client does not say.
const USUAL_TOKENS: u64 = 1_024;

/// How prompts are cut into blocks.
const BLOCK: NonZeroU32 = NonZeroU32::new(BLOCK_TOKENS as u32).unwrap();

/// Why an exchange does not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Its configuration is at fault.
    #[error("{}: {fault}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Its journal was begun with another fleet.
    #[error("{}: the journal was begun with other {what} than the configuration names", data.display())]
    OtherFleet {
        /// The journal.
        data: PathBuf,
        /// What is different.
        what: &'static str,
    },
    /// The exchange refuses what it is set up with.
    #[error("the exchange refuses the configuration: {0}")]
    Refused(String),
    /// Its journal.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The network, or the system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What came of it.
        source: io::Error,
    },
}

impl ServeError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::OtherFleet { .. } => {
                Some("give another `data` folder, or the fleet file that it was begun with".into())
            }
            Self::Ledger(error) => error.help(),
            Self::Config { .. } | Self::Refused(_) | Self::System { .. } => None,
        }
    }
}

/// What is told once clients are heard.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where.
    pub address: SocketAddr,
    /// In which journal.
    pub journal: JournalId,
    /// How many records it held.
    pub records: u64,
    /// The models that are served.
    pub models: Vec<String>,
}

/// What a demonstration is made of: two vessels that are built in.
pub fn demo(data: PathBuf, listen: SocketAddr) -> Result<Config, ServeError> {
    let refused = |error: &dyn std::fmt::Display| ServeError::Refused(error.to_string());
    let fleet = Fleet::parse("demo", include_str!("demo.toml")).map_err(|error| refused(&error))?;
    let policy = parse_policy("default", "").map_err(|error| refused(&error))?;
    Ok(Config { listen, data, fleet, policy, tenant: "demo".into(), salt: drawn(), vessels: None })
}

/// Ends once the process is told to: by an interrupt, or to terminate.
pub async fn told_to_stop() {
    let heeded = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate)] = heeded else {
        return std::future::pending().await;
    };
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
}

/// Serves until `stop` ends, and then until all that is under way has ended, or has had its time; then closes the journal.
/// `told` hears when clients are heard.
pub fn serve(
    config: Config,
    told: impl FnOnce(&Started),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Closed, ServeError> {
    let ledger = open(&config)?;
    let clock = Clock::not_before(ledger.state().now());
    let board = Board::default();
    let began = (ledger.state().journal(), ledger.records());
    let options = Options {
        clock: Some(Box::new(move || clock.now())),
        desk: Some(Box::new(board.teller())),
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(system("starting the runtime"))?;
    let (sequencer, client) = Sequencer::with(ledger, options).map_err(LedgerError::from)?;
    let served = runtime.block_on(hear(config, (client, board, clock), began, told, stop));
    // With it go all tasks, and with them everybody who could say anything to the sequencer.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let closed = sequencer.finish()?;
    served.map(|()| closed)
}

async fn hear(
    config: Config,
    (client, board, clock): (Client, Board, Clock),
    (journal, records): (JournalId, u64),
    told: impl FnOnce(&Started),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let addresses = match config.vessels {
        Some(addresses) => addresses,
        None => built_in(&config.fleet).await?,
    };
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(system(&format!("listening on {}", config.listen)))?;
    let address = listener.local_addr().map_err(system("asking for the address"))?;
    let models = config.fleet.models.clone();
    let paces = config.fleet.vessels.iter().map(|vessel| {
        let manifest = &vessel.manifest;
        [manifest.prefill_per_kilotoken, manifest.decode_per_token]
    });
    let paces = paces.collect();
    told(&Started { address, journal, records, models: models.clone() });
    let shared = Arc::new(Shared {
        client,
        board: board.clone(),
        clock,
        vessels: Vessels::new(),
        addresses,
        models,
        tenant: TenantId(0),
        journal,
        paces,
        measure: Measure { salt: Salt::new(config.salt), block_tokens: BLOCK },
        usual_tokens: USUAL_TOKENS,
    });
    let (stopping, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        let _ = stopping.send(true);
    });
    let mut seen = stopped.clone();
    // Pieces are small, and are sent as they come.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let server =
        axum::serve(listener, gateway::routes(shared)).with_graceful_shutdown(async move {
            let _ = seen.wait_for(|stop| *stop).await;
        });
    let late = async {
        let _ = stopped.wait_for(|stop| *stop).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server.into_future() => served.map_err(system("serving"))?,
        () = late => {}
        () = board.stopped() => {}
    }
    // Those who have hung up are settled still.
    let settled = async {
        while board.len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(SETTLE, settled).await;
    Ok(())
}

fn system(what: &str) -> impl FnOnce(io::Error) -> ServeError {
    let what = what.to_owned();
    move |source| ServeError::System { what, source }
}

/// The vessels that are built in, each at the pace that the fleet gives it.
async fn built_in(fleet: &Fleet) -> Result<Vec<String>, ServeError> {
    let mut addresses = Vec::new();
    for vessel in &fleet.vessels {
        let model = vessel.manifest.models.first().and_then(|id| fleet.models.get(id.0 as usize));
        let pace = demo::Pace {
            prefill_per_kilotoken: Duration::from_micros(vessel.manifest.prefill_per_kilotoken.0),
            decode_per_token: Duration::from_micros(vessel.manifest.decode_per_token.0),
        };
        let address = demo::start(model.map_or("", String::as_str), pace).await;
        let address = address.map_err(system("starting a vessel that is built in"))?;
        addresses.push(format!("http://{address}"));
    }
    Ok(addresses)
}

/// The journal, begun or gone on with.
fn open(config: &Config) -> Result<Ledger, ServeError> {
    let rehearsed = config.fleet.rehearse(&[&config.tenant], &config.policy);
    rehearsed.map_err(|error| ServeError::Refused(error.to_string()))?;
    let options = LedgerOptions { snapshot_every: SNAPSHOT_EVERY, ..LedgerOptions::default() };
    let mut ledger = match Ledger::open(&config.data, options.clone()) {
        Err(LedgerError::Replay(ReplayError::Journal(JournalError::NotAJournal { .. }))) => {
            Ledger::create(&config.data, JournalId(drawn()), options)?
        }
        opened => opened?.0,
    };
    let clock = Clock::not_before(ledger.state().now());
    let setup = config.fleet.setup_commands_for(&[&config.tenant], &config.policy);
    let told = usize::try_from(ledger.records()).unwrap_or(usize::MAX);
    for command in setup.iter().skip(told) {
        record(&mut ledger, clock, command)?;
    }
    check_fleet(config, &ledger)?;
    // Whoever waited for an order of an earlier run is gone, and nobody has worked for him since: so it is said as of the last
    // moment that the journal knows.
    let last = Clock::standing(ledger.state().now());
    let live: Vec<OrderId> = ledger.state().tables.orders.iter().map(|(_, row)| row.id).collect();
    for order in live {
        record(&mut ledger, last, &Command::Workflow(workflow::Command::Cancel { order }))?;
    }
    Ok(ledger)
}

fn record(ledger: &mut Ledger, clock: Clock, command: &Command) -> Result<(), ServeError> {
    let events = ledger.record(clock.now(), Source::OPERATOR, command)?;
    match events {
        [Event::Workflow(workflow::Event::CommandRefused { refusal })] => {
            Err(ServeError::Refused(refusal.to_string()))
        }
        _ => Ok(()),
    }
}

/// A journal's vessels and models are known by their numbers, which have to mean the same still.
fn check_fleet(config: &Config, ledger: &Ledger) -> Result<(), ServeError> {
    let tables = &ledger.state().tables;
    let other = |what| ServeError::OtherFleet { data: config.data.clone(), what };
    let vessels = tables.vessels.iter().map(|(_, row)| &row.name);
    if !vessels.eq(config.fleet.vessels.iter().map(|vessel| &vessel.name)) {
        return Err(other("vessels"));
    }
    if !tables.tenants.iter().map(|(_, row)| &row.name).eq([&config.tenant]) {
        return Err(other("tenants"));
    }
    if !tables.models.iter().map(|(_, row)| &row.name).eq(&config.fleet.models) {
        return Err(other("models"));
    }
    Ok(())
}
