//! Expressions that would take the machine with them are refused, with the bound that they are beyond;
//! all others have one answer, whatever the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::*;

/// Searches with little memory at hand; the exit code, and what was said.
fn bisect(folder: &Folder, journal: &str, expression: &str) -> Ran {
    let mut command = folder.command_of(Path::new("sh"), "-c");
    command.arg("ulimit -v 4000000; exec \"$0\" bisect \"$1\" --when \"$2\"");
    command.args([env!("CARGO_BIN_EXE_tensorforge"), journal, expression]);
    let started = Instant::now();
    let ran = Ran::of(command.env("RUST_BACKTRACE", "0"));
    let taken = started.elapsed();
    let shown: String = expression.chars().take(60).collect();
    assert!(taken < Duration::from_secs(60), "{shown} has taken {taken:?}");
    ran
}

/// Holds an expression against the bound that it is beyond.
fn check(folder: &Folder, expression: &str, bound: &str) {
    let ran = bisect(folder, "j.tfj", expression);
    let shown: String = expression.chars().take(60).collect();
    assert_eq!(ran.code, Some(2), "{shown}: {}{}", ran.stdout, ran.stderr);
    let error = ran.stderr.lines().next().unwrap_or_default();
    assert!(error.starts_with("error: --when") && error.contains(bound), "{shown}: {error}");
    assert!(ran.stderr.len() < 6_000, "{shown}: {} bytes of error", ran.stderr.len());
}

#[test]
fn expressions_that_are_too_long() {
    const LONG: &str = " bytes, at most 4096 are read";
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let ones = |count: usize| format!("control.orders > {}1", "1 + ".repeat(count));
    check(&folder, &ones(1_020), &format!("the expression has 4098{LONG}"));
    for (before, between, after) in [
        ("control.orders > ", "1 + ", "1"),
        ("control.orders > ", "1 - -", "1"),
        ("control.orders > 3", " || control.orders > 3", ""),
        ("control", ".orders", ""),
        ("control", "[0]", ""),
        ("[control.orders", ", 1", "] == []"),
        ("control.orders > ", "(", ""),
        ("", "!", "control.orders > 3"),
    ] {
        let text = format!("{before}{}{after}", between.repeat(100_000 / between.len()));
        check(&folder, &text, LONG);
    }
    // What is just short enough has an answer, however it leans.
    for (text, code) in [
        (ones(1_019), 1),
        (format!("control.orders > 3{}", " || control.orders > 3".repeat(184)), 1),
        (format!("[1]{}.size() > control.orders", ".map(a, a + 1)".repeat(289)), 1),
        (format!("control.orders > 3 ? true : false{}", " || false".repeat(440)), 1),
    ] {
        let ran = bisect(&folder, "j.tfj", &text);
        assert_eq!(ran.code, Some(code), "{} bytes: {}", text.len(), ran.stderr);
    }
}

#[test]
fn expressions_that_nest_too_deeply() {
    const DEEP: &str = "at most 32 levels are followed";
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let nested = |open: &str, inner: &str, close: &str, levels: usize| {
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    for levels in [33, 90, 500] {
        for (open, close) in [("(", ")"), ("!", ""), ("! ", ""), ("!(", ")"), ("[", "]")] {
            check(&folder, &nested(open, "control.orders > 3", close, levels), DEEP);
        }
        check(&folder, &format!("control.orders > {}", nested("-", "1", "", levels)), DEEP);
        check(&folder, &format!("control.orders > {}", nested("size([", "1", "])", levels)), DEEP);
    }
    check(&folder, &nested("{1: ", "control", "}", 200), DEEP);
    check(&folder, &nested("control.orders > 3 ? true : ", "true", "", 120), DEEP);
    // A bracket in a text is none; as deep as it may be is followed.
    let quoted = format!("control.orders > 3 && '{0}' != \"{0}!\"", "(".repeat(200));
    assert_eq!(bisect(&folder, "j.tfj", &quoted).code, Some(1));
    for (open, close) in [("(", ")"), ("!!", "")] {
        let text =
            nested(open, "(control.orders > 3)", close, if close.is_empty() { 16 } else { 31 });
        let ran = bisect(&folder, "j.tfj", &text);
        assert_eq!(ran.code, Some(1), "{text}: {}", ran.stderr);
    }
}

#[test]
fn expressions_that_take_too_many_steps() {
    const STEPS: &str = " steps on the state after ";
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let nested = |verb: &str, inner: &str, levels: usize| {
        let each = |level| format!("{ten}.{verb}(v{level}, ");
        let open: String = (0..levels).map(each).collect();
        format!("{open}{inner}{}", ")".repeat(levels))
    };
    let doubled = |first: &str, step: &str| format!("{first}{}", step.repeat(60));
    for text in [
        nested("all", "control.orders >= 0", 9),
        nested("exists", "control.orders < 0", 9),
        nested("exists_one", "control.orders < 0", 9),
        format!("{} == [control]", nested("map", "control.orders", 9)),
        nested("filter", "control.orders >= 0", 9).replace(')', ").size() < 0"),
        // An error inside does not end a loop, and so must not hide how long it is.
        nested("all", "control.nosuch", 9),
        nested("exists", "1 / 0 == control.orders", 9),
        format!("true || {}", nested("all", "control.orders >= 0", 9))
            .replace("true ||", "control.orders < 0 ||"),
        // Texts, lists and maps that grow from one step to the next.
        doubled("['x']", ".map(a, a + a)") + "[0].size() == control.orders",
        doubled("[['x']]", ".map(a, a + a)") + "[0].size() == control.orders",
        doubled("['x']", ".map(a, [a, a])") + "[0].size() == control.orders",
        doubled("['x']", ".map(a, {1: a, 2: a})") + "[0].size() == control.orders",
        doubled("['x']", ".map(a, [a].map(b, [a, b]))") + "[0].size() == control.orders",
        // Few steps over much.
        format!("{} && control.orders < 0", nested("all", "accounts == accounts", 5)),
        format!("{} && control.orders < 0", nested("exists", "v0 in [models, models, vessels]", 6)),
    ] {
        check(&folder, &text, STEPS);
    }
    // The same bound every time, whatever else the machine does, and however a table is laid out.
    let text = "prefixes.exists(a, prefixes.exists(b, prefixes.exists(c, prefixes.exists(d, a + b + c == d))))";
    let said: Vec<String> = (0..3).map(|_| bisect(&folder, "j.tfj", text).stderr).collect();
    assert!(said[0].contains(STEPS), "{}", said[0]);
    assert!(said.iter().all(|other| *other == said[0]), "{said:?}");
    // What is long but not endless is answered.
    for (text, code) in [
        ("vessels.exists(a, vessels.exists(b, vessels.exists(c, a + b + c == '123')))", 1),
        ("orders.all(a, orders.all(b, a == b || orders[a].id != orders[b].id))", 1),
        ("prefixes.all(a, prefixes.exists(b, prefixes[a] == prefixes[b]))", 1),
    ] {
        let ran = bisect(&folder, "j.tfj", text);
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.stderr);
    }
}

#[test]
fn tables_are_walked_in_the_order_of_their_keys() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let plain = bisect(&folder, "j.tfj", "orders.size() > 10");
    assert_eq!(plain.code, Some(1), "{}", plain.stderr);
    for text in [
        "orders.size() > 10 && orders.all(o, int(o) >= int(orders.map(p, p)[0]))",
        "orders.size() > 10 && orders.all(o, int(o) <= int(orders.filter(p, true)[orders.size() - 1]))",
    ] {
        let ran = bisect(&folder, "j.tfj", text);
        let turned = |ran: &Ran| {
            ran.stdout
                .lines()
                .next()
                .and_then(|line| line.split(" turns ").nth(1).map(str::to_owned))
        };
        assert_eq!((ran.code, turned(&ran)), (Some(1), turned(&plain)), "{text}: {}", ran.stderr);
    }
}

#[test]
fn an_expression_may_begin_with_a_sign() {
    let folder = Folder::new();
    folder.ok("capture --out j.tfj");
    let plain = folder.command("bisect j.tfj --json --when").arg("control.orders > 3").output();
    let signed = folder.command("bisect j.tfj --json --when").arg("-control.orders < -3").output();
    let [plain, signed] = [plain, signed].map(|out| out.expect("an answer"));
    assert_eq!(signed.status.code(), Some(1), "{}", String::from_utf8_lossy(&signed.stderr));
    assert_eq!(signed.stdout, plain.stdout);
}
