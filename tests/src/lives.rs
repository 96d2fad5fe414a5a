//! A follower of lives: takes every event of an order for a transition of the table, and the stage of its row for where
//! that leads.

use std::collections::{BTreeMap, BTreeSet};

use tensorforge_engine::workflow::machine::{Standing, allowed, next, word};
use tensorforge_engine::{Event, State};

/// Where every order stands, and what was said of any.
#[derive(Debug, Default)]
pub struct Lives {
    /// By their numbers, since a slot goes from one to the next.
    standing: BTreeMap<u64, Standing>,
    /// The transitions that were met.
    pub reached: BTreeSet<(Standing, &'static str)>,
}

impl Lives {
    /// Takes in what a record decided, and compares it with the state after it.
    ///
    /// # Panics
    ///
    /// Where an event is no transition of the table, or a row stands elsewhere than the table leads.
    pub fn record(&mut self, events: &[Event], state: &State) {
        for event in events {
            let Some((order, word)) = word(event) else {
                assert!(!names_an_order(event), "the table has no word for {event:?}");
                continue;
            };
            assert!(names_an_order(event), "{event:?}");
            let standing = self.standing.entry(order.number()).or_insert(Standing::New);
            let to = next(*standing, word);
            assert_eq!(allowed(*standing, event), to.is_some());
            let Some(to) = to else { panic!("an order that is {standing:?}: {event:?}") };
            self.reached.insert((*standing, word));
            *standing = to;
        }
        for (_, row) in state.tables.orders.iter() {
            let standing = self.standing.get(&row.id.number());
            assert_eq!(standing, Some(&Standing::Live(row.stage)), "{}: {events:?}", row.id);
        }
        let live = self.standing.values().filter(|standing| matches!(standing, Standing::Live(_)));
        assert_eq!(live.count(), state.tables.orders.iter().count(), "{events:?}");
        // Of those that have ended only what may still be said matters: that they have.
        if self.standing.len() > 20_000 {
            self.standing.retain(|_, standing| *standing != Standing::Ended);
        }
    }
}

/// Whether JSON shows an event with an order, read apart from the table.
fn names_an_order(event: &Event) -> bool {
    // A job says whose checkpoint is written; the order knows nothing of it.
    if matches!(event, Event::Jobs(_)) {
        return false;
    }
    let value = serde_json::to_value(event).expect("an event has a JSON form");
    let of = |value: &serde_json::Value| value.as_object()?.values().next().cloned();
    let Some(fields) = of(&value).and_then(|word| of(&word)) else { return false };
    fields["order"].is_string() || fields["awaited"]["order"].is_string()
}
