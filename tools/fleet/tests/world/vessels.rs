//! What one vessel does with its legs. Every expectation is worked by hand beside it.

use tensorforge_fleet::{Fleet, Trace};

use super::exchange::Exchange;

/// A prompt of 100 tokens takes 10 ms, one of 1 000 takes 100 ms, a straight line lies between; a token
/// takes 10 ms alone and 2 ms more for each other order.
pub(crate) const HULL: &str = r#"
name = "test"

[[region]]
name = "here"
hop_ms = 30

[[region]]
name = "there"

[[model]]
name = "m"

[preset.hull]
batch_max = 4
kv_tokens = 10_000
cache_tokens = 2_000
context_max = 10_000
transfer_us_per_kilotoken = 2_000
price_in = 1
price_cached = 1
price_out = 1
fuel_in = 1_000
fuel_out = 3_000
prefill = { prompts = [100, 1_000], batches = [1], micros = [[10_000], [100_000]] }
decode = { batches = [1, 2, 3], micros = [10_000, 12_000, 14_000] }
"#;

pub(crate) fn vessel(name: &str, more: &str) -> String {
    let silent = if more.contains("heartbeat_ms") { "" } else { "heartbeat_ms = 0" };
    format!(
        "[[vessel]]\nname = {name:?}\npreset = \"hull\"\nregion = \"here\"\nmodels = [\"m\"]\n\
         {silent}\n{more}\n"
    )
}

pub(crate) fn fleet(text: &str) -> Fleet {
    Fleet::parse("test.toml", text).unwrap()
}

pub(crate) fn trace(rows: &[&str]) -> Trace {
    let mut text = r#"{"tensorforge_trace":1,"name":"t","block_tokens":256}"#.to_owned();
    for row in rows {
        text.push_str(&format!("\n{{\"tenant\":\"t\",{row}}}"));
    }
    Trace::parse("t.jsonl", "t", text.as_bytes(), None).unwrap()
}

/// What one vessel with `preset` instead of what the hull has says to `rows`.
fn check(preset: &[(&str, &str)], rows: &[&str], expected: &[&str]) {
    let text = preset.iter().fold(HULL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let fleet = fleet(&(text + &vessel("v", "")));
    let trace = trace(rows);
    assert_eq!(Exchange::new(&fleet, &trace, 1).run().log, expected);
}

#[test]
fn one_order_alone() {
    // 100 ms for the prompt, with the first token at its end, and 4 x 10 ms for the other four.
    // Fuel: 1 000 x 1 mJ + 5 x 3 mJ.
    check(
        &[],
        &[r#""at":0,"tokens_in":1000,"tokens_out":5"#],
        &["140000 done 1 out=5 cached=0 first=100000 fuel=1015"],
    );
    // Shorter than the table: as its first point. Longer: the line goes on, 100 us for a token.
    check(
        &[],
        &[r#""at":0,"tokens_in":7,"tokens_out":1"#],
        &["10000 done 1 out=1 cached=0 first=10000 fuel=10"],
    );
    check(
        &[],
        &[r#""at":0,"tokens_in":3000,"tokens_out":0"#],
        &["300000 done 1 out=0 cached=0 first=0 fuel=3000"],
    );
}

#[test]
fn two_orders_share_the_steps() {
    // The second prompt is worked from 100 to 200 ms, while the first order makes 10 of its 20 tokens
    // left. Together they take 12 ms a token: the second makes its 2 by 224 ms, the first has made 12
    // then and takes 8 x 10 ms alone.
    let rows =
        [r#""at":0,"tokens_in":1000,"tokens_out":21"#, r#""at":0,"tokens_in":1000,"tokens_out":3"#];
    check(
        &[],
        &rows,
        &[
            "224000 done 2 out=3 cached=0 first=200000 fuel=1009",
            "304000 done 1 out=21 cached=0 first=100000 fuel=1063",
        ],
    );
    // With interference of 150 %, only 100 / 15 = 6 2/3 tokens are made beside the prompt, so 13 1/3
    // are left at 200 ms, 11 1/3 at 224 ms, and they take 113 333 1/3 us: late by less than one.
    check(
        &[("batch_max", "interference_percent = 150\nbatch_max")],
        &rows,
        &[
            "224000 done 2 out=3 cached=0 first=200000 fuel=1009",
            "337334 done 1 out=21 cached=0 first=100000 fuel=1063",
        ],
    );
    // One at a time: the second waits until 300 ms and has its first token 100 ms later.
    check(
        &[("batch_max = 4", "batch_max = 1")],
        &rows,
        &[
            "300000 done 1 out=21 cached=0 first=100000 fuel=1063",
            "420000 done 2 out=3 cached=0 first=400000 fuel=1009",
        ],
    );
}

#[test]
fn a_cached_prefix_is_not_worked_again() {
    // 3 x 256 tokens are found, 232 are left: 10 ms + 132 x 0.1 ms. Then 767 of 768, because the last
    // token is always worked; then 512, because the third block is another.
    check(
        &[],
        &[
            r#""at":0,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
            r#""at":200000,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
            r#""at":300000,"tokens_in":768,"tokens_out":1,"blocks":[1,2,3]"#,
            r#""at":400000,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,4]"#,
        ],
        &[
            "100000 done 1 out=1 cached=0 first=100000 fuel=1003",
            "223200 done 2 out=1 cached=768 first=23200 fuel=235",
            "310000 done 3 out=1 cached=767 first=10000 fuel=4",
            "448800 done 4 out=1 cached=512 first=48800 fuel=491",
        ],
    );
    // Room for two blocks of 256 tokens: the first two of the prompt stay.
    check(
        &[("cache_tokens = 2_000", "cache_tokens = 600")],
        &[
            r#""at":0,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
            r#""at":200000,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
        ],
        &[
            "100000 done 1 out=1 cached=0 first=100000 fuel=1003",
            "248800 done 2 out=1 cached=512 first=48800 fuel=491",
        ],
    );
}

#[test]
fn memory_is_reserved_before_a_leg_is_taken_in() {
    // 2 x 1 005 tokens do not fit in 1 500: the second waits until 140 ms.
    let small: &[_] = &[
        ("kv_tokens = 10_000", "kv_tokens = 1_500"),
        ("context_max = 10_000", "context_max = 1_500"),
    ];
    let row = r#""at":0,"tokens_in":1000,"tokens_out":5"#;
    check(
        small,
        &[row, row],
        &[
            "140000 done 1 out=5 cached=0 first=100000 fuel=1015",
            "280000 done 2 out=5 cached=0 first=240000 fuel=1015",
        ],
    );
    // 1 501 tokens never fit: all eight attempts are turned away at once.
    let refused: Vec<&str> = vec!["0 failed 1 Rejected"; 8];
    check(small, &[r#""at":0,"tokens_in":1496,"tokens_out":5"#], &refused);
}

#[test]
fn what_is_stopped_makes_room() {
    let rows = [
        r#""at":0,"tokens_in":1000,"tokens_out":50"#,
        r#""at":70000,"tokens_in":100,"tokens_out":2"#,
        r#""at":80000,"tokens_in":100,"tokens_out":2"#,
    ];
    let fleet = fleet(&(HULL.replace("batch_max = 4", "batch_max = 1") + &vessel("v", "")));
    let trace = trace(&rows);
    // Legs have 130 ms. The first is stopped then, having its first token since 100 ms and one more each 10 ms;
    // the second begins at once and takes 10 + 10 ms; the third follows it.
    let log = Exchange::new(&fleet, &trace, 1).patience(130_000, 1).run().log;
    assert_eq!(
        log,
        [
            "130000 timeout 1",
            "130000 stopped 1 in=1000 cached=0 out=4 fuel=1012",
            "150000 done 2 out=2 cached=0 first=70000 fuel=106",
            "170000 done 3 out=2 cached=0 first=80000 fuel=106",
        ]
    );
}

#[test]
fn a_route_of_three_legs() {
    let fleet = fleet(
        &(HULL.to_owned()
            + &vessel("pump", "role = \"prefill\"")
            + &vessel("mill", "role = \"decode\"")),
    );
    let trace = trace(&[r#""at":0,"tokens_in":1000,"tokens_out":3,"origin":"there""#]);
    // 30 ms for the hop, 100 ms for the prompt; then 2 ms until it has arrived and 3 x 10 ms. The first
    // token comes 12 ms after that leg's dispatch.
    assert_eq!(
        Exchange::new(&fleet, &trace, 1).run().log,
        [
            "30000 done 1 out=0 cached=0 first=0 fuel=0",
            "130000 done 1 out=0 cached=0 first=0 fuel=1000",
            "162000 done 1 out=3 cached=0 first=12000 fuel=9",
        ]
    );
}

#[test]
fn what_was_made_in_another_region_is_on_its_way() {
    let mill = vessel("mill", "role = \"decode\"").replace("here", "there");
    let text = HULL.replace("name = \"there\"", "name = \"there\"\ntransfer_ms = 40");
    let fleet = fleet(&(text + &vessel("pump", "role = \"prefill\"") + &mill));
    let trace = trace(&[r#""at":0,"tokens_in":500,"tokens_out":3"#]);
    // 10 ms for the first 100 tokens and 40 for 400 more; then 20 ms from region to region, one into the mill, and 3 x 10 ms.
    assert_eq!(
        Exchange::new(&fleet, &trace, 1).run().log,
        [
            "50000 done 1 out=0 cached=0 first=0 fuel=500",
            "101000 done 1 out=3 cached=0 first=31000 fuel=9",
        ]
    );
}

#[test]
fn what_happens_at_once_has_an_order() {
    // Both vessels end at 140 ms: by their numbers, and before the row that arrives then, which the
    // first of them then works.
    let fleet = fleet(&(HULL.to_owned() + &vessel("v", "count = 2")));
    let trace = trace(&[
        r#""at":0,"tokens_in":1000,"tokens_out":5"#,
        r#""at":0,"tokens_in":1000,"tokens_out":5"#,
        r#""at":140000,"tokens_in":100,"tokens_out":1"#,
    ]);
    assert_eq!(
        Exchange::new(&fleet, &trace, 1).run().log,
        [
            "140000 done 1 out=5 cached=0 first=100000 fuel=1015",
            "140000 done 2 out=5 cached=0 first=100000 fuel=1015",
            "150000 done 3 out=1 cached=0 first=10000 fuel=103",
        ]
    );
}
