//! What an order may be charged, what it amounts to, what of that is charged, and how long its answer will be; and what
//! is wrong.

pub(crate) mod incidents;

use crate::kernel::units::{MicroUsd, Micros, Millijoules, PicoUsd, Ppm, TenantId, Tokens, clamp};
use crate::models::rows::{Demand, End, LegKind, Load, Order, Pace, Stage, Tenant};
use crate::refusal::Refusal as Any;
use crate::state::State;
use crate::telemetry::fold::spending;
use crate::telemetry::rows::{Lengths, Spending};
use crate::telemetry::words::{Command, Event, Refusal};
use crate::transaction::Transaction;

pub(crate) fn decide(tx: &mut Transaction, command: &Command) -> Result<(), Any> {
    match *command {
        Command::Silence { concern, until } => incidents::silence(tx, concern, until),
    }
}

/// What is set aside for an order: what it is charged at most, at the dearest prices of all that serve its
/// model. None where its tenant has no budget; refused where less is left of it, besides so many pico-dollars.
pub(crate) fn reserve(
    state: &State,
    tenant: TenantId,
    contract: &Tenant,
    demand: &Demand,
    besides: u128,
) -> Result<Option<PicoUsd>, Refusal> {
    if contract.budget == MicroUsd::ZERO {
        return Ok(None);
    }
    let serving = state.index.parties.serving.get(demand.model.0 as usize);
    let most = serving
        .map_or(PicoUsd::ZERO, |serving| serving.dearest(demand.tokens_in, demand.tokens_out_max));
    let spending = spending(state, tenant, contract.budget_period);
    let left = spending.left(contract.budget).saturating_sub(besides);
    if u128::from(most.0) <= left {
        return Ok(Some(most));
    }
    let period = contract.budget_period;
    // No period brings what is more than the whole budget.
    let never = period == Micros::ZERO || u128::from(most.0) > Spending::whole(contract.budget);
    Err(Refusal::BudgetSpent {
        asked: MicroUsd(most.0.div_ceil(1_000_000)),
        left: MicroUsd(clamp(left / 1_000_000)),
        renewed_at: if never { Micros::MAX } else { spending.since + period },
    })
}

/// The settlement of an order that ends so: its last attempt is charged as the policy says, those before it
/// never are, and no more than was set aside. With it what is charged. None for an order of which nobody has completed a
/// leg.
pub(crate) fn settlement(state: &State, order: &Order, end: End) -> Option<(Event, PicoUsd)> {
    let burnt = order.cost + order.wasted;
    if end != End::Completed && burnt == PicoUsd::ZERO && order.energy == Millijoules::ZERO {
        return None;
    }
    let charge = state.policy().map(|(_, policy)| &policy.charge);
    // Whoever waits after an attempt waits because that has failed.
    let failed = matches!(order.stage, Stage::Backoff | Stage::Queued);
    let share = match end {
        End::Completed => Ppm::ONE,
        End::Failed | End::Expired | End::Cancelled if failed => {
            charge.map_or(Ppm::ZERO, |charge| charge.failed)
        }
        End::Expired => charge.map_or(Ppm::ZERO, |charge| charge.expired),
        End::Cancelled => charge.map_or(Ppm::ZERO, |charge| charge.cancelled),
        End::Failed | End::Refused => Ppm::ZERO,
    };
    let charged = order.cost.share(share);
    let reserve = state.tables.reserves.get(order.id.slot());
    // The prompt of a leg that is still worked is told by the answer to its stop.
    let working = order.held().first().map(|leg| leg.kind);
    let told = end == End::Completed
        || !matches!(working, Some(LegKind::Whole | LegKind::Prefill | LegKind::Hop));
    let tokens_in = if told { order.demand.tokens_in } else { Tokens::ZERO };
    let cost = reserve.map_or(charged, |reserve| charged.min(reserve.amount));
    let event = Event::OrderSettled {
        order: order.id,
        tenant: order.tenant,
        tokens_in,
        cached: order.cached,
        tokens_out: order.tokens_out,
        cost,
        burnt,
        energy: order.energy,
    };
    Some((event, cost))
}

/// How long the answer of an order is expected to be.
pub(crate) struct Expected {
    /// Half of them are no longer.
    pub(crate) usual: Tokens,
    /// 95 of 100 are no longer.
    pub(crate) late: Tokens,
}

/// How long the answer of an order will be, by what others of its model and class got that allowed about as long
/// ones: its tenant's, where there were enough, or else everybody's, or else as the policy says. None is longer than was asked for.
pub(crate) fn expected(state: &State, order: &Order) -> Expected {
    expected_of(state, order.tenant, &order.demand)
}

/// The same of a demand of this tenant.
pub(crate) fn expected_of(state: &State, tenant: TenantId, demand: &Demand) -> Expected {
    let longest = demand.tokens_out_max;
    let longest_of_all = Expected { usual: longest, late: longest };
    let Some((limits, (_, policy))) = state.limits().zip(state.policy()) else {
        return longest_of_all;
    };
    let known = |slot, tenant| {
        let row = state.tables.lengths.get(slot)?;
        let enough = row.samples >= policy.forecast.samples && row.holds(demand, tenant);
        enough.then_some(row)
    };
    let own = Lengths::of_one(limits, demand, tenant);
    let own = own.and_then(|slot| known(slot, tenant));
    match own.or_else(|| known(Lengths::of_all(demand), TenantId::NONE)) {
        Some(row) => Expected { usual: row.usual.min(longest), late: row.late.min(longest) },
        None => Expected { usual: longest.share(policy.forecast.prior), ..longest_of_all },
    }
}

/// How long a vessel's legs have taken lately for what they should, in percent.
pub(crate) fn pace(state: &State, load: &Load) -> u16 {
    let rule = state.policy().map(|(_, policy)| &policy.forecast);
    rule.map_or(Pace::AS_DECLARED, |rule| load.pace.percent(state.now(), rule.legs, rule.window))
}
