//! Places aboard that are given up to more urgent orders.

use super::*;

impl Model {
    /// An interactive order waits: somebody may have to make room.
    pub(super) fn take_place(&mut self, slot: u32) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let order = self.order(slot)?.clone();
        if !policy.preempt || order.demand.class != Class::Interactive {
            return Ok(());
        }
        let told = |event: &Event| match event {
            Event::Allocator(allocator::Event::OrderPreempted { order, vessel, by, .. }) => {
                Some((order.slot().0, *vessel, *by))
            }
            _ => None,
        };
        // At most the word about its stop comes before it.
        let next = self.record.iter().take(2).find_map(told).filter(|(.., by)| *by == order.id);
        let Some((victim, vessel, _)) = next else {
            let up = self.ships.iter().filter(|(_, ship)| {
                ship.status == VesselStatus::Up
                    && ship.manifest.models.contains(&order.demand.model)
            });
            let up: Vec<u32> = up.map(|(id, _)| *id).collect();
            let all = usize::from(policy.candidates) >= up.len();
            let any = up.iter().find_map(|id| self.last_of(*id, &order));
            return match any {
                Some(victim) if all => wrong(format!("{victim} is left where it is")),
                _ => Ok(()),
            };
        };
        if self.last_of(vessel.0, &order) != Some(victim) {
            return wrong(format!("{victim} is not who gives way on {vessel}"));
        }
        self.give_way(victim, order.id)
    }

    /// The slot of who was handed to a vessel last, of those that may be stopped there for this order.
    fn last_of(&self, vessel: u32, wanting: &Live) -> Option<u32> {
        let ship = &self.ships[&vessel];
        let serves = ship.manifest.models.contains(&wanting.demand.model);
        let kept = ship.keeps_for.is_some();
        if !serves || kept || Self::slots(ship) == 0 || !self.holds(vessel, &wanting.demand) {
            return None;
        }
        if self.asks_too_much(wanting, vessel) {
            return None;
        }
        let mut aboard: Vec<&Live> = self.orders.values().collect();
        aboard.retain(|order| {
            let leg = order.route.get(order.leg).filter(|_| order.stage == Stage::Running);
            let prompts = leg.is_some_and(|leg| {
                leg.vessel.0 == vessel && !matches!(leg.kind, LegKind::Hop | LegKind::Decode)
            });
            prompts
                && order.demand.class == Class::Batch
                && order.demand.window.is_none()
                && order.first_token == 0
                && order.bounced < 8
                && !self.hedges.contains_key(&order.id.slot().0)
        });
        let last = aboard.into_iter().max_by_key(|order| (order.dispatched, order.id));
        last.map(|order| order.id.slot().0)
    }

    /// An order is stopped and waits again.
    fn give_way(&mut self, slot: u32, by: OrderId) -> Decided<()> {
        let order = self.order(slot)?.clone();
        let held = Self::held(&order);
        self.await_stop(&order, None, 0, Some(by))?;
        self.give_back(&order, &held)?;
        let row = self.order(slot)?;
        (row.stage, row.wake) = (Stage::Backoff, row.deadline);
        row.bounced += 1;
        self.give_turn_back(slot, 0)?;
        self.expect(allocator::Event::OrderPreempted {
            order: order.id,
            attempt: order.attempt,
            leg: order.leg as u8,
            vessel: order.route[order.leg].vessel,
            by,
        })?;
        self.enqueue(slot)?;
        self.left(&held)
    }
}
