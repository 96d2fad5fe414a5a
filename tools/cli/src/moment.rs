//! Places in a journal as flags name them: a number of records, or a moment.

use tensorforge_journal::{Journal, records_until};

use crate::failure::{Failure, Result};
use crate::verbs;

/// So many records, or those that came by a moment.
pub(crate) fn until(journal: &Journal, flag: &str, text: &str) -> Result<u64> {
    match parse(flag, text)? {
        Place::Records(records) => verbs::within(journal, records),
        Place::Moment(micros) => Ok(records_until(journal, micros)?),
    }
}

/// So many records, or those that came before a moment.
pub(crate) fn before(journal: &Journal, flag: &str, text: &str) -> Result<u64> {
    match parse(flag, text)? {
        Place::Records(records) => Ok(records),
        Place::Moment(0) => Ok(0),
        Place::Moment(micros) => Ok(records_until(journal, micros - 1)?),
    }
}

/// A span of time in microseconds, of one at least.
pub(crate) fn span(flag: &str, text: &str) -> Result<u64> {
    moment(text).filter(|micros| *micros > 0).ok_or_else(|| {
        Failure::input(format!("{flag} {text}: expected a span of time"))
            .with_help("a span is a whole or decimal number of us, ms, s, m or h, and not nothing: 60s, 1.5s, 2m")
    })
}

enum Place {
    Records(u64),
    /// In microseconds.
    Moment(u64),
}

fn parse(flag: &str, text: &str) -> Result<Place> {
    if let Ok(records) = text.parse() {
        return Ok(Place::Records(records));
    }
    moment(text).map(Place::Moment).ok_or_else(|| {
        Failure::input(format!("{flag} {text}: expected a number of records, or a moment"))
            .with_help("a moment is a whole or decimal number of us, ms, s, m or h: 90s, 1.5s, 2m; a microsecond is the least")
    })
}

/// A moment in microseconds; `None` for what is not exactly one.
fn moment(text: &str) -> Option<u64> {
    let units =
        [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, unit) = units.into_iter().find(|(name, _)| text.get(digits.len()..) == Some(*name))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |digits: &str| {
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u128>().ok().filter(|_| all)
    };
    let parts = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = number(fraction)?.checked_mul(unit)?;
    let exact = part.is_multiple_of(parts).then(|| part.checked_div(parts)).flatten()?;
    u64::try_from(number(whole)?.checked_mul(unit)?.checked_add(exact)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact() {
        for (text, micros) in [
            ("0s", Some(0)),
            ("90s", Some(90_000_000)),
            ("1.5s", Some(1_500_000)),
            ("1.500000000s", Some(1_500_000)),
            ("0.000001s", Some(1)),
            ("1.5ms", Some(1_500)),
            ("0.001ms", Some(1)),
            ("1.5m", Some(90_000_000)),
            ("18446744073709551615us", Some(u64::MAX)),
            ("18446744073709551616us", None),
            ("0.0000001s", None),
            ("1.5us", None),
            ("1.s", None),
            (".5s", None),
            ("+5s", None),
            ("1.-5s", None),
            ("1e3s", None),
            ("5", None),
            ("5 s", None),
            ("s", None),
        ] {
            assert_eq!(moment(text), micros, "{text}");
        }
    }
}
