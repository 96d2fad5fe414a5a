//! The state: every table, and the indexes that are derived from them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::bits::Bits;
use crate::config::Limits;
use crate::event::Event;
use crate::models::{
    Account, Berth, Breaker, Class, Control, Load, Model, Order, Prefix, Region, RememberedKey,
    Role, Stage, Tenant, Vessel, VesselStatus,
};
use crate::policy::{Policy, PolicyLevel};
use crate::table::{AnyTable, Breach, Difference, Only, Problem, Table};
use crate::units::{
    BerthId, JournalId, KeySlot, Micros, ModelId, OrderId, OrderSlot, PolicyVersion, Ppm,
    PrefixSlot, RegionId, Seq, TenantId, Tokens, VesselId,
};
use crate::wheel::{Due, Timer, Wheel};
use crate::{allocator, config, fleet, policy, queue, resilience, routing, telemetry, workflow};

/// The hash of a whole state.
pub type Root = [u8; 32];

/// Declares the tables, so that no list of them can leave one out.
macro_rules! tables {
    ($($(#[$doc:meta])* $number:literal $field:ident: $key:ty => $row:ty,)*) => {
        /// Everything that is hashed.
        #[derive(Clone, Debug)]
        pub struct Tables {
            $($(#[$doc])* pub $field: Table<$key, $row>,)*
        }

        impl Tables {
            /// How many tables there are.
            pub const COUNT: usize = [$($number),*].len();

            fn new() -> Self {
                Self { $($field: Table::new($number, stringify!($field)),)* }
            }

            /// Every table, in the order of their numbers.
            pub fn all(&self) -> [&dyn AnyTable; Self::COUNT] {
                [$(&self.$field),*]
            }

            fn by_number(&mut self, number: u8) -> Option<&mut dyn AnyTable> {
                match number {
                    $($number => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            fn settle(&mut self) {
                $(self.$field.settle();)*
            }

            fn digests(&self) -> [u128; Self::COUNT] {
                [$(self.$field.digest()),*]
            }
        }
    };
}

tables! {
    /// What the exchange as a whole knows.
    0 control: Only => Control,
    /// The bounds of the exchange.
    1 limits: Only => Limits,
    /// Every version of the policy.
    2 policies: PolicyVersion => Policy,
    /// Contracts.
    3 tenants: TenantId => Tenant,
    /// What tenants have used.
    4 accounts: TenantId => Account,
    /// Regions.
    5 regions: RegionId => Region,
    /// Models.
    6 models: ModelId => Model,
    /// Vessels, as far as they seldom change.
    7 vessels: VesselId => Vessel,
    /// Vessels, as far as they change with every order.
    8 loads: VesselId => Load,
    /// Live orders.
    9 orders: OrderSlot => Order,
    /// Berths.
    10 berths: BerthId => Berth,
    /// Idempotency keys.
    11 keys: KeySlot => RememberedKey,
    /// Prefixes.
    12 prefixes: PrefixSlot => Prefix,
}

impl Tables {
    /// Has every table take as many rows as there may be.
    fn bound_by(&mut self, limits: &Limits) {
        self.policies.bound(limits.policies);
        self.tenants.bound(limits.tenants);
        self.accounts.bound(limits.tenants);
        self.regions.bound(limits.regions);
        self.models.bound(limits.models);
        self.vessels.bound(limits.vessels);
        self.loads.bound(limits.vessels);
        self.orders.bound(limits.orders);
        self.berths.bound(limits.berths);
        self.keys.bound(limits.keys);
        self.prefixes.bound_scattered(limits.prefixes);
    }
}

/// Which vessels serve a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    /// Those that take work at this moment, by role.
    pub(crate) open: [Bits; 3],
    /// Those that are up.
    pub(crate) up: Bits,
    /// The largest order that one of those that are up can hold, by role.
    pub(crate) contexts: [Tokens; 3],
}

/// What is derived from the tables and never hashed: it is rebuilt from them at any time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) tenants: BTreeMap<String, TenantId>,
    pub(crate) regions: BTreeMap<String, RegionId>,
    pub(crate) models: BTreeMap<String, ModelId>,
    pub(crate) vessels: BTreeMap<String, VesselId>,
    pub(crate) keys: BTreeMap<(TenantId, u64), KeySlot>,
    pub(crate) serving: Vec<Serving>,
    pub(crate) open: Bits,
    pub(crate) berths: BTreeMap<VesselId, Vec<BerthId>>,
    /// Who waits, by model and class, first come first; entries of those who left are skipped.
    pub(crate) lanes: BTreeMap<(ModelId, Class), VecDeque<(u64, OrderId)>>,
    /// None while records are only folded: who decides nothing wakes nobody.
    pub(crate) wheel: Option<Wheel>,
}

/// Timers that may be held whatever the number of rows.
const TIMERS_MIN: usize = 4_096;

/// The state of an exchange after some record.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) journal: JournalId,
    /// Everything that is hashed.
    pub tables: Tables,
    pub(crate) index: Index,
    pub(crate) seq: Seq,
    pub(crate) now: Micros,
}

impl State {
    /// The state before the first record.
    pub fn genesis(journal: JournalId) -> Self {
        let mut tables = Tables::new();
        let control = Control {
            now: Micros::ZERO,
            level: PolicyLevel::Normal,
            policy: PolicyVersion::NONE,
            orders: 0,
            tickets: 0,
            queued: 0,
            keys: 0,
            risk: Ppm::ZERO,
            level_since: Micros::ZERO,
            review_at: Micros::ZERO,
            completed: 0,
            failed: 0,
        };
        // The one row of this table is always within its bound.
        let _ = tables.control.put(Only, control, Seq(0));
        tables.settle();
        Self { journal, tables, index: Index::default(), seq: Seq(0), now: Micros::ZERO }
    }

    /// The journal whose state this is; the key of its draws.
    pub fn journal(&self) -> JournalId {
        self.journal
    }

    /// The time of the last record.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// The record being decided or folded, or the last one.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// What the exchange as a whole knows.
    pub fn control(&self) -> Option<&Control> {
        self.tables.control.get(Only)
    }

    /// The bounds, once they are set.
    pub fn limits(&self) -> Option<&Limits> {
        self.tables.limits.get(Only)
    }

    /// The policy in force, and its version.
    pub fn policy(&self) -> Option<(PolicyVersion, &Policy)> {
        let version = self.control()?.policy;
        Some((version, self.tables.policies.get(version)?))
    }

    /// A live order; `None` if there is none of that very number.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.tables.orders.get(id.slot()).filter(|order| order.id == id)
    }

    /// The digest of every table, in the order of their numbers.
    pub fn digests(&self) -> [u128; Tables::COUNT] {
        self.tables.digests()
    }

    /// 64 bits of the sum of all digests: equal states have equal tags.
    pub fn tag(&self) -> u64 {
        let sum = self.digests().into_iter().fold(0, u128::wrapping_add);
        (sum ^ (sum >> 64)) as u64
    }

    /// The hash of the whole state: BLAKE3 over every table's number, count of rows and digest.
    pub fn root(&self) -> Root {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tensorforge state root 1\n");
        for ((table, digest), number) in self.tables.all().iter().zip(self.digests()).zip(0u8..) {
            hasher.update(&[number]);
            hasher.update(&table.rows().to_le_bytes());
            hasher.update(&digest.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Every row and field in which two states differ; at most about `limit` of them.
    pub fn differences(&self, other: &Self, limit: usize) -> Vec<Difference> {
        let mut found = Vec::new();
        for (left, right) in self.tables.all().into_iter().zip(other.tables.all()) {
            if left.digest() != right.digest() && found.len() < limit {
                left.differences(right, limit, &mut found);
            }
        }
        found
    }

    /// The part of the state under a dotted path, such as `vessels.3.manifest.slots`, as JSON.
    /// The empty path is the whole state: tables by name, rows by key; a table that can have but one
    /// row is that row.
    pub fn view(&self, path: &str) -> Option<Value> {
        let mut parts = path.split('.').filter(|part| !part.is_empty()).peekable();
        let Some(name) = parts.next() else {
            let tables = self.tables.all().into_iter();
            return Some(
                tables.map(|table| (String::from(table.name()), view_table(table))).collect(),
            );
        };
        let table = self.tables.all().into_iter().find(|table| table.name() == name)?;
        let row = if table.is_single() {
            // The one row has no key to name; naming it is no mistake either.
            parts.next_if_eq(&"0");
            table.view_row(0)?
        } else {
            let Some(row) = parts.next() else { return Some(view_table(table)) };
            table.view_row(row.parse().ok()?)?
        };
        parts.try_fold(row, |value, part| match value {
            Value::Object(mut fields) => fields.remove(part),
            Value::Array(mut items) => {
                let place = part.parse::<usize>().ok()?;
                (place < items.len()).then(|| items.swap_remove(place))
            }
            _ => None,
        })
    }

    /// Starts a record: time moves, and nothing else.
    pub(crate) fn begin(&mut self, seq: Seq, time: Micros) -> Result<(), Breach> {
        self.seq = seq;
        self.now = self.now.max(time);
        self.tables.control.edit(Only, seq)?.now = self.now;
        let tables = &self.tables;
        if let Some(wheel) = &mut self.index.wheel {
            wheel.advance(self.now, |timer| confirmed(tables, timer));
            let rows = tables.orders.len().saturating_add(tables.loads.len()) as usize;
            let most = rows.saturating_mul(4).saturating_add(TIMERS_MIN);
            wheel.sweep(most, |timer| confirmed(tables, timer));
        }
        Ok(())
    }

    /// Ends a record: digests are exact.
    pub(crate) fn settle(&mut self) {
        self.tables.settle();
    }

    /// Folds one event. The only place where state changes.
    pub(crate) fn fold(&mut self, event: &Event) -> Result<(), Breach> {
        match event {
            Event::Configured(..) => config::fold(self, event),
            Event::TenantRegistered { .. }
            | Event::RegionRegistered { .. }
            | Event::ModelRegistered { .. }
            | Event::VesselRegistered { .. }
            | Event::VesselSeen { .. }
            | Event::VesselReturned { .. }
            | Event::VesselDraining { .. }
            | Event::VesselDrained { .. }
            | Event::VesselLost { .. } => fleet::fold(self, event),
            Event::BreakerOpened { .. }
            | Event::BreakerProbing { .. }
            | Event::BreakerClosed { .. }
            | Event::RetryScheduled { .. } => resilience::fold(self, event),
            Event::PolicyChanged { .. }
            | Event::PolicyRolledBack { .. }
            | Event::RiskReviewed { .. }
            | Event::LevelChanged { .. } => policy::fold(self, event),
            Event::OrderQueued { .. } => queue::fold(self, event),
            Event::OrderBerthed { .. } | Event::BerthReleased { .. } => {
                allocator::fold(self, event)
            }
            Event::OrderRouted { .. } => routing::fold(self, event),
            Event::OrderSettled { .. } => telemetry::fold(self, event),
            Event::CommandRefused { .. } => Ok(()),
            Event::OrderRefused { .. }
            | Event::OrderDeduplicated { .. }
            | Event::OrderAdmitted { .. }
            | Event::LegDispatched { .. }
            | Event::LegCompleted { .. }
            | Event::LegFailed { .. }
            | Event::OrderEnded { .. } => workflow::fold(self, event),
        }
    }

    /// The row of what the exchange as a whole knows, to be changed.
    pub(crate) fn edit_control(&mut self) -> Result<&mut Control, Breach> {
        self.tables.control.edit(Only, self.seq)
    }

    /// A live order, to be changed; a breach if the slot holds another one.
    pub(crate) fn edit_order(&mut self, id: OrderId) -> Result<&mut Order, Breach> {
        let breach = self.tables.orders.breach(id.slot().0, self.seq, Problem::Contradiction);
        let order = self.tables.orders.edit(id.slot(), self.seq)?;
        if order.id == id { Ok(order) } else { Err(breach) }
    }

    /// Sets when an order is to be looked at again.
    pub(crate) fn wake_order(&mut self, id: OrderId, at: Micros) -> Result<(), Breach> {
        let order = self.edit_order(id)?;
        let at = at.min(order.deadline);
        if order.wake != at {
            order.wake = at;
            self.set_timer(at, Due::Order(id));
        }
        Ok(())
    }

    /// Sets when a vessel is to be looked at again: silent for three heartbeats, or its breaker due.
    pub(crate) fn wake_vessel(&mut self, id: VesselId) -> Result<(), Breach> {
        let heartbeat = self.tables.vessels.get(id).map_or(Micros::ZERO, |vessel| {
            // Nobody waits for one that is gone or has been sent away.
            match vessel.status {
                VesselStatus::Lost | VesselStatus::Drained => Micros::ZERO,
                VesselStatus::Up | VesselStatus::Draining => vessel.manifest.heartbeat,
            }
        });
        let load = self.tables.loads.edit(id, self.seq)?;
        let silent = if heartbeat == Micros::ZERO {
            Micros::MAX
        } else {
            load.seen + heartbeat + heartbeat + heartbeat
        };
        let breaker = if load.breaker == Breaker::Open { load.retry_at } else { Micros::MAX };
        let at = silent.min(breaker);
        if load.wake != at {
            load.wake = at;
            if at != Micros::MAX {
                self.set_timer(at, Due::Vessel(id));
            }
        }
        Ok(())
    }

    /// Brings the sets of open vessels up to date with one vessel's rows.
    pub(crate) fn refresh_open(&mut self, id: VesselId) {
        let (Some(vessel), Some(load)) = (self.tables.vessels.get(id), self.tables.loads.get(id))
        else {
            return;
        };
        let open = allocator::is_open(vessel, load);
        if open == self.index.open.contains(id.0) {
            return;
        }
        self.index.open.set(id.0, open);
        for model in &vessel.manifest.models {
            if let Some(serving) = self.index.serving.get_mut(model.0 as usize) {
                serving.open_to(vessel.manifest.role).set(id.0, open);
            }
        }
    }

    /// Brings the sets of vessels that are up, and what they hold at most, up to date.
    /// `before` are the models that the vessel served until now.
    pub(crate) fn refresh_up(&mut self, id: VesselId, before: &[ModelId]) {
        let Some(vessel) = self.tables.vessels.get(id) else { return };
        let up = vessel.status == VesselStatus::Up;
        self.index.open.remove(id.0);
        for model in before.iter().chain(&vessel.manifest.models) {
            if let Some(serving) = self.index.serving.get_mut(model.0 as usize) {
                serving.up.set(id.0, up && vessel.manifest.models.contains(model));
                serving.open.iter_mut().for_each(|open| open.remove(id.0));
                if up && before.is_empty() {
                    let most = serving.context_of(vessel.manifest.role);
                    *most = vessel.manifest.context_max.max(*most);
                } else {
                    serving.recompute_contexts(&self.tables.vessels);
                }
            }
        }
        self.refresh_open(id);
    }

    /// Whether the row that a timer is about still wants to be woken then.
    pub(crate) fn confirms(&self, timer: &Timer) -> bool {
        confirmed(&self.tables, timer)
    }

    /// When the exchange has to be told that time has passed; `None` if nothing is due ever.
    ///
    /// Looks at every row where nothing has been decided yet since the state was folded or restored.
    pub fn next_deadline(&self) -> Option<Micros> {
        match &self.index.wheel {
            Some(wheel) => wheel.next(|timer| confirmed(&self.tables, timer)),
            None => self.timers().map(|timer| timer.at).min(),
        }
    }

    pub(crate) fn set_timer(&mut self, at: Micros, due: Due) {
        if let Some(wheel) = &mut self.index.wheel {
            wheel.insert(Timer { at, due });
        }
    }

    /// Has the timers ready, for who is about to decide.
    pub(crate) fn wind(&mut self) {
        if self.index.wheel.is_none() {
            let mut wheel = Wheel::default();
            self.timers().for_each(|timer| wheel.insert(timer));
            self.index.wheel = Some(wheel);
        }
    }

    /// Lets the timers be, for who only folds: rows say all that they do.
    pub(crate) fn unwind(&mut self) {
        self.index.wheel = None;
    }

    /// When rows want to be woken.
    fn timers(&self) -> impl Iterator<Item = Timer> {
        let review = self.control().map(|control| (control.review_at, Due::Review));
        let review = review.filter(|(at, _)| *at != Micros::ZERO);
        let loads = self.tables.loads.iter().map(|(id, load)| (load.wake, Due::Vessel(id)));
        let orders = self.tables.orders.iter().map(|(_, order)| (order.wake, Due::Order(order.id)));
        let wakes = review.into_iter().chain(loads).chain(orders);
        wakes.filter(|(at, _)| *at != Micros::MAX).map(|(at, due)| Timer { at, due })
    }

    /// A state from the rows of a snapshot, handed over table by table. The indexes are rebuilt.
    pub fn restore(
        journal: JournalId,
        seq: Seq,
        rows: impl IntoIterator<Item = (u8, u32, Seq, impl AsRef<[u8]>)>,
    ) -> Result<Self, Breach> {
        let mut state = Self {
            journal,
            tables: Tables::new(),
            index: Index::default(),
            seq,
            now: Micros::ZERO,
        };
        for (number, key, writer, image) in rows {
            let row = u64::from(number);
            let outside = Breach { seq, table: "state", row, problem: Problem::OutOfBounds };
            let table = state.tables.by_number(number).ok_or(outside)?;
            table.import(key, writer, image.as_ref())?;
            // The limits come before whatever they bound.
            if table.name() == "limits" {
                state.bound()?;
            }
        }
        state.tables.settle();
        state.now = state.control().map_or(Micros::ZERO, |control| control.now);
        state.rebuild_index();
        Ok(state)
    }

    /// Has every table take as many rows as the limits say.
    pub(crate) fn bound(&mut self) -> Result<(), Breach> {
        let contradiction = self.tables.limits.breach(0, self.seq, Problem::Contradiction);
        let limits = self.limits().filter(|limits| limits.faults().is_empty()).cloned();
        self.tables.bound_by(&limits.ok_or(contradiction)?);
        Ok(())
    }

    fn rebuild_index(&mut self) {
        self.rebuild_names();
        let vessels: Vec<VesselId> = self.tables.vessels.iter().map(|(id, _)| id).collect();
        vessels.into_iter().for_each(|id| self.refresh_up(id, &[]));
        let index = &mut self.index;
        for (slot, key) in self.tables.keys.iter() {
            index.keys.insert((key.tenant, key.key), slot);
        }
        for (id, berth) in self.tables.berths.iter() {
            index.berths.entry(berth.vessel).or_default().push(id);
        }
        let mut waiting: Vec<_> = self
            .tables
            .orders
            .iter()
            .map(|(_, order)| order)
            .filter(|order| order.stage == Stage::Queued)
            .collect();
        waiting.sort_unstable_by_key(|order| order.ticket);
        for order in waiting {
            let lane = index.lanes.entry((order.demand.model, order.demand.class)).or_default();
            lane.push_back((order.ticket, order.id));
        }
    }

    fn rebuild_names(&mut self) {
        let index = &mut self.index;
        index.tenants.extend(self.tables.tenants.iter().map(|(id, row)| (row.name.clone(), id)));
        index.regions.extend(self.tables.regions.iter().map(|(id, row)| (row.name.clone(), id)));
        index.models.extend(self.tables.models.iter().map(|(id, row)| (row.name.clone(), id)));
        index.vessels.extend(self.tables.vessels.iter().map(|(id, row)| (row.name.clone(), id)));
        index.serving.resize_with(self.tables.models.len() as usize, Serving::default);
    }
}

impl Serving {
    /// The largest order that can be held: by one whole vessel, or by a pair of prefill and decode.
    pub(crate) fn context_max(&self) -> Tokens {
        let [whole, prefill, decode] = self.contexts;
        whole.max(prefill.min(decode))
    }

    fn context_of(&mut self, role: Role) -> &mut Tokens {
        let [whole, prefill, decode] = &mut self.contexts;
        match role {
            Role::Whole => whole,
            Role::Prefill => prefill,
            Role::Decode => decode,
        }
    }

    /// Looks at every vessel that is up: needed only when one has gone or has changed.
    fn recompute_contexts(&mut self, vessels: &Table<VesselId, Vessel>) {
        self.contexts = [Tokens::ZERO; 3];
        let up: Vec<u32> = self.up.iter().collect();
        for vessel in up.into_iter().filter_map(|id| vessels.get(VesselId(id))) {
            let most = self.context_of(vessel.manifest.role);
            *most = vessel.manifest.context_max.max(*most);
        }
    }

    /// Those with this role that take work.
    pub(crate) fn open_to(&mut self, role: Role) -> &mut Bits {
        let [whole, prefill, decode] = &mut self.open;
        match role {
            Role::Whole => whole,
            Role::Prefill => prefill,
            Role::Decode => decode,
        }
    }
}

fn confirmed(tables: &Tables, timer: &Timer) -> bool {
    let wake = match timer.due {
        Due::Review => tables.control.get(Only).map(|control| control.review_at),
        Due::Vessel(id) => tables.loads.get(id).map(|load| load.wake),
        Due::Order(id) => {
            tables.orders.get(id.slot()).filter(|order| order.id == id).map(|order| order.wake)
        }
    };
    wake == Some(timer.at)
}

fn view_table(table: &dyn AnyTable) -> Value {
    if table.is_single() {
        return table.view_row(0).unwrap_or(Value::Null);
    }
    let rows = table.keys().into_iter();
    rows.filter_map(|key| Some((alloc::format!("{key}"), table.view_row(key)?))).collect()
}
