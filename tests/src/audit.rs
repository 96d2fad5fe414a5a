//! An auditor of money: adds up every leg and every settlement by itself, and compares the accounts.

use std::collections::{BTreeMap, BTreeSet};

use tensorforge_engine::telemetry::Money;
use tensorforge_engine::units::{OrderId, TenantId};
use tensorforge_engine::{Event, State, telemetry, workflow};

/// What was said of money so far, in pico-dollars.
#[derive(Debug, Default)]
pub struct Audit {
    /// What the legs of a live order were worth, in all of its attempts.
    worked: BTreeMap<OrderId, u128>,
    /// Legs that were told to stop, each once: their orders, attempts and places.
    stopped: BTreeSet<(OrderId, u16, u8)>,
    /// What was charged and what was burnt, by tenant.
    settled: BTreeMap<TenantId, [u128; 2]>,
}

impl Audit {
    /// Takes in what a record decided, and compares it with the state after it. Whatever was worked is
    /// settled, once; nobody is charged for more; and an account is the sum of its settlements.
    ///
    /// # Panics
    ///
    /// Where money came from nowhere, or went there.
    pub fn record(&mut self, events: &[Event], state: &State) {
        for event in events {
            match event {
                Event::Workflow(workflow::Event::LegCompleted { order, cost, .. }) => {
                    *self.worked.entry(*order).or_default() += u128::from(cost.0);
                }
                Event::Telemetry(telemetry::Event::OrderSettled {
                    order,
                    tenant,
                    cost,
                    burnt,
                    ..
                }) => {
                    let worked = self.worked.remove(order).unwrap_or(0);
                    assert_eq!(worked, u128::from(burnt.0), "{event:?}");
                    assert!(cost <= burnt, "{event:?}");
                    let [charged, all] = self.settled.entry(*tenant).or_default();
                    *charged += u128::from(cost.0);
                    *all += worked;
                }
                Event::Workflow(workflow::Event::StopAwaited { awaited, .. }) => {
                    let leg = (awaited.order, awaited.attempt, awaited.leg);
                    assert!(self.stopped.insert(leg), "stopped twice: {event:?}");
                }
                Event::Workflow(workflow::Event::StopSettled {
                    order,
                    tenant,
                    usage,
                    cost,
                    burnt,
                    ..
                }) => {
                    assert!(cost <= burnt && usage.cached <= usage.tokens_in, "{event:?}");
                    let all = (*order, 0, 0)..=(*order, u16::MAX, u8::MAX);
                    let left = self.stopped.range(all).count();
                    let awaited = state.tables.stops.iter();
                    let awaited = awaited.filter(|(_, row)| row.order == *order).count();
                    assert!(left >= awaited, "{event:?}");
                    let [charged, all] = self.settled.entry(*tenant).or_default();
                    *charged += u128::from(cost.0);
                    *all += u128::from(burnt.0);
                }
                Event::Workflow(workflow::Event::OrderEnded { order, .. }) => {
                    let left = self.worked.remove(order).unwrap_or(0);
                    assert_eq!(left, 0, "{order} ended, and what was worked is not settled");
                }
                _ => {}
            }
        }
        for (tenant, account) in state.tables.accounts.iter() {
            let settled = self.settled.get(&tenant).copied().unwrap_or_default();
            assert_eq!(
                [account.charged(), account.worth()].map(picos),
                settled,
                "account {tenant}"
            );
        }
        for (_, order) in state.tables.orders.iter() {
            let worked = self.worked.get(&order.id).copied().unwrap_or(0);
            let held = u128::from(order.cost.0) + u128::from(order.wasted.0);
            assert_eq!(held, worked, "order {}", order.id);
        }
    }
}

fn picos(money: Money) -> u128 {
    assert!(money.picos < 1_000_000, "{money:?}");
    money.in_picos()
}
