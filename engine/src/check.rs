//! What is true of every state between two records. Run after every record in tests and simulation.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::units::Micros;
use crate::state::State;
use crate::{allocator, jobs, models, policy, queue, telemetry, workflow};

impl State {
    /// Everything that contradicts itself, in sentences; empty for a sound state.
    ///
    /// Looks at every row: for tests and simulation, not for the way of an order.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        check_digests(self, &mut faults);
        allocator::check::check(self, &mut faults);
        models::check::check(self, &mut faults);
        policy::check::check(self, &mut faults);
        telemetry::check::check(self, &mut faults);
        workflow::check::check(self, &mut faults);
        queue::check::check(self, &mut faults);
        jobs::check::check(self, &mut faults);
        check_timers(self, &mut faults);
        faults
    }
}

fn check_digests(state: &State, faults: &mut Vec<String>) {
    if !state.sum_is_right() {
        faults.push("the sum of the digests is another one".into());
    }
    for table in state.tables.all() {
        if table.digest() != table.recomputed_digest() {
            faults.push(format!("{}: the digest is not that of the rows", table.name()));
        }
    }
}

/// The earliest moment at which a row wants to be woken is the one that the wheel tells.
fn check_timers(state: &State, faults: &mut Vec<String>) {
    let review = state.stance().map(|stance| stance.review_at);
    let review = review.filter(|at| *at != Micros::ZERO);
    let serve = state.waiting().map(|waiting| waiting.serve_at);
    let loads = state.tables.loads.iter().map(|(_, load)| load.wake);
    let orders = state.tables.orders.iter().map(|(_, order)| order.wake);
    let stops = state.tables.stops.iter().map(|(_, stop)| stop.until);
    let jobs = state.tables.jobs.iter().map(|(_, job)| job.wake);
    let lines = state.tables.lines.iter().map(|(_, line)| line.ripe_at);
    let wakes = review.into_iter().chain(serve).chain(loads).chain(orders).chain(stops).chain(jobs);
    let wakes = wakes.chain(lines);
    let earliest = wakes.filter(|at| *at != Micros::MAX).min();
    let told = state.next_deadline();
    if told != earliest {
        faults.push(format!("wheel: tells {told:?}, but the rows {earliest:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::index::Aboard;
    use crate::command::Command;
    use crate::config::Limits;
    use crate::exchange::Exchange;
    use crate::kernel::table::{AnyTable as _, Only, Scratch, Writer};
    use crate::kernel::units::{
        BerthId, JournalId, KeySlot, MicroUsd, Millijoules, ModelId, OrderId, OrderSlot, PicoUsd,
        Ppm, RegionId, Seq, TenantId, Tokens, TurnSlot, VesselId,
    };
    use crate::models::fold::alter_load;
    use crate::models::index::Serving;
    use crate::models::{
        Class, Demand, Kind, Manifest, Order, Role, Stage, Tenant, VesselStatus, Window,
    };
    use crate::policy::{DriftRule, Escalation, Policy, RiskWeights, Sla, SlaRule};
    use crate::queue::index::{Place, Queues};
    use crate::queue::{GatherRule, Shares};
    use crate::resilience::{BreakerRule, Hedge, OverloadRule, RetryRule};
    use crate::routing::{Choice, Weights};
    use crate::security::Source;
    use crate::state::index::Deciding;
    use crate::telemetry::{
        Charge, Concern, Forecast, Incident, IncidentRule, Money, Reserve, Severity, Spending,
    };
    use crate::workflow::index::Keys;
    use crate::{config, models, policy, workflow};
    use alloc::boxed::Box;
    use alloc::vec;

    fn rules() -> Policy {
        Policy {
            route_by: Choice::Score,
            weights: Weights { time: 1, cost: 0, energy: 0 },
            candidates: 2,
            home_percent: 100,
            prefix_age: Micros(1),
            key_age: Micros(1),
            shares: Shares { classes: [4, 2, 1], overdue: 1 },
            patience: [Micros(1); 3],
            lifetime: [Micros(50_000_000); 3],
            berth_grace: Micros(1),
            timeout_percent: 100,
            timeout_min: Micros(1_000_000),
            stop: Micros(1),
            retry: RetryRule {
                attempts: 1,
                backoff: Micros(1),
                backoff_max: Micros(1),
                budget: Ppm(1),
                least: 1,
            },
            breaker: BreakerRule {
                failures: 1,
                failing: Ppm::ZERO,
                slow: Ppm::ZERO,
                slow_percent: 100,
                calls: 1,
                window: Micros(1),
                open: Micros(1),
                open_max: Micros(1),
                probes: 1,
                cut_off: Ppm::ONE,
            },
            hedge_percent: [0; 3],
            preempt: false,
            overcommit_percent: 0,
            price_time: [false; 3],
            gather: GatherRule { tokens: Tokens::ZERO, wait: Micros::ZERO },
            overload: OverloadRule { pause: Micros(1), pause_max: Micros(1) },
            charge: Charge { failed: Ppm::ZERO, expired: Ppm::ZERO, cancelled: Ppm::ONE },
            forecast: Forecast { samples: 1, prior: Ppm(1_000_000), legs: 1, window: Micros(1) },
            escalation: Escalation {
                elevated: Ppm(600_000),
                elevated_below: Ppm(599_999),
                restricted: Ppm(700_000),
                restricted_below: Ppm(699_999),
                halted: Ppm(800_000),
                halted_below: Ppm(799_999),
                weights: RiskWeights {
                    failing: Ppm::ONE,
                    pressure: Ppm::ONE,
                    late: Ppm::ONE,
                    cut_off: Ppm::ZERO,
                    drift: Ppm::ZERO,
                },
                drift: DriftRule { slack: Ppm(1), threshold: Ppm(1), reviews: 1 },
                dwell: Micros(90_000_000),
                review: Micros(90_000_000),
                window: Micros(1),
                calls: 1,
                late: Ppm::ONE,
                override_max: Micros::ZERO,
            },
            sla: SlaRule { burns: [Ppm(1); 3], clear: Ppm(1), hold: Micros::ZERO, orders: 1 },
            incidents: IncidentRule {
                begins: [[Ppm::ZERO; 4]; 7],
                clear: Ppm(1),
                hold: Micros::ZERO,
                ease: Micros::ZERO,
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
            cache_tokens: Tokens::ZERO,
            domain: 0,
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
            Command::Workflow(workflow::Command::Submit(Demand {
                external: 0,
                model: ModelId(0),
                origin: RegionId::NONE,
                kind: Kind::Inference,
                class: Class::Standard,
                tokens_in: Tokens(100),
                tokens_out_max: Tokens(10),
                deadline: Micros::ZERO,
                limit: 0,
                idempotency,
                prefix: Vec::new(),
                window: window.map(Box::new),
            }))
        };
        let contract = Tenant::unlimited("alba");
        let berth = Window { from: Micros(5_000_000), until: Micros(6_000_000) };
        let commands = [
            Command::Config(config::Command::Configure(Limits::default())),
            Command::Models(models::Command::RegisterRegion {
                name: "quay".into(),
                hop: Micros::ZERO,
                transfer: Micros::ZERO,
            }),
            Command::Models(models::Command::RegisterModel { name: "minnow".into() }),
            Command::Models(models::Command::RegisterTenant(contract)),
            Command::Policy(policy::Command::SetPolicy(Box::new(rules()))),
            Command::Models(models::Command::RegisterVessel {
                name: "dory".into(),
                manifest,
                start: 0,
            }),
            demand(1, None),
            demand(2, None),
            demand(3, None),
            demand(4, Some(berth)),
        ];
        let mut exchange = Exchange::genesis(JournalId::default());
        for (seq, command) in (0..).map(Seq).zip(commands) {
            let source = match command {
                Command::Workflow(workflow::Command::Submit(_)) => Source::tenant(TenantId(0)),
                _ => Source::OPERATOR,
            };
            let stamp = crate::Stamp { seq, time: Micros(seq.0), source };
            exchange.decide(stamp, &command, &mut Vec::new()).unwrap();
        }
        exchange.into_state()
    }

    fn edit(state: &mut State, slot: u32, change: impl Fn(&mut Order)) {
        change(state.tables.orders.edit(OrderSlot(slot), &mut state.writer).unwrap());
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

        check("2 slots", &|s| {
            s.tables.loads.edit(VesselId(0), &mut s.writer).unwrap().used = 2;
            s.settle();
        });
        check("us of work and 111 tokens, but its orders hold", &|s| {
            s.tables.loads.edit(VesselId(0), &mut s.writer).unwrap().held = Tokens(111);
            s.settle();
        });
        check("loads.0: kept for an order that is Some(Running)", &|s| {
            s.tables.loads.edit(VesselId(0), &mut s.writer).unwrap().keeps_for = OrderSlot(0);
            s.settle();
        });
        check("loads: others are kept than the index knows", &|s| {
            s.index.kept.insert((OrderSlot(0), VesselId(0)));
        });
        check("orders.3: stage and berth", &|s| edit(s, 3, |o| o.stage = Stage::Backoff));
        check("orders.1: runs", &|s| edit(s, 1, |o| o.stage = Stage::Running));
        check("orders.0: nothing wakes it", &|s| edit(s, 0, |o| o.wake = Micros::MAX));
        check("orders.0: has more tokens", &|s| edit(s, 0, |o| o.tokens_out = Tokens(11)));
        check("orders.0: has a token", &|s| edit(s, 0, |o| o.first_token = Micros(4)));
        check("orders.1: holds an order", &|s| {
            edit(s, 1, |o| o.id = OrderId::new(2, OrderSlot(7)));
        });
        check("waiting: 3 orders with 220 tokens are queued, but 2 with 220 wait", &|s| {
            s.tables.waiting.edit(Only, &mut s.writer).unwrap().queued = 3;
            s.settle();
        });
        check("waiting: 2 orders with 221 tokens are queued", &|s| {
            s.tables.waiting.edit(Only, &mut s.writer).unwrap().tokens = Tokens(221);
            s.settle();
        });
        check("accounts.0: 1 orders queued, but 2 wait", &|s| {
            s.tables.accounts.edit(TenantId(0), &mut s.writer).unwrap().queued = 1;
            s.settle();
        });
        check("hedges.0: its order is not worked by two vessels", &|s| {
            let hedge = Hedge { dispatched: Micros(0), within: Micros(1) };
            s.tables.hedges.insert(OrderSlot(0), hedge, &mut s.writer).unwrap();
            s.settle();
        });
        check("accounts.0: 5 live, but 4 are", &|s| {
            s.tables.accounts.edit(TenantId(0), &mut s.writer).unwrap().live = 5;
            s.settle();
        });
        check("open: not the vessels", &|s| s.index.parties.open.insert(0));
        check("models.0: not the Whole", &|s| s.index.parties.serving[0].open[0].insert(0));
        check("vessels by what they hold", &|s| s.index.parties.serving[0].open[0].insert(0));
        check("models.0: not the Decode", &|s| s.index.parties.serving[0].open[2].insert(5));
        check("models.0: not the vessels that are up", &|s| {
            s.index.parties.serving[0].up.remove(0)
        });
        check("largest order", &|s| s.index.parties.serving[0] = Serving::default());
        check("vessels.0: is gone, and nothing fails over", &|s| {
            s.tables.vessels.edit(VesselId(0), &mut s.writer).unwrap().status =
                VesselStatus::Restarting;
            s.tables.loads.edit(VesselId(0), &mut s.writer).unwrap().used = 0;
            s.settle();
        });
        check("one entry a model", &|s| s.index.parties.serving.clear());
        check("drains, but", &|s| {
            s.tables.vessels.edit(VesselId(0), &mut s.writer).unwrap().status =
                VesselStatus::Draining;
            s.tables.loads.edit(VesselId(0), &mut s.writer).unwrap().used = 0;
            s.settle();
        });
        check("orders.0: found more in caches", &|s| edit(s, 0, |o| o.cached = Tokens(101)));
        check("vessels.0: is gone, and nothing fails over", &|s| {
            s.tables.vessels.edit(VesselId(0), &mut s.writer).unwrap().status = VesselStatus::Lost;
            s.settle();
        });
        check("tenants: not found", &|s| s.index.parties.tenants.clear());
        check("vessels: not found", &|s| {
            s.index.parties.vessels.insert("punt".into(), VesselId(0));
        });
        check("models.0: not what the dearest", &|s| {
            s.tables.vessels.edit(VesselId(0), &mut s.writer).unwrap().manifest.price_cached =
                MicroUsd(2);
            s.settle();
        });
        check("models.0: not what the cheapest", &|s| {
            s.tables.vessels.edit(VesselId(0), &mut s.writer).unwrap().manifest.price_in =
                MicroUsd(0);
            s.settle();
        });
        check("reserves.7: of no live order", &|s| {
            let reserve = Reserve { amount: PicoUsd(1) };
            s.tables.reserves.put(OrderSlot(7), reserve, &mut s.writer).unwrap();
            s.settle();
        });
        check("spending.0: reserves, but no row", &|s| {
            let reserve = Reserve { amount: PicoUsd(1) };
            s.tables.reserves.put(OrderSlot(0), reserve, &mut s.writer).unwrap();
            s.settle();
        });
        check("spending.0: 5 reserved, but 0 are", &|s| {
            let (since, nothing) = (Micros::ZERO, Money::default());
            let reserved = Money { picos: 5, ..nothing };
            let row = Spending { since, reserved, spent: nothing };
            s.tables.spending.put(TenantId(0), row, &mut s.writer).unwrap();
            s.settle();
        });
        check("level is from the future", &|s| {
            s.tables.stance.edit(Only, &mut s.writer).unwrap().level_since = Micros(10);
            s.settle();
        });
        check("nobody looks at the override", &|s| {
            s.tables.stance.edit(Only, &mut s.writer).unwrap().override_until = Micros(10);
            s.settle();
        });
        check("drifts from nothing", &|s| {
            s.tables.stance.edit(Only, &mut s.writer).unwrap().drift.sum = Ppm(1);
            s.settle();
        });
        check("sla.0: counted, but not promised", &|s| {
            s.tables.sla.put(TenantId(0), Sla::NONE, &mut s.writer).unwrap();
            s.settle();
        });
        check("sla.0: a window holds more", &|s| {
            let mut row = Sla::NONE;
            row.note(Micros(1), true);
            row.good = 0;
            s.tables.sla.put(TenantId(0), row, &mut s.writer).unwrap();
            s.settle();
        });
        check("sla.0: an alert of no time", &|s| {
            let mut row = Sla::NONE;
            row.alerts[1].raised = true;
            s.tables.sla.put(TenantId(0), row, &mut s.writer).unwrap();
            s.settle();
        });
        let incident = |s: &mut State, concern: Concern, change: &dyn Fn(&mut Incident)| {
            let mut row = Incident { severity: Some(Severity::Minor), raised: 1, ..Incident::NONE };
            row.seen = row.severity;
            row.told = row.severity;
            change(&mut row);
            s.tables.incidents.put(concern, row, &mut s.writer).unwrap();
            s.settle();
        };
        check("incidents: two outages at once", &|s| {
            incident(s, Concern::Failing, &|_| {});
            incident(s, Concern::Late, &|row| row.group = Seq(1));
        });
        check("incidents.Lost: is not since when", &|s| {
            incident(s, Concern::Lost, &|row| row.seen = None);
        });
        check("incidents.Lost: is not since when", &|s| {
            incident(s, Concern::Lost, &|row| row.since[3] = Micros(1));
        });
        check("incidents.Lost: is open, and was never raised", &|s| {
            incident(s, Concern::Lost, &|row| row.raised = 0);
        });
        check("incidents.Level: nobody was told", &|s| {
            incident(s, Concern::Level, &|row| row.told = Some(Severity::Info));
        });
        check("keys: found otherwise", &|s| {
            s.index.deciding.as_mut().unwrap().keys = Keys::default()
        });
        check("keys.0: its order is live", &|s| {
            s.tables.keys.edit(KeySlot(0), &mut s.writer).unwrap().until = Micros(9);
            s.index.deciding.as_mut().unwrap().keys = Keys::of(&s.tables.keys);
            s.settle();
        });
        check("its key is not remembered", &|s| {
            s.tables.keys.remove(KeySlot(0), &mut s.writer).unwrap();
            s.index.deciding.as_mut().unwrap().keys = Keys::default();
            s.settle();
        });
        check("berths.0: found 0 times", &|s| s.index.berths.clear());
        check("berths.0: found 2 times", &|s| {
            s.index.berths.get_mut(&VesselId(0)).unwrap().push(BerthId(0));
        });
        check("berths.0: its order", &|s| edit(s, 3, |o| o.berth = BerthId(1)));
        check("berths: the index knows others", &|s| {
            s.index.berths.insert(VesselId(1), vec![BerthId(1)]);
        });
        check("queues: not those who wait", &|s| s.index.queues = Queues::default());
        check("queues: not those who wait", &|s| {
            let place = Place::of(s.tables.orders.get(OrderSlot(2)).unwrap());
            s.index.queues.leave(place, 0, &s.index.parties);
            s.index.queues.enter(place, 1, &s.index.parties);
        });
        check("lines.0: [0, 3, 0] orders queued", &|s| {
            s.tables.lines.edit(ModelId(0), &mut s.writer).unwrap().queued[1] = 3;
            s.settle();
        });
        check("lines.0: 1 orders with 0 tokens gather, but 0 with 0 do", &|s| {
            s.tables.lines.edit(ModelId(0), &mut s.writer).unwrap().gathering = 1;
            s.settle();
        });
        check("lines.0: nobody gathers, or nothing wakes", &|s| {
            s.tables.lines.edit(ModelId(0), &mut s.writer).unwrap().ripe_at = Micros(9);
            s.settle();
        });
        check("orders.1: gathers, and is to go by itself", &|s| edit(s, 1, |o| o.gathers = true));
        check("lines.0: is not there", &|s| {
            s.tables.lines.remove(ModelId(0), &mut s.writer).unwrap();
            s.settle();
        });
        check("turns.0: 1 queued, but 2 wait", &|s| {
            s.tables.turns.edit(TurnSlot(0), &mut s.writer).unwrap().queued = 1;
            s.settle();
        });
        check("waits, and takes no turns", &|s| {
            s.tables.turns.remove(TurnSlot(0), &mut s.writer).unwrap();
            s.settle();
        });
        check("turns.0: of a queue in which nobody", &|s| {
            s.tables.lines.remove(ModelId(0), &mut s.writer).unwrap();
            s.settle();
        });
        check("orders.1: waits, and there is room", &|s| {
            alter_load(s, VesselId(0), |load| load.used = 0).unwrap();
            s.settle();
        });
        check("largest order for which there is room", &|s| {
            let mut vessel = s.tables.vessels.get(VesselId(0)).unwrap().clone();
            s.index.parties.reopen(VesselId(0), &vessel, 0);
            vessel.manifest.context_max = Tokens(5);
            s.index.parties.reopen(VesselId(0), &vessel, 1);
        });
        check("wheel: tells None", &|s| s.index.deciding = Some(Deciding::default()));
        check("vessels.0: not the orders", &|s| {
            s.index.deciding.as_mut().unwrap().aboard = Aboard::default();
        });
        check("the sum of the digests", &|s| {
            s.tables.keys.remove(KeySlot(0), &mut Writer::new(Seq(11))).unwrap();
            s.tables.keys.settle(0, &mut Scratch::default());
        });
        check("wheel: tells", &|s| edit(s, 0, |o| o.wake = Micros(7)));
    }
}
