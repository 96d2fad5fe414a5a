//! What goes wrong, worked by hand.

use tensorforge_fleet::{Sim, SimError};

use super::exchange::Exchange;
use super::vessels::{HULL, fleet, trace, vessel};

const ROW: &str = r#""at":0,"tokens_in":1000,"tokens_out":5"#;

fn check(
    fault: &str,
    more: &str,
    rows: &[&str],
    (timeout, attempts): (u64, u16),
    expected: &[&str],
) {
    let fleet = fleet(&format!("{HULL}{}[[fault]]\nvessel = \"v\"\n{fault}", vessel("v", more)));
    let trace = trace(rows);
    assert_eq!(Exchange::new(&fleet, &trace, 1).patience(timeout, attempts).run().log, expected);
}

#[test]
fn a_slow_vessel() {
    // Half of the prompt is done at 50 ms; the other half takes 100 ms, until the end of the window.
    check(
        "kind = \"slow\"\nfrom_ms = 50\nuntil_ms = 150\npercent = 200",
        "",
        &[ROW],
        (9_000_000, 1),
        &["190000 done 1 out=5 cached=0 first=150000 fuel=1015"],
    );
    // In 100 ms at a third of the pace 33 333 of 50 000 us are done; 16 667 are left at 150 ms.
    check(
        "kind = \"slow\"\nfrom_ms = 50\nuntil_ms = 150\npercent = 300",
        "",
        &[ROW],
        (9_000_000, 1),
        &["206667 done 1 out=5 cached=0 first=166667 fuel=1015"],
    );
}

#[test]
fn a_failing_vessel() {
    // Calls fail 5 ms later until the window ends at 12 ms; the fourth attempt is made after it.
    check(
        "kind = \"failing\"\nfrom_ms = 0\nuntil_ms = 12\nshare_ppm = 1_000_000\nafter_ms = 5",
        "",
        &[ROW],
        (9_000_000, 8),
        &[
            "5000 failed 1 Error",
            "10000 failed 1 Error",
            "15000 failed 1 Error",
            "155000 done 1 out=5 cached=0 first=100000 fuel=1015",
        ],
    );
}

#[test]
fn a_lost_vessel() {
    // It sinks at 50 ms with the order aboard, is reported at 60 ms and back at 1 s, when it says so;
    // the call at 500 ms is lost too. Nothing is cached any more at 1 s: the prompt takes 100 ms.
    check(
        "kind = \"lost\"\nfrom_ms = 150\nuntil_ms = 1_000\nreported_after_ms = 10",
        "",
        &[
            r#""at":0,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
            r#""at":140000,"tokens_in":1000,"tokens_out":1,"blocks":[1,2,3]"#,
        ],
        (500_000, 3),
        &[
            "100000 done 1 out=1 cached=0 first=100000 fuel=1003",
            "160000 lose 0",
            "640000 timeout 2",
            "1000000 beat 0",
            "1140000 timeout 2",
            "1240000 done 2 out=1 cached=0 first=100000 fuel=1003",
        ],
    );
    // Lost for good, and nobody says so.
    check(
        "kind = \"lost\"\nfrom_ms = 50",
        "",
        &[ROW],
        (500_000, 2),
        &["500000 timeout 1", "1000000 timeout 1"],
    );
}

#[test]
fn a_flapping_vessel() {
    // Down from 200 to 350 and from 450 to 600 ms, where the window ends; it reports when it comes up
    // and every 100 ms besides.
    check(
        "kind = \"flapping\"\nfrom_ms = 200\nuntil_ms = 600\ndown_ms = 150\nup_ms = 100",
        "heartbeat_ms = 100",
        &[ROW, r#""at":650000,"tokens_in":100,"tokens_out":1"#],
        (9_000_000, 1),
        &[
            "100000 beat 0",
            "140000 done 1 out=5 cached=0 first=100000 fuel=1015",
            "350000 beat 0",
            "400000 beat 0",
            "600000 beat 0",
            "600000 beat 0",
            "660000 done 2 out=1 cached=0 first=10000 fuel=103",
        ],
    );
}

#[test]
fn seeds_differ_only_where_something_is_drawn() {
    let rows: Vec<String> = (0..40)
        .map(|n| format!(r#""at":{},"tokens_in":1000,"tokens_out":5"#, n * 1_000_000))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let trace = trace(&rows);
    let calm = fleet(&(HULL.to_owned() + &vessel("v", "")));
    let run = |fleet, seed| Exchange::new(fleet, &trace, seed).patience(9_000_000, 1).run().log;
    assert_eq!(run(&calm, 1), run(&calm, 2));

    let fault = "[[fault]]\nvessel = \"v\"\nkind = \"failing\"\nfrom_ms = 0\nuntil_ms = 99_000\nshare_ppm = 500_000";
    let rough = fleet(&format!("{HULL}{}{fault}", vessel("v", "")));
    let (one, two) = (run(&rough, 1), run(&rough, 2));
    assert_eq!(one, run(&rough, 1));
    assert_ne!(one, two);
    // The rows are a second apart and do not disturb each other: two that differ are one success and
    // one failure, two successes are alike to the microsecond.
    for (a, b) in one.iter().zip(&two).filter(|(a, b)| a != b) {
        assert!(a.contains("failed") != b.contains("failed"), "{a} / {b}");
    }
    let failures = one.iter().filter(|line| line.contains("failed")).count();
    assert!((12..=28).contains(&failures), "{failures} of 40 at one half");
}

#[test]
fn a_trace_that_names_what_the_fleet_lacks() {
    let fleet = fleet(&(HULL.to_owned() + &vessel("v", "")));
    let refused = |row: &str| -> SimError { Sim::new(&fleet, &trace(&[ROW, row]), 1).unwrap_err() };
    assert_eq!(
        refused(r#""at":0,"tokens_in":1,"tokens_out":1,"model":"n""#).to_string(),
        r#"trace "t", row 2: model is "n", but fleet "test" has only "m""#,
    );
    assert_eq!(
        refused(r#""at":0,"tokens_in":1,"tokens_out":1,"origin":"sea""#).to_string(),
        r#"trace "t", row 2: origin is "sea", but fleet "test" has only "here", "there""#,
    );
}
