//! `sla` and `policy-check`: what a journal says of promises, and what another policy would make of a moment.

use serde_json::json;

use crate::support::*;

/// What the scenario says in its own words, at its end and before anything was raised.
#[test]
fn promises_are_told_as_they_were_kept() {
    let folder = Folder::new();
    folder.ok("capture --scenario fixtures/scenarios/promise.toml --out promise.tfj");
    let told = folder.json("sla promise.tfj");
    let tenant = &told["tenants"][0];
    assert_eq!(
        (number(tenant, "good"), number(tenant, "bad"), number(tenant, "compliance_ppm")),
        (5, 2, 714_285)
    );
    // Two of seven, where one of a hundred may; those of the last five minutes are none.
    let burns: Vec<u64> = (0..5).map(|w| number(&tenant["windows"][w], "burn_ppm")).collect();
    assert_eq!(burns, [0, 28_571_428, 28_571_428, 28_571_428, 28_571_428]);
    assert_eq!(number(tenant, "budget_left_ppm"), 0);
    assert_eq!(
        tenant["alerts"],
        json!([
            { "window": "six_hours", "since_us": 60_000_000, "raised": true },
            { "window": "three_days", "since_us": 60_000_000, "raised": true },
        ])
    );
    let early = folder.json("sla promise.tfj --at 61s");
    let tenant = &early["tenants"][0];
    assert_eq!((number(tenant, "good"), number(tenant, "bad")), (4, 2));
    assert_eq!(tenant["alerts"].as_array().expect("alerts").len(), 3);
    assert_eq!(tenant["alerts"][0]["raised"], json!(false));

    let shown = folder.ok("sla promise.tfj");
    let row = shown.lines().find(|line| line.contains("alba")).expect("a row");
    for cell in ["99.0000 %", "71.4285 %", "28.57 x", "six hours for 330.000 s"] {
        assert!(row.contains(cell), "{cell}: {shown}");
    }
    folder.ok("capture --out morning.tfj");
    assert_eq!(folder.ok("sla morning.tfj"), "no tenant was promised anything\n");
}

/// All of four legs fail, for which one policy has everything halted and the other has no weight.
#[test]
fn another_policy_is_tried_and_nothing_is_written() {
    let folder = Folder::new();
    folder.ok("capture --scenario fixtures/scenarios/risk-levels.toml --out risk.tfj");
    let before = files(&folder.path("risk.tfj"));
    let rules =
        std::fs::read_to_string(workspace().join("fixtures/scenarios/policies/watchful.toml"))
            .expect("a policy");
    folder.write("same.toml", &rules);
    folder.write("blind.toml", rules.replace("cut_off_ppm = 0", "failing_ppm = 0"));
    let same = folder.json("policy-check same.toml risk.tfj --at 500ms");
    assert_eq!(same["different"], json!(false));
    assert_eq!((&same["present"], &same["orders"]), (&same["proposed"], &json!([])));
    let ran = folder.run("policy-check blind.toml risk.tfj --at 500ms --json");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = document(&ran.stdout);
    assert_eq!(
        (&told["present"], &told["proposed"]),
        (
            &json!({ "risk_ppm": 1_000_000, "level": "halted", "next": [] }),
            &json!({ "risk_ppm": 0, "level": "normal", "next": [] }),
        )
    );
    let shown = folder.run("policy-check blind.toml risk.tfj --at 500ms").stdout;
    assert!(
        shown.lines().any(|line| line.split_whitespace().eq(["level", "halted", "normal"])),
        "{shown}"
    );
    assert_eq!(files(&folder.path("risk.tfj")), before);

    folder.write("none.toml", "candidates = 0\nstop_ms = 86_400_001\n");
    let ran = folder.run("policy-check none.toml risk.tfj");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(1), "fault candidates is 0\nfault stop_ms is above a day\n")
    );
    let ran = folder.run("policy-check same.toml risk.tfj --at 1");
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.starts_with("error: no policy is in force after 1 records\n"),
        "{}",
        ran.stderr
    );
}

/// Who is next is who was: the interactive order, before the batch order that had waited for longer. Where orders live for
/// less under another policy nothing is said of those that are there.
#[test]
fn who_is_next_is_told() {
    let folder = Folder::new();
    folder.ok("capture --scenario fixtures/scenarios/shares.toml --out shares.tfj");
    let told =
        folder.run("policy-check fixtures/policies/balanced.toml shares.tfj --at 13.4s --json");
    let told = document(&told.stdout);
    for side in ["present", "proposed"] {
        let next = json!([{ "model": 0, "name": "minnow", "order": 7 }]);
        assert_eq!(told[side]["next"], next, "{told}");
    }
}
