//! `STATE.md` says what the fields of state, events and commands mean: it is made of the documentation
//! in the sources, so that it cannot go stale. With TENSORFORGE_ACCEPT=1 it is written anew.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that panics has found something"
)]

use std::fmt::Write as _;
use std::path::Path;

use tensorforge_engine::models::Stage;
use tensorforge_engine::workflow::machine::{Standing, TABLE};

/// A struct or an enum, as its source has it.
struct Item {
    module: &'static str,
    name: String,
    doc: String,
    is_enum: bool,
    members: Vec<Member>,
}

/// A field, a variant, or a field of a variant.
struct Member {
    name: String,
    of_variant: bool,
    kind: String,
    doc: String,
}

/// The public items of a source file. Nothing but what rustfmt leaves is understood.
fn items(module: &'static str, source: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let (mut doc, mut open) = (String::new(), None);
    for line in source.lines() {
        let text = line.trim();
        // A number that JSON shows as a hash has its attribute on its own line.
        let hash = text.strip_prefix(r#"#[serde(with = "crate::kernel::units::hex64")] "#);
        let text = hash.unwrap_or(text);
        if let Some(words) = text.strip_prefix("///") {
            doc = format!("{doc} {}", words.trim()).trim().to_owned();
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let head = ["pub struct ", "pub enum "].iter().position(|head| text.starts_with(head));
        if let (Some(head), Some(name)) = (head, text.strip_suffix(" {")) {
            let name = name.rsplit(' ').next().unwrap().to_owned();
            let doc = std::mem::take(&mut doc);
            items.push(Item { module, name, doc, is_enum: head == 1, members: Vec::new() });
            open = Some(indent);
        } else if open == Some(indent) && text == "}" {
            open = None;
        } else if let Some(start) = open
            && !text.starts_with(['}', '#'])
            && !text.is_empty()
        {
            assert!(!text.contains("#["), "not understood: {line}");
            let text = text.trim_start_matches("pub ").trim_end_matches([',', '{', ' ']);
            let (name, kind) = match text.split_once([':', '=', '(']) {
                Some((name, kind)) => (name.trim(), kind.trim().trim_end_matches(')')),
                None => (text, ""),
            };
            // A word's number, then what it carries under a name.
            let kind = kind.split_once(": ").map_or(kind, |(_, carried)| carried);
            let kind = if hash.is_some() { "hash" } else { kind };
            items.last_mut().unwrap().members.push(Member {
                name: name.to_owned(),
                of_variant: indent > start + 4,
                kind: kind.to_owned(),
                doc: std::mem::take(&mut doc),
            });
        }
        if !text.starts_with("#[") {
            doc.clear();
        }
    }
    items
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// What stands in JSON for a type.
fn shown(kind: &str) -> String {
    let inner = |open: &str| kind.strip_prefix(open)?.strip_suffix('>').map(shown);
    if let Some(inner) = inner("Option<") {
        return format!("{inner}, or null");
    }
    if let Some(inner) = inner("Box<") {
        return inner;
    }
    if let Some(inner) = inner("Vec<") {
        return format!("list of {inner}");
    }
    let array = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']'));
    if let Some((kind, count)) = array.and_then(|array| array.rsplit_once(';')) {
        return format!("{} of {}", count.trim(), shown(kind));
    }
    match kind {
        "Micros" => "us".into(),
        "Tokens" => "tokens".into(),
        "MicroUsd" => "micro-dollars".into(),
        "PicoUsd" => "pico-dollars".into(),
        "Millijoules" => "mJ".into(),
        "Ppm" => "ppm".into(),
        "OrderId" => "order id".into(),
        "Seq" => "record number".into(),
        "String" => "text".into(),
        "Route" => "list of Leg".into(),
        "Sketch" => "list of `most` and `count`".into(),
        "Candidates" => "list of Candidate".into(),
        "u8" | "u16" | "u32" | "u64" => "number".into(),
        id if id.ends_with("Id") => format!("{} number", snake(id.trim_end_matches("Id"))),
        "PolicyVersion" => "policy version".into(),
        slot if slot.ends_with("Slot") => format!("{} slot", snake(slot.trim_end_matches("Slot"))),
        named => named.into(),
    }
}

fn table(page: &mut String, item: &Item) {
    if item.is_enum && item.members.iter().all(|member| !member.of_variant) {
        page.push_str("| value | meaning |\n|---|---|\n");
        for Member { name, kind, doc, .. } in &item.members {
            // A number is the wire's; anything else is what the value carries.
            let carries = if kind.parse::<u32>().is_ok() || kind.is_empty() {
                String::new()
            } else {
                format!(" ({})", shown(kind))
            };
            writeln!(page, "| `{}`{carries} | {doc} |", snake(name)).unwrap();
        }
    } else {
        page.push_str("| field | is | meaning |\n|---|---|---|\n");
        for Member { name, of_variant, kind, doc } in &item.members {
            let (name, kind) = match (item.is_enum, of_variant) {
                (true, false) => {
                    let carried = if kind.parse::<u32>().is_ok() { "" } else { kind };
                    (format!("**`{}`**", snake(name)), shown(carried))
                }
                (true, true) => (format!("`.{name}`"), shown(kind)),
                (false, _) => (format!("`{name}`"), shown(kind)),
            };
            writeln!(page, "| {name} | {kind} | {doc} |").unwrap();
        }
    }
    page.push('\n');
}

/// The tables as they are declared: module, name and row.
fn tables(source: &str) -> Vec<[String; 3]> {
    let (_, rest) = source.split_once("\ntables! {\n").unwrap();
    let (declared, _) = rest.split_once("\n}").unwrap();
    let lines = declared.lines().map(str::trim).filter(|line| !line.starts_with("///"));
    lines
        .map(|line| {
            let (names, row) = line.trim_end_matches(',').split_once(" => ").unwrap();
            let (names, _) = names.split_once(": ").unwrap();
            let [_, module, name] = names.split(' ').collect::<Vec<_>>().try_into().unwrap();
            [module, name, row].map(str::to_owned)
        })
        .collect()
}

/// The life of an order, a row a transition.
fn life(page: &mut String) {
    let named = |standing: &Standing| match standing {
        Standing::New => "new",
        Standing::Live(Stage::Queued) => "queued",
        Standing::Live(Stage::Berthed) => "berthed",
        Standing::Live(Stage::Running) => "running",
        Standing::Live(Stage::Backoff) => "backoff",
        Standing::Ended => "ended",
    };
    page.push_str(LIFE);
    for row in TABLE {
        let from: Vec<&str> = row.from.iter().map(named).collect();
        let to = row.to.as_ref().map_or("where it was", named);
        writeln!(page, "| `{}` | {} | {to} | {} |", row.word, from.join(", "), row.by).unwrap();
    }
    page.push('\n');
}

/// The modules, in the order of the page, and the files of each that say what people see.
const MODULES: &[(&str, &[&str])] = &[
    ("config", &["rows", "words"]),
    ("models", &["rows", "words"]),
    ("queue", &["rows", "words"]),
    ("allocator", &["rows", "words"]),
    ("routing", &["rows", "words"]),
    ("policy", &["rows", "rows/sla", "words"]),
    ("resilience", &["rows", "words"]),
    ("workflow", &["rows", "words", "refusal"]),
    ("telemetry", &["rows", "rows/incidents", "words"]),
    ("jobs", &["rows", "words"]),
    ("security", &["rows", "words"]),
];

const HEAD: &str = "# State, events and commands

What `tensorforge state`, `log` and `explain` show, and what predicates of `bisect --when` speak of. Moments are
microseconds of the journal's own time, from its beginning; 18446744073709551615 (2^64 - 1) is never. A number
that names something is null where there is nothing to name. Hashes are sixteen hexadecimal digits;
an idempotency key is shown as the hash of its text, and as zeros where there is none.

Every table, command, event and refusal belongs to a module, and JSON names it: `{\"routing\": {\"order_routed\": ...}}`.
A path may begin with the module or with the table: `models.loads.0.used` is `loads.0.used`.

This page is made of the sources by a test.

";

const LIFE: &str = "## The life of an order

Every event that is about an order, where the order stands before and after it, and the rule that leads there. A judge
holds every event of random histories and of all scenarios against this table, and finds every row of it in them. What
is admitted is in backoff until it is routed, queued, berthed or held back, which the same record decides.

| event | the order is | and is then | because |
|---|---|---|---|
";

#[test]
fn the_page_is_what_the_sources_say() {
    let read = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
            .unwrap_or_default()
    };
    let files = MODULES.iter().flat_map(|(module, files)| files.iter().map(move |f| (*module, *f)));
    let sources: Vec<Vec<Item>> = files
        .map(|(module, file)| items(module, &read(&format!("src/{module}/{file}.rs"))))
        .collect();
    let all: Vec<&Item> = sources.iter().flatten().collect();
    let words = ["Command", "Event", "Refusal"];
    let mut page = HEAD.to_owned();
    page.push_str("## Tables\n\n");
    let mut shown: Vec<String> = Vec::new();
    for [module, name, row] in tables(&read("src/state/tables.rs")) {
        let row = all.iter().find(|item| item.name == row).unwrap_or_else(|| panic!("{row}?"));
        writeln!(page, "### `{name}` of `{module}`\n\n{}\n", row.doc).unwrap();
        table(&mut page, row);
        shown.push(row.name.clone());
    }
    for (title, word) in [("Events", "Event"), ("Commands", "Command"), ("Refusals", "Refusal")] {
        writeln!(page, "## {title}\n").unwrap();
        for item in all.iter().filter(|item| item.name == word) {
            writeln!(page, "### {title} of `{}`\n\n{}\n", item.module, item.doc).unwrap();
            table(&mut page, item);
        }
    }
    life(&mut page);
    page.push_str("## What these are made of\n\n");
    let mut parts: Vec<&&Item> = all
        .iter()
        .filter(|item| !shown.contains(&item.name) && !words.contains(&item.name.as_str()))
        .filter(|item| !["Scopes", "Source", "Candidates"].contains(&item.name.as_str()))
        .collect();
    parts.sort_by_key(|item| &item.name);
    for part in parts {
        writeln!(page, "### {}\n\n{}\n", part.name, part.doc).unwrap();
        table(&mut page, part);
    }
    let page = format!("{}\n", page.trim_end());
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("STATE.md");
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        std::fs::write(&pinned, &page).unwrap();
    }
    assert!(read("STATE.md") == page, "STATE.md is not what the sources say");
    // A reader of sources that understands nothing would find nothing wrong.
    let fields = page.lines().filter(|line| line.starts_with("| ")).count();
    assert!(fields > 300 && !page.contains("|  |\n"), "{fields} lines, or one without a meaning");
}
