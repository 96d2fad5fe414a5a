//! Where the time of orders went, and what was said to the exchange besides orders.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::*;

/// Journals with queues, faults, berths, pairs and stops; the first two are told to their ends.
fn journals(folder: &Folder) -> Vec<String> {
    folder.ok("capture --out morning.tfj");
    let fleet = fs::read_to_string(workspace().join("fixtures/fleets/four-vessels.toml"));
    let fleet = fleet.expect("a fixture").replace("\npreset = ", "\nslots = 1\npreset = ");
    folder.write("narrow.toml", fleet);
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet narrow.toml --out narrow.tfj");
    folder.ok("capture --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/rough-seas.toml --out rough.tfj");
    let corpus = ["calendar", "charge", "overload", "prefill-decode", "vessel-lost"];
    let corpus = corpus.map(|name| format!("fixtures/corpus/{name}.tfj"));
    let own = ["morning.tfj", "narrow.tfj", "rough.tfj"].map(str::to_owned);
    own.into_iter().chain(corpus).collect()
}

/// Who waits in the queue after each record, by the log: how many came to stay beyond their record, and everybody's
/// microseconds there.
fn queue(log: &[Value]) -> (u64, u64, u64) {
    let (mut here, mut area, mut arrivals) = (BTreeMap::new(), 0, 0);
    let mut before = 0;
    for record in log {
        let (now, seq) = (number(record, "time_us").max(before), number(record, "seq"));
        area += here.len() as u64 * (now - before);
        before = now;
        for (kind, fields) in events(record) {
            let order = fields["order"].as_str().unwrap_or_default().to_owned();
            match kind {
                "order_queued" => {
                    here.insert(order, seq);
                    arrivals += 1;
                }
                "order_routed" | "order_ended" | "order_held_back" | "order_crowded_out" => {
                    arrivals -= u64::from(here.remove(&order) == Some(seq));
                }
                _ => {}
            }
        }
    }
    (arrivals, area, here.len() as u64)
}

#[test]
fn no_moment_of_an_order_is_lost() {
    let folder = Folder::new();
    let mut reached = 0;
    for journal in journals(&folder) {
        let (log, told) = (folder.log(&journal), folder.json(&format!("dwell {journal}")));
        let ended: u64 = log
            .iter()
            .flat_map(events)
            .filter(|(kind, _)| *kind == "order_ended")
            .map(|(_, fields)| number(fields, "latency"))
            .sum();
        let state = folder.json(&format!("state {journal}"));
        let now = number(&state["workflow"]["control"], "now");
        let live = state["models"]["orders"].as_object().expect("orders").values();
        let live: u64 = live.map(|order| now - number(order, "submitted")).sum();
        let states = told["states"].as_object().expect("states");
        let all: u64 = states.values().map(|state| number(state, "total_us")).sum();
        assert_eq!(all, ended + live, "{journal}");
        reached += states.values().filter(|state| number(state, "stays") > 0).count();

        let places = told["places"].as_array().expect("places");
        for place in places {
            let [arrivals, finished, unfinished] =
                ["arrivals", "finished", "unfinished"].map(|field| number(place, field));
            assert_eq!(arrivals, finished + unfinished, "{journal}: {place}");
            let stays = number(place, "stays_us") + number(place, "unfinished_us");
            assert_eq!(number(place, "area_us"), stays, "{journal}: {place}");
            if unfinished == 0 {
                // The law, without a rest; the product is rounded once more than the other side.
                let sides =
                    [number(place, "there_thousandths"), number(place, "product_thousandths")];
                assert_eq!(sides[0], sides[1], "{journal}: {place}");
            }
        }
        let found = places.iter().find(|place| place["place"] == "queue");
        let found = found.map_or((0, 0, 0), |place| {
            (number(place, "arrivals"), number(place, "area_us"), number(place, "unfinished"))
        });
        assert_eq!(found, queue(&log), "{journal}");
        let waiting = &state["queue"]["waiting"];
        assert_eq!(number(waiting, "queued"), found.2, "{journal}");
        // Whoever has a slot at the end has one by the rows.
        for (id, load) in state["models"]["loads"].as_object().expect("loads") {
            let name = &state["models"]["vessels"][id]["name"];
            let place = places.iter().find(|place| place["place"] == *name);
            let left = place.map_or(0, |place| number(place, "unfinished"));
            assert_eq!(left, number(load, "used"), "{journal}: {name}");
        }
    }
    assert!(reached > 20, "{reached} states of all journals");
}

#[test]
fn the_slowest_are_told_by_what_they_waited_for() {
    let folder = Folder::new();
    for journal in journals(&folder).into_iter().take(3) {
        let (log, told) = (folder.log(&journal), folder.json(&format!("dwell {journal}")));
        let mut served: Vec<u64> = log
            .iter()
            .flat_map(events)
            .filter(|(kind, fields)| *kind == "order_ended" && fields["end"] == "completed")
            .map(|(_, fields)| number(fields, "latency"))
            .collect();
        served.sort_unstable();
        served.reverse();
        served.truncate(served.len().div_ceil(100));
        let slowest = &told["slowest"];
        assert_eq!(number(slowest, "orders"), served.len() as u64);
        assert_eq!(number(slowest, "from_us"), *served.last().expect("somebody is served"));
        let spent = slowest["spent_us"].as_object().expect("states");
        let spent: BTreeMap<&str, u64> = spent
            .iter()
            .map(|(name, time)| (name.as_str(), time.as_u64().expect("a time")))
            .collect();
        assert_eq!(spent.values().sum::<u64>(), served.iter().sum::<u64>(), "{journal}");
        let most = spent.iter().max_by_key(|(_, time)| **time).expect("a state");
        assert_eq!(slowest["critical"], json!(most.0), "{journal}");
    }
    accept("dwell-narrow", &folder.ok("dwell narrow.tfj"));
    accept("dwell-unfinished", &folder.ok("dwell fixtures/corpus/overload.tfj"));
    accept("dwell-pairs", &folder.ok("dwell fixtures/corpus/prefill-decode.tfj"));
}

#[test]
fn what_operators_said_is_listed() {
    let folder = Folder::new();
    let audit = |words: &str| folder.ok(&format!("audit fixtures/corpus/{words}"));
    let told = [
        "calendar.tfj --what allocator",
        "drain.tfj --what models.drain",
        "vessel-lost.tfj --since 1 --who operator",
        "prefill-decode.tfj --who alba",
        "calendar.tfj --who alba --what submit --since 22s",
        "policy-roll-back.tfj --what roll_back_policy",
    ];
    let said: Vec<String> =
        told.iter().map(|words| format!("$ tensorforge audit {words}\n{}", audit(words))).collect();
    accept("audit", &said.join("\n"));
    for (words, said) in [
        (
            "--who nobody",
            "error: --who nobody: nobody of that name sent anything\nhelp:  there are: operator, ",
        ),
        (
            "--what sail",
            "error: --what sail: there is no such module or command\nhelp:  the commands are allocator.",
        ),
        ("--since 9 --until 3", "error: --since 9 is beyond 3, where it stops\n"),
    ] {
        let ran = folder.run(&format!("audit fixtures/corpus/calendar.tfj {words}"));
        let found = ran.stderr.replace("help: ", "help:  ").replace("help:   ", "help:  ");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words}");
        assert!(found.starts_with(said), "{words}: {found}");
    }
}

/// Whatever is not traffic is listed, once, with its sender, and nothing else is.
#[test]
fn the_audit_is_the_log_without_its_traffic() {
    let folder = Folder::new();
    let traffic = [
        "submit",
        "submit_batch",
        "report_leg",
        "report_stop",
        "report_first_token",
        "advance",
        "heartbeat",
    ];
    let names = fs::read_dir(workspace().join("fixtures/corpus")).expect("a folder");
    for name in names.map(|name| name.expect("a name").file_name()) {
        let journal = format!("fixtures/corpus/{}", name.to_string_lossy());
        let listed = folder.json(&format!("audit {journal}"));
        let listed = listed["entries"].as_array().expect("entries");
        let log = folder.log(&journal);
        let wanted: Vec<&Value> = log
            .iter()
            .filter(|record| {
                let module = record["command"].as_object().and_then(|all| all.values().next());
                let command = module.expect("a module");
                let word = command.as_str().or_else(|| {
                    command.as_object().and_then(|all| all.keys().next()).map(String::as_str)
                });
                !traffic.contains(&word.expect("a command"))
            })
            .collect();
        assert_eq!(listed.len(), wanted.len(), "{journal}");
        for (entry, record) in listed.iter().zip(wanted) {
            for field in ["seq", "time_us", "command", "events"] {
                assert_eq!(entry[field], record[field], "{journal}");
            }
            let tenant = record["source"]["tenant"].as_u64();
            assert_eq!(tenant.is_none(), entry["who"] == "operator", "{entry}");
            assert_eq!(entry["key"], record["source"]["key"], "{entry}");
            let scopes = record["source"]["scopes"].as_u64().expect("scopes").count_ones();
            assert_eq!(entry["scopes"].as_array().expect("scopes").len() as u32, scopes, "{entry}");
            let refused = events(record).any(|(kind, _)| kind == "command_refused");
            assert_eq!(entry["refused"].is_string(), refused, "{entry}");
        }
    }
}

/// Rules are told by what they change: where a policy has eighty fields, three.
#[test]
fn rules_are_told_by_what_they_change() {
    let folder = Folder::new();
    let fleet = workspace().join("fixtures/scenarios/fleets/one-boat.toml");
    let story = format!(
        "story = \"Rules come and go.\"\nfleet = {fleet:?}\ntenants = [\"alba\"]\n\
         [[step]]\nat_ms = 1_000\npolicy = {{ candidates = 8, retry = {{ attempts = 2 }} }}\n\
         [[step]]\nat_ms = 2_000\npolicy = {{ candidates = 8, retry = {{ attempts = 2 }} }}\n\
         [[step]]\nat_ms = 3_000\nroll_back = 0\n\
         [[step]]\nat_ms = 4_000\nroll_back = 9\n"
    );
    folder.write("rules.toml", story);
    folder.ok("capture --scenario rules.toml --out rules.tfj");
    let told = folder.ok("audit rules.tfj --what policy");
    let said: Vec<&str> =
        told.lines().filter(|line| line.contains("  policy.")).map(str::trim).collect();
    assert_eq!(
        said,
        [
            "policy.set_policy the first one",
            "policy.set_policy unlike version 0 in candidates=8 (was 4), retry.attempts=2 (was 3)",
            "policy.set_policy as version 1",
            "policy.roll_back_policy to=0, unlike version 2 in candidates=4 (was 8), retry.attempts=3 (was 2)",
            "policy.roll_back_policy to=9",
        ]
    );
    let decided: Vec<&str> =
        told.lines().filter(|line| line.contains("decided")).map(str::trim).collect();
    assert_eq!(
        decided,
        [
            "decided policy.policy_changed version=0 policy=as_said",
            "decided policy.policy_changed version=1 policy=as_said",
            "decided policy.policy_changed version=2 policy=as_said",
            "decided policy.policy_rolled_back version=3 to=0 policy=as_said",
        ]
    );
    let listed = folder.json("audit rules.tfj --what policy");
    let unlike: Vec<&Value> = (0..5).map(|place| &listed["entries"][place]["unlike"]).collect();
    assert_eq!(*unlike[0], json!({ "version": null, "fields": {} }));
    assert_eq!(
        unlike[1]["fields"],
        json!({
            "candidates": { "was": 4, "is": 8 },
            "retry.attempts": { "was": 3, "is": 2 },
        })
    );
    assert_eq!(*unlike[2], json!({ "version": 1, "fields": {} }));
    assert_eq!(unlike[3]["version"], 2);
    assert_eq!(*unlike[4], Value::Null);
}

/// Who gathers waits for others, and that is told apart from waiting for room: in the story, and in where the time went.
#[test]
fn gathering_is_told_apart_from_waiting_for_room() {
    let folder = Folder::new();
    folder.ok("capture --scenario fixtures/scenarios/gather.toml --out gather.tfj");
    let told = folder.ok("explain gather.tfj --order 2");
    for said in [
        "queued with ticket 2: it gathers with other batch orders, for 60.000 s at most; 1 order waits already",
        "gathered enough, or for long enough: 3 orders wait for room from now on, with 3 300 tokens in all",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
    let told = folder.ok("explain gather.tfj --order 5");
    assert!(
        told.contains("2 orders wait for room from now on, with 2 200 tokens in all"),
        "{told}"
    );
    let told = folder.ok("explain gather.tfj --order 6");
    assert!(!told.contains("gather"), "{told}");
    // Orders 1 to 5 gather for 2 s, 1 s, nothing, 22 s and 6 s; 2, 3 and 4 wait for room for 2 s, 4 s and 2 s.
    let states = &folder.json("dwell gather.tfj")["states"];
    assert_eq!(number(&states["gathering"], "total_us"), 31_000_000);
    assert_eq!(number(&states["gathering"], "stays"), 4);
    assert_eq!(number(&states["queued"], "total_us"), 8_000_000);
}
