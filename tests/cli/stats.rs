//! What is told of all orders together, held against sums over the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::*;

/// What the log says of an order that was completed.
#[derive(Clone, Debug, Default)]
struct Told {
    arrived: u64,
    class: String,
    tokens_in: u64,
    begun: Option<u64>,
    vessel: u64,
    latency: u64,
    first_token: u64,
    tokens_out: u64,
    cost: u64,
}

/// Every order that was completed.
fn completed(log: &[Value]) -> Vec<Told> {
    let (mut live, mut done) = (BTreeMap::<String, Told>::new(), Vec::new());
    for record in log {
        let now = number(record, "time_us");
        for (kind, fields) in events(record) {
            let Some(order) = fields["order"].as_str() else { continue };
            let told = live.entry(order.to_owned()).or_default();
            match kind {
                "order_admitted" => {
                    told.arrived = now;
                    told.class = text(&fields["demand"], "class").to_owned();
                    told.tokens_in = number(&fields["demand"], "tokens_in");
                }
                "leg_dispatched" => {
                    told.begun.get_or_insert(now);
                    told.vessel = number(fields, "vessel");
                }
                "order_settled" => {
                    told.tokens_out = number(fields, "tokens_out");
                    told.cost = number(fields, "cost");
                }
                "order_ended" if fields["end"] == "completed" => {
                    told.latency = number(fields, "latency");
                    told.first_token = number(fields, "first_token");
                    done.push(told.clone());
                }
                _ => {}
            }
        }
    }
    done
}

/// Holds a distribution against its values, by floats.
fn check(found: &Value, mut values: Vec<u64>, about: &str) {
    values.sort_unstable();
    assert_eq!(number(found, "number"), values.len() as u64, "{about}");
    let Some(most) = values.last() else { return assert!(found["mean"].is_null(), "{about}") };
    assert_eq!(number(found, "max"), *most, "{about}");
    for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99)] {
        let rank = (1..=values.len()).find(|rank| rank * 100 >= values.len() * percent);
        assert_eq!(number(found, name), values[rank.expect("a rank") - 1], "{about}: {name}");
    }
    let count = values.len() as f64;
    let mean = values.iter().map(|value| *value as f64).sum::<f64>() / count;
    let off = |name: &str, expected: f64| {
        let off = (number(found, name) as f64 - expected).abs();
        assert!(off <= 0.51 + expected * 1e-9, "{about}: {name} is {off} off {expected}");
    };
    off("mean", mean);
    if values.len() > 1 {
        let squares: f64 = values.iter().map(|value| (*value as f64 - mean).powi(2)).sum();
        off("sd", (squares / (count - 1.0)).sqrt());
    }
}

/// Fails when an order is counted in a wrong group, a failed one among those that were served, or a time from
/// another moment than its arrival.
#[test]
fn distributions_are_those_of_the_log() {
    let folder = Folder::new();
    // One order at a time on each vessel: most have to wait.
    let fleet = std::fs::read_to_string(workspace().join("fixtures/fleets/four-vessels.toml"));
    let fleet = fleet.expect("a fixture").replace("\npreset = ", "\nslots = 1\npreset = ");
    folder.write("narrow.toml", fleet);
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet narrow.toml --out narrow.tfj");
    let orders = completed(&folder.log("narrow.tfj"));
    let waited = |told: &Told| told.begun.expect("a vessel") - told.arrived;
    assert!(orders.iter().filter(|told| waited(told) > 0).count() > 20, "nobody waits");
    for by in ["class", "vessel"] {
        let found = folder.json(&format!("stats narrow.tfj --by {by}"));
        let mut groups: BTreeMap<String, Vec<&Told>> = BTreeMap::new();
        for told in &orders {
            let key = if by == "class" { told.class.clone() } else { told.vessel.to_string() };
            groups.entry(key).or_default().push(told);
        }
        let told = found["groups"].as_array().expect("groups");
        assert!(told.len() == groups.len() && told.len() > 1, "{by}: {} groups", told.len());
        for group in told {
            let key = match by {
                "class" => text(group, "name").to_owned(),
                _ => group["key"].to_string(),
            };
            let of = |measure: fn(&Told) -> u64| groups[&key].iter().map(move |told| measure(told));
            let group = &group["completed"];
            check(&group["latency_us"], of(|told| told.latency).collect(), &key);
            let first = of(|told| told.first_token).filter(|span| *span > 0);
            check(&group["first_token_us"], first.collect(), &key);
            let waiting = of(|told| told.begun.unwrap_or(0) - told.arrived);
            check(&group["waiting_us"], waiting.collect(), &key);
            check(&group["tokens_out"], of(|told| told.tokens_out).collect(), &key);
            check(&group["charge_pico_usd"], of(|told| told.cost).collect(), &key);
        }
    }
    // The correlation by its definition.
    let found = folder.json("stats narrow.tfj");
    let pairs: Vec<(f64, f64)> =
        orders.iter().map(|told| (told.tokens_out as f64, told.latency as f64)).collect();
    let count = pairs.len() as f64;
    let mean = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / count;
    let (left, right) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        pairs.iter().map(|pair| of(pair.0 - left, pair.1 - right)).sum()
    };
    let pearson = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    let told = &found["correlations"]["tokens_out_and_latency"];
    assert_eq!(number(told, "pairs"), orders.len() as u64);
    let told = told["pearson_ppm"].as_f64().expect("a number");
    assert!((told - pearson * 1e6).abs() <= 1.0 && pearson > 0.1, "{told}, not {pearson}");
}

/// Fails when what comes at the edge of a window is counted in the one before, or a window without anything is
/// left out.
#[test]
fn windows_add_up_to_the_whole() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let log = folder.log("j.tfj");
    let found = folder.json("stats j.tfj --window 7s");
    let windows = found["windows"].as_array().expect("windows");
    let last = log.last().map_or(0, |record| number(record, "time_us"));
    assert_eq!(windows.len() as u64, last / 7_000_000 + 1);
    let mut expected = vec![[0u64; 4]; windows.len()];
    for record in &log {
        let window = &mut expected[(number(record, "time_us") / 7_000_000) as usize];
        for (kind, fields) in events(record) {
            match kind {
                "order_admitted" | "order_refused" => window[0] += 1,
                "order_ended" if fields["end"] == "completed" => window[1] += 1,
                "order_ended" if fields["end"] != "cancelled" => window[2] += 1,
                "leg_completed" => window[3] += number(fields, "tokens_out"),
                _ => {}
            }
        }
    }
    let names = ["arrived", "completed", "failed", "tokens_out"];
    for (place, (window, expected)) in windows.iter().zip(&expected).enumerate() {
        assert_eq!(names.map(|name| number(window, name)), *expected, "window {place}");
        let lasted = (last - 7_000_000 * place as u64).min(7_000_000);
        assert_eq!(number(window, "lasted_us"), lasted, "window {place}");
        let rate = (expected[3] as f64 * 1e9 / lasted as f64).round() as u64;
        assert_eq!(number(window, "tokens_per_1000_s"), rate, "window {place}");
    }
    for (place, name) in names.into_iter().enumerate() {
        let sum: u64 = expected.iter().map(|window| window[place]).sum();
        assert_eq!(number(&found["in_all"], name), sum, "{name}");
    }
    assert_eq!(number(&found["in_all"], "failing_ppm"), 4 * 1_000_000 / 1_224);
    assert_eq!(folder.json("stats j.tfj")["windows"], Value::Array(Vec::new()));
}

/// A vessel that works a prompt of a thousand tokens in 100 ms and generates fifty tokens a second.
const BOATS: &str = r#"
name = "boats"
[[region]]
name = "quay"
[[model]]
name = "minnow"
[preset.boat]
batch_max = 8
kv_tokens = 100_000
context_max = 16_000
nominal_prompt = 1_000
price_in = 1_000_000
price_cached = 100_000
price_out = 2_000_000
fuel_in = 1_000
fuel_out = 10_000
prefill = { prompts = [1_000], batches = [1], micros = [[100_000]] }
decode = { batches = [1], micros = [20_000] }
[[vessel]]
name = "boat"
count = 7
preset = "boat"
region = "quay"
models = ["minnow"]
"#;

/// Fails when a vessel is compared with itself alone, by its mean, or by what came before it was asked: of seven
/// boats one is slow and one fails, and these two are told and no other.
#[test]
fn vessels_that_are_unlike_their_pool_are_told() {
    let folder = Folder::new();
    let faults = "[[fault]]\nkind = \"slow\"\nvessel = \"boat-2\"\nfrom_ms = 0\n\
        until_ms = 900_000\npercent = 400\n\
        [[fault]]\nkind = \"failing\"\nvessel = \"boat-5\"\nfrom_ms = 0\nuntil_ms = 900_000\n\
        share_ppm = 400_000\nafter_ms = 80\n";
    folder.write("ill.toml", format!("{BOATS}{faults}"));
    folder.write("well.toml", BOATS);
    // By turns, so that the slow one goes on being asked.
    let mut trace = "{\"tensorforge_trace\":1,\"name\":\"day\",\"block_tokens\":512}\n".to_owned();
    for place in 0..420u64 {
        let row = "\"tenant\":\"kelp\",\"tokens_in\":1000,\"tokens_out\":20,\"tokens_out_max\":20";
        writeln!(trace, "{{\"at\":{},{row}}}", place * 200_000).expect("room for a line");
    }
    folder.write("day.jsonl", trace);
    for (fleet, expected) in
        [("ill", vec![("boat-2", "first_token_us"), ("boat-5", "failing_ppm")]), ("well", vec![])]
    {
        let policy = "fixtures/policies/round-robin.toml";
        folder.ok(&format!(
            "capture --trace day.jsonl --fleet {fleet}.toml --policy {policy} --out {fleet}.tfj"
        ));
        let found = folder.json(&format!("stats {fleet}.tfj"));
        let judged = found["judged"].as_array().expect("figures");
        assert_eq!(judged.len(), 14, "two figures of seven boats: {judged:?}");
        let outliers = judged.iter().filter(|judged| judged["outlier"] == true);
        let outliers: Vec<(&str, &str)> = outliers
            .map(|judged| {
                let figure = ["first_token_us", "failing_ppm"]
                    .into_iter()
                    .find(|figure| !judged[*figure].is_null());
                (text(judged, "vessel"), figure.expect("a figure"))
            })
            .collect();
        assert_eq!(outliers, expected, "{fleet}: {judged:?}");
    }
    let told = folder.ok("stats ill.tfj");
    let (_, told) = told.split_once("vessels far from their pool\n").expect(&told);
    assert!(told.contains("boat-2  minnow, whole  first token"), "{told}");
}

/// Fails when anything is told otherwise than it was when somebody read and accepted it.
#[test]
fn what_is_told_is_as_accepted() {
    let folder = Folder::new();
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml --out j.tfj");
    accept("stats-rough-seas", &folder.ok("stats j.tfj --by vessel --window 30s"));
}

/// Fails when a window is taken for what it is not, or a million of them are made.
#[test]
fn windows_that_cannot_be_are_refused() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    for (window, said) in [
        ("0s", "error: --window 0s: expected a span of time\n"),
        ("60", "error: --window 60: expected a span of time\n"),
        ("1ms", "error: there would be more than 10 000 windows of 1.00 ms\n"),
    ] {
        let ran = folder.run(&format!("stats j.tfj --window {window}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{window}");
        assert!(ran.stderr.starts_with(said) && ran.stderr.contains("\nhelp: "), "{}", ran.stderr);
    }
}
