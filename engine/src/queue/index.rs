//! Who waits in which order.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::kernel::table::Only;
use crate::kernel::units::{Micros, ModelId, OrderSlot, PolicyVersion, TenantId, Tokens, TurnSlot};
use crate::models::index::Parties;
use crate::models::rows::{Class, Order, Stage};
use crate::state::tables::Tables;

/// Where an order stands while it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) model: ModelId,
    pub(crate) class: Class,
    pub(crate) tenant: TenantId,
    /// Prompt and answer together.
    size: Tokens,
    /// Whether it wants an answer, and not its prompt worked alone.
    answers: bool,
    deadline: Micros,
    limit: u32,
    ticket: u64,
    slot: OrderSlot,
}

/// The order of those who wait, in as few words as may be, since there are as many of these as orders that wait: earliest
/// deadline first, then by slot; or by price and time, which is highest limit first, no limit before all, then who came
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank([u32; 4]);

impl Rank {
    fn by_deadline(place: &Place) -> Self {
        let Micros(deadline) = place.deadline;
        Self([(deadline >> 32) as u32, deadline as u32, 0, place.slot.0])
    }

    fn by_price(place: &Place) -> Self {
        let Place { limit, ticket, slot, .. } = *place;
        Self([limit.wrapping_neg(), (ticket >> 32) as u32, ticket as u32, slot.0])
    }

    fn slot(self) -> OrderSlot {
        let Self([.., slot]) = self;
        OrderSlot(slot)
    }
}

impl Place {
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            model: order.demand.model,
            class: order.demand.class,
            tenant: order.tenant,
            size: order.demand.size(),
            answers: order.demand.answers(),
            deadline: order.deadline,
            limit: order.demand.limit,
            ticket: order.ticket,
            slot: order.id.slot(),
        }
    }
}

/// Whose turn is whose: the rows of those who take turns in a class of a model's queue.
pub(crate) type Turns = BTreeMap<(ModelId, Class, TenantId), TurnSlot>;

/// Everybody who waits. Orders of a model stand apart by whether they want an answer, and by the least context of its
/// vessels that holds them: those of one such fit find room at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queues {
    /// Those who want an answer, and those who want their prompts worked alone.
    models: BTreeMap<ModelId, [Fits; 2]>,
    /// Those who gather. They are no part of what finds room.
    gathering: BTreeMap<ModelId, BTreeSet<OrderSlot>>,
    /// The classes that go by price and time, whoever's orders they are.
    pub(crate) price_time: [bool; 3],
    pub(crate) turns: Turns,
    /// Those of nobody who waits at this moment.
    pub(crate) idle: BTreeSet<TurnSlot>,
}

type Fits = BTreeMap<Tokens, [Shelf; 3]>;

/// Those of one class and fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shelf {
    /// By what they have been served.
    tenants: BTreeSet<(u64, TenantId)>,
    orders: BTreeMap<TenantId, BTreeSet<Rank>>,
}

impl Queues {
    /// Those who wait, as the rows have it.
    pub(crate) fn of(tables: &Tables, parties: &Parties) -> Self {
        let version = tables.stance.get(Only).map_or(PolicyVersion::NONE, |stance| stance.policy);
        let policy = tables.policies.get(version);
        let price_time = policy.map_or([false; 3], |policy| policy.price_time);
        let mut queues = Self { price_time, ..Self::default() };
        for (slot, turn) in tables.turns.iter() {
            queues.turns.insert((turn.model, turn.class, turn.tenant), slot);
            if turn.queued == 0 {
                queues.idle.insert(slot);
            }
        }
        let queued = || tables.orders.iter().filter(|(_, order)| order.stage == Stage::Queued);
        // Those who wait are met nearly in order, and a node of a set that grows at its end is left half
        // empty: so seven of every twelve go first, and the others fill the nodes up. That is about
        // memory alone; whatever the order, the sets are the same.
        let first = |place: usize| matches!(place % 12, 0..6 | 11);
        for early in [true, false] {
            for (_, (_, order)) in (0..).zip(queued()).filter(|(place, _)| first(*place) == early) {
                let place = Place::of(order);
                if tables
                    .lines
                    .get(place.model)
                    .is_some_and(|line| line.holds(order.gathers, order.ticket))
                {
                    queues.gather(place.model, order.id.slot());
                    continue;
                }
                let turn = queues.turns.get(&(place.model, place.class, place.tenant));
                let turn = turn.and_then(|slot| tables.turns.get(*slot));
                queues.enter(place, turn.map_or(0, |row| row.served), parties);
            }
        }
        queues
    }

    /// Where on a shelf somebody stands whose tenant has been served so much: where price and time count, all stand
    /// together.
    fn rank(&self, place: &Place, served: u64) -> ((u64, TenantId), Rank) {
        match self.price_time.get(place.class as usize) {
            Some(true) => ((0, TenantId::NONE), Rank::by_price(place)),
            _ => ((served, place.tenant), Rank::by_deadline(place)),
        }
    }

    /// Takes in somebody whose tenant has been served so much.
    pub(crate) fn enter(&mut self, place: Place, served: u64, parties: &Parties) {
        let fit = parties.fit(place.model, place.size);
        let (among, rank) = self.rank(&place, served);
        let [answers, prompts] = self.models.entry(place.model).or_default();
        let fits = if place.answers { answers } else { prompts };
        let shelves = fits.entry(fit).or_default();
        if let Some(shelf) = shelves.get_mut(place.class as usize) {
            shelf.tenants.insert(among);
            shelf.orders.entry(among.1).or_default().insert(rank);
        }
    }

    /// Takes in somebody who gathers.
    pub(crate) fn gather(&mut self, model: ModelId, slot: OrderSlot) {
        self.gathering.entry(model).or_default().insert(slot);
    }

    /// Takes him out again.
    pub(crate) fn ungather(&mut self, model: ModelId, slot: OrderSlot) {
        let Some(gathering) = self.gathering.get_mut(&model) else { return };
        gathering.remove(&slot);
        if gathering.is_empty() {
            self.gathering.remove(&model);
        }
    }

    /// Those who gather for a model wait for room from now on. Each of them moves once, whoever waits beside them.
    pub(crate) fn release(&mut self, model: ModelId, tables: &Tables, parties: &Parties) {
        for slot in self.gathering.remove(&model).unwrap_or_default() {
            let Some(order) = tables.orders.get(slot) else { continue };
            let place = Place::of(order);
            let turn = self.turns.get(&(place.model, place.class, place.tenant));
            let turn = turn.and_then(|slot| tables.turns.get(*slot));
            self.enter(place, turn.map_or(0, |row| row.served), parties);
        }
    }

    /// The models for which somebody gathers.
    pub(crate) fn gathering(&self) -> impl Iterator<Item = ModelId> {
        self.gathering.keys().copied()
    }

    /// Takes out somebody who waits for room.
    pub(crate) fn leave(&mut self, place: Place, served: u64, parties: &Parties) {
        let fit = parties.fit(place.model, place.size);
        let (among, rank) = self.rank(&place, served);
        let Some(both) = self.models.get_mut(&place.model) else { return };
        let [answers, prompts] = both;
        let fits = if place.answers { answers } else { prompts };
        let Some(shelves) = fits.get_mut(&fit) else { return };
        let Some(shelf) = shelves.get_mut(place.class as usize) else { return };
        if let Some(orders) = shelf.orders.get_mut(&among.1) {
            orders.remove(&rank);
            if orders.is_empty() {
                shelf.orders.remove(&among.1);
                shelf.tenants.remove(&among);
            }
        }
        if shelves.iter().all(|shelf| shelf.tenants.is_empty()) {
            fits.remove(&fit);
        }
        if both.iter().all(BTreeMap::is_empty) {
            self.models.remove(&place.model);
        }
    }

    /// Notes that a tenant has been served another amount.
    pub(crate) fn turn(&mut self, lane: (ModelId, Class, TenantId), from: u64, to: u64) {
        let (model, class, tenant) = lane;
        let fits = self.models.get_mut(&model).into_iter().flatten();
        for shelves in fits.flat_map(BTreeMap::values_mut) {
            if let Some(shelf) = shelves.get_mut(class as usize)
                && shelf.tenants.remove(&(from, tenant))
            {
                shelf.tenants.insert((to, tenant));
            }
        }
    }

    /// Sets those of a model apart anew, once its vessels hold other contexts.
    pub(crate) fn refit(&mut self, model: ModelId, tables: &Tables, parties: &Parties) {
        if let Some(fits) = self.models.remove(&model) {
            self.models.insert(model, fits.map(|fits| refitted(model, fits, tables, parties)));
        }
    }

    /// Who goes next of those of a model who fit into `most`, those who want an answer and those who want none, when its
    /// classes have been served so much: of the class served least the tenant served least, of his orders the one that
    /// expires first; or of all of the class the first by price and time.
    pub(crate) fn next(
        &self,
        model: ModelId,
        most: [Tokens; 2],
        served: &[u64; 3],
    ) -> Option<OrderSlot> {
        let fits = self.models.get(&model)?;
        let shelves = |class: usize| {
            let fits = fits.iter().zip(most).flat_map(|(fits, most)| fits.range(..=most));
            fits.filter_map(move |(_, shelves)| shelves.get(class))
        };
        let waits = |class: &usize| shelves(*class).any(|shelf| !shelf.tenants.is_empty());
        let ranked = served.iter().copied().zip(0usize..).filter(|(_, class)| waits(class));
        let (_, class) = ranked.min()?;
        let (_, tenant) = shelves(class).filter_map(|shelf| shelf.tenants.first()).min()?;
        let of_tenant = |shelf: &'_ Shelf| shelf.orders.get(tenant)?.first().copied();
        shelves(class).filter_map(of_tenant).min().map(Rank::slot)
    }

    /// The least context that holds the largest of those who wait for a model.
    pub(crate) fn largest(&self, model: ModelId) -> Option<Tokens> {
        let fits = self.models.get(&model)?.iter();
        fits.filter_map(|fits| fits.last_key_value()).map(|(fit, _)| *fit).max()
    }

    /// The models for which somebody waits who does not gather.
    pub(crate) fn models(&self) -> impl Iterator<Item = ModelId> {
        self.models.keys().copied()
    }
}

/// The same shelves, by what the vessels of their model hold now.
fn refitted(model: ModelId, fits: Fits, tables: &Tables, parties: &Parties) -> Fits {
    let mut anew = Fits::new();
    for (class, shelf) in fits.into_values().flat_map(|shelves| (0..).zip(shelves)) {
        let served: BTreeMap<_, _> =
            shelf.tenants.iter().map(|(served, tenant)| (*tenant, *served)).collect();
        for (tenant, ranks) in shelf.orders {
            for rank in ranks {
                let order = tables.orders.get(rank.slot());
                let size = order.map_or(Tokens::ZERO, |order| order.demand.size());
                let shelves: &mut [Shelf; 3] = anew.entry(parties.fit(model, size)).or_default();
                if let Some(shelf) = shelves.get_mut::<usize>(class) {
                    let served = served.get(&tenant).copied().unwrap_or(0);
                    shelf.tenants.insert((served, tenant));
                    shelf.orders.entry(tenant).or_default().insert(rank);
                }
            }
        }
    }
    anew
}
