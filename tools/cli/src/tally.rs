//! What became of the orders of a journal: counted from its events, not from the state.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tensorforge_engine::Event;
use tensorforge_engine::State;
use tensorforge_engine::models::{End, Usage};
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::statistics::nearest_rank;
use tensorforge_engine::telemetry::{Account, Money};
use tensorforge_engine::units::{Millijoules, Ppm, Tokens};
use tensorforge_engine::{resilience, telemetry, workflow};

use crate::output::{dollars, grouped, joules, span};

/// Sums over the orders of a journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) events: u64,
    pub(crate) admitted: u64,
    /// Orders by end state, in the order of `End`.
    pub(crate) ended: [u64; 5],
    /// Refused orders by the kind of refusal.
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) sums: Sums,
    pub(crate) retries: u64,
    /// Orders that were sent once more and stood for one that was there.
    pub(crate) repeated: u64,
    /// Of completed orders, in microseconds.
    latencies: Vec<u64>,
    first_tokens: Vec<u64>,
}

/// What settlements add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) tokens_in: Tokens,
    pub(crate) cached: Tokens,
    pub(crate) tokens_out: Tokens,
    pub(crate) cost: Money,
    pub(crate) burnt: Money,
    pub(crate) energy: Millijoules,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.tokens_in += other.tokens_in;
        self.cached += other.cached;
        self.tokens_out += other.tokens_out;
        self.cost += other.cost;
        self.burnt += other.burnt;
        self.energy += other.energy;
    }
}

impl Tally {
    /// Counts the events of one record.
    pub(crate) fn count(&mut self, events: &[Event]) {
        let one = |count: &mut u64| *count = count.saturating_add(1);
        one(&mut self.records);
        self.events = self.events.saturating_add(events.len() as u64);
        for event in events {
            match event {
                Event::Workflow(workflow::Event::OrderAdmitted { .. }) => one(&mut self.admitted),
                Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => {
                    one(&mut self.ended[End::Refused as usize]);
                    one(self.refusals.entry(refusal_kind(refusal)).or_default());
                }
                Event::Telemetry(telemetry::Event::OrderSettled {
                    tokens_in,
                    cached,
                    tokens_out,
                    cost: charged,
                    burnt: worth,
                    energy,
                    ..
                }) => {
                    let (tokens_in, cached, tokens_out) = (*tokens_in, *cached, *tokens_out);
                    let (mut cost, mut burnt, energy) =
                        (Money::default(), Money::default(), *energy);
                    cost += *charged;
                    burnt += *worth;
                    self.sums.add(Sums { tokens_in, cached, tokens_out, cost, burnt, energy });
                }
                Event::Workflow(workflow::Event::StopSettled {
                    usage,
                    cost: charged,
                    burnt: worth,
                    ended,
                    ..
                }) => {
                    // The tokens of a leg that failed are nobody's.
                    let all = if *ended { usage.clone() } else { Usage::NONE };
                    let Usage { tokens_in, cached, tokens_out, .. } = all;
                    let (mut cost, mut burnt) = (Money::default(), Money::default());
                    cost += *charged;
                    burnt += *worth;
                    let energy = usage.energy;
                    self.sums.add(Sums { tokens_in, cached, tokens_out, cost, burnt, energy });
                }
                Event::Resilience(resilience::Event::RetryScheduled { .. }) => {
                    one(&mut self.retries)
                }
                Event::Workflow(workflow::Event::OrderDeduplicated { .. }) => {
                    one(&mut self.repeated)
                }
                Event::Workflow(workflow::Event::OrderEnded {
                    end, latency, first_token, ..
                }) => {
                    one(&mut self.ended[*end as usize]);
                    if *end == End::Completed {
                        self.latencies.push(latency.0);
                        // An answer without a token has no first one.
                        self.first_tokens.extend(Some(first_token.0).filter(|span| *span > 0));
                    }
                }
                _ => {}
            }
        }
    }

    /// How many orders ended in each way, by its name.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        End::ALL.iter().zip(self.ended).map(|(end, count)| (end_name(*end), count))
    }

    /// Orders that ended, in whatever way.
    pub(crate) fn orders(&self) -> u64 {
        self.ended.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Orders that were admitted and have not ended.
    pub(crate) fn live(&self) -> u64 {
        let served = self.orders().saturating_sub(self.ended[End::Refused as usize]);
        self.admitted.saturating_sub(served)
    }

    /// The same sums, as the accounts of the tenants hold them.
    pub(crate) fn sums_of_accounts(state: &State) -> Sums {
        let mut sums = Sums::default();
        for (_, account) in state.tables.accounts.iter() {
            let Account { tokens_in, cached, tokens_out, energy, .. } = *account;
            let (cost, burnt) = (account.charged(), account.worth());
            sums.add(Sums { tokens_in, cached, tokens_out, cost, burnt, energy });
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
        line("sent again", self.repeated, grouped(self.repeated));
        for (end, count) in self.ends() {
            line(end, count, grouped(count));
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
        let Sums { tokens_in, cached, tokens_out, cost, burnt, energy } = self.sums;
        let [cost, burnt] = [cost, burnt].map(|money| money.rounded().0);
        line("tokens in", tokens_in.0, grouped(tokens_in.0));
        line("tokens cached", cached.0, grouped(cached.0));
        line("tokens out", tokens_out.0, grouped(tokens_out.0));
        line("cost", cost, dollars(cost));
        line("burnt", burnt, dollars(burnt));
        line("energy", energy.0, joules(energy.0));
        lines
    }

    /// The same as JSON: numbers in base units.
    pub(crate) fn json(&self) -> Value {
        let orders: serde_json::Map<String, Value> =
            self.ends().map(|(end, count)| (end.to_owned(), count.into())).collect();
        let latency = |values: &[u64]| {
            let named = percentiles(values)
                .into_iter()
                .map(|(percent, value)| (format!("p{percent}"), value.into()));
            Value::Object(named.collect())
        };
        json!({
            "orders": orders,
            "live": self.live(),
            "refusals": self.refusals,
            "retries": self.retries,
            "repeated": self.repeated,
            "latency_us": latency(&self.latencies),
            "first_token_us": latency(&self.first_tokens),
            "tokens_in": self.sums.tokens_in,
            "tokens_cached": self.sums.cached,
            "tokens_out": self.sums.tokens_out,
            "cost_micro_usd": self.sums.cost.rounded(),
            "burnt_micro_usd": self.sums.burnt.rounded(),
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
pub(crate) fn percentiles(values: &[u64]) -> Vec<(u64, u64)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = |percent: u64| nearest_rank(&sorted, Ppm(percent * 10_000));
    [50, 90, 99].iter().filter_map(|percent| Some((*percent, at(*percent)?))).collect()
}

#[cfg(test)]
mod tests {
    use tensorforge_engine::units::{OrderId, PicoUsd, TenantId};

    use super::*;

    #[test]
    fn what_a_crafted_journal_adds_up_to_sticks_at_the_largest_number() {
        let (order, tenant) = (OrderId(1), TenantId(0));
        let settled = Event::Telemetry(telemetry::Event::OrderSettled {
            order,
            tenant,
            tokens_in: Tokens::MAX,
            cached: Tokens::MAX,
            tokens_out: Tokens::MAX,
            cost: PicoUsd::MAX,
            burnt: PicoUsd::MAX,
            energy: Millijoules::MAX,
        });
        let full = u64::MAX;
        let mut tally = Tally { records: full, events: full, retries: full, ..Tally::default() };
        tally.ended = [full; 5];
        tally.count(&[settled.clone(), settled]);
        assert_eq!((tally.records, tally.events, tally.orders()), (full, full, full));
        assert_eq!((tally.live(), tally.sums.tokens_in), (0, Tokens::MAX));
        // Twice 18 446 744.073 709 551 615 dollars, which no 64 bits hold: exact, and rounded.
        let Money { micros, picos } = tally.sums.cost;
        assert_eq!((micros.0, picos), (36_893_488_147_419, 103_230));
        assert_eq!(tally.sums.burnt.rounded().0, 36_893_488_147_419);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u64> = (1..=10).rev().collect();
        assert_eq!(percentiles(&values), [(50, 5), (90, 9), (99, 10)]);
        assert_eq!(percentiles(&[7]), [(50, 7), (90, 7), (99, 7)]);
        assert_eq!(percentiles(&[]), []);
    }
}
