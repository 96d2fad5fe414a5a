//! Orders that two vessels work side by side, and first tokens.

use super::*;
use tensorforge_engine::models::Kind;
use tensorforge_engine::routing::{Candidates, Verdict};
use tensorforge_engine::workflow::{Fault, Withheld};

impl Model {
    /// How long a leg may last that should take so long.
    pub(super) fn patience(&self, within: u64) -> Decided<u64> {
        let (_, policy) = self.policy()?;
        let span = u128::from(within) * u128::from(policy.timeout_percent) / 100;
        Ok(rules::narrow(span).max(policy.timeout_min.0))
    }

    /// By what an order's time is multiplied before it is hedged, if it may be.
    fn hedge_percent(&self, order: &Live) -> Decided<u64> {
        let (_, policy) = self.policy()?;
        let seen = order.first_token > 0;
        let single = order.leg + 1 == order.route.len()
            && order.route[order.leg].kind == LegKind::Whole
            && order.demand.kind == Kind::Inference;
        let percent = policy.hedge_percent[order.demand.class as usize];
        Ok(if seen || !single { 0 } else { percent.into() })
    }

    /// When an order is hedged that is handed over now, behind so much.
    pub(super) fn hedge_at(&self, order: &Live, queue: u64) -> Decided<Option<u64>> {
        let percent = self.hedge_percent(order)?;
        let leg = &order.route[order.leg];
        let (usual, late) = self.expected(order);
        let manifest = &self.ships[&leg.vessel.0].manifest;
        let whole = queue + leg.work.0 + rules::answer_time(manifest, late - usual);
        let span = rules::narrow(u128::from(whole) * u128::from(percent) / 100);
        Ok((percent > 0).then_some(self.now + span))
    }

    /// A leg has lasted too long, or so long that another vessel may be asked as well.
    pub(super) fn overdue(&mut self, slot: u32) -> Decided<()> {
        let order = self.order(slot)?.clone();
        let end = order.dispatched + self.patience(order.within)?;
        if let Some((dispatched, within)) = self.hedges.get(&slot).copied() {
            let other = dispatched + self.patience(within)?;
            let leg = if end <= other { order.leg } else { order.leg + 1 };
            return self.drop_leg(slot, leg, Some(Fault::Timeout));
        }
        if end <= self.now || self.hedge_percent(&order)? == 0 {
            return self.fail(slot, Fault::Timeout);
        }
        let (policy, [retries, others]) = (self.policy()?.1, self.retries()?);
        let spent = (retries + 1) * 1_000_000 > others * policy.retry.budget.0
            && retries >= u64::from(policy.retry.least);
        let free = self.next(order.demand.model).is_none() && self.has_room(&order.demand);
        let (leg, timeout) = (order.leg as u8, Micros(end));
        self.order(slot)?.wake = end.min(order.deadline);
        let (id, withheld) = (order.id, |reason| workflow::Event::HedgeWithheld {
            order: order.id,
            leg,
            reason,
            timeout,
        });
        if spent {
            return self.expect(withheld(Withheld::Budget));
        }
        let present = order.route[order.leg].vessel.0;
        let near = |id: &u32| {
            let region = self.ships[id].manifest.region;
            order.demand.origin.0 as usize >= self.regions.len() || order.demand.origin == region
        };
        let open = self.open(order.demand.model, Role::Whole).into_iter();
        // What has befallen the one may befall the other.
        let domain = |id: &u32| self.ships[id].manifest.domain;
        let apart = |id: &u32| domain(id) == 0 || domain(id) != domain(&present);
        let mut fit = BTreeSet::new();
        for vessel in open.filter(|id| *id != present && near(id) && apart(id)) {
            let candidate = self.candidate(&order, VesselId(vessel), VesselId::NONE)?;
            if candidate.verdict == Verdict::Eligible {
                fit.insert(vessel);
            }
        }
        let Some(Event::Workflow(workflow::Event::LegHedged { candidates, .. })) =
            self.record.front().cloned()
        else {
            // Not every vessel is looked at.
            let every = policy.candidates as usize > self.ships.len();
            let every = every && policy.route_by == tensorforge_engine::routing::Choice::Score;
            return if free && every && !fit.is_empty() {
                wrong(format!("{id} is not hedged, and {fit:?} have room"))
            } else {
                self.expect(withheld(Withheld::NoRoom))
            };
        };
        if !free {
            return wrong(format!("{id} is hedged before those who wait"));
        }
        self.hedge(slot, &fit, candidates)
    }

    /// Another vessel works an order as well: one of those that may, the best of those that were considered.
    fn hedge(&mut self, slot: u32, fit: &BTreeSet<u32>, candidates: Candidates) -> Decided<()> {
        let (order, now) = (self.order(slot)?.clone(), self.now);
        for candidate in candidates.iter() {
            let own = self.candidate(&order, candidate.vessel, VesselId::NONE)?;
            let tie = candidate.tie;
            if own != (routing::Candidate { tie: 0, ..candidate.clone() }) {
                return wrong(format!("expected {own:?} with {tie}\n   found {candidate:?}"));
            }
            if !fit.contains(&candidate.vessel.0) {
                return wrong(format!("{candidate:?} is none of {fit:?}"));
            }
        }
        let rank = |c: &routing::Candidate| (c.score, c.tie, c.vessel.0);
        let Some(best) = candidates.first() else { return wrong("no candidates") };
        if !candidates.is_sorted_by(|a, b| rank(a) < rank(b)) {
            return wrong(format!("not in order, or not distinct: {candidates:?}"));
        }
        let (vessel, first) = (best.vessel, &order.route[order.leg]);
        let manifest = self.ships[&vessel.0].manifest.clone();
        let (usual, late) = self.expected(&order);
        let prompt = rules::prompt_time(&manifest, order.demand.tokens_in.0 - best.cached.0);
        let work = prompt + rules::answer_time(&manifest, usual);
        let late = if order.retry { order.demand.tokens_out_max.0 } else { late };
        let within =
            self.ships[&vessel.0].backlog + work + rules::answer_time(&manifest, late - usual);
        let ends = [order.dispatched + self.patience(order.within)?, now + self.patience(within)?];
        let timeout = ends[0].min(ends[1]);
        let leg = Leg { kind: first.kind, vessel, work: Micros(work) };
        let class = order.demand.class as usize;
        let window = self.policy()?.1.escalation.window.0;
        self.flow.add(now, window, &[class, 6]);
        self.hold_prefix(&order.demand, vessel);
        let ship = self.ship(vessel)?;
        ship.used += 1;
        ship.tokens += routes::size(&order.demand);
        ship.backlog += work;
        if prompt > 0 {
            ship.prompts = ship.prompts.max(now) + prompt;
        }
        self.hedges.insert(slot, (now, within));
        let row = self.order(slot)?;
        row.route.push(leg);
        row.wake = timeout.min(row.deadline);
        self.expect(workflow::Event::LegHedged {
            order: order.id,
            attempt: order.attempt,
            leg: order.leg as u8 + 1,
            vessel,
            prompt: Micros(prompt),
            work: Micros(work),
            within: Micros(within),
            timeout: Micros(timeout),
            candidates,
        })
    }

    /// One of two legs is given up; the order goes on with the other.
    pub(super) fn drop_leg(&mut self, slot: u32, leg: usize, fault: Option<Fault>) -> Decided<()> {
        let order = self.order(slot)?.clone();
        let Some((dispatched, within)) = self.hedges.get(&slot).copied() else {
            return wrong(format!("{} is not hedged", order.id));
        };
        let (gone, size) = (order.route[leg].clone(), routes::size(&order.demand));
        let first = leg == order.leg;
        // As it was when this leg was the only one.
        let alone = Live {
            leg,
            dispatched: if first { order.dispatched } else { dispatched },
            ..order.clone()
        };
        if fault.is_none_or(|fault| fault == Fault::Timeout) {
            self.await_stop(&alone, None, 0, None)?;
        }
        self.hedges.remove(&slot);
        let ends =
            [order.dispatched + self.patience(order.within)?, dispatched + self.patience(within)?];
        let row = self.order(slot)?;
        if first {
            (row.leg, row.dispatched, row.within) = (leg + 1, dispatched, within);
        } else {
            row.route.truncate(leg);
        }
        let timeout = if first { ends[1] } else { ends[0] };
        row.wake = timeout.min(row.deadline);
        let blames = matches!(fault, Some(Fault::Error | Fault::Timeout | Fault::VesselLost));
        if blames && !row.tried.contains(&gone.vessel) {
            row.tried.push(gone.vessel);
            if row.tried.len() > 4 {
                row.tried.remove(0);
            }
        }
        let now = self.now;
        let sunk = fault == Some(Fault::VesselLost) && self.is_gone(gone.vessel);
        let ship = self.ship(gone.vessel)?;
        ship.leave(now, gone.work.0, size);
        ship.failed += u64::from(fault.is_some());
        if blames && !sunk {
            self.outcome(gone.vessel, alone.dispatched, Some(FAILED))?;
        }
        self.expect(workflow::Event::LegDropped {
            order: order.id,
            attempt: order.attempt,
            leg: leg as u8,
            vessel: gone.vessel,
            fault,
            timeout: Micros(timeout),
        })?;
        if blames && !sunk {
            self.trip(gone.vessel, alone.dispatched)?;
        }
        if fault == Some(Fault::Overloaded) {
            self.pause(gone.vessel)?;
        }
        self.left(&[gone])
    }

    /// The order is one leg's alone.
    pub(super) fn settle_on(&mut self, slot: u32, leg: usize) -> Decided<()> {
        if !self.hedges.contains_key(&slot) {
            return Ok(());
        }
        let first = self.order(slot)?.leg;
        self.drop_leg(slot, if leg == first { first + 1 } else { first }, None)
    }

    /// What is aboard a vessel that is gone is lost, and yet an order may go on elsewhere.
    pub(super) fn fail_over_one(&mut self, slot: u32) -> Decided<()> {
        if self.hedges.contains_key(&slot) {
            let order = self.order(slot)?.clone();
            let sunk = [0, 1].map(|n| self.is_gone(order.route[order.leg + n].vessel));
            let leg = order.leg + usize::from(!sunk[0]);
            self.drop_leg(slot, leg, Some(Fault::VesselLost))?;
            if sunk != [true, true] {
                return Ok(());
            }
        }
        self.fail(slot, Fault::VesselLost)
    }

    pub(super) fn first_token(&mut self, id: OrderId, attempt: u16, leg: u8) -> Decided<()> {
        let slot = id.slot().0;
        let unknown = workflow::Refusal::Unknown { order: id.0 >> 24 };
        let order = self.orders.get(&slot).filter(|order| order.id == id).cloned();
        let order = order.ok_or(unknown)?;
        let place = usize::from(leg);
        let kind = order.route.get(place).map(|leg| leg.kind);
        if !self.is_on(&order, attempt, place)
            || kind == Some(LegKind::Hop)
            || order.first_token > 0
        {
            return Err(workflow::Refusal::Stale.into());
        }
        self.settle_on(slot, place)?;
        let order = self.order(slot)?.clone();
        let timeout = order.dispatched + self.patience(order.within)?;
        let first_token = (self.now - order.submitted).max(1);
        let row = self.order(slot)?;
        row.first_token = first_token;
        row.wake = timeout.min(row.deadline);
        self.expect(workflow::Event::FirstTokenSeen {
            order: id,
            leg,
            vessel: order.route[place].vessel,
            first_token: Micros(first_token),
            timeout: Micros(timeout),
        })
    }

    /// Whether a leg is being worked.
    pub(super) fn is_on(&self, order: &Live, attempt: u16, leg: usize) -> bool {
        let both = usize::from(self.hedges.contains_key(&order.id.slot().0));
        order.stage == Stage::Running
            && order.attempt == attempt
            && (order.leg..=order.leg + both).contains(&leg)
    }
}
