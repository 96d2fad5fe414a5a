//! How orders come to wait, take turns, and leave.

use crate::allocator::index::kept_of;
use crate::kernel::table::Breach;
use crate::kernel::units::{Micros, ModelId, OrderId, OrderSlot, Ppm, TenantId, Tokens, TurnSlot};
use crate::kernel::wheel::Due;
use crate::models::rows::{Class, Stage};
use crate::queue::index::{Place, Queues};
use crate::queue::rows::{Line, Turn};
use crate::queue::words::Event;
use crate::state::State;

/// What a class has been served is counted in this part of a token, so that dividing by its share loses
/// little.
const PARTS: u64 = 4_096;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::OrderQueued { order, ticket, ripe_at, .. } => {
            fold_queued(state, *order, *ticket, *ripe_at)
        }
        Event::BatchReleased { model, ticket, .. } => fold_released(state, *model, *ticket),
        Event::ServiceDeferred { at } => {
            state.edit_waiting()?.serve_at = *at;
            state.set_timer(*at, Due::Queue);
            Ok(())
        }
        Event::ServiceResumed => {
            state.edit_waiting()?.serve_at = Micros::MAX;
            Ok(())
        }
        // Its end says it all.
        Event::OrderOverdue { .. } => Ok(()),
        Event::OrderChosen { order, tokens, share, class_served, tenant_served } => {
            fold_chosen(state, *order, *tokens, *share, *class_served, *tenant_served)
        }
    }
}

/// Those who wait stand in another order, where the policy that is in force now has them go by another one.
pub(crate) fn reorder(state: &mut State) {
    let price_time = state.policy().map(|(_, policy)| policy.price_time);
    if price_time.is_some_and(|price_time| state.index.queues.price_time != price_time) {
        state.index.queues = Queues::of(&state.tables, &state.index.parties);
    }
}

fn fold_queued(
    state: &mut State,
    order: OrderId,
    ticket: u64,
    ripe_at: Micros,
) -> Result<(), Breach> {
    let gathers = ripe_at > Micros::ZERO;
    let now = state.now;
    give_up(state, order)?;
    let row = state.edit_order(order)?;
    row.stage = Stage::Queued;
    row.ticket = ticket;
    row.queued = now;
    row.gathers = gathers;
    let (place, deadline, size) = (Place::of(row), row.deadline, row.demand.size());
    let waiting = state.edit_waiting()?;
    waiting.tickets = ticket;
    waiting.queued = waiting.queued.saturating_add(1);
    waiting.tokens += size;
    let account = state.tables.accounts.edit(place.tenant, &mut state.writer)?;
    account.queued = account.queued.saturating_add(1);
    state.wake_order(order, deadline)?;
    let floor = join_line(state, place.model, place.class, ticket)?;
    let served = join_turns(state, (place.model, place.class, place.tenant), floor)?;
    if gathers {
        gather(state, place.model, order, size, ripe_at)
    } else {
        state.index.queues.enter(place, served, &state.index.parties);
        Ok(())
    }
}

/// Counts one more who gathers. They go when the first of them may not wait any longer.
fn gather(
    state: &mut State,
    model: ModelId,
    order: OrderId,
    size: Tokens,
    ripe_at: Micros,
) -> Result<(), Breach> {
    state.index.queues.gather(model, order.slot());
    let line = state.tables.lines.edit(model, &mut state.writer)?;
    line.gathering = line.gathering.saturating_add(1);
    line.gathered += size;
    if ripe_at < line.ripe_at {
        line.ripe_at = ripe_at;
        state.set_timer(ripe_at, Due::Line(model));
    }
    Ok(())
}

/// Those who gathered wait for room, and begin where their class would if it came now: it has saved up nothing.
fn fold_released(state: &mut State, model: ModelId, ticket: u64) -> Result<(), Breach> {
    let line = state.tables.lines.edit(model, &mut state.writer)?;
    raise(line, Class::Batch);
    line.gathering = 0;
    line.gathered = Tokens::ZERO;
    line.ripe_at = Micros::MAX;
    line.released = ticket;
    state.index.queues.release(model, &state.tables, &state.index.parties);
    Ok(())
}

/// Has a class of which nobody waits for room begin where the one stood that was served last.
fn raise(line: &mut Line, class: Class) {
    let gathering = if class == Class::Batch { line.gathering } else { 0 };
    let queued = line.queued.get(class as usize).copied();
    if let Some(served) = line.served.get_mut(class as usize).filter(|_| queued == Some(gathering))
    {
        *served = line.floor.max(*served);
    }
}

/// Counts one more who waits in a class. One of which nobody waited has not saved up what it was not
/// served meanwhile. Answers with what the tenants of the class have been served at least.
fn join_line(state: &mut State, model: ModelId, class: Class, ticket: u64) -> Result<u64, Breach> {
    if state.tables.lines.get(model).is_none() {
        let line = Line {
            first: ticket,
            served: [0; 3],
            floor: 0,
            floors: [0; 3],
            queued: [0; 3],
            gathering: 0,
            gathered: Tokens::ZERO,
            ripe_at: Micros::MAX,
            released: 0,
        };
        state.tables.lines.insert(model, line, &mut state.writer)?;
    }
    let line = state.tables.lines.edit(model, &mut state.writer)?;
    raise(line, class);
    if let Some(queued) = line.queued.get_mut(class as usize) {
        *queued = queued.saturating_add(1);
    }
    Ok(line.floors.get(class as usize).copied().unwrap_or(0))
}

/// Counts one more of a tenant's. Answers with what the tenant has been served.
fn join_turns(
    state: &mut State,
    lane: (ModelId, Class, TenantId),
    floor: u64,
) -> Result<u64, Breach> {
    let (tables, queues) = (&mut state.tables, &mut state.index.queues);
    let slot = match queues.turns.get(&lane) {
        Some(slot) => *slot,
        None => {
            // There are as many places as orders may live, so if all are taken some are of nobody who waits.
            if tables.turns.len() >= tables.orders.bounded()
                && let Some(idle) = queues.idle.pop_first()
            {
                if let Some(turn) = tables.turns.get(idle) {
                    queues.turns.remove(&(turn.model, turn.class, turn.tenant));
                }
                tables.turns.remove(idle, &mut state.writer)?;
            }
            let (slot, (model, class, tenant)) = (tables.turns.vacancy(), lane);
            let turn = Turn { served: 0, model, tenant, queued: 0, class };
            tables.turns.insert(slot, turn, &mut state.writer)?;
            queues.turns.insert(lane, slot);
            slot
        }
    };
    queues.idle.remove(&slot);
    let turn = tables.turns.edit(slot, &mut state.writer)?;
    if turn.queued == 0 {
        turn.served = floor.max(turn.served);
    }
    turn.queued = turn.queued.saturating_add(1);
    Ok(turn.served)
}

fn fold_chosen(
    state: &mut State,
    order: OrderId,
    tokens: u64,
    share: u32,
    class_served: u64,
    tenant_served: u64,
) -> Result<(), Breach> {
    let place = Place::of(state.edit_order(order)?);
    let line = state.tables.lines.edit(place.model, &mut state.writer)?;
    line.floor = line.floor.max(class_served);
    if let Some(floor) = line.floors.get_mut(place.class as usize) {
        *floor = tenant_served.max(*floor);
    }
    if let Some(served) = line.served.get_mut(place.class as usize) {
        *served = class_served.saturating_add(parts(tokens, share));
    }
    set_served(state, &place, |_| tenant_served.saturating_add(tokens))
}

/// What a class is charged for these tokens.
fn parts(tokens: u64, share: u32) -> u64 {
    tokens.saturating_mul(PARTS).checked_div(u64::from(share)).unwrap_or(u64::MAX)
}

fn set_served(
    state: &mut State,
    place: &Place,
    served: impl FnOnce(u64) -> u64,
) -> Result<(), Breach> {
    let lane = (place.model, place.class, place.tenant);
    let Some(slot) = state.index.queues.turns.get(&lane).copied() else { return Ok(()) };
    let turn = state.tables.turns.edit(slot, &mut state.writer)?;
    let before = turn.served;
    let after = served(before);
    turn.served = after;
    state.index.queues.turn(lane, before, after);
    Ok(())
}

/// Takes an order out of those that wait, before its stage changes.
pub(crate) fn leave(state: &mut State, order: OrderId) -> Result<(), Breach> {
    let row = state.edit_order(order)?;
    if row.stage != Stage::Queued {
        return Ok(());
    }
    row.stage = Stage::Backoff;
    let (place, size, gathers, ticket) =
        (Place::of(row), row.demand.size(), row.gathers, row.ticket);
    let waiting = state.edit_waiting()?;
    waiting.queued = waiting.queued.saturating_sub(1);
    waiting.tokens -= size;
    let account = state.tables.accounts.edit(place.tenant, &mut state.writer)?;
    account.queued = account.queued.saturating_sub(1);
    let slot = state.index.queues.turns.get(&(place.model, place.class, place.tenant));
    let slot = slot.copied().unwrap_or(TurnSlot::NONE);
    let turn = state.tables.turns.edit(slot, &mut state.writer)?;
    turn.queued = turn.queued.saturating_sub(1);
    if turn.queued == 0 {
        state.index.queues.idle.insert(slot);
    }
    let line = state.tables.lines.edit(place.model, &mut state.writer)?;
    if let Some(queued) = line.queued.get_mut(place.class as usize) {
        *queued = queued.saturating_sub(1);
    }
    if line.holds(gathers, ticket) {
        line.gathering = line.gathering.saturating_sub(1);
        line.gathered -= size;
        if line.gathering == 0 {
            line.ripe_at = Micros::MAX;
        }
        state.index.queues.ungather(place.model, order.slot());
    } else {
        state.index.queues.leave(place, turn.served, &state.index.parties);
    }
    if line.queued == [0; 3] { close(state, place.model) } else { Ok(()) }
}

/// Nobody waits for a model any more: what its classes and tenants were served is forgotten.
fn close(state: &mut State, model: ModelId) -> Result<(), Breach> {
    state.tables.lines.remove(model, &mut state.writer)?;
    let queues = &mut state.index.queues;
    let first = (model, Class::Interactive, TenantId(0));
    while let Some((lane, slot)) =
        queues.turns.range(first..).next().map(|(lane, slot)| (*lane, *slot))
        && lane.0 == model
    {
        queues.turns.remove(&lane);
        queues.idle.remove(&slot);
        state.tables.turns.remove(slot, &mut state.writer)?;
    }
    Ok(())
}

/// Counts an order that is about to be routed, or expires while it waits to be, among those of its class,
/// and whether it is late; and whether it is routed because a call for it has failed.
pub(crate) fn note_routed(state: &mut State, order: OrderId, retry: bool) -> Result<(), Breach> {
    let now = state.now;
    let Some((_, policy)) = state.policy() else { return Ok(()) };
    let (window, waited) = (policy.escalation.window, policy.escalation.late);
    let Some(row) = state.order(order) else { return Ok(()) };
    let class = row.demand.class as usize;
    let since = policy.gather.since(row);
    let late = row.stage == Stage::Queued
        && Ppm::ratio((now - since).0, (row.deadline - row.queued).0) >= waited;
    let flow = state.edit_flow()?;
    *flow = flow.at(now, window);
    let routed = &mut flow.present;
    if let (Some(orders), Some(of_class)) =
        (routed.orders.get_mut(class), routed.late.get_mut(class))
    {
        *orders = orders.saturating_add(1);
        *of_class = of_class.saturating_add(u32::from(late));
    }
    routed.retries = routed.retries.saturating_add(u32::from(retry));
    Ok(())
}

/// Counts that another vessel works an order as well, among the attempts that are made because something went wrong.
pub(crate) fn note_hedged(state: &mut State, order: OrderId) -> Result<(), Breach> {
    let now = state.now;
    let window = state.policy().map(|(_, policy)| policy.escalation.window);
    let class = state.order(order).map(|row| row.demand.class as usize);
    let Some((window, class)) = window.zip(class) else { return Ok(()) };
    let flow = state.edit_flow()?;
    *flow = flow.at(now, window);
    let routed = &mut flow.present;
    if let Some(orders) = routed.orders.get_mut(class) {
        *orders = orders.saturating_add(1);
    }
    routed.retries = routed.retries.saturating_add(1);
    Ok(())
}

/// An order for which vessels are kept goes without them: it has not had the turn that it was charged for.
pub(crate) fn give_up(state: &mut State, order: OrderId) -> Result<(), Breach> {
    if let_others(state, order.slot())? { settle_turn(state, order, 0) } else { Ok(()) }
}

/// Vessels are kept for an order no more; tells whether any was.
pub(crate) fn let_others(state: &mut State, slot: OrderSlot) -> Result<bool, Breach> {
    let mut any = false;
    loop {
        let first = kept_of(&state.index.kept, slot).next();
        let Some(vessel) = first else { return Ok(any) };
        state.index.kept.remove(&(slot, vessel));
        state.tables.loads.edit(vessel, &mut state.writer)?.keeps_for = OrderSlot::NONE;
        any = true;
    }
}

/// An attempt is over, of which so many tokens were worked: what the order was charged for beyond them
/// when it was chosen is given back to its tenant and its class, if others have waited ever since.
pub(crate) fn settle_turn(state: &mut State, order: OrderId, worked: u64) -> Result<(), Breach> {
    let Some(row) = state.order(order).filter(|row| row.ticket > 0) else { return Ok(()) };
    let (place, ticket) = (Place::of(row), row.ticket);
    let spared = row.demand.turn().saturating_sub(worked);
    state.edit_order(order)?.ticket = 0;
    let since = state.tables.lines.get(place.model).is_some_and(|line| ticket >= line.first);
    if !since || spared == 0 {
        return Ok(());
    }
    let share = state
        .policy()
        .and_then(|(_, policy)| policy.shares.classes.get(place.class as usize).copied());
    let line = state.tables.lines.edit(place.model, &mut state.writer)?;
    if let (Some(served), Some(share)) = (line.served.get_mut(place.class as usize), share) {
        *served = served.saturating_sub(parts(spared, share));
    }
    set_served(state, &place, |served| served.saturating_sub(spared))
}
