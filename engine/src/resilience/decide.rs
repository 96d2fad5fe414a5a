//! What failures lead to: a circuit breaker before each vessel, retries that wait ever longer and are no
//! more than a share of all attempts, and peace for who says that it has no room.

use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{Micros, OrderId, Ppm, Seq, VesselId};
use crate::models::rows::{Class, Order};
use crate::resilience::rows::{Breaker, RetryRule};
use crate::resilience::words::Event;
use crate::state::State;
use crate::transaction::Transaction;

/// What an order waits at least that is not tried again yet, since too many are.
const POSTPONED_MIN: Micros = Micros(100_000);

/// How often an order may be told that there is no room for it before that uses up its attempts.
pub(crate) const BOUNCES_MAX: u16 = 8;

/// Trips the breaker of a vessel that has failed or was slow too often, in a row or of its calls lately, or
/// whose probe was; unless too many of those that could stand in for it are cut off already.
pub(crate) fn trip_if_due(tx: &mut Transaction, vessel: VesselId, dispatched: Micros) {
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return };
    let Some(load) = state.tables.loads.get(vessel) else { return };
    let (rule, now, failures) = (&policy.breaker, tx.now(), load.failures);
    let failing = load.outcomes.failing(now, rule.window, rule.calls);
    let slow = load.outcomes.slow(now, rule.window, rule.calls);
    let due = match load.breaker {
        Breaker::Closed => {
            let row = rule.failures > 0 && failures >= rule.failures;
            let share = rule.failing > Ppm::ZERO && failing >= rule.failing
                || rule.slow > Ppm::ZERO && slow >= rule.slow;
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
    let until = now + Micros(doubled(rule.open, trips, rule.open_max));
    tx.emit(Event::BreakerOpened { vessel, failures, failing, slow, trips, until });
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

/// Leaves a vessel in peace that said it had no room: for longer each time, until it completes a leg.
pub(crate) fn pause(tx: &mut Transaction, vessel: VesselId) {
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return };
    let Some(load) = state.tables.loads.get(vessel).filter(|load| load.paused == Micros::ZERO)
    else {
        return;
    };
    let pauses = load.pauses.saturating_add(1);
    let rule = &policy.overload;
    let until = tx.now() + Micros(doubled(rule.pause, pauses, rule.pause_max));
    tx.emit(Event::VesselPaused { vessel, pauses, until });
}

/// Gives work again to a vessel that was left in peace.
pub(crate) fn resume(tx: &mut Transaction, vessel: VesselId) {
    tx.emit(Event::VesselResumed { vessel });
    tx.note_vessel(vessel);
}

/// So much at the first time, doubled at each further one, up to a bound.
fn doubled(first: Micros, times: u32, most: Micros) -> u64 {
    first.0.saturating_mul(1u64 << times.saturating_sub(1).min(32)).min(most.0)
}

/// The attempts that an order has used up. What had no room for it has used up none, but for an order that
/// nobody ever has room for: each time, a vessel is left in peace for it.
fn attempts(order: &Order) -> u16 {
    order.attempt.saturating_sub(order.bounced.min(BOUNCES_MAX))
}

/// When an order that has failed is tried again; `None` once its attempts are used up, where it would expire before, and
/// where its tenant has seen the first token already.
pub(crate) fn retry_at(tx: &Transaction, id: OrderId) -> Option<Micros> {
    let (_, policy) = tx.state().policy()?;
    let order = tx.state().order(id)?;
    let attempts = attempts(order);
    // Whoever reads along would see another answer begin.
    let seen = order.demand.class == Class::Interactive && order.first_token > Micros::ZERO;
    if seen || attempts >= policy.retry.attempts || order.attempt == u16::MAX {
        return None;
    }
    let at = tx.now() + wait(tx.state(), id, attempts, &policy.retry);
    (at < order.deadline).then_some(at)
}

/// How long an order waits after so many attempts.
fn wait(state: &State, id: OrderId, attempts: u16, rule: &RetryRule) -> Micros {
    let draw = Draw::new(state.journal(), Seq(0), id, Purpose::Jitter);
    jittered(&draw, attempts, rule.backoff, rule.backoff_max)
}

/// A wait after so many attempts: anything from the least to three times the wait
/// before (decorrelated jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
/// so that those that failed together do not come back together.
pub(crate) fn jittered(
    draw: &Draw,
    attempts: u16,
    Micros(least): Micros,
    Micros(most): Micros,
) -> Micros {
    let mut wait = least;
    // By the sixteenth it may be anything up to the most.
    for attempt in attempts.saturating_sub(15).max(1)..=attempts {
        let spread = wait.saturating_mul(3).min(most).saturating_sub(least);
        let bound = u32::try_from(spread.saturating_add(1)).unwrap_or(u32::MAX);
        wait = least.saturating_add(u64::from(draw.below(u64::from(attempt), bound)));
    }
    Micros(wait)
}

/// The attempts made lately because something went wrong, and all others, where there are too many of the former for
/// one more.
pub(crate) fn over_budget(tx: &Transaction) -> Option<(u64, u64)> {
    let ((_, policy), flow) = tx.state().policy().zip(tx.state().flow())?;
    let rule = &policy.retry;
    let (retries, others) = flow.at(tx.now(), policy.escalation.window).retries();
    let part = u128::from(others).saturating_mul(u128::from(rule.budget.0));
    let within = u128::from(retries.saturating_add(1)).saturating_mul(1_000_000) <= part;
    (!within && retries >= u64::from(rule.least)).then_some((retries, others))
}

/// Has an order wait on whose call has failed, where too many are tried again already; tells whether it
/// does. What was lost with its vessel is no such order, and what expires before is not bothered.
pub(crate) fn postpone(tx: &mut Transaction, id: OrderId) -> bool {
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return false };
    let Some(order) = state.order(id) else { return false };
    let rule = &policy.retry;
    let Some((retries, others)) = over_budget(tx).filter(|_| order.retry) else { return false };
    let half = (rule.backoff_max.0 / 2).max(POSTPONED_MIN.0);
    let draw = Draw::new(state.journal(), tx.stamp().seq, id, Purpose::Jitter);
    let more = draw.below(0, u32::try_from(half).unwrap_or(u32::MAX));
    let at = tx.now() + Micros(half.saturating_add(u64::from(more)));
    tx.emit(Event::RetryPostponed { order: id, retries, others, at });
    true
}
