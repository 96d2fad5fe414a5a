//! Which routes there are, what each would mean, and whether the one that was taken may have been.

use std::collections::BTreeSet;
use tensorforge_engine::models::Kind;
use tensorforge_engine::routing::{Candidate, Choice, Verdict};

use super::crowding::{Crowd, Keeps};
use super::*;

/// One vessel's share of a route.
struct Share {
    verdict: Verdict,
    eta: u64,
    promised: Option<u64>,
    crowd: Crowd,
    prompt: u64,
    answer: u64,
    /// How long what was made of the prompt is on its way here.
    fetch: u64,
    cost: u64,
    energy: u64,
    cached: u64,
    failing: u64,
    load: u64,
    left: u64,
    hop: u64,
    /// How long it takes at most from now on, at the pace of the vessel.
    span: u64,
}

impl Model {
    /// How many orders a vessel takes, those aboard included and those that it keeps slots for.
    pub(super) fn slots(ship: &Ship) -> u32 {
        let slots = match ship.breaker {
            Breaker::Closed => ship.manifest.slots,
            Breaker::Open => 0,
            Breaker::Probing => ship.probes.min(ship.manifest.slots),
        };
        if ship.status == VesselStatus::Up && ship.paused == 0 { slots } else { 0 }
    }

    /// Whether a vessel takes one more order.
    pub(super) fn is_open(&self, id: u32) -> bool {
        let ship = &self.ships[&id];
        u64::from(Self::slots(ship)) > u64::from(ship.used) + self.kept(id)
    }

    /// The open vessels of a role that serve a model.
    pub(super) fn open(&self, model: ModelId, role: Role) -> BTreeSet<u32> {
        let open = self.ships.iter().filter(|(id, ship)| {
            let serves = ship.manifest.models.contains(&model) && ship.manifest.role == role;
            serves && self.is_open(**id)
        });
        open.map(|(id, _)| *id).collect()
    }

    pub(super) fn holds(&self, vessel: u32, demand: &Demand) -> bool {
        self.ships[&vessel].manifest.context_max.0 >= size(demand)
    }

    /// The least context of all vessels of its model that holds an order.
    pub(super) fn fit(&self, demand: &Demand) -> u64 {
        let serving = self.ships.values().filter(|ship| {
            ship.status != VesselStatus::Retired && ship.manifest.models.contains(&demand.model)
        });
        let contexts = serving.map(|ship| ship.manifest.context_max.0);
        contexts.filter(|context| *context >= size(demand)).min().unwrap_or(u64::MAX)
    }

    /// Whether so large a vessel is kept for somebody who waits and needs a larger one than this order.
    fn is_kept(&self, context: u64, demand: &Demand) -> bool {
        let largest = self.waiting(demand.model).map(|order| self.fit(&order.demand)).max();
        largest.is_some_and(|largest| largest > self.fit(demand) && context >= largest)
    }

    /// Whether an order would find a route.
    pub(super) fn has_room(&self, demand: &Demand) -> bool {
        let any = |role| self.open(demand.model, role).into_iter().any(|id| self.holds(id, demand));
        any(Role::Whole) || any(Role::Prefill) && (is_embedding(demand) || any(Role::Decode))
    }

    /// Every way that an order may go at this moment: one vessel, or one for the prompt and one for the answer.
    pub(super) fn ways(&self, order: &Live) -> Vec<(VesselId, VesselId)> {
        let open = |role| self.open(order.demand.model, role).into_iter().map(VesselId);
        let mut ways: Vec<_> = open(Role::Whole).map(|id| (id, VesselId::NONE)).collect();
        for first in open(Role::Prefill) {
            if is_embedding(&order.demand) {
                ways.push((first, VesselId::NONE));
            } else {
                ways.extend(open(Role::Decode).map(|second| (first, second)));
            }
        }
        ways
    }

    /// What vessels are believed to hold of a prompt: the longest prefix that each has worked of late, of
    /// the four that come first by length and then by when.
    fn holders(&self, demand: &Demand) -> BTreeMap<u32, u64> {
        let places = u64::from(self.limits.as_ref().map_or(1, |limits| limits.prefixes));
        let age = self.policies.last().map_or(0, |policy| policy.prefix_age.0);
        let mut holders = BTreeMap::new();
        for mark in demand.prefix.iter().rev() {
            let known = self.prefixes.get(&(mark.hash % places));
            for (vessel, starts, at) in
                known.filter(|row| row.0 == mark.hash).iter().flat_map(|r| &r.2)
            {
                let holds = self.ships[&vessel.0].starts == *starts && self.now - at <= age;
                if holds && holders.len() < 4 {
                    holders.entry(vessel.0).or_insert(mark.tokens.0);
                }
            }
        }
        holders
    }

    /// How long a vessel's legs have taken lately for what they should, in percent.
    pub(super) fn pace_of(&self, vessel: u32) -> u64 {
        let pace = &self.ships[&vessel].pace;
        self.policies.last().map_or(100, |policy| pace.percent(self.now, &policy.forecast))
    }

    /// Whether a vessel hangs on the same thing as one that has failed an order.
    fn is_near(&self, order: &Live, vessel: u32) -> bool {
        let domain = |id: u32| self.ships[&id].manifest.domain;
        domain(vessel) > 0 && order.tried.iter().any(|id| domain(id.0) == domain(vessel))
    }

    /// How long the way is from vessel to vessel of what was made of a prompt: begun thousands count in proportion.
    pub(super) fn fetch(&self, demand: &Demand, from: u32, to: u32) -> u64 {
        let [from, to] = [from, to].map(|id| self.ships[&id].manifest.region.0 as usize);
        let whole = rules::charge(demand.tokens_in.0, self.regions[to].2, 1_000);
        if from == to { 0 } else { rules::narrow(whole).min(1 << 46) }
    }

    fn share(&self, order: &Live, vessel: u32) -> Share {
        self.share_after(order, vessel, None)
    }

    /// The share of a vessel that goes on with what another one has made of the prompt.
    fn share_after(&self, order: &Live, vessel: u32, made: Option<u32>) -> Share {
        let demand = &order.demand;
        let ship = &self.ships[&vessel];
        let manifest = &ship.manifest;
        let prompts = manifest.role != Role::Decode;
        let answers = manifest.role != Role::Prefill;
        // An order that a vessel has failed expects nothing to be left of it there.
        let tried = order.tried.contains(&VesselId(vessel));
        let trusts = prompts && !tried;
        let held = self.holders(demand).get(&vessel).copied().filter(|_| trusts).unwrap_or(0);
        let (prompt, (answer, late)) = (demand.tokens_in.0, self.expected(order));
        let cached = held.min(prompt);
        let (mut reading, mut writing, mut overtime) = (0, 0, 0);
        let (mut cost, mut energy) = (0u128, 0u128);
        if prompts {
            reading = rules::prompt_time(manifest, prompt - cached);
            cost += u128::from(rules::prompt_price(manifest, prompt, cached));
            energy += rules::charge(prompt - cached, manifest.fuel_in.0, 1_000);
        }
        if answers {
            writing = rules::answer_time(manifest, answer);
            overtime = rules::answer_time(manifest, late - answer);
            cost += u128::from(rules::answer_price(manifest, answer));
            energy += rules::charge(answer, manifest.fuel_out.0, 1_000);
        }
        let known = (demand.origin.0 as usize) < self.regions.len();
        let elsewhere = known && demand.origin != manifest.region;
        let hop = if elsewhere { self.regions[manifest.region.0 as usize].1 } else { 0 };
        // Prompts are worked one after the other, all else beside one another.
        let mut waiting = ship.backlog / u64::from(manifest.slots);
        if prompts {
            waiting += ship.prompts.saturating_sub(self.now);
        }
        let way = if prompts { hop } else { 0 };
        let fits = self.holds(vessel, demand);
        let pace = self.pace_of(vessel);
        let paced = |time: u128| rules::narrow(time * u128::from(pace) / 100);
        let fetch = made.map_or(0, |made| self.fetch(demand, made, vessel));
        let eta = waiting + reading + writing + way + fetch;
        // A slot is free: whatever is aboard, it begins at once.
        let span = paced((reading + writing + overtime).into()) + way + fetch;
        // What is kept for another order is nobody else's, whatever is promised there.
        let mut crowd = (Keeps::Nobody, 0);
        if fits && !order.berthed {
            crowd = self.crowd(order, vessel);
        }
        let promised = self.promised(vessel, self.now + span);
        let promised = promised.filter(|_| crowd.0 != Keeps::Another);
        Share {
            verdict: match fits {
                false => Verdict::TooLarge,
                true if promised.is_some() && !order.berthed => Verdict::Promised,
                true if Self::beyond_limit(demand, rules::narrow(cost)) => Verdict::Dear,
                true if crowd.0 == Keeps::Another || crowd.1 > 0 => Verdict::Crowded,
                true if tried => Verdict::Tried,
                true if self.is_near(order, vessel) => Verdict::Near,
                true if self.is_kept(manifest.context_max.0, demand) => Verdict::Kept,
                true => Verdict::Eligible,
            },
            eta,
            promised: promised.filter(|_| fits && !order.berthed),
            crowd,
            prompt: reading,
            answer: writing,
            fetch,
            cost: rules::narrow(cost),
            energy: rules::narrow(energy),
            cached,
            failing: self.policies.last().map_or(0, |policy| {
                let rule = &policy.breaker;
                ship.calls.share(self.now, rule.window.0, rule.calls, [FAILED, CALLS])
            }),
            load: rules::share(ship.used.into(), manifest.slots.into()),
            left: if order.berthed {
                0
            } else {
                u64::from(Self::slots(ship))
                    .saturating_sub(self.kept(vessel) + u64::from(ship.used))
            },
            hop,
            span,
        }
    }

    /// The candidate that these vessels make, but for its draw.
    pub(super) fn candidate(
        &self,
        order: &Live,
        vessel: VesselId,
        decode: VesselId,
    ) -> Decided<Candidate> {
        let (_, policy) = self.policy()?;
        let mut sum = self.share(order, vessel.0);
        if decode != VesselId::NONE {
            let second = self.share_after(order, decode.0, Some(vessel.0));
            sum.verdict = sum.verdict.max(second.verdict);
            sum.eta += second.eta;
            sum.cost += second.cost;
            sum.energy += second.energy;
            sum.failing = sum.failing.max(second.failing);
            sum.load += second.load;
            sum.left += second.left;
            sum.span += second.span;
        }
        if self.now + sum.span > order.deadline {
            sum.verdict = sum.verdict.max(Verdict::Late);
        }
        if Self::beyond_limit(&order.demand, sum.cost) {
            sum.verdict = sum.verdict.max(Verdict::Dear);
        }
        // As often as it would have to be asked, so much longer.
        let time =
            u128::from(sum.eta) * 1_000_000 / u128::from(1_000_000 - sum.failing.min(900_000));
        let time = rules::narrow(time);
        let score = match policy.route_by {
            Choice::LeastLoad => sum.load,
            Choice::BestFit => sum.left,
            _ => rules::points(&policy.weights, time, sum.cost, sum.energy),
        };
        Ok(Candidate {
            vessel,
            decode,
            verdict: sum.verdict,
            score,
            tie: 0,
            eta: Micros(sum.eta),
            cost: MicroUsd(sum.cost),
            energy: Millijoules(sum.energy),
            cached: Tokens(sum.cached),
            failing: Ppm(sum.failing),
        })
    }

    /// Whether so many micro-dollars are more than a demand may cost.
    pub(super) fn beyond_limit(demand: &Demand, cost: u64) -> bool {
        demand.limit > 0 && cost > u64::from(demand.limit)
    }

    /// Whether a vessel asks more for its share of an order than that may cost.
    pub(super) fn asks_too_much(&self, order: &Live, vessel: u32) -> bool {
        Self::beyond_limit(&order.demand, self.share(order, vessel).cost)
    }

    /// Takes a route from the record, and believes it only if it may have been drawn and is the best.
    pub(super) fn route(&mut self, slot: u32, only: Option<u32>) -> Decided<()> {
        let order = self.order(slot)?.clone();
        if let Some(Event::Allocator(allocator::Event::OrderHeldBack { berthed_at, .. })) =
            self.record.front()
        {
            let berthed_at = berthed_at.0;
            self.may_hold_back(&order, berthed_at)?;
            return self.hold_back(slot, berthed_at);
        }
        if let Some(Event::Allocator(allocator::Event::OrderTooDear { least, .. })) =
            self.record.front()
        {
            let least = least.0;
            self.may_be_too_dear(&order, least)?;
            return self.put_off(slot, least);
        }
        if let Some(Event::Queue(queue::Event::OrderOverdue { needs, .. })) = self.record.front() {
            let needs = needs.0;
            return self.give_up(slot, needs);
        }
        if order.stage == Stage::Queued {
            self.choose(slot)?;
        }
        let Some(Event::Routing(routing::Event::OrderRouted { candidates, route, .. })) =
            self.record.front().cloned()
        else {
            return wrong(format!("{} is not routed, but {:?}", order.id, self.record.front()));
        };
        let open = [Role::Whole, Role::Prefill, Role::Decode]
            .map(|role| self.open(order.demand.model, role));
        self.scored(&order, &candidates, &open, only)?;
        let rank = |c: &Candidate| (c.verdict as u8, c.score, c.tie, c.vessel.0, c.decode.0);
        if !candidates.is_sorted_by(|a, b| rank(a) < rank(b)) {
            return wrong(format!("not in order, or not distinct: {candidates:?}"));
        }
        let Some(best) = candidates.first().filter(|c| c.verdict < Verdict::Crowded) else {
            return wrong(format!("nothing to be had: {candidates:?}"));
        };
        if best.verdict == Verdict::Late && self.has_rivals(&order) {
            return wrong(format!("{} is late, and others wait: {best:?}", order.id));
        }
        match only {
            Some(only) if candidates.len() != 1 || best.vessel.0 != only => {
                return wrong(format!("only {only} was to be considered: {candidates:?}"));
            }
            Some(_) => {}
            None => self.sampled(&order, &candidates, &open)?,
        }
        self.note_routed(&order, order.retry)?;
        self.let_others(slot);
        let legs = self.legs(&order, best);
        if legs != route.to_vec() {
            return wrong(format!("{best:?} means {legs:?}, not {route:?}"));
        }
        let (version, _) = self.policy()?;
        let [whole, prefill, _] = open.map(|open| open.len() as u32);
        self.expect(routing::Event::OrderRouted {
            order: order.id,
            attempt: order.attempt + 1,
            policy: version,
            open: if only.is_some() { 1 } else { whole + prefill },
            candidates,
            route,
        })?;
        if self.policy()?.1.route_by == Choice::RoundRobin {
            *self.turned.entry(order.demand.model).or_default() += 1;
        }
        // Another attempt yields all of it again.
        let row = self.order(slot)?;
        (row.cached, row.tokens_out, row.first_token) = (0, 0, 0);
        row.wasted += std::mem::take(&mut row.cost);
        self.take(slot, legs)
    }

    /// Whether an order waits, in the queue or for what is kept for it, and another one for its model.
    pub(super) fn has_rivals(&self, order: &Live) -> bool {
        let waits = order.stage == Stage::Queued || !self.kept_for(order.id.slot().0).is_empty();
        waits && self.waiting(order.demand.model).any(|other| other.id != order.id)
    }

    /// Whether a policy looks at every vessel.
    pub(super) fn draws_all(&self) -> Decided<bool> {
        let (_, policy) = self.policy()?;
        Ok(usize::from(policy.candidates) >= self.ships.len()
            && matches!(policy.route_by, Choice::Score | Choice::LeastLoad | Choice::BestFit))
    }

    /// How long an order takes at most on a vessel, or pair.
    pub(super) fn span(&self, order: &Live, vessel: VesselId, second: VesselId) -> u64 {
        let first = self.share(order, vessel.0).span;
        let second = (second != VesselId::NONE)
            .then(|| self.share_after(order, second.0, Some(vessel.0)).span);
        first + second.unwrap_or(0)
    }

    /// An order ends that would be late wherever there is room for it, while others wait.
    fn give_up(&mut self, slot: u32, needs: u64) -> Decided<()> {
        let order = self.order(slot)?.clone();
        let all = self.draws_all()?;
        let mut spans = BTreeSet::new();
        for (vessel, second) in self.ways(&order) {
            let candidate = self.candidate(&order, vessel, second)?;
            if all && candidate.verdict < Verdict::Late {
                return wrong(format!("{} is given up, but {candidate:?}", order.id));
            }
            spans.insert(self.span(&order, vessel, second));
        }
        let left = order.deadline.saturating_sub(self.now);
        if !self.has_rivals(&order) || !spans.contains(&needs) || self.now + needs <= order.deadline
        {
            return wrong(format!("{} needs {needs}, has {left}: {spans:?}", order.id));
        }
        let (id, needs, left) = (order.id, Micros(needs), Micros(left));
        self.expect(queue::Event::OrderOverdue { order: id, needs, left })?;
        self.end(slot, End::Expired)
    }

    /// Whether every vessel, or pair, that has room for an order promises it to others, the first of these at
    /// this moment.
    fn may_hold_back(&self, order: &Live, berthed_at: u64) -> Decided<()> {
        let mut moments = BTreeSet::new();
        for (vessel, second) in self.ways(order) {
            let candidate = self.candidate(order, vessel, second)?;
            if candidate.verdict < Verdict::Promised
                && !self.kept_for_another(order, vessel, second)
            {
                return wrong(format!("{} is held back, but {candidate:?}", order.id));
            }
            if candidate.verdict == Verdict::Promised {
                moments.extend(self.share(order, vessel.0).promised);
                let second = (second != VesselId::NONE)
                    .then(|| self.share_after(order, second.0, Some(vessel.0)));
                moments.extend(second.and_then(|share| share.promised));
            }
        }
        if moments.contains(&berthed_at) {
            Ok(())
        } else {
            wrong(format!("held back until {berthed_at}, not one of {moments:?}"))
        }
    }

    /// Whether no vessel that has room for an order does so for what it may cost, and one of those that were considered asks
    /// this; all pairs are known to be too dear only where all halves are drawn.
    fn may_be_too_dear(&self, order: &Live, least: u64) -> Decided<()> {
        let all = self.draws_all()?;
        let (mut prices, mut single) = (BTreeSet::new(), true);
        for (vessel, second) in self.ways(order) {
            let candidate = self.candidate(order, vessel, second)?;
            let known = all || second == VesselId::NONE;
            if self.kept_for_another(order, vessel, second) {
                continue;
            }
            if known && candidate.verdict < Verdict::Dear {
                return wrong(format!("{} is too dear, but {candidate:?}", order.id));
            }
            if candidate.verdict == Verdict::Dear {
                prices.insert(candidate.cost.0);
                single &= second == VesselId::NONE;
            }
        }
        let lowest = prices.first() == Some(&least);
        if if all && single { lowest } else { prices.contains(&least) } {
            Ok(())
        } else {
            wrong(format!("{} is too dear at {least}, not one of {prices:?}", order.id))
        }
    }

    /// Whether every candidate was open, and has the points that it should have.
    fn scored(
        &self,
        order: &Live,
        candidates: &[Candidate],
        [whole, prefill, decode]: &[BTreeSet<u32>; 3],
        only: Option<u32>,
    ) -> Decided<()> {
        for candidate in candidates {
            let known = if only.is_some() {
                true
            } else if candidate.decode == VesselId::NONE {
                let alone = is_embedding(&order.demand) && prefill.contains(&candidate.vessel.0);
                alone || whole.contains(&candidate.vessel.0)
            } else {
                prefill.contains(&candidate.vessel.0) && decode.contains(&candidate.decode.0)
            };
            if !known {
                return wrong(format!("no open vessel for {candidate:?}"));
            }
            let own = self.candidate(order, candidate.vessel, candidate.decode)?;
            let own = Candidate { tie: candidate.tie, ..own };
            if own != *candidate {
                return wrong(format!("expected {own:?}\n   found {candidate:?}"));
            }
        }
        Ok(())
    }

    /// Whether these candidates may have been drawn.
    fn sampled(
        &self,
        order: &Live,
        candidates: &[Candidate],
        [whole, prefill, decode]: &[BTreeSet<u32>; 3],
    ) -> Decided<()> {
        let (pairs, singles): (Vec<&Candidate>, Vec<&Candidate>) =
            candidates.iter().partition(|c| c.decode != VesselId::NONE);
        let holders: BTreeSet<u32> = self.holders(&order.demand).into_keys().collect();
        let firsts = |of: &[&Candidate]| of.iter().map(|c| c.vessel.0).collect::<BTreeSet<u32>>();
        let (alone, singles): (Vec<&Candidate>, Vec<&Candidate>) =
            singles.into_iter().partition(|c| prefill.contains(&c.vessel.0));
        self.drawn(order, &firsts(&singles), whole, &holders)?;
        if is_embedding(&order.demand) {
            self.drawn(order, &firsts(&alone), prefill, &holders)?;
            return if pairs.is_empty() { Ok(()) } else { wrong("a pair for a prompt") };
        }
        if prefill.is_empty() || decode.is_empty() {
            return if pairs.is_empty() { Ok(()) } else { wrong("half a pair") };
        }
        let seconds: BTreeSet<u32> = pairs.iter().map(|c| c.decode.0).collect();
        let firsts = firsts(&pairs);
        self.drawn(order, &firsts, prefill, &holders)?;
        self.drawn(order, &seconds, decode, &BTreeSet::new())?;
        self.paired(order, &pairs, &firsts, &seconds)
    }

    /// Whether of every second half the best pair of all is there, and every other first half with the second half of the
    /// very best. Draws decide between equals, and for the same first half beside every second one.
    fn paired(
        &self,
        order: &Live,
        pairs: &[&Candidate],
        firsts: &BTreeSet<u32>,
        seconds: &BTreeSet<u32>,
    ) -> Decided<()> {
        let (mut listed, mut before) = (BTreeSet::new(), BTreeSet::new());
        for second in seconds {
            let own = pairs.iter().filter(|pair| pair.decode.0 == *second);
            // Of equals the first is preferred, in the order in which they stand.
            let best = own.min_by_key(|pair| self.preference(order, pair));
            let Some(best) = best else { return wrong("half a pair") };
            listed.insert((best.vessel.0, *second));
            for first in firsts {
                let other = self.candidate(order, VesselId(*first), VesselId(*second))?;
                let ranks = [best, &&other].map(|c| self.preference(order, c));
                if ranks[0] > ranks[1] {
                    return wrong(format!("{other:?} is better than {best:?}"));
                }
                if ranks[0] == ranks[1] && best.vessel.0 != *first {
                    before.insert((best.vessel.0, *first));
                }
            }
        }
        let used: BTreeSet<u32> = listed.iter().map(|(first, _)| *first).collect();
        let chief = pairs.first().map_or(u32::MAX, |best| best.decode.0);
        listed.extend(firsts.difference(&used).map(|first| (*first, chief)));
        let found: BTreeSet<_> = pairs.iter().map(|c| (c.vessel.0, c.decode.0)).collect();
        let fair = !before.iter().any(|(a, b)| before.contains(&(*b, *a)));
        if found == listed && found.len() == pairs.len() && fair {
            Ok(())
        } else {
            wrong(format!("{listed:?} are to be listed, drawn {before:?}: {pairs:?}"))
        }
    }

    /// What is preferred of pairs: last are those of which one is kept for another order.
    fn preference(&self, order: &Live, pair: &Candidate) -> (bool, u8, Option<Crowd>, [u64; 2]) {
        let another = self.kept_for_another(order, pair.vessel, pair.decode);
        let [a, b] = [pair.vessel, pair.decode].map(|id| self.crowd(order, id.0));
        let crowd = (a.0.max(b.0), a.1.max(b.1));
        let crowd = (pair.verdict == Verdict::Crowded).then_some(crowd);
        let dear = if pair.verdict == Verdict::Dear { pair.cost.0 } else { 0 };
        (another, pair.verdict as u8, crowd, [dear, pair.score])
    }

    fn standing(&self, order: &Live, vessel: u32) -> (bool, u8, Crowd) {
        let share = self.share(order, vessel);
        let last = share.crowd.0 == Keeps::Another || share.verdict == Verdict::TooLarge;
        (last, share.verdict as u8, share.crowd)
    }

    /// Whether this set may have been drawn among those that are open: as many as the policy says, those
    /// that hold a prefix besides, and one that is large enough where none of them is.
    fn drawn(
        &self,
        order: &Live,
        found: &BTreeSet<u32>,
        open: &BTreeSet<u32>,
        holders: &BTreeSet<u32>,
    ) -> Decided<()> {
        let (_, policy) = self.policy()?;
        // What is kept for it is looked at in any case.
        let mut holders = holders.clone();
        if policy.route_by != Choice::Score {
            holders.clear();
        }
        let kept: Vec<u32> = self.kept_for(order.id.slot().0);
        holders.extend(&kept);
        let mut count = usize::from(policy.candidates).min(open.len());
        let alone = match policy.route_by {
            Choice::Score | Choice::LeastLoad | Choice::BestFit => None,
            Choice::RoundRobin => {
                let turn = self.turned.get(&order.demand.model).copied().unwrap_or(0);
                open.iter().nth((turn % open.len().max(1) as u64) as usize).copied()
            }
            Choice::Affinity => {
                let named = order.demand.prefix.first().map_or(order.tenant.into(), |m| m.hash);
                let up = self.ships.iter().filter(|(_, ship)| {
                    let serves = ship.manifest.models.contains(&order.demand.model);
                    serves && ship.status == VesselStatus::Up
                });
                let up: Vec<u32> = up.map(|(id, _)| *id).collect();
                let home = up[rules::jump(named, up.len() as u64) as usize];
                let round = || open.range(home..).chain(open.range(..home)).copied();
                let fair = |id: &u32| {
                    let ship = &self.ships[id];
                    ship.used * 100 < ship.manifest.slots * policy.home_percent
                };
                round().take(64).find(fair).or(round().next())
            }
        };
        if let Some(alone) = alone {
            let mut own = BTreeSet::from([alone]);
            own.extend(kept.iter().filter(|id| open.contains(id)));
            let best = open.iter().map(|id| self.standing(order, *id)).min();
            if *found == own && own.iter().map(|id| self.standing(order, *id)).min() == best {
                return Ok(());
            }
            // It may have been searched for, where he whose turn it was is not as good.
            count = 1;
            if *found == own {
                return wrong(format!("{alone} is not as good as another one of {open:?}"));
            }
            if self.share(order, alone).verdict == Verdict::Eligible {
                return wrong(format!("{found:?}, where it is the turn of {alone}"));
            }
        }
        let standing = |id: &u32| self.standing(order, *id);
        let best = open.iter().map(standing).min();
        let good = |id: &&u32| Some(standing(id)) == best;
        let holders: BTreeSet<u32> = holders.intersection(open).copied().collect();
        let others = found.difference(&holders).count();
        let sample = found.is_superset(&holders) && found.len() >= count && others <= count;
        let sees = best.is_none() || found.iter().any(|id| good(&id));
        // One that is searched for stands alone, as small as can be; it is where none of those that were
        // drawn is as good.
        let context = |id: &u32| self.ships[id].manifest.context_max;
        let least = open.iter().filter(good).map(context).min();
        let bad = open.iter().filter(|id| !good(id)).count();
        let searched = found.len() == 1
            && found.iter().all(|id| Some(context(id)) == least)
            && bad >= count
            && !holders.iter().any(|id| good(&id));
        if sees && (sample || searched) {
            Ok(())
        } else {
            wrong(format!("{found:?} was not drawn {count} among {open:?} with {holders:?}"))
        }
    }

    fn legs(&self, order: &Live, best: &Candidate) -> Vec<Leg> {
        let first = self.share(order, best.vessel.0);
        let leg = |kind, vessel, work| Leg { kind, vessel, work: Micros(work) };
        let mut legs = Vec::new();
        if first.hop > 0 {
            legs.push(leg(LegKind::Hop, best.vessel, first.hop));
        }
        if best.decode == VesselId::NONE {
            let halved = self.ships[&best.vessel.0].manifest.role == Role::Prefill;
            let kind = if halved { LegKind::Prefill } else { LegKind::Whole };
            legs.push(leg(kind, best.vessel, first.prompt + first.answer));
        } else {
            let second = self.share_after(order, best.decode.0, Some(best.vessel.0));
            legs.push(leg(LegKind::Prefill, best.vessel, first.prompt));
            legs.push(leg(LegKind::Decode, best.decode, second.fetch + second.answer));
        }
        legs
    }

    /// An order goes on its way: it leaves the queue, its legs take room, its prefixes move.
    fn take(&mut self, slot: u32, legs: Vec<Leg>) -> Decided<()> {
        let working: Vec<Leg> =
            legs.iter().filter(|leg| leg.kind != LegKind::Hop).cloned().collect();
        let size = size(&self.order(slot)?.demand);
        for leg in &working {
            let ship = self.ship(leg.vessel)?;
            ship.used += 1;
            ship.tokens += size;
            ship.backlog += leg.work.0;
        }
        let order = self.order(slot)?;
        order.stage = Stage::Running;
        order.attempt += 1;
        order.leg = 0;
        order.route = legs;
        let model = order.demand.model;
        self.forget_if_idle(model);
        let demand = self.order(slot)?.demand.clone();
        self.hold_prefix(&demand, working[0].vessel);
        self.dispatch(slot)
    }

    /// A vessel will have worked a prompt.
    pub(super) fn hold_prefix(&mut self, demand: &Demand, vessel: VesselId) {
        let places = u64::from(self.limits.as_ref().map_or(1, |limits| limits.prefixes));
        let (starts, now) = (self.ships[&vessel.0].starts, self.now);
        for mark in &demand.prefix {
            let row = self.prefixes.entry(mark.hash % places).or_default();
            if row.0 != mark.hash {
                *row = (mark.hash, 0, Vec::new());
            }
            row.1 = mark.tokens.0;
            row.2.retain(|(known, ..)| *known != vessel);
            row.2.insert(0, (vessel, starts, now));
            row.2.truncate(4);
        }
    }
}

/// Prompt and answer together.
pub(super) fn size(demand: &Demand) -> u64 {
    demand.tokens_in.0 + demand.tokens_out_max.0
}

/// Whether a prompt is all there is.
pub(super) fn is_embedding(demand: &Demand) -> bool {
    demand.kind == Kind::Embedding
}
