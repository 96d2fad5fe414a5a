//! The reference pages say what the readers do: their examples are read, their tables list exactly the
//! keys that are taken, and what holds where a key is left out is what they say.
//!
//! The keys are not repeated here. A reader that meets one it does not know says which it would have
//! taken, and a page is held against that.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use tensorforge_engine::config::Limits;
use tensorforge_fleet::{DocumentError, Fleet, Recipe, parse_policy};
use toml::{Table, Value};

/// Values that a page allows and that contradict what its example says elsewhere: the table, the key,
/// the value and what it is refused for.
const TIED: [(&str, &str, i64, &str); 9] = [
    ("vessel.0", "count", 1, "fault[0].vessel is \"dory\", not a vessel of this fleet"),
    ("preset.boat", "kv_tokens", 1, "context_max is 4000, more than the 1 of kv_tokens"),
    ("fault.0", "from_ms", YEARS, "fault[0].until_ms is not after from_ms"),
    ("fault.1", "from_ms", YEARS, "fault[1].until_ms is not after from_ms"),
    ("fault.2", "from_ms", YEARS, "fault[2].until_ms is not after from_ms"),
    ("escalation", "review_ms", YEARS, "escalation.dwell_ms is below escalation.review_ms"),
    ("retry", "backoff_ms", YEARS, "retry.backoff_ms is above retry.backoff_max_ms"),
    ("overload", "pause_ms", YEARS, "overload.pause_ms is above overload.pause_max_ms"),
    ("", "duration_ms", YEARS, "arrivals.rate over duration_ms makes more than 10000000 rows"),
];

/// The longest span of milliseconds.
const YEARS: i64 = 1_000_000_000_000;

/// What no reader knows.
const UNKNOWN: &str = "no_such_thing";

/// A page, its example, and who reads what it is about; what is read is told by its debug text.
struct Page {
    text: String,
    example: Table,
    read: fn(&str) -> Result<String, String>,
}

fn told<T: Debug>(read: Result<T, DocumentError>) -> Result<String, String> {
    read.map(|value| format!("{value:?}")).map_err(|error| error.to_string())
}

fn fleets() -> Page {
    Page::new("fleets", |text| told(Fleet::parse("f", text)))
}

fn policies() -> Page {
    Page::new("policies", |text| told(parse_policy("p", text)))
}

fn recipes() -> Page {
    Page::new("traces", |text| told(Recipe::parse("r", text)))
}

impl Page {
    fn new(folder: &str, read: fn(&str) -> Result<String, String>) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
        let text = fs::read_to_string(path.join("README.md")).unwrap();
        let blocks: Vec<&str> = text
            .split("```toml\n")
            .skip(1)
            .map(|rest| rest.split_once("```").expect("the end of a block").0)
            .collect();
        assert!(!blocks.is_empty(), "{folder} has no example");
        for block in &blocks {
            read(block).unwrap_or_else(|error| panic!("{folder}: {error}\n{block}"));
        }
        let example = blocks[0].parse().unwrap();
        Self { text, example, read }
    }

    /// The cells of the table under a heading, a row for each key, without the backticks of the key.
    fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        let mut lines = self.text.lines().skip_while(|line| *line != heading).skip(1);
        let section: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with('#')).collect();
        let rows = section.iter().filter(|line| line.starts_with("| `"));
        let rows: Vec<Vec<String>> = rows
            .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().into()).collect())
            .map(|mut row: Vec<String>| {
                row[0] = row[0].trim_matches('`').to_owned();
                row
            })
            .collect();
        assert!(!rows.is_empty(), "no table under {heading}");
        rows
    }

    fn read(&self, file: &Table) -> Result<String, String> {
        (self.read)(&toml::to_string(file).unwrap())
    }

    /// The example with another value, or none, for a key of the table at `path`.
    fn with(&self, path: &str, key: &str, value: Option<Value>) -> Table {
        let mut file = self.example.clone();
        let table = table_at(&mut file, path);
        match value {
            Some(value) => table.insert(key.to_owned(), value),
            None => table.remove(key),
        };
        file
    }

    /// What the reader would have taken instead of something that it does not know.
    fn expected(&self, path: &str, key: &str, value: Value) -> BTreeSet<String> {
        let error = self.read(&self.with(path, key, Some(value))).unwrap_err();
        // One wording is serde's, the other that of its TOML reader.
        if let Some((_, names)) = error.split_once(&format!(" `{UNKNOWN}`, expected ")) {
            return quoted(names, '`');
        }
        let (_, names) = error
            .split_once(&format!("{UNKNOWN}, available keys: "))
            .unwrap_or_else(|| panic!("{path} {key}: {error}"));
        names.split(", ").map(str::to_owned).collect()
    }

    fn keys(&self, path: &str) -> BTreeSet<String> {
        self.expected(path, UNKNOWN, Value::Integer(1))
    }

    fn names(&self, path: &str, key: &str) -> BTreeSet<String> {
        self.expected(path, key, UNKNOWN.into())
    }

    /// The table under `heading` lists the keys of the table at `path`, and those in `besides`; all that
    /// it says about them holds.
    fn check(&self, heading: &str, path: &str, besides: &[&str]) {
        let rows = self.rows(heading);
        let listed: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
        let besides = besides.iter().map(|key| (*key).to_owned());
        let taken: BTreeSet<String> = self.keys(path).into_iter().chain(besides).collect();
        assert_eq!(listed, taken, "{heading}");
        assert_eq!(listed.len(), rows.len(), "{heading} lists a key twice");
        for row in &rows {
            self.check_left_out(path, &row[0], &row[2]);
            self.check_bounds(path, &row[0], &row[1]);
        }
    }

    fn check_left_out(&self, path: &str, key: &str, says: &str) {
        let without = self.read(&self.with(path, key, None));
        if says == "not possible" {
            assert!(without.is_err(), "{path}.{key} may be left out");
            return;
        }
        let without = without.unwrap_or_else(|error| panic!("{path}.{key}: {error}"));
        if let Some(literal) = says.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            let value: Table = format!("value = {literal}").parse().unwrap();
            let with = self.with(path, key, value.get("value").cloned());
            assert_eq!(self.read(&with).as_ref(), Ok(&without), "{path}.{key} is not {literal}");
        }
    }

    /// Where a value is stated as `1 to 64` or `1 at least`, these whole numbers are taken and those
    /// beside them are refused.
    fn check_bounds(&self, path: &str, key: &str, says: &str) {
        let example = table_at(&mut self.example.clone(), path).get(key).cloned();
        if matches!(example, Some(Value::Table(_) | Value::Array(_))) || says.starts_with('`') {
            return;
        }
        let (low, high) = bounds(says);
        let high = high.or(says.starts_with("ms").then_some(YEARS));
        let read = |value| self.read(&self.with(path, key, Some(Value::Integer(value))));
        for value in low.into_iter().chain(high) {
            let told = read(value).err();
            let tied = TIED.iter().find(|tied| (tied.0, tied.1, tied.2) == (path, key, value));
            match (&told, tied) {
                (None, None) => {}
                (Some(told), Some((.., why))) if told.contains(why) => {}
                _ => panic!("{path}.{key} may not be {value}: {told:?}"),
            }
        }
        let below = low.map(|low| low - 1).filter(|below| *below >= 0);
        for value in below.into_iter().chain(high.map(|high| high + 1)) {
            assert!(read(value).is_err(), "{path}.{key} may be {value}");
        }
    }

    /// Every name that `key` of the table at `path` may have stands in the row of the key.
    fn check_names(&self, heading: &str, path: &str, key: &str) {
        let rows = self.rows(heading);
        let row = rows.iter().find(|row| row[0] == key).unwrap();
        assert_eq!(quoted(&row[1], '"'), self.names(path, key), "{path}.{key}");
    }
}

/// What stands between two of these marks.
fn quoted(text: &str, mark: char) -> BTreeSet<String> {
    text.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table at a path of keys and places; one that is not there is empty.
fn table_at<'a>(file: &'a mut Table, path: &str) -> &'a mut Table {
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    let mut table = file;
    while let Some(part) = parts.next() {
        let entry = table.entry(part).or_insert_with(|| Table::new().into());
        let next = match entry {
            Value::Array(entries) => {
                let place: usize = parts.next().unwrap().parse().unwrap();
                &mut entries[place]
            }
            entry => entry,
        };
        table = next.as_table_mut().unwrap();
    }
    table
}

/// The least and the most of a whole number that is stated as a range.
fn bounds(says: &str) -> (Option<i64>, Option<i64>) {
    let digits = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words: Vec<String> = Vec::new();
    for word in says.split([' ', ',', ';']) {
        match words.last_mut().filter(|last| digits(last) && digits(word)) {
            // Pages write digits in groups of three.
            Some(last) => last.push_str(word),
            None => words.push(word.to_owned()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let range = words.windows(3).find_map(|three| match three {
        [low, "to", high] => Some((low.parse().ok()?, high.parse().ok())),
        [low, "at", "least"] => Some((low.parse().ok()?, None)),
        _ => None,
    });
    // With fractions there is no next number.
    match range.filter(|_| !says.contains("fractions")) {
        Some((low, high)) => (Some(low), high),
        None => (None, None),
    }
}

#[test]
fn the_page_on_fleets_is_true() {
    let page = fleets();
    page.check("### The file", "", &[]);
    page.check("### `[[region]]`", "region.0", &[]);
    page.check("### `[[model]]`", "model.0", &[]);
    page.check("### `[[vessel]]`", "vessel.0", &[]);
    page.check_names("### `[[vessel]]`", "vessel.0", "role");
    page.check("### `[preset.NAME]`", "preset.boat", &[]);
    page.check("### `prefill`", "preset.boat.prefill", &[]);
    page.check("### `decode`", "preset.boat.decode", &[]);
    page.check("### `[[tenant]]`", "tenant.0", &[]);
    page.check("### `[contract]`", "contract", &[]);
    let kinds = page.names("fault.0", "kind");
    let shown: BTreeSet<String> = (0..page.example["fault"].as_array().unwrap().len())
        .map(|place| {
            let path = format!("fault.{place}");
            let kind = table_at(&mut page.example.clone(), &path)["kind"].as_str().unwrap().into();
            // The kind says which other keys there are, and is none of them.
            page.check(&format!("### `{kind}`"), &path, &["kind"]);
            kind
        })
        .collect();
    assert_eq!(shown, kinds);
}

#[test]
fn the_page_on_fleets_knows_the_limits() {
    let page = fleets();
    let defaults = serde_json::to_value(Limits::default()).unwrap();
    let defaults = defaults.as_object().unwrap();
    let rows = page.rows("### `[limits]`");
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(listed, defaults.keys().map(String::as_str).collect());
    for row in &rows {
        page.check_left_out("limits", &row[0], &row[2]);
        let most: i64 = row[1].replace(' ', "").parse().unwrap();
        let with = |value| page.read(&page.with("limits", &row[0], Some(Value::Integer(value))));
        assert!(with(most).is_ok() && with(most + 1).is_err() && with(0).is_err(), "{row:?}");
    }
}

#[test]
fn the_page_on_policies_is_true() {
    let page = policies();
    page.check("### The file", "", &[]);
    page.check_names("### The file", "", "route_by");
    for table in page.keys("") {
        let alone = [
            "route_by",
            "candidates",
            "home_percent",
            "prefix_age_ms",
            "key_age_ms",
            "berth_grace_ms",
            "stop_ms",
            "preempt",
            "overcommit_percent",
        ];
        if !alone.contains(&table.as_str()) {
            page.check(&format!("### `[{table}]`"), &table, &[]);
        }
    }
    for table in ["weights", "drift"] {
        page.check(&format!("### `[escalation.{table}]`"), &format!("escalation.{table}"), &[]);
    }
    page.check("### `[incidents.CONCERN]`", "incidents.failing", &[]);
}

#[test]
fn the_page_on_recipes_is_true() {
    let page = recipes();
    page.check("### The recipe", "", &[]);
    page.check("### `[arrivals]`", "arrivals", &[]);
    page.check_names("### `[arrivals]`", "arrivals", "process");
    page.check("### `[[tenant]]`", "tenant.0", &[]);
    page.check_names("### `[[tenant]]`", "tenant.0", "class");
    page.check_names("### `[[tenant]]`", "tenant.0", "kind");
    page.check("### `prefixes`", "tenant.0.prefixes", &[]);
    page.check("### `resend`", "tenant.0.resend", &[]);
    let rows = page.rows("### Lengths");
    let listed: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(listed, page.names("tenant.0", "tokens_in"));
    for (kind, path) in
        [("lognormal", "tenant.0.tokens_in.lognormal"), ("uniform", "tenant.0.tokens_out.uniform")]
    {
        let row = rows.iter().find(|row| row[0] == kind).unwrap();
        assert_eq!(quoted(&row[1], '`'), page.keys(path), "{kind}");
    }
}
