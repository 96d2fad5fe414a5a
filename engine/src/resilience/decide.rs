//! What failures lead to: a circuit breaker before each vessel, and retries that wait ever longer.

use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{Micros, OrderId, VesselId};
use crate::resilience::rows::Breaker;
use crate::resilience::words::Event;
use crate::transaction::Transaction;

/// Trips the breaker of a vessel that has failed too often in a row, or whose probe failed.
pub(crate) fn trip_if_due(tx: &mut Transaction, vessel: VesselId) {
    let Some((_, policy)) = tx.state().policy() else { return };
    let (limit, open) = (policy.breaker.failures, policy.breaker.open);
    let Some(load) = tx.state().tables.loads.get(vessel) else { return };
    let failures = load.failures;
    let due = match load.breaker {
        Breaker::Closed => limit > 0 && failures >= limit,
        Breaker::Open => false,
        Breaker::Probing => true,
    };
    if due {
        let until = tx.now() + open;
        tx.emit(Event::BreakerOpened { vessel, failures, until });
    }
}

/// Lets a probe pass when an open breaker's time is up.
pub(crate) fn probe_if_due(tx: &mut Transaction, vessel: VesselId) {
    let due = tx
        .state()
        .tables
        .loads
        .get(vessel)
        .is_some_and(|load| load.breaker == Breaker::Open && load.retry_at <= tx.now());
    if due {
        tx.emit(Event::BreakerProbing { vessel });
        tx.note_vessel(vessel);
    }
}

/// Closes the breaker of a vessel whose probe succeeded.
pub(crate) fn close_if_probing(tx: &mut Transaction, vessel: VesselId) {
    let probing =
        tx.state().tables.loads.get(vessel).is_some_and(|load| load.breaker == Breaker::Probing);
    if probing {
        tx.emit(Event::BreakerClosed { vessel });
    }
}

/// When an order that has failed is tried again; `None` once its attempts are used up, and where it
/// would expire before.
///
/// The wait doubles with each attempt up to its bound; a keyed draw takes off up to half of it, so
/// that orders that failed together do not come back together.
pub(crate) fn retry_at(tx: &Transaction, id: OrderId) -> Option<Micros> {
    let (_, policy) = tx.state().policy()?;
    let order = tx.state().order(id)?;
    if order.attempt >= policy.retry.attempts {
        return None;
    }
    let doublings = u32::from(order.attempt.saturating_sub(1)).min(32);
    let wait = policy.retry.backoff.0.saturating_mul(1u64 << doublings);
    let wait = wait.min(policy.retry.backoff_max.0);
    let draw = Draw::new(tx.state().journal(), tx.stamp().seq, id, Purpose::Jitter);
    let half = u32::try_from(wait / 2).unwrap_or(u32::MAX);
    let off = u64::from(draw.below(u64::from(order.attempt), half.saturating_add(1)));
    let at = tx.now() + Micros(wait.saturating_sub(off));
    (at < order.deadline).then_some(at)
}
