//! Who waits, who goes next, and whatever falls due.

use super::*;
use tensorforge_engine::workflow::Fault;

impl Model {
    pub(super) fn enqueue(&mut self, slot: u32) -> Decided<()> {
        self.go_without(slot)?;
        let (ahead, now, ripe_at) = (self.queue_length(), self.now, self.gathers(slot)?);
        self.tickets += 1;
        let ticket = self.tickets;
        let order = self.order(slot)?.clone();
        let (model, class) = (order.demand.model, order.demand.class);
        let of_class: Vec<u32> =
            self.in_queue(model).filter(|o| o.demand.class == class).map(|o| o.tenant).collect();
        let nobody = !self.waiting(model).any(|o| o.demand.class == class);
        self.take_turns((model, class, order.tenant))?;
        let queue = self.queues.entry(model).or_default();
        if queue.first == 0 {
            queue.first = ticket;
        }
        // Whoever was away has saved up nothing.
        let place = class as usize;
        if nobody {
            queue.classes[place] = queue.classes[place].max(queue.floor);
        }
        let served = queue.tenants.entry((class, order.tenant)).or_default();
        if !of_class.contains(&order.tenant) {
            *served = (*served).max(queue.floors[place]);
        }
        let order = self.order(slot)?;
        order.stage = Stage::Queued;
        order.ticket = ticket;
        order.queued = now;
        order.wake = order.deadline;
        (order.gathered, order.gathering) = (false, false);
        let order = order.id;
        self.noted_models.insert(model);
        let told = Micros(ripe_at.unwrap_or(0));
        self.expect(queue::Event::OrderQueued { order, ticket, ahead, ripe_at: told })?;
        let Some(at) = ripe_at else { return Ok(()) };
        self.gathers_more(slot, at)?;
        self.go_if_enough(model)
    }

    /// Has a tenant take turns. There are as many places as orders may live: where all are taken, the first of
    /// somebody who does not wait is given away, and what he was served with it.
    fn take_turns(&mut self, lane: (ModelId, Class, u32)) -> Decided<()> {
        if self.turns.values().any(|known| *known == lane) {
            return Ok(());
        }
        let most = self.limits.as_ref().map_or(0, |limits| limits.orders as usize);
        if self.turns.len() >= most {
            let waits = |lane: &(ModelId, Class, u32)| {
                let (model, class, tenant) = *lane;
                self.in_queue(model).any(|o| (o.demand.class, o.tenant) == (class, tenant))
            };
            let idle = self.turns.iter().find(|(_, lane)| !waits(lane)).map(|(slot, _)| *slot);
            if let Some((model, class, tenant)) = idle.and_then(|slot| self.turns.remove(&slot)) {
                self.queues.get_mut(&model).map(|queue| queue.tenants.remove(&(class, tenant)));
            }
        }
        let slot = (0..).find(|slot| !self.turns.contains_key(slot)).unwrap_or(0);
        self.turns.insert(slot, lane);
        Ok(())
    }

    /// Those who wait for room on the vessels of a model.
    pub(super) fn waiting(&self, model: ModelId) -> impl Iterator<Item = &Live> {
        self.in_queue(model).filter(|order| !order.gathering)
    }

    /// Those in the queue of a model, who gather among them.
    pub(super) fn in_queue(&self, model: ModelId) -> impl Iterator<Item = &Live> {
        let queued =
            move |order: &&Live| order.stage == Stage::Queued && order.demand.model == model;
        self.orders.values().filter(queued)
    }

    fn goes_by_price(&self, class: Class) -> bool {
        self.policies.last().is_some_and(|policy| policy.price_time[class as usize])
    }

    /// Whose turn it is of those who wait for a model: the least served class, its least served tenant,
    /// of his orders that which expires first, or of all that which may cost most and came first; nobody counts who finds no room.
    pub(super) fn next(&self, model: ModelId) -> Option<u32> {
        self.next_within(model, [u64::MAX; 2])
    }

    /// The same of those whose least vessel is no larger than that.
    pub(super) fn next_within(&self, model: ModelId, most: [u64; 2]) -> Option<u32> {
        let queue = self.queues.get(&model)?;
        let rank = |order: &&Live| {
            let class = order.demand.class;
            let first = (queue.classes[class as usize], class);
            let slot = order.id.slot();
            if self.goes_by_price(class) {
                // Whatever it takes is more than any price.
                let limit = order.demand.limit;
                let below = if limit == 0 { 0 } else { u64::from(u32::MAX) + 1 - u64::from(limit) };
                return (first, (0, 0), (below, order.ticket, slot));
            }
            let turn = (queue.tenants[&(class, order.tenant)], order.tenant);
            (first, turn, (order.deadline, 0, slot))
        };
        let ready = self.waiting(model).filter(|order| {
            self.fit(&order.demand) <= most[usize::from(routes::is_embedding(&order.demand))]
        });
        let ready = ready.filter(|order| self.has_room(&order.demand));
        ready.min_by_key(rank).map(|order| order.id.slot().0)
    }

    /// An order that waits gets its turn: its class is charged by its share, its tenant by the token.
    pub(super) fn choose(&mut self, slot: u32) -> Decided<()> {
        let (now, order) = (self.now, self.order(slot)?.clone());
        let (_, policy) = self.policy()?;
        let (class, place) = (order.demand.class, order.demand.class as usize);
        let tokens = order.demand.tokens_in.0 + 2 * order.demand.tokens_out_max.0;
        let overdue = now >= self.waits_since(&order)? + policy.patience[place].0;
        let lent = if overdue { policy.shares.overdue } else { 0 };
        let share = policy.shares.classes[place] + lent;
        let Some(queue) = self.queues.get_mut(&order.demand.model) else {
            return wrong("nobody waits");
        };
        let class_served = queue.classes[place];
        queue.classes[place] += tokens * 4_096 / u64::from(share);
        queue.floor = queue.floor.max(class_served);
        let served = queue.tenants.entry((class, order.tenant)).or_default();
        let tenant_served = *served;
        *served += tokens;
        queue.floors[place] = queue.floors[place].max(tenant_served);
        self.expect(queue::Event::OrderChosen {
            order: order.id,
            tokens,
            share,
            class_served,
            tenant_served,
        })
    }

    /// When nobody waits for a model any more, all is forgotten.
    pub(super) fn forget_if_idle(&mut self, model: ModelId) {
        if self.in_queue(model).next().is_none() {
            self.queues.remove(&model);
            self.turns.retain(|_, (of, ..)| *of != model);
        }
    }

    /// Gives back what an attempt did not need of what it was charged for, while others still wait.
    pub(super) fn give_turn_back(&mut self, slot: u32, worked: u64) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let order = self.order(slot)?;
        let ticket = std::mem::take(&mut order.ticket);
        let order = order.clone();
        let (class, place) = (order.demand.class, order.demand.class as usize);
        let spared = (order.demand.tokens_in.0 + 2 * order.demand.tokens_out_max.0) - worked;
        let queue = self.queues.get_mut(&order.demand.model);
        if let Some(queue) = queue.filter(|queue| ticket > 0 && ticket >= queue.first) {
            let parts = spared * 4_096 / u64::from(policy.shares.classes[place]);
            queue.classes[place] = queue.classes[place].saturating_sub(parts);
            if let Some(served) = queue.tenants.get_mut(&(class, order.tenant)) {
                *served = served.saturating_sub(spared);
            }
        }
        Ok(())
    }

    /// Those who wait, once all else is decided, for each model for which something may have come free.
    /// Between models a draw decides: the record says for which.
    pub(super) fn serve(&mut self) -> Decided<()> {
        self.serve_berths()?;
        // Nobody else has a place that was made for one who still wants it.
        for order in std::mem::take(&mut self.wanting) {
            let slot = order.slot().0;
            let wants = |row: &Live| row.id == order && row.stage == Stage::Queued;
            if self.orders.get(&slot).is_some_and(wants) {
                self.find_way(slot)?;
            }
        }
        let mut models = std::mem::take(&mut self.noted_models);
        for id in std::mem::take(&mut self.noted_ships) {
            if self.is_open(id) {
                models.extend(self.ships[&id].manifest.models.iter().copied());
            }
        }
        loop {
            let turns = models.iter().map(|model| self.next_on_the_way(*model));
            let turns: Vec<u32> = turns.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            if turns.is_empty() {
                return Ok(());
            }
            let deferred = queue::Event::ServiceDeferred { at: Micros(self.now) };
            if self.record.front() == Some(&Event::from(deferred.clone())) {
                // How much a record holds is the engine's to say; that something is left is not.
                self.serve_at = Some(self.now);
                return self.expect(deferred);
            }
            let order = match self.record.front() {
                Some(Event::Queue(
                    queue::Event::OrderChosen { order, .. }
                    | queue::Event::OrderOverdue { order, .. },
                )) => *order,
                Some(Event::Allocator(
                    allocator::Event::OrderHeldBack { order, .. }
                    | allocator::Event::OrderTooDear { order, .. },
                )) => *order,
                other => return wrong(format!("{turns:?} wait, but {other:?}")),
            };
            let slot = order.slot().0;
            if !turns.contains(&slot) {
                return wrong(format!("{order} is not of those whose turn it is: {turns:?}"));
            }
            self.find_way(slot)?;
        }
    }

    /// Whatever is due, by its moment; at one moment the review first, then those who wait, then who gathers, then
    /// vessels, then orders, then stops, then jobs.
    pub(super) fn advance(&mut self) -> Decided<()> {
        for _ in 0..256 {
            let mut due: Vec<(u64, u8, u64)> = Vec::new();
            if self.review_at > 0 {
                due.push((self.review_at, 0, 0));
            }
            due.extend(self.serve_at.map(|at| (at, 1, 0)));
            let ships = self.ships.iter();
            let lines = self.queues.keys();
            due.extend(lines.map(|model| (self.gathered(*model).2, 2, model.0.into())));
            due.extend(ships.map(|(id, ship)| (Self::ship_wake(ship), 3, (*id).into())));
            due.extend(self.orders.values().map(|order| (order.wake, 4, order.id.0)));
            due.extend(self.stops.iter().map(|(slot, row)| (row.until.0, 5, (*slot).into())));
            due.extend(self.jobs.iter().map(|(slot, job)| (job.wake, 6, (*slot).into())));
            let Some((_, kind, id)) = due.into_iter().min().filter(|(at, ..)| *at <= self.now)
            else {
                return Ok(());
            };
            let slot = (id & 0x00ff_ffff) as u32;
            match kind {
                0 => self.review()?,
                1 => self.resume()?,
                2 => self.go(ModelId(slot))?,
                3 => self.ship_due(VesselId(slot))?,
                5 => self.answered(slot, None)?,
                6 => self.go_on(slot)?,
                _ => self.order_due(slot)?,
            }
        }
        Ok(())
    }

    fn resume(&mut self) -> Decided<()> {
        self.serve_at = None;
        self.note_all();
        self.expect(queue::Event::ServiceResumed)
    }

    fn ship_due(&mut self, vessel: VesselId) -> Decided<()> {
        let now = self.now;
        let ship = self.ship(vessel)?;
        if let Some((_, berth)) = ship.maintenance.filter(|(at, _)| *at <= now) {
            return self.maintenance_due(vessel, berth);
        }
        match ship.status {
            VesselStatus::Lost => return self.fail_over(vessel),
            VesselStatus::Restarting => {
                self.fail_over(vessel)?;
                return self.returned(vessel, 0);
            }
            VesselStatus::Joining => return self.lose(vessel, LossCause::NeverJoined),
            _ => {}
        }
        if ship.breaker != Breaker::Open || ship.retry_at > now {
            if ship.paused == 0 || ship.paused > now {
                return self.lose(vessel, LossCause::Silent);
            }
            ship.paused = 0;
            self.noted_ships.insert(vessel.0);
            return self.expect(resilience::Event::VesselResumed { vessel });
        }
        (ship.breaker, ship.turned) = (Breaker::Probing, now);
        let (_, policy) = self.policy()?;
        let probes = policy.breaker.probes;
        self.ship(vessel)?.probes = probes;
        self.expect(resilience::Event::BreakerProbing { vessel, probes })?;
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
        orders.into_iter().try_for_each(|id| self.fail_over_one(id.slot().0))?;
        let stops = self.stops.iter().filter(|(_, row)| row.vessel == vessel);
        let stops: Vec<u32> = stops.map(|(slot, _)| *slot).collect();
        stops.into_iter().try_for_each(|slot| self.answered(slot, None))
    }

    fn order_due(&mut self, slot: u32) -> Decided<()> {
        let now = self.now;
        let order = self.order(slot)?.clone();
        if order.deadline <= now {
            self.settle_on(slot, order.leg)?;
            let late = order.stage == Stage::Running && order.dispatched + order.within < now;
            return if late && !self.sunk(&order) {
                self.fail(slot, Fault::Timeout)
            } else {
                self.end(slot, End::Expired)
            };
        }
        match order.stage {
            Stage::Running if self.sunk(&order) => self.fail_over_one(slot),
            Stage::Running => self.overdue(slot),
            Stage::Backoff if self.kept_for(slot).is_empty() && self.must_wait_on(&order)? => {
                self.postpone(slot)
            }
            Stage::Backoff => self.route_or_queue(slot),
            Stage::Berthed => self.berth_due(slot),
            Stage::Queued => wrong("an order in the queue wakes at its deadline alone"),
        }
    }

    /// How many attempts lately were made because a call had failed, and how many were not.
    pub(super) fn retries(&self) -> Decided<[u64; 2]> {
        let (_, policy) = self.policy()?;
        let [a, b, c, .., retries] = self.flow.sum(self.now, policy.escalation.window.0);
        Ok([retries, a + b + c - retries])
    }

    /// Whether an order whose call failed may not be tried again yet.
    fn must_wait_on(&self, order: &Live) -> Decided<bool> {
        let (_, policy) = self.policy()?;
        let [retries, others] = self.retries()?;
        let within = (retries + 1) * 1_000_000 <= others * policy.retry.budget.0;
        Ok(order.retry && !within && retries >= u64::from(policy.retry.least))
    }

    fn postpone(&mut self, slot: u32) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let ([retries, others], now) = (self.retries()?, self.now);
        let half = (policy.retry.backoff_max.0 / 2).max(100_000);
        let Some(Event::Resilience(resilience::Event::RetryPostponed { at, .. })) =
            self.record.front().cloned()
        else {
            return wrong(format!("not put off, but {:?}", self.record.front()));
        };
        if !(now + half..now + 2 * half).contains(&at.0) {
            return wrong(format!("put off to {at}, not by {half} and a half of it"));
        }
        let order = self.order(slot)?;
        order.wake = at.0.min(order.deadline);
        let order = order.id;
        self.expect(resilience::Event::RetryPostponed { order, retries, others, at })
    }

    /// An order is routed, or expires while it waits to be: was that late?
    pub(super) fn note_routed(&mut self, order: &Live, retry: bool) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let class = order.demand.class as usize;
        let waited = rules::share(
            self.now.saturating_sub(self.waits_since(order)?),
            order.deadline.saturating_sub(order.queued),
        );
        let late = order.stage == Stage::Queued && waited >= policy.escalation.late.0;
        let places = [Some(class), late.then_some(class + 3), retry.then_some(6)];
        let places: Vec<usize> = places.into_iter().flatten().collect();
        self.flow.add(self.now, policy.escalation.window.0, &places);
        Ok(())
    }
}
