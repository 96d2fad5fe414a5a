//! TensorForge's own traces: a header line, then one JSON object a row.
//!
//! `fixtures/traces/README.md` describes every key. What has its usual value is left out.

use serde::Serialize;
use tensorforge_engine::models::{Class, Kind, Window};
use tensorforge_engine::units::{Micros, Tokens};

use super::json::{Fields, NAME, missing};
use super::{Bad, Clock, Key, Row, TIME_MAX, TOKENS_MAX, Trace, allowance, quote};

const VERSION: u64 = 1;

#[derive(Serialize)]
struct Header<'a> {
    tensorforge_trace: u64,
    name: &'a str,
    block_tokens: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    at: u64,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    tokens_in: u64,
    tokens_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_out_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<&'a Key>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    blocks: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<[u64; 2]>,
}

pub(super) fn write(trace: &Trace) -> String {
    let header =
        Header { tensorforge_trace: VERSION, name: &trace.name, block_tokens: trace.block_tokens };
    let mut text = line(&header);
    trace.rows.iter().for_each(|row| text.push_str(&line(&written(row))));
    text
}

fn written(row: &Row) -> Line<'_> {
    let unusual = row.tokens_out_max != usual(row.kind, row.tokens_out.0);
    Line {
        at: row.at.0,
        tenant: &row.tenant,
        model: row.model.as_deref(),
        class: Some(row.class).filter(|class| *class != Class::Standard),
        kind: Some(row.kind).filter(|kind| *kind != Kind::Inference),
        origin: row.origin.as_deref(),
        tokens_in: row.tokens_in.0,
        tokens_out: row.tokens_out.0,
        tokens_out_max: unusual.then_some(row.tokens_out_max.0),
        deadline: row.deadline.map(|deadline| deadline.0),
        limit: Some(row.limit).filter(|limit| *limit > 0),
        idempotency: row.idempotency.as_ref(),
        blocks: &row.blocks,
        window: row.window.as_ref().map(|window| [window.from.0, window.until.0]),
    }
}

/// Strings, numbers and lists of them always have a JSON form, so nothing is lost here.
fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).map(|text| text + "\n").unwrap_or_default()
}

pub(super) fn read(_: &str, text: &str) -> Result<Trace, (usize, Bad)> {
    let mut lines = (1..).zip(text.lines());
    let (name, block_tokens) =
        header(lines.next().map_or("", |(_, line)| line)).map_err(|bad| (1, bad))?;
    let mut clock = Clock::new();
    let rows = (1..).zip(lines).map(|(external, (line, text))| {
        row(external, line, text, block_tokens, &mut clock).map_err(|bad| (line, bad))
    });
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(Trace { name, block_tokens, rows })
}

fn header(text: &str) -> Result<(String, u64), Bad> {
    let mut fields = Fields::new(text)?;
    fields.required("tensorforge_trace", VERSION..=VERSION)?;
    let name = fields.name("name")?.ok_or_else(|| missing("name", NAME))?;
    let block_tokens = fields.required("block_tokens", 1..=TOKENS_MAX)?;
    fields.finish("tensorforge_trace, name and block_tokens")?;
    Ok((name, block_tokens))
}

const KEYS: &str = "at, tenant, model, class, kind, origin, tokens_in, tokens_out, \
    tokens_out_max, deadline, limit, idempotency, blocks and window";

/// What the client allows where a row does not say: nothing of what has no answer.
fn usual(kind: Kind, tokens_out: u64) -> Tokens {
    if kind == Kind::Embedding { Tokens::ZERO } else { allowance(tokens_out) }
}

fn row<'a>(
    external: u64,
    line: usize,
    text: &'a str,
    block_tokens: u64,
    clock: &mut Clock<'a>,
) -> Result<Row, Bad> {
    let mut fields = Fields::new(text)?;
    let (micros, written, column) = fields.time("at", TIME_MAX)?;
    let at = clock.tick(micros, written, line, (column, "at"))?;
    let tenant = fields.name("tenant")?.ok_or_else(|| missing("tenant", NAME))?;
    let tokens_in = fields.required("tokens_in", 1..=TOKENS_MAX)?;
    let kind = kind(&mut fields)?;
    // An embedding has no answer.
    let most = if kind == Kind::Embedding { 0 } else { TOKENS_MAX };
    let tokens_out = fields.required("tokens_out", 0..=most)?;
    let least = tokens_out.max(1).min(most);
    let tokens_out_max = fields.whole("tokens_out_max", least..=most)?;
    let blocks = fields.blocks("blocks", "a list of whole numbers", block_tokens, tokens_in)?;
    let row = Row {
        external,
        at,
        tenant,
        model: fields.name("model")?,
        class: class(&mut fields)?,
        kind,
        origin: fields.name("origin")?,
        tokens_in: Tokens(tokens_in),
        tokens_out: Tokens(tokens_out),
        tokens_out_max: tokens_out_max.map_or(usual(kind, tokens_out), Tokens),
        deadline: fields.whole("deadline", 1..=TIME_MAX)?.map(Micros),
        limit: limit(&mut fields)?,
        idempotency: fields.value("idempotency", Key::EXPECTED)?,
        blocks: blocks.unwrap_or_default(),
        window: window(&mut fields)?,
    };
    fields.finish(KEYS)?;
    Ok(row)
}

fn class(fields: &mut Fields<'_>) -> Result<Class, Bad> {
    let class = fields.value("class", "\"interactive\", \"standard\" or \"batch\"")?;
    Ok(class.unwrap_or(Class::Standard))
}

fn kind(fields: &mut Fields<'_>) -> Result<Kind, Bad> {
    let kind = fields.value("kind", "\"inference\", \"batch\", \"training\" or \"embedding\"")?;
    Ok(kind.unwrap_or(Kind::Inference))
}

fn limit(fields: &mut Fields<'_>) -> Result<u32, Bad> {
    let limit = fields.whole("limit", 1..=u64::from(u32::MAX))?;
    Ok(limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(0))
}

fn window(fields: &mut Fields<'_>) -> Result<Option<Window>, Bad> {
    const WINDOW: &str = "two ascending times from the row's arrival on, as [60000000,120000000]";
    let column = fields.place("window");
    let window: Option<[u64; 2]> = fields.value("window", WINDOW)?;
    let Some([from, until]) = window else { return Ok(None) };
    if from < until && until <= TIME_MAX {
        return Ok(Some(Window { from: Micros(from), until: Micros(until) }));
    }
    let found = quote(&format!("[{from},{until}]"));
    Err(Bad { column, field: "window".to_owned(), expected: WINDOW.to_owned(), found })
}
