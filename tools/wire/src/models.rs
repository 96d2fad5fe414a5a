//! The answer of `GET /v1/models`, in OpenAI's shape.

use serde::Serialize;

use crate::failure::json;

/// A model that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model<'a> {
    /// The name to ask for it by.
    pub id: &'a str,
    /// Since when it is there, in seconds from 1970.
    pub created: u64,
    /// Whose it is.
    pub owned_by: &'a str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'a str,
    data: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    object: &'a str,
    created: u64,
    owned_by: &'a str,
}

/// The list of these models, in their order; JSON in one line.
pub fn list(models: &[Model<'_>]) -> String {
    json(&List { object: "list", data: models.iter().map(entry).collect() })
}

/// The answer of `GET /v1/models/{id}`.
pub fn one(model: &Model<'_>) -> String {
    json(&entry(model))
}

fn entry<'a>(&Model { id, created, owned_by }: &Model<'a>) -> Entry<'a> {
    Entry { id, object: "model", created, owned_by }
}
