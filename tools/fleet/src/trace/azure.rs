//! The CSV of the Azure LLM inference traces (Azure/AzurePublicDataset, 2023 and 2024).
//!
//! Three columns without quotes: `TIMESTAMP,ContextTokens,GeneratedTokens`. A time has up to nine
//! digits of a second and is UTC, said or unsaid; it is cut to whole microseconds, rounded down. The
//! traces name neither tenant nor class nor prefix.

use super::{Bad, Clock, Row, TOKENS_MAX, Trace, quote};

const HEADER: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/// One field, and the column in which it begins.
type Field<'a> = (usize, &'a str);

pub(super) fn read(name: &str, text: &str) -> Result<Trace, (usize, Bad)> {
    let mut lines = (1..).zip(text.lines());
    let header = lines.next().map_or("", |(_, line)| line);
    if header != HEADER.join(",") {
        return Err((1, bad(1, "header", format!("`{}`", HEADER.join(",")), quote(header))));
    }
    let mut clock = Clock::new();
    let rows = (1..).zip(lines).map(|(external, (line, text))| {
        row(external, line, text, &mut clock).map_err(|bad| (line, bad))
    });
    Ok(Trace { name: name.to_owned(), block_tokens: 1, rows: rows.collect::<Result<_, _>>()? })
}

fn row<'a>(external: u64, line: usize, text: &'a str, clock: &mut Clock<'a>) -> Result<Row, Bad> {
    let [time, context, generated] = split(text)?;
    let micros = micros(time.1).ok_or_else(|| {
        bad(time.0, HEADER[0], "a time as `2023-11-16 18:17:03.9799600`", found(time.1))
    })?;
    let at = clock.tick(micros, time.1, line, (time.0, HEADER[0]))?;
    let tokens_in = whole(context, HEADER[1], 1)?;
    let tokens_out = whole(generated, HEADER[2], 0)?;
    Ok(Row::foreign(external, at, "azure", tokens_in, tokens_out))
}

fn split(text: &str) -> Result<[Field<'_>; 3], Bad> {
    let mut fields = [(text.len() + 1, ""); 3];
    let mut column = 1;
    for (place, piece) in text.split(',').enumerate() {
        match fields.get_mut(place) {
            Some(field) => *field = (column, piece),
            None => return Err(bad(column, "row", "three columns", "a fourth")),
        }
        column += piece.len() + 1;
    }
    Ok(fields)
}

fn whole((column, text): Field<'_>, field: &str, least: u64) -> Result<u64, Bad> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| digits && (least..=TOKENS_MAX).contains(value));
    value.ok_or_else(|| {
        bad(column, field, format!("a whole number from {least} to {TOKENS_MAX}"), found(text))
    })
}

fn found(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { quote(text) }
}

fn bad(column: usize, field: &str, expected: impl Into<String>, found: impl Into<String>) -> Bad {
    Bad { column, field: field.to_owned(), expected: expected.into(), found: found.into() }
}

/// Microseconds from 1970 to a time as `2023-11-16 18:17:03.9799600`, rounded down.
fn micros(text: &str) -> Option<u64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let time = time.strip_suffix("+00:00").or(time.strip_suffix('Z')).unwrap_or(time);
    let (clock, fraction) = time.split_once('.').map_or((time, None), |(c, f)| (c, Some(f)));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let fraction = fraction.map_or(Some(0), millionths)?;
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = (days(year, month, day)? * 24 + hour) * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + fraction)
}

/// Three numbers of fixed width.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut pieces = text.split(separator);
    let mut values = [0; 3];
    for (value, width) in values.iter_mut().zip(widths) {
        let piece = pieces.next().filter(|piece| piece.len() == width)?;
        *value = digits(piece)?;
    }
    pieces.next().is_none().then_some(values)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// One to nine digits after the point, as millionths, rounded down.
fn millionths(text: &str) -> Option<u64> {
    let nanos = match text.len() {
        1..=9 => digits(text)? * 10u64.pow(9 - text.len() as u32),
        _ => return None,
    };
    Some(nanos / 1_000)
}

/// Days from 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`), for years from 1970 on; `None` for a day that does not exist.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)
}
