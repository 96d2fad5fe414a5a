//! Who waits, who goes next, and whatever falls due.

use super::*;
use tensorforge_engine::workflow::Fault;

impl Model {
    pub(super) fn enqueue(&mut self, slot: u32) -> Decided<()> {
        let (ahead, now) = (self.queue_length(), self.now);
        self.tickets += 1;
        let ticket = self.tickets;
        let order = self.order(slot)?;
        order.stage = Stage::Queued;
        order.ticket = ticket;
        order.queued = now;
        order.wake = order.deadline;
        let order = order.id;
        self.expect(queue::Event::OrderQueued { order, ticket, ahead })
    }

    /// The order that heads a lane.
    pub(super) fn head(&self, lane: Lane) -> Option<u32> {
        let waiting = self.orders.values().filter(|order| {
            order.stage == Stage::Queued && (order.demand.model, order.demand.class) == lane
        });
        waiting.min_by_key(|order| order.ticket).map(|order| order.id.slot().0)
    }

    /// Those who wait, once all else is decided, where something has come free: due first, goes first.
    pub(super) fn serve(&mut self) -> Decided<()> {
        let mut lanes = std::mem::take(&mut self.noted_lanes);
        for id in std::mem::take(&mut self.noted_ships) {
            let Some(ship) = self.ships.get(&id).filter(|ship| Self::is_open(ship)) else {
                continue;
            };
            for model in &ship.manifest.models {
                lanes.extend(Class::ALL.iter().map(|class| (*model, *class)));
            }
        }
        let Ok((_, policy)) = self.policy() else { return Ok(()) };
        loop {
            let due = |lane: &Lane| {
                let order = &self.orders[&self.head(*lane)?];
                Some((order.queued + policy.patience[lane.1 as usize].0, order.ticket, *lane))
            };
            let Some((.., lane)) = lanes.iter().filter_map(due).min() else { return Ok(()) };
            let deferred = queue::Event::ServiceDeferred { at: Micros(self.now) };
            if self.record.front() == Some(&Event::from(deferred.clone())) {
                // How much a record holds is the engine's to say; that something is left is not.
                self.serve_at = Some(self.now);
                return self.expect(deferred);
            }
            let Some(slot) = self.head(lane) else { return Ok(()) };
            let demand = self.order(slot)?.demand.clone();
            if self.has_room(&demand) {
                self.route(slot, None)?;
            } else {
                lanes.remove(&lane);
            }
        }
    }

    /// Whatever is due, by its moment; at one moment the review first, then those who wait, then
    /// vessels, then orders.
    pub(super) fn advance(&mut self) -> Decided<()> {
        for _ in 0..256 {
            let mut due: Vec<(u64, u8, u64)> = Vec::new();
            if self.review_at > 0 {
                due.push((self.review_at, 0, 0));
            }
            due.extend(self.serve_at.map(|at| (at, 1, 0)));
            let ships = self.ships.iter();
            due.extend(ships.map(|(id, ship)| (Self::ship_wake(ship), 2, (*id).into())));
            due.extend(self.orders.values().map(|order| (order.wake, 3, order.id.0)));
            let Some((_, kind, id)) = due.into_iter().min().filter(|(at, ..)| *at <= self.now)
            else {
                return Ok(());
            };
            let slot = (id & 0x00ff_ffff) as u32;
            match kind {
                0 => self.review()?,
                1 => self.resume()?,
                2 => self.ship_due(VesselId(slot))?,
                _ => self.order_due(slot)?,
            }
        }
        Ok(())
    }

    fn resume(&mut self) -> Decided<()> {
        self.serve_at = None;
        for model in 0..self.models.len() as u32 {
            self.noted_lanes.extend(Class::ALL.iter().map(|class| (ModelId(model), *class)));
        }
        self.expect(queue::Event::ServiceResumed)
    }

    fn ship_due(&mut self, vessel: VesselId) -> Decided<()> {
        let now = self.now;
        let ship = self.ship(vessel)?;
        if ship.status == VesselStatus::Lost {
            return self.fail_over(vessel);
        }
        if ship.breaker != Breaker::Open || ship.retry_at > now {
            return self.lose(vessel, LossCause::Silent);
        }
        ship.breaker = Breaker::Probing;
        self.expect(resilience::Event::BreakerProbing { vessel })?;
        self.noted_ships.insert(vessel.0);
        Ok(())
    }

    /// Everything that a lost vessel had aboard, first come first.
    fn fail_over(&mut self, vessel: VesselId) -> Decided<()> {
        let aboard = |order: &&Live| {
            let rest = order.route.get(order.leg..).unwrap_or_default();
            let holds = |leg: &Leg| leg.kind != LegKind::Hop && leg.vessel == vessel;
            order.stage == Stage::Running && rest.iter().any(holds)
        };
        let mut orders: Vec<OrderId> =
            self.orders.values().filter(aboard).map(|order| order.id).collect();
        orders.sort_unstable();
        orders.into_iter().try_for_each(|id| self.fail(id.slot().0, Fault::VesselLost))
    }

    fn order_due(&mut self, slot: u32) -> Decided<()> {
        let now = self.now;
        let order = self.order(slot)?.clone();
        if order.deadline <= now {
            return self.end(slot, End::Expired);
        }
        match order.stage {
            Stage::Running if self.sunk(&order) => self.fail(slot, Fault::VesselLost),
            Stage::Running => self.fail(slot, Fault::Timeout),
            Stage::Backoff => self.route_or_queue(slot, None),
            Stage::Berthed => {
                let vessel = self.release_berth(slot)?;
                self.route_or_queue(slot, vessel)
            }
            Stage::Queued => wrong("an order in the queue wakes at its deadline alone"),
        }
    }

    fn review(&mut self) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let escalation = policy.escalation;
        let queued = u64::from(self.limits.as_ref().map_or(1, |limits| limits.queued));
        let failing = rules::share(self.failed, self.completed + self.failed);
        let pressure = rules::share(self.queue_length(), queued);
        let counted = |status, breakers: &[Breaker]| {
            let ships = self.ships.values();
            ships.filter(|s| s.status == status && breakers.contains(&s.breaker)).count() as u64
        };
        let missing =
            counted(VesselStatus::Lost, Breaker::ALL) + counted(VesselStatus::Up, &[Breaker::Open]);
        let working = counted(VesselStatus::Up, &[Breaker::Closed, Breaker::Probing]);
        let lost = rules::share(missing, missing + working);
        let risk = failing.max(pressure).max(lost);
        let next = self.now + escalation.review.0;
        (self.risk, self.completed, self.failed, self.review_at) = (risk, 0, 0, next);
        self.expect(policy::Event::RiskReviewed {
            risk: Ppm(risk),
            failing: Ppm(failing),
            pressure: Ppm(pressure),
            lost: Ppm(lost),
            next: Micros(next),
        })?;
        let thresholds = [escalation.elevated, escalation.restricted, escalation.halted];
        let level = |risk: u64| thresholds.iter().filter(|least| risk >= least.0).count() as u8;
        let from = self.level;
        let held = self.now - self.level_since;
        if level(risk) > from {
            self.level = level(risk);
        } else if level(risk + escalation.hysteresis.0) < from && held >= escalation.dwell.0 {
            self.level -= 1;
        }
        if self.level == from {
            return Ok(());
        }
        self.level_since = self.now;
        let [from, to] = [from, self.level].map(|level| LEVELS[usize::from(level)]);
        self.expect(policy::Event::LevelChanged { from, to, risk: Ppm(risk) })
    }
}
