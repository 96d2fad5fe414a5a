//! `serve`: requests over HTTP become orders, and every decision about them is in a journal.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use tensorforge_journal::hex;
use tensorforge_live::{Config, ServeError, Started, demo, serve, told_to_stop};

use crate::args::ServeArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, grouped};

/// Where a demonstration is heard, and where its journal is.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8_120);
const DATA: &str = "demo.tfj";

pub(crate) fn run(args: &ServeArgs, as_json: bool) -> Result<Exit> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => demo(PathBuf::from(DATA), SocketAddr::from(LISTEN))?,
    };
    config.data = args.data.clone().unwrap_or(config.data);
    config.listen = args.listen.unwrap_or(config.listen);
    let data = config.data.display().to_string();
    let told = |started: &Started| {
        let journal = hex(&started.journal.0);
        if as_json {
            output::json(&json!({
                "address": started.address.to_string(),
                "data": data,
                "journal": journal,
                "records": started.records,
                "models": started.models,
            }));
            return;
        }
        let (models, address) = (started.models.join(", "), started.address);
        output::say(format!("serving {models} on http://{address}"));
        output::say(format!("journal {journal} in {data}, {} records", grouped(started.records)));
    };
    let closed = serve(config, told, told_to_stop())?;
    if !as_json {
        output::say(format!("closed {data} after {} records", grouped(closed.records)));
    }
    Ok(Exit::AsAsked)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Ledger(error) => error.into(),
            other => {
                let help = other.help();
                let failure = Self::input(other);
                match help {
                    Some(help) => failure.with_help(help),
                    None => failure,
                }
            }
        }
    }
}
