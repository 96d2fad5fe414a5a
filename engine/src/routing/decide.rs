//! Where an order goes: candidates are drawn, scored and recorded, and the best one is taken.
//!
//! A few vessels are drawn among those with room (the power of d choices: Mitzenmacher, IEEE TPDS
//! 12(10), 2001), so that the cost does not grow with the fleet, and the vessels that are believed to
//! hold the prompt's prefix join them. Equal scores are decided by a keyed hash, which favours no one.
//! Where prompt and answer are worked apart, the best pair of all those is found (`labels`).

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use crate::allocator::cost::{self, transfer_time};
use crate::allocator::decide::crowding::{Crowd, Keeps, Spot, crowd, is_kept_for};
use crate::allocator::decide::promised;
use crate::allocator::index::kept_of;
use crate::kernel::bits::Bits;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{
    BerthId, MicroUsd, Micros, Millijoules, OrderId, OrderSlot, PolicyVersion, Ppm, RegionId,
    Tokens, VesselId, clamp,
};
use crate::models::index::Serving;
use crate::models::rows::{
    Demand, Leg, LegKind, Load, Manifest, Mark, Order, Pace, Role, Route, Stage, TRIED_MAX,
};
use crate::policy::rows::Policy;
use crate::queue::decide::kept;
use crate::queue::rows::Line;
use crate::routing::fold::prefix_slot;
use crate::routing::labels::{Label, unbeaten};
use crate::routing::rows::{Choice, HOLDERS_MAX, Weights};
use crate::routing::words::{Candidate, Candidates, Event, Verdict};
use crate::state::State;
use crate::telemetry::decide::{Expected, expected, pace};
use crate::transaction::Transaction;

/// A vessel is not taken to fail a greater share of its calls: it may have recovered.
const FAILING_MOST: Ppm = Ppm(900_000);

/// So many vessels are looked through for one that does not promise its slots to others.
const SEARCHED_MOST: usize = 64;

/// One vessel's share of a candidate: the hops it would take and what they mean.
#[derive(Clone)]
pub(crate) struct Part {
    vessel: VesselId,
    region: RegionId,
    verdict: Verdict,
    eta: Micros,
    prompt: Micros,
    answer: Micros,
    pub(crate) cost: MicroUsd,
    energy: Millijoules,
    cached: Tokens,
    failing: Ppm,
    /// What it is chosen by where that is not time, price and fuel: the share of its slots that are in use, or how many
    /// are left.
    filled: u64,
    /// The leg that it works.
    kind: LegKind,
    pub(crate) hop: Micros,
    /// How long it fetches what was made of the prompt in another region.
    fetch: Micros,
    /// How much longer it takes where its answer is as long as few are.
    spread: Micros,
    /// When the first berth begins that it would last into.
    pub(crate) promised: Option<Micros>,
    pub(crate) crowd: Crowd,
}

impl Part {
    /// Whether it can be had, and else what would have to go first; the best first, and last what is kept for others or too
    /// small.
    fn standing(&self) -> (bool, Verdict, Crowd) {
        let last = self.crowd.keeps == Keeps::Another || self.verdict == Verdict::TooLarge;
        (last, self.verdict, self.crowd)
    }

    /// How long it should take, once nothing is before it.
    pub(crate) fn work(&self) -> Micros {
        self.prompt + self.fetch + self.answer
    }

    /// How long it takes at most from this moment on, at the pace of the vessel: a slot is free, and so it begins at
    /// once.
    pub(crate) fn span(&self, state: &State) -> Micros {
        let load = state.tables.loads.get(self.vessel);
        let pace = load.map_or(Pace::AS_DECLARED, |load| pace(state, load));
        self.way() + self.fetch + (self.prompt + self.answer + self.spread).percent(pace)
    }

    /// The same where what was made of the prompt has to be fetched for so long.
    fn fetching(&self, state: &State, asked: &Asked<'_>, fetch: Micros) -> Self {
        let mut part = Self { fetch, eta: self.eta + fetch, ..self.clone() };
        part.respect_berths(state, asked);
        part
    }

    /// Takes notice of what the vessel has promised to others; whoever has a berth here is promised this himself.
    fn respect_berths(&mut self, state: &State, asked: &Asked<'_>) {
        let berths = &state.index.berths;
        // What is kept for another order is nobody else's, whatever is promised there.
        let held = self.crowd.keeps == Keeps::Another || !berths.contains_key(&self.vessel);
        if self.verdict < Verdict::Promised && !held && !asked.berthed {
            self.promised = promised(state, self.vessel, state.now() + self.span(state));
            if self.promised.is_some() {
                self.verdict = Verdict::Promised;
            }
        }
    }

    /// What it is judged by as the first half of a route.
    fn label(&self, state: &State, tie: u32) -> Label {
        let means = [
            u64::from(self.verdict as u8),
            self.eta.0,
            self.cost.0,
            self.energy.0,
            self.failing.0,
            self.filled,
            self.span(state).0,
            self.crowd.keeps as u64,
            self.crowd.needs.0,
        ];
        Label { region: self.region, means, tie: (tie, self.vessel) }
    }

    /// How long it takes to get there; it is counted where the prompt is worked.
    fn way(&self) -> Micros {
        if self.kind == LegKind::Decode { Micros::ZERO } else { self.hop }
    }
}

/// A route that was considered.
struct Scored {
    candidate: Candidate,
    route: Route,
    /// How long it would take, where that is too long; else zero.
    needs: Micros,
    /// When the first berth begins that it would last into, if it does.
    promised: Micros,
    crowd: Crowd,
}

impl Scored {
    fn of(state: &State, wanted: &Wanted<'_>, first: &Part, second: Option<&Part>) -> Self {
        Self::from(state, wanted, candidate(state, wanted, first, second), first, second)
    }

    fn from(
        state: &State,
        wanted: &Wanted<'_>,
        candidate: Candidate,
        first: &Part,
        second: Option<&Part>,
    ) -> Self {
        let last = second.unwrap_or(first);
        let begins = |part: &Part| part.promised.unwrap_or(Micros::MAX);
        let late = match candidate.verdict {
            Verdict::Late => true,
            Verdict::Crowded => is_late(state, wanted.order, first, second),
            _ => false,
        };
        Self {
            candidate,
            route: route_of(first, second),
            needs: if late { span(state, first, second) } else { Micros::ZERO },
            promised: begins(first).min(begins(last)),
            crowd: first.crowd.with(last.crowd),
        }
    }

    /// Where the order comes aboard once there is room.
    fn spot(&self) -> Spot {
        let Candidate { vessel, decode, .. } = self.candidate;
        Spot { vessel, decode, needs: self.crowd.needs }
    }
}

/// An order that wants a route.
struct Wanted<'a> {
    order: &'a Order,
    asked: Asked<'a>,
    /// What decides between equals.
    ties: Draw,
}

impl<'a> Wanted<'a> {
    fn of(tx: &'a Transaction, policy: &'a Policy, order: &'a Order) -> Self {
        let ties = Draw::new(tx.state().journal(), tx.stamp().seq, order.id, Purpose::Tie);
        Self { order, asked: Asked::of(tx.state(), policy, order), ties }
    }
}

/// Notes what a vessel would be lost with, if anything.
fn note_domain(state: &State, vessel: VesselId, domains: &mut Domains) {
    let domain = state.tables.vessels.get(vessel).map_or(0, |vessel| vessel.manifest.domain);
    if domain != 0 && !domains.contains(&domain) {
        let _ = domains.try_push(domain);
    }
}

/// Those of all who have failed an order, and of one more.
type Domains = ArrayVec<u32, { TRIED_MAX + 1 }>;

/// What is asked of a vessel.
pub(crate) struct Asked<'a> {
    /// The one in force.
    pub(crate) policy: &'a Policy,
    /// Where the order lives; nowhere where somebody merely asks.
    pub(crate) slot: OrderSlot,
    pub(crate) demand: &'a Demand,
    /// Those that have failed it.
    pub(crate) tried: &'a [VesselId],
    /// What it does not want to be lost with once more.
    pub(crate) domains: Domains,
    /// Whether it has a berth.
    pub(crate) berthed: bool,
    /// How long its answer is expected to be.
    pub(crate) answer: Expected,
}

impl<'a> Asked<'a> {
    fn of(state: &State, policy: &'a Policy, order: &'a Order) -> Self {
        let berthed = order.berth != BerthId::NONE;
        let answer = expected(state, order);
        let (slot, demand, tried) = (order.id.slot(), &order.demand, &order.tried);
        let mut domains = ArrayVec::new();
        tried.iter().for_each(|vessel| note_domain(state, *vessel, &mut domains));
        Self { policy, slot, demand, tried, domains, berthed, answer }
    }
}

/// Why an order has no route.
pub(crate) enum NoRoute {
    /// There is no room for it.
    Full,
    /// It would not be done in time, and others wait who may.
    Late {
        /// How long it would take.
        needs: Micros,
    },
    /// Wherever there is a slot, memory is left for smaller ones at most. Where it comes aboard once there is more: nowhere
    /// where all of these vessels are kept for others.
    Crowded(Option<Spot>),
    /// Wherever there is room, it would last into a berth.
    Promised {
        /// When the first of them begins.
        at: Micros,
    },
    /// Wherever there is room, it is expected to cost more than it may.
    Dear {
        /// What it is expected to cost on the cheapest of the routes that were considered.
        least: MicroUsd,
    },
}

/// The best route for an order.
pub(crate) fn plan(tx: &Transaction, id: OrderId) -> Result<Event, NoRoute> {
    let state = tx.state();
    let found = state.policy().zip(state.order(id));
    let ((version, policy), order) = found.ok_or(NoRoute::Full)?;
    let serving = state.index.parties.serving.get(order.demand.model.0 as usize);
    let serving =
        serving.filter(|serving| order.demand.size() <= serving.room(order.demand.answers()));
    let serving = serving.ok_or(NoRoute::Full)?;
    let wanted = Wanted::of(tx, policy, order);
    let alone = |part: &Part| Scored::of(state, &wanted, part, None);
    let mut scored: Vec<Scored> =
        parts(tx, &wanted, serving, Role::Whole).iter().map(alone).collect();
    if order.demand.answers() {
        pairs(tx, &wanted, serving, &mut scored);
    } else {
        scored.extend(parts(tx, &wanted, serving, Role::Prefill).iter().map(alone));
    }
    // What is kept for another order is nobody else's.
    let free = || scored.iter().filter(|scored| scored.crowd.keeps != Keeps::Another);
    let Some(best) = free().map(|scored| scored.candidate.verdict).min() else {
        return Err(if scored.is_empty() { NoRoute::Full } else { NoRoute::Crowded(None) });
    };
    match best {
        Verdict::Late if others_wait(state, order) => {
            Err(NoRoute::Late { needs: best_of(&scored).map_or(Micros::ZERO, |best| best.needs) })
        }
        Verdict::Eligible | Verdict::Kept | Verdict::Near | Verdict::Tried | Verdict::Late => {
            let [whole, prefill, _] = &serving.open;
            let open = whole.count().saturating_add(prefill.count());
            Ok(routed(order, version, open, scored))
        }
        Verdict::Crowded => {
            let crowded = free().filter(|scored| scored.candidate.verdict == Verdict::Crowded);
            let standing = |scored: &&Scored| {
                (scored.needs > Micros::ZERO, scored.crowd, rank(&scored.candidate))
            };
            let best = crowded.min_by_key(standing);
            Err(match best {
                // Nothing is kept for who would not be done in time, while others may.
                Some(best) if best.needs > Micros::ZERO && others_wait(state, order) => {
                    NoRoute::Late { needs: best.needs }
                }
                best => NoRoute::Crowded(best.map(Scored::spot)),
            })
        }
        Verdict::Dear => {
            let dear = free().filter(|scored| scored.candidate.verdict == Verdict::Dear);
            let least = dear.map(|scored| scored.candidate.cost).min();
            Err(least.map_or(NoRoute::Full, |least| NoRoute::Dear { least }))
        }
        Verdict::Promised => {
            // A pair of which one is too small has no room to promise.
            let promised = free().filter(|scored| scored.candidate.verdict == Verdict::Promised);
            let begins = promised.map(|scored| scored.promised).min();
            Err(begins.map_or(NoRoute::Full, |at| NoRoute::Promised { at }))
        }
        Verdict::TooLarge => Err(NoRoute::Full),
    }
}

/// Whether an order waits for room, or for a vessel that is kept for it, and another one for the same model.
fn others_wait(state: &State, order: &Order) -> bool {
    let line = state.tables.lines.get(order.demand.model);
    let ready = line.map_or(0, Line::ready);
    match order.stage {
        Stage::Queued => ready > 1,
        _ => ready > 0 && is_kept_for(state, order.id),
    }
}

/// The way to the vessel where an order has a berth, if there is a slot free on it, kept or not, and it is not too dear.
pub(crate) fn plan_berth(tx: &Transaction, id: OrderId) -> Option<Event> {
    let state = tx.state();
    let (version, policy) = state.policy()?;
    let order = state.order(id)?;
    let berth = state.tables.berths.get(order.berth)?;
    let (in_time, berth) = (tx.now() < berth.window.until, berth.vessel);
    let sight = sight(state, berth.0)?;
    let vessel = state.tables.vessels.get(berth)?;
    // It may have been registered anew as something else.
    let serves = in_time
        && vessel.manifest.role == Role::Whole
        && vessel.manifest.models.contains(&order.demand.model)
        && vessel.manifest.context_max >= order.demand.size();
    if !serves || sight.load.used >= vessel.slots(sight.load) {
        return None;
    }
    let wanted = Wanted::of(tx, policy, order);
    let kept = kept(state, order.demand.model, order.demand.size());
    let part = part(state, &wanted.asked, &sight, &holders(state, &order.demand.prefix), kept);
    let scored = alloc::vec![Scored::of(state, &wanted, &part, None)];
    let dear = scored.iter().any(|scored| scored.candidate.verdict == Verdict::Dear);
    (!dear).then(|| routed(order, version, 1, scored))
}

/// The vessel that may work an order's last leg as well: the best that has not failed it, lies where it arises, is nobody
/// else's and would not be lost with the one that works it or with one that has failed it. With it how long the prompt takes
/// there, and what was considered.
pub(crate) fn plan_hedge(
    tx: &Transaction,
    id: OrderId,
    besides: VesselId,
) -> Option<(Leg, Micros, Candidates)> {
    let state = tx.state();
    let (_, policy) = state.policy()?;
    let order = state.order(id)?;
    let serving = state.index.parties.serving.get(order.demand.model.0 as usize)?;
    let mut wanted = Wanted::of(tx, policy, order);
    note_domain(state, besides, &mut wanted.asked.domains);
    let mut found = parts(tx, &wanted, serving, Role::Whole);
    found.retain(|part| {
        let fits = part.verdict == Verdict::Eligible && !is_late(state, order, part, None);
        part.vessel != besides && fits && part.hop == Micros::ZERO
    });
    let mut scored: Vec<(Candidate, &Part)> =
        found.iter().map(|part| (candidate(state, &wanted, part, None), part)).collect();
    scored.sort_by_key(|(candidate, _)| rank(candidate));
    let (_, best) = scored.first()?;
    let leg = Leg { kind: LegKind::Whole, vessel: best.vessel, work: best.work() };
    let prompt = best.prompt;
    let candidates = scored.into_iter().map(|(candidate, _)| candidate).collect();
    Some((leg, prompt, Candidates(candidates)))
}

fn routed(order: &Order, policy: PolicyVersion, open: u32, scored: Vec<Scored>) -> Event {
    let route = best_of(&scored).map(|best| best.route.clone()).unwrap_or_default();
    let mut candidates: Vec<Candidate> =
        scored.into_iter().map(|scored| scored.candidate).collect();
    candidates.sort_unstable_by_key(rank);
    Event::OrderRouted {
        order: order.id,
        attempt: order.attempt.saturating_add(1),
        policy,
        open,
        candidates: Candidates(candidates),
        route,
    }
}

fn best_of(scored: &[Scored]) -> Option<&Scored> {
    scored.iter().min_by_key(|scored| rank(&scored.candidate))
}

type Rank = (Verdict, u64, u32, VesselId, VesselId);

/// The order in which candidates are preferred: those that can be had, by score, by draw, by id.
fn rank(candidate: &Candidate) -> Rank {
    (candidate.verdict, candidate.score, candidate.tie, candidate.vessel, candidate.decode)
}

/// The candidates that split the work: of each decode vessel the best pair, and each prefill vessel that is in none of
/// them with the decode vessel of the very best.
fn pairs(tx: &Transaction, wanted: &Wanted<'_>, serving: &Serving, scored: &mut Vec<Scored>) {
    let (state, order) = (tx.state(), wanted.order);
    let [_, prefill, decode] = &serving.open;
    if prefill.count() == 0 || decode.count() == 0 {
        return;
    }
    let prefill = parts(tx, wanted, serving, Role::Prefill);
    let decode = parts(tx, wanted, serving, Role::Decode);
    let label = |first: &Part| first.label(state, half_tie(&wanted.ties, first.vessel));
    let labels: Vec<Label> = prefill.iter().map(label).collect();
    let labels: Vec<&Part> = unbeaten(&labels).filter_map(|place| prefill.get(place)).collect();
    let far = |second: &Part| {
        let fetches = prefill.iter().any(|first| first.region != second.region);
        let region = state.tables.regions.get(second.region).filter(|_| fetches)?;
        let fetch = transfer_time(region, order.demand.tokens_in);
        (fetch > Micros::ZERO).then(|| second.fetching(state, &wanted.asked, fetch))
    };
    let ends: Vec<(&Part, Option<Part>)> =
        decode.iter().map(|second| (second, far(second))).collect();
    let mut joined = Vec::new();
    for end in &ends {
        let all = labels.iter().map(|first| {
            let second = from(end, first);
            (candidate(state, wanted, first, Some(second)), *first, second)
        });
        joined.extend(all.min_by_key(standing).map(|found| (found, end)));
    }
    let best = joined.iter().min_by_key(|(found, _)| standing(found));
    let Some((_, end)) = best else { return };
    let used = |vessel| joined.iter().any(|((candidate, ..), _)| candidate.vessel == vessel);
    for first in prefill.iter().filter(|first| !used(first.vessel)) {
        scored.push(Scored::of(state, wanted, first, Some(from(end, first))));
    }
    for ((candidate, first, second), _) in joined {
        scored.push(Scored::from(state, wanted, candidate, first, Some(second)));
    }
}

/// The order in which pairs are preferred: last those of which one is kept for another order; of those that are crowded the
/// one in which the least has to go, and of those that are too dear the cheapest.
fn standing(
    (candidate, first, second): &(Candidate, &Part, &Part),
) -> (bool, Verdict, (Option<Crowd>, Option<MicroUsd>), Rank) {
    let (verdict, crowd) = (candidate.verdict, first.crowd.with(second.crowd));
    let crowded = (verdict == Verdict::Crowded).then_some(crowd);
    let dear = (verdict == Verdict::Dear).then_some(candidate.cost);
    (crowd.keeps == Keeps::Another, verdict, (crowded, dear), rank(candidate))
}

/// What it means to have a decode vessel go on with what this one has made.
fn from<'a>((near, far): &'a (&Part, Option<Part>), first: &Part) -> &'a Part {
    far.as_ref().filter(|_| near.region != first.region).unwrap_or(near)
}

/// The vessels of `role` that are considered, each with what it would mean.
fn parts(tx: &Transaction, wanted: &Wanted<'_>, serving: &Serving, role: Role) -> Vec<Part> {
    let (state, order, policy) = (tx.state(), wanted.order, wanted.asked.policy);
    let [whole, prefill, decode] = &serving.open;
    let (open, purpose) = match role {
        Role::Whole => (whole, Purpose::Candidates),
        Role::Prefill => (prefill, Purpose::Candidates),
        Role::Decode => (decode, Purpose::DecodeCandidates),
    };
    let holders =
        if role == Role::Decode { ArrayVec::new() } else { holders(state, &order.demand.prefix) };
    let mut vessels = Vec::new();
    let draw = Draw::new(state.journal(), tx.stamp().seq, order.id, purpose);
    match policy.route_by {
        Choice::RoundRobin => vessels.extend(next_in_turn(state, order, open)),
        Choice::Affinity => {
            vessels.extend(at_home(state, order, serving, open, policy.home_percent));
        }
        Choice::Score | Choice::LeastLoad | Choice::BestFit => {
            draw.sample(u32::from(policy.candidates), open.count(), &mut vessels);
            vessels.iter_mut().for_each(|rank| *rank = open.select(*rank).unwrap_or(u32::MAX));
        }
    }
    if policy.route_by == Choice::Score {
        for (vessel, _) in &holders {
            if open.contains(vessel.0) && !vessels.contains(&vessel.0) {
                vessels.push(vessel.0);
            }
        }
    }
    for vessel in kept_of(&state.index.kept, order.id.slot()) {
        if open.contains(vessel.0) && !vessels.contains(&vessel.0) {
            vessels.push(vessel.0);
        }
    }
    let kept = kept(state, order.demand.model, order.demand.size());
    let assess = |sight: Sight<'_>| part(state, &wanted.asked, &sight, &holders, kept);
    // All of them are looked at before the first is assessed: so memory brings their rows all at once.
    let sights: Vec<Sight<'_>> = vessels.iter().filter_map(|id| sight(state, *id)).collect();
    let found: Vec<Part> = sights.into_iter().map(assess).collect();
    if found.iter().any(|part| part.verdict == Verdict::Eligible) {
        return found;
    }
    let best = found.iter().map(Part::standing).min();
    // Whatever was drawn is too small or too dear, has failed the order or is for others: is another one not?
    let start = open.select(draw.below(u64::MAX, open.count())).unwrap_or(0);
    let holding = serving.holding(role, order.demand.size(), VesselId(start));
    // One more than have failed it at most, as far as it remembers; those are not counted that cannot be taken, nor those near
    // to one that has failed it, of which there may be many.
    let counts = |verdict| verdict < Verdict::Crowded && verdict != Verdict::Near;
    let (mut least, mut seen): (Option<Part>, usize) = (None, 0);
    for part in holding.take(SEARCHED_MOST).filter_map(|id| sight(state, id.0)).map(assess) {
        seen = seen.saturating_add(usize::from(counts(part.verdict)));
        if least.as_ref().is_none_or(|least| part.standing() < least.standing()) {
            least = Some(part);
        }
        if seen > TRIED_MAX
            || least.as_ref().is_some_and(|least| least.verdict == Verdict::Eligible)
        {
            break;
        }
    }
    match least {
        Some(part) if best.is_none_or(|best| part.standing() < best) => alloc::vec![part],
        _ => found,
    }
}

/// Whose turn it is among those that have room.
fn next_in_turn(state: &State, order: &Order, open: &Bits) -> Option<u32> {
    let turns = state.tables.models.get(order.demand.model)?.turns;
    let rank = turns.checked_rem(u64::from(open.count()))?;
    open.select(u32::try_from(rank).ok()?)
}

/// Where orders that begin as this one does belong, or the next one that has room, as long as no more than so many
/// percent of its slots are in use; if they are of all that are looked at, the first of them (consistent hashing with
/// bounded loads: Mirrokni, Thorup and Zadimoghaddam, SODA 2018; the bound is a share of a vessel's own slots, so that no
/// sum over all of them has to be kept).
fn at_home(
    state: &State,
    order: &Order,
    serving: &Serving,
    open: &Bits,
    percent: u32,
) -> Option<u32> {
    let named = order.demand.prefix.first().map(|mark| mark.hash);
    let rank = jump(named.unwrap_or(u64::from(order.tenant.0)), serving.up.count());
    let home = serving.up.select(rank)?;
    let round = || open.iter_from(home).chain(open.iter().take_while(|id| *id < home));
    let takes = |id: &u32| {
        sight(state, *id).is_some_and(|Sight { manifest, load, .. }| {
            let most = u64::from(manifest.slots).saturating_mul(u64::from(percent));
            u64::from(load.used).saturating_mul(100) < most
        })
    };
    round().take(SEARCHED_MOST).find(takes).or_else(|| round().next())
}

/// Jump consistent hash, its quotient rounded down: one of so many buckets. With another one more, only as many keys
/// move as it gets.
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0, 0u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let scaled = bucket.saturating_add(1) << 31;
        next = scaled.checked_div((key >> 33).saturating_add(1)).unwrap_or(u64::MAX);
    }
    u32::try_from(bucket).unwrap_or(0)
}

/// The vessels that are believed to hold a prefix of the prompt, the longest first, each once, and no more
/// than are remembered of one prefix.
pub(crate) fn holders(state: &State, prefix: &[Mark]) -> ArrayVec<(VesselId, Tokens), HOLDERS_MAX> {
    let mut holders = ArrayVec::new();
    let Some(places) = state.limits().map(|limits| limits.prefixes) else { return holders };
    let age = state.policy().map_or(Micros::ZERO, |(_, policy)| policy.prefix_age);
    for mark in prefix.iter().rev() {
        let row = prefix_slot(places, mark.hash).and_then(|slot| state.tables.prefixes.get(slot));
        for holder in
            row.filter(|row| row.hash == mark.hash).into_iter().flat_map(|row| &row.holders)
        {
            // What a vessel held before it was lost is gone.
            let starts = state.tables.loads.get(holder.vessel).map(|load| load.starts);
            let holds = starts == Some(holder.starts) && state.now() <= holder.at + age;
            if holds && !holders.iter().any(|(vessel, _)| *vessel == holder.vessel) {
                let _ = holders.try_push((holder.vessel, mark.tokens));
            }
        }
    }
    holders
}

/// What is looked at of a vessel.
pub(crate) struct Sight<'a> {
    vessel: VesselId,
    manifest: &'a Manifest,
    load: &'a Load,
}

pub(crate) fn sight(state: &State, id: u32) -> Option<Sight<'_>> {
    let vessel = VesselId(id);
    let manifest = &state.tables.vessels.get(vessel)?.manifest;
    let load = state.tables.loads.get(vessel)?;
    // A field of each line of memory that will be read of it.
    core::hint::black_box((manifest.context_max, manifest.fuel_out, manifest.region));
    core::hint::black_box((load.backlog, load.outcomes.failed_before));
    Some(Sight { vessel, manifest, load })
}

/// What it would mean to have a vessel do its role's share of an order, where contexts of `kept` and
/// more are for others who wait.
pub(crate) fn part(
    state: &State,
    asked: &Asked<'_>,
    sight: &Sight<'_>,
    holders: &[(VesselId, Tokens)],
    kept: Tokens,
) -> Part {
    let Sight { vessel, manifest, load } = *sight;
    let Asked { policy, slot, demand, tried, berthed, answer: Expected { usual, late }, .. } =
        *asked;
    let tried = tried.contains(&vessel);
    let near = asked.domains.contains(&manifest.domain);
    // What has failed this order is not believed to have worked its prompt.
    let held = holders.iter().find(|(holder, _)| *holder == vessel && !tried);
    let cached = held.map_or(Tokens::ZERO, |(_, tokens)| (*tokens).min(demand.tokens_in));
    let fresh = demand.tokens_in - cached;
    let (kind, prompt, answer) = match manifest.role {
        Role::Whole => (LegKind::Whole, true, true),
        Role::Prefill => (LegKind::Prefill, true, false),
        Role::Decode => (LegKind::Decode, false, true),
    };
    let mut part = Part {
        kind,
        spread: Micros::ZERO,
        fetch: Micros::ZERO,
        vessel,
        region: manifest.region,
        verdict: Verdict::Eligible,
        eta: Micros::ZERO,
        prompt: Micros::ZERO,
        answer: Micros::ZERO,
        cost: MicroUsd::ZERO,
        energy: Millijoules::ZERO,
        cached,
        failing: load.outcomes.failing(state.now(), policy.breaker.window, policy.breaker.calls),
        filled: match policy.route_by {
            Choice::LeastLoad => Ppm::ratio(u64::from(load.used), u64::from(manifest.slots)).0,
            // Whoever begins in its berth is compared with nobody.
            Choice::BestFit if !asked.berthed => u64::from(left(state, vessel, load)),
            _ => 0,
        },
        hop: hop(state, demand, manifest),
        promised: None,
        crowd: Crowd::NONE,
    };
    if prompt {
        part.prompt = cost::prefill_time(manifest, fresh);
        part.cost += cost::price_in(manifest, demand.tokens_in, cached);
        part.energy += cost::fuel(manifest, fresh, Tokens::ZERO);
    }
    if answer {
        part.answer = cost::decode_time(manifest, usual);
        part.cost += cost::price_out(manifest, usual);
        part.energy += cost::fuel(manifest, Tokens::ZERO, usual);
        part.spread = cost::decode_time(manifest, late - usual);
    }
    part.eta = part.way() + held_up(state, load, manifest, prompt) + part.work();
    part.verdict = fits(manifest, demand.size(), kept, tried, near);
    // Whoever has a berth here is promised this himself, whatever memory is left.
    if part.verdict < Verdict::Crowded && !berthed {
        part.crowd = crowd(policy, manifest, load, slot, demand.size());
        if !part.crowd.has_room() {
            part.verdict = Verdict::Crowded;
        }
    }
    if !demand.may_cost(part.cost) {
        part.verdict = part.verdict.max(Verdict::Dear);
    }
    part.respect_berths(state, asked);
    part
}

/// How many slots of a vessel nobody has, nor are kept for anybody.
fn left(state: &State, vessel: VesselId, load: &Load) -> u32 {
    let room = state.tables.vessels.get(vessel).map_or(0, |vessel| vessel.room(load));
    room.saturating_sub(load.used)
}

/// How long an order is held up by what a vessel has aboard: its prompt by those that are before it, one after the
/// other, and all of it by what is worked beside it.
pub(crate) fn held_up(state: &State, load: &Load, manifest: &Manifest, prompts: bool) -> Micros {
    let beside = Micros(load.backlog.0.checked_div(u64::from(manifest.slots)).unwrap_or(0));
    if prompts { beside + (load.prompts - state.now()) } else { beside }
}

fn fits(manifest: &Manifest, size: Tokens, kept: Tokens, tried: bool, near: bool) -> Verdict {
    if size > manifest.context_max {
        Verdict::TooLarge
    } else if tried {
        Verdict::Tried
    } else if near {
        Verdict::Near
    } else if manifest.context_max >= kept {
        Verdict::Kept
    } else {
        Verdict::Eligible
    }
}

fn hop(state: &State, demand: &Demand, manifest: &Manifest) -> Micros {
    if demand.origin == manifest.region || state.tables.regions.get(demand.origin).is_none() {
        return Micros::ZERO;
    }
    state.tables.regions.get(manifest.region).map_or(Micros::ZERO, |region| region.hop)
}

fn candidate(state: &State, wanted: &Wanted<'_>, first: &Part, second: Option<&Part>) -> Candidate {
    let Wanted { order, asked: Asked { policy, .. }, ties } = wanted;
    let decode = second.map_or(VesselId::NONE, |part| part.vessel);
    let eta = first.eta + second.map_or(Micros::ZERO, |part| part.eta);
    let cost = first.cost + second.map_or(MicroUsd::ZERO, |part| part.cost);
    let energy = first.energy + second.map_or(Millijoules::ZERO, |part| part.energy);
    let failing = second.map_or(first.failing, |part| part.failing.max(first.failing));
    let verdict = second.map_or(first.verdict, |part| part.verdict.max(first.verdict));
    let verdict =
        if is_late(state, order, first, second) { verdict.max(Verdict::Late) } else { verdict };
    let dear = !order.demand.may_cost(cost);
    let verdict = if dear { verdict.max(Verdict::Dear) } else { verdict };
    Candidate {
        vessel: first.vessel,
        decode,
        verdict,
        failing,
        score: match policy.route_by {
            Choice::LeastLoad | Choice::BestFit => {
                first.filled.saturating_add(second.map_or(0, |part| part.filled))
            }
            _ => score(&policy.weights, eta, failing, cost, energy),
        },
        tie: match second {
            None => tie(ties, first.vessel, decode),
            // The draws of both, so that whoever is first among equals is so beside every decode vessel.
            Some(_) => {
                half_tie(ties, first.vessel).saturating_add(tie(ties, VesselId::NONE, decode) / 2)
            }
        },
        eta,
        cost,
        energy,
        cached: first.cached,
    }
}

fn tie(draw: &Draw, vessel: VesselId, decode: VesselId) -> u32 {
    (draw.at((u64::from(vessel.0) << 32) | u64::from(decode.0)) >> 32) as u32
}

/// What the first half of a route has of the draw.
fn half_tie(draw: &Draw, vessel: VesselId) -> u32 {
    tie(draw, vessel, VesselId::NONE) / 2
}

/// How long a candidate takes at most from this moment on.
fn span(state: &State, first: &Part, second: Option<&Part>) -> Micros {
    first.span(state) + second.map_or(Micros::ZERO, |part| part.span(state))
}

/// Whether an order would not be done by its deadline. Most are not near it, however slow a vessel is.
fn is_late(state: &State, order: &Order, first: &Part, second: Option<&Part>) -> bool {
    let of = |part: &Part| part.way() + part.work() + part.spread;
    let least = of(first) + second.map_or(Micros::ZERO, of);
    let late = |time: Micros| state.now() + time > order.deadline;
    late(least.percent(Pace::SLOWEST)) && late(span(state, first, second))
}

/// Whether a vessel is expected to take more for its share of an order than the order may cost.
pub(crate) fn is_dear(state: &State, order: &Order, vessel: VesselId) -> bool {
    let Some((_, policy)) = state.policy() else { return false };
    let asked = Asked::of(state, policy, order);
    let holders = holders(state, &order.demand.prefix);
    sight(state, vessel.0).is_some_and(|sight| {
        let part = part(state, &asked, &sight, &holders, Tokens::MAX);
        !order.demand.may_cost(part.cost)
    })
}

/// The points of a candidate, rounded down: fewer are better. Who fails a share of its calls takes as much
/// longer as it has to be asked more often; so who fails at once does not look quick.
fn score(weights: &Weights, eta: Micros, failing: Ppm, cost: MicroUsd, energy: Millijoules) -> u64 {
    let [time, cost, energy] = thousandths(weights, eta, failing, cost, energy);
    let thousandths = time.saturating_add(cost).saturating_add(energy);
    // A wide division takes ten times as long, and is seldom needed.
    u64::try_from(thousandths)
        .map_or_else(|_| clamp(thousandths / 1_000), |thousandths| thousandths / 1_000)
}

/// What points are made of, in thousandths of one: time, price and fuel.
pub(crate) fn thousandths(
    weights: &Weights,
    eta: Micros,
    failing: Ppm,
    cost: MicroUsd,
    energy: Millijoules,
) -> [u128; 3] {
    let weigh = |amount: u64, weight: u32| u128::from(amount).saturating_mul(u128::from(weight));
    let time = match failing.min(FAILING_MOST) {
        Ppm::ZERO => eta.0,
        failing => {
            let good = u128::from(Ppm::ONE.0.saturating_sub(failing.0));
            weigh(eta.0, 1_000_000).checked_div(good).map_or(u64::MAX, clamp)
        }
    };
    [
        weigh(time, weights.time),
        weigh(cost.0, weights.cost).saturating_mul(1_000),
        weigh(energy.0, weights.energy),
    ]
}

fn route_of(first: &Part, second: Option<&Part>) -> Route {
    let mut route = Route::new();
    if first.hop > Micros::ZERO {
        route.push(Leg { kind: LegKind::Hop, vessel: first.vessel, work: first.hop });
    }
    for part in [Some(first), second].into_iter().flatten() {
        route.push(Leg { kind: part.kind, vessel: part.vessel, work: part.work() });
    }
    route
}

#[cfg(test)]
mod tests {
    use super::jump;

    /// Every bucket gets its share, and whoever moves when one is added moves there.
    #[test]
    fn few_move_when_a_bucket_is_added() {
        for buckets in 1..40u32 {
            let mut held = alloc::vec![0u32; buckets as usize];
            for key in 0..4_000u64 {
                let (before, after) = (jump(key, buckets), jump(key, buckets + 1));
                assert!(after == before || after == buckets, "{key}: {before} to {after}");
                held[before as usize] += 1;
            }
            let fair = 4_000 / buckets;
            assert!(held.iter().all(|n| n.abs_diff(fair) < fair / 3 + 30), "{buckets}: {held:?}");
        }
        assert_eq!(jump(7, 0), 0);
    }
}
