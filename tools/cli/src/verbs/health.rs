//! `health`: how well vessels, models and the exchange are after some record, and what takes which points.

use serde_json::{Map, Value, json};
use tensorforge_engine::State;
use tensorforge_engine::telemetry::health::{self, Health, Input, Unit};
use tensorforge_journal::{Mode, state_at};

use crate::args::HealthArgs;
use crate::failure::{Exit, Result};
use crate::moment;
use crate::output::{self, BAD, GOOD, NAME, counted, grouped, percent, span};
use crate::text::paint;
use crate::verbs;

/// From here on something is called well.
const WELL: u32 = 90;

pub(crate) fn run(args: &HealthArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let state = state_at(&journal, Mode::Fold, records)?;
    let found = Found::of(&state);
    if as_json {
        output::json(&json!({
            "records": records,
            "time_us": state.now(),
            "exchange": health_json(&found.exchange),
            "models": named_json(&found.models),
            "vessels": named_json(&found.vessels),
        }));
    } else {
        let records = counted(records, "record");
        output::say(format!("after {records}, at {}", span(state.now().0)));
        found.print();
    }
    Ok(Exit::AsAsked)
}

/// The health of everything there is.
struct Found {
    exchange: Health,
    models: Vec<(String, Health)>,
    vessels: Vec<(String, Health)>,
}

impl Found {
    fn of(state: &State) -> Self {
        let models = state.tables.models.iter();
        let models =
            models.filter_map(|(id, model)| Some((model.name.clone(), health::model(state, id)?)));
        let vessels = state.tables.vessels.iter();
        let vessels = vessels
            .filter_map(|(id, vessel)| Some((vessel.name.clone(), health::vessel(state, id)?)));
        let (models, vessels) = (models.collect(), vessels.collect());
        Self { exchange: health::exchange(state), models, vessels }
    }

    fn print(&self) {
        let points = self.exchange.points;
        let style = if points >= WELL { GOOD } else { BAD };
        output::say(paint(NAME, "exchange") + " " + paint(style, points));
        let rows: Vec<Vec<String>> = self
            .exchange
            .inputs
            .iter()
            .map(|input| {
                let found = figure(input, input.found);
                let (worst, weight) = (figure(input, input.worst), input.weight.to_string());
                vec![input.name.to_owned(), found, worst, weight, taken(input)]
            })
            .collect();
        output::say(output::table(&["", "found", "worst", "weight", "takes"], &rows));
        print_all("models", &self.models);
        print_all("vessels", &self.vessels);
    }
}

/// One row for each, below the weights and what is worst; what takes points of it says how many.
fn print_all(what: &str, all: &[(String, Health)]) {
    let Some((_, first)) = all.first() else { return };
    output::say(paint(NAME, what));
    let names = first.inputs.iter().map(|input| input.name);
    let header: Vec<&str> = ["", "health"].into_iter().chain(names).collect();
    let weights = first.inputs.iter().map(|input| input.weight.to_string());
    let mut rows: Vec<Vec<String>> =
        vec![["weight".to_owned(), "100".to_owned()].into_iter().chain(weights).collect()];
    for (name, health) in all {
        let inputs = health.inputs.iter().map(|input| {
            let found = figure(input, input.found);
            let of = match input.unit {
                Unit::Count | Unit::Micros if input.worst > 0 => {
                    format!("{found} of {}", figure(input, input.worst))
                }
                _ => found,
            };
            if input.taken() == 0 { of } else { format!("{of}: -{}", taken(input)) }
        });
        rows.push([name.clone(), health.points.to_string()].into_iter().chain(inputs).collect());
    }
    output::say(output::table(&header, &rows));
}

/// Points, to a hundredth.
fn taken(input: &Input) -> String {
    let hundredths = (input.taken() + 5_000) / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn figure(input: &Input, value: u64) -> String {
    match input.unit {
        Unit::Count => grouped(value),
        Unit::Ppm => percent(value),
        Unit::Percent => format!("{value} %"),
        Unit::Micros => span(value),
    }
}

fn named_json(all: &[(String, Health)]) -> Value {
    let all = all.iter().map(|(name, health)| (name.clone(), health_json(health)));
    Value::Object(all.collect())
}

fn health_json(health: &Health) -> Value {
    let inputs = health.inputs.iter().map(|input| {
        let unit = match input.unit {
            Unit::Count => "count",
            Unit::Ppm => "ppm",
            Unit::Percent => "percent",
            Unit::Micros => "us",
        };
        let told = json!({
            "found": input.found,
            "worst": input.worst,
            "unit": unit,
            "weight": input.weight,
            "takes_millionths": input.taken(),
        });
        (input.name.replace(' ', "_"), told)
    });
    let inputs: Map<String, Value> = inputs.collect();
    json!({ "health": health.points, "inputs": inputs })
}
