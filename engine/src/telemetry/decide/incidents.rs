//! What is wrong with the exchange, how bad it is, and whether somebody is told.

use crate::event::Event as Any;
use crate::kernel::units::{Micros, Ppm, Seq};
use crate::refusal::Refusal;
use crate::state::State;
use crate::telemetry::rows::{Concern, Incident, Notice, Severity};
use crate::telemetry::words::{Event, Refusal as Telemetry};
use crate::transaction::Transaction;

/// The longest that something may be silenced at once.
const SILENCE_MOST: Micros = Micros(604_800_000_000);

/// The most bytes of events that one look makes: the end of a silence, what is seen, and what comes of it.
pub(crate) const BYTES: usize = 3 * Concern::COUNT as usize * Any::BYTES_MAX;

/// Has nobody told of something until then; at once again if that is not ahead.
pub(crate) fn silence(
    tx: &mut Transaction,
    concern: Concern,
    until: Micros,
) -> Result<(), Refusal> {
    let now = tx.now();
    if until > now {
        let (asked, max) = (until - now, SILENCE_MOST);
        if asked > max {
            return Err(Telemetry::SilenceTooLong { asked, max }.into());
        }
        tx.emit(Event::IncidentSilenced { concern, until });
        return Ok(());
    }
    if !of(tx.state(), concern).is_silenced() {
        return Err(Telemetry::NotSilenced { concern }.into());
    }
    end_silence(tx, concern);
    Ok(())
}

/// Tells of whatever is found to be worse or better than it was told to be, if that has lasted; and of what is open once its
/// silence is over. What ends is told last, so that an outage in which one thing leads to another is one.
pub(crate) fn look(tx: &mut Transaction, found: impl Fn(Concern) -> Ppm) {
    for concern in Concern::ALL {
        let row = of(tx.state(), *concern);
        if row.is_silenced() && row.silenced_until <= tx.now() {
            end_silence(tx, *concern);
        }
    }
    for concern in Concern::ALL {
        see(tx, *concern, found(*concern));
    }
    for concern in Concern::ALL {
        resolve(tx, *concern, found(*concern));
    }
}

/// What is known of a concern.
fn of(state: &State, concern: Concern) -> Incident {
    state.tables.incidents.get(concern).copied().unwrap_or(Incident::NONE)
}

/// How severe a concern is to be told to be, if the policy says so.
fn lasting(state: &State, concern: Concern, row: &Incident) -> Option<Severity> {
    let (_, policy) = state.policy()?;
    row.lasting(&policy.incidents, concern, state.now())
}

fn see(tx: &mut Transaction, concern: Concern, found: Ppm) {
    let state = tx.state();
    let (row, Some((_, policy))) = (of(state, concern), state.policy()) else { return };
    let severity = policy.incidents.severity(concern, found, row.severity);
    if severity != row.seen {
        tx.emit(Event::IncidentSeen { concern, severity, found });
    }
    let state = tx.state();
    let row = of(state, concern);
    let Some(severity) = lasting(state, concern, &row) else { return };
    if Some(severity) != row.severity {
        let group = outage(state).unwrap_or(tx.stamp().seq);
        let notice = notice(state, &row, group, severity);
        let from = row.severity;
        tx.emit(Event::IncidentRaised { concern, from, severity, found, group, notice });
    }
}

fn resolve(tx: &mut Transaction, concern: Concern, found: Ppm) {
    let state = tx.state();
    let row = of(state, concern);
    if row.severity.is_none() || lasting(state, concern, &row).is_some() {
        return;
    }
    let mut rows = state.tables.incidents.iter();
    let notice = if rows.any(|(other, row)| other != concern && row.severity.is_some()) {
        Notice::Known
    } else if told(state, row.group).is_some() {
        // Whoever was told that it began is told that it is over, whatever is silenced by then.
        Notice::Told
    } else {
        Notice::Silenced
    };
    drop(rows);
    let (group, lasted) = (row.group, tx.now() - row.raised_at);
    tx.emit(Event::IncidentResolved { concern, found, group, lasted, notice });
}

fn end_silence(tx: &mut Transaction, concern: Concern) {
    let state = tx.state();
    let row = of(state, concern);
    let (severity, group) = (row.severity, row.group);
    let heard = Incident { silenced_until: Micros::ZERO, ..row };
    let notice = severity.map_or(Notice::Known, |severity| notice(state, &heard, group, severity));
    tx.emit(Event::SilenceEnded { concern, severity, group, notice });
}

/// The outage that there is: that of whatever is open.
fn outage(state: &State) -> Option<Seq> {
    let mut open = state.tables.incidents.iter().filter(|(_, row)| row.severity.is_some());
    open.next().map(|(_, row)| row.group)
}

/// The most severe that somebody was told of an outage.
pub(crate) fn told(state: &State, group: Seq) -> Option<Severity> {
    let rows = state.tables.incidents.iter().filter(|(_, row)| row.group == group);
    rows.filter_map(|(_, row)| row.told).max()
}

/// Whether somebody is told that something of an outage is so severe.
fn notice(state: &State, row: &Incident, group: Seq, severity: Severity) -> Notice {
    if row.is_silenced() {
        Notice::Silenced
    } else if Some(severity) > told(state, group) {
        Notice::Told
    } else {
        Notice::Known
    }
}
