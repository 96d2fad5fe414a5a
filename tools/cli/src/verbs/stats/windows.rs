//! What came and what ended in each window of time.

use serde_json::{Value, json};
use tensorforge_engine::fixed::Fixed;
use tensorforge_engine::units::{Micros, Ppm};

use crate::failure::{Failure, Result};
use crate::output::span;

/// The most windows that are told.
const MOST: u64 = 10_000;

/// What came and what ended in a window of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// When it begins, in microseconds.
    pub(super) from: u64,
    /// How much of it the journal covers.
    pub(super) lasted: u64,
    /// Orders that came, those that were refused among them.
    pub(super) arrived: u64,
    pub(super) refused: u64,
    pub(super) completed: u64,
    /// Orders that failed or expired.
    pub(super) failed: u64,
    pub(super) withdrawn: u64,
    /// Generated on legs that were done.
    pub(super) tokens: u64,
}

impl Window {
    /// The share of failed and expired orders of those that were admitted and ended.
    pub(super) fn failing(&self) -> Ppm {
        let ended = self.completed.saturating_add(self.failed).saturating_add(self.withdrawn);
        Ppm::ratio(self.failed, ended)
    }

    /// Tokens a second over the part that the journal covers; none where it covers nothing.
    pub(super) fn tokens_per_second(&self) -> Fixed {
        if self.lasted == 0 {
            return Fixed::ZERO;
        }
        Fixed::ratio(u128::from(self.tokens) * 1_000_000, self.lasted.into())
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "from_us": self.from,
            "lasted_us": self.lasted,
            "arrived": self.arrived,
            "refused": self.refused,
            "completed": self.completed,
            "failed": self.failed,
            "cancelled": self.withdrawn,
            "failing_ppm": self.failing(),
            "tokens_out": self.tokens,
            "tokens_per_1000_s": (self.tokens_per_second() * Fixed::from(1_000)).rounded(),
        })
    }

    fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.arrived, other.arrived),
            (&mut self.refused, other.refused),
            (&mut self.completed, other.completed),
            (&mut self.failed, other.failed),
            (&mut self.withdrawn, other.withdrawn),
            (&mut self.tokens, other.tokens),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }
}

/// Windows of one length, from the journal's own zero on; without a length, a single one.
pub(super) struct Windows {
    length: Option<u64>,
    /// One at least.
    windows: Vec<Window>,
    /// The first record's time and the last one's.
    ends: Option<[Micros; 2]>,
}

impl Windows {
    pub(super) fn new(length: Option<u64>) -> Self {
        Self { length, windows: vec![Window::default()], ends: None }
    }

    /// Goes on to the time of a record, which may be behind that of the last.
    pub(super) fn enter(&mut self, time: Micros) -> Result<()> {
        let [first, last] = self.ends.unwrap_or([time; 2]);
        let last = last.max(time);
        self.ends = Some([first, last]);
        let Some(length) = self.length else { return Ok(()) };
        let count = (last.0 / length).saturating_add(1);
        if count > MOST {
            let least = span(last.0 / MOST + 1);
            return Err(Failure::input(format!(
                "there would be more than 10 000 windows of {}",
                span(length)
            ))
            .with_help(format!(
                "the journal goes on to {} at least; give --window more than {least}",
                span(last.0)
            )));
        }
        while (self.windows.len() as u64) < count {
            let from = self.windows.len() as u64 * length;
            self.windows.push(Window { from, ..Window::default() });
        }
        Ok(())
    }

    /// The latest time of a record.
    pub(super) fn now(&self) -> Micros {
        self.ends.map_or(Micros::ZERO, |[_, last]| last)
    }

    /// The window of the last record.
    pub(super) fn present(&mut self) -> &mut Window {
        let last = self.windows.len() - 1;
        &mut self.windows[last]
    }

    /// Every window, where a length was asked for.
    pub(super) fn rows(&self) -> impl Iterator<Item = Window> {
        let (now, length) = (self.now().0, self.length.unwrap_or(0));
        let told = if self.length.is_some() { self.windows.as_slice() } else { &[] };
        told.iter().map(move |window| Window {
            lasted: length.min(now.saturating_sub(window.from)),
            ..*window
        })
    }

    /// All of the journal, from its first record to its last.
    pub(super) fn whole(&self) -> Window {
        let [first, last] = self.ends.unwrap_or_default();
        let (from, lasted) = (first.0, (last - first).0);
        let mut whole = Window { from, lasted, ..Window::default() };
        self.windows.iter().for_each(|window| whole.add(window));
        whole
    }
}
