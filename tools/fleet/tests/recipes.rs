//! Generated traces: the same bytes everywhere, and the numbers that the recipe states.

use std::fs;
use std::path::PathBuf;

use tensorforge_engine::models::Kind;
use tensorforge_fleet::{Recipe, Trace};

fn traces() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/traces")
}

#[test]
fn the_traces_that_ship_are_what_their_recipes_make() {
    for name in ["harbour-morning", "surge", "long-tail"] {
        let made = Recipe::open(&traces().join(format!("{name}.gen.toml"))).unwrap().generate();
        let shipped = fs::read_to_string(traces().join(format!("{name}.jsonl"))).unwrap();
        assert!(made.to_jsonl() == shipped, "{name} differs from its recipe");
        let read = Trace::parse(name, name, shipped.as_bytes(), None).unwrap();
        assert_eq!(read, made);
    }
}

const TENANT: &str =
    "[[tenant]]\nname = \"t\"\nshare = 1\ntokens_in = { fixed = 5 }\ntokens_out = { fixed = 5 }\n";

fn recipe(arrivals: &str, tenants: &str) -> String {
    format!("name = \"n\"\nseed = 42\nduration_ms = 20_000_000\n[arrivals]\n{arrivals}\n{tenants}")
}

fn made(arrivals: &str, tenants: &str) -> Trace {
    Recipe::parse("r", &recipe(arrivals, tenants)).unwrap().generate()
}

/// Over 20 000 s at two a second, the mean gap and the coefficient of variation are within a share of
/// `tolerance` of what they ought to be. With 40 000 gaps the standard error of the mean is cv / 200 of
/// it; that of the coefficient is of the same size, and more for heavy tails.
fn check(arrivals: &str, cv: f64, tolerance: f64) {
    let trace = made(arrivals, TENANT);
    let gaps: Vec<f64> =
        trace.rows.windows(2).map(|pair| (pair[1].at - pair[0].at).0 as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance =
        gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
    let found = variance.sqrt() / mean;
    assert!((mean * 2.0 - 1.0).abs() < tolerance, "{arrivals}: mean gap {mean}, not 0.5");
    assert!((found / cv - 1.0).abs() < tolerance, "{arrivals}: cv {found}, not {cv}");
}

#[test]
fn arrivals_have_the_stated_rate_and_variation() {
    check("process = \"poisson\"\nrate = 2.0", 1.0, 0.02);
    check("process = \"gamma\"\nrate = 2.0\ncv = 0.5", 0.5, 0.02);
    check("process = \"gamma\"\nrate = 2.0\ncv = 3.0", 3.0, 0.05);
    check("process = \"weibull\"\nrate = 2.0\ncv = 0.5", 0.5, 0.02);
    check("process = \"weibull\"\nrate = 2.0\ncv = 2.0", 2.0, 0.05);
}

/// A window is counted from the arrival, which is later for what is sent again.
#[test]
fn what_is_sent_again_asks_for_the_same_window() {
    let again =
        "window_ms = [60_000, 90_000]\nresend = { share_ppm = 1_000_000, after_ms = 500 }\n";
    let trace = made("process = \"poisson\"\nrate = 0.01", &format!("{TENANT}{again}"));
    let mut windows = std::collections::BTreeMap::<_, Vec<_>>::new();
    for row in &trace.rows {
        let window = row.window.as_ref().unwrap();
        let moments = (row.at + window.from, row.at + window.until);
        windows.entry(row.idempotency.as_ref().unwrap()).or_default().push(moments);
    }
    assert!(windows.len() > 100);
    assert!(windows.values().all(|pair| pair.len() == 2 && pair[0] == pair[1]), "{windows:?}");
}

#[test]
fn lengths_shares_and_prefixes_have_the_stated_distribution() {
    let tenants = r#"
[[tenant]]
name = "a"
share = 3
tokens_in = { lognormal = { median = 1000.0, sigma = 1.0, min = 1, max = 1_000_000 } }
tokens_out = { uniform = { min = 10, max = 20 } }
[[tenant]]
name = "b"
share = 1
tokens_in = { quantiles = [[0, 100], [500_000, 200], [1_000_000, 1_200]] }
tokens_out = { fixed = 7 }
prefixes = { count = 3, blocks = 2, zipf = 1.0 }
resend = { share_ppm = 100_000, after_ms = 1 }
"#;
    let trace = made("process = \"poisson\"\nrate = 2.0", tenants);
    let of = |name: &str| trace.rows.iter().filter(|row| row.tenant == name).collect::<Vec<_>>();
    let (a, b) = (of("a"), of("b"));
    let near = |found: usize, expected: usize| {
        assert!(found.abs_diff(expected) * 20 <= expected, "{found}, not {expected} or within 5 %");
    };
    // Three orders of a to each of b, a tenth of which are sent again.
    near(a.len() * 11, b.len() * 30);
    let keys: std::collections::BTreeSet<_> = b.iter().map(|row| &row.idempotency).collect();
    near(keys.len() * 11, b.len() * 10);
    // Half of a log-normal is below its median, 84.1 % below one deviation above: 1 000 e.
    near(a.iter().filter(|row| row.tokens_in.0 <= 1_000).count() * 2, a.len());
    near(a.iter().filter(|row| row.tokens_in.0 <= 2_718).count() * 1_000, a.len() * 841);
    assert!(a.iter().all(|row| (10..=20).contains(&row.tokens_out.0)));
    // Two blocks of 512 tokens come before what is drawn; half of that is below 200.
    near(b.iter().filter(|row| row.tokens_in.0 - 1_024 <= 200).count() * 2, b.len());
    // Zipf with exponent one over three: 6, 3 and 2 of eleven.
    for (first, share) in [(1, 6), (3, 3), (5, 2)] {
        near(b.iter().filter(|row| row.blocks == [first, first + 1]).count() * 11, b.len() * share);
    }
    assert!(trace.rows.iter().zip(1..).all(|(row, number)| row.external == number));
}

#[test]
fn one_draw_does_not_shift_another() {
    let poisson = "process = \"poisson\"\nrate = 2.0";
    let plain = made(poisson, TENANT);
    let longer = made(
        poisson,
        &TENANT.replace(
            "tokens_out = { fixed = 5 }",
            "tokens_out = { uniform = { min = 1, max = 99 } }",
        ),
    );
    let times = |trace: &Trace| trace.rows.iter().map(|row| row.at).collect::<Vec<_>>();
    assert_eq!(times(&plain), times(&longer));
    let other = Recipe::parse("r", &recipe(poisson, TENANT).replace("seed = 42", "seed = 43"));
    assert_ne!(times(&other.unwrap().generate()), times(&plain));
}

#[test]
fn recipes_that_cannot_be_made() {
    let check = |arrivals: &str, tenants: &str, expected: &str| {
        let error = Recipe::parse("r", &recipe(arrivals, tenants)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let poisson = "process = \"poisson\"\nrate = 2.0";
    check(
        "process = \"gamma\"\nrate = 0.0",
        TENANT,
        "r: arrivals.rate is 0, not in 0.000001..=1000000; arrivals.cv is missing",
    );
    check(
        "process = \"weibull\"\nrate = nan\ncv = 11",
        TENANT,
        "r: arrivals.rate is NaN, not in 0.000001..=1000000; arrivals.cv is 11, not in 0.1..=10",
    );
    check(
        "process = \"poisson\"\nrate = 2.0\ncv = 1.0",
        TENANT,
        "r: arrivals.cv is given, but a poisson process has one of its own",
    );
    check(
        "process = \"poisson\"\nrate = 1e6",
        TENANT,
        "r: arrivals.rate over duration_ms makes more than 10000000 rows",
    );
    check(poisson, &TENANT.replace("share = 1", "share = 0"), "r: tenant[0].share is 0");
    check(poisson, &format!("{TENANT}{TENANT}"), "r: tenant[1].name is \"t\", which is taken");
    check(
        poisson,
        &TENANT.replace("tokens_in = { fixed = 5 }", "tokens_in = { fixed = 0 }"),
        "r: tenant[0].tokens_in is not a range within 1..=1000000000: Fixed(0)",
    );
    check(
        poisson,
        &TENANT
            .replace("tokens_in = { fixed = 5 }", "tokens_in = { quantiles = [[0, 9], [5, 8]] }"),
        "r: tenant[0].tokens_in.quantiles do not ascend from share 0 to share 1000000 with lengths in 1..=1000000000",
    );
    check(
        poisson,
        &format!("{TENANT}prefixes = {{ count = 0, blocks = 1, zipf = -1.0 }}"),
        "r: tenant[0].prefixes.count is not in 1..=65536; tenant[0].prefixes.zipf is not in 0..=8",
    );
    check(
        poisson,
        &format!("{TENANT}kind = \"embedding\"\nlimit = 0\nwindow_ms = [1, 2]"),
        "r: tenant[0].limit is 0; tenant[0].tokens_out is not { fixed = 0 }, or tokens_out_max is given, and an embedding has no answer; tenant[0].window_ms is given, and an embedding has none",
    );
    check(
        poisson,
        &format!("{TENANT}colour = 1"),
        "r:12:1: unknown field `colour`, expected one of `name`, `share`, `model`, `origin`, `class`, `kind`, `tokens_in`, `tokens_out`, `tokens_out_max`, `deadline_ms`, `limit`, `window_ms`, `prefixes`, `resend`",
    );
}

/// An embedding is a prompt, and nothing may be generated for it.
#[test]
fn embeddings_have_no_answers() {
    let tenant = TENANT.replace("tokens_out = { fixed = 5 }", "tokens_out = { fixed = 0 }");
    let tenant = format!("{tenant}kind = \"embedding\"\nlimit = 70\n");
    let recipe = recipe("process = \"poisson\"\nrate = 2.0", &tenant);
    let trace = Recipe::parse("r", &recipe).unwrap().generate();
    assert!(!trace.rows.is_empty());
    for row in &trace.rows {
        let (kind, tokens) = (row.kind, [row.tokens_in, row.tokens_out, row.tokens_out_max]);
        assert_eq!((kind, tokens.map(|of| of.0), row.limit), (Kind::Embedding, [5, 0, 0], 70));
    }
    assert_eq!(Trace::parse("t", "t", trace.to_jsonl().as_bytes(), None).unwrap(), trace);
}
