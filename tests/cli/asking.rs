//! What is asked of a state: where an order would go, and how many would fit.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

/// What the program says to these words, each with its exit code.
fn transcript(folder: &Folder, all: &[&str]) -> String {
    let said = all.iter().map(|words| {
        let ran = folder.run(words);
        let code = ran.code.unwrap_or(-1);
        format!("$ tensorforge {words}\n{}{}exit code {code}\n", ran.stdout, ran.stderr)
    });
    said.collect::<Vec<_>>().join("\n")
}

/// The names of the scenarios that are there as recordings.
fn recordings() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("fixtures/corpus")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn a_route_that_nobody_takes_is_told() {
    let folder = Folder::new();
    folder.ok("capture --out morning.tfj");
    let told = transcript(
        &folder,
        &[
            "route morning.tfj --at 90s --model coral-70b",
            "route morning.tfj --at 500 --model coral-70b --class batch --tokens-in 2435 --tokens-out 512 --prefix 73b3179b5e040456:2048",
            "route morning.tfj --model coral-70b --tokens-in 900000",
            "route morning.tfj --at 0 --model coral-70b",
            "route morning.tfj --model pearl",
            "route morning.tfj --model coral-70b --tenant nobody",
            "route morning.tfj --model coral-70b --origin nowhere",
        ],
    );
    accept("route", &told);
    let before = folder.ok("state morning.tfj");
    assert_eq!(folder.ok("state morning.tfj"), before, "nothing is written");
}

#[test]
fn every_vessel_says_why_it_is_not_considered() {
    let folder = Folder::new();
    let at = |name: &str, records: u64, rest: &str| {
        format!("route fixtures/corpus/{name}.tfj --at {records} {rest}")
    };
    let minnow = "--model minnow --tokens-in 1000 --tokens-out 100";
    let all = [
        at("breaker", 14, minnow),
        at("breaker", 17, minnow),
        at("drain", 9, minnow),
        at("vessel-lost", 11, minnow),
        at("overload", 9, minnow),
        // The job has the slot from 10 s on; later it is kept for it, and then she is scraped.
        at("calendar", 9, "--model minnow --tokens-in 1000 --tokens-out 150"),
        at("calendar", 13, minnow),
        at("calendar", 21, minnow),
    ];
    accept("route-exclusions", &transcript(&folder, &all.each_ref().map(String::as_str)));
}

/// Why a vessel cannot be had, judged by its rows as `state` shows them; `None` where that says nothing about it.
fn judged(vessel: &Value, load: &Value, size: u64, now: u64) -> Option<Value> {
    let slots = number(&vessel["manifest"], "slots");
    let (used, kept, max) =
        (number(load, "used"), number(load, "kept"), number(&vessel["manifest"], "context_max"));
    let status = text(vessel, "status");
    if status != "up" {
        return Some(json!({ "why": status }));
    }
    if size > max {
        return Some(json!({ "why": "too_large", "asked": size, "max": max }));
    }
    let paused = number(load, "paused");
    match text(load, "breaker") {
        "open" => return Some(json!({ "why": "breaker_open", "until": number(load, "retry_at") })),
        _ if paused > 0 => return Some(json!({ "why": "paused", "until": paused })),
        "probing" if used >= number(load, "probes") => {
            return Some(
                json!({ "why": "probing", "used": used, "probes": number(load, "probes") }),
            );
        }
        _ => {}
    }
    assert!(paused == 0 || paused > now, "left in peace until a moment that has passed");
    if kept >= 1 << 20 {
        None
    } else if used >= slots {
        Some(json!({ "why": "full", "used": used, "slots": slots }))
    } else if used + kept >= slots {
        Some(json!({ "why": "kept_for_berths", "used": used, "kept": kept, "slots": slots }))
    } else {
        None
    }
}

#[test]
fn what_keeps_a_vessel_out_is_what_its_rows_say() {
    let folder = Folder::new();
    let mut seen: Vec<String> = Vec::new();
    for name in [
        "breaker",
        "calendar",
        "drain",
        "overload",
        "prefill-decode",
        "retire",
        "restart",
        "vessel-lost",
    ] {
        let journal = format!("fixtures/corpus/{name}.tfj");
        let records = folder.log(&journal).len();
        for at in 9..=records {
            let state = folder.json(&format!("state {journal} --at {at}"));
            let model = text(&state["models"]["models"]["0"], "name").to_owned();
            let words = format!(
                "route {journal} --at {at} --model {model} --tokens-in 1000 --tokens-out 100 --json"
            );
            let told = document(&folder.run(&words).stdout);
            let now = number(&state["workflow"]["control"], "now");
            for other in told["others"].as_array().expect("vessels") {
                let id = number(other, "vessel").to_string();
                let (vessel, load) =
                    (&state["models"]["vessels"][&id], &state["models"]["loads"][&id]);
                assert_eq!(other["name"], vessel["name"], "{words}");
                let mut found = other.clone();
                let fields = found.as_object_mut().expect("an object");
                fields.remove("vessel");
                fields.remove("name");
                let why = text(&found, "why").to_owned();
                match judged(vessel, load, 1_100, now) {
                    Some(judged) => assert_eq!(found, judged, "{words}"),
                    None => assert!(
                        ["open", "no_other_half", "promised", "maintenance"]
                            .contains(&why.as_str()),
                        "{words}: {found}"
                    ),
                }
                seen.push(why);
            }
            // Whoever was considered had room by its rows.
            for candidate in told["candidates"].as_array().expect("candidates") {
                let id = number(candidate, "vessel").to_string();
                let (vessel, load) =
                    (&state["models"]["vessels"][&id], &state["models"]["loads"][&id]);
                assert_eq!(judged(vessel, load, 1_100, now), None, "{words}: {candidate}");
            }
        }
    }
    for why in [
        "breaker_open",
        "draining",
        "drained",
        "full",
        "lost",
        "maintenance",
        "no_other_half",
        "paused",
        "probing",
        "promised",
        "restarting",
        "retired",
    ] {
        assert!(seen.iter().any(|found| found == why), "no vessel is {why}");
    }
}

/// An order that came at the very moment of the record before it is asked for once more: it goes where it went.
#[test]
fn what_was_decided_is_what_is_told_of_it() {
    let folder = Folder::new();
    let rows: String = (0..40)
        .map(|row| {
            let (at, tenant) = (row / 8 * 40_000, ["kelp", "tern"][row % 2]);
            let blocks = (0..row % 3).map(|block| (row % 5 * 10 + block).to_string());
            let blocks = blocks.collect::<Vec<_>>().join(",");
            format!("{{\"at\":{at},\"tenant\":\"{tenant}\",\"tokens_in\":1900,\"tokens_out\":90,\"blocks\":[{blocks}]}}\n")
        })
        .collect();
    let head = "{\"tensorforge_trace\":1,\"name\":\"waves\",\"block_tokens\":512}\n";
    folder.write("waves.jsonl", format!("{head}{rows}"));
    folder.ok("capture --trace waves.jsonl --out waves.tfj");
    let mut journals: Vec<String> =
        recordings().into_iter().map(|name| format!("fixtures/corpus/{name}")).collect();
    journals.push("waves.tfj".to_owned());
    let mut count = 0;
    for journal in journals {
        let (log, state) = (folder.log(&journal), folder.json(&format!("state {journal}")));
        let named =
            |table: &str, id: u64| text(&state["models"][table][id.to_string()], "name").to_owned();
        for pair in log.windows(2) {
            let [before, record] = pair else { continue };
            let demand = &record["command"]["workflow"]["submit"];
            let plain = demand["deadline"] == 0
                && demand["idempotency"] == "0000000000000000"
                && demand["window"].is_null()
                && demand["kind"] == "inference";
            let tenant = record["source"]["tenant"].as_u64();
            let (Some(tenant), true, true) =
                (tenant, plain, record["time_us"] == before["time_us"])
            else {
                continue;
            };
            let Some((_, admitted)) = events(record).find(|(kind, _)| *kind == "order_admitted")
            else {
                continue;
            };
            let own = |kind: &str| {
                events(record)
                    .find(|(found, fields)| *found == kind && fields["order"] == admitted["order"])
                    .map(|(_, fields)| fields)
            };
            let mut words = format!(
                "route {journal} --at {} --model {} --tenant {} --class {} --tokens-in {} --tokens-out {} --json",
                record["seq"],
                named("models", number(demand, "model")),
                named("tenants", tenant),
                text(demand, "class"),
                demand["tokens_in"],
                demand["tokens_out_max"],
            );
            words += &format!(" --limit {}", demand["limit"]);
            if let Some(origin) = demand["origin"].as_u64() {
                words += &format!(" --origin {}", named("regions", origin));
            }
            for mark in demand["prefix"].as_array().expect("marks") {
                words += &format!(" --prefix {}:{}", text(mark, "hash"), mark["tokens"]);
            }
            let ran = folder.run(&words);
            let told = document(&ran.stdout);
            if let Some(dear) = own("order_too_dear") {
                assert_eq!(
                    (&told["answer"], &told["least"], &told["at"]),
                    (&json!("too_dear"), &dear["least"], &dear["at"]),
                    "{words}"
                );
                count += 1;
                continue;
            }
            if let Some(crowded) = own("order_crowded_out") {
                assert_eq!(
                    (&told["answer"], &told["needs"]),
                    (&json!("crowded_out"), &crowded["needs"]),
                    "{words}"
                );
                count += 1;
                continue;
            }
            match (own("order_routed"), own("order_queued"), own("order_held_back")) {
                (_, Some(queued), _) => {
                    assert_eq!(
                        (&told["answer"], &told["ahead"]),
                        (&json!("queued"), &queued["ahead"])
                    );
                    assert_eq!(ran.code, Some(1), "{words}");
                }
                (_, _, Some(held)) => assert_eq!(
                    (&told["answer"], &told["at"], &told["berthed_at"]),
                    (&json!("held_back"), &held["at"], &held["berthed_at"]),
                    "{words}"
                ),
                (Some(routed), ..) => {
                    let mut candidates = told["candidates"].clone();
                    for candidate in candidates.as_array_mut().expect("candidates") {
                        let fields = candidate.as_object_mut().expect("an object");
                        fields.remove("name");
                        fields.remove("thousandths");
                    }
                    assert_eq!(candidates, routed["candidates"], "{words}");
                    assert_eq!((&told["open"], ran.code), (&routed["open"], Some(0)), "{words}");
                }
                _ => continue,
            }
            count += 1;
        }
    }
    assert!(count >= 40, "{count} orders came at the moment of the record before");
}

/// The points that a candidate is told to be made of are those that it got.
#[test]
fn points_add_up() {
    let folder = Folder::new();
    folder.ok("capture --out morning.tfj");
    for at in [200, 500, 900, 1_700] {
        let told = folder.json(&format!("route morning.tfj --at {at} --model coral-70b"));
        let candidates = told["candidates"].as_array().expect("candidates");
        for candidate in candidates {
            let parts = &candidate["thousandths"];
            let all = number(parts, "time") + number(parts, "cost") + number(parts, "energy");
            assert_eq!(all / 1_000, number(candidate, "score"), "{candidate}");
            // The policy that is built in gives 2 points a micro-dollar and 5 a joule.
            assert_eq!(number(parts, "cost"), 2_000 * number(candidate, "cost"), "{candidate}");
            assert_eq!(number(parts, "energy"), 5 * number(candidate, "energy"), "{candidate}");
        }
        let [best, next] =
            [&candidates[0], &candidates[1]].map(|candidate| number(candidate, "score"));
        assert_eq!(number(&told["margin"], "points"), next - best, "{told}");
    }
}

#[test]
fn what_fits_is_told() {
    let folder = Folder::new();
    folder.ok("capture --out morning.tfj");
    let size = "--model coral-70b --tokens-in 4096 --tokens-out 512";
    let calendar =
        "fits fixtures/corpus/calendar.tfj --model minnow --tokens-in 1000 --tokens-out 100";
    let all = [
        format!("fits morning.tfj --at 90s {size}"),
        format!("fits morning.tfj --at 500 {size} --count 99"),
        format!("fits morning.tfj --at 500 {size} --count 300"),
        "fits morning.tfj --model coral-70b --tokens-in 300000 --tokens-out 512".to_owned(),
        format!("fits morning.tfj {size} --window 30m"),
        format!("fits morning.tfj {size} --window soon"),
        // Berthed from 10 to 20 s; then with one aboard beside the berth that is kept.
        format!("{calendar} --at 7 --window 12s"),
        format!("{calendar} --at 9 --count 6 --window 5s"),
        format!("{calendar} --at 12 --count 2"),
        "fits fixtures/corpus/prefill-decode.tfj --at 8 --model minnow --tokens-in 1000 --tokens-out 100 --count 9".to_owned(),
    ];
    accept("fits", &transcript(&folder, &all.each_ref().map(String::as_str)));
}

/// As many as are told to fit begin at once when they come, and not one more.
#[test]
fn as_many_begin_as_fit() {
    let folder = Folder::new();
    let fleet = fs::read_to_string(workspace().join("fixtures/fleets/four-vessels.toml"));
    let fleet = fleet.expect("a fixture").replace("\npreset = ", "\nslots = 3\npreset = ");
    folder.write("narrow.toml", fleet);
    let row = |at: u64| {
        format!(
            "{{\"at\":{at},\"tenant\":\"kelp\",\"tokens_in\":4000,\"tokens_out\":400,\"tokens_out_max\":500}}\n"
        )
    };
    let capture = |name: &str, rows: &[u64]| {
        let rows: String = rows.iter().map(|at| row(*at)).collect();
        let head = "{\"tensorforge_trace\":1,\"name\":\"n\",\"block_tokens\":512}\n";
        folder.write("t.jsonl", format!("{head}{rows}"));
        folder.ok(&format!(
            "capture --trace t.jsonl --fleet narrow.toml --journal-id 7 --out {name}.tfj"
        ));
    };
    let (first, later) = (vec![0, 1], 500_000);
    let wave = |size: u64| {
        let mut rows = first.clone();
        rows.extend((0..size).map(|_| later));
        rows
    };
    capture("few", &wave(1));
    let log = folder.log("few.tfj");
    let before = log.iter().take_while(|record| number(record, "time_us") < later).count();
    let told = folder.json(&format!(
        "fits few.tfj --at {before} --model coral-70b --tokens-in 4000 --tokens-out 500"
    ));
    let fits = number(&told, "fits");
    assert_eq!(fits, 4 * 3 - 2, "{told}");
    let parts = told["where"].as_array().expect("vessels").iter();
    assert_eq!(parts.map(|part| number(part, "orders")).sum::<u64>(), fits);

    capture("many", &wave(fits + 2));
    let log = folder.log("many.tfj");
    let wave: Vec<&Value> = log
        .iter()
        .filter(|record| record["command"]["workflow"]["submit"].is_object())
        .filter(|record| number(record, "time_us") == later)
        .collect();
    let count = |kind: &str| {
        let all = wave.iter().flat_map(|record| events(record));
        all.filter(|(found, _)| *found == kind).count() as u64
    };
    assert_eq!((count("order_routed"), count("order_queued")), (fits, 2));
    // Two more than fit wait, and the first of them for whoever is expected to be done first.
    let ran = folder.run(&format!(
        "fits few.tfj --at {before} --model coral-70b --tokens-in 4000 --tokens-out 500 --count {} --json",
        fits + 2
    ));
    let told = document(&ran.stdout);
    assert_eq!(
        (ran.code, number(&told, "waits"), number(&told, "ahead")),
        (Some(1), 2, 0),
        "{told}"
    );
    let begins = number(&told, "first_begins_us");
    assert!(begins > later && begins < later + 60_000_000, "{told}");
}

/// A berth that is told is one that the exchange gives, and there is none before it.
#[test]
fn the_earliest_berth_is_one() {
    let folder = Folder::new();
    let words = "fits fixtures/corpus/calendar.tfj --at 7 --model minnow --tokens-in 1000 --tokens-out 0 --window 12s";
    let berth = folder.json(words)["berth"].clone();
    // A job has the only slot from 10 to 20 s, and the state is at 1 s: twelve seconds are free from 20 s on.
    assert_eq!(berth, json!({ "vessel": 0, "from_us": 20_000_000, "until_us": 32_000_000 }));
    let short = folder.json(&words.replace("12s", "9s"))["berth"].clone();
    assert_eq!(short, json!({ "vessel": 0, "from_us": 1_000_000, "until_us": 10_000_000 }));
}
