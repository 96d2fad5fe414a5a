//! Who may submit how fast, and who waits before whom.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371): one moment a tenant. Waiting
//! orders stand in lanes, one a model and class, first come first; between the classes the one goes
//! first whose head has waited longest beyond the patience of its class, so that no class starves.

use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{Micros, OrderId};
use crate::models::rows::Tenant;
use crate::queue::index::Lane;
use crate::queue::words::{Event, Refusal as Queue};
use crate::refusal::Refusal;
use crate::state::State;
use crate::telemetry::rows::Account;
use crate::transaction::Transaction;

/// The tenant's next theoretical arrival time, if its rate lets an order pass at `now`.
pub(crate) fn pass(tenant: &Tenant, account: &Account, now: Micros) -> Result<Micros, Refusal> {
    if tenant.rate == 0 {
        return Ok(account.arrival);
    }
    // Rounded up: rounded down, two of three microseconds would let half as many again pass.
    let interval = Micros::SECOND.0.div_ceil(u64::from(tenant.rate));
    let tolerance = interval.saturating_mul(u64::from(tenant.burst.saturating_sub(1)));
    let retry_at = account.arrival - Micros(tolerance);
    if now < retry_at {
        return Err(Queue::RateLimited { retry_at }.into());
    }
    Ok(account.arrival.max(now) + Micros(interval))
}

/// Refuses when no further order may wait.
pub(crate) fn check_room(state: &State) -> Result<(), Refusal> {
    let max = state.limits().map_or(0, |limits| u64::from(limits.queued));
    let queued = state.waiting().map_or(0, |waiting| waiting.queued);
    if queued >= max { Err(Config::Full { bound: Bound::Queue, max }.into()) } else { Ok(()) }
}

/// Has an order wait.
pub(crate) fn enqueue(tx: &mut Transaction, order: OrderId) {
    let Some(waiting) = tx.state().waiting() else { return };
    let (ticket, ahead) = (waiting.tickets.saturating_add(1), waiting.queued);
    tx.emit(Event::OrderQueued { order, ticket, ahead });
}

/// Leaves those who wait to another record, which is due at once.
pub(crate) fn defer(tx: &mut Transaction) {
    let at = tx.now();
    tx.emit(Event::ServiceDeferred { at });
}

/// Takes up what was left: whoever waits may be served.
pub(crate) fn resume(tx: &mut Transaction) {
    tx.emit(Event::ServiceResumed);
    let lanes: alloc::vec::Vec<Lane> = tx.state().index.lanes.keys().copied().collect();
    lanes.into_iter().for_each(|lane| tx.note_lane(lane));
}

/// When the head of a lane is due, and who it is: among several lanes the least goes first.
pub(crate) fn head(state: &State, lane: Lane) -> Option<(Micros, u64, Lane, OrderId)> {
    let (ticket, order) = state.index.lanes.get(&lane)?.front().copied()?;
    let patience = state.policy()?.1.patience.get(lane.1 as usize).copied()?;
    Some((state.order(order)?.queued + patience, ticket, lane, order))
}
