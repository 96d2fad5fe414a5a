//! Fleets, policies and scenarios: those that ship, and everything that can be wrong with one.

use std::path::PathBuf;

use tensorforge_engine::command::Command;
use tensorforge_engine::models::Role;
use tensorforge_engine::units::{Micros, Millijoules, ModelId, RegionId, Tokens};
use tensorforge_engine::{config, models, policy};
use tensorforge_fleet::scenario::{Played, Scenario};
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
transfer_ms = 4
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
            Command::Models(models::Command::RegisterRegion { name, hop, transfer }) => {
                format!("region {name} {hop} {transfer}")
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
            "region north 30000 0",
            "region south 0 4000",
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

/// Names are numbered as they come, all that are alike have one, and who has none has zero.
#[test]
fn domains_are_numbered_in_the_order_in_which_they_come() {
    let vessel = |name: &str, more: &str| {
        format!(
            "[[vessel]]\nname = {name:?}\npreset = \"p\"\nregion = \"north\"\nmodels = [\"m\"]\n{more}\n"
        )
    };
    let text = FLEET.replace("slots = 5", "slots = 5\ndomain = \"rack-b\"")
        + &vessel("x", "domain = \"rack-a\"")
        + &vessel("y", "domain = \"rack-b\"")
        + &vessel("z", "");
    let fleet = Fleet::parse("f.toml", &text).unwrap();
    let told: Vec<_> =
        fleet.vessels.iter().map(|row| (row.name.as_str(), row.manifest.domain)).collect();
    assert_eq!(told, [("v-0", 1), ("v-1", 1), ("w", 0), ("x", 2), ("y", 1), ("z", 0)]);
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
    check("slots = 5", "domain = \"\"", ": vessel[0].domain is empty");
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
    check("slots = 5", "slots = -5", ":33:9: invalid value: integer `-5`, expected u32");
    check(
        "slots = 5",
        "slot = 5",
        ":33:1: unknown field `slot`, expected one of `name`, `count`, `preset`, `region`, `models`, `role`, `slots`, `domain`, `heartbeat_ms`, `joins_ms`",
    );
    check(
        "role = \"decode\"",
        "role = \"both\"",
        ":39:8: unknown variant `both`, expected one of `whole`, `prefill`, `decode`",
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
    assert_eq!((thrifty.weights.cost, thrifty.candidates), (20, 6));
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
        "escalation = { elevated_below_ppm = 300_000 }",
        ": escalation.elevated_below_ppm is not below escalation.elevated_ppm",
    );
    check(
        "escalation = { elevated_below_ppm = 0, restricted_below_ppm = 850_001, halted_below_ppm = 850_000 }",
        ": escalation.restricted_below_ppm is not below escalation.restricted_ppm; \
         escalation.halted_below_ppm is not below escalation.halted_ppm; \
         escalation.elevated_below_ppm is 0, below which no risk is; \
         escalation.restricted_below_ppm is above escalation.halted_below_ppm",
    );
    check(
        "escalation = { restricted_below_ppm = 199_999 }",
        ": escalation.elevated_below_ppm is above escalation.restricted_below_ppm",
    );
    check(
        "escalation.weights = { failing_ppm = 0, pressure_ppm = 0, late_ppm = 0, cut_off_ppm = 0, drift_ppm = 0 }",
        ": escalation.weights: all are 0",
    );
    check(
        "escalation.weights.cut_off_ppm = 10_000_001",
        ": escalation.weights.cut_off_ppm is above 10000000",
    );
    check(
        "escalation.drift = { slack_ppm = 0, threshold_ppm = 0, reviews = 0 }",
        ": escalation.drift.slack_ppm is 0 or above 1000000; \
         escalation.drift.threshold_ppm is 0; escalation.drift.reviews is 0 or above 10000",
    );
    check("escalation = { review_ms = 0 }", ": escalation.review_ms is 0");
    check(
        "escalation = { dwell_ms = 4_999 }",
        ": escalation.dwell_ms is below escalation.review_ms",
    );
    check(
        "sla = { hour_ppm = 0, six_hours_ppm = 0, three_days_ppm = 0, clear_ppm = 1_000_001, orders = 0 }",
        ": sla.hour_ppm is 0; sla.six_hours_ppm is 0; sla.three_days_ppm is 0; \
         sla.clear_ppm is 0 or above 1000000; sla.orders is 0",
    );
    check(
        "[gather]\nkilotokens = 1\nwait_ms = 0",
        ": gather.wait_ms is 0 or above a day, but gather.kilotokens is not 0",
    );
    check(
        "incidents = { clear_ppm = 0, failing = { info_ppm = 5, major_ppm = 5, critical_ppm = 4 }, late.minor_ppm = 1 }",
        ": incidents.failing.major_ppm is not above what is milder; \
         incidents.failing.critical_ppm is not above what is milder; \
         incidents.clear_ppm is 0 or above 1000000",
    );
    for odd in [1, 99, 10_001] {
        check(
            &format!("overcommit_percent = {odd}"),
            ": overcommit_percent is neither 0 nor 100 to 10000",
        );
    }
    for even in [0, 100, 10_000] {
        let policy = parse_policy("p", &format!("overcommit_percent = {even}")).unwrap();
        assert_eq!((policy.overcommit_percent, policy.faults()), (even, Vec::new()));
    }
    check("candidates = 256", ":1:14: invalid value: integer `256`, expected u8");
    check(
        "speed = 1",
        ":1:1: unknown field `speed`, expected one of `route_by`, `candidates`, `home_percent`, `prefix_age_ms`, `key_age_ms`, `berth_grace_ms`, `stop_ms`, `preempt`, `overcommit_percent`, `price_time`, `gather`, `weights`, `shares`, `patience_ms`, `lifetime_ms`, `timeout`, `retry`, `breaker`, `hedge_percent`, `overload`, `charge`, `forecast`, `escalation`, `sla`, `incidents`",
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

/// Plays a story of one boat, whose queue holds three, and of the tenant alba.
fn play(head: &str, steps: &str) -> Result<Played, String> {
    let text = format!(
        "story = \"\"\nfleet = \"fleets/one-boat.toml\"\ntenants = [\"alba\"]\n{head}\n{steps}"
    );
    let scenario = Scenario::parse("s.toml", &text, &fixtures("scenarios"));
    scenario.and_then(|scenario| scenario.play()).map_err(|error| error.to_string())
}

/// Steps at so many milliseconds.
fn steps(steps: &[(u64, &str)]) -> String {
    steps.iter().map(|(at, step)| format!("[[step]]\nat_ms = {at}\n{step}\n")).collect()
}

const SUBMIT: &str = "submit = { tenant = \"alba\", tokens_in = 1_000, tokens_out_max = 100 }\n";

#[test]
fn a_step_that_is_taken_often_is_told_by_its_counts() {
    let thrice = |counts: &str| {
        play("", &steps(&[(1_000, &format!("times = 3\n{SUBMIT}expect = {{ {counts} }}"))]))
    };
    let counts = "order_admitted = 3, order_routed = 1, leg_dispatched = 1, order_queued = 2";
    let played = thrice(counts).unwrap();
    let told = played.transcript.split_once("   1000000 us").unwrap().1;
    assert_eq!(
        told,
        "  3 submit\n               1 leg_dispatched\n               3 order_admitted\n               \
         2 order_queued\n               1 order_routed\n"
    );
    // Six of the setup. Nothing that is decided is left out.
    let events: Vec<usize> = played.records.iter().map(|(_, events)| events.len()).collect();
    assert_eq!(events, [1, 1, 1, 1, 1, 1, 3, 2, 2]);
    assert_eq!(
        thrice("order_admitted = 3").unwrap_err(),
        "s.toml: step 1 at 1000 ms: expected {\"order_admitted\": 3}, decided \
         {\"leg_dispatched\": 1, \"order_admitted\": 3, \"order_queued\": 2, \"order_routed\": 1}"
    );
    // In order they can be expected as well.
    let in_order = "expect = [\"order_admitted\", \"order_routed 1 attempt=1\", \"leg_dispatched\", \
                    \"order_admitted\", \"order_queued 2 ahead=0\"]";
    play("", &steps(&[(1_000, &format!("times = 2\n{SUBMIT}{in_order}"))])).unwrap();
}

#[test]
fn a_step_may_come_first_at_its_moment() {
    let lost = [
        (1_000, SUBMIT),
        (2_000, "lose = \"dory\""),
        (
            2_000,
            "first = true\nheartbeat = \"dory\"\nexpect = [\"command_refused still_aboard orders=1\"]",
        ),
        (2_000, "heartbeat = \"dory\"\nexpect = [\"vessel_returned dory\"]"),
    ];
    let played = play("", &steps(&lost)).unwrap();
    // What was due is decided between the two, at the same moment.
    let times: Vec<u64> = played.records.iter().rev().take(4).map(|(time, _)| time.0).collect();
    assert_eq!(times, [2_000_000; 4]);
}

#[test]
fn a_command_bears_the_time_of_its_senders_clock() {
    let refused = "expect = [\"command_refused time_regressed now=2000000\"]";
    let slow = format!("stamp_ms = 1_999\ndrain = \"dory\"\n{refused}");
    let heard = "heartbeat = \"dory\"\nexpect = [\"vessel_seen\"]";
    play("", &steps(&[(2_000, heard), (2_000, &slow), (2_001, heard)])).unwrap();
    // One that is fast takes everybody along, and the timers that it has passed are decided then: the review at 5 s.
    let fast = "stamp_ms = 9_000\nheartbeat = \"dory\"";
    let after =
        "wait = true\nexpect = [\"risk_reviewed 0\"]\nsee = { \"control.0.now\" = 9_000_000 }";
    play("", &steps(&[(2_000, fast), (9_000, after)])).unwrap();
}

#[test]
fn an_exchange_may_begin_with_nothing() {
    let alone = "set_up = false";
    let refused = format!("{SUBMIT}expect = [\"order_refused not_configured\"]");
    let played = play(alone, &steps(&[(1, &refused)])).unwrap();
    assert_eq!(played.records.len(), 1);
    // In another order than the file has them they have other numbers, and the same names.
    let told = [
        (
            1,
            "configure = { queued = 9 }\nsee = { \"limits.0.queued\" = 9, \"limits.0.tenants\" = 4_096 }",
        ),
        (1, "register = { region = \"quay\" }"),
        (1, "register = { model = \"minnow\" }"),
        (1, "register = { tenant = \"bruno\" }\nsee = { \"tenants.0.orders.amount\" = 2 }"),
        (1, "register = { tenant = \"alba\" }"),
        (
            1,
            "register = { vessel = \"skiff\", like = \"dory\", slots = 2, start = 7 }\nsee = { \"vessels.0.start\" = 7 }",
        ),
        (1, "register = \"dory\""),
        (2, "drain = \"skiff\"\nexpect = [\"vessel_draining skiff\", \"vessel_drained skiff\"]"),
        (2, "policy = { candidates = 0 }\nexpect = [\"command_refused invalid: candidates is 0\"]"),
        (2, "policy = { candidates = 1 }\nexpect = [\"policy_changed\"]"),
        (
            3,
            &format!(
                "{SUBMIT}expect = [\"order_admitted\", \"order_routed\", \"leg_dispatched whole dory\"]\nsee = {{ \"orders.0.tenant\" = 1 }}"
            ),
        ),
    ];
    play(alone, &steps(&told)).unwrap();
}

#[test]
fn the_points_of_a_route_may_be_expected() {
    // 1 500 ms at twenty points, 1 100 micro-dollars at two, 1.5 J at five.
    let routed = |score: u32| {
        let line = format!("order_routed 1 attempt=1 score={score}");
        let expect = format!("expect = [\"order_admitted\", \"{line}\", \"leg_dispatched\"]");
        play("", &steps(&[(1_000, &format!("{SUBMIT}{expect}"))]))
    };
    routed(32_207).unwrap();
    let error = routed(32_208).unwrap_err();
    assert!(
        error.ends_with("\"order_routed 1 attempt=1 score=32207\", \"leg_dispatched whole dory\"]"),
        "{error}"
    );
}

#[test]
fn scenarios_that_cannot_be_played() {
    let check = |head: &str, step: &str, expected: &str| {
        let error = play(head, &steps(&[(5, step)])).unwrap_err();
        assert_eq!(error, expected);
    };
    check(
        "policy = { candidates = 0, retry = { budget_ppm = 1_000_001 } }",
        "wait = true",
        "s.toml: candidates is 0; retry.budget_ppm is above 1000000",
    );
    check(
        "policy = 7",
        "wait = true",
        "s.toml:4:10: expected a policy file, or a table of what stands in one",
    );
    check(
        "",
        "wait = true\nexpect = 7",
        "s.toml:8:10: expected a list of events, or a table of how many there are",
    );
    let step = "s.toml: step 1 at 5 ms: ";
    check("", "configure = { ships = 9 }", &format!("{step}configure: \"ships\" is not a limit"));
    check(
        "",
        "register = { region = \"quay\", model = \"minnow\" }",
        &format!("{step}register: expected one of vessel, region, model and tenant"),
    );
    check(
        "",
        "register = { vessel = \"skiff\" }",
        &format!("{step}vessel \"skiff\" is not one of \"dory\""),
    );
    check("", "lose = \"skiff\"", &format!("{step}vessel \"skiff\" is not one of \"dory\""));
    check(
        "",
        "fly = true",
        &format!(
            "{step}expected one of submit, batch, done, failed, first_token, stopped, cancel, retry, \
             heartbeat, drain, lose, retire, configure, announce, register, maintain, end_maintenance, \
             start_job, pause_job, resume_job, cancel_job, report_step, policy, roll_back, override, \
             end_override, silence and wait, found `fly`"
        ),
    );
}
