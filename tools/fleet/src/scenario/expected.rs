//! What a step expects to be decided.

use std::collections::BTreeMap;

use serde::Deserialize;
use tensorforge_engine::units::VesselId;
use tensorforge_engine::{Event, State};

use super::told;

/// What has to be decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of events, or a table of how many there are")]
pub(super) enum Expected {
    /// All of it in order: names of events, or names with details.
    Lines(Vec<String>),
    /// How many of each event; of all others none.
    Counts(BTreeMap<String, usize>),
}

/// An event as a step expects it.
pub(super) struct Told {
    name: String,
    detail: String,
    /// What may stand behind that, and need not.
    more: String,
}

impl Expected {
    /// Holds it against what was decided, and says both where that is something else.
    pub(super) fn hold(&self, decided: &[Told]) -> Result<(), String> {
        match self {
            Self::Lines(lines) => {
                let met = lines.iter().zip(decided).all(|(line, told)| told.is_meant_by(line));
                if met && lines.len() == decided.len() {
                    return Ok(());
                }
                let decided: Vec<String> = decided.iter().map(Told::line).collect();
                Err(format!("expected {lines:?}, decided {decided:?}"))
            }
            Self::Counts(counts) => {
                let decided = counted(decided.iter().map(|told| &told.name));
                if *counts == decided {
                    return Ok(());
                }
                Err(format!("expected {counts:?}, decided {decided:?}"))
            }
        }
    }
}

impl Told {
    pub(super) fn of(event: &Event, state: &State) -> Self {
        let vessel = |id: VesselId| {
            let row = state.tables.vessels.get(id);
            row.map_or_else(|| id.to_string(), |row| row.name.clone())
        };
        let detail = told::detail(event, vessel);
        Self { name: told::word(event), detail, more: told::more(event) }
    }

    /// Whether an expected line is its name, or name and details, or those and more.
    fn is_meant_by(&self, line: &str) -> bool {
        let Self { name, detail, more } = self;
        let Some(rest) = line.strip_prefix(name.as_str()) else { return false };
        let Some(rest) = rest.strip_prefix(' ') else { return rest.is_empty() };
        rest == detail || !more.is_empty() && rest == format!("{detail} {more}")
    }

    /// All that an expectation could say.
    fn line(&self) -> String {
        format!("{} {} {}", self.name, self.detail, self.more).trim_end().to_owned()
    }
}

/// How many there are of each name.
pub(super) fn counted<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name.clone()).or_default() += 1);
    counts
}
