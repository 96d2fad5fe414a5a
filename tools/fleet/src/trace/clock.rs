//! The order of time in a trace.

use tensorforge_engine::units::Micros;

use super::{Bad, quote};

/// Turns the times of a trace into spans since its first row, and refuses to go back.
pub(super) struct Clock<'a> {
    first: u64,
    last: Option<(u64, &'a str, usize)>,
}

impl<'a> Clock<'a> {
    pub(super) fn new() -> Self {
        Self { first: 0, last: None }
    }

    /// The time since the first row of a row at `micros`, written as `text` in `line`.
    pub(super) fn tick(
        &mut self,
        micros: u64,
        text: &'a str,
        line: usize,
        (column, field): (usize, &str),
    ) -> Result<Micros, Bad> {
        match self.last {
            None => self.first = micros,
            Some((last, before, line)) if micros < last => {
                return Err(Bad {
                    column,
                    field: field.to_owned(),
                    expected: format!("no time before {} of line {line}", quote(before)),
                    found: quote(text),
                });
            }
            Some(_) => {}
        }
        self.last = Some((micros, text, line));
        Ok(Micros(micros - self.first))
    }
}
