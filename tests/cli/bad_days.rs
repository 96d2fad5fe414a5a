//! Bad days, played on a fleet of boats: who waits, and who is refused.

use std::fmt::Write as _;

use super::support::{Folder, events, text};

/// A vessel that works a prompt of a thousand tokens in 100 ms and generates fifty tokens a second.
const BOAT: &str = r#"
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
"#;

/// Boats for eight orders each, and whatever else there is.
fn fleet(boats: u32, more: &str) -> String {
    format!(
        "name = \"boats\"\n[[region]]\nname = \"quay\"\n[[model]]\nname = \"minnow\"\n\
         [preset.boat]\nbatch_max = 8\n{BOAT}\n\
         [[vessel]]\nname = \"boat\"\ncount = {boats}\npreset = \"boat\"\nregion = \"quay\"\n\
         models = [\"minnow\"]\n{more}"
    )
}

/// A row of a trace: when in microseconds, whose, of which class, prompt and answer.
type Row<'a> = (u64, &'a str, &'a str, u64, u64);

fn trace(rows: impl IntoIterator<Item = Row<'static>>) -> String {
    let mut rows: Vec<Row<'_>> = rows.into_iter().collect();
    rows.sort_by_key(|row| row.0);
    let mut text = "{\"tensorforge_trace\":1,\"name\":\"day\",\"block_tokens\":512}\n".to_owned();
    for (at, tenant, class, tokens_in, tokens_out) in rows {
        writeln!(
            text,
            "{{\"at\":{at},\"tenant\":\"{tenant}\",\"class\":\"{class}\",\"tokens_in\":{tokens_in},\
             \"tokens_out\":{tokens_out},\"tokens_out_max\":{tokens_out}}}"
        )
        .expect("room for a line");
    }
    text
}

/// How the orders of a tenant ended.
struct Ended {
    /// Their ends, as JSON spells them.
    ends: Vec<String>,
    /// The latencies of those that were served, shortest first.
    latencies: Vec<u64>,
    /// When the last one ended.
    last: u64,
}

impl Ended {
    fn all_completed(&self) -> bool {
        self.ends.iter().all(|end| end == "completed")
    }

    fn percentile(&self, percent: usize) -> u64 {
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)]
    }
}

/// Plays a trace; how the orders of each tenant ended, who are numbered as they come.
fn play(folder: &Folder, fleet: &str, rows: Vec<Row<'static>>, tenants: u64) -> Vec<Ended> {
    folder.write("fleet.toml", fleet);
    folder.write("trace.jsonl", trace(rows));
    let _ = std::fs::remove_dir_all(folder.path("day.tfj"));
    folder.ok("capture --no-sync --trace trace.jsonl --fleet fleet.toml --out day.tfj");
    folder.ok("verify day.tfj");
    let log = folder.log("day.tfj");
    let of = |tenant: u64| {
        let mut ended = Ended { ends: Vec::new(), latencies: Vec::new(), last: 0 };
        for record in &log {
            for (kind, fields) in events(record) {
                if fields["tenant"] != tenant {
                    continue;
                }
                match kind {
                    "order_refused" => ended.ends.push("refused".into()),
                    "order_ended" => {
                        ended.ends.push(text(fields, "end").to_owned());
                        ended.last = record["time_us"].as_u64().expect("a time");
                        if fields["end"] == "completed" {
                            ended.latencies.push(fields["latency"].as_u64().expect("a span"));
                        }
                    }
                    _ => {}
                }
            }
        }
        ended.latencies.sort_unstable();
        ended
    };
    (0..tenants).map(of).collect()
}

/// A thousand nightly orders at once keep four boats busy for minutes; chat goes on beside them.
#[test]
fn a_night_of_batch_work_does_not_shut_out_chat() {
    let folder = Folder::new();
    let chat =
        |from: u64| (0..200).map(move |i| (from + i * 1_000_000, "chat", "interactive", 500, 50));
    let night = (0..1_500).map(|i| (i, "nightly", "batch", 1_000, 200));
    let boats = fleet(4, "");
    let alone = play(&folder, &boats, night.clone().collect(), 1);
    let both = play(&folder, &boats, night.chain(chat(1_000_000)).collect(), 2);
    assert!(both.iter().all(Ended::all_completed), "{:?}", both[1].ends);
    // Whenever a slot comes free it is theirs: they wait for no longer than a nightly order takes.
    let longest = both[1].percentile(100);
    assert!(longest < 4_080_000 + 1_080_000, "{longest}");
    let median = both[1].percentile(50);
    assert!(median < 1_500_000, "{median}");
    // Two hundred chat orders take as much of four boats as forty-five nightly ones.
    assert!(
        both[0].last < alone[0].last + alone[0].last / 20,
        "{} {}",
        both[0].last,
        alone[0].last
    );
}

/// One tenant sends two thousand orders at once; another one's every-second order moves by less than the
/// time that one order takes.
#[test]
fn a_flood_of_one_tenant_does_not_reach_another() {
    let folder = Folder::new();
    let calm = (0..120).map(|i| (i * 1_000_000, "brae", "standard", 1_000, 100));
    let flood = (0..2_000).map(|_| (10_500_000, "alba", "standard", 1_000, 100));
    let boats = fleet(4, "");
    let alone = play(&folder, &boats, calm.clone().collect(), 1);
    let both = play(&folder, &boats, calm.chain(flood).collect(), 2);
    assert!(both.iter().all(Ended::all_completed));
    let (before, after) = (alone[0].percentile(99), both[0].percentile(99));
    assert!(after - before < 2_080_000, "{before} {after}");
}

/// Two large orders that only the ship can hold do not hold up sixty that find idle boats, and the second
/// of them is not delayed by these.
#[test]
fn a_large_order_does_not_hold_up_small_ones() {
    let folder = Folder::new();
    let large =
        [(0, "alba", "standard", 100_000, 2_500), (1_000_000, "alba", "standard", 100_000, 2_500)];
    let small = (0..60).map(|i| (2_000_000 + i * 500_000, "alba", "standard", 500, 50));
    let ship = "[preset.ship]\nbatch_max = 1\n".to_owned()
        + &BOAT.replace("100_000\ncontext_max = 16_000", "128_000\ncontext_max = 128_000")
        + "[[vessel]]\nname = \"ship\"\npreset = \"ship\"\nregion = \"quay\"\nmodels = [\"minnow\"]\n";
    let boats = fleet(3, &ship);
    let alone = play(&folder, &boats, large.to_vec(), 1);
    let both = play(&folder, &boats, large.into_iter().chain(small).collect(), 1);
    assert!(both[0].all_completed());
    assert_eq!(both[0].percentile(90), 1_080_000, "a prompt and 49 tokens more");
    assert_eq!(both[0].last, alone[0].last);
}

/// One vessel of eight fails all that it is given. Whom it fails goes elsewhere; nobody is refused, and
/// nothing fails for good.
#[test]
fn one_sick_vessel_halts_nobody() {
    let folder = Folder::new();
    let fault = "[[fault]]\nkind = \"failing\"\nvessel = \"boat-0\"\nfrom_ms = 0\n\
                 until_ms = 1_000_000\nshare_ppm = 1_000_000\nafter_ms = 50\n";
    let classes = ["interactive", "standard", "batch"];
    let rows = (0..150).map(|i| (i * 4_000_000, "alba", classes[i as usize % 3], 500, 100));
    let ended = play(&folder, &fleet(8, fault), rows.collect(), 1);
    assert!(ended[0].all_completed(), "{:?}", ended[0].ends);
}

/// A vessel three times as quick as the others fails two of every five. It is cut off, and whom it failed
/// does not go back to it.
#[test]
fn a_quick_vessel_that_fails_is_no_trap() {
    let folder = Folder::new();
    let quick = "[preset.quick]\nbatch_max = 32\n".to_owned()
        + &BOAT.replace("micros = [20_000]", "micros = [7_000]")
        + "[[vessel]]\nname = \"quick\"\npreset = \"quick\"\nregion = \"quay\"\nmodels = [\"minnow\"]\n\
           [[fault]]\nkind = \"failing\"\nvessel = \"quick\"\nfrom_ms = 0\nuntil_ms = 600_000\n\
           share_ppm = 400_000\nafter_ms = 20\n";
    let rows = (0..600).map(|i| (i * 500_000, "alba", "interactive", 500, 300));
    let ended = play(&folder, &fleet(4, &quick), rows.collect(), 1);
    assert!(ended[0].all_completed(), "{:?}", ended[0].ends);
    let log = folder.log("day.tfj");
    let told = |kind: &str| log.iter().flat_map(events).filter(|(name, _)| *name == kind).count();
    let (failed, opened) = (told("leg_failed"), told("breaker_opened"));
    assert!(opened > 0 && failed < 60, "{failed} of 600 failed, cut off {opened} times");
}

/// Four times as much is asked as can be worked, and no level turns anybody away. Orders that have waited until they
/// cannot be done in time any more would take the slots of those that can, and in the end hardly anything that is worked
/// would be worked in time: without the rule 328 of 3 600 are.
#[test]
fn what_is_worked_under_overload_is_worked_in_time() {
    let folder = Folder::new();
    folder.write(
        "patient.toml",
        "lifetime_ms = { standard = 60_000 }\n[escalation]\nelevated_ppm = 999_997\n\
         restricted_ppm = 999_998\nhalted_ppm = 999_999\nlate_ppm = 1_000_000\n",
    );
    let mut completed = Vec::new();
    for a_second in [3u64, 12] {
        let rows =
            (0..300 * a_second).map(|n| (n * 1_000_000 / a_second, "alba", "standard", 1_000, 100));
        folder.write("fleet.toml", fleet(1, "slots = 8\n"));
        folder.write("trace.jsonl", trace(rows));
        let journal = format!("at-{a_second}.tfj");
        folder.ok(&format!(
            "capture --no-sync --trace trace.jsonl --fleet fleet.toml --policy patient.toml --out {journal}"
        ));
        let ends = folder.log(&journal);
        let ends = ends
            .iter()
            .flat_map(events)
            .filter(|(kind, fields)| *kind == "order_ended" && text(fields, "end") == "completed");
        completed.push(ends.count());
    }
    assert_eq!(completed[0], 900, "three a second can be worked");
    assert!(completed[1] >= 900, "{completed:?}");
}
