//! What is true of every state between two records. Run after every record in tests and simulation.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::models::{Role, Stage, VesselStatus};
use crate::state::State;
use crate::table::{Key, Row, Table};
use crate::units::{BerthId, Micros, ModelId, Tokens, VesselId};
use crate::{allocator, routing, workflow};

impl State {
    /// Everything that contradicts itself, in sentences; empty for a sound state.
    ///
    /// Looks at every row: for tests and simulation, not for the way of an order.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.check_digests(&mut faults);
        self.check_loads(&mut faults);
        self.check_orders(&mut faults);
        self.check_totals(&mut faults);
        self.check_open(&mut faults);
        self.check_names(&mut faults);
        self.check_keys(&mut faults);
        self.check_berths(&mut faults);
        self.check_lanes(&mut faults);
        self.check_timers(&mut faults);
        faults
    }

    fn check_digests(&self, faults: &mut Vec<String>) {
        for table in self.tables.all() {
            if table.digest() != table.recomputed_digest() {
                faults.push(format!("{}: the digest is not that of the rows", table.name()));
            }
        }
    }

    /// What vessels have aboard is what running orders have put there.
    fn check_loads(&self, faults: &mut Vec<String>) {
        let mut aboard: BTreeMap<VesselId, (u32, Micros)> = BTreeMap::new();
        for (_, order) in self.tables.orders.iter() {
            for leg in routing::capacity_legs(allocator::held(order)) {
                let (used, backlog) = aboard.entry(leg.vessel).or_default();
                *used = used.saturating_add(1);
                *backlog += leg.work;
            }
        }
        for (id, load) in self.tables.loads.iter() {
            let (used, backlog) = aboard.remove(&id).unwrap_or_default();
            if (load.used, load.backlog) != (used, backlog) {
                faults.push(format!(
                    "loads.{id}: {} slots and {} us of work, but its orders hold {used} and {backlog}",
                    load.used,
                    load.backlog,
                ));
            }
        }
    }

    fn check_orders(&self, faults: &mut Vec<String>) {
        for (slot, order) in self.tables.orders.iter() {
            let berthed = order.stage == Stage::Berthed;
            let on_its_way = usize::from(order.leg) < order.route.len() && order.attempt > 0;
            let wrong = [
                (order.id.slot() != slot, "holds an order of another slot"),
                (order.wake > order.deadline, "nothing wakes it before its deadline"),
                (
                    berthed != (order.berth != BerthId::NONE),
                    "stage and berth contradict each other",
                ),
                (order.stage == Stage::Running && !on_its_way, "runs, but has no leg to work"),
                (order.tokens_out > order.demand.tokens_out_max, "has more tokens than it may"),
                (order.cached > order.demand.tokens_in, "found more in caches than its prompt"),
                (order.first_token > self.now - order.submitted, "has a token from the future"),
                (
                    workflow::lost_of(self, allocator::held(order)).is_some()
                        && order.wake > self.now,
                    "a vessel of its route is lost, and nothing fails it over",
                ),
            ];
            let wrong = wrong.iter().filter(|(wrong, _)| *wrong);
            faults.extend(wrong.map(|(_, what)| format!("orders.{slot}: {what}")));
        }
    }

    /// What is counted is what is there.
    fn check_totals(&self, faults: &mut Vec<String>) {
        let mut live: BTreeMap<_, u64> = BTreeMap::new();
        let mut queued = 0u64;
        for (_, order) in self.tables.orders.iter() {
            let count = live.entry(order.tenant).or_default();
            *count = count.saturating_add(1);
            queued = queued.saturating_add(u64::from(order.stage == Stage::Queued));
        }
        let counted = self.control().map_or(0, |control| control.queued);
        if counted != queued {
            faults.push(format!("control: {counted} orders queued, but {queued} wait"));
        }
        for (id, account) in self.tables.accounts.iter() {
            let found = live.remove(&id).unwrap_or(0);
            if account.live != found {
                faults.push(format!("accounts.{id}: {} live, but {found} are", account.live));
            }
        }
        faults.extend(live.keys().map(|id| format!("accounts.{id}: has orders, but no account")));
    }

    /// The sets of vessels that are up and open are what the rows say, for every model.
    fn check_open(&self, faults: &mut Vec<String>) {
        let mut open = BTreeSet::new();
        for (id, vessel) in self.tables.vessels.iter() {
            let Some(load) = self.tables.loads.get(id) else {
                faults.push(format!("vessels.{id}: has no load"));
                continue;
            };
            if allocator::is_open(vessel, load) {
                open.insert(id.0);
            }
            if vessel.status == VesselStatus::Draining && load.used == 0 {
                faults.push(format!("vessels.{id}: drains, but has nothing aboard"));
            }
        }
        if !self.index.open.iter().eq(open.iter().copied()) {
            faults.push("open: not the vessels that have room".into());
        }
        for (model, serving) in (0..).map(ModelId).zip(&self.index.serving) {
            let serves = |id: &VesselId| {
                self.tables.vessels.get(*id).filter(|row| row.manifest.models.contains(&model))
            };
            for (role, set) in Role::ALL.iter().zip(&serving.open) {
                let expected = open.iter().copied().filter(|id| {
                    serves(&VesselId(*id)).is_some_and(|vessel| vessel.manifest.role == *role)
                });
                if !set.iter().eq(expected) {
                    faults.push(format!("models.{model}: not the {role:?} vessels with room"));
                }
            }
            let up = |id: &VesselId| serves(id).is_some_and(|row| row.status == VesselStatus::Up);
            let up: Vec<VesselId> =
                self.tables.vessels.iter().map(|(id, _)| id).filter(up).collect();
            if !serving.up.iter().eq(up.iter().map(|id| id.0)) {
                faults.push(format!("models.{model}: not the vessels that are up"));
            }
            let most = |role: Role| {
                let vessels = up.iter().filter_map(|id| self.tables.vessels.get(*id));
                let of_role = vessels.filter(|row| row.manifest.role == role);
                of_role.map(|row| row.manifest.context_max).max().unwrap_or(Tokens::ZERO)
            };
            let pair = most(Role::Prefill).min(most(Role::Decode));
            if serving.context_max() != most(Role::Whole).max(pair) {
                faults.push(format!("models.{model}: not the largest order that can be held"));
            }
        }
        if self.index.serving.len() != self.tables.models.len() as usize {
            faults.push("serving: not one entry a model".into());
        }
    }

    fn check_names(&self, faults: &mut Vec<String>) {
        fn same<K: Key, R: Row>(
            index: &BTreeMap<String, K>,
            table: &Table<K, R>,
            name: impl Fn(&R) -> &String,
        ) -> bool {
            index.len() == table.len() as usize
                && table.iter().all(|(id, row)| index.get(name(row)) == Some(&id))
        }
        let (index, tables) = (&self.index, &self.tables);
        let known = [
            (same(&index.tenants, &tables.tenants, |row| &row.name), "tenants"),
            (same(&index.regions, &tables.regions, |row| &row.name), "regions"),
            (same(&index.models, &tables.models, |row| &row.name), "models"),
            (same(&index.vessels, &tables.vessels, |row| &row.name), "vessels"),
        ];
        let wrong = known.iter().filter(|(same, _)| !*same);
        faults.extend(wrong.map(|(_, table)| format!("{table}: not found by their names")));
    }

    fn check_keys(&self, faults: &mut Vec<String>) {
        let keys = &self.tables.keys;
        let found = keys
            .iter()
            .all(|(slot, row)| self.index.keys.get(&(row.tenant, row.key)) == Some(&slot));
        if !found || self.index.keys.len() != keys.len() as usize {
            faults.push("keys: not found by tenant and key".into());
        }
    }

    /// Every berth belongs to the order that holds it, and is found by its vessel.
    fn check_berths(&self, faults: &mut Vec<String>) {
        for (id, berth) in self.tables.berths.iter() {
            if self.order(berth.order).is_none_or(|order| order.berth != id) {
                faults.push(format!("berths.{id}: its order does not hold it"));
            }
            let found = self
                .index
                .berths
                .get(&berth.vessel)
                .map_or(0, |berths| berths.iter().filter(|berth| **berth == id).count());
            if found != 1 {
                faults.push(format!("berths.{id}: found {found} times by its vessel"));
            }
        }
        let found: usize = self.index.berths.values().map(Vec::len).sum();
        if found != self.tables.berths.len() as usize {
            faults.push("berths: the index knows others".into());
        }
    }

    /// Whoever waits stands in one lane, once, and behind those who came before.
    fn check_lanes(&self, faults: &mut Vec<String>) {
        let mut standing: BTreeMap<_, u64> = BTreeMap::new();
        for ((model, class), lane) in &self.index.lanes {
            if !lane.iter().is_sorted_by(|(a, _), (b, _)| a < b) {
                faults.push(format!("lanes of model {model}: tickets are not ascending"));
            }
            for (ticket, id) in lane {
                let waits = self
                    .order(*id)
                    .filter(|order| order.stage == Stage::Queued && order.ticket == *ticket);
                if let Some(order) = waits {
                    let count = standing.entry(*id).or_default();
                    *count = count.saturating_add(1);
                    if (order.demand.model, order.demand.class) != (*model, *class) {
                        faults.push(format!("orders.{}: stands in the wrong lane", id.slot()));
                    }
                }
            }
        }
        let waiting = self.tables.orders.iter().filter(|(_, row)| row.stage == Stage::Queued);
        for (slot, order) in waiting {
            let times = standing.get(&order.id).copied().unwrap_or(0);
            if times != 1 {
                faults.push(format!("orders.{slot}: waits, and stands in {times} lanes"));
            }
        }
    }

    /// The earliest moment at which a row wants to be woken is the one that the wheel tells.
    fn check_timers(&self, faults: &mut Vec<String>) {
        let review = self.control().map(|control| control.review_at);
        let review = review.filter(|at| *at != Micros::ZERO);
        let loads = self.tables.loads.iter().map(|(_, load)| load.wake);
        let orders = self.tables.orders.iter().map(|(_, order)| order.wake);
        let wakes = review.into_iter().chain(loads).chain(orders);
        let earliest = wakes.filter(|at| *at != Micros::MAX).min();
        let told = self.next_deadline().filter(|at| *at != Micros::MAX);
        if told != earliest {
            faults.push(format!("wheel: tells {told:?}, but the rows {earliest:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::config::Limits;
    use crate::exchange::Exchange;
    use crate::models::{Class, Demand, Kind, Manifest, Tenant, Window};
    use crate::policy::{BreakerRule, Escalation, Policy, RetryRule, Weights};
    use crate::security::Source;
    use crate::units::{
        JournalId, KeySlot, MicroUsd, Millijoules, OrderSlot, Ppm, RegionId, Seq, TenantId,
    };
    use crate::wheel::Wheel;
    use alloc::boxed::Box;
    use alloc::vec;

    fn policy() -> Policy {
        Policy {
            weights: Weights { time: 1, cost: 0, energy: 0, avoid: 0 },
            candidates: 2,
            patience: [Micros(1); 3],
            lifetime: [Micros(50_000_000); 3],
            timeout_percent: 100,
            timeout_min: Micros(1_000_000),
            retry: RetryRule { attempts: 1, backoff: Micros(1), backoff_max: Micros(1) },
            breaker: BreakerRule { failures: 1, open: Micros(1) },
            escalation: Escalation {
                elevated: Ppm(600_000),
                restricted: Ppm(700_000),
                halted: Ppm(800_000),
                hysteresis: Ppm(1),
                dwell: Micros(90_000_000),
                review: Micros(90_000_000),
            },
        }
    }

    /// One vessel with one order aboard (slot 0), two that wait (1 and 2), one with a berth (3).
    fn sound() -> State {
        let manifest = Manifest {
            region: RegionId(0),
            role: Role::Whole,
            models: vec![ModelId(0)],
            slots: 1,
            context_max: Tokens(1_000),
            prefill_per_kilotoken: Micros(1_000),
            decode_per_token: Micros(10),
            price_in: MicroUsd(1),
            price_cached: MicroUsd(1),
            price_out: MicroUsd(1),
            fuel_in: Millijoules(1),
            fuel_out: Millijoules(1),
            heartbeat: Micros(20_000_000),
        };
        let demand = |idempotency: u64, window: Option<Window>| {
            Command::Submit(Demand {
                external: 0,
                model: ModelId(0),
                origin: RegionId::NONE,
                kind: Kind::Inference,
                class: Class::Standard,
                tokens_in: Tokens(100),
                tokens_out_max: Tokens(10),
                deadline: Micros::ZERO,
                idempotency,
                prefix: Vec::new(),
                window,
            })
        };
        let contract = Tenant { name: "alba".into(), rate: 0, burst: 1, live_max: 0 };
        let berth = Window { from: Micros(5_000_000), until: Micros(6_000_000) };
        let commands = [
            Command::Configure(Limits::default()),
            Command::RegisterRegion { name: "quay".into(), hop: Micros::ZERO },
            Command::RegisterModel { name: "minnow".into() },
            Command::RegisterTenant(contract),
            Command::SetPolicy(Box::new(policy())),
            Command::RegisterVessel { name: "dory".into(), manifest },
            demand(1, None),
            demand(2, None),
            demand(3, None),
            demand(4, Some(berth)),
        ];
        let mut exchange = Exchange::genesis(JournalId::default());
        for (seq, command) in (0..).map(Seq).zip(commands) {
            let source = match command {
                Command::Submit(_) => Source::tenant(TenantId(0)),
                _ => Source::OPERATOR,
            };
            let stamp = crate::Stamp { seq, time: Micros(seq.0), source };
            exchange.decide(stamp, &command, &mut Vec::new()).unwrap();
        }
        exchange.into_state()
    }

    fn edit(state: &mut State, slot: u32, change: impl Fn(&mut crate::models::Order)) {
        change(state.tables.orders.edit(OrderSlot(slot), Seq(99)).unwrap());
        state.settle();
    }

    /// Whatever is broken is found, and called by its name.
    #[test]
    fn every_contradiction_is_found() {
        assert_eq!(sound().check(), Vec::<String>::new());
        let check = |found: &str, broken: &dyn Fn(&mut State)| {
            let mut state = sound();
            broken(&mut state);
            let faults = state.check();
            assert!(faults.iter().any(|fault| fault.contains(found)), "{found}: {faults:?}");
        };
        let lane = (ModelId(0), Class::Standard);
        let only = crate::table::Only;

        check("2 slots", &|s| {
            s.tables.loads.edit(VesselId(0), Seq(99)).unwrap().used = 2;
            s.settle();
        });
        check("orders.3: stage and berth", &|s| edit(s, 3, |o| o.stage = Stage::Backoff));
        check("orders.1: runs", &|s| edit(s, 1, |o| o.stage = Stage::Running));
        check("orders.0: nothing wakes it", &|s| edit(s, 0, |o| o.wake = Micros::MAX));
        check("orders.0: has more tokens", &|s| edit(s, 0, |o| o.tokens_out = Tokens(11)));
        check("orders.0: has a token", &|s| edit(s, 0, |o| o.first_token = Micros(4)));
        check("orders.1: holds an order", &|s| {
            edit(s, 1, |o| o.id = crate::units::OrderId::new(2, OrderSlot(7)));
        });
        check("3 orders queued, but 2 wait", &|s| {
            s.tables.control.edit(only, Seq(99)).unwrap().queued = 3;
            s.settle();
        });
        check("accounts.0: 5 live, but 4 are", &|s| {
            s.tables.accounts.edit(TenantId(0), Seq(99)).unwrap().live = 5;
            s.settle();
        });
        check("open: not the vessels", &|s| s.index.open.insert(0));
        check("models.0: not the Whole", &|s| s.index.serving[0].open[0].insert(0));
        check("models.0: not the Decode", &|s| s.index.serving[0].open[2].insert(5));
        check("models.0: not the vessels that are up", &|s| s.index.serving[0].up.remove(0));
        check("largest order", &|s| s.index.serving[0].contexts = [Tokens(999); 3]);
        check("one entry a model", &|s| s.index.serving.clear());
        check("drains, but", &|s| {
            s.tables.vessels.edit(VesselId(0), Seq(99)).unwrap().status = VesselStatus::Draining;
            s.tables.loads.edit(VesselId(0), Seq(99)).unwrap().used = 0;
            s.settle();
        });
        check("orders.0: found more in caches", &|s| edit(s, 0, |o| o.cached = Tokens(101)));
        check("orders.0: a vessel of its route is lost", &|s| {
            s.tables.vessels.edit(VesselId(0), Seq(99)).unwrap().status = VesselStatus::Lost;
            s.settle();
        });
        check("tenants: not found", &|s| s.index.tenants.clear());
        check("vessels: not found", &|s| {
            s.index.vessels.insert("punt".into(), VesselId(0));
        });
        check("keys: not found", &|s| {
            s.index.keys.insert((TenantId(0), 2), KeySlot(0));
        });
        check("keys: not found", &|s| {
            s.index.keys.insert((TenantId(0), 9), KeySlot(0));
        });
        check("berths.0: found 0 times", &|s| s.index.berths.clear());
        check("berths.0: found 2 times", &|s| {
            s.index.berths.get_mut(&VesselId(0)).unwrap().push(BerthId(0));
        });
        check("berths.0: its order", &|s| edit(s, 3, |o| o.berth = BerthId(1)));
        check("berths: the index knows others", &|s| {
            s.index.berths.insert(VesselId(1), vec![BerthId(1)]);
        });
        check("orders.1: waits, and stands in 0 lanes", &|s| {
            s.index.lanes.get_mut(&lane).unwrap().pop_front();
        });
        check("orders.2: waits, and stands in 2 lanes", &|s| {
            let lanes = &mut s.index.lanes;
            let last = lanes[&lane].back().copied().unwrap();
            lanes.entry((ModelId(0), Class::Batch)).or_default().push_back(last);
        });
        check("orders.2: stands in the wrong lane", &|s| {
            let lanes = &mut s.index.lanes;
            let last = lanes.get_mut(&lane).unwrap().pop_back().unwrap();
            lanes.entry((ModelId(0), Class::Batch)).or_default().push_back(last);
        });
        check("tickets are not ascending", &|s| {
            s.index.lanes.get_mut(&lane).unwrap().swap(0, 1);
        });
        check("wheel: tells None", &|s| s.index.wheel = Some(Wheel::default()));
        check("wheel: tells", &|s| edit(s, 0, |o| o.wake = Micros(7)));
    }
}
