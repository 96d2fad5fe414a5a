//! How an order is let in.
//!
//! identity -> idempotency -> the demand itself -> rate -> admission -> bounds -> fit -> limit -> budget ->
//! room for the key -> berth, or route, or queue. Refusals are tried in that order, so the first that applies is the one
//! that is told.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::allocator;
use crate::allocator::decide::{Ends, find_berth, find_gang};
use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::units::{KeySlot, MicroUsd, Micros, OrderId, TenantId, Tokens, VesselId};
use crate::models::index::Serving;
use crate::models::rows::{Demand, MARKS_MAX, Window};
use crate::models::words::{Refusal as Models, Thing};
use crate::policy::decide::admits;
use crate::policy::rows::{Policy, PolicyLevel};
use crate::policy::words::Refusal as Rules;
use crate::queue::decide::{self as queue, Ahead, pass};
use crate::refusal::Refusal;
use crate::state::State;
use crate::state::index::Deciding;
use crate::telemetry::decide::reserve;
use crate::transaction::Transaction;
use crate::workflow::decide::legs;
use crate::workflow::refusal::Refusal as Workflow;
use crate::workflow::rows::RememberedKey;
use crate::workflow::words::{BATCH_MAX, Event};

/// The largest prompt or answer.
const TOKENS_MAX: Tokens = Tokens(1 << 32);

/// The number of the next order.
pub(crate) fn next_number(state: &State) -> u64 {
    state.control().map_or(0, |control| control.orders).saturating_add(1)
}

/// Submits an order.
pub(crate) fn submit(tx: &mut Transaction, demand: &Demand) -> Result<(), Refusal> {
    admit(tx, demand, Assured::Nothing)
}

/// What an order is sure of before it is let in.
#[derive(Clone, Copy)]
enum Assured {
    Nothing,
    /// A place to wait.
    Place,
    /// A berth on a vessel, which so many others overlap there.
    Berth(VesselId, u32),
}

/// Lets an order in; what it is assured of is not looked for.
fn admit(tx: &mut Transaction, demand: &Demand, assured: Assured) -> Result<(), Refusal> {
    let tenant = tx.stamp().source.tenant;
    let unknown = Models::Unknown { thing: Thing::Tenant, id: u64::from(tenant.0) };
    let state = tx.state();
    let contract = state.tables.tenants.get(tenant).ok_or(unknown.clone())?;
    let account = state.tables.accounts.get(tenant).ok_or(unknown)?;
    if let Some(known) = remembered(state, tenant, demand.idempotency) {
        let (order, ordered, asked) = (known.order, known.fingerprint, demand.fingerprint());
        if ordered != asked {
            return Err(Workflow::KeyConflict { order, ordered, asked }.into());
        }
        tx.emit(Event::OrderDeduplicated { order, tenant, external: demand.external });
        return Ok(());
    }
    check_demand(state, demand)?;
    let arrivals = (account.arrival, account.token_arrival);
    let (arrival, token_arrival) = pass(contract, arrivals, demand, state.now())?;
    let (policy, level) = check_level(state, demand)?;
    check_bounds(state, contract.live_max, account.live, 0)?;
    check_fleet(state, demand)?;
    let reserved = reserve(state, tenant, contract, demand, 0)?;
    let deadline = deadline(policy, demand, state.now());
    let (key, forgotten) = key_place(state, tenant, contract.keys_max, demand.idempotency)?;
    let order = OrderId::new(next_number(state), state.tables.orders.vacancy());
    let admitted = Event::OrderAdmitted {
        order,
        tenant,
        level,
        arrival,
        token_arrival,
        deadline,
        key,
        reserved,
        demand: Box::new(demand.clone()),
    };
    place(tx, order, (demand, deadline), assured, |tx| {
        forgotten.into_iter().for_each(|event| tx.emit(event));
        tx.emit(admitted);
    })
}

/// Records that an order was refused.
pub(crate) fn refuse(tx: &mut Transaction, demand: &Demand, refusal: Refusal) {
    let source = tx.stamp().source.tenant;
    let known = tx.state().tables.accounts.get(source).is_some();
    let tenant = if known { source } else { TenantId::NONE };
    let order = OrderId::new(next_number(tx.state()), OrderId::NO_SLOT);
    tx.emit(Event::OrderRefused { order, tenant, external: demand.external, refusal });
}

/// Submits several orders: each as if it came by itself, or all of them if all are sure to be let in.
///
/// The orders of a whole batch come in the order of their sizes, the largest first, so that no small one takes the only
/// vessel that holds a large one (first fit decreasing: Johnson, MIT 1973); equal ones as they stand in the batch.
pub(crate) fn submit_batch(
    tx: &mut Transaction,
    demands: &[Demand],
    whole: bool,
) -> Result<(), Refusal> {
    if demands.is_empty() || demands.len() > BATCH_MAX {
        return Err(
            Workflow::Invalid { fault: "batch has none or more than 64 orders".into() }.into()
        );
    }
    let mut demands: Vec<&Demand> = demands.iter().collect();
    let mut berths = Vec::new();
    if whole {
        demands.sort_by_key(|demand| Reverse(demand.size()));
        berths = check_whole(tx, &demands)?;
    }
    let mut berths = berths.into_iter();
    for demand in demands {
        let assured = match berths.next() {
            Some((vessel, overlapping)) => Assured::Berth(vessel, overlapping),
            None if whole => Assured::Place,
            None => Assured::Nothing,
        };
        if let Err(refusal) = admit(tx, demand, assured) {
            refuse(tx, demand, refusal);
        }
    }
    Ok(())
}

/// Refuses orders that are not all sure to be let in: as if each of them had to wait, whatever comes free. Those that ask for
/// a window are a gang, and get the berths that are answered with.
fn check_whole(tx: &Transaction, demands: &[&Demand]) -> Result<Vec<(VesselId, u32)>, Refusal> {
    let (state, tenant) = (tx.state(), tx.stamp().source.tenant);
    let unknown = Models::Unknown { thing: Thing::Tenant, id: u64::from(tenant.0) };
    let contract = state.tables.tenants.get(tenant).ok_or(unknown.clone())?;
    let account = state.tables.accounts.get(tenant).ok_or(unknown)?;
    let mut arrivals = (account.arrival, account.token_arrival);
    let (mut ahead, mut reserved) = (Ahead::default(), 0u128);
    let window = demands.first().and_then(|demand| demand.window.as_deref());
    for demand in demands {
        if demand.idempotency != 0 || demand.window.as_deref() != window {
            let fault =
                "batch is to be let in whole, but bears a key or windows that differ".into();
            return Err(Workflow::Invalid { fault }.into());
        }
        check_demand(state, demand)?;
        arrivals = pass(contract, arrivals, demand, state.now())?;
        check_level(state, demand)?;
        check_bounds(state, contract.live_max, account.live, ahead.orders)?;
        check_fleet(state, demand)?;
        let reserve = reserve(state, tenant, contract, demand, reserved)?;
        if window.is_none() {
            queue::check_room(state, contract, account, demand.size(), ahead)?;
        }
        reserved = reserved.saturating_add(reserve.map_or(0, |amount| u128::from(amount.0)));
        ahead.orders = ahead.orders.saturating_add(1);
        ahead.tokens += demand.size();
    }
    window.map_or(Ok(Vec::new()), |window| find_gang(tx, next_number(state), demands, window))
}

/// The policy in force and its level, if that lets an order of this class in.
fn check_level<'a>(
    state: &'a State,
    demand: &Demand,
) -> Result<(&'a Policy, PolicyLevel), Refusal> {
    let (_, policy) = state.policy().ok_or(Rules::NoPolicy)?;
    let level = state.stance().map_or(PolicyLevel::Normal, |stance| stance.level);
    if admits(level, demand.class) {
        Ok((policy, level))
    } else {
        Err(Rules::LevelForbids { level, class: demand.class }.into())
    }
}

/// Admits an order to a berth, a route or a place in the queue; refuses it if there is none.
fn place(
    tx: &mut Transaction,
    order: OrderId,
    (demand, deadline): (&Demand, Micros),
    assured: Assured,
    admit: impl FnOnce(&mut Transaction),
) -> Result<(), Refusal> {
    let size = demand.size();
    if let Some(window) = &demand.window {
        let (vessel, overlapping) = match assured {
            Assured::Berth(vessel, overlapping) => (vessel, overlapping),
            _ => find_berth(tx, order, demand, window, &[], &mut Ends::new())?,
        };
        let berth = tx.state().tables.berths.vacancy();
        admit(tx);
        let window = Window::clone(window);
        tx.emit(allocator::words::Event::OrderBerthed {
            order,
            berth,
            vessel,
            window,
            overlapping,
        });
        return Ok(());
    }
    let (state, tenant) = (tx.state(), tx.stamp().source.tenant);
    let has_room = tx.has_room();
    let waits = || {
        let gathers = queue::ripe_at(state, demand, deadline).is_some();
        gathers || queue::must_wait(state, demand)
    };
    if matches!(assured, Assured::Nothing) && (!has_room || waits()) {
        let tables = &state.tables;
        if let Some((contract, account)) =
            tables.tenants.get(tenant).zip(tables.accounts.get(tenant))
        {
            queue::check_room(state, contract, account, size, Ahead::default())?;
        }
    }
    admit(tx);
    if has_room {
        legs::route_or_queue(tx, order);
    } else {
        // Of a batch so much has been routed that the record has no room for more.
        queue::enqueue(tx, order);
        tx.note_model(demand.model);
    }
    Ok(())
}

/// What is remembered of a key that still stands for its order.
fn remembered(state: &State, tenant: TenantId, key: u64) -> Option<&RememberedKey> {
    let known = &state.index.deciding.as_ref()?.keys;
    let slot = known.get(tenant, key).filter(|_| key != 0)?;
    state.tables.keys.get(slot).filter(|row| row.until > state.now())
}

/// Where the key of an order is remembered, and that another one is forgotten for it, if one has to be. A tenant
/// without a bound of its own has no more keys of live orders than there are places besides all such keys, so
/// that some are left for whoever has none (Choudhury and Hahne, Dynamic queue length thresholds for
/// shared-memory packet switches, IEEE/ACM ToN 6(2), 1998).
fn key_place(
    state: &State,
    tenant: TenantId,
    keys_max: u32,
    key: u64,
) -> Result<(KeySlot, Option<Event>), Refusal> {
    let Some(Deciding { keys, .. }) = state.index.deciding.as_ref().filter(|_| key != 0) else {
        return Ok((KeySlot::NONE, None));
    };
    let rows = &state.tables.keys;
    let places = state.limits().map_or(0, |limits| limits.keys);
    let full = |bound, max| Config::Full { bound, max: u64::from(max) };
    if keys_max == 0 && keys.live(tenant) >= places.saturating_sub(keys.live_of_all()) {
        return Err(full(Bound::Keys, places).into());
    }
    let forgotten = if let Some(over) = keys.get(tenant, key) {
        Some(over)
    } else if keys_max > 0 && keys.held(tenant) >= keys_max {
        Some(keys.first_of(tenant).ok_or(full(Bound::TenantKeys, keys_max))?)
    } else if rows.len() >= places {
        Some(keys.first_for(tenant, state.now()).ok_or(full(Bound::Keys, places))?)
    } else {
        None
    };
    let free = rows.vacancy();
    let Some((slot, row)) = forgotten.and_then(|slot| Some((slot, rows.get(slot)?))) else {
        return Ok((free, None));
    };
    let (tenant, order) = (row.tenant, row.order);
    Ok((free.min(slot), Some(Event::KeyForgotten { key: slot, tenant, order })))
}

fn check_demand(state: &State, demand: &Demand) -> Result<(), Refusal> {
    if state.tables.models.get(demand.model).is_none() {
        return Err(Models::Unknown { thing: Thing::Model, id: u64::from(demand.model.0) }.into());
    }
    let window = demand.window.as_ref();
    let ascending = demand.prefix.is_sorted_by(|a, b| a.tokens < b.tokens);
    let faults = [
        (
            demand.tokens_in == Tokens::ZERO || demand.tokens_in > TOKENS_MAX,
            "tokens_in is 0 or above 4294967296",
        ),
        (demand.tokens_out_max > TOKENS_MAX, "tokens_out_max is above 4294967296"),
        (demand.deadline != Micros::ZERO && demand.deadline <= state.now(), "deadline has passed"),
        (demand.prefix.len() > MARKS_MAX, "prefix has too many marks"),
        (!ascending, "prefix marks are not ascending"),
        (
            !demand.answers() && demand.tokens_out_max > Tokens::ZERO,
            "tokens_out_max is not 0, and an embedding has no answer",
        ),
        (!demand.answers() && window.is_some(), "an embedding has no window"),
    ];
    let fault = faults.iter().find(|(fault, _)| *fault).map(|(_, fault)| *fault);
    match fault.or_else(|| window.and_then(|window| window.fault(state.now()))) {
        Some(fault) => Err(Workflow::Invalid { fault: fault.to_owned() }.into()),
        None => Ok(()),
    }
}

fn check_bounds(state: &State, live_max: u32, live: u64, ahead: u32) -> Result<(), Refusal> {
    if live_max > 0 && live.saturating_add(u64::from(ahead)) >= u64::from(live_max) {
        return Err(Config::Full { bound: Bound::TenantOrders, max: u64::from(live_max) }.into());
    }
    let max = state.limits().map_or(0, |limits| limits.orders);
    if state.tables.orders.len().saturating_add(ahead) >= max {
        return Err(Config::Full { bound: Bound::Orders, max: u64::from(max) }.into());
    }
    Ok(())
}

fn serving<'a>(state: &'a State, demand: &Demand) -> Option<&'a Serving> {
    state.index.parties.serving.get(demand.model.0 as usize)
}

fn check_fleet(state: &State, demand: &Demand) -> Result<(), Refusal> {
    let serving = serving(state, demand).ok_or(Models::NoVessel)?;
    let (asked, max) = (demand.size(), serving.context_max(demand.answers()));
    // There is none, or there are halves of pairs without another half.
    if max == Tokens::ZERO {
        return Err(Models::NoVessel.into());
    }
    if asked > max {
        return Err(Models::TooLarge { asked, max }.into());
    }
    let named = demand.prefix.last().map_or(Tokens::ZERO, |mark| mark.tokens);
    let least = MicroUsd(serving.cheapest(demand.tokens_in, named).0.div_ceil(1_000_000));
    if demand.may_cost(least) {
        Ok(())
    } else {
        let limit = MicroUsd(u64::from(demand.limit));
        Err(allocator::words::Refusal::LimitTooLow { limit, least }.into())
    }
}

fn deadline(policy: &Policy, demand: &Demand, now: Micros) -> Micros {
    if demand.deadline != Micros::ZERO {
        return demand.deadline;
    }
    let lifetime = policy.lifetime.get(demand.class as usize).copied().unwrap_or(Micros::MAX);
    demand.window.as_ref().map_or(now, |window| window.until) + lifetime
}
