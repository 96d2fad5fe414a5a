//! JSON as the text that it came as: objects whose keys and values know their place.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What kind of value a text is, with what it holds one level down.
pub(crate) enum Shape<'a> {
    Object(Object<'a>),
    List(Vec<&'a str>),
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`, as it is spelt.
    Plain(&'a str),
}

impl<'a> Shape<'a> {
    /// Reads one value; `text` is one value with nothing around it but white space.
    pub(crate) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        Ok(match text.bytes().next() {
            Some(b'{') => Self::Object(Object::read(text)?),
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text)?;
                Self::List(items.into_iter().map(RawValue::get).collect())
            }
            Some(b'"') => Self::Text(string(text)?),
            _ => Self::Plain(serde_json::from_str::<&'a RawValue>(text)?.get()),
        })
    }

    /// What it is, in the words of an error; never what it holds.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Object(_) => "an object".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Text(_) => "a string".to_owned(),
            Self::Plain(text) if text.len() <= 32 => format!("`{text}`"),
            Self::Plain(_) => "a long number".to_owned(),
        }
    }
}

/// One member of an object; the places are bytes of the object's text.
pub(crate) struct Member<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: &'a str,
    pub(crate) key_at: Range<usize>,
    pub(crate) value_at: Range<usize>,
}

impl Member<'_> {
    pub(crate) fn is_null(&self) -> bool {
        self.value == "null"
    }
}

/// An object and its members in the order in which they stand.
pub(crate) struct Object<'a> {
    pub(crate) text: &'a str,
    pub(crate) members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let Pairs(pairs) = serde_json::from_str(text)?;
        let members = pairs.into_iter().map(|(key, value)| {
            let (key_at, value_at) = (place(text, key), place(text, value));
            Ok(Member { key: string(key)?, value, key_at, value_at })
        });
        Ok(Self { text, members: members.collect::<Result<_, serde_json::Error>>()? })
    }

    /// The last member of this name, for that is the one most readers of JSON go by.
    pub(crate) fn get(&self, key: &str) -> Option<&Member<'a>> {
        self.members.iter().rev().find(|member| member.key == key)
    }

    /// The value of a member that is there and not `null`.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.get(key).filter(|member| !member.is_null()).map(|member| member.value)
    }

    /// The value of a member that is a string.
    pub(crate) fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        self.value(key).and_then(|text| string(text).ok())
    }

    /// The value of a member that is an object.
    pub(crate) fn object(&self, key: &str) -> Option<Self> {
        self.value(key).and_then(|text| Self::read(text).ok())
    }

    /// The items of a member that is a list; none where it is not.
    pub(crate) fn list(&self, key: &str) -> Vec<&'a str> {
        self.value(key).and_then(|text| items(text).ok()).unwrap_or_default()
    }

    /// The value of a member that is a whole number.
    pub(crate) fn whole(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(whole)
    }

    /// The first key in order of the alphabet that stands twice.
    pub(crate) fn twice(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.members.iter().map(|member| &*member.key).collect();
        keys.sort_unstable();
        keys.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        })
    }

    /// The bytes to cut, so that the member at `place` is gone and the rest is an object.
    pub(crate) fn cut(&self, place: usize) -> Option<Range<usize>> {
        let member = self.members.get(place)?;
        let before = place.checked_sub(1).and_then(|place| self.members.get(place));
        let after = self.members.get(place.saturating_add(1));
        Some(match (before, after) {
            (Some(before), _) => before.value_at.end..member.value_at.end,
            (None, Some(after)) => member.key_at.start..after.key_at.start,
            (None, None) => member.key_at.start..member.value_at.end,
        })
    }
}

/// The items of a list.
pub(crate) fn items(text: &str) -> Result<Vec<&str>, serde_json::Error> {
    let items: Vec<&RawValue> = serde_json::from_str(text)?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

/// A string without its quotes and escapes.
pub(crate) fn string(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner {
        // Whoever cut it out of a body has seen that it has no control characters.
        Some(inner) if !inner.contains(['\\', '"']) => Ok(Cow::Borrowed(inner)),
        _ => serde_json::from_str(text).map(Cow::Owned),
    }
}

/// The whole number that a number is, however it is spelt: `1000`, `1000.0` and `1e3` are one.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (ones, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || ones.bytes().chain(fraction.bytes());
    if ones.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the point.
    let point = i64::try_from(ones.len()).ok()?.checked_add(i64::from(exponent))?;
    let mut value: u64 = 0;
    for (place, digit) in (0i64..).zip(digits()) {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        if place >= point {
            if digit != 0 {
                return None;
            }
            continue;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let length = i64::try_from(digits().count()).ok()?;
    for _ in length..point {
        if value == 0 {
            break;
        }
        value = value.checked_mul(10)?;
    }
    Some(value)
}

/// The text with some places put differently; the places are in order and apart.
pub(crate) fn splice(text: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let more: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut spliced = Vec::with_capacity(text.len().saturating_add(more));
    let mut kept = 0;
    for (place, new) in edits {
        spliced.extend_from_slice(text.get(kept..place.start).unwrap_or_default());
        spliced.extend_from_slice(new.as_bytes());
        kept = place.end;
    }
    spliced.extend_from_slice(text.get(kept..).unwrap_or_default());
    spliced
}

/// A raw value is a slice of its text, so the distance of their beginnings is its place.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start.saturating_add(part.len())
}

/// Keys and values of an object, as they are spelt.
struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    pairs.push((key.get(), value.get()));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_spelt() {
        let check = |text: &str, value: Option<u64>| assert_eq!(whole(text), value, "{text}");
        check("0", Some(0));
        check("0.0", Some(0));
        check("0e99", Some(0));
        check("-0", None);
        check("-1", None);
        check("1000", Some(1_000));
        check("1000.0", Some(1_000));
        check("1e3", Some(1_000));
        check("1.5E+3", Some(1_500));
        check("1.0005e3", None);
        check("1500e-2", Some(15));
        check("1505e-2", None);
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("1e20", None);
        check("1e99999999999", None);
        check("true", None);
        check("\"5\"", None);
    }

    #[test]
    fn members_know_their_place() {
        let text = " { \"a\" : [1, 2] ,\"\\u0062\":\"}\\\"\" } ";
        let object = Object::read(text).unwrap();
        let at = |range: &Range<usize>| text.get(range.clone()).unwrap();
        let found: Vec<_> = object
            .members
            .iter()
            .map(|member| (&*member.key, at(&member.key_at), at(&member.value_at)))
            .collect();
        let expected = [("a", "\"a\"", "[1, 2]"), ("b", "\"\\u0062\"", "\"}\\\"\"")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cut_leaves_an_object() {
        let check = |text: &str, place: usize, left: &str| {
            let cut = Object::read(text).unwrap().cut(place).unwrap();
            assert_eq!(splice(text.as_bytes(), &[(cut, String::new())]), left.as_bytes(), "{text}");
        };
        check("{ \"a\" : 1 }", 0, "{  }");
        check("{\"a\":1, \"b\":2 ,\"c\":3}", 0, "{\"b\":2 ,\"c\":3}");
        check("{\"a\":1, \"b\":2 ,\"c\":3}", 1, "{\"a\":1 ,\"c\":3}");
        check("{\"a\":1, \"b\":2 ,\"c\":3 }", 2, "{\"a\":1, \"b\":2 }");
    }

    #[test]
    fn of_two_members_the_last_counts() {
        let object = Object::read("{\"a\":1,\"a\":2,\"b\":null}").unwrap();
        assert_eq!(
            (object.whole("a"), object.value("b"), object.value("c")),
            (Some(2), None, None)
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_found_however_it_is_spelt() {
        let twice = |text: &str| Object::read(text).unwrap().twice().map(str::to_owned);
        assert_eq!(twice("{\"a\":1,\"b\":{\"a\":2}}"), None);
        assert_eq!(twice("{\"b\":1,\"a\":1,\"\\u0062\":2}").as_deref(), Some("b"));
    }
}
