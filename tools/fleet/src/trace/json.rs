//! One line of JSON, taken apart field by field so that whatever is wrong has a name and a column.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Bad, quote};

/// The fields of an object that have not been taken yet.
pub(super) struct Fields<'a> {
    line: &'a str,
    pairs: Vec<(String, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Takes a line apart; a key that stands twice is an error.
    pub(super) fn new(line: &'a str) -> Result<Self, Bad> {
        let Pairs(pairs) = serde_json::from_str(line).map_err(|error| malformed(line, &error))?;
        let fields = Self { line, pairs };
        for (place, (key, value)) in fields.pairs.iter().enumerate() {
            if fields.pairs.iter().take(place).any(|(earlier, _)| earlier == key) {
                return Err(fields.bad(key, value, "one value", "a second"));
            }
        }
        Ok(fields)
    }

    /// A whole number that has to be there, with its text and its column.
    pub(super) fn time(&mut self, key: &str, max: u64) -> Result<(u64, &'a str, usize), Bad> {
        let column = self.place(key);
        let text = self.raw(key).map_or("", RawValue::get);
        Ok((self.required(key, 0..=max)?, text, column))
    }

    /// A whole number that has to be there.
    pub(super) fn required(&mut self, key: &str, range: RangeInclusive<u64>) -> Result<u64, Bad> {
        self.whole(key, range.clone())?.ok_or_else(|| missing(key, &whole(&range)))
    }

    /// A whole number that may be there.
    pub(super) fn whole(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Bad> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        let value = raw.get().parse().ok().filter(|value| range.contains(value));
        value.map(Some).ok_or_else(|| self.bad(key, raw, &whole(&range), &quote(raw.get())))
    }

    /// Any other value that may be there; `expected` says what it is.
    pub(super) fn value<T: DeserializeOwned>(
        &mut self,
        key: &str,
        expected: &str,
    ) -> Result<Option<T>, Bad> {
        let Some(raw) = self.take(key) else { return Ok(None) };
        let value = serde_json::from_str(raw.get());
        value.map(Some).map_err(|_| self.bad(key, raw, expected, &quote(raw.get())))
    }

    /// The column of the value of `key`; the first one where there is none.
    pub(super) fn place(&self, key: &str) -> usize {
        self.raw(key).map_or(1, |raw| self.column(raw))
    }

    /// Prefix blocks that may be there, no more of them than the prompt has.
    pub(super) fn blocks(
        &mut self,
        key: &str,
        expected: &str,
        block_tokens: u64,
        tokens_in: u64,
    ) -> Result<Option<Vec<u64>>, Bad> {
        let raw = self.raw(key);
        let blocks: Option<Vec<u64>> = self.value(key, expected)?;
        let most = tokens_in.div_ceil(block_tokens);
        match (blocks, raw) {
            (Some(blocks), Some(raw)) if blocks.len() as u64 > most => {
                let expected = format!("at most {most} blocks of {block_tokens} tokens");
                Err(self.bad(key, raw, &expected, &blocks.len().to_string()))
            }
            (blocks, _) => Ok(blocks),
        }
    }

    /// A name that may be there; it is not empty.
    pub(super) fn name(&mut self, key: &str) -> Result<Option<String>, Bad> {
        let raw = self.raw(key);
        let name: Option<String> = self.value(key, NAME)?;
        match (name, raw) {
            (Some(name), Some(raw)) if name.is_empty() => Err(self.bad(key, raw, NAME, "`\"\"`")),
            (name, _) => Ok(name),
        }
    }

    /// Refuses any key that was not taken; `known` lists those that are.
    pub(super) fn finish(self, known: &str) -> Result<(), Bad> {
        match self.pairs.first() {
            None => Ok(()),
            Some((key, raw)) => Err(self.bad(key, raw, &format!("only {known}"), "another key")),
        }
    }

    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, raw)| *raw)
    }

    fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let place = self.pairs.iter().position(|(name, _)| name == key)?;
        Some(self.pairs.remove(place).1)
    }

    fn bad(&self, key: &str, raw: &RawValue, expected: &str, found: &str) -> Bad {
        Bad {
            column: self.column(raw),
            field: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    /// A raw value is a slice of its line, so the distance of their beginnings is its place.
    fn column(&self, raw: &RawValue) -> usize {
        (raw.get().as_ptr() as usize).saturating_sub(self.line.as_ptr() as usize) + 1
    }
}

/// What a name is.
pub(super) const NAME: &str = "a string that is not empty";

/// The absence of `key`.
pub(super) fn missing(key: &str, expected: &str) -> Bad {
    Bad {
        column: 1,
        field: key.to_owned(),
        expected: expected.to_owned(),
        found: "no such key".to_owned(),
    }
}

fn whole(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

fn malformed(line: &str, error: &serde_json::Error) -> Bad {
    let column = error.column().max(1);
    let rest = line.get(column - 1..).unwrap_or_default();
    let found = if error.is_eof() { "the end of the line".to_owned() } else { quote(rest) };
    Bad { column, field: "row".to_owned(), expected: "a JSON object".to_owned(), found }
}

struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Object).map(Pairs)
    }
}
