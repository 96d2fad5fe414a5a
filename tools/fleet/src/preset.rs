//! What a kind of vessel takes for its work: measured points, and straight lines between them.

use serde::Deserialize;
use tensorforge_engine::models::{Manifest, Role};
use tensorforge_engine::units::{MicroUsd, Micros, Millijoules, ModelId, RegionId, Tokens};

/// A kind of vessel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// How long a prompt takes.
    pub prefill: Prefill,
    /// How long a generated token takes.
    pub decode: Decode,
    /// How much longer a generated token takes while the vessel works on a prompt, in percent of its
    /// usual time.
    #[serde(default = "undisturbed")]
    pub interference_percent: u64,
    /// How long a thousand prompt tokens take to arrive from the vessel that prefilled them.
    #[serde(default)]
    pub transfer_us_per_kilotoken: Micros,
    /// How many orders share one step of the model.
    pub batch_max: u32,
    /// Tokens of prompts and answers that fit in memory at once.
    pub kv_tokens: Tokens,
    /// Tokens of prompts that are kept afterwards, in memory beside `kv_tokens`.
    #[serde(default)]
    pub cache_tokens: Tokens,
    /// The largest order: prompt and answer together.
    pub context_max: Tokens,
    /// The length of prompt at which `Manifest::prefill_per_kilotoken` is stated.
    #[serde(default = "usual_prompt")]
    pub nominal_prompt: Tokens,
    /// Price of a million prompt tokens.
    pub price_in: MicroUsd,
    /// Price of a million prompt tokens found in the prefix cache.
    pub price_cached: MicroUsd,
    /// Price of a million generated tokens.
    pub price_out: MicroUsd,
    /// Fuel for a thousand prompt tokens.
    pub fuel_in: Millijoules,
    /// Fuel for a thousand generated tokens.
    pub fuel_out: Millijoules,
}

/// Time for a whole prompt, by its length and by how many orders the vessel has aboard.
///
/// Prompts are worked one at a time, in chunks between the tokens of the others: the more of them,
/// the longer a prompt takes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefill {
    /// Lengths, ascending.
    pub prompts: Vec<u64>,
    /// Orders aboard, this one included, ascending.
    pub batches: Vec<u64>,
    /// Microseconds: one list for each length, in it one value for each batch.
    pub micros: Vec<Vec<u64>>,
}

/// Time for one token of every order aboard, by their number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    /// Orders that generate, ascending.
    pub batches: Vec<u64>,
    /// Microseconds, one for each batch.
    pub micros: Vec<u64>,
}

fn undisturbed() -> u64 {
    100
}

fn usual_prompt() -> Tokens {
    Tokens(2_048)
}

impl Preset {
    /// How long `tokens` of a prompt take while `batch` orders are aboard.
    pub fn prefill_time(&self, tokens: Tokens, batch: u64) -> Micros {
        let table = &self.prefill;
        let (left, right) = bracket(&table.batches, batch);
        let time = |column: Point| {
            let (low, high) = bracket(&table.prompts, tokens.0);
            let at = |row: Point| {
                table.micros.get(row.place).and_then(|row| row.get(column.place)).copied()
            };
            blend(low, at(low), high, at(high), tokens.0)
        };
        Micros(blend(left, Some(time(left)), right, Some(time(right)), batch))
    }

    /// How long one token of each of `batch` orders takes.
    pub fn decode_time(&self, batch: u64) -> Micros {
        let (low, high) = bracket(&self.decode.batches, batch);
        let at = |point: Point| self.decode.micros.get(point.place).copied();
        Micros(blend(low, at(low), high, at(high), batch))
    }

    /// What a vessel of this kind declares. Its times are those of a prompt of `nominal_prompt` tokens
    /// and of an answer while the vessel is half full, rounded up.
    pub fn manifest(&self, region: RegionId, role: Role, models: Vec<ModelId>) -> Manifest {
        let half = u64::from(self.batch_max).div_ceil(2);
        let prompt = self.prefill_time(self.nominal_prompt, half).0;
        let per_kilotoken = prompt.saturating_mul(1_000).div_ceil(self.nominal_prompt.0.max(1));
        Manifest {
            region,
            role,
            models,
            slots: self.batch_max,
            context_max: self.context_max,
            cache_tokens: self.kv_tokens,
            domain: 0,
            prefill_per_kilotoken: Micros(per_kilotoken),
            decode_per_token: self.decode_time(half),
            price_in: self.price_in,
            price_cached: self.price_cached,
            price_out: self.price_out,
            fuel_in: self.fuel_in,
            fuel_out: self.fuel_out,
            heartbeat: Micros::ZERO,
        }
    }

    /// What a leg burnt: fuel for the prompt tokens that were worked and for those generated, rounded
    /// down to a millijoule.
    pub fn energy(&self, worked: Tokens, generated: Tokens) -> Millijoules {
        let prompt = u128::from(worked.0) * u128::from(self.fuel_in.0);
        let answer = u128::from(generated.0) * u128::from(self.fuel_out.0);
        Millijoules(narrow((prompt + answer) / 1_000))
    }

    /// Everything that is wrong with this preset, each fault naming its key.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, value, least) in [
            ("interference_percent", self.interference_percent, 100),
            ("batch_max", u64::from(self.batch_max), 1),
            ("kv_tokens", self.kv_tokens.0, 1),
            ("context_max", self.context_max.0, 1),
            ("nominal_prompt", self.nominal_prompt.0, 1),
        ] {
            if value < least {
                faults.push(format!("{key} is {value}, less than {least}"));
            }
        }
        if self.context_max > self.kv_tokens {
            faults.push(format!(
                "context_max is {}, more than the {} of kv_tokens",
                self.context_max, self.kv_tokens
            ));
        }
        faults.extend(self.prefill.faults());
        faults.extend(axis("decode.batches", &self.decode.batches));
        if self.decode.micros.len() != self.decode.batches.len() {
            faults.push("decode.micros has not one value for each batch".to_owned());
        }
        if !times(&self.decode.micros) {
            faults.push("decode.micros has times that are zero, fall or exceed a day".to_owned());
        }
        faults
    }
}

impl Prefill {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(axis("prefill.prompts", &self.prompts));
        faults.extend(axis("prefill.batches", &self.batches));
        let square = self.micros.len() == self.prompts.len()
            && self.micros.iter().all(|row| row.len() == self.batches.len());
        if !square {
            faults.push(
                "prefill.micros has not one list for each prompt with one value for each batch"
                    .to_owned(),
            );
            return faults;
        }
        let columns = (0..self.batches.len()).map(|place| {
            self.micros.iter().filter_map(|row| row.get(place).copied()).collect::<Vec<_>>()
        });
        if !self.micros.iter().all(|row| times(row)) || !columns.into_iter().all(|c| times(&c)) {
            faults.push("prefill.micros has times that are zero, fall or exceed a day".to_owned());
        }
        faults
    }
}

fn axis(key: &str, values: &[u64]) -> Option<String> {
    let sound = values.first().is_some_and(|first| *first > 0)
        && values.windows(2).all(|pair| pair[0] < pair[1]);
    (!sound).then(|| format!("{key} does not ascend from one or more"))
}

fn times(values: &[u64]) -> bool {
    const DAY: u64 = 86_400_000_000;
    values.iter().all(|time| (1..=DAY).contains(time))
        && values.windows(2).all(|pair| pair[0] <= pair[1])
}

/// A place on an axis, and the value there.
#[derive(Clone, Copy)]
struct Point {
    place: usize,
    x: u64,
}

/// The two points between which `x` lies: the first one twice below the axis, the last two beyond it.
fn bracket(axis: &[u64], x: u64) -> (Point, Point) {
    let above = axis.partition_point(|value| *value <= x);
    let high = above.min(axis.len().saturating_sub(1));
    let low = if above == 0 { 0 } else { high.saturating_sub(1) };
    let point = |place: usize| Point { place, x: axis.get(place).copied().unwrap_or(1) };
    (point(low), point(high))
}

/// The value at `x` on the straight line through two points, rounded to the nearest, halves up. Below
/// the first point of an axis it is the value there; beyond the last one the line goes on.
fn blend(low: Point, at_low: Option<u64>, high: Point, at_high: Option<u64>, x: u64) -> u64 {
    let (low_y, high_y) = (at_low.unwrap_or(0), at_high.unwrap_or(0));
    let width = u128::from(high.x.saturating_sub(low.x));
    let rise = u128::from(high_y.saturating_sub(low_y));
    let along = u128::from(x.saturating_sub(low.x));
    match width {
        0 => low_y,
        _ => narrow(u128::from(low_y) + (rise * along + width / 2) / width),
    }
}

fn narrow(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}
