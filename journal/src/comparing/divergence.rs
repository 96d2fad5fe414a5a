//! A divergence: where two histories, or a history and this build, first disagree, and about what.

use serde::{Serialize, Serializer};
use serde_json::Value;
use tensorforge_engine::table::{Breach, Difference, value_differences};
use tensorforge_engine::{Event, State};

/// What is compared, in this order. The first that is unequal is the class of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The command, its time or its sender: another history, not another engine.
    Input,
    /// The events that were decided about the same command.
    Decided,
    /// A decision or a fold that this build's state has no place for.
    Breached,
    /// The state that the same events led to.
    Folded,
    /// The digest of the same state.
    Digested,
    /// The bytes of the same record.
    Bytes,
    /// One history ends before the other.
    Length,
}

impl Phase {
    /// The phase in a sentence about the two sides.
    pub fn says(self) -> &'static str {
        match self {
            Self::Input => "other input",
            Self::Decided => "decided differently",
            Self::Breached => "the state has no place for it",
            Self::Folded => "folded differently",
            Self::Digested => "digested differently",
            Self::Bytes => "same record, other bytes",
            Self::Length => "one ends here",
        }
    }
}

/// The first disagreement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The record.
    pub seq: u64,
    /// In which phase.
    pub phase: Phase,
    /// Which of the record's events, from zero, if it is about one.
    pub event: Option<u32>,
    /// The kind of that event, on the left if it is there.
    pub kind: Option<String>,
    /// The module that said it; or the one that the table belongs to.
    pub module: Option<String>,
    /// Where only tags and digests can be compared: the tables that differ where the frame ends, and that
    /// the record has written.
    pub tables: Vec<String>,
    /// The tables that it has written, that others have again, and that are as recorded by then.
    pub healed: Vec<String>,
    /// The table of the first row that differs afterwards; the one of those, if it is but one.
    pub table: Option<String>,
    /// That row.
    pub row: Option<u64>,
    /// The field: of the command, of the event, or of the row, as a dotted path.
    pub field: Option<String>,
    /// Its value on the left.
    #[serde(serialize_with = "or_null")]
    pub left: Value,
    /// Its value on the right.
    #[serde(serialize_with = "or_null")]
    pub right: Value,
    /// Every row and field that differs afterwards, as far as that can be told.
    pub rows: Vec<Difference>,
}

fn or_null<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

/// The most differences of rows that a divergence lists.
const ROWS_MAX: usize = 64;

impl Divergence {
    /// A disagreement between two builds, from what each printed: the events of a record as JSON, and
    /// the fields in which the states after it differ, as paths of table, row and field.
    pub fn of_views(
        seq: u64,
        left: &Value,
        right: &Value,
        fields: Vec<(String, Value, Value)>,
    ) -> Self {
        let rows: Vec<Difference> =
            fields.into_iter().take(ROWS_MAX).map(view_difference).collect();
        if left == right {
            let (a, b) = rows
                .first()
                .map_or((Value::Null, Value::Null), |row| (row.left.clone(), row.right.clone()));
            let field = rows.first().map(|row| row.field.clone());
            return Self { field, ..Self::new(seq, Phase::Folded, a, b).with_rows(rows) };
        }
        let (a, b) = (left.as_array(), right.as_array());
        let at = |side: Option<&Vec<Value>>, place: usize| {
            side.and_then(|side| side.get(place)).cloned().unwrap_or(Value::Null)
        };
        let count = a.map_or(0, Vec::len).max(b.map_or(0, Vec::len));
        let place = (0..count).find(|place| at(a, *place) != at(b, *place)).unwrap_or(0);
        Self::of_event_values(seq, place, at(a, place), at(b, place)).with_rows(rows)
    }

    /// Itself in a clause about the record, where the left is what is recorded.
    pub fn told(&self) -> String {
        let side = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let what = match (&self.left, &self.right) {
            (Value::Null, Value::Null) => format!("tables {}", self.tables.join(", ")),
            (left, right) => format!("recorded {}, computed {}", side(left), side(right)),
        };
        format!("{}: {what}", self.phase.says())
    }

    /// A disagreement about a whole record.
    pub fn new(seq: u64, phase: Phase, left: Value, right: Value) -> Self {
        Self {
            seq,
            phase,
            event: None,
            kind: None,
            module: None,
            tables: Vec::new(),
            healed: Vec::new(),
            table: None,
            row: None,
            field: None,
            left,
            right,
            rows: Vec::new(),
        }
    }

    /// A record that this build's state has no place for.
    pub(crate) fn of_breach(breach: &Breach) -> Self {
        let problem = Value::from(breach.problem.to_string());
        Self {
            module: Some(breach.module.to_owned()),
            table: Some(breach.table.to_owned()),
            row: Some(breach.row),
            ..Self::new(breach.seq.0, Phase::Breached, Value::Null, problem)
        }
    }

    /// Two sides that were sent something else, field by field.
    pub(crate) fn of_input(seq: u64, left: &Value, right: &Value) -> Option<Self> {
        let (field, left, right) = value_differences("", left, right).into_iter().next()?;
        Some(Self { field: Some(field), ..Self::new(seq, Phase::Input, left, right) })
    }

    /// Two sides that decided something else.
    pub(crate) fn of_events(seq: u64, left: &[Event], right: &[Event]) -> Option<Self> {
        let place =
            (0..left.len().max(right.len())).find(|place| left.get(*place) != right.get(*place))?;
        let (a, b) = (event_value(left.get(place)), event_value(right.get(place)));
        Some(Self::of_event_values(seq, place, a, b))
    }

    fn of_event_values(seq: u64, place: usize, a: Value, b: Value) -> Self {
        let said = word(&a).or_else(|| word(&b));
        let (module, kind) = said.map(|(module, kind, _)| (module.clone(), kind.clone())).unzip();
        let same = word(&a).map(|(.., kind, _)| kind) == word(&b).map(|(.., kind, _)| kind);
        let inner = |event: &Value| word(event).map_or(Value::Null, |(.., inner)| inner.clone());
        let (field, a, b) = if same {
            let mut fields = value_differences("", &inner(&a), &inner(&b)).into_iter();
            fields.next().unwrap_or_else(|| (String::new(), a.clone(), b.clone()))
        } else {
            (String::new(), a.clone(), b.clone())
        };
        let divergence = Self::new(seq, Phase::Decided, a, b);
        let event = u32::try_from(place).ok();
        Self { event, kind, module, field: (!field.is_empty()).then_some(field), ..divergence }
    }

    /// Adds what is different afterwards.
    pub(crate) fn with_rows(self, rows: Vec<Difference>) -> Self {
        let first = rows.first();
        let module = first.map(|first| first.module.clone().into_owned());
        Self {
            module: self.module.or(module),
            table: first.map(|first| first.table.clone().into_owned()),
            row: first.map(|first| first.row),
            rows,
            ..self
        }
    }

    /// Adds the rows that differ between two states.
    pub(crate) fn with_states(self, left: &State, right: &State) -> Self {
        self.with_rows(left.differences(right, ROWS_MAX))
    }
}

/// A difference from its path through the JSON view of the state.
fn view_difference((path, left, right): (String, Value, Value)) -> Difference {
    let (module, rest) = path.split_once('.').unwrap_or((&path, ""));
    let (table, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let (row, field) = rest.split_once('.').unwrap_or((rest, ""));
    // The one row of a single-row table has no key in a path.
    let (row, field) = row.parse().map_or((0, rest), |row| (row, field));
    let (module, table) = (module.to_owned().into(), table.to_owned().into());
    Difference { module, table, row, field: field.to_owned(), left, right }
}

fn event_value(event: Option<&Event>) -> Value {
    event.and_then(|event| serde_json::to_value(event).ok()).unwrap_or(Value::Null)
}

/// The module that says an event, the kind of the event, and what it says.
fn word(event: &Value) -> Option<(&String, &String, &Value)> {
    let (module, said) = event.as_object()?.iter().next()?;
    static NOTHING: Value = Value::Null;
    match said {
        Value::String(kind) => Some((module, kind, &NOTHING)),
        said => said.as_object()?.iter().next().map(|(kind, inner)| (module, kind, inner)),
    }
}
