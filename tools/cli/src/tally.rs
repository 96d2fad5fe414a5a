//! What became of the orders of a journal: counted from its events, not from the state.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::State;
use tensorforge_engine::models::End;
use tensorforge_engine::refusal::Refusal;

use crate::output::{dollars, grouped, span};

/// Sums over the orders of a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) events: u64,
    /// Orders by end state, in the order of `End`.
    pub(crate) ended: [u64; 5],
    /// Refused orders by the kind of refusal.
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) sums: Sums,
    pub(crate) retries: u64,
    /// Of completed orders, in microseconds.
    latencies: Vec<u64>,
    first_tokens: Vec<u64>,
}

/// What settlements add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) tokens_in: u64,
    pub(crate) cached: u64,
    pub(crate) tokens_out: u64,
    pub(crate) cost: u64,
    pub(crate) energy: u64,
}

impl Tally {
    /// Counts the events of one record.
    pub(crate) fn count(&mut self, events: &[Event]) {
        self.records += 1;
        self.events += events.len() as u64;
        for event in events {
            match event {
                Event::OrderRefused { refusal, .. } => {
                    self.ended[End::Refused as usize] += 1;
                    *self.refusals.entry(refusal_kind(refusal)).or_default() += 1;
                }
                Event::OrderSettled { tokens_in, cached, tokens_out, cost, energy, .. } => {
                    self.sums.tokens_in += tokens_in.0;
                    self.sums.cached += cached.0;
                    self.sums.tokens_out += tokens_out.0;
                    self.sums.cost += cost.0;
                    self.sums.energy += energy.0;
                }
                Event::RetryScheduled { .. } => self.retries += 1,
                Event::OrderEnded { end, latency, first_token, .. } => {
                    self.ended[*end as usize] += 1;
                    if *end == End::Completed {
                        self.latencies.push(latency.0);
                        self.first_tokens.push(first_token.0);
                    }
                }
                _ => {}
            }
        }
    }

    /// Orders that ended, in whatever way.
    pub(crate) fn orders(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// The same sums, as the accounts of the tenants hold them.
    pub(crate) fn sums_of_accounts(state: &State) -> Sums {
        let mut sums = Sums::default();
        for (_, account) in state.tables.accounts.iter() {
            sums.tokens_in += account.tokens_in.0;
            sums.cached += account.cached.0;
            sums.tokens_out += account.tokens_out.0;
            sums.cost += account.cost.0;
            sums.energy += account.energy.0;
        }
        sums
    }

    /// Every line of the summary: what it is called, its value, and its value for people.
    pub(crate) fn lines(&self) -> Vec<(String, u64, String)> {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: u64, text: String| {
            lines.push((name.to_owned(), value, text));
        };
        line("orders", self.orders(), grouped(self.orders()));
        for (end, count) in End::ALL.iter().zip(self.ended) {
            line(end_name(*end), count, grouped(count));
        }
        for (kind, count) in &self.refusals {
            line(&format!("refused: {kind}"), *count, grouped(*count));
        }
        line("retries", self.retries, grouped(self.retries));
        for (name, values) in [("latency", &self.latencies), ("first token", &self.first_tokens)] {
            for (percent, value) in percentiles(values) {
                line(&format!("{name} p{percent}"), value, span(value));
            }
        }
        let Sums { tokens_in, cached, tokens_out, cost, energy } = self.sums;
        line("tokens in", tokens_in, grouped(tokens_in));
        line("tokens cached", cached, grouped(cached));
        line("tokens out", tokens_out, grouped(tokens_out));
        line("cost", cost, dollars(cost));
        line("energy", energy, format!("{} J", grouped(energy / 1_000)));
        lines
    }

    /// The same as JSON: numbers in base units.
    pub(crate) fn json(&self) -> Value {
        let ends = End::ALL.iter().zip(self.ended);
        let orders: serde_json::Map<String, Value> =
            ends.map(|(end, count)| (end_name(*end).to_owned(), count.into())).collect();
        let latency = |values: &[u64]| {
            let parts = percentiles(values);
            let named =
                parts.into_iter().map(|(percent, value)| (format!("p{percent}"), value.into()));
            Value::Object(named.collect())
        };
        json!({
            "orders": orders,
            "refusals": self.refusals,
            "retries": self.retries,
            "latency_us": latency(&self.latencies),
            "first_token_us": latency(&self.first_tokens),
            "tokens_in": self.sums.tokens_in,
            "tokens_cached": self.sums.cached,
            "tokens_out": self.sums.tokens_out,
            "cost_micro_usd": self.sums.cost,
            "energy_millijoules": self.sums.energy,
        })
    }
}

/// The name of an end state, as JSON has it.
pub(crate) fn end_name(end: End) -> &'static str {
    match end {
        End::Completed => "completed",
        End::Refused => "refused",
        End::Failed => "failed",
        End::Expired => "expired",
        End::Cancelled => "cancelled",
    }
}

/// The kind of a refusal, without its figures.
pub(crate) fn refusal_kind(refusal: &Refusal) -> String {
    let text = refusal.to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The values that 50, 90 and 99 percent do not exceed, by the nearest-rank method.
fn percentiles(values: &[u64]) -> Vec<(usize, u64)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1);
    [50, 90, 99].iter().filter_map(|percent| Some((*percent, *at(*percent)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u64> = (1..=10).rev().collect();
        assert_eq!(percentiles(&values), [(50, 5), (90, 9), (99, 10)]);
        assert_eq!(percentiles(&[7]), [(50, 7), (90, 7), (99, 7)]);
        assert_eq!(percentiles(&[]), []);
    }
}
