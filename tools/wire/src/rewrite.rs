//! The body that the vessel gets, and the answer without what only we asked for.
//!
//! A body goes on byte for byte, but for two places. `model` is the vessel's own name of it. A stream of
//! chats or completions asks for its usage, and the answer is cleaned of what the client did not ask for:
//! the chunk of usage without choices is dropped, and the member `usage` is taken out of chunks where it
//! is `null`, or where it is there because we asked for usage in every chunk. A usage that a vessel gives of
//! its own accord, in a chunk with choices, stays.

use std::ops::Range;

use crate::json::{Member, Object, splice};
use crate::request::Request;
use crate::sse::Event;

/// What of a vessel shows in the bodies that it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vessel<'a> {
    /// Its own name of the model, where it has one.
    pub model: Option<&'a str>,
    /// Whether it knows `continuous_usage_stats`, and is to be asked for usage in every chunk.
    pub usage_always: bool,
}

/// A body for a vessel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The bytes to send.
    pub body: Vec<u8>,
    /// What the answer has to be cleaned of.
    pub added: Added,
}

/// What was asked for that the client had not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Usage at the end of the stream.
    pub usage: bool,
    /// Usage in every chunk.
    pub usage_always: bool,
}

/// What becomes of an event on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// It goes on as it came.
    Same,
    /// These bytes go on in its place.
    Changed(Vec<u8>),
    /// It is not the client's.
    Dropped,
}

impl Request<'_> {
    /// The body for a vessel. All bytes are the client's, but for the values named above.
    pub fn forward(&self, vessel: Vessel<'_>) -> Forward {
        let mut edits = Vec::new();
        let name = vessel.model.filter(|name| *name != self.model);
        if let (Some(name), Some(member)) = (name, self.object.get("model")) {
            edits.push((member.value_at.clone(), quoted(name)));
        }
        let mut added = Added::default();
        if self.stream && self.dialect.asks_for_usage() {
            added.usage = !self.wants_usage;
            // A client that asks for usage in every chunk and not at the end gets none, unless we ask.
            added.usage_always = (vessel.usage_always || self.wants_usage_always)
                && !(self.wants_usage && self.wants_usage_always);
            edits.extend(self.ask(added));
        }
        edits.sort_by_key(|(place, _)| place.start);
        Forward { body: splice(self.object.text.as_bytes(), &edits), added }
    }

    /// The edits that have `stream_options` ask for what is added.
    fn ask(&self, added: Added) -> Vec<(Range<usize>, String)> {
        let mut wishes = Vec::new();
        wishes.extend(added.usage.then_some("include_usage"));
        wishes.extend(added.usage_always.then_some("continuous_usage_stats"));
        if wishes.is_empty() {
            return Vec::new();
        }
        match self.object.get("stream_options") {
            Some(member) if !member.is_null() => within(member, &wishes),
            Some(member) => vec![(member.value_at.clone(), format!("{{{}}}", members(&wishes)))],
            None => {
                let end = self.object.members.last().map_or(0, |member| member.value_at.end);
                vec![(end..end, format!(",\"stream_options\":{{{}}}", members(&wishes)))]
            }
        }
    }
}

/// The edits inside of an object of options: a wish that is there becomes `true`, others go to its end.
fn within(member: &Member<'_>, wishes: &[&str]) -> Vec<(Range<usize>, String)> {
    let Ok(options) = Object::read(member.value) else { return Vec::new() };
    let from = member.value_at.start;
    let (there, others): (Vec<&str>, Vec<&str>) =
        wishes.iter().partition(|wish| options.get(wish).is_some());
    let mut edits = Vec::new();
    for option in there.iter().filter_map(|wish| options.get(wish)) {
        let place = &option.value_at;
        let place = from.saturating_add(place.start)..from.saturating_add(place.end);
        edits.push((place, "true".to_owned()));
    }
    if !others.is_empty() {
        let (end, comma) = match options.members.last() {
            Some(last) => (last.value_at.end, ","),
            None => (1, ""),
        };
        let end = from.saturating_add(end);
        edits.push((end..end, format!("{comma}{}", members(&others))));
    }
    edits
}

fn members(wishes: &[&str]) -> String {
    let wishes: Vec<String> = wishes.iter().map(|wish| format!("\"{wish}\":true")).collect();
    wishes.join(",")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Added {
    /// Takes out of an event of a vessel's stream what the client did not ask for.
    pub fn clean(self, event: &Event) -> Cleaned {
        if !self.usage && !self.usage_always {
            return Cleaned::Same;
        }
        let Some(data) = event.data.as_deref() else { return Cleaned::Same };
        let Ok(chunk) = Object::read(data) else { return Cleaned::Same };
        let Some(place) = chunk.members.iter().position(|member| member.key == "usage") else {
            return Cleaned::Same;
        };
        let usage = chunk.members.get(place).filter(|member| !member.is_null());
        let is_last = chunk.get("choices").is_some() && chunk.list("choices").is_empty();
        let edit = match usage {
            Some(_) if is_last && self.usage => return Cleaned::Dropped,
            Some(_) if is_last => return Cleaned::Same,
            Some(usage) if self.usage_always && !self.usage => {
                Some((usage.value_at.clone(), "null".to_owned()))
            }
            Some(_) if !self.usage_always => None,
            None if !self.usage => None,
            _ => chunk.cut(place).map(|place| (place, String::new())),
        };
        match edit {
            None => Cleaned::Same,
            Some(edit) => {
                let data = splice(data.as_bytes(), &[edit]);
                Cleaned::Changed(event.with_data(&String::from_utf8_lossy(&data)))
            }
        }
    }
}
