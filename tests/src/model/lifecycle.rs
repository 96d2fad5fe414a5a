//! The life of an order, from its submission to its end.

use super::*;
use tensorforge_engine::models::Allowance;
use tensorforge_engine::workflow::{Fault, Outcome};

/// A demand without what may differ when it is sent again.
fn asked(demand: &Demand) -> Demand {
    let (external, deadline, origin, idempotency) = (0, Micros::ZERO, RegionId(0), 0);
    Demand { external, deadline, origin, idempotency, limit: 0, ..demand.clone() }
}

impl Model {
    pub(super) fn submit(&mut self, tenant: TenantId, demand: &Demand) -> Decided<()> {
        self.let_in(tenant, demand, false)
    }

    /// Lets an order in; it may be sure of a place to wait in already.
    fn let_in(&mut self, tenant: TenantId, demand: &Demand, sure: bool) -> Decided<()> {
        let now = self.now;
        let Some((contract, account)) = self.tenants.get(tenant.0 as usize).cloned() else {
            return Err(
                models::Refusal::Unknown { thing: Thing::Tenant, id: tenant.0.into() }.into()
            );
        };
        let named = |key: &&Key| (key.tenant, key.key) == (tenant.0, demand.idempotency);
        if let Some(key) = self.keys.values().find(named).filter(|key| key.until > now) {
            let (order, external) = (key.order, demand.external);
            if key.asked != asked(demand) {
                let [ordered, asked] = [&key.asked, demand].map(Demand::fingerprint);
                return Err(workflow::Refusal::KeyConflict { order, ordered, asked }.into());
            }
            return self.expect(workflow::Event::OrderDeduplicated { order, tenant, external });
        }
        self.sound(demand)?;
        let arrival = rules::arrival(&contract.orders, account.arrival.0, 1, now)
            .map_err(|at| queue::Refusal::RateLimited { retry_at: Micros(at) })?;
        let size = routes::size(demand);
        let token_arrival = rules::arrival(&contract.tokens, account.token_arrival.0, size, now)
            .map_err(|at| queue::Refusal::TokensLimited { retry_at: Micros(at) })?;
        let (_, policy) = self.policy()?;
        // Each level shuts out one more class, the least urgent first.
        if demand.class as u8 >= 3 - self.level.min(3) {
            let level = LEVELS[usize::from(self.level)];
            return Err(policy::Refusal::LevelForbids { level, class: demand.class }.into());
        }
        let limits = self.limits.clone().ok_or(config::Refusal::NotConfigured)?;
        if contract.live_max > 0 && account.live >= u64::from(contract.live_max) {
            return full(Bound::TenantOrders, contract.live_max);
        }
        if self.orders.len() >= limits.orders as usize {
            return full(Bound::Orders, limits.orders);
        }
        self.served(demand)?;
        let reserved = self.within_budget(tenant.0, &contract, demand, 0)?;
        let lifetime = policy.lifetime[demand.class as usize].0;
        let deadline = match (&demand.window, demand.deadline.0) {
            (None, 0) => now + lifetime,
            (Some(window), 0) => window.until.0 + lifetime,
            (_, deadline) => deadline,
        };
        let slot = (0..).find(|slot| !self.orders.contains_key(slot)).unwrap_or(0);
        let id = OrderId((self.submitted + 1) << 24 | u64::from(slot));
        let forgotten = if demand.idempotency == 0 {
            None
        } else {
            self.key_in_the_way(tenant.0, contract.keys_max, limits.keys, demand.idempotency)?
        };
        let free = (0..).find(|slot| !self.keys.contains_key(slot) || forgotten == Some(*slot));
        let key = KeySlot(free.filter(|_| demand.idempotency != 0).unwrap_or(KeySlot::NONE.0));
        let gathers = self.ripe_at(demand, deadline)?.is_some();
        let room = self.has_room(demand) && self.next(demand.model).is_none() && !gathers;
        let berth = match &demand.window {
            Some(window) => {
                Some((self.berth(&limits, tenant.0, demand, window)?, Window::clone(window)))
            }
            None => None,
        };
        if berth.is_none() && !room && !sure {
            self.place_to_wait(tenant.0, &contract, &limits, &[demand])?;
        }
        if let Some((slot, key)) = forgotten.and_then(|slot| self.keys.remove_entry(&slot)) {
            let (tenant, order) = (TenantId(key.tenant), key.order);
            self.expect(workflow::Event::KeyForgotten { key: KeySlot(slot), tenant, order })?;
        }
        self.expect(workflow::Event::OrderAdmitted {
            order: id,
            tenant,
            level: LEVELS[usize::from(self.level)],
            arrival: Micros(arrival),
            token_arrival: Micros(token_arrival),
            deadline: Micros(deadline),
            key,
            reserved: reserved.map(PicoUsd),
            demand: Box::new(demand.clone()),
        })?;
        self.admit(id, tenant, arrival, deadline, key, demand);
        self.tenants[tenant.0 as usize].1.token_arrival = Micros(token_arrival);
        if let Some(amount) = reserved {
            self.spend(tenant.0, 0, i128::from(amount));
            self.reserves.insert(slot, amount);
        }
        match berth {
            Some((berth, window)) => self.take_berth(slot, berth, window),
            None if room && self.find_way(slot)? => Ok(()),
            None => {
                self.enqueue(slot)?;
                self.take_place(slot)
            }
        }
    }

    /// Whether the last of these orders may wait, if all of them do.
    fn place_to_wait(
        &self,
        tenant: u32,
        contract: &Tenant,
        limits: &Limits,
        orders: &[&Demand],
    ) -> Decided<()> {
        let before = orders.len() as u64 - 1;
        let left = u64::from(limits.queued).saturating_sub(self.queue_length() + before);
        let tokens: u64 = orders.iter().map(|demand| routes::size(demand)).sum();
        let most = u64::from(limits.queued_kilotokens) * 1_000;
        let own = self.queued_by(tenant) + before;
        let quota = if contract.queued_max > 0 { contract.queued_max.into() } else { left };
        let (bound, max) = if left == 0 {
            (Bound::Queue, limits.queued.into())
        } else if self.queued_tokens() + tokens > most {
            (Bound::QueuedTokens, most)
        } else if own >= quota {
            (Bound::TenantQueue, quota)
        } else {
            return Ok(());
        };
        Err(config::Refusal::Full { bound, max }.into())
    }

    pub(super) fn submit_batch(
        &mut self,
        stamp: Stamp,
        demands: &[Demand],
        whole: bool,
    ) -> Decided<()> {
        let tenant = stamp.source.tenant;
        if demands.is_empty() || demands.len() > 64 {
            return Err(workflow::Refusal::Invalid { fault: "told".into() }.into());
        }
        let mut demands: Vec<&Demand> = demands.iter().collect();
        if whole {
            // The largest first, those of one size as they came.
            let mut places: Vec<usize> = (0..demands.len()).collect();
            let all = |demand: &Demand| demand.tokens_in.0.saturating_add(demand.tokens_out_max.0);
            places.sort_by_key(|place| (u64::MAX - all(demands[*place]), *place));
            demands = places.into_iter().map(|place| demands[place]).collect();
            self.all_fit(tenant, &demands)?;
        }
        for demand in demands {
            match self.let_in(tenant, demand, whole) {
                Err(super::Stop::Refused(refusal)) if whole => {
                    return wrong(format!("all were to be let in, but {refusal}"));
                }
                Err(super::Stop::Refused(refusal)) => self.refuse_order(stamp, demand, refusal)?,
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether all of these orders are sure to be let in, if each of them waits.
    fn all_fit(&mut self, tenant: TenantId, demands: &[&Demand]) -> Decided<()> {
        let Some((contract, account)) = self.tenants.get(tenant.0 as usize).cloned() else {
            return Err(
                models::Refusal::Unknown { thing: Thing::Tenant, id: tenant.0.into() }.into()
            );
        };
        let window = demands[0].window.clone();
        let limits = self.limits.clone().ok_or(config::Refusal::NotConfigured)?;
        let (mut orders, mut tokens) = (account.arrival.0, account.token_arrival.0);
        let mut set_aside = 0u64;
        for (place, demand) in demands.iter().enumerate() {
            if demand.idempotency != 0 || demand.window != window {
                return Err(workflow::Refusal::Invalid { fault: "told".into() }.into());
            }
            self.sound(demand)?;
            orders = rules::arrival(&contract.orders, orders, 1, self.now)
                .map_err(|at| queue::Refusal::RateLimited { retry_at: Micros(at) })?;
            tokens = rules::arrival(&contract.tokens, tokens, routes::size(demand), self.now)
                .map_err(|at| queue::Refusal::TokensLimited { retry_at: Micros(at) })?;
            self.policy()?;
            if demand.class as u8 >= 3 - self.level.min(3) {
                let level = LEVELS[usize::from(self.level)];
                return Err(policy::Refusal::LevelForbids { level, class: demand.class }.into());
            }
            if contract.live_max > 0 && account.live + place as u64 >= contract.live_max.into() {
                return full(Bound::TenantOrders, contract.live_max);
            }
            if self.orders.len() + place >= limits.orders as usize {
                return full(Bound::Orders, limits.orders);
            }
            self.served(demand)?;
            let besides = set_aside.into();
            let own = self.within_budget(tenant.0, &contract, demand, besides)?;
            if window.is_none() {
                self.place_to_wait(tenant.0, &contract, &limits, &demands[..=place])?;
            }
            set_aside += own.unwrap_or(0);
        }
        match window {
            Some(window) => self.gang(&limits, demands, &window),
            None => Ok(()),
        }
    }

    /// What a tenant has spent and set aside, where old periods are over.
    fn spending(&self, tenant: u32) -> (u64, u128, u128) {
        let period = self.tenants[tenant as usize].0.budget_period.0;
        let Some((since, spent, reserved)) = self.spending.get(&tenant).copied() else {
            return (self.now, 0, 0);
        };
        let mut begun = since;
        if period > 0 && self.now - since >= period {
            begun = self.now - (self.now - since) % period;
        }
        (begun, if begun == since { spent } else { 0 }, reserved)
    }

    pub(super) fn spend(&mut self, tenant: u32, charged: u128, set_aside: i128) {
        let (since, spent, reserved) = self.spending(tenant);
        let reserved = (reserved as i128 + set_aside) as u128;
        self.spending.insert(tenant, (since, spent + charged, reserved));
    }

    /// What an order may cost at most, if its tenant has to mind that.
    fn within_budget(
        &self,
        tenant: u32,
        contract: &Tenant,
        demand: &Demand,
        besides: u128,
    ) -> Decided<Option<u64>> {
        if contract.budget.0 == 0 {
            return Ok(None);
        }
        let gone = |ship: &&Ship| ship.status != VesselStatus::Retired;
        let serve = |ship: &&Ship| ship.manifest.models.contains(&demand.model);
        let ships = self.ships.values().filter(gone).filter(serve);
        let (mut prompt, mut answer) = (0, 0);
        for ship in ships {
            let Manifest { price_in, price_cached, price_out, .. } = &ship.manifest;
            prompt = prompt.max(price_in.0).max(price_cached.0);
            answer = answer.max(price_out.0);
        }
        let most = u128::from(demand.tokens_in.0) * u128::from(prompt)
            + u128::from(demand.tokens_out_max.0) * u128::from(answer);
        let (since, spent, reserved) = self.spending(tenant);
        let all = spent + reserved + besides;
        let left = (u128::from(contract.budget.0) * 1_000_000).saturating_sub(all);
        if most > left {
            let period = contract.budget_period.0;
            let hopeless = period == 0 || most > u128::from(contract.budget.0) * 1_000_000;
            let renewed_at = Micros(if hopeless { u64::MAX } else { since + period });
            let left = MicroUsd(rules::narrow(left / 1_000_000));
            let asked = MicroUsd(rules::narrow(rules::charge(1, rules::narrow(most), 1_000_000)));
            return Err(telemetry::Refusal::BudgetSpent { asked, left, renewed_at }.into());
        }
        Ok(Some(rules::narrow(most)))
    }

    /// The remembered key that has to go so that one more can be.
    fn key_in_the_way(
        &self,
        tenant: u32,
        most_of_one: u32,
        most: u32,
        key: u64,
    ) -> Decided<Option<u32>> {
        let live = |key: &&Key| key.until == u64::MAX;
        let all = self.keys.values().filter(live).count();
        let own = self.keys.values().filter(live).filter(|key| key.tenant == tenant).count();
        if most_of_one == 0 && own >= (most as usize).saturating_sub(all) {
            return full(Bound::Keys, most);
        }
        let over = |slot: &u32| {
            let row = &self.keys[slot];
            row.until <= self.now && (row.tenant, row.key) == (tenant, key)
        };
        if let Some(slot) = self.keys.keys().find(|slot| over(slot)) {
            return Ok(Some(*slot));
        }
        let mut held: BTreeMap<u32, usize> = BTreeMap::new();
        self.keys.values().for_each(|key| *held.entry(key.tenant).or_default() += 1);
        let mine = held.get(&tenant).copied().unwrap_or(0);
        // Keys of orders that were served, the first to run out first.
        let mut served: Vec<(u64, u32, u32)> =
            self.keys.iter().map(|(slot, key)| (key.until, *slot, key.tenant)).collect();
        served.retain(|(until, ..)| *until != u64::MAX);
        served.sort_unstable();
        let first_of = |whose: u32| served.iter().find(|row| row.2 == whose).map(|row| row.1);
        if most_of_one > 0 && mine >= most_of_one as usize {
            return match first_of(tenant) {
                Some(slot) => Ok(Some(slot)),
                None => full(Bound::TenantKeys, most_of_one),
            };
        }
        if self.keys.len() < most as usize {
            return Ok(None);
        }
        let richest = served.iter().map(|(.., whose)| (held[whose], *whose)).max();
        let slot = match (served.first(), richest) {
            (Some((until, slot, _)), _) if *until <= self.now => Some(*slot),
            (_, Some((count, _))) if mine >= count => first_of(tenant),
            (_, Some((_, whose))) => first_of(whose),
            (_, None) => None,
        };
        match slot {
            Some(slot) => Ok(Some(slot)),
            None => full(Bound::Keys, most),
        }
    }

    fn sound(&self, demand: &Demand) -> Decided<()> {
        if demand.model.0 as usize >= self.models.len() {
            return Err(models::Refusal::Unknown {
                thing: Thing::Model,
                id: demand.model.0.into(),
            }
            .into());
        }
        let most = 1u64 << 32;
        let past = demand.deadline.0 != 0 && demand.deadline.0 <= self.now;
        let mut marks = demand.prefix.windows(2);
        let window = demand.window.as_ref();
        let faulty = !(1..=most).contains(&demand.tokens_in.0)
            || demand.tokens_out_max.0 > most
            || past
            || demand.prefix.len() > 8
            || marks.any(|pair| pair[0].tokens >= pair[1].tokens)
            || routes::is_embedding(demand) && (demand.tokens_out_max.0 > 0 || window.is_some())
            || window.is_some_and(|w| w.until.0 <= w.from.0 || w.from.0 < self.now);
        if faulty {
            Err(workflow::Refusal::Invalid { fault: "told".into() }.into())
        } else {
            Ok(())
        }
    }

    /// Whether there is a vessel, or a pair, that could ever hold it.
    fn served(&self, demand: &Demand) -> Decided<()> {
        let up = self.ships.values().filter(|ship| {
            let there = matches!(ship.status, VesselStatus::Up | VesselStatus::Joining);
            there && ship.manifest.models.contains(&demand.model)
        });
        let mut most: BTreeMap<u8, u64> = BTreeMap::new();
        for ship in up {
            let known = most.entry(ship.manifest.role as u8).or_default();
            *known = (*known).max(ship.manifest.context_max.0);
        }
        if most.is_empty() {
            return Err(models::Refusal::NoVessel.into());
        }
        let of = |role: Role| most.get(&(role as u8)).copied().unwrap_or(0);
        let halves = match routes::is_embedding(demand) {
            true => of(Role::Prefill),
            false => of(Role::Prefill).min(of(Role::Decode)),
        };
        let max = of(Role::Whole).max(halves);
        if max == 0 {
            return Err(models::Refusal::NoVessel.into());
        }
        let asked = routes::size(demand);
        if asked > max {
            return Err(models::Refusal::TooLarge { asked: Tokens(asked), max: Tokens(max) }.into());
        }
        // Whoever works its prompt asks at least so much for what may be in his cache, and for what may not.
        let up = self.ships.values().filter(|ship| {
            matches!(ship.status, VesselStatus::Up | VesselStatus::Joining)
                && ship.manifest.models.contains(&demand.model)
                && ship.manifest.role != Role::Decode
        });
        let prices: Vec<[u64; 2]> =
            up.map(|ship| [ship.manifest.price_in.0, ship.manifest.price_cached.0]).collect();
        let fresh = prices.iter().map(|[fresh, _]| *fresh).min().unwrap_or(0);
        let cached = prices.iter().flatten().copied().min().unwrap_or(0);
        let all = demand.tokens_in.0;
        let named = demand.prefix.iter().map(|mark| mark.tokens.0).max().unwrap_or(0).min(all);
        let picos =
            u128::from(all - named) * u128::from(fresh) + u128::from(named) * u128::from(cached);
        let least = rules::narrow(picos.div_ceil(1_000_000));
        if Self::beyond_limit(demand, least) {
            let limit = MicroUsd(demand.limit.into());
            let least = MicroUsd(least);
            return Err(allocator::Refusal::LimitTooLow { limit, least }.into());
        }
        Ok(())
    }

    fn admit(
        &mut self,
        id: OrderId,
        tenant: TenantId,
        arrival: u64,
        deadline: u64,
        key: KeySlot,
        demand: &Demand,
    ) {
        self.submitted += 1;
        if key != KeySlot::NONE {
            let (asked, number) = (asked(demand), demand.idempotency);
            let row = Key { tenant: tenant.0, key: number, order: id, asked, until: u64::MAX };
            self.keys.insert(key.0, row);
        }
        let (_, account) = &mut self.tenants[tenant.0 as usize];
        account.arrival = Micros(arrival);
        account.live += 1;
        let order = Live {
            id,
            tenant: tenant.0,
            stage: Stage::Backoff,
            bounced: 0,
            retry: false,
            gathered: false,
            gathering: false,
            within: 0,
            attempt: 0,
            leg: 0,
            route: Vec::new(),
            ticket: 0,
            submitted: self.now,
            queued: 0,
            dispatched: 0,
            deadline,
            wake: deadline,
            tried: Vec::new(),
            berth: None,
            berthed: false,
            cached: 0,
            tokens_out: 0,
            first_token: 0,
            cost: 0,
            wasted: 0,
            energy: 0,
            demand: demand.clone(),
        };
        self.orders.insert(id.slot().0, order);
    }

    /// Nobody passes those who wait and find room.
    pub(super) fn route_or_queue(&mut self, slot: u32) -> Decided<()> {
        let demand = self.order(slot)?.demand.clone();
        let gathers = self.gathers(slot)?.is_some();
        let free = self.has_room(&demand) && self.next(demand.model).is_none();
        // One for which a vessel is kept has had its turn.
        let may = !gathers && (free || !self.kept_for(slot).is_empty());
        if may && self.find_way(slot)? {
            return Ok(());
        }
        self.enqueue(slot)?;
        self.take_place(slot)
    }

    pub(super) fn dispatch(&mut self, slot: u32) -> Decided<()> {
        let now = self.now;
        let order = self.order(slot)?.clone();
        let leg = &order.route[order.leg];
        let fetch = self.fetched(&order, leg);
        let ship = self.ship(leg.vessel)?;
        let (aboard, manifest) = (ship.backlog, ship.manifest.clone());
        // What it is expected to take, and what stands before it.
        let slots = u64::from(manifest.slots);
        let beside = (aboard / slots).saturating_sub(leg.work.0 / slots);
        let before = ship.prompts.saturating_sub(now);
        let queue = match leg.kind {
            LegKind::Hop => 0,
            LegKind::Decode => beside,
            // Taken together, and then without its own.
            _ => (aboard / slots + before).saturating_sub(leg.work.0 / slots),
        };
        let answer = match leg.kind {
            LegKind::Whole => {
                rules::answer_time(&manifest, self.expected(&order).0).min(leg.work.0)
            }
            LegKind::Decode => leg.work.0 - fetch,
            LegKind::Hop | LegKind::Prefill => 0,
        };
        let prompt = if leg.kind == LegKind::Hop { 0 } else { leg.work.0 - answer };
        // On its way it keeps no other prompt from being worked.
        if prompt > 0 && leg.kind != LegKind::Decode {
            let ship = self.ship(leg.vessel)?;
            ship.prompts = ship.prompts.max(now) + prompt;
        }
        let hedge = self.hedge_at(&order, queue)?;
        let [queue, prompt, answer] = [queue, prompt, answer].map(Micros);
        let mut behind = if leg.kind == LegKind::Hop { leg.work.0 } else { aboard };
        if matches!(leg.kind, LegKind::Whole | LegKind::Decode) {
            // So much longer it may be than usual.
            let (usual, late) = self.expected(&order);
            let late = if order.retry { order.demand.tokens_out_max.0 } else { late };
            behind += rules::answer_time(&manifest, late - usual);
        }
        let timeout = now + self.patience(behind)?;
        let hedge = hedge.filter(|at| *at < timeout);
        let row = self.order(slot)?;
        row.dispatched = now;
        row.within = behind;
        row.wake = hedge.unwrap_or(timeout).min(row.deadline);
        self.expect(workflow::Event::LegDispatched {
            order: order.id,
            attempt: order.attempt,
            leg: order.leg as u8,
            kind: leg.kind,
            vessel: leg.vessel,
            queue,
            prompt,
            answer,
            within: Micros(behind),
            hedge: Micros(hedge.unwrap_or(0)),
            timeout: Micros(timeout),
        })
    }

    /// How long a leg waits for what was made of its prompt elsewhere.
    pub(super) fn fetched(&self, order: &Live, leg: &Leg) -> u64 {
        let made = order.route.iter().find(|other| other.kind == LegKind::Prefill);
        match made.filter(|_| leg.kind == LegKind::Decode) {
            Some(made) => self.fetch(&order.demand, made.vessel.0, leg.vessel.0).min(leg.work.0),
            None => 0,
        }
    }

    pub(super) fn report(
        &mut self,
        id: OrderId,
        attempt: u16,
        leg: u8,
        outcome: &Outcome,
    ) -> Decided<()> {
        if let Some(slot) = self.stop_of(id, attempt, leg) {
            return self.report_late(slot, outcome);
        }
        let order = self.orders.get(&id.slot().0).filter(|order| order.id == id).cloned();
        let unknown = workflow::Refusal::Unknown { order: id.0 >> 24 };
        let order = order.ok_or(unknown)?;
        if !self.is_on(&order, attempt, usize::from(leg)) {
            return Err(workflow::Refusal::Stale.into());
        }
        let (slot, leg) = (id.slot().0, usize::from(leg));
        match outcome {
            Outcome::Failed(Fault::Rejected) => {
                self.settle_on(slot, leg)?;
                self.fail(slot, Fault::Rejected)
            }
            Outcome::Failed(fault) if self.hedges.contains_key(&slot) => {
                self.drop_leg(slot, leg, Some(*fault))
            }
            Outcome::Failed(fault) => self.fail(slot, *fault),
            Outcome::Done { tokens_out, cached, first_token, energy } => {
                self.settle_on(slot, leg)?;
                let order = self.order(slot)?.clone();
                self.complete(&order, [tokens_out.0, cached.0, first_token.0, energy.0])
            }
        }
    }

    fn complete(&mut self, order: &Live, reported: [u64; 4]) -> Decided<()> {
        let [tokens_out, cached, first_token, energy] = reported;
        let (slot, now) = (order.id.slot().0, self.now);
        let leg = order.route[order.leg].clone();
        let hop = leg.kind == LegKind::Hop;
        let asked = order.demand.tokens_in.0;
        let left = order.demand.tokens_out_max.0 - order.tokens_out;
        let reads = matches!(leg.kind, LegKind::Whole | LegKind::Prefill);
        let tokens_out = if hop { 0 } else { tokens_out.min(left) };
        let cached = if reads { cached.min(asked) } else { 0 };
        let first_token = match first_token {
            0 => 0,
            after => (order.dispatched + after).min(now) - order.submitted,
        };
        let (_, policy) = self.policy()?;
        let most = u128::from(order.within) * u128::from(policy.breaker.slow_percent);
        let slow = !hop && u128::from(now - order.dispatched) * 100 > most;
        let fetch = self.fetched(order, &leg);
        let ship = self.ship(leg.vessel)?;
        let cost = rules::leg_price(&ship.manifest, leg.kind, [asked, cached, tokens_out]);
        let mut predicted = if hop { leg.work.0 } else { fetch };
        if reads {
            predicted += rules::prompt_time(&ship.manifest, asked - cached);
        }
        if matches!(leg.kind, LegKind::Whole | LegKind::Decode) {
            predicted += rules::answer_time(&ship.manifest, tokens_out);
        }
        ship.completed += 1;
        if !hop {
            ship.leave(now, leg.work.0, routes::size(&order.demand));
            ship.pauses = 0;
            let took = now - order.dispatched;
            ship.pace.add(now, policy.forecast.window.0, took, predicted);
            let slow = slow.then_some(SLOW);
            self.outcome(leg.vessel, order.dispatched, slow)?;
        }
        let row = self.order(slot)?;
        row.leg += 1;
        row.tokens_out += tokens_out;
        row.cached += cached;
        row.cost += cost;
        row.energy += energy;
        if row.first_token == 0 {
            row.first_token = first_token;
        }
        let over = row.leg == row.route.len();
        self.expect(workflow::Event::LegCompleted {
            order: order.id,
            leg: order.leg as u8,
            vessel: leg.vessel,
            tokens_out: Tokens(tokens_out),
            cached: Tokens(cached),
            first_token: Micros(first_token),
            cost: PicoUsd(cost),
            energy: Millijoules(energy),
            predicted: Micros(predicted),
        })?;
        if slow {
            self.trip(leg.vessel, order.dispatched)?;
        }
        let ship = self.ship(leg.vessel)?;
        if !hop && !slow && ship.breaker == Breaker::Probing && ship.probes == 0 {
            (ship.breaker, ship.turned, ship.failures) = (Breaker::Closed, now, 0);
            ship.calls = Spans::default();
            self.expect(resilience::Event::BreakerClosed { vessel: leg.vessel })?;
        }
        self.drained(leg.vessel)?;
        self.noted_ships.insert(leg.vessel.0);
        if over {
            self.end(slot, End::Completed)
        } else if self.sunk(&self.orders[&slot]) {
            self.fail(slot, Fault::VesselLost)
        } else {
            self.dispatch(slot)
        }
    }

    /// Whether one of the vessels that an order still needs is gone.
    pub(super) fn sunk(&self, order: &Live) -> bool {
        let mut rest = order.route[order.leg..].iter();
        rest.any(|leg| self.is_gone(leg.vessel))
    }

    /// Whether whatever a vessel had aboard is gone.
    pub(super) fn is_gone(&self, vessel: VesselId) -> bool {
        let status = self.ships[&vessel.0].status;
        status == VesselStatus::Lost || status == VesselStatus::Restarting
    }

    /// The legs of a route that still hold room.
    pub(super) fn held(order: &Live) -> Vec<Leg> {
        if order.stage != Stage::Running {
            return Vec::new();
        }
        let rest = order.route[order.leg..].iter();
        rest.filter(|leg| leg.kind != LegKind::Hop).cloned().collect()
    }

    pub(super) fn give_back(&mut self, order: &Live, legs: &[Leg]) -> Decided<()> {
        let (now, size) = (self.now, routes::size(&order.demand));
        for leg in legs {
            let ship = self.ship(leg.vessel)?;
            ship.leave(now, leg.work.0, size);
        }
        Ok(())
    }

    /// Vessels that have been left: drained perhaps, or open for those who wait.
    pub(super) fn left(&mut self, legs: &[Leg]) -> Decided<()> {
        for leg in legs {
            self.drained(leg.vessel)?;
            self.noted_ships.insert(leg.vessel.0);
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, slot: u32, fault: Fault) -> Decided<()> {
        let order = self.order(slot)?.clone();
        let held = Self::held(&order);
        let vessel = order.route[order.leg].vessel;
        if fault == Fault::Timeout {
            self.await_stop(&order, None, 0, None)?;
        }
        self.give_back(&order, &held)?;
        let gone = order.route[order.leg..].iter().find(|leg| self.is_gone(leg.vessel));
        let lost = gone.filter(|_| fault == Fault::VesselLost).map(|leg| leg.vessel);
        let blamed = lost.unwrap_or(vessel);
        self.ship(blamed)?.failed += 1;
        // The sender's own fault is nobody else's, and nobody would do better.
        let rejected = fault == Fault::Rejected;
        // Who has no room has not failed.
        let bounced = fault == Fault::Overloaded;
        let counts = lost.is_none() && !rejected && !bounced;
        if counts {
            self.outcome(blamed, order.dispatched, Some(FAILED))?;
        }
        let now = self.now;
        let row = self.order(slot)?;
        row.stage = Stage::Backoff;
        row.bounced += u16::from(bounced);
        row.retry = counts || (bounced && row.retry);
        if !rejected && !bounced && !row.tried.contains(&blamed) {
            row.tried.push(blamed);
            if row.tried.len() > 4 {
                row.tried.remove(0);
            }
        }
        row.wake = row.deadline;
        self.give_turn_back(slot, 0)?;
        let (attempt, leg) = (order.attempt, order.leg as u8);
        self.expect(workflow::Event::LegFailed { order: order.id, attempt, leg, vessel, fault })?;
        if counts {
            self.trip(vessel, order.dispatched)?;
        }
        if bounced {
            self.pause(vessel)?;
        }
        if order.deadline <= now {
            self.end(slot, End::Expired)?;
        } else if rejected {
            self.end(slot, End::Failed)?;
        } else {
            self.retry_or_give_up(slot, attempt, bounced)?;
        }
        self.left(&held)
    }

    /// A call has been answered: that counts for its vessel and for the exchange, but of a vessel that is
    /// cut off or probed only the success of a probe does.
    pub(super) fn outcome(
        &mut self,
        vessel: VesselId,
        dispatched: u64,
        bad: Option<usize>,
    ) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let now = self.now;
        let ship = self.ship(vessel)?;
        match ship.breaker {
            Breaker::Open => {}
            Breaker::Probing => {
                if bad.is_none() && dispatched >= ship.turned && ship.probes > 0 {
                    ship.probes -= 1;
                }
            }
            Breaker::Closed => {
                let places: Vec<usize> = [CALLS].into_iter().chain(bad).collect();
                ship.calls.add(now, policy.breaker.window.0, &places);
                ship.failures = if bad == Some(FAILED) { ship.failures + 1 } else { 0 };
                self.legs.add(now, policy.escalation.window.0, &places);
            }
        }
        Ok(())
    }

    /// So many in a row trip a breaker, or such a share of enough calls, unless of one of its models too
    /// many are cut off already; of a probe, one does.
    pub(super) fn trip(&mut self, vessel: VesselId, dispatched: u64) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let (rule, now) = (policy.breaker, self.now);
        let ship = &self.ships[&vessel.0];
        let crowded = ship.manifest.models.iter().any(|model| {
            let up = self.ships.values().filter(|other| {
                other.status == VesselStatus::Up && other.manifest.models.contains(model)
            });
            let closed = |other: &&Ship| other.breaker == Breaker::Closed;
            let (in_use, cut_off): (Vec<&Ship>, Vec<&Ship>) = up.partition(closed);
            let all = in_use.len() + cut_off.len();
            !cut_off.is_empty()
                && rules::share(cut_off.len() as u64 + 1, all as u64) > rule.cut_off.0
        });
        let ship = self.ship(vessel)?;
        let of = |part| ship.calls.share(now, rule.window.0, rule.calls, [part, CALLS]);
        let (failing, slow) = (of(FAILED), of(SLOW));
        let row = rule.failures != 0 && ship.failures >= rule.failures;
        let share = rule.failing.0 != 0 && failing >= rule.failing.0;
        let share = share || (rule.slow.0 != 0 && slow >= rule.slow.0);
        let soon = match ship.breaker {
            Breaker::Closed if (row || share) && !crowded => now - ship.turned <= rule.open_max.0,
            Breaker::Probing if dispatched >= ship.turned => true,
            _ => return Ok(()),
        };
        ship.trips = if soon { ship.trips + 1 } else { 1 };
        let mut span = rule.open.0;
        for _ in 1..ship.trips.min(40) {
            span = (span * 2).min(rule.open_max.0);
        }
        let until = now + span.min(rule.open_max.0);
        (ship.breaker, ship.retry_at, ship.turned) = (Breaker::Open, until, now);
        let (failures, trips, until) = (ship.failures, ship.trips, Micros(until));
        let (failing, slow) = (Ppm(failing), Ppm(slow));
        self.expect(resilience::Event::BreakerOpened {
            vessel,
            failures,
            failing,
            slow,
            trips,
            until,
        })
    }

    /// Who said that it has no room is left in peace for a while.
    pub(super) fn pause(&mut self, vessel: VesselId) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let now = self.now;
        let ship = self.ship(vessel)?;
        if ship.paused > 0 {
            return Ok(());
        }
        ship.pauses += 1;
        let mut span = policy.overload.pause.0;
        for _ in 1..ship.pauses.min(40) {
            span = (span * 2).min(policy.overload.pause_max.0);
        }
        ship.paused = now + span;
        let (pauses, until) = (ship.pauses, Micros(ship.paused));
        self.expect(resilience::Event::VesselPaused { vessel, pauses, until })
    }

    fn retry_or_give_up(&mut self, slot: u32, attempt: u16, bounced: bool) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let now = self.now;
        let order = self.order(slot)?;
        let (id, deadline, failures) = (order.id, order.deadline, attempt - order.bounced.min(8));
        let retry = &policy.retry;
        let (least, most) = rules::wait(failures, retry.backoff.0, retry.backoff_max.0);
        // An answer that somebody reads along does not begin anew.
        let read = order.demand.class == Class::Interactive && order.first_token > 0;
        if read || failures >= retry.attempts || now + least >= deadline {
            return self.end(slot, End::Failed);
        }
        let ends = |event: Option<&Event>| {
            matches!(
                event,
                Some(
                    Event::Workflow(workflow::Event::OrderEnded { .. })
                        | Event::Telemetry(telemetry::Event::OrderSettled { .. })
                        | Event::Allocator(allocator::Event::BerthReleased { .. })
                )
            )
        };
        if bounced && !(now + most >= deadline && ends(self.record.front())) {
            return self.route_or_queue(slot);
        }
        let Some(Event::Resilience(resilience::Event::RetryScheduled { at, .. })) =
            self.record.front().cloned()
        else {
            // With the longer waits it would have come too late.
            return if now + most >= deadline {
                self.end(slot, End::Failed)
            } else {
                wrong(format!("no retry, but {:?}", self.record.front()))
            };
        };
        if !(now + least..=now + most).contains(&at.0) || at.0 >= deadline {
            return wrong(format!("a retry at {at}, not in {least}..={most} after {now}"));
        }
        self.order(slot)?.wake = at.0;
        self.expect(resilience::Event::RetryScheduled { order: id, attempts: attempt, at })
    }

    pub(super) fn end(&mut self, slot: u32, end: End) -> Decided<()> {
        let leg = self.order(slot)?.leg;
        self.settle_on(slot, leg)?;
        self.release_berth(slot)?;
        let order = self.order(slot)?.clone();
        let tenant = TenantId(order.tenant);
        let (contract, account) = &mut self.tenants[order.tenant as usize];
        account.live -= 1;
        account.ended[end as usize] += 1;
        // What was counted and not used.
        let used = order.demand.tokens_in.0 + order.tokens_out;
        let used = if end == End::Completed { used } else { 0 };
        let [asked, used] = [routes::size(&order.demand), used].map(|tokens| {
            let Allowance { period, amount, .. } = contract.tokens;
            if amount == 0 {
                0
            } else {
                rules::narrow(rules::charge(tokens, period.0, amount.into()))
            }
        });
        account.token_arrival.0 = account.token_arrival.0.saturating_sub(asked - used);
        let (burnt, mut paid) = (order.cost + order.wasted, 0);
        if end == End::Completed || burnt > 0 || order.energy > 0 {
            let rule = self.policies.last().map(|policy| policy.charge.clone());
            // In between two attempts, or after the last one, the present one has failed.
            let failed = matches!(order.stage, Stage::Backoff | Stage::Queued);
            let millionths = match (end, rule) {
                (End::Completed, _) => 1_000_000,
                (_, Some(rule)) if failed => rule.failed.0,
                (End::Expired, Some(rule)) => rule.expired.0,
                (End::Cancelled, Some(rule)) => rule.cancelled.0,
                _ => 0,
            };
            let charged = u128::from(order.cost) * u128::from(millionths) / 1_000_000;
            let most = self.reserves.get(&slot).map_or(u128::MAX, |most| u128::from(*most));
            let charged = charged.min(most);
            paid = rules::narrow(charged);
            if self.spending.contains_key(&order.tenant) {
                self.spend(order.tenant, charged, 0);
            }
            let (_, account) = &mut self.tenants[order.tenant as usize];
            // A prompt that is being worked is told of when it has been stopped.
            let working = order.route.get(order.leg).filter(|_| order.stage == Stage::Running);
            let untold = working.is_some_and(|leg| leg.kind != LegKind::Decode);
            let tokens_in = if untold { Tokens(0) } else { order.demand.tokens_in };
            account.tokens_in.0 += tokens_in.0;
            account.cached.0 += order.cached;
            account.tokens_out.0 += order.tokens_out;
            (account.cost, account.cost_picos) =
                rules::plus((account.cost, account.cost_picos), charged);
            (account.burnt, account.burnt_picos) =
                rules::plus((account.burnt, account.burnt_picos), burnt.into());
            account.energy.0 += order.energy;
            self.expect(telemetry::Event::OrderSettled {
                order: order.id,
                tenant,
                tokens_in,
                cached: Tokens(order.cached),
                tokens_out: Tokens(order.tokens_out),
                cost: PicoUsd(rules::narrow(charged)),
                burnt: PicoUsd(burnt),
                energy: Millijoules(order.energy),
            })?;
        }
        if end == End::Completed {
            self.note_length(&order);
        }
        let held = Self::held(&order);
        if order.stage == Stage::Running && order.leg < order.route.len() {
            self.await_stop(&order, Some(end), paid, None)?;
        }
        self.give_back(&order, &held)?;
        self.go_without(slot)?;
        if end == End::Expired && order.stage == Stage::Queued {
            self.note_routed(&order, false)?;
        }
        if end == End::Completed && order.retry {
            // It was no retry too many.
            self.flow.now[6] = self.flow.now[6].saturating_sub(1);
        }
        if end == End::Completed {
            self.give_turn_back(slot, order.demand.tokens_in.0 + 2 * order.tokens_out)?;
        }
        self.orders.remove(&slot);
        if let Some(amount) = self.reserves.remove(&slot) {
            self.spend(order.tenant, 0, -i128::from(amount));
        }
        let key = self.keys.iter().find(|(_, key)| key.order == order.id).map(|(slot, _)| *slot);
        if let Some(key) = key {
            let age = self.policies.last().map_or(0, |policy| policy.key_age.0);
            let until = self.now.saturating_add(age).min(u64::MAX - 1);
            match (end, self.keys.get_mut(&key)) {
                (End::Completed, Some(row)) => row.until = until,
                _ => drop(self.keys.remove(&key)),
            }
        }
        self.forget_if_idle(order.demand.model);
        let at_work = order.route.get(order.leg).filter(|_| order.stage == Stage::Running);
        let times = [order.first_token, self.now - order.submitted];
        self.count_end(order.tenant, end, times);
        self.expect(workflow::Event::OrderEnded {
            order: order.id,
            tenant,
            external: order.demand.external,
            end,
            attempts: order.attempt,
            stop: at_work.map_or(VesselId::NONE, |leg| leg.vessel),
            first_token: Micros(order.first_token),
            latency: Micros(self.now - order.submitted),
        })?;
        self.left(&held)
    }
}
