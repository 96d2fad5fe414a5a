//! Who finds a slot and no memory, and the vessel that is kept for him.

use super::*;
use tensorforge_engine::routing::Verdict;

/// For whom a vessel is kept, as an order sees it, and how many tokens have to go before it has room; the less the better.
pub(super) type Crowd = (Keeps, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keeps {
    It,
    Nobody,
    Another,
}

/// What becomes of an order that looks for a way.
pub(super) enum Way {
    /// It may be routed, or has to be held back for a berth.
    Told,
    /// It comes aboard one of these vessels, or pairs, once so many tokens have gone there.
    Kept(BTreeMap<(VesselId, VesselId), u64>),
    /// There is none.
    None,
}

impl Model {
    /// The most that a vessel may be given.
    fn most(&self, vessel: u32) -> Option<u64> {
        let percent = self.policies.last().map_or(0, |policy| policy.overcommit_percent);
        let cache = self.ships[&vessel].manifest.cache_tokens.0;
        let most = u128::from(cache) * u128::from(percent) / 100;
        (percent > 0 && cache > 0).then(|| rules::narrow(most))
    }

    /// How a vessel's memory stands for an order: where nothing is aboard there is enough for anybody.
    pub(super) fn crowd(&self, order: &Live, vessel: u32) -> Crowd {
        let Some(most) = self.most(vessel) else { return (Keeps::Nobody, 0) };
        let ship = &self.ships[&vessel];
        let keeps = match ship.keeps_for {
            None => Keeps::Nobody,
            Some(slot) if slot == order.id.slot().0 => Keeps::It,
            Some(_) => Keeps::Another,
        };
        let all = ship.tokens + routes::size(&order.demand);
        (keeps, if all > most { (all - most).min(ship.tokens) } else { 0 })
    }

    /// Whether one of these is kept for another order.
    pub(super) fn kept_for_another(
        &self,
        order: &Live,
        vessel: VesselId,
        second: VesselId,
    ) -> bool {
        let both = [vessel, second].into_iter().filter(|id| *id != VesselId::NONE);
        both.into_iter().any(|id| {
            self.holds(id.0, &order.demand)
                && !order.berthed
                && self.crowd(order, id.0).0 == Keeps::Another
        })
    }

    /// What the vessels that have a slot for an order mean for it, each of them and each pair.
    pub(super) fn way(&self, order: &Live) -> Decided<Way> {
        let mut spots = Vec::new();
        let mut told = false;
        for (vessel, second) in self.ways(order) {
            let verdict = self.candidate(order, vessel, second)?.verdict;
            if verdict < Verdict::Crowded {
                return Ok(Way::Told);
            }
            let (mut keeps, mut needs) = self.crowd(order, vessel.0);
            if second != VesselId::NONE {
                let other = self.crowd(order, second.0);
                (keeps, needs) = (keeps.max(other.0), needs.max(other.1));
            }
            if keeps == Keeps::Another {
                continue;
            }
            told |= verdict == Verdict::Promised || verdict == Verdict::Dear;
            if verdict == Verdict::Crowded {
                let late = self.now + self.span(order, vessel, second) > order.deadline;
                spots.push(((late, keeps, needs), (vessel, second)));
            }
        }
        let all = self.draws_all()?;
        let gives_up =
            matches!(self.record.front(), Some(Event::Queue(queue::Event::OrderOverdue { .. })));
        // Who draws a few vessels may see none of those where it would be done in time.
        let late = |(late, ..): (bool, Keeps, u64)| late;
        let seen = spots.iter().all(|spot| late(spot.0))
            || !all && gives_up && spots.iter().any(|spot| late(spot.0));
        if !spots.is_empty() && seen && self.has_rivals(order) {
            return Ok(Way::Told);
        }
        let best = spots.iter().map(|(standing, _)| *standing).min();
        spots.retain(|(standing, _)| !all || Some(*standing) == best);
        Ok(match best {
            Some(_) => {
                Way::Kept(spots.into_iter().map(|((.., needs), spot)| (spot, needs)).collect())
            }
            None if told => Way::Told,
            None => Way::None,
        })
    }

    /// Sends an order on its way, or has a vessel kept for it; tells whether either was done.
    pub(super) fn find_way(&mut self, slot: u32) -> Decided<bool> {
        let order = self.order(slot)?.clone();
        let spots = match self.way(&order)? {
            Way::None => return Ok(false),
            Way::Told => return self.route(slot, None).map(|()| true),
            Way::Kept(spots) => spots,
        };
        let kept: BTreeSet<VesselId> = self.kept_for(slot).into_iter().map(VesselId).collect();
        let both = |(vessel, decode): &(VesselId, VesselId)| {
            BTreeSet::from_iter([*vessel, *decode].into_iter().filter(|id| *id != VesselId::NONE))
        };
        // As it is already, and its time is not up.
        if order.wake > self.now && spots.keys().any(|spot| both(spot) == kept) {
            return Ok(true);
        }
        if order.stage == Stage::Queued {
            self.choose(slot)?;
        }
        let Some(Event::Allocator(allocator::Event::OrderCrowdedOut { vessel, decode, .. })) =
            self.record.front().cloned()
        else {
            return wrong(format!("{} is crowded, but {:?}", order.id, self.record.front()));
        };
        let Some(needs) = spots.get(&(vessel, decode)).copied() else {
            return wrong(format!("kept on {vessel} and {decode}, not one of {spots:?}"));
        };
        self.let_others(slot);
        for id in both(&(vessel, decode)) {
            self.ship(id)?.keeps_for = Some(slot);
        }
        let at = self.now + (order.deadline.saturating_sub(self.now) / 16).max(1_000_000);
        let row = self.order(slot)?;
        (row.stage, row.wake) = (Stage::Backoff, at.min(order.deadline));
        self.forget_if_idle(order.demand.model);
        let (order, needs, at) = (order.id, Tokens(needs), Micros(at));
        self.expect(allocator::Event::OrderCrowdedOut { order, vessel, decode, needs, at })?;
        Ok(true)
    }

    /// The vessels that are kept for an order.
    pub(super) fn kept_for(&self, slot: u32) -> Vec<u32> {
        let kept = self.ships.iter().filter(|(_, ship)| ship.keeps_for == Some(slot));
        kept.map(|(id, _)| *id).collect()
    }

    /// Vessels are kept for an order no more; tells whether any was.
    pub(super) fn let_others(&mut self, slot: u32) -> bool {
        let kept = self.kept_for(slot);
        for id in &kept {
            if let Some(ship) = self.ships.get_mut(id) {
                ship.keeps_for = None;
            }
            self.noted_ships.insert(*id);
        }
        !kept.is_empty()
    }

    /// An order goes without what was kept for it, and has not had the turn that it was charged for.
    pub(super) fn go_without(&mut self, slot: u32) -> Decided<()> {
        if self.let_others(slot) { self.give_turn_back(slot, 0) } else { Ok(()) }
    }

    /// Whether all that has a slot for an order is kept for others.
    pub(super) fn is_stuck(&self, order: &Live) -> Decided<bool> {
        Ok(matches!(self.way(order)?, Way::None))
    }

    /// Whose turn it is of those who wait for a model and find a way: who needs as large a vessel as one who finds none
    /// finds none either.
    pub(super) fn next_on_the_way(&self, model: ModelId) -> Decided<Option<u32>> {
        // Of those who want an answer, and of those who do not.
        let mut most = [u64::MAX; 2];
        while let Some(slot) = self.next_within(model, most) {
            let order = &self.orders[&slot];
            if !self.is_stuck(order)? {
                return Ok(Some(slot));
            }
            let below = self.fit(&order.demand) - 1;
            most[1] = if routes::is_embedding(&order.demand) { below } else { most[1] };
            most[0] = most[0].min(below);
        }
        Ok(None)
    }

    /// Vessels may be given more of their memory than before, or less: everybody looks again.
    pub(super) fn note_overcommit(&mut self, before: u32) {
        if self.policies.last().map_or(0, |policy| policy.overcommit_percent) != before {
            self.note_all();
        }
    }

    pub(super) fn note_all(&mut self) {
        self.noted_models.extend((0..self.models.len() as u32).map(ModelId));
        self.noted_ships.extend(self.berths.values().map(|berth| berth.vessel));
        let kept = self.ships.iter().filter(|(_, ship)| ship.keeps_for.is_some());
        self.noted_ships.extend(kept.map(|(id, _)| *id));
    }
}
