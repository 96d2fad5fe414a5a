//! A JSON value with all that is in it, read in one pass; every string is decoded, nothing else is.

use std::borrow::Cow;

use crate::json;

/// How deep lists and objects of a prompt may stand in each other.
pub const DEPTH_MAX: u32 = 64;

/// A value and the text that it stands in.
pub(crate) struct Node<'a> {
    pub(crate) text: &'a str,
    pub(crate) value: Value<'a>,
}

pub(crate) enum Value<'a> {
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    List(Vec<Node<'a>>),
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`, as it is spelt.
    Plain,
}

/// Why JSON that is well formed cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A string that is no text, such as half of a surrogate pair.
    NoString,
    /// More than [`DEPTH_MAX`] lists and objects in each other.
    Deep,
}

impl<'a> Node<'a> {
    /// Reads one value that is known to be well-formed JSON.
    pub(crate) fn read(text: &'a str) -> Result<Self, Unreadable> {
        Reader { text, at: 0 }.node(0)
    }

    /// The last member of this name, if this is an object that has one.
    pub(crate) fn member(&self, name: &str) -> Option<&Node<'a>> {
        match &self.value {
            Value::Object(members) => members.iter().rev().find(|(key, _)| key == name),
            _ => None,
        }
        .map(|(_, node)| node)
    }

    /// The text, if this is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn node(&mut self, depth: u32) -> Result<Node<'a>, Unreadable> {
        if depth > DEPTH_MAX {
            return Err(Unreadable::Deep);
        }
        let deeper = depth.saturating_add(1);
        self.skip();
        let start = self.at;
        let value = match self.byte() {
            Some(b'{') => {
                let mut members = Vec::new();
                while self.goes_on(b'}') {
                    let key = self.string()?;
                    self.skip();
                    self.step();
                    members.push((key, self.node(deeper)?));
                }
                Value::Object(members)
            }
            Some(b'[') => {
                let mut items = Vec::new();
                while self.goes_on(b']') {
                    items.push(self.node(deeper)?);
                }
                Value::List(items)
            }
            Some(b'"') => Value::Text(self.string()?),
            _ => {
                self.word();
                Value::Plain
            }
        };
        Ok(Node { text: self.text.get(start..self.at).unwrap_or_default(), value })
    }

    /// Steps over the sign before a member, or over the end. Returns whether there is a member.
    fn goes_on(&mut self, end: u8) -> bool {
        self.skip();
        if self.byte() != Some(end) {
            self.step();
            self.skip();
        }
        let goes_on = self.byte().is_some_and(|byte| byte != end);
        if !goes_on {
            self.step();
        }
        goes_on
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        let start = self.at;
        self.step();
        loop {
            match self.byte() {
                Some(b'\\') => self.at = self.at.saturating_add(2),
                Some(b'"') => break,
                Some(_) => self.step(),
                None => return Err(Unreadable::NoString),
            }
        }
        self.step();
        let text = self.text.get(start..self.at).unwrap_or_default();
        json::string(text).map_err(|_| Unreadable::NoString)
    }

    fn word(&mut self) {
        let is_end = |byte: u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        while self.byte().is_some_and(|byte| !is_end(byte)) {
            self.step();
        }
    }

    fn skip(&mut self) {
        while self.byte().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value with its strings in brackets and all else as it is spelt.
    fn shown(node: &Node<'_>) -> String {
        let joined = |parts: Vec<String>| parts.join(" ");
        match &node.value {
            Value::Object(members) => {
                let members = members.iter().map(|(key, node)| format!("<{key}>={}", shown(node)));
                format!("{{{}}}", joined(members.collect()))
            }
            Value::List(items) => format!("[{}]", joined(items.iter().map(shown).collect())),
            Value::Text(text) => format!("<{text}>"),
            Value::Plain => node.text.to_owned(),
        }
    }

    #[test]
    fn a_value_is_read_with_all_that_is_in_it() {
        let check = |text: &str, expected: Result<&str, Unreadable>| {
            let found = Node::read(text).map(|node| shown(&node));
            assert_eq!(found.as_deref().map_err(|why| *why), expected, "{text}");
        };
        check(" 1.0 ", Ok("1.0"));
        check("[]", Ok("[]"));
        check("[ ]", Ok("[]"));
        check("{ }", Ok("{}"));
        check("[[],{},[ 1e3 ,null],\"\"]", Ok("[[] {} [1e3 null] <>]"));
        check(
            "{ \"a\" : { \"b\":[true ] } , \"\\u0063\\\"\":\"}\\\\\" }",
            Ok("{<a>={<b>=[true]} <c\">=<}\\>}"),
        );
        check("[\"\\ud83d\\ude00\"]", Ok("[<\u{1f600}>]"));
        check("[\"\\ud83d\"]", Err(Unreadable::NoString));
        check("[\"", Err(Unreadable::NoString));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        // The innermost of so many lists stands in one fewer.
        assert!(Node::read(&nested(65)).is_ok());
        check(&nested(66), Err(Unreadable::Deep));
    }

    #[test]
    fn a_node_knows_its_text() {
        let node = Node::read("{\"a\": {\"b\" : 1 } ,\"a\":[ 2 ]}").unwrap();
        assert_eq!(node.member("a").unwrap().text, "[ 2 ]");
        assert!(node.member("b").is_none());
    }
}
