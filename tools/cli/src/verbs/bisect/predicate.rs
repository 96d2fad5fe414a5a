//! An expression over the state: where it turns true.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic;
use std::sync::Arc;
use std::thread;

use cel::parser::{Expression, ParseErrors, Parser};
use cel::{Context, Env, ExecutionError};
use serde_json::Value;
use tensorforge_engine::State;
use tensorforge_engine::units::JournalId;
use tensorforge_journal::{Journal, Mode, Replay, StateVerdict};

use super::meter;
use crate::failure::{Failure, Result};
use crate::output::{self, grouped};

/// Bytes of an expression. It bounds how deep the longest chain of operators goes.
const LENGTH_MAX: usize = 4_096;

/// Brackets one inside of another, and signs one before another.
const DEPTH_MAX: usize = 32;

/// Steps on one state, and more for each value in the tables that the expression speaks of.
const STEPS_MAX: u64 = 1_000_000;
const STEPS_PER_VALUE: u64 = 10;

/// Room for the longest chain, which is evaluated as deep as it is long.
const STACK_BYTES: usize = 64 << 20;

const HELP: &str = "an expression of the Common Expression Language over the state, such as \
    `waiting.queued > 10` or `vessels.exists(v, vessels[v].status == 'lost')`; \
    `tensorforge state` shows what there is";

/// The first record after which an expression holds.
pub(super) fn first_true(journal: &Journal, text: &str) -> Result<StateVerdict> {
    bounded(text)?;
    // On a stack that is as large everywhere.
    thread::scope(|scope| {
        let search = || Predicate::parse(text)?.first_true(journal);
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, search);
        let thread = thread.map_err(Failure::input)?;
        thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

/// Refuses what nobody has written by hand, before it is parsed.
fn bounded(text: &str) -> Result<()> {
    if text.len() > LENGTH_MAX {
        let bytes = text.len();
        return Err(Failure::input(format!(
            "--when: the expression has {bytes} bytes, at most {LENGTH_MAX} are read"
        )));
    }
    match too_deep(text) {
        Some(place) => Err(wrong(text, format!("1:{}: {TOO_DEEP}", place + 1))),
        None => Ok(()),
    }
}

const TOO_DEEP: &str = "it nests too deeply, at most 32 levels are followed";
const _: () = assert!(DEPTH_MAX == 32);

/// The byte at which brackets or signs go deeper than they may; what stands in quotes does not count.
fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut signs) = (0_usize, 0_usize);
    let mut quoted = None;
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match (quoted, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(quote), _) => quoted = Some(quote).filter(|quote| *quote != byte),
            (None, b'"' | b'\'') => quoted = Some(byte),
            (None, b'(' | b'[' | b'{') => brackets += 1,
            (None, b')' | b']' | b'}') => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        signs = match byte {
            b'!' | b'-' => signs + 1,
            byte if byte.is_ascii_whitespace() => signs,
            _ => 0,
        };
        if brackets > DEPTH_MAX || (quoted.is_none() && signs > DEPTH_MAX) {
            return Some(place);
        }
    }
    None
}

fn wrong(text: &str, what: String) -> Failure {
    // An error shows the values that it is about, which may be whole tables.
    let cut: String = what.chars().take(400).collect();
    let rest = if cut.len() < what.len() { "..." } else { "" };
    Failure::input(format!("--when {text}: {cut}{rest}")).with_help(HELP)
}

/// An expression, and the tables that it speaks of.
struct Predicate<'t> {
    expression: Expression,
    env: Arc<Env>,
    text: &'t str,
    tables: Vec<String>,
}

impl<'t> Predicate<'t> {
    fn parse(text: &'t str) -> Result<Self> {
        let parsed = Parser::new().parse(text).map_err(|errors| misspelled(text, &errors))?;
        let known = State::genesis(JournalId::default());
        let known = known.tables.all().map(|table| table.name());
        let references = parsed.references();
        let named = references.variables().into_iter();
        let mut tables: Vec<String> =
            named.filter(|name| known.contains(name)).map(str::to_owned).collect();
        tables.sort_unstable();
        if tables.is_empty() {
            let known = known.join(", ");
            return Err(wrong(text, format!("it speaks of no table; there are {known}")));
        }
        let mut env = Env::stdlib();
        meter::declare(&mut env).map_err(Failure::input)?;
        Ok(Self { expression: meter::metered(parsed), env: Arc::new(env), text, tables })
    }

    /// Every record is looked at, since what turns true may turn false again; the expression is evaluated
    /// anew only where a table that it speaks of has changed.
    fn first_true(&self, journal: &Journal) -> Result<StateVerdict> {
        let bar = output::progress("searching", journal.next_seq());
        let mut verdict = StateVerdict { records: None, root: [0; 32], probes: 0, skipped: 0 };
        let (mut seen, mut failure) = (None, None);
        let (mut told, mut missing) = (false, None);
        let mut replay = Replay::from_genesis(journal, Mode::Fold);
        // A table is shown anew where its digest is another one.
        replay.tagged();
        replay.run(journal.next_seq(), |step| {
            let digests = Some(self.digests(step.state));
            if seen == digests {
                return ControlFlow::Continue(());
            }
            seen = digests;
            verdict.probes += 1;
            bar.set_position(step.head.seq.0);
            match self.holds(step.state, step.head.seq.0 + 1) {
                Ok(Answer::No) => {
                    told = true;
                    return ControlFlow::Continue(());
                }
                Ok(Answer::Missing(key)) => {
                    missing = Some(key);
                    return ControlFlow::Continue(());
                }
                Ok(Answer::Yes) => verdict.records = Some(step.head.seq.0 + 1),
                Err(error) => failure = Some(error),
            }
            ControlFlow::Break(())
        })?;
        bar.finish_and_clear();
        verdict.root = replay.state().root();
        // What is not there yet is no mistake; what never is must be one.
        if let (None, false, Some(key)) = (verdict.records, told, missing) {
            let never = format!("nothing called `{key}` was ever there");
            failure = failure.or(Some(wrong(self.text, never)));
        }
        failure.map_or(Ok(verdict), Err)
    }

    fn digests(&self, state: &State) -> Vec<u128> {
        let tables = state.tables.all().into_iter().zip(state.digests());
        let meant = tables.filter(|(table, _)| self.tables.iter().any(|name| name == table.name()));
        meant.map(|(_, digest)| digest).collect()
    }

    fn holds(&self, state: &State, records: u64) -> Result<Answer> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        let mut values = 0;
        for name in &self.tables {
            let view = state.view(name).unwrap_or_default();
            context.add_variable_from_value(name, signed(&view, &mut values));
        }
        let steps = STEPS_MAX.saturating_add(STEPS_PER_VALUE.saturating_mul(values));
        meter::begin(steps);
        let answer = cel::Value::resolve(&self.expression, &context);
        if meter::exhausted() {
            return Err(wrong(
                self.text,
                format!(
                    "it takes more than {} steps on the state after {records} records: {} are taken on \
                     any, and {STEPS_PER_VALUE} for each value in the tables that it speaks of",
                    grouped(steps),
                    grouped(STEPS_MAX),
                ),
            ));
        }
        match answer {
            Ok(cel::Value::Bool(true)) => Ok(Answer::Yes),
            Ok(cel::Value::Bool(false)) => Ok(Answer::No),
            Ok(other) => Err(wrong(self.text, format!("expected true or false, found {other:?}"))),
            Err(ExecutionError::NoSuchKey(key)) => Ok(Answer::Missing(key.to_string())),
            Err(error) => Err(wrong(self.text, error.to_string())),
        }
    }
}

/// The first fault, on one line.
fn misspelled(text: &str, errors: &ParseErrors) -> Failure {
    let Some(first) = errors.errors.first() else { return wrong(text, errors.to_string()) };
    let (line, column) = first.pos;
    let said = if first.msg.contains("Recursion limit") { TOO_DEEP } else { &first.msg };
    wrong(text, format!("{line}:{column}: {said}"))
}

/// A view for expressions, and how many values it has. Numbers are signed wherever they fit, as plain
/// literals are: the language has no arithmetic of the signed with the unsigned.
fn signed(view: &Value, values: &mut u64) -> cel::Value {
    *values = values.saturating_add(1);
    match view {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            items.iter().map(|item| signed(item, values)).collect::<Vec<_>>().into()
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), signed(value, values)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}

/// What an expression says of one state.
enum Answer {
    Yes,
    No,
    /// It speaks of a row or a field that is not there.
    Missing(String),
}
