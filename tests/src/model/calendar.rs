//! Berths: who is promised what, and what may not pass for it.

use super::*;

/// What is promised of a vessel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Berth {
    pub(super) vessel: u32,
    pub(super) from: u64,
    pub(super) until: u64,
    /// Nobody's, where it is for maintenance.
    pub(super) order: Option<OrderId>,
    /// Whether its time has come.
    pub(super) open: bool,
}

impl Berth {
    fn slots(&self) -> u64 {
        if self.order.is_some() { 1 } else { 1 << 20 }
    }
}

impl Model {
    fn berths_of(&self, vessel: u32) -> impl Iterator<Item = (&u32, &Berth)> {
        self.berths.iter().filter(move |(_, berth)| berth.vessel == vessel)
    }

    fn free_berth(&self) -> u32 {
        (0..).find(|id| !self.berths.contains_key(id)).unwrap_or(0)
    }

    /// When a vessel has to be looked at for its maintenance.
    fn note_maintenance(&mut self, vessel: u32) {
        let due = |berth: &Berth| if berth.open { berth.until } else { berth.from };
        let first = self
            .berths_of(vessel)
            .filter(|(_, berth)| berth.order.is_none())
            .map(|(id, berth)| (due(berth), *id))
            .min();
        if let Some(ship) = self.ships.get_mut(&vessel) {
            ship.maintenance = first;
        }
    }

    /// The slots of a vessel that are kept for those whose time has come.
    pub(super) fn kept(&self, vessel: u32) -> u64 {
        self.berths_of(vessel).filter(|(_, b)| b.open).map(|(_, b)| b.slots()).sum()
    }

    pub(super) fn maintain(
        &mut self,
        limits: &Limits,
        vessel: VesselId,
        window: &Window,
    ) -> Decided<()> {
        if self.ship(vessel)?.status == VesselStatus::Retired {
            return Err(models::Refusal::WrongStatus.into());
        }
        if window.from >= window.until || window.from.0 < self.now {
            return Err(workflow::Refusal::Invalid { fault: "told".into() }.into());
        }
        if self.berths.len() >= limits.berths as usize {
            return full(Bound::Berths, limits.berths);
        }
        let meets = |b: &Berth| b.from < window.until.0 && window.from.0 < b.until;
        let met = self.berths_of(vessel.0).filter(|(_, b)| meets(b)).map(|(id, _)| *id).min();
        if let Some(berth) = met {
            return Err(allocator::Refusal::Promised { berth: BerthId(berth) }.into());
        }
        let (id, Window { from, until }) = (self.free_berth(), window.clone());
        let row =
            Berth { vessel: vessel.0, from: from.0, until: until.0, order: None, open: false };
        self.berths.insert(id, row);
        self.note_maintenance(vessel.0);
        let (berth, window) = (BerthId(id), window.clone());
        self.expect(allocator::Event::MaintenancePlanned { berth, vessel, window })
    }

    pub(super) fn end_maintenance(&mut self, vessel: VesselId) -> Decided<()> {
        let ship = self.ship(vessel)?;
        let Some((_, berth)) = ship.maintenance else {
            return Err(allocator::Refusal::NoMaintenance.into());
        };
        self.maintenance_over(vessel, berth)
    }

    fn maintenance_over(&mut self, vessel: VesselId, berth: u32) -> Decided<()> {
        self.berths.remove(&berth);
        self.note_maintenance(vessel.0);
        self.noted_ships.insert(vessel.0);
        self.expect(allocator::Event::MaintenanceEnded { berth: BerthId(berth), vessel })
    }

    /// Maintenance that begins now, or ends.
    pub(super) fn maintenance_due(&mut self, vessel: VesselId, berth: u32) -> Decided<()> {
        let row = self.berths[&berth].clone();
        if row.until <= self.now {
            return self.maintenance_over(vessel, berth);
        }
        self.open_berth(berth, row.until)?;
        self.note_maintenance(vessel.0);
        Ok(())
    }

    fn open_berth(&mut self, berth: u32, until: u64) -> Decided<()> {
        let Some(row) = self.berths.get_mut(&berth) else { return wrong("no such berth") };
        row.open = true;
        let (vessel, order, slots) = (VesselId(row.vessel), row.order, row.slots() as u32);
        let (berth, until) = (BerthId(berth), Micros(until));
        self.expect(allocator::Event::BerthOpened { berth, vessel, order, slots, until })
    }

    /// When those aboard a vessel are expected to be off it.
    fn ends(&self, vessel: u32) -> Vec<u64> {
        let pace = self.pace_of(vessel);
        let manifest = &self.ships[&vessel].manifest;
        let mut ends = Vec::new();
        for order in self.orders.values().filter(|order| order.stage == Stage::Running) {
            let (usual, late) = self.expected(order);
            let late = if order.retry { order.demand.tokens_out_max.0 } else { late };
            let (mut work, mut since) = (0, order.dispatched);
            let second = self.hedges.get(&order.id.slot().0);
            for (place, leg) in order.route[order.leg..].iter().enumerate() {
                work += leg.work.0;
                if let Some((dispatched, _)) = second.filter(|_| place > 0) {
                    // Beside the first, and not after it.
                    (work, since) = (leg.work.0, *dispatched);
                }
                let answers = leg.kind == LegKind::Whole || leg.kind == LegKind::Decode;
                if leg.vessel.0 != vessel || leg.kind == LegKind::Hop {
                    continue;
                }
                let more = if answers { rules::answer_time(manifest, late - usual) } else { 0 };
                let time = u128::from(work + more) * u128::from(pace) / 100;
                let window = order.demand.window.as_ref().map_or(0, |window| window.until.0);
                let end = (since + rules::narrow(time)).max(window);
                ends.push(end.max(self.now + 1));
            }
        }
        let stops = self.stops.values().filter(|row| row.vessel.0 == vessel);
        ends.extend(stops.map(|row| row.until.0));
        ends
    }

    /// The slots of a vessel that are taken or promised at a moment.
    fn taken(&self, vessel: u32, moment: u64, open_from_now: bool) -> u64 {
        let aboard = self.ends(vessel).into_iter().filter(|end| *end > moment).count() as u64;
        let covers =
            |b: &Berth| (b.from <= moment || (open_from_now && b.open)) && b.until > moment;
        let berths = self.berths_of(vessel).filter(|(_, b)| covers(b));
        aboard + berths.map(|(_, b)| b.slots()).sum::<u64>()
    }

    /// The first promise that one more aboard until then would break.
    pub(super) fn promised(&self, vessel: u32, end: u64) -> Option<u64> {
        let coming = self.berths_of(vessel).filter(|(_, b)| !b.open && b.from < end);
        let mut moments: Vec<u64> = coming.map(|(_, b)| b.from.max(self.now)).collect();
        moments.sort_unstable();
        let slots = u64::from(self.ships[&vessel].manifest.slots);
        moments.into_iter().find(|moment| self.taken(vessel, *moment, true) >= slots)
    }

    /// From when on a vessel has a slot for so long, and not before.
    fn earliest(&self, vessel: u32, from: u64, length: u64) -> Option<u64> {
        let slots = u64::from(self.ships[&vessel].manifest.slots);
        let mut moments: Vec<u64> = self.berths_of(vessel).map(|(_, b)| b.until).collect();
        moments.extend(self.ends(vessel));
        moments.push(from);
        moments.sort_unstable();
        moments.retain(|moment| *moment >= from);
        moments.into_iter().find(|start| {
            let begins = self.berths_of(vessel).map(|(_, b)| b.from);
            let within = begins.filter(|at| at > start && *at < start + length);
            within.chain([*start]).all(|at| self.taken(vessel, at, false) < slots)
        })
    }

    /// The berth that an order may have got: the record says on which vessel, of those with the fewest
    /// berths in the window. All are asked in a fleet of no more than sixteen.
    pub(super) fn berth(
        &self,
        limits: &Limits,
        tenant: u32,
        demand: &Demand,
        window: &Window,
    ) -> Decided<(u32, VesselId, u32)> {
        if self.berths.len() >= limits.berths as usize {
            return full(Bound::Berths, limits.berths);
        }
        let (from, until) = (window.from.0, window.until.0);
        let (answer, _) = self.expected_of(tenant, demand);
        let (mut fitting, mut earliest) = (BTreeMap::new(), u64::MAX);
        for (id, ship) in &self.ships {
            let fits = ship.status == VesselStatus::Up
                && ship.manifest.role == Role::Whole
                && ship.manifest.models.contains(&demand.model)
                && ship.manifest.context_max.0 >= routes::size(demand);
            // Nothing is taken to be in a cache by then.
            let price = rules::prompt_price(&ship.manifest, demand.tokens_in.0, 0)
                .saturating_add(rules::answer_price(&ship.manifest, answer));
            if !fits || Self::beyond_limit(demand, price) {
                continue;
            }
            let first = self.earliest(*id, from, until - from).unwrap_or(u64::MAX);
            earliest = earliest.min(first);
            if first == from {
                let meets = |b: &Berth| b.from < until && from < b.until;
                let count = self.berths_of(*id).filter(|(_, b)| meets(b)).count();
                fitting.insert(*id, count as u32);
            }
        }
        let none = allocator::Refusal::NoBerth { earliest: Micros(earliest) };
        let least = fitting.values().min().copied().ok_or(none)?;
        let berthed = self.record.iter().find_map(|event| match event {
            Event::Allocator(allocator::Event::OrderBerthed { vessel, .. }) => Some(vessel),
            _ => None,
        });
        let Some(vessel) = berthed else {
            return wrong(format!("no berth, but {:?}", self.record));
        };
        if fitting.get(&vessel.0) != Some(&least) {
            return wrong(format!("a berth on {vessel}, but the choice was {fitting:?}"));
        }
        Ok((self.free_berth(), *vessel, least))
    }

    /// Whether all of these orders have berths in a window; if not, when all of them have. As long as they are for one model
    /// whoever fits a vessel fits every larger one, and it does not matter which one each of them takes.
    pub(super) fn gang(
        &mut self,
        limits: &Limits,
        demands: &[&Demand],
        window: &Window,
    ) -> Decided<()> {
        let length = window.until.0 - window.from.0;
        let Some(mut earliest) = self.gang_at(limits, demands, window.from.0, length)? else {
            return Ok(());
        };
        for _ in 0..2 {
            if earliest == u64::MAX {
                break;
            }
            match self.gang_at(limits, demands, earliest, length) {
                Ok(Some(later)) => earliest = later,
                _ => break,
            }
        }
        Err(allocator::Refusal::NoBerth { earliest: Micros(earliest) }.into())
    }

    /// When the first of these orders that has no berth beside those before it has one; none if all have.
    fn gang_at(
        &mut self,
        limits: &Limits,
        demands: &[&Demand],
        from: u64,
        length: u64,
    ) -> Decided<Option<u64>> {
        let before = self.berths.clone();
        let mut missing = Ok(None);
        for demand in demands {
            if self.berths.len() >= limits.berths as usize {
                missing = full(Bound::Berths, limits.berths);
                break;
            }
            let fits = |(id, ship): &(&u32, &Ship)| {
                ship.status == VesselStatus::Up
                    && ship.manifest.role == Role::Whole
                    && ship.manifest.models.contains(&demand.model)
                    && ship.manifest.context_max.0 >= routes::size(demand)
                    && self.berths_of(**id).count() < 64
            };
            let fitting = self.ships.iter().filter(fits).map(|(id, _)| *id);
            let first = fitting
                .map(|id| (self.earliest(id, from, length).unwrap_or(u64::MAX), id))
                .min()
                .unwrap_or((u64::MAX, 0));
            if first.0 != from {
                missing = Ok(Some(first.0));
                break;
            }
            // Wherever the window is moved to, it is there too.
            let (vessel, order, until) = (first.1, Some(OrderId(0)), u64::MAX);
            self.berths
                .insert(self.free_berth(), Berth { vessel, from, until, order, open: false });
        }
        self.berths = before;
        missing
    }

    pub(super) fn take_berth(
        &mut self,
        slot: u32,
        (berth, vessel, overlapping): (u32, VesselId, u32),
        window: Window,
    ) -> Decided<()> {
        let order = self.order(slot)?;
        order.stage = Stage::Berthed;
        order.berth = Some(berth);
        order.wake = window.from.0.min(order.deadline);
        let order = order.id;
        let Window { from, until } = window;
        let row = Berth {
            vessel: vessel.0,
            from: from.0,
            until: until.0,
            order: Some(order),
            open: false,
        };
        self.berths.insert(berth, row);
        let berth = BerthId(berth);
        self.expect(allocator::Event::OrderBerthed { order, berth, vessel, window, overlapping })
    }

    /// Gives an order's berth back, if it has one.
    pub(super) fn release_berth(&mut self, slot: u32) -> Decided<()> {
        let order = self.order(slot)?;
        let (id, Some(berth)) = (order.id, order.berth.take()) else { return Ok(()) };
        if let Some(row) = self.berths.remove(&berth).filter(|row| row.open) {
            self.noted_ships.insert(row.vessel);
        }
        self.expect(allocator::Event::BerthReleased { order: id, berth: BerthId(berth) })
    }

    /// Begins an order in its berth, if its vessel has a slot; tells whether it had.
    fn begin(&mut self, slot: u32) -> Decided<bool> {
        let order = self.order(slot)?;
        let (Some(berth), demand) = (order.berth, order.demand.clone()) else { return Ok(false) };
        let (vessel, until) = (self.berths[&berth].vessel, self.berths[&berth].until);
        let ship = &self.ships[&vessel];
        let whole = ship.manifest.role == Role::Whole && self.now < until;
        let serves = whole
            && ship.manifest.models.contains(&demand.model)
            && ship.manifest.context_max.0 >= routes::size(&demand);
        if !serves || ship.used >= Self::slots(ship) {
            return Ok(false);
        }
        let order = Live { berthed: true, ..self.order(slot)?.clone() };
        if self.asks_too_much(&order, vessel) {
            return Ok(false);
        }
        self.release_berth(slot)?;
        self.order(slot)?.berthed = true;
        self.route(slot, Some(vessel))?;
        self.order(slot)?.berthed = false;
        Ok(true)
    }

    /// The time of an order's berth has come, or is up.
    pub(super) fn berth_due(&mut self, slot: u32) -> Decided<()> {
        if self.begin(slot)? {
            return Ok(());
        }
        let (_, policy) = self.policy()?;
        let Some(berth) = self.order(slot)?.berth else { return wrong("no berth") };
        let row = self.berths[&berth].clone();
        let until = (row.from + policy.berth_grace.0).min(row.until);
        let up = self.ships[&row.vessel].status == VesselStatus::Up;
        let asks_too_much = self.asks_too_much(&self.orders[&slot], row.vessel);
        if up && !asks_too_much && !row.open && self.now < until {
            let order = self.order(slot)?;
            order.wake = until.min(order.deadline);
            return self.open_berth(berth, until);
        }
        self.release_berth(slot)?;
        self.route_or_queue(slot)
    }

    /// Those for whom slots are kept, or vessels, on vessels that may have room.
    pub(super) fn serve_berths(&mut self) -> Decided<()> {
        for vessel in self.noted_ships.clone() {
            let open = self.berths_of(vessel).filter(|(_, berth)| berth.open);
            let mut orders: Vec<(u64, OrderId)> =
                open.filter_map(|(_, berth)| Some((berth.from, berth.order?))).collect();
            orders.sort_unstable();
            for (_, order) in orders {
                self.begin(order.slot().0)?;
            }
            // Where it finds none any more it waits like everybody else.
            if let Some(slot) = self.ships[&vessel].keeps_for
                && !self.find_way(slot)?
            {
                self.enqueue(slot)?;
            }
        }
        Ok(())
    }

    /// An order is put off because it would cost too much.
    pub(super) fn put_off(&mut self, slot: u32, least: u64) -> Decided<()> {
        let now = self.now;
        self.go_without(slot)?;
        let order = self.order(slot)?;
        let model = order.demand.model;
        let part = order.deadline.saturating_sub(now) / 16;
        let at = now + part.clamp(1_000_000, 300_000_000);
        order.stage = Stage::Backoff;
        order.ticket = 0;
        order.wake = at.min(order.deadline);
        let order = order.id;
        self.forget_if_idle(model);
        let (least, at) = (MicroUsd(least), Micros(at));
        self.expect(allocator::Event::OrderTooDear { order, least, at })
    }

    /// An order is held back because of what is promised.
    pub(super) fn hold_back(&mut self, slot: u32, berthed_at: u64) -> Decided<()> {
        let now = self.now;
        let part = (berthed_at.saturating_sub(now) / 16).max(1_000_000);
        let at = (now + part).min(berthed_at.max(now + 1));
        self.go_without(slot)?;
        let order = self.order(slot)?;
        let model = order.demand.model;
        order.stage = Stage::Backoff;
        order.ticket = 0;
        order.wake = at.min(order.deadline);
        let order = order.id;
        self.forget_if_idle(model);
        let (berthed_at, at) = (Micros(berthed_at), Micros(at));
        self.expect(allocator::Event::OrderHeldBack { order, berthed_at, at })
    }
}
