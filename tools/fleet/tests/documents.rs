//! Fleets and policies: those that ship, and everything that can be wrong with one.

use std::path::PathBuf;

use tensorforge_engine::command::Command;
use tensorforge_engine::models::Role;
use tensorforge_engine::units::{Micros, Millijoules, ModelId, RegionId, Tokens};
use tensorforge_engine::{config, models, policy};
use tensorforge_fleet::{Fleet, Trace, parse_policy, read_policy};

fn fixtures(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

#[test]
fn the_fleets_that_ship_are_sound() {
    let vessels =
        [("four-vessels", 4), ("two-regions", 5), ("prefill-decode", 4), ("rough-seas", 4)];
    for (name, count) in vessels {
        let fleet = Fleet::open(&fixtures(&format!("fleets/{name}.toml"))).unwrap();
        assert_eq!((fleet.name.as_str(), fleet.vessels.len()), (name, count));
        assert_eq!(fleet.faults.len(), if name == "rough-seas" { 5 } else { 0 });
    }
}

const FLEET: &str = r#"name = "f"
[[region]]
name = "north"
hop_ms = 30
[[region]]
name = "south"
[[model]]
name = "m"
[[model]]
name = "n"
[[tenant]]
name = "paid"
rate = 9
[preset.p]
batch_max = 8
kv_tokens = 1000
context_max = 900
nominal_prompt = 200
price_in = 1
price_cached = 2
price_out = 3
fuel_in = 1500
fuel_out = 500
prefill = { prompts = [100, 300], batches = [2, 6], micros = [[1000, 2000], [4000, 8000]] }
decode = { batches = [1, 5], micros = [100, 200] }
[[vessel]]
name = "v"
count = 2
preset = "p"
region = "south"
models = ["n", "m", "n"]
slots = 5
[[vessel]]
name = "w"
preset = "p"
region = "north"
models = ["m"]
role = "decode"
heartbeat_ms = 0
"#;

#[test]
fn a_fleet_becomes_commands() {
    let fleet = Fleet::parse("f.toml", FLEET).unwrap();
    let rows = "{\"tensorforge_trace\":1,\"name\":\"t\",\"block_tokens\":512}\n\
        {\"at\":0,\"tenant\":\"free\",\"tokens_in\":1,\"tokens_out\":1}\n\
        {\"at\":0,\"tenant\":\"paid\",\"tokens_in\":1,\"tokens_out\":1}\n";
    let trace = Trace::parse("t", "t", rows.as_bytes(), None).unwrap();
    let policy = parse_policy("p", "").unwrap();
    let commands = fleet.setup_commands(&trace, &policy);
    let said: Vec<String> = commands
        .iter()
        .map(|command| match command {
            Command::Config(config::Command::Configure(_)) => "configure".into(),
            Command::Models(models::Command::RegisterRegion { name, hop }) => {
                format!("region {name} {hop}")
            }
            Command::Models(models::Command::RegisterModel { name }) => format!("model {name}"),
            Command::Models(models::Command::RegisterTenant(t)) => {
                format!("tenant {} {} {} {}", t.name, t.orders.amount, t.orders.burst, t.live_max)
            }
            Command::Models(models::Command::RegisterVessel { name, manifest, .. }) => {
                format!("vessel {name} {}", manifest.slots)
            }
            Command::Policy(policy::Command::SetPolicy(_)) => "policy".into(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        said,
        [
            "configure",
            "region north 30000",
            "region south 0",
            "model m",
            "model n",
            "tenant free 0 0 0",
            "tenant paid 9 1 0",
            "vessel v-0 5",
            "vessel v-1 5",
            "vessel w 8",
            "policy",
        ]
    );
    let first = &fleet.vessels[0].manifest;
    assert_eq!(
        (first.region, first.role, first.heartbeat),
        (RegionId(1), Role::Whole, Micros(5_000_000))
    );
    assert_eq!(first.models, [ModelId(0), ModelId(1)]);
    assert_eq!((first.context_max, first.fuel_in), (Tokens(900), Millijoules(1_500)));
    // Half full is four orders: 200 tokens take 1 500 + (6 000 - 1 500 of the columns 2 500 and 5 000)
    // in the middle of both axes, 3 750 us, which is 18 750 us for a thousand; a token takes 175 us.
    assert_eq!(
        (first.prefill_per_kilotoken, first.decode_per_token),
        (Micros(18_750), Micros(175))
    );
}

#[test]
fn times_lie_on_straight_lines_between_points() {
    let fleet = Fleet::parse("f.toml", FLEET).unwrap();
    let preset = &fleet.vessels[0].preset;
    let cases = [
        // On the points.
        (100, 2, 1_000),
        (300, 6, 8_000),
        // A quarter along the prompts: 1 000 + 3 000 / 4; then a quarter along the batches: 2 000 + 6 000 / 4.
        (150, 2, 1_750),
        (150, 3, 2_188),
        // Below the table: as on its edge. Beyond it: 15 us more for a token, 1 000 more for an order.
        (1, 1, 1_000),
        (400, 2, 5_500),
        (300, 7, 9_000),
    ];
    for (tokens, batch, expected) in cases {
        assert_eq!(
            preset.prefill_time(Tokens(tokens), batch),
            Micros(expected),
            "{tokens} {batch}"
        );
    }
    for (batch, expected) in [(0, 100), (1, 100), (2, 125), (5, 200), (9, 300)] {
        assert_eq!(preset.decode_time(batch), Micros(expected), "{batch}");
    }
    // 3 x 1.5 + 1 x 0.5 mJ, rounded down.
    assert_eq!(preset.energy(Tokens(3), Tokens(1)), Millijoules(5));
}

#[test]
fn fleets_that_cannot_be_had() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(FLEET.contains(from), "{from}");
        let error = Fleet::parse("f.toml", &FLEET.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.to_string(), format!("f.toml{expected}"));
    };
    check("slots = 5", "slots = 0", ": vessel[0].slots is 0");
    check("count = 2", "count = 0", ": vessel[0].count is 0");
    check("count = 2", "count = 2_000_000", ": vessel.count adds up to 2000001, more than 1048576");
    check(
        "name = \"w\"\npreset = \"p\"",
        "name = \"w\"\npreset = \"q\"",
        ": vessel[1].preset is \"q\", not one of \"p\"",
    );
    check("name = \"w\"", "name = \"v-1\"", ": vessel[1].name is \"v-1\", which vessel[0] has");
    check("preset = \"p\"", "preset = \"q\"", ": vessel[0].preset is \"q\", not one of \"p\"");
    check(
        "region = \"south\"",
        "region = \"sea\"",
        ": vessel[0].region is \"sea\", not one of \"north\", \"south\"",
    );
    check(
        "models = [\"m\"]",
        "models = [\"x\"]",
        ": vessel[1].models has \"x\", not one of \"m\", \"n\"",
    );
    check("[\"n\", \"m\", \"n\"]", "[\"n\"]", ": model \"m\" has no vessel that prefills");
    check("models = [\"m\"]", "models = []", ": vessel[1].models is empty; at least one is needed");
    check(
        "name = \"n\"",
        "name = \"m\"",
        ": model[1].name is \"m\", which is taken; vessel[0].models has \"n\", not one of \"m\", \"m\"; vessel[0].models has \"n\", not one of \"m\", \"m\"",
    );
    check(
        "name = \"south\"",
        "name = \"\"",
        ": region[1].name is empty; vessel[0].region is \"south\", not one of \"north\", \"\"",
    );
    check(
        "[[tenant]]",
        "[limits]\nvessels = 2\nships = 9\n[[tenant]]",
        ": limits.ships is not a limit; vessel has 3, more than the 2 of limits.vessels",
    );
    check(
        "[[tenant]]",
        "[limits]\norders = 0\n[[tenant]]",
        ": limits.orders is 0, not in 1..=16777215",
    );
    check(
        "context_max = 900",
        "context_max = 1001",
        ": preset.p.context_max is 1001, more than the 1000 of kv_tokens",
    );
    check("batch_max = 8", "batch_max = 0", ": preset.p.batch_max is 0, less than 1");
    check(
        "prompts = [100, 300]",
        "prompts = [300, 100]",
        ": preset.p.prefill.prompts does not ascend from one or more",
    );
    check(
        "[4000, 8000]",
        "[4000]",
        ": preset.p.prefill.micros has not one list for each prompt with one value for each batch",
    );
    check(
        "[4000, 8000]",
        "[900, 8000]",
        ": preset.p.prefill.micros has times that are zero, fall or exceed a day",
    );
    check(
        "micros = [100, 200]",
        "micros = [100]",
        ": preset.p.decode.micros has not one value for each batch",
    );
    check(
        "hop_ms = 30",
        "hop_ms = 2_000_000_000_000",
        ":4:10: 2000000000000 ms is longer than 1000000000000 ms",
    );
    check("slots = 5", "slots = -5", ":32:9: invalid value: integer `-5`, expected u32");
    check(
        "slots = 5",
        "slot = 5",
        ":32:1: unknown field `slot`, expected one of `name`, `count`, `preset`, `region`, `models`, `role`, `slots`, `heartbeat_ms`",
    );
    check(
        "role = \"decode\"",
        "role = \"both\"",
        ":38:8: unknown variant `both`, expected one of `whole`, `prefill`, `decode`",
    );
    let empty = Fleet::parse("f.toml", "name = \"\"").unwrap_err().to_string();
    assert_eq!(
        empty,
        "f.toml: name is empty; region is empty; at least one is needed; model is empty; at least one is needed; vessel is empty; at least one is needed"
    );
}

#[test]
fn faults_that_cannot_befall() {
    let check = |faults: &[&str], expected: &str| {
        let faults: String =
            faults.iter().map(|f| format!("[[fault]]\nvessel = \"v-0\"\n{f}\n")).collect();
        let error = Fleet::parse("f.toml", &(FLEET.to_owned() + &faults)).unwrap_err();
        assert_eq!(error.to_string(), format!("f.toml: {expected}"));
    };
    let slow = "kind = \"slow\"\nfrom_ms = 5\nuntil_ms = 9\npercent = 200";
    check(&[&slow.replace("= 9", "= 5")], "fault[0].until_ms is not after from_ms");
    check(&[&slow.replace("200", "100")], "fault[0].percent is 100, not in 101..=10000");
    check(&[slow, &slow.replace("= 9", "= 6")], "fault[1] overlaps fault[0] of the same vessel");
    check(
        &["kind = \"failing\"\nfrom_ms = 5\nuntil_ms = 9\nshare_ppm = 0"],
        "fault[0].share_ppm is 0, not in 1..=1000000",
    );
    let flapping = "kind = \"flapping\"\nfrom_ms = 5\nuntil_ms = 9\ndown_ms = 0\nup_ms = 0";
    check(&[flapping], "fault[0].down_ms is 0; fault[0].up_ms is 0");
    check(
        &["kind = \"lost\"\nfrom_ms = 1", &flapping.replace("_ms = 0", "_ms = 1")],
        "fault[1] overlaps fault[0] of the same vessel",
    );
    check(
        &["kind = \"lost\"\nfrom_ms = 1\nuntil_ms = 9\nreported_after_ms = 8"],
        "fault[0].reported_after_ms is not before until_ms",
    );
    let unknown =
        Fleet::parse("f.toml", &format!("{FLEET}[[fault]]\nvessel = \"v\"\n{slow}")).unwrap_err();
    assert_eq!(unknown.to_string(), "f.toml: fault[0].vessel is \"v\", not a vessel of this fleet");
    // One after the other is fine, and so is one beside another kind.
    let after = slow.replace("from_ms = 5\nuntil_ms = 9", "from_ms = 9\nuntil_ms = 12");
    let lost = "kind = \"lost\"\nfrom_ms = 5";
    let sound: String =
        [slow, &after, lost].iter().map(|f| format!("[[fault]]\nvessel = \"w\"\n{f}\n")).collect();
    assert_eq!(Fleet::parse("f.toml", &(FLEET.to_owned() + &sound)).unwrap().faults.len(), 3);
}

#[test]
fn the_policies_that_ship() {
    let read = |name: &str| read_policy(&fixtures(&format!("policies/{name}.toml"))).unwrap();
    // Balanced spells out what is left out.
    assert_eq!(read("balanced"), parse_policy("empty", "").unwrap());
    let (thrifty, swift, cautious) = (read("thrifty"), read("swift"), read("cautious"));
    assert_eq!((thrifty.weights.cost, thrifty.weights.avoid, thrifty.candidates), (20, 100_000, 6));
    assert_eq!((swift.timeout_min, swift.retry.attempts), (Micros(15_000_000), 4));
    assert_eq!(swift.lifetime, [60, 300, 3_600].map(|s| Micros(s * 1_000_000)));
    assert_eq!((cautious.breaker.failures, cautious.escalation.dwell), (2, Micros(120_000_000)));
}

#[test]
fn policies_that_contradict_themselves() {
    let check = |text: &str, expected: &str| {
        assert_eq!(
            parse_policy("p.toml", text).unwrap_err().to_string(),
            format!("p.toml{expected}")
        );
    };
    check(
        "weights = { time = 0, cost = 0, energy = 0 }",
        ": weights: time, cost and energy are all 0",
    );
    check("candidates = 0", ": candidates is 0");
    check(
        "patience_ms = { batch = 0 }\nlifetime_ms = { interactive = 0 }",
        ": lifetime_ms.interactive is 0; patience_ms.batch is 0",
    );
    check("timeout = { percent = 99 }", ": timeout.percent is below 100: sooner than predicted");
    check(
        "retry = { attempts = 0, backoff_ms = 9_000 }",
        ": retry.attempts is 0; retry.backoff_ms is above retry.backoff_max_ms",
    );
    check(
        "breaker = { open_max_ms = 1, window_ms = 0, calls = 0, probes = 0, cut_off_ppm = 1_000_001 }",
        ": breaker.open_ms is above breaker.open_max_ms; breaker.calls is 0; \
         breaker.window_ms is 0; breaker.probes is 0; \
         breaker.cut_off_ppm is above 1000000, which no share exceeds",
    );
    check("stop_ms = 86_400_001", ": stop_ms is above a day");
    check(
        "forecast = { samples = 128, prior_ppm = 1_000_001, legs = 0, window_ms = 0 }",
        ": forecast.samples is above 127; forecast.prior_ppm is above 1000000; forecast.legs is 0; forecast.window_ms is 0",
    );
    check(
        "charge = { failed_ppm = 1_000_001, cancelled_ppm = 2_000_000 }",
        ": charge.failed_ppm is above 1000000; charge.cancelled_ppm is above 1000000",
    );
    check(
        "retry = { budget_ppm = 1_000_001 }\noverload = { pause_ms = 0, pause_max_ms = 0 }",
        ": retry.budget_ppm is above 1000000; overload.pause_ms is 0",
    );
    check(
        "overload = { pause_max_ms = 499 }\nescalation = { late_ppm = 0 }",
        ": overload.pause_ms is above overload.pause_max_ms; \
         escalation.late_ppm is 0 or above 1000000",
    );
    check(
        "breaker = { slow_ppm = 1_000_001, slow_percent = 99 }",
        ": breaker.slow_ppm is above 1000000, which no share exceeds; \
         breaker.slow_percent is below 100: faster than predicted",
    );
    check(
        "breaker = { failing_ppm = 1_000_001 }",
        ": breaker.failing_ppm is above 1000000, which no share exceeds",
    );
    check(
        "escalation = { window_ms = 0, calls = 0 }\nshares = { batch = 0, overdue = 1_001 }",
        ": shares.overdue is above 1000; shares.batch is 0 or above 1000; \
         escalation.window_ms is 0; escalation.calls is 0",
    );
    check("breaker = { open_ms = 0 }", ": breaker.open_ms is 0, but something trips it");
    check(
        "escalation = { elevated_ppm = 550_000 }",
        ": escalation.elevated_ppm is not below escalation.restricted_ppm",
    );
    check(
        "escalation = { halted_ppm = 500_000 }",
        ": escalation.restricted_ppm is not below escalation.halted_ppm",
    );
    check(
        "escalation = { halted_ppm = 1_000_001 }",
        ": escalation.halted_ppm is above 1000000, which no risk exceeds",
    );
    check(
        "escalation = { hysteresis_ppm = 300_000 }",
        ": escalation.hysteresis_ppm is not below escalation.elevated_ppm",
    );
    check("escalation = { review_ms = 0 }", ": escalation.review_ms is 0");
    check(
        "escalation = { dwell_ms = 4_999 }",
        ": escalation.dwell_ms is below escalation.review_ms",
    );
    check("candidates = 256", ":1:14: invalid value: integer `256`, expected u8");
    check(
        "speed = 1",
        ":1:1: unknown field `speed`, expected one of `route_by`, `candidates`, `prefix_age_ms`, `key_age_ms`, `berth_grace_ms`, `stop_ms`, `weights`, `shares`, `patience_ms`, `lifetime_ms`, `timeout`, `retry`, `breaker`, `hedge_percent`, `overload`, `charge`, `forecast`, `escalation`",
    );
    check("[retry]\nattempts", ":2:9: key with no value, expected `=`");
    // A breaker that never trips needs no time.
    assert!(
        parse_policy("p", "breaker = { failures = 0, failing_ppm = 0, slow_ppm = 0, open_ms = 0 }")
            .unwrap()
            .faults()
            .is_empty()
    );
}
