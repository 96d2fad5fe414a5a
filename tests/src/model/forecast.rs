//! How long answers were, and how fast vessels: what predictions are made of.

use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// How many answers of each length were counted, of one model, class, tenant and power of two of what was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) of: (u32, Class, u32, u8),
    /// Counted, less those of others that found the place taken.
    pub(super) samples: u32,
    /// By the longest that is counted as alike.
    pub(super) counts: BTreeMap<u64, u32>,
}

/// The shortest and the longest answer that is counted as the same length: alone below four, of each power of
/// two a quarter.
fn alike(tokens: u64) -> (u64, u64) {
    let tokens = tokens.min(1_048_575);
    if tokens < 4 {
        return (tokens, tokens);
    }
    let mut power = 4;
    while power * 2 <= tokens {
        power *= 2;
    }
    let width = power / 4;
    let first = tokens - tokens % width;
    (first, first + width - 1)
}

/// The power of two that is not above what an order allows.
fn power(demand: &Demand) -> u8 {
    let mut power = 0;
    while power < 21 && demand.tokens_out_max.0 >> (power + 1) > 0 {
        power += 1;
    }
    power
}

impl Lengths {
    fn add(&mut self, tokens: u64) {
        if self.counts.values().sum::<u32>() == 255 {
            // Of all up to each length, half remain.
            let (mut before, mut left) = (0, 0);
            for count in self.counts.values_mut() {
                before += *count;
                *count = before / 2 - left;
                left = before / 2;
            }
        }
        *self.counts.entry(alike(tokens).1).or_default() += 1;
        self.counts.retain(|_, count| *count > 0);
        self.samples = self.counts.values().sum();
    }

    /// The length that so many of a hundred are not above, those alike being spread evenly.
    pub(super) fn percentile(&self, percent: usize) -> u64 {
        let mut all = Vec::new();
        for (longest, count) in &self.counts {
            let (first, last) = alike(*longest);
            let (width, count) = (last - first + 1, u64::from(*count));
            all.extend((1..=count).map(|n| first + (n * width).div_ceil(count) - 1));
        }
        let rank = (all.len() * percent).div_ceil(100).max(1);
        all.get(rank - 1).copied().unwrap_or(0)
    }
}

/// How long legs took and should have taken, and how many there were; half of it with every span that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) since: u64,
    pub(super) sums: [u64; 3],
}

impl Pace {
    fn roll(&mut self, now: u64, span: u64) {
        let spans = (now - self.since) / span;
        self.since += spans * span;
        for _ in 0..spans.min(70) {
            self.sums = self.sums.map(|sum| sum / 2);
        }
    }

    pub(super) fn add(&mut self, now: u64, span: u64, took: u64, predicted: u64) {
        self.roll(now, span);
        let [a, b, c] = self.sums;
        self.sums = [a + took, b + predicted, c + 1];
    }

    /// Percent.
    pub(super) fn percent(mut self, now: u64, rule: &Forecast) -> u64 {
        self.roll(now, rule.window.0);
        let [took, predicted, legs] = self.sums;
        if legs < u64::from(rule.legs) || predicted == 0 {
            100
        } else {
            (rules::share(took, predicted) / 10_000).clamp(25, 1_600)
        }
    }
}

impl Model {
    /// The places of everybody's answers, and of a tenant's.
    fn length_places(&self, demand: &Demand, tenant: u32) -> [u32; 2] {
        let (models, tenants) =
            self.limits.as_ref().map_or((0, 1), |limits| (limits.models, limits.tenants));
        let (model, class, power) = (demand.model.0, demand.class as u8, power(demand));
        let mut image = model.to_le_bytes().to_vec();
        image.extend([class, power]);
        image.extend(tenant.to_le_bytes());
        let own = models * 66 + (xxh3_64(&image) % u64::from(tenants * 8)) as u32;
        [(model * 3 + u32::from(class)) * 22 + u32::from(power), own]
    }

    /// Counts the answer of an order that was served.
    pub(super) fn note_length(&mut self, order: &Live) {
        if routes::is_embedding(&order.demand) {
            return;
        }
        let (model, class) = (order.demand.model, order.demand.class);
        let places = self.length_places(&order.demand, order.tenant);
        for (place, whose) in places.into_iter().zip([u32::MAX, order.tenant]) {
            let of = (model.0, class, whose, power(&order.demand));
            let none = || Lengths { of, samples: 0, counts: BTreeMap::new() };
            // Where there are many, only every fourth counts, picked by the golden ratio.
            let spread = order.id.number().wrapping_mul(11_400_714_819_323_198_485);
            let many = self.lengths.get(&place).is_some_and(|row| row.samples >= 64);
            if many && spread >= 1 << 62 {
                continue;
            }
            let row = self.lengths.entry(place).or_insert_with(none);
            if row.of != of {
                row.samples -= row.samples.min(1);
                if row.samples > 0 {
                    continue;
                }
                *row = none();
            }
            row.add(order.tokens_out);
        }
    }

    /// How long the answer of an order usually is, and how long 95 of 100 are.
    pub(super) fn expected(&self, order: &Live) -> (u64, u64) {
        self.expected_of(order.tenant, &order.demand)
    }

    /// The same of what a tenant asks for.
    pub(super) fn expected_of(&self, tenant: u32, demand: &Demand) -> (u64, u64) {
        let (model, class, most) = (demand.model, demand.class, demand.tokens_out_max.0);
        let Some(rule) = self.policies.last().map(|policy| &policy.forecast) else {
            return (most, most);
        };
        let [all, own] = self.length_places(demand, tenant);
        for (place, whose) in [(own, tenant), (all, u32::MAX)] {
            let row = self
                .lengths
                .get(&place)
                .filter(|row| row.of == (model.0, class, whose, power(demand)));
            if let Some(row) = row.filter(|row| row.samples >= rule.samples) {
                return (row.percentile(50).min(most), row.percentile(95).min(most));
            }
        }
        let prior = rules::charge(most, rule.prior.0, 1_000_000);
        (rules::narrow(prior), most)
    }
}
