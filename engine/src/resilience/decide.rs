//! What failures lead to: a circuit breaker before each vessel, and retries that wait ever longer.

use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{Micros, OrderId, Ppm, VesselId};
use crate::resilience::rows::Breaker;
use crate::resilience::words::Event;
use crate::transaction::Transaction;

/// Trips the breaker of a vessel that has failed too often, in a row or of its calls lately, or whose
/// probe failed; unless too many of those that could stand in for it are cut off already.
pub(crate) fn trip_if_due(tx: &mut Transaction, vessel: VesselId, dispatched: Micros) {
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return };
    let Some(load) = state.tables.loads.get(vessel) else { return };
    let (rule, now, failures) = (&policy.breaker, tx.now(), load.failures);
    let failing = load.outcomes.failing(now, rule.window, rule.calls);
    let due = match load.breaker {
        Breaker::Closed => {
            let row = rule.failures > 0 && failures >= rule.failures;
            let share = rule.failing > Ppm::ZERO && failing >= rule.failing;
            let vessel = state.tables.vessels.get(vessel);
            let may = |manifest| state.index.parties.may_cut_off(manifest, rule.cut_off);
            (row || share) && vessel.is_some_and(|row| may(&row.manifest))
        }
        Breaker::Open => false,
        Breaker::Probing => load.turned <= dispatched,
    };
    if !due {
        return;
    }
    let soon = load.breaker == Breaker::Probing || now <= load.turned + rule.open_max;
    let trips = if soon { load.trips.saturating_add(1) } else { 1 };
    let span = rule.open.0.saturating_mul(1u64 << trips.saturating_sub(1).min(32));
    let until = now + Micros(span.min(rule.open_max.0));
    tx.emit(Event::BreakerOpened { vessel, failures, failing, trips, until });
}

/// Lets probes pass when an open breaker's time is up.
pub(crate) fn probe_if_due(tx: &mut Transaction, vessel: VesselId) {
    let tables = &tx.state().tables;
    let due = tables
        .loads
        .get(vessel)
        .is_some_and(|load| load.breaker == Breaker::Open && load.retry_at <= tx.now());
    if due {
        let probes = tx.state().policy().map_or(1, |(_, policy)| policy.breaker.probes);
        tx.emit(Event::BreakerProbing { vessel, probes });
        tx.note_vessel(vessel);
    }
}

/// Closes the breaker of a vessel whose probes have succeeded.
pub(crate) fn close_if_probed(tx: &mut Transaction, vessel: VesselId) {
    let load = tx.state().tables.loads.get(vessel);
    if load.is_some_and(|load| load.breaker == Breaker::Probing && load.probes == 0) {
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
