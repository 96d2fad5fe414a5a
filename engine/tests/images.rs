//! The images of rows are frozen: what is hashed, and what snapshots store.
//!
//! A line of `fixtures/golden/rows.hex` is a table and the image of one row. Digests and roots were
//! computed outside, with Python's `xxhash` and `blake3`, from `engine/src/kernel/image.rs` in words.
//! With TENSORFORGE_ACCEPT=1 lines of new tables are added; a line that is there is never changed.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has found something"
)]

use std::collections::BTreeMap;
use std::path::Path;

use arrayvec::ArrayVec;
use tensorforge_engine::allocator::Berth;
use tensorforge_engine::command::Stamp;
use tensorforge_engine::config::Limits;
use tensorforge_engine::image::{Fault, Misread, Reader};
use tensorforge_engine::jobs::{Cause, Job, Spec, Standing, Step, Task, Tries, Wait, Watch, Work};
use tensorforge_engine::models::*;
use tensorforge_engine::policy::{
    BurnAlert, Drift, DriftRule, Escalation, Policy, PolicyLevel, RiskWeights, Sla, SlaRule,
    SlaWindow, Stance,
};
use tensorforge_engine::queue::{Flow, GatherRule, Line, Routed, Shares, Turn, Waiting};
use tensorforge_engine::resilience::{
    Breaker, BreakerRule, Hedge, Outcomes, OverloadRule, RetryRule,
};
use tensorforge_engine::routing::{Choice, Holder, Prefix, Weights};
use tensorforge_engine::security::Source;
use tensorforge_engine::sketch::Sketch;
use tensorforge_engine::table::{AnyTable, Only, Row, Scratch, Table, Writer};
use tensorforge_engine::telemetry::{
    Account, Charge, Concern, Forecast, Incident, IncidentRule, Lengths, Money, Reserve, Severity,
    Spending,
};
use tensorforge_engine::units::*;
use tensorforge_engine::workflow::{Control, RememberedKey, Stop};
use tensorforge_engine::{Command, Exchange, State, Tables, config, models};

/// An example of the row of each table, under the table's name.
struct Golden {
    file: BTreeMap<String, String>,
    text: String,
}

impl Golden {
    fn check<K: Key, R: Row>(&mut self, of: &Table<K, R>, key: K, row: R, digest: u128) {
        let mut image = Vec::new();
        row.write(&mut image);
        let hex: String = image.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = of.name();
        if std::env::var_os("TENSORFORGE_ACCEPT").is_some() && !self.file.contains_key(name) {
            self.text.push_str(&format!("{name} {hex}\n"));
            self.file.insert(name.to_owned(), hex.clone());
        }
        let pinned = self.file.remove(name).unwrap_or_else(|| panic!("rows.hex has no {name}"));
        assert_eq!(hex, pinned, "the image of a row of {name} is another one");
        let fault = Fault::default();
        let mut source: Reader = Reader::new(&image, &fault);
        assert_eq!(R::read(&mut source), row, "{name} is read otherwise");
        assert_eq!((fault.get(), source.left()), (None, &[][..]));
        for length in 0..image.len() {
            let fault = Fault::default();
            let mut source: Reader = Reader::new(&image[..length], &fault);
            R::read(&mut source);
            assert_eq!(fault.get(), Some(Misread::Ends), "{name} cut to {length}");
        }
        let mut table = of.clone();
        table.bound_scattered(key.index() + 1);
        table.put(key, row, &mut Writer::new(Seq(1))).unwrap();
        table.settle(key.index(), &mut Scratch::default());
        assert_eq!(table.digest(), digest, "{name}: {:#034x}", table.digest());
    }
}

#[test]
fn the_image_and_the_digest_of_every_row_are_pinned() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/rows.hex");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    let file = text.lines().map(|line| pair(line).unwrap()).collect();
    let mut golden = Golden { file, text };

    // A state that nothing was put into but the one row of single tables, which a `put` replaces.
    let state = State::genesis(JournalId::default());
    // Taken apart by name, so that a table more does not compile without an example.
    let Tables {
        control: t0,
        limits: t1,
        stance: t2,
        policies: t3,
        waiting: t4,
        tenants: t5,
        accounts: t6,
        regions: t7,
        models: t8,
        vessels: t9,
        loads: t10,
        orders: t11,
        berths: t12,
        keys: t13,
        prefixes: t14,
        lines: t15,
        turns: t16,
        flow: t17,
        calls: t18,
        spending: t19,
        reserves: t20,
        lengths: t21,
        stops: t22,
        hedges: t23,
        sla: t24,
        jobs: t25,
        incidents: t26,
    } = &state.tables;
    golden.check(t0, Only, control(), DIGESTS[0]);
    golden.check(t1, Only, limits(), DIGESTS[1]);
    golden.check(t2, Only, stance(), DIGESTS[2]);
    golden.check(t3, PolicyVersion(3), policy(), DIGESTS[3]);
    golden.check(t4, Only, waiting(), DIGESTS[4]);
    golden.check(t5, TenantId(4), tenant(), DIGESTS[5]);
    golden.check(t6, TenantId(5), account(), DIGESTS[6]);
    golden.check(t7, RegionId(6), region(), DIGESTS[7]);
    golden.check(t8, ModelId(7), Model { name: "coral-70b".into(), turns: 9 }, DIGESTS[8]);
    golden.check(t9, VesselId(8), vessel(), DIGESTS[9]);
    golden.check(t10, VesselId(300), load(), DIGESTS[10]);
    golden.check(t11, OrderSlot(70_000), order(), DIGESTS[11]);
    golden.check(t12, BerthId(11), berth(), DIGESTS[12]);
    golden.check(t13, KeySlot(12), key(), DIGESTS[13]);
    golden.check(t14, PrefixSlot(13), prefix(), DIGESTS[14]);
    golden.check(t15, ModelId(14), line(), DIGESTS[15]);
    golden.check(t16, TurnSlot(15), turn(), DIGESTS[16]);
    golden.check(t17, Only, flow(), DIGESTS[17]);
    golden.check(t18, Only, outcomes(11), DIGESTS[18]);
    golden.check(t19, TenantId(16), spending(), DIGESTS[19]);
    golden.check(t20, OrderSlot(17), Reserve { amount: PicoUsd(1) }, DIGESTS[20]);
    golden.check(t21, LengthSlot(18), lengths(), DIGESTS[21]);
    golden.check(t22, StopSlot(19), stop(), DIGESTS[22]);
    let hedge = Hedge { dispatched: Micros(3), within: Micros(4) };
    golden.check(t23, OrderSlot(20), hedge, DIGESTS[23]);
    golden.check(t24, TenantId(21), sla(), DIGESTS[24]);
    golden.check(t25, JobSlot(22), job(), DIGESTS[25]);
    golden.check(t26, Concern::CutOff, incident(), DIGESTS[26]);
    assert!(golden.file.is_empty(), "rows.hex has lines without an example: {:?}", golden.file);
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        std::fs::write(&path, &golden.text).unwrap();
    }
}

/// XXH3-128 of the table's number, the key (32 bits each, little-endian) and the image, by Python's xxhash.
const DIGESTS: [u128; 27] = [
    0x5087_3c76_bb57_4c8e_d426_08a4_95fb_6f4b,
    0x371b_c912_aec6_9a6f_492d_d6b6_a4e8_dac2,
    0x401f_5262_1d26_acac_08e3_2c14_8e4d_dcec,
    0x7df1_c9f6_9444_076e_d442_9bdc_3135_75d0,
    0x64a0_656d_73a1_c6a5_046d_69cc_b09c_c0be,
    0xed8a_a175_1d7c_48f9_9ef6_03fe_cd8f_f72f,
    0xf26e_7ecd_ac9f_8f59_6f9f_6fa4_68ab_3146,
    0x6413_62dd_1e80_24c8_ccd4_5c36_804c_6080,
    0x088e_f76c_2615_f822_cdd8_5e01_fea9_5dba,
    0x1555_e21f_736b_e66d_ca38_61b2_143f_5e2c,
    0x7394_50a3_8eb6_4776_b3c9_6071_648a_ff83,
    0x42af_92e9_10bb_98f9_ab2f_9c22_0005_0f3f,
    0x4737_7b78_5705_3b97_94c9_5ac0_6e6d_b997,
    0xa664_449a_f311_f0c9_e32b_b102_afa4_3347,
    0xf5f8_cbca_4c6d_9756_b54c_f92b_765c_23cb,
    0x3a81_8351_b5f5_c637_aea9_b4f5_0838_98fe,
    0xcfcf_a7bb_3f11_7019_2e02_dd3c_571b_f78d,
    0x63b4_b89b_cfce_4416_08e8_69a6_3732_5a8a,
    0x12f3_fe68_5392_6c37_5a37_c552_32a6_fd9d,
    0xaeca_1d6d_b621_9fe3_1505_c8c9_474b_e20d,
    0x2179_d430_5e95_fd76_ee98_ee4c_7410_da67,
    0x2ecd_6e54_bb8d_566a_1f45_5682_cc1f_fc2b,
    0x7745_1149_619d_7609_603f_033a_ad0c_ed8b,
    0xa698_677c_f148_d3ec_c499_949b_e718_6950,
    0x9e62_8e1a_a932_a95b_afa6_7409_9cfa_7c91,
    0x004b_b0f6_9b3f_7e1f_5f8d_6e42_111e_555d,
    0x643d_bbc0_54cc_b541_f121_bd0f_6c17_79b3,
];

/// BLAKE3 of `tensorforge state root 1\n` and of every table's number, rows and digest, by Python's blake3.
#[test]
fn the_roots_of_small_states_are_pinned() {
    let root = |state: &State| -> String {
        state.root().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut exchange = Exchange::genesis(JournalId([9; 16]));
    assert_eq!(root(exchange.state()), GENESIS_ROOT);
    let commands = [
        Command::Config(config::Command::Configure(limits())),
        Command::Models(models::Command::RegisterRegion {
            name: "north".into(),
            hop: Micros(40_000),
            transfer: Micros(41),
        }),
        Command::Models(models::Command::RegisterRegion {
            name: "south".into(),
            hop: Micros(50_000),
            transfer: Micros(51),
        }),
        Command::Models(models::Command::RegisterModel { name: "coral-70b".into() }),
    ];
    for (seq, command) in (0..).map(Seq).zip(&commands) {
        let stamp = Stamp { seq, time: Micros(1_000 + seq.0), source: Source::OPERATOR };
        exchange.decide(stamp, command, &mut Vec::new()).unwrap();
    }
    assert_eq!(root(exchange.state()), SMALL_ROOT);
    assert_eq!(exchange.state().tag(), SMALL_TAG);
}

const GENESIS_ROOT: &str = "ca80d7952771c805e27ecc4aaaa2de0d7541faf2792835da36ca04b189a0a26b";
const SMALL_ROOT: &str = "d1b592682f94897611a7e57e5785e395572776edf19050461cc517caf95cbf89";
const SMALL_TAG: u64 = 0xe6e4_1fbe_9fa4_63b7;

/// XXH3-64 and BLAKE3 of what the descriptions of `fingerprint` and `key_of` say, by Python.
#[test]
fn fingerprints_and_keys_are_pinned() {
    let demand = order().demand;
    assert_eq!(demand.fingerprint(), 0x949f_30b0_6bfb_1268);
    let (external, deadline, origin, idempotency) = (1, Micros(2), RegionId(3), 4);
    let again = Demand { external, deadline, origin, idempotency, ..demand.clone() };
    assert_eq!(again.fingerprint(), demand.fingerprint());
    assert_ne!(Demand { window: None, ..again }.fingerprint(), demand.fingerprint());
    assert_eq!(Demand::key_of("chat-7"), 0xd656_6719_e485_4b42);
}

fn control() -> Control {
    Control { now: Micros(1), orders: 4 }
}

fn job() -> Job {
    let vessels = vec![VesselId(1), VesselId(2)];
    let watch =
        Watch { hold: Micros(3), every: Micros(4), calls: 5, failing: Ppm(6), slow: Ppm(7) };
    let manifest = Box::new(vessel().manifest);
    let work = Work::Rollout { vessels, manifest, canary: 8, growth: 9, watch };
    let tries =
        Tries { attempts: 10, timeout: Micros(11), backoff: Micros(12), backoff_max: Micros(13) };
    let step = Step {
        began: Micros(14),
        until: Micros(15),
        vessel: VesselId(16),
        attempts: 17,
        task: Task::Restore,
        standing: Standing::Compensated,
        undoes: Some(18),
        before: Some(Box::new(vessel().manifest)),
    };
    let plain = Step { task: Task::Watch, undoes: None, before: None, ..step.clone() };
    Job {
        id: JobId(19),
        since: Micros(20),
        wake: Micros(21),
        name: "new-decoder".into(),
        spec: Spec {
            work,
            at_once: 22,
            max_out: Ppm(23),
            only_when_normal: true,
            undo: false,
            patience: Micros(24),
            tries,
        },
        steps: vec![step, plain],
        cause: Some(Cause::Slow),
        waits: Wait::Room,
        paused: true,
    }
}

fn flow() -> Flow {
    let present = Routed { orders: [21, 22, 23], late: [24, 25, 26], retries: 27 };
    let before = Routed { orders: [28, 29, 30], late: [31, 32, 33], retries: 34 };
    Flow { since: Micros(20), present, before }
}

/// Seven numbers from this one on.
fn outcomes(first: u32) -> Outcomes {
    Outcomes {
        since: Micros(first.into()),
        calls: first + 1,
        failed: first + 2,
        slow: first + 3,
        calls_before: first + 4,
        failed_before: first + 5,
        slow_before: first + 6,
    }
}

fn stance() -> Stance {
    Stance {
        policy: PolicyVersion(3),
        level: PolicyLevel::Restricted,
        level_since: Micros(9),
        risk: Ppm(8),
        review_at: Micros(10),
        override_until: Micros(14),
        reviews: 15,
        drift: Drift { usual: Ppm(11), sum: Ppm(12), reviews: 13, alarm: true },
    }
}

fn waiting() -> Waiting {
    Waiting { tickets: 5, queued: 6, tokens: Tokens(8), serve_at: Micros(7) }
}

fn line() -> Line {
    Line {
        first: 1,
        served: [2, 3, 4],
        floor: 5,
        floors: [6, 7, 8],
        queued: [9, 10, 11],
        gathering: 12,
        gathered: Tokens(13),
        ripe_at: Micros(14),
        released: 15,
    }
}

fn turn() -> Turn {
    let (model, tenant, class) = (ModelId(2), TenantId(3), Class::Batch);
    Turn { served: 1, model, tenant, queued: 4, class }
}

fn limits() -> Limits {
    Limits {
        tenants: 1,
        regions: 2,
        models: 3,
        vessels: 4,
        orders: 5,
        queued: 6,
        policies: 7,
        berths: 8,
        keys: 9,
        prefixes: 10,
        queued_kilotokens: 11,
    }
}

fn policy() -> Policy {
    Policy {
        route_by: Choice::RoundRobin,
        weights: Weights { time: 1, cost: 2, energy: 3 },
        candidates: 5,
        home_percent: 61,
        prefix_age: Micros(44),
        key_age: Micros(45),
        shares: Shares { classes: [25, 26, 27], overdue: 28 },
        patience: [Micros(6), Micros(7), Micros(8)],
        lifetime: [Micros(9), Micros(10), Micros(11)],
        berth_grace: Micros(53),
        timeout_percent: 12,
        timeout_min: Micros(13),
        stop: Micros(54),
        retry: RetryRule {
            attempts: 14,
            backoff: Micros(15),
            backoff_max: Micros(16),
            budget: Ppm(37),
            least: 38,
        },
        breaker: BreakerRule {
            failures: 17,
            failing: Ppm(29),
            slow: Ppm(39),
            slow_percent: 40,
            calls: 30,
            window: Micros(31),
            open: Micros(18),
            open_max: Micros(32),
            probes: 33,
            cut_off: Ppm(34),
        },
        hedge_percent: [53, 54, 55],
        preempt: true,
        overcommit_percent: 60,
        price_time: [true, false, true],
        gather: GatherRule { tokens: Tokens(2_000_000), wait: Micros(900_000_000) },
        overload: OverloadRule { pause: Micros(41), pause_max: Micros(42) },
        charge: Charge { failed: Ppm(46), expired: Ppm(47), cancelled: Ppm(48) },
        forecast: Forecast { samples: 49, prior: Ppm(50), legs: 51, window: Micros(52) },
        escalation: Escalation {
            elevated: Ppm(19),
            elevated_below: Ppm(22),
            restricted: Ppm(20),
            restricted_below: Ppm(55),
            halted: Ppm(21),
            halted_below: Ppm(56),
            weights: RiskWeights {
                failing: Ppm(57),
                pressure: Ppm(58),
                late: Ppm(59),
                cut_off: Ppm(60),
                drift: Ppm(61),
            },
            drift: DriftRule { slack: Ppm(62), threshold: Ppm(63), reviews: 64 },
            dwell: Micros(23),
            review: Micros(24),
            window: Micros(35),
            calls: 36,
            late: Ppm(43),
            override_max: Micros(65),
        },
        sla: SlaRule {
            burns: [Ppm(66), Ppm(67), Ppm(68)],
            clear: Ppm(69),
            hold: Micros(70),
            orders: 71,
        },
        incidents: IncidentRule {
            begins: [0, 4, 8, 12, 16, 20, 24]
                .map(|at| [72, 73, 74, 75].map(|first| Ppm(first + at))),
            clear: Ppm(100),
            hold: Micros(101),
            ease: Micros(102),
        },
    }
}

fn tenant() -> Tenant {
    Tenant {
        name: "alba".into(),
        orders: Allowance { period: Micros(1), amount: 2, burst: 7 },
        tokens: Allowance { period: Micros(8), amount: 9, burst: 10 },
        live_max: 3,
        keys_max: 4,
        queued_max: 13,
        budget_period: Micros(5),
        budget: MicroUsd(6),
        sla: Promise { objective: Ppm(11), first_token: Micros(12), latency: Micros(13) },
    }
}

fn account() -> Account {
    Account {
        arrival: Micros(1),
        token_arrival: Micros(15),
        live: 2,
        ended: [3, 4, 5, 6, 7],
        tokens_in: Tokens(8),
        cached: Tokens(9),
        tokens_out: Tokens(10),
        energy: Millijoules(u64::MAX),
        cost: MicroUsd(11),
        burnt: MicroUsd(13),
        cost_picos: 12,
        burnt_picos: 14,
        queued: 25,
    }
}

fn spending() -> Spending {
    let money = |micros, picos| Money { micros: MicroUsd(micros), picos };
    Spending { since: Micros(1), reserved: money(2, 3), spent: money(4, 5) }
}

fn region() -> Region {
    Region { name: "Åland".into(), hop: Micros(40_000), transfer: Micros(41) }
}

fn vessel() -> Vessel {
    Vessel {
        name: "deck-0".into(),
        status: VesselStatus::Drained,
        held: true,
        start: 13,
        joins: Micros(34),
        manifest: Manifest {
            region: RegionId(1),
            role: Role::Decode,
            models: vec![ModelId(2), ModelId(5)],
            slots: 3,
            context_max: Tokens(4),
            cache_tokens: Tokens(32),
            domain: 31,
            prefill_per_kilotoken: Micros(5),
            decode_per_token: Micros(6),
            price_in: MicroUsd(7),
            price_cached: MicroUsd(8),
            price_out: MicroUsd(9),
            fuel_in: Millijoules(10),
            fuel_out: Millijoules(11),
            heartbeat: Micros(12),
        },
    }
}

fn load() -> Load {
    Load {
        used: 1,
        starts: 9,
        failures: 2,
        backlog: Micros(3),
        prompts: Micros(27),
        seen: Micros(4),
        breaker: Breaker::Probing,
        retry_at: Micros(5),
        wake: Micros(6),
        completed: 7,
        failed: 8,
        held: Tokens(33),
        keeps_for: OrderSlot(34),
        turned: Micros(10),
        outcomes: outcomes(11),
        pace: Pace { since: Micros(22), took: Micros(23), predicted: Micros(24), legs: 25 },
        kept: 26,
        probes: 18,
        trips: 19,
        paused: Micros(20),
        pauses: 21,
    }
}

fn order() -> Order {
    let mut route = Route::new();
    route.push(Leg { kind: LegKind::Hop, vessel: VesselId(1), work: Micros(2) });
    route.push(Leg { kind: LegKind::Decode, vessel: VesselId(3), work: Micros(4) });
    Order {
        id: OrderId::new(0x01_0203_0405, OrderSlot(70_000)),
        tenant: TenantId(5),
        stage: Stage::Running,
        attempt: 6,
        bounced: 34,
        retry: true,
        gathers: true,
        leg: 7,
        route,
        ticket: 8,
        submitted: Micros(9),
        queued: Micros(10),
        dispatched: Micros(11),
        within: Micros(35),
        deadline: Micros(12),
        wake: Micros(13),
        tried: [VesselId(14), VesselId(31)].into_iter().collect::<ArrayVec<_, 4>>().into(),
        berth: BerthId::NONE,
        key: KeySlot(15),
        cached: Tokens(16),
        tokens_out: Tokens(17),
        first_token: Micros(18),
        cost: PicoUsd(19),
        wasted: PicoUsd(36),
        energy: Millijoules(20),
        demand: Demand {
            external: 21,
            model: ModelId(22),
            origin: RegionId(23),
            kind: Kind::Training,
            class: Class::Batch,
            tokens_in: Tokens(24),
            tokens_out_max: Tokens(25),
            deadline: Micros(26),
            limit: 38,
            idempotency: 27,
            prefix: vec![
                Mark { hash: 28, tokens: Tokens(29) },
                Mark { hash: 30, tokens: Tokens(31) },
            ],
            window: Some(Window { from: Micros(32), until: Micros(33) }.into()),
        },
    }
}

fn berth() -> Berth {
    Berth {
        vessel: VesselId(1),
        order: Some(OrderId::new(2, OrderSlot(3))),
        window: Window { from: Micros(4), until: Micros(5) },
        slots: 6,
        open: true,
    }
}

fn key() -> RememberedKey {
    RememberedKey {
        until: Micros(5),
        key: 2,
        fingerprint: order().demand.fingerprint(),
        order: OrderId::new(3, OrderSlot(4)),
        tenant: TenantId(1),
    }
}

fn lengths() -> Lengths {
    let mut sketch = Sketch::default();
    sketch.add(0);
    sketch.add(70_000);
    Lengths {
        usual: Tokens(1),
        late: Tokens(2),
        model: ModelId(3),
        tenant: TenantId(4),
        samples: 5,
        class: Class::Batch,
        allowed_log2: 6,
        sketch,
    }
}

fn stop() -> Stop {
    Stop {
        until: Micros(1),
        reserved: Some(PicoUsd(2)),
        order: OrderId::new(2, OrderSlot(3)),
        estimate: Usage {
            tokens_in: Tokens(3),
            cached: Tokens(4),
            tokens_out: Tokens(5),
            energy: Millijoules(6),
        },
        share: Ppm(7),
        tokens_in: Tokens(8),
        tokens_out_max: Tokens(9),
        by: OrderId::new(14, OrderSlot(15)),
        tenant: TenantId(10),
        vessel: VesselId(11),
        attempt: 12,
        kind: LegKind::Prefill,
        leg: 13,
        ended: true,
    }
}

fn sla() -> Sla {
    let window = |first: u32| SlaWindow {
        span: first.into(),
        good: [first + 1, first + 2, first + 3, first + 4, first + 5],
        bad: [first + 6, first + 7, first + 8, first + 9, first + 10],
    };
    let alert = |since, raised| BurnAlert { since: Micros(since), raised };
    Sla {
        good: 1,
        bad: 2,
        windows: [window(3), window(14), window(25), window(36), window(47)],
        alerts: [alert(58, true), alert(u64::MAX, false), alert(59, false)],
    }
}

fn incident() -> Incident {
    Incident {
        severity: Some(Severity::Major),
        seen: None,
        since: [Micros(1), Micros(2), Micros(3), Micros::MAX],
        found: Ppm(4),
        raised_at: Micros(5),
        group: Seq(6),
        told: Some(Severity::Minor),
        silenced_until: Micros(7),
        raised: 8,
    }
}

fn prefix() -> Prefix {
    let holder = |vessel, starts, at| Holder { vessel: VesselId(vessel), starts, at: Micros(at) };
    let holders = [holder(1, 3, 4), holder(5, 6, 7)].into_iter().collect();
    Prefix { hash: u64::MAX, tokens: Tokens(2), holders }
}
