//! `incidents`: what was wrong, of what somebody was told, and what is open at some moment.

use serde_json::{Value, json};

use crate::support::*;

fn played(scenario: &str) -> Folder {
    let folder = Folder::new();
    folder.ok(&format!("capture --scenario fixtures/scenarios/{scenario}.toml --out j.tfj"));
    folder
}

/// What the scenario says in its own words, at its end and while it is open.
#[test]
fn an_outage_is_told_as_it_was() {
    let folder = played("incident");
    let told: Vec<String> = folder.ok("incidents j.tfj").lines().map(str::to_owned).collect();
    assert_eq!(
        told,
        [
            "outage 11, 3.000 s: over after 9.000 s, critical at most, 3 notices",
            "         +0 us  pressure  minor     found 66.6666 %, told  record 11",
            "      +2.000 s  pressure  major     found 66.6666 %, told  record 13",
            "      +2.600 s  pressure  silenced  for 60.000 s  record 15",
            "      +5.000 s  pressure  critical  found 100.0000 %, silenced  record 19",
            "      +7.000 s  pressure  major     found 66.6666 %, silenced  record 22",
            "      +9.000 s  pressure  over      found 0.0000 %, after 9.000 s, told  record 26",
        ]
    );
    let early = folder.ok("incidents j.tfj --at 7s");
    for line in [
        "outage 11, 3.000 s: open for 4.000 s, major at most, 2 notices\n",
        "\npressure is major, for 4.000 s\n",
        "\npressure is found to be critical, for 1.000 s: not told yet\n",
        "\npressure is silenced, for another 58.600 s\n",
    ] {
        assert!(early.contains(line), "{line}: {early}");
    }
    let early = folder.json("incidents j.tfj --at 7s");
    assert_eq!(
        early["present"],
        json!([{
            "concern": "pressure",
            "severity": "major",
            "seen": "critical",
            "found_ppm": 1_000_000,
            "raised": 1,
            "raised_at_us": 3_000_000,
            "group": 11,
            "silenced_until_us": 65_600_000,
        }])
    );
}

/// Three things are one outage, and of that there are two notices.
#[test]
fn three_things_are_one_outage() {
    let told = played("one-page").json("incidents j.tfj");
    let [outage] = &told["outages"].as_array().expect("outages")[..] else { panic!("{told}") };
    let figures = ["group", "since_us", "ended_us", "notices"].map(|name| number(outage, name));
    assert_eq!(figures, [14, 3_000_000, 6_000_000, 2]);
    let incidents = outage["incidents"].as_array().expect("incidents");
    let changes = |incident: &Value| {
        let changes = incident["changes"].as_array().expect("changes").iter();
        changes.map(|change| (change["what"].clone(), change["notice"].clone())).collect::<Vec<_>>()
    };
    let concerns: Vec<&Value> = incidents.iter().map(|incident| &incident["concern"]).collect();
    assert_eq!(concerns, ["pressure", "lost", "level"]);
    let (raised, over) = (json!("raised"), json!("resolved"));
    let (heard, known) = (json!("told"), json!("known"));
    assert_eq!(
        changes(&incidents[0]),
        [(raised.clone(), heard.clone()), (over.clone(), known.clone())]
    );
    assert_eq!(
        changes(&incidents[1]),
        [(raised.clone(), known.clone()), (over.clone(), known.clone())]
    );
    // As severe as the level is, and then milder.
    let milder = (raised, known);
    assert_eq!(changes(&incidents[2]), [milder.clone(), milder, (over, heard)]);
}

#[test]
fn where_nothing_was_wrong_that_is_said() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    assert_eq!(folder.ok("incidents j.tfj"), "nothing was wrong for long enough to be told\n");
}
