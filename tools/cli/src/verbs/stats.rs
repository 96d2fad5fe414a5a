//! `stats`: what became of the orders of a journal, as distributions. Counted from its events; nothing is
//! decided or folded.

mod distribution;
mod gathering;
mod pools;
mod windows;

use serde_json::{Value, json};
use tensorforge_engine::fixed::Fixed;
use tensorforge_engine::models::Class;
use tensorforge_engine::statistics::{pearson, spearman};
use tensorforge_engine::units::{ModelId, TenantId, VesselId};

use crate::args::{StatsArgs, StatsBy};
use crate::failure::{Exit, Result};
use crate::moment;
use crate::names::Names;
use crate::output::{self, NAME, counted, grouped, percent, span};
use crate::text::paint;
use crate::verbs;

use self::distribution::{Distribution, MEASURES};
use self::gathering::Gathered;
use self::pools::Judged;
use self::windows::Window;

pub(crate) fn run(args: &StatsArgs, as_json: bool) -> Result<Exit> {
    let window = args.window.as_ref().map(|text| moment::span("--window", text)).transpose()?;
    let journal = verbs::open(&args.dir)?;
    let gathered = Gathered::read(&journal, args.by, window)?;
    let judged = gathered.pools.judge();
    if as_json {
        output::json(&document(&gathered, &judged, args.by));
    } else {
        print(&gathered, &judged, args.by);
    }
    Ok(Exit::AsAsked)
}

/// What a group is called.
fn group_name(names: &Names, by: StatsBy, key: u32) -> String {
    match by {
        StatsBy::Class => class_name(key).to_owned(),
        StatsBy::Tenant => names.tenant(TenantId(key)),
        StatsBy::Vessel => names.vessel(VesselId(key)),
        StatsBy::Model => names.model(ModelId(key)),
    }
}

fn class_name(key: u32) -> &'static str {
    match key {
        key if key == Class::Interactive as u32 => "interactive",
        key if key == Class::Standard as u32 => "standard",
        _ => "batch",
    }
}

/// How closely two things go together.
struct Correlation {
    what: &'static str,
    key: &'static str,
    pairs: usize,
    pearson: Option<Fixed>,
    spearman: Option<Fixed>,
}

fn correlations(gathered: &Gathered) -> [Correlation; 2] {
    let of = |what, key, pairs: &[(u64, u64)]| {
        let pairs: Vec<(Fixed, Fixed)> =
            pairs.iter().map(|(left, right)| (Fixed::from(*left), Fixed::from(*right))).collect();
        let (pearson, spearman) = (pearson(&pairs), spearman(&pairs));
        Correlation { what, key, pairs: pairs.len(), pearson, spearman }
    };
    [
        of("prompt, first token", "tokens_in_and_first_token", &gathered.prompts),
        of("answer, latency", "tokens_out_and_latency", &gathered.answers),
    ]
}

fn print(gathered: &Gathered, judged: &[Judged], by: StatsBy) {
    let tally = &gathered.tally;
    let ends = tally.ends().filter(|(_, count)| *count > 0);
    let mut said: Vec<String> = ends.map(|(end, count)| grouped(count) + " " + end).collect();
    said.push(grouped(tally.live()) + " live");
    output::say(format!("{}: {}", counted(tally.orders(), "order"), said.join(", ")));
    for (key, group) in &gathered.groups {
        output::say(paint(NAME, group_name(&gathered.names, by, *key)));
        let rows: Vec<Vec<String>> = MEASURES
            .iter()
            .zip(group)
            .map(|(measure, values)| measure.row(&Distribution::of(*measure, values)))
            .collect();
        output::say(output::table(
            &["", "number", "mean", "sd", "p50", "p90", "p99", "max"],
            &rows,
        ));
    }
    output::say(paint(NAME, "over time"));
    let header = ["from", "arrived", "refused", "completed", "failed", "failing", "tokens/s"];
    let mut rows: Vec<Vec<String>> =
        gathered.windows.rows().map(|window| window_row(span(window.from), &window)).collect();
    rows.push(window_row("in all".to_owned(), &gathered.windows.whole()));
    output::say(output::table(&header, &rows));
    output::say(paint(NAME, "what goes with what"));
    let number = |number: Option<Fixed>| number.map_or_else(|| "-".to_owned(), thousandths);
    let rows: Vec<Vec<String>> = correlations(gathered)
        .iter()
        .map(|found| {
            let pairs = grouped(found.pairs as u64);
            vec![found.what.to_owned(), pairs, number(found.pearson), number(found.spearman)]
        })
        .collect();
    output::say(output::table(&["", "number", "Pearson", "Spearman"], &rows));
    print_outliers(&gathered.names, judged);
}

fn print_outliers(names: &Names, judged: &[Judged]) {
    output::say(paint(NAME, "vessels far from their pool"));
    let outliers: Vec<Vec<String>> = judged
        .iter()
        .filter(|judged| judged.is_outlier())
        .map(|judged| {
            vec![
                names.vessel(judged.vessel),
                format!("{}, {}", names.model(judged.model), judged.hop()),
                judged.figure.name().to_owned(),
                judged.figure.text(judged.value),
                judged.figure.text(judged.median),
                thousandths(judged.z),
            ]
        })
        .collect();
    if outliers.is_empty() {
        let all = counted(judged.len() as u64, "figure");
        output::say(format!("  none: {all} of vessels compared with at least two others"));
    } else {
        let header = ["vessel", "pool", "figure", "value", "pool's median", "robust z"];
        output::say(output::table(&header, &outliers));
    }
}

fn window_row(name: String, window: &Window) -> Vec<String> {
    vec![
        name,
        grouped(window.arrived),
        grouped(window.refused),
        grouped(window.completed),
        grouped(window.failed),
        percent(window.failing().0),
        tenths(window.tokens_per_second()),
    ]
}

fn tenths(number: Fixed) -> String {
    let tenths = u64::try_from(number.in_parts(10).max(0)).unwrap_or(u64::MAX);
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

fn thousandths(number: Fixed) -> String {
    let (all, sign) = (number.in_parts(1_000), if number < Fixed::ZERO { "-" } else { "" });
    let all = all.unsigned_abs();
    let whole = u64::try_from(all / 1_000).unwrap_or(u64::MAX);
    format!("{sign}{}.{:03}", grouped(whole), all % 1_000)
}

/// The same as JSON: numbers in base units.
fn document(gathered: &Gathered, judged: &[Judged], by: StatsBy) -> Value {
    let group = |group: &[Vec<u64>; MEASURES.len()]| {
        let all = MEASURES.iter().zip(group).map(|(measure, values)| {
            (measure.key().to_owned(), measure.json(&Distribution::of(*measure, values)))
        });
        Value::Object(all.collect())
    };
    let groups = gathered.groups.iter().map(|(key, found)| {
        let name = group_name(&gathered.names, by, *key);
        json!({ "key": key, "name": name, "completed": group(found) })
    });
    let millionths = |number: Option<Fixed>| number.map(|number| number.in_parts(1_000_000) as i64);
    let correlations = correlations(gathered).into_iter().map(|found| {
        let value = json!({
            "pairs": found.pairs,
            "pearson_ppm": millionths(found.pearson),
            "spearman_ppm": millionths(found.spearman),
        });
        (found.key.to_owned(), value)
    });
    json!({
        "orders": gathered.tally.json()["orders"],
        "live": gathered.tally.live(),
        "by": format!("{by:?}").to_lowercase(),
        "groups": groups.collect::<Vec<_>>(),
        "windows": gathered.windows.rows().map(|window| window.json()).collect::<Vec<_>>(),
        "in_all": gathered.windows.whole().json(),
        "correlations": Value::Object(correlations.collect()),
        "judged": judged.iter().map(|judged| judged.json(&gathered.names)).collect::<Vec<_>>(),
    })
}
