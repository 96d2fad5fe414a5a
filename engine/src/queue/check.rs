//! What is true of those who wait.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::allocator::decide::crowding::{Keeps, crowd};
use crate::kernel::units::{Micros, ModelId, TenantId, Tokens, VesselId};
use crate::models::rows::{Class, Order, Role, Stage};
use crate::queue::decide::smaller;
use crate::queue::index::Queues;
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_queued(state, faults);
    check_turns(state, faults);
    check_gathering(state, faults);
    if Queues::of(&state.tables, &state.index.parties) != state.index.queues {
        faults.push("queues: not those who wait, or not where they stand".into());
    }
    check_service(state, faults);
}

/// As many are counted as waiting as wait, in all and in each queue.
fn check_queued(state: &State, faults: &mut Vec<String>) {
    let mut lines: BTreeMap<ModelId, [u32; 3]> = BTreeMap::new();
    let mut tenants: BTreeMap<TenantId, u32> = BTreeMap::new();
    let (mut queued, mut tokens) = (0u64, Tokens::ZERO);
    for (_, order) in state.tables.orders.iter().filter(|(_, row)| row.stage == Stage::Queued) {
        queued = queued.saturating_add(1);
        tokens += order.demand.size();
        let count = tenants.entry(order.tenant).or_default();
        *count = count.saturating_add(1);
        let line = lines.entry(order.demand.model).or_default();
        if let Some(count) = line.get_mut(order.demand.class as usize) {
            *count = count.saturating_add(1);
        }
    }
    let counted = state.waiting().map_or((0, Tokens::ZERO), |row| (row.queued, row.tokens));
    if counted != (queued, tokens) {
        let (orders, of_them) = counted;
        faults.push(format!(
            "waiting: {orders} orders with {of_them} tokens are queued, but {queued} with {tokens} wait"
        ));
    }
    for (tenant, account) in state.tables.accounts.iter() {
        let waiting = tenants.get(&tenant).copied().unwrap_or(0);
        if account.queued != waiting {
            let counted = account.queued;
            faults.push(format!("accounts.{tenant}: {counted} orders queued, but {waiting} wait"));
        }
    }
    for (model, line) in state.tables.lines.iter() {
        let waiting = lines.remove(&model).unwrap_or_default();
        if line.queued != waiting || waiting == [0; 3] {
            let queued = line.queued;
            faults.push(format!("lines.{model}: {queued:?} orders queued, but {waiting:?} wait"));
        }
    }
    faults
        .extend(lines.keys().map(|model| format!("lines.{model}: is not there, but orders wait")));
}

/// As many are counted as gathering as do, and somebody wakes them.
fn check_gathering(state: &State, faults: &mut Vec<String>) {
    let mut gathering: BTreeMap<ModelId, (u32, Tokens)> = BTreeMap::new();
    for (slot, order) in state.tables.orders.iter() {
        let line = state.tables.lines.get(order.demand.model);
        let holds = line.is_some_and(|line| line.holds(order.gathers, order.ticket));
        if order.stage != Stage::Queued || !holds {
            continue;
        }
        let (count, tokens) = gathering.entry(order.demand.model).or_default();
        *count = count.saturating_add(1);
        *tokens += order.demand.size();
        if order.demand.class != Class::Batch || order.demand.window.is_some() || order.attempt > 0
        {
            faults.push(format!("orders.{slot}: gathers, and is to go by itself"));
        }
    }
    for (model, line) in state.tables.lines.iter() {
        let found = gathering.get(&model).copied().unwrap_or_default();
        if (line.gathering, line.gathered) != found {
            let (counted, of_them, (orders, tokens)) = (line.gathering, line.gathered, found);
            faults.push(format!(
                "lines.{model}: {counted} orders with {of_them} tokens gather, but {orders} with {tokens} do"
            ));
        }
        if (line.gathering > 0) != (line.ripe_at < Micros::MAX) {
            faults.push(format!("lines.{model}: nobody gathers, or nothing wakes who does"));
        }
    }
}

/// Every tenant that takes turns has as many orders in the queue as are counted.
fn check_turns(state: &State, faults: &mut Vec<String>) {
    let mut turns: BTreeMap<_, u32> = BTreeMap::new();
    for (_, order) in state.tables.orders.iter().filter(|(_, row)| row.stage == Stage::Queued) {
        let lane = (order.demand.model, order.demand.class, order.tenant);
        let count = turns.entry(lane).or_default();
        *count = count.saturating_add(1);
    }
    for (slot, turn) in state.tables.turns.iter() {
        let waiting = turns.remove(&(turn.model, turn.class, turn.tenant)).unwrap_or(0);
        if turn.queued != waiting {
            faults.push(format!("turns.{slot}: {} queued, but {waiting} wait", turn.queued));
        }
        if state.tables.lines.get(turn.model).is_none() {
            faults.push(format!("turns.{slot}: of a queue in which nobody waits"));
        }
    }
    faults.extend(turns.keys().map(|lane| format!("turns: {lane:?} waits, and takes no turns")));
}

/// Nobody waits who would find room, unless another record is to serve him.
fn check_service(state: &State, faults: &mut Vec<String>) {
    let deferred = state.waiting().is_some_and(|waiting| waiting.serve_at <= state.now);
    for (model, line) in state.tables.lines.iter().filter(|_| !deferred) {
        let mut rooms = state.index.parties.rooms_for(model);
        while let Some(slot) = state.index.queues.next(model, rooms, &line.served) {
            let Some(order) = state.tables.orders.get(slot) else { break };
            if !is_crowded(state, order) {
                faults.push(format!("orders.{slot}: waits, and there is room for it"));
                break;
            }
            rooms = smaller(state, order.id, rooms);
        }
    }
}

/// Whether all vessels that have a slot for an order are kept for others, or half of every pair.
fn is_crowded(state: &State, order: &Order) -> bool {
    let demand = &order.demand;
    let Some(serving) = state.index.parties.serving.get(demand.model.0 as usize) else {
        return false;
    };
    let kept = |role: Role| {
        let mut holding = serving.holding(role, demand.size(), VesselId(0));
        holding.all(|id| {
            let found = state.tables.vessels.get(id).zip(state.tables.loads.get(id));
            found.zip(state.policy()).is_some_and(|((vessel, load), (_, policy))| {
                let slot = order.id.slot();
                let crowd = crowd(policy, &vessel.manifest, load, slot, demand.size());
                crowd.keeps == Keeps::Another
            })
        })
    };
    let halves = kept(Role::Prefill) || demand.answers() && kept(Role::Decode);
    kept(Role::Whole) && halves
}
