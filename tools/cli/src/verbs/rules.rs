//! `rules`: everything that can be said, decided, refused or set, and the scenarios that reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::Tenant;
use tensorforge_fleet::parse_policy;
use tensorforge_fleet::scenario::Scenario;
use tensorforge_journal::schema;

use crate::args::RulesArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, BAD};
use crate::text::paint;
use crate::verbs::snapshot_test::scenarios;

/// A rule by its kind and its name: `event`, `queue.order_queued`.
type Rule = (&'static str, String);

pub(crate) fn run(args: &RulesArgs, as_json: bool) -> Result<Exit> {
    let mut reached: BTreeMap<Rule, BTreeSet<String>> =
        all()?.into_iter().map(|rule| (rule, BTreeSet::new())).collect();
    for path in scenarios(&args.dir)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for rule in of_scenario(&path)? {
            if let Some(scenarios) = reached.get_mut(&rule) {
                scenarios.insert(name.clone());
            }
        }
    }
    let count = |times| reached.values().filter(|scenarios| scenarios.len() == times).count();
    let (unreached, once) = (count(0), count(1));
    if as_json {
        let rules: Vec<Value> = reached
            .iter()
            .map(|((kind, name), scenarios)| json!({ "kind": kind, "name": name, "scenarios": scenarios }))
            .collect();
        output::json(&json!({ "rules": rules, "unreached": unreached, "once": once }));
    } else {
        let mut rows = Vec::new();
        for ((kind, name), scenarios) in &reached {
            let told: Vec<&str> = scenarios.iter().map(String::as_str).collect();
            if told.is_empty() {
                output::say(paint(BAD, format!("unreached {kind} {name}")));
            } else if !args.unreached {
                rows.push(format!("{kind:<8} {name:<44} {}", told.join(" ")));
            }
        }
        rows.into_iter().for_each(output::say);
        let all = reached.len();
        output::say(format!(
            "{unreached} of {all} are reached by no scenario, {once} by one alone"
        ));
    }
    Ok(if unreached == 0 { Exit::AsAsked } else { Exit::Different })
}

/// Every command, event and refusal of the schema, and every setting.
fn all() -> Result<BTreeSet<Rule>> {
    let mut rules = BTreeSet::new();
    let mut module: Option<(&'static str, &str)> = None;
    for line in schema::TEXT.lines() {
        if !line.starts_with(' ') {
            let words = line.strip_prefix("enum ").and_then(|name| name.split_once("::"));
            module = words.and_then(|(of, word)| match word {
                "Command" => Some(("command", of)),
                "Event" => Some(("event", of)),
                "Refusal" => Some(("refusal", of)),
                _ => None,
            });
            continue;
        }
        let variant = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        let name = variant.and_then(|rest| rest.split(' ').nth(1));
        if let (Some((kind, of)), Some(name)) = (module, name) {
            rules.insert((kind, format!("{of}.{name}")));
        }
    }
    for (of, value) in defaults()? {
        leaves(&of, &value, &mut |path, _| {
            rules.insert(("setting", path.to_owned()));
        });
    }
    Ok(rules)
}

/// The settings as they are where nobody sets them.
fn defaults() -> Result<[(String, Value); 3]> {
    let policy = parse_policy("the default policy", "").map_err(Failure::input)?;
    let value = |value: serde_json::Result<Value>| value.map_err(Failure::input);
    Ok([
        ("policy".to_owned(), value(serde_json::to_value(policy))?),
        ("limits".to_owned(), value(serde_json::to_value(Limits::default()))?),
        ("tenant".to_owned(), value(serde_json::to_value(Tenant::unlimited("")))?),
    ])
}

/// Hands over every number or text in a value, by its path; lists count as one.
fn leaves(path: &str, value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(&format!("{path}.{name}"), value, each));
        }
        value => each(path, value),
    }
}

/// What a scenario reaches: what is said in it, what is decided, and what it sets otherwise than the default.
fn of_scenario(path: &Path) -> Result<BTreeSet<Rule>> {
    let played =
        Scenario::open(path).and_then(|scenario| scenario.play()).map_err(Failure::input)?;
    let mut rules = BTreeSet::new();
    let default: BTreeMap<String, Value> = defaults()?.into();
    let set = |of: &str, value: &Value, rules: &mut BTreeSet<Rule>| {
        let mut usual = BTreeMap::new();
        leaves(of, &default[of], &mut |path, value| {
            usual.insert(path.to_owned(), value.clone());
        });
        leaves(of, value, &mut |path, value| {
            if usual.get(path) != Some(value) {
                rules.insert(("setting", path.to_owned()));
            }
        });
    };
    for (_, command) in &played.commands {
        let value = serde_json::to_value(command).map_err(Failure::input)?;
        if let Some(policy) = value.pointer("/policy/set_policy") {
            set("policy", policy, &mut rules);
        }
        if let Some(limits) = value.pointer("/config/configure") {
            set("limits", limits, &mut rules);
        }
        if let Some(tenant) = value.pointer("/models/register_tenant") {
            set("tenant", tenant, &mut rules);
        }
        rules.extend(word(&value).map(|name| ("command", name)));
    }
    for event in played.records.iter().flat_map(|(_, events)| events) {
        let value = serde_json::to_value(event).map_err(Failure::input)?;
        let refused = ["command_refused", "order_refused"]
            .iter()
            .find_map(|name| value.pointer(&format!("/workflow/{name}/refusal")));
        rules.extend(refused.and_then(word).map(|name| ("refusal", name)));
        rules.extend(word(&value).map(|name| ("event", name)));
    }
    Ok(rules)
}

/// The name of a word, with its module's.
fn word(value: &Value) -> Option<String> {
    let (module, word) = value.as_object()?.iter().next()?;
    let name = match word {
        Value::String(name) => name,
        word => word.as_object()?.keys().next()?,
    };
    Some(format!("{module}.{name}"))
}
