//! The JSON lines of the Mooncake traces (kvcache-ai/Mooncake, FAST '25), as upstream has them.
//!
//! `timestamp` is in milliseconds; `hash_ids` names the prompt in blocks of 512 tokens, the last of
//! which may be partial. The traces name neither tenant nor class.

use super::json::{Fields, missing};
use super::{Bad, Clock, Row, TIME_MAX, TOKENS_MAX, Trace};

const BLOCK_TOKENS: u64 = 512;

pub(super) fn read(name: &str, text: &str) -> Result<Trace, (usize, Bad)> {
    let mut clock = Clock::new();
    let rows = (1..)
        .zip(text.lines())
        .map(|(line, text)| row(line, text, &mut clock).map_err(|bad| (line, bad)));
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(Trace { name: name.to_owned(), block_tokens: BLOCK_TOKENS, rows })
}

fn row<'a>(line: usize, text: &'a str, clock: &mut Clock<'a>) -> Result<Row, Bad> {
    const IDS: &str = "a list of whole numbers";
    let mut fields = Fields::new(text)?;
    let (millis, written, column) = fields.time("timestamp", TIME_MAX / 1_000)?;
    let at = clock.tick(millis * 1_000, written, line, (column, "timestamp"))?;
    let tokens_in = fields.required("input_length", 1..=TOKENS_MAX)?;
    let tokens_out = fields.required("output_length", 0..=TOKENS_MAX)?;
    let blocks = fields.blocks("hash_ids", IDS, BLOCK_TOKENS, tokens_in)?;
    let blocks = blocks.ok_or_else(|| missing("hash_ids", IDS))?;
    fields.finish("timestamp, input_length, output_length and hash_ids")?;
    Ok(Row { blocks, ..Row::foreign(line as u64, at, "mooncake", tokens_in, tokens_out) })
}
