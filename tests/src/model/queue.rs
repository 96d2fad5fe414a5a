//! Who waits, who goes next, and whatever falls due.

use tensorforge_engine::command::Fault;

use super::*;

type Lane = (ModelId, Class);

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
        self.expect(Event::OrderQueued { order, ticket, ahead })
    }

    /// The order that heads a lane.
    pub(super) fn head(&self, lane: Lane) -> Option<u32> {
        let waiting = self.orders.values().filter(|order| {
            order.stage == Stage::Queued && (order.demand.model, order.demand.class) == lane
        });
        waiting.min_by_key(|order| order.ticket).map(|order| order.id.slot().0)
    }

    fn routable(&mut self, slot: u32) -> Decided<bool> {
        let demand = self.order(slot)?.demand.clone();
        Ok(self.has_room(&demand))
    }

    /// Those who wait, now that a vessel may have room: due first, goes first.
    pub(super) fn pump(&mut self, vessel: VesselId) -> Decided<()> {
        let models = self.ship(vessel)?.manifest.models.clone();
        let mut lanes: Vec<Lane> =
            models.iter().flat_map(|m| Class::ALL.iter().map(|c| (*m, *c))).collect();
        let Ok((_, policy)) = self.policy() else { return Ok(()) };
        let mut moved = Vec::new();
        loop {
            // Where no room is left on the vessel, a lane with another head may find some elsewhere.
            if !Self::is_open(self.ship(vessel)?) {
                lanes.retain(|lane| moved.contains(lane));
            }
            let due = |lane: &Lane| {
                let order = &self.orders[&self.head(*lane)?];
                Some((order.queued + policy.patience[lane.1 as usize].0, order.ticket, *lane))
            };
            let Some((_, _, lane)) = lanes.iter().filter_map(due).min() else { break };
            let Some(slot) = self.head(lane) else { break };
            if self.routable(slot)? {
                self.route(slot, None)?;
                moved.push(lane);
            } else {
                lanes.retain(|other| *other != lane);
            }
        }
        Ok(())
    }

    /// Those who wait in one lane, as far as there is room.
    pub(super) fn pump_lane(&mut self, lane: Lane) -> Decided<()> {
        while let Some(slot) = self.head(lane) {
            if !self.routable(slot)? {
                break;
            }
            self.route(slot, None)?;
        }
        Ok(())
    }

    /// Whatever is due, by its moment; at one moment the review first, then vessels, then orders.
    pub(super) fn advance(&mut self) -> Decided<()> {
        let now = self.now;
        let mut due: Vec<(u64, u8, u64)> = Vec::new();
        if self.review_at > 0 {
            due.push((self.review_at, 0, 0));
        }
        due.extend(self.ships.iter().map(|(id, ship)| (Self::ship_wake(ship), 1, (*id).into())));
        due.extend(self.orders.values().map(|order| (order.wake, 2, order.id.0)));
        due.retain(|(at, ..)| *at <= now);
        due.sort_unstable();
        due.truncate(256);
        for (at, kind, id) in due {
            let slot = (id & 0x00ff_ffff) as u32;
            match kind {
                0 if self.review_at == at => self.review()?,
                1 if self.ships.get(&slot).is_some_and(|ship| Self::ship_wake(ship) == at) => {
                    self.ship_due(VesselId(slot))?;
                }
                2 if self.orders.get(&slot).is_some_and(|o| o.id.0 == id && o.wake == at) => {
                    self.order_due(slot)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn ship_due(&mut self, vessel: VesselId) -> Decided<()> {
        let now = self.now;
        let ship = self.ship(vessel)?;
        if ship.breaker != Breaker::Open || ship.retry_at > now {
            return self.lose(vessel, LossCause::Silent);
        }
        ship.breaker = Breaker::Probing;
        self.expect(Event::BreakerProbing { vessel })?;
        self.pump(vessel)
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
        self.expect(Event::RiskReviewed {
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
        self.expect(Event::LevelChanged { from, to, risk: Ppm(risk) })
    }
}
