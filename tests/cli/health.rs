//! How well all are is told as the state has it, at any moment.

use serde_json::json;

use crate::support::*;

const SURGE: &str = "capture --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml --out j.tfj";

/// Fails when anything is told otherwise than it was when somebody read and accepted it: at 1:15 deck-1 is lost, and
/// barge-1 answers one leg in four with an error.
#[test]
fn what_is_told_is_as_accepted() {
    let folder = Folder::new();
    folder.ok(SURGE);
    accept("health-rough-seas", &folder.ok("health j.tfj --at 75s"));
}

/// Fails when a moment is not that of `state`, an input is left out of the sum, or a point is rounded up.
#[test]
fn points_are_what_the_inputs_leave_at_each_moment() {
    let folder = Folder::new();
    folder.ok(SURGE);
    let (mut worst, mut statuses) = (100, Vec::new());
    for at in ["0", "15s", "30s", "62s", "75s", "110s", "130s", "200s"] {
        let found = folder.json(&format!("health j.tfj --at {at}"));
        let control = folder.json(&format!("state j.tfj control --at {at}"));
        assert_eq!(found["time_us"], control["now"], "{at}");
        let mut all = vec![("exchange", &found["exchange"])];
        for kind in ["models", "vessels"] {
            let named = found[kind].as_object().expect("names");
            all.extend(named.iter().map(|(name, health)| (name.as_str(), health)));
        }
        for (name, health) in all {
            let inputs = health["inputs"].as_object().expect("inputs");
            let takes = inputs.values().map(|input| {
                let (weight, of) = (number(input, "weight"), number(input, "worst"));
                let part = number(input, "found").min(of) as f64 / of.max(1) as f64;
                let takes = number(input, "takes_millionths");
                assert!((takes as f64 - part * weight as f64 * 1e6).abs() <= 1.0, "{at}: {input}");
                takes
            });
            let left = 100_000_000u64.saturating_sub(takes.sum()) / 1_000_000;
            assert_eq!(number(health, "health"), left, "{at}: {name}: {health}");
            worst = worst.min(left);
        }
        // Who is lost by the state has no points, and nobody else has none.
        let state = folder.json(&format!("state j.tfj vessels --at {at}"));
        for vessel in state.as_object().expect("vessels").values() {
            let health = number(&found["vessels"][text(vessel, "name")], "health");
            let lost = ["lost", "restarting"].contains(&text(vessel, "status"));
            assert_eq!(health == 0, lost, "{at}: {vessel}");
            statuses.push(lost);
        }
    }
    assert!(worst == 0 && statuses.contains(&true) && statuses.contains(&false));
    assert_eq!(folder.json("health j.tfj --at 0")["vessels"], json!({}));
    let end = folder.json("health j.tfj");
    let records = number(&end, "records");
    assert_eq!(folder.json(&format!("health j.tfj --at {records}")), end);
}

/// Fails when a place beyond the end is taken for the end.
#[test]
fn moments_that_are_none_are_refused() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    for (at, said) in [
        ("9999", "error: there are no 9999 records: the journal holds 3090\n"),
        ("soon", "error: --at soon: expected a number of records, or a moment\n"),
    ] {
        let ran = folder.run(&format!("health j.tfj --at {at}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{at}");
        assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
    }
}
