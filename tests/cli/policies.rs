//! Two policies over one demand, and the stories of single orders.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::*;

/// A flag that is the same for all, so that draws are the same.
const SURGE: &str =
    "capture --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml";

/// What `diff` compares of each order, read from the log: what was decided and where it is recorded.
fn decisions(log: &[Value]) -> BTreeMap<u64, Vec<(u64, String)>> {
    let mut names = BTreeMap::new();
    let mut found: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
    for record in log {
        for (kind, fields) in events(record) {
            let order = &fields["order"];
            if kind == "order_admitted" {
                names.insert(order.to_string(), number(&fields["demand"], "external"));
            }
            let said = match kind {
                "order_admitted" | "order_queued" => kind.to_owned(),
                "order_refused" => format!(
                    "{kind} {:?}",
                    fields["refusal"].as_object().map(|r| r.keys().next().cloned())
                ),
                "order_routed" => {
                    let legs = fields["route"].as_array().expect("legs");
                    let vessels: Vec<&Value> = legs.iter().map(|leg| &leg["vessel"]).collect();
                    format!("{kind} {}", json!(vessels))
                }
                "order_berthed" => format!("{kind} {}", fields["vessel"]),
                "order_ended" => format!("{kind} {}", fields["end"]),
                _ => continue,
            };
            let external = names.get(&order.to_string()).copied();
            let external = external.unwrap_or_else(|| number(fields, "external"));
            found.entry(external).or_default().push((number(record, "seq"), said));
        }
    }
    found
}

#[test]
fn two_policies_part_at_the_first_flipped_decision() {
    let folder = Folder::new();
    folder.ok(&format!("{SURGE} --out balanced.tfj"));
    folder.ok(&format!("{SURGE} --policy fixtures/policies/thrifty.toml --out thrifty.tfj"));
    let ran = folder.run("diff balanced.tfj thrifty.tfj");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    accept("diff-balanced-thrifty", &ran.stdout);
    let found = document(&folder.run("diff balanced.tfj thrifty.tfj --json").stdout);

    let (left, right) = (folder.log("balanced.tfj"), folder.log("thrifty.tfj"));
    let parting = left.iter().zip(&right).position(|(a, b)| a != b).expect("a difference");
    assert_eq!((number(&found, "seq"), &found["phase"]), (parting as u64, &json!("input")));
    assert!(left[parting]["command"]["policy"]["set_policy"].is_object());

    let (a, b) = (decisions(&left), decisions(&right));
    assert!(a.keys().eq(b.keys()), "both were asked for the same");
    let flips = a.iter().filter_map(|(external, left)| {
        let right = &b[external];
        let said =
            |side: &Vec<(u64, String)>, place: usize| side.get(place).map(|(_, said)| said.clone());
        let place =
            (0..left.len().max(right.len())).find(|at| said(left, *at) != said(right, *at))?;
        let seq = |side: &Vec<(u64, String)>| side.get(place).map(|(seq, _)| *seq);
        Some((seq(left), seq(right), *external))
    });
    let flips: Vec<_> = flips.collect();
    assert_eq!(number(&found, "flipped_orders"), flips.len() as u64);
    let (l, r, external) = flips.iter().min_by_key(|(l, r, _)| l.or(*r)).expect("a flip");
    let flip = &found["flip"];
    assert_eq!(number(flip, "external"), *external);
    assert_eq!((&flip["left"]["seq"], &flip["right"]["seq"]), (&json!(l), &json!(r)));

    for (side, log) in [("left", &left), ("right", &right)] {
        let (audit, tally) = (Audit::of(log), &found["tally"][side]);
        assert_eq!(number(tally, "cost_micro_usd"), micro_dollars(audit.sums[4]), "{side}");
        assert_eq!(number(&tally["orders"], "completed"), audit.ended("completed"), "{side}");
        assert_eq!(number(tally, "repeated"), audit.deduplicated, "{side}");
    }
    let same = folder.run("diff balanced.tfj balanced.tfj");
    assert_eq!((same.code, same.stdout.starts_with("same ")), (Some(0), true), "{}", same.stdout);
}

#[test]
fn different_demand_has_no_flipped_decisions() {
    let folder = Folder::new();
    let row = |at: u64, tenant: &str, tokens: u64| {
        format!("{{\"at\":{at},\"tenant\":\"{tenant}\",\"tokens_in\":{tokens},\"tokens_out\":9}}\n")
    };
    let capture = |name: &str, rows: &[String]| {
        let head = "{\"tensorforge_trace\":1,\"name\":\"n\",\"block_tokens\":512}\n";
        folder.write("t.jsonl", format!("{head}{}", rows.concat()));
        folder.ok(&format!("capture --trace t.jsonl --journal-id 1 --out {name}.tfj"));
    };
    let ten = |tenant| (0..10).map(|place| row(place, tenant, 100 + place)).collect::<Vec<_>>();
    capture("ten", &ten("kelp"));
    capture("others", &ten("tern"));
    capture("four", &ten("kelp")[..4]);
    capture("nine", &ten("kelp")[..9]);
    let urgent = |row: String| row.replace(",\"tokens_in\"", ",\"class\":\"batch\",\"tokens_in\"");
    capture("urgent", &ten("kelp").into_iter().map(urgent).collect::<Vec<_>>());
    let mut one_more = ten("kelp");
    one_more[6] = row(6, "kelp", 99);
    capture("one", &one_more);
    for (right, said) in [
        (
            "others",
            "0 orders of the left have no partner in the right, 0 of the right none in the left, 10 ask for",
        ),
        (
            "urgent",
            "0 orders of the left have no partner in the right, 0 of the right none in the left, 10 ask for",
        ),
        (
            "one",
            "0 orders of the left have no partner in the right, 0 of the right none in the left, 1 asks for",
        ),
    ] {
        let ran = folder.run(&format!("diff ten.tfj {right}.tfj"));
        let said = format!("\nnot the same demand: {said} something else\n");
        assert!(ran.stdout.contains(&said) && !ran.stdout.contains("otherwise"), "{}", ran.stdout);
        assert!(ran.stdout.contains("\n   orders "), "{}", ran.stdout);
        let found = document(&folder.run(&format!("diff ten.tfj {right}.tfj --json")).stdout);
        let told = [&found["same_demand"], &found["flip"], &found["flipped_orders"]];
        assert_eq!(told, [&json!(false), &Value::Null, &Value::Null], "{right}");
    }
    // A part of a demand is that demand: an order that one side lacks was decided otherwise there.
    for (right, lacks) in [("nine", 1), ("four", 6)] {
        let found = document(&folder.run(&format!("diff ten.tfj {right}.tfj --json")).stdout);
        let told = (&found["same_demand"], &found["flipped_orders"]);
        assert_eq!(told, (&json!(true), &json!(lacks)), "{right}");
        let demand = json!({ "left_alone": lacks, "right_alone": 0, "otherwise": 0 });
        assert_eq!(found["demand"], demand, "{right}");
    }
}

/// The first order of which the log tells all of these kinds of events, and none of the others.
fn order_with(log: &[Value], all: &[&str], none: &[&str]) -> String {
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut order_of = Vec::new();
    for (kind, fields) in log.iter().flat_map(events) {
        if let Some(order) = fields["order"].as_str() {
            if !kinds.contains_key(order) {
                order_of.push(order.to_owned());
            }
            kinds.entry(order.to_owned()).or_default().push(kind);
        }
    }
    let fits = |order: &&String| {
        let told = &kinds[*order];
        all.iter().all(|kind| told.contains(kind)) && !none.iter().any(|kind| told.contains(kind))
    };
    order_of.iter().find(fits).unwrap_or_else(|| panic!("no order with {all:?}")).clone()
}

/// Checks a story against the log: every event of the order, in its order, and nothing else.
fn check_story(folder: &Folder, journal: &str, log: &[Value], order: &str) {
    let expected: Vec<Value> = log
        .iter()
        .flat_map(|record| {
            let events = record["events"].as_array().expect("events");
            let about = events.iter().zip(self::events(record));
            let about = about.filter(|(_, (_, fields))| fields["order"] == order);
            about.map(|(event, _)| json!([record["seq"], record["time_us"], event]))
        })
        .collect();
    assert!(!expected.is_empty());
    let story = folder.json(&format!("explain {journal} --order {order}"));
    let told = story["events"].as_array().expect("events");
    let told: Vec<Value> =
        told.iter().map(|told| json!([told["seq"], told["time_us"], told["event"]])).collect();
    assert_eq!(told, expected, "{order}");
    // In the text each event begins with its time and its record.
    let text = folder.ok(&format!("explain {journal} --order {order}"));
    let heads = text.lines().filter(|line| line.trim_start().starts_with('+'));
    let records: Vec<Value> = heads
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // `+1.620 s  65  ...`, or `+1 h 05 min  65  ...`.
            let place = if words[1] == "h" { 4 } else { 2 };
            words[place].parse::<u64>().map(Value::from).expect("a record")
        })
        .collect();
    assert_eq!(records, expected.iter().map(|told| told[0].clone()).collect::<Vec<_>>(), "{order}");
}

#[test]
fn stories_tell_what_the_log_holds() {
    let folder = Folder::new();
    folder.ok(&format!("{SURGE} --out rough.tfj"));
    // One order at a time on each vessel: most have to wait.
    let fleet = std::fs::read_to_string(workspace().join("fixtures/fleets/four-vessels.toml"));
    let fleet = fleet.expect("a fixture").replace("\npreset = ", "\nslots = 1\npreset = ");
    folder
        .write("short.toml", fleet.replacen("\nname = ", "\nlimits = { queued = 4 }\nname = ", 1));
    folder.write("narrow.toml", fleet);
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet short.toml --out short.tfj");
    folder.write(
        "hasty.toml",
        "lifetime_ms = { interactive = 8_000, standard = 8_000, batch = 8_000 }",
    );
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet narrow.toml --policy hasty.toml --out narrow.tfj");
    let [rough, narrow, short] =
        ["rough.tfj", "narrow.tfj", "short.tfj"].map(|name| folder.log(name));
    for (name, journal, log, all, none) in [
        (
            "completed",
            "rough.tfj",
            &rough,
            vec!["leg_completed", "order_settled"],
            vec!["leg_failed"],
        ),
        ("refused", "short.tfj", &short, vec!["order_refused"], vec![]),
        (
            "retried",
            "rough.tfj",
            &rough,
            vec!["leg_failed", "retry_scheduled", "leg_completed"],
            vec![],
        ),
        (
            "queued",
            "narrow.tfj",
            &narrow,
            vec!["order_queued", "order_routed", "order_settled"],
            vec![],
        ),
        (
            "expired",
            "narrow.tfj",
            &narrow,
            vec!["order_queued", "order_ended"],
            vec!["order_routed"],
        ),
    ] {
        let order = order_with(log, &all, &none);
        check_story(&folder, journal, log, &order);
        let (number, _) = order.split_once('@').expect("a slot");
        let text = folder.ok(&format!("explain {journal} --order {number}"));
        accept(&format!("explain-{name}"), &text);
    }
    let mut orders: Vec<&str> =
        rough.iter().flat_map(events).filter_map(|(_, fields)| fields["order"].as_str()).collect();
    orders.sort_unstable();
    orders.dedup();
    for order in orders.iter().step_by(9) {
        check_story(&folder, "rough.tfj", &rough, order);
    }
}

#[test]
fn an_order_is_found_by_every_number_it_was_sent_under() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let log = folder.log("j.tfj");
    let (_, again) = log
        .iter()
        .flat_map(events)
        .find(|(kind, _)| *kind == "order_deduplicated")
        .expect("an order that was sent again");
    let order = text(again, "order");
    let (_, admitted) = log
        .iter()
        .flat_map(events)
        .find(|(kind, fields)| *kind == "order_admitted" && fields["order"] == again["order"])
        .expect("its admission");
    let story = folder.ok(&format!("explain j.tfj --order {order}"));
    assert!(story.contains("sent again as external number"), "{story}");
    for external in [number(again, "external"), number(&admitted["demand"], "external")] {
        assert_eq!(folder.ok(&format!("explain j.tfj --external {external}")), story, "{external}");
    }
}

/// One training job with a window, and one that no vessel can hold.
const JOBS: &str = r#"{"tensorforge_trace":1,"name":"jobs","block_tokens":512}
{"at":5000000,"tenant":"kelp","kind":"training","class":"batch","tokens_in":3,"tokens_out":9,"window":[90000000,120000000]}
{"at":6000000,"tenant":"kelp","tokens_in":900000000,"tokens_out":1}
"#;

#[test]
fn a_story_counts_from_the_arrival_of_its_order() {
    let folder = Folder::new();
    folder.write("jobs.jsonl", JOBS);
    folder.ok("capture --trace jobs.jsonl --out j.tfj");
    let story = folder.ok("explain j.tfj --order 1");
    let line = story.lines().find(|line| line.contains("given a berth on")).expect(&story);
    assert!(line.ends_with(" from +90.000 s to +120.000 s; 0 others overlap it"), "{line}");
    // An order that was refused never held a slot.
    let refused = folder.ok("explain j.tfj --order 2");
    assert!(
        refused.contains("refused from kelp as external number 2: models.too_large"),
        "{refused}"
    );
    for name in ["2@-", "2@16777215"] {
        assert_eq!(folder.ok(&format!("explain j.tfj --order {name}")), refused, "{name}");
    }
    let ran = folder.run("explain j.tfj --order 2@3");
    assert_eq!(
        (ran.code, ran.stderr.lines().next()),
        (Some(2), Some("error: order 2 is 2@-, not 2@3"))
    );
}
