//! Who may submit how fast, and who waits before whom.
//!
//! Rates are kept by the generic cell rate algorithm (ITU-T I.371): one moment a tenant.
//!
//! Those who wait for a model share what comes free, in tokens. Of its classes the one goes first that
//! has been served least for its share, of the tenants of that class the one that has been served least,
//! and of his orders the one that expires first. One of whom nobody waited begins where the one stood
//! that was served last, so that nothing is saved up (start-time fair queueing: Goyal, Vin and Cheng,
//! SIGCOMM 1996; as virtual token counters: Sheng et al., OSDI 2024, whose weights are ours: a prompt
//! token counts one, a generated one two). Between two tenants of a class that both wait all the while
//! what is served never differs by more than twice the largest order, and so between classes for their
//! shares. Orders are charged for the longest answer that they may get, and what they did not need is
//! given back. What waits beyond the patience of its class is charged at a larger share: lent, so that
//! its class comes forward and yet passes nobody for good.
//!
//! Who fits no open vessel holds nobody up who does (backfilling: Lifka, JSSPP 1995): he is passed by,
//! keeps his place, and the vessels that hold him are left to him by all that fit another one.

use alloc::vec::Vec;

use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{Micros, ModelId, OrderId, Tokens, VesselId};
use crate::models::rows::{Demand, Tenant};
use crate::queue::words::{Event, Refusal as Queue};
use crate::refusal::Refusal;
use crate::state::State;
use crate::telemetry::rows::Account;
use crate::transaction::Transaction;

/// The tenant's next theoretical arrival times, of an order and of a token, if one with this demand passes now.
pub(crate) fn pass(
    tenant: &Tenant,
    (arrival, token_arrival): (Micros, Micros),
    demand: &Demand,
    now: Micros,
) -> Result<(Micros, Micros), Refusal> {
    let order = tenant.orders.pass(arrival, 1, now);
    let order = order.map_err(|retry_at| Queue::RateLimited { retry_at })?;
    let tokens = tenant.tokens.pass(token_arrival, demand.size().0, now);
    let tokens = tokens.map_err(|retry_at| Queue::TokensLimited { retry_at })?;
    Ok((order, tokens))
}

/// What of a batch is already let in, and is looked at as if all of it waited.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead {
    pub(crate) orders: u32,
    pub(crate) tokens: Tokens,
}

/// Refuses when no further order of a tenant's may wait, behind these. One without a bound of its own has no more
/// waiting than there are places left, so that some are for whoever has none (Choudhury and Hahne, "Dynamic queue
/// length thresholds for shared-memory packet switches", IEEE/ACM ToN 6(2), 1998): a flood of one fills half of them.
pub(crate) fn check_room(
    state: &State,
    contract: &Tenant,
    account: &Account,
    size: Tokens,
    ahead: Ahead,
) -> Result<(), Refusal> {
    let Some((limits, waiting)) = state.limits().zip(state.waiting()) else { return Ok(()) };
    let full = |bound, max| Err(Config::Full { bound, max }.into());
    let places = u64::from(limits.queued);
    let queued = waiting.queued.saturating_add(u64::from(ahead.orders));
    if queued >= places {
        return full(Bound::Queue, places);
    }
    let tokens = limits.queued_tokens();
    if waiting.tokens + ahead.tokens + size > tokens {
        return full(Bound::QueuedTokens, tokens.0);
    }
    let most = match contract.queued_max {
        0 => places.saturating_sub(queued),
        most => u64::from(most),
    };
    let own = u64::from(account.queued).saturating_add(u64::from(ahead.orders));
    if own >= most { full(Bound::TenantQueue, most) } else { Ok(()) }
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
    let models: Vec<ModelId> = tx.state().index.queues.models().collect();
    models.into_iter().for_each(|model| tx.note_model(model));
    let berthed: Vec<VesselId> = tx.state().index.berths.keys().copied().collect();
    berthed.into_iter().for_each(|vessel| tx.note_vessel(vessel));
}

/// Who goes next of those who wait for a model and find room on a vessel that is open.
pub(crate) fn next(state: &State, model: ModelId) -> Option<OrderId> {
    let line = state.tables.lines.get(model)?;
    let slot = state.index.queues.next(model, state.index.parties.room_for(model), &line.served)?;
    state.tables.orders.get(slot).map(|order| order.id)
}

/// Whether an order of this size would have to wait: there is no room, or there is and somebody waits
/// who finds it too.
pub(crate) fn must_wait(state: &State, model: ModelId, size: Tokens) -> bool {
    size > state.index.parties.room_for(model) || next(state, model).is_some()
}

/// The contexts to be kept for those who wait, by an order of this size: those that hold the largest
/// of them, where a smaller one is enough for this order.
pub(crate) fn kept(state: &State, model: ModelId, size: Tokens) -> Tokens {
    let largest = state.index.queues.largest(model).unwrap_or(Tokens::MAX);
    if largest > state.index.parties.fit(model, size) { largest } else { Tokens::MAX }
}

/// Gives an order that waits its turn, and charges its class and its tenant.
pub(crate) fn choose(tx: &mut Transaction, id: OrderId) {
    let state = tx.state();
    let (Some(order), Some((_, policy))) = (state.order(id), state.policy()) else { return };
    let (model, class) = (order.demand.model, order.demand.class);
    let Some(line) = state.tables.lines.get(model) else { return };
    let turn = state.index.queues.turns.get(&(model, class, order.tenant));
    let turn = turn.and_then(|slot| state.tables.turns.get(*slot));
    let of_class = |values: &[u32; 3]| values.get(class as usize).copied().unwrap_or(1);
    let patience = policy.patience.get(class as usize).copied().unwrap_or(Micros::MAX);
    let overdue = order.queued + patience <= tx.now();
    let lent = if overdue { policy.shares.overdue } else { 0 };
    let event = Event::OrderChosen {
        order: id,
        tokens: order.demand.turn(),
        share: of_class(&policy.shares.classes).saturating_add(lent),
        class_served: line.served.get(class as usize).copied().unwrap_or(0),
        tenant_served: turn.map_or(0, |turn| turn.served),
    };
    tx.emit(event);
}
