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
//! Where the policy has a class go by price and time, neither turns nor deadlines decide within it: the order that may
//! cost most goes first, of equal ones the one that came first, as in a book of limit orders (Harris, "Trading and
//! Exchanges", OUP 2003, chapter 6). One that may cost anything comes before all. Tenants are charged all the same, and so
//! nobody has saved anything up once turns decide again.
//!
//! Who fits no open vessel holds nobody up who does (backfilling: Lifka, JSSPP 1995): he is passed by,
//! keeps his place, and the vessels that hold him are left to him by all that fit another one.
//!
//! Batch orders may gather before they wait for room (bulk service: Bailey, JRSS B 16(1), 1954, and Neuts's general rule,
//! Ann. Math. Stat. 38(3), 1967, with a bound of time besides): until those of a model come to so many tokens, one of them has
//! waited for so long, or one comes near its deadline. Then all of them are released. Nothing is kept for who gathers, nobody
//! gives way to him, and he is not late; but he has a place in the queue.

use alloc::vec::Vec;

use crate::allocator::cost::work_time;
use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{Micros, ModelId, OrderId, Tokens, VesselId};
use crate::models::rows::{Class, Demand, Order, Tenant};
use crate::queue::rows::GatherRule;
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

/// Has an order wait, for room or for others.
pub(crate) fn enqueue(tx: &mut Transaction, id: OrderId) {
    let state = tx.state();
    let (Some(waiting), Some(order)) = (state.waiting(), state.order(id)) else { return };
    let (ticket, ahead) = (waiting.tickets.saturating_add(1), waiting.queued);
    let (model, ripe_at) = (order.demand.model, gathers(state, order));
    tx.emit(Event::OrderQueued {
        order: id,
        ticket,
        ahead,
        ripe_at: ripe_at.unwrap_or(Micros::ZERO),
    });
    if ripe_at.is_some() {
        release_if_full(tx, model);
    }
}

/// Until when an order gathers at most. Who has waited or been routed before does so no more: it was released once.
pub(crate) fn gathers(state: &State, order: &Order) -> Option<Micros> {
    let fresh = order.attempt == 0 && order.queued == Micros::ZERO;
    if fresh { ripe_at(state, &order.demand, order.deadline) } else { None }
}

/// Until when an order with this demand gathers at most that comes now; `None` where it goes by itself. Twice the
/// time is left to it then that the slowest vessel of its model takes for the longest answer.
pub(crate) fn ripe_at(state: &State, demand: &Demand, deadline: Micros) -> Option<Micros> {
    let (_, policy) = state.policy()?;
    let GatherRule { tokens, wait } = policy.gather;
    if tokens == Tokens::ZERO || demand.class != Class::Batch || demand.window.is_some() {
        return None;
    }
    let serving = state.index.parties.serving.get(demand.model.0 as usize)?;
    let needs = work_time(serving.slowest(), demand.tokens_in, demand.tokens_out_max);
    let at = (state.now() + wait).min(deadline - needs - needs);
    (at > state.now()).then_some(at)
}

/// Has those who gather for a model wait for room.
pub(crate) fn release(tx: &mut Transaction, model: ModelId) {
    let state = tx.state();
    let (Some(waiting), Some(line)) = (state.waiting(), state.tables.lines.get(model)) else {
        return;
    };
    let (ticket, orders, tokens) = (waiting.tickets, line.gathering, line.gathered);
    tx.emit(Event::BatchReleased { model, ticket, orders, tokens });
    tx.note_model(model);
}

/// The same, once they come to as much as the policy says.
fn release_if_full(tx: &mut Transaction, model: ModelId) {
    let state = tx.state();
    let Some(((_, policy), line)) = state.policy().zip(state.tables.lines.get(model)) else {
        return;
    };
    if line.gathered >= policy.gather.tokens {
        release(tx, model);
    }
}

/// Rules have changed: those go who come to as much as it says now, or anyhow if nobody is to gather. Those of models for
/// which the record has no room go when they would have.
pub(crate) fn reconsider(tx: &mut Transaction) {
    let models: Vec<ModelId> = tx.state().index.queues.gathering().collect();
    for model in models {
        if !tx.has_room() {
            return;
        }
        release_if_full(tx, model);
    }
}

/// Leaves those who wait to another record, which is due at once.
pub(crate) fn defer(tx: &mut Transaction) {
    let at = tx.now();
    tx.emit(Event::ServiceDeferred { at });
}

/// Takes up what was left: whoever waits may be served.
pub(crate) fn resume(tx: &mut Transaction) {
    tx.emit(Event::ServiceResumed);
    note_all(tx);
}

/// Notes that whoever waits may find room, and those for whom something is kept.
pub(crate) fn note_all(tx: &mut Transaction) {
    let models: Vec<ModelId> = tx.state().index.queues.models().collect();
    models.into_iter().for_each(|model| tx.note_model(model));
    let index = &tx.state().index;
    let kept = index.kept.iter().map(|(_, vessel)| *vessel);
    let kept: Vec<VesselId> = index.berths.keys().copied().chain(kept).collect();
    kept.into_iter().for_each(|vessel| tx.note_vessel(vessel));
}

/// Whoever wants an answer and whoever wants a prompt worked alone, of any size.
pub(crate) const ANYBODY: [Tokens; 2] = [Tokens::MAX; 2];

/// Who goes next of those who wait for a model and find room on a vessel that is open: no larger than `most`, where an answer
/// is wanted and where none is.
pub(crate) fn next(state: &State, model: ModelId, most: [Tokens; 2]) -> Option<OrderId> {
    let line = state.tables.lines.get(model).filter(|line| line.ready() > 0)?;
    let rooms = smallest(state.index.parties.rooms_for(model), most);
    let slot = state.index.queues.next(model, rooms, &line.served)?;
    state.tables.orders.get(slot).map(|order| order.id)
}

/// Whether such an order would have to wait: there is no room, or there is and somebody waits who finds it too.
pub(crate) fn must_wait(state: &State, demand: &Demand) -> bool {
    let serving = state.index.parties.serving.get(demand.model.0 as usize);
    let room = serving.map_or(Tokens::ZERO, |serving| serving.room(demand.answers()));
    demand.size() > room || next(state, demand.model, ANYBODY).is_some()
}

/// Of those no larger than `most`, who may find room where this one does not: whoever fits a vessel that is too small for it;
/// and any prompt that is to be worked alone, where it wants an answer.
pub(crate) fn smaller(state: &State, id: OrderId, most: [Tokens; 2]) -> [Tokens; 2] {
    let Some(demand) = state.order(id).map(|order| &order.demand) else { return most };
    let below = state.index.parties.fit(demand.model, demand.size()) - Tokens(1);
    smallest(most, [below, if demand.answers() { Tokens::MAX } else { below }])
}

fn smallest([answers, prompts]: [Tokens; 2], [of_them, of_others]: [Tokens; 2]) -> [Tokens; 2] {
    [answers.min(of_them), prompts.min(of_others)]
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
    let overdue = policy.gather.since(order) + patience <= tx.now();
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
