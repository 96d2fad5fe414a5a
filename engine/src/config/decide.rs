//! Which bounds may be set.

use crate::config::words::{Command, Event, Refusal as Config};
use crate::refusal::Refusal;
use crate::transaction::Transaction;

/// Sets the bounds, once.
pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Refusal> {
    let Command::Configure(limits) = command;
    if tx.state().limits().is_some() {
        return Err(Config::AlreadyConfigured.into());
    }
    if let Some(fault) = limits.faults().into_iter().next() {
        return Err(Config::Invalid { fault }.into());
    }
    tx.emit(Event::Configured(limits.clone()));
    Ok(())
}
