//! Traces made to measure: a recipe and its seed give the same rows on every machine.
//!
//! Gaps between arrivals come from a renewal process of stated rate and coefficient of variation;
//! every order then belongs to a tenant by its share, and what it asks for is drawn as the tenant's
//! entry says. Each of these draws has a purpose of its own, so changing one leaves the others alone.

mod shapes;

use std::path::Path;

use serde::Deserialize;
use tensorforge_engine::models::{Class, Kind, Window};
use tensorforge_engine::units::{Micros, Ppm, Tokens};

use crate::document::{self, DocumentError, Millis};
use crate::draw::{Draws, Purpose, draw};
use crate::trace::{Key, Row, TOKENS_MAX, Trace, allowance};

pub use shapes::{Arrivals, Lengths, Process};
use shapes::{Gaps, Weights};

/// The most rows a recipe may be expected to make.
const ROWS_MAX: f64 = 10_000_000.0;

/// How a trace is made: the contents of a `.gen.toml` file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    name: String,
    seed: u64,
    duration_ms: Millis,
    #[serde(default = "usual_block")]
    block_tokens: u64,
    arrivals: Arrivals,
    #[serde(rename = "tenant")]
    tenants: Vec<TenantRecipe>,
}

/// A tenant of a recipe, and what its orders are like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantRecipe {
    name: String,
    share: u32,
    model: Option<String>,
    origin: Option<String>,
    #[serde(default = "usual_class")]
    class: Class,
    #[serde(default = "usual_kind")]
    kind: Kind,
    tokens_in: Lengths,
    tokens_out: Lengths,
    tokens_out_max: Option<u64>,
    deadline_ms: Option<Millis>,
    limit: Option<u32>,
    window_ms: Option<[Millis; 2]>,
    prefixes: Option<Prefixes>,
    resend: Option<Resend>,
}

/// Prompts that begin alike: `count` prefixes of `blocks` blocks, the first the most popular.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefixes {
    count: u32,
    blocks: u32,
    zipf: f64,
}

/// A client that loses patience and sends an order again, under the same key.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    share_ppm: u32,
    after_ms: Millis,
}

fn usual_block() -> u64 {
    512
}

fn usual_class() -> Class {
    Class::Standard
}

fn usual_kind() -> Kind {
    Kind::Inference
}

impl Recipe {
    /// Reads a recipe.
    pub fn open(path: &Path) -> Result<Self, DocumentError> {
        Self::parse(&path.display().to_string(), &document::text(path)?)
    }

    /// Reads the text of a recipe; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, DocumentError> {
        let recipe: Self = document::parse(file, text)?;
        document::sound(file, recipe.faults())?;
        Ok(recipe)
    }

    /// Makes the trace. The first order arrives at zero, the last one before the duration is over; an
    /// order that is sent again may arrive after it.
    pub fn generate(&self) -> Trace {
        let mut rows = Vec::new();
        let mut gaps = Draws::new(self.seed, Purpose::Gap);
        let mut picks = Draws::new(self.seed, Purpose::Tenant);
        let gap = Gaps::new(&self.arrivals);
        let shares = Weights::new(self.tenants.iter().map(|recipe| u64::from(recipe.share)));
        let mut tenants = self.tenants();
        let mut at = 0;
        while at < self.duration_ms.micros().0 {
            if let Some(tenant) = tenants.get_mut(shares.draw(&mut picks)) {
                tenant.serve(Micros(at), self.block_tokens, &mut rows);
            }
            at = at.saturating_add(gap.draw(&mut gaps));
        }
        rows.sort_by_key(|row| row.at);
        (1..).zip(&mut rows).for_each(|(number, row)| row.external = number);
        Trace { name: self.name.clone(), block_tokens: self.block_tokens, rows }
    }

    /// The draws of each tenant, from a seed of its own, and its range of block ids.
    fn tenants(&self) -> Vec<TenantDraws<'_>> {
        let mut blocks_before = 0;
        let tenants = (0..).zip(&self.tenants).map(|(number, recipe)| {
            let seed = draw(self.seed, Purpose::Seed, number);
            let prefixes = recipe.prefixes.as_ref();
            let tenant = TenantDraws {
                recipe,
                blocks_before,
                served: 0,
                tokens_in: Draws::new(seed, Purpose::TokensIn),
                tokens_out: Draws::new(seed, Purpose::TokensOut),
                prefix: Draws::new(seed, Purpose::Prefix),
                resend: Draws::new(seed, Purpose::Resend),
                ranks: prefixes.map(|prefixes| Weights::zipf(prefixes.count, prefixes.zipf)),
            };
            blocks_before += prefixes.map_or(0, |p| u64::from(p.count) * u64::from(p.blocks));
            tenant
        });
        tenants.collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, text: String| {
            if wrong {
                faults.push(text);
            }
        };
        let seconds = self.duration_ms.micros().0 as f64 / 1e6;
        fault(self.name.is_empty(), "name is empty".to_owned());
        fault(self.duration_ms == Millis::default(), "duration_ms is 0".to_owned());
        fault(
            !(1..=TOKENS_MAX).contains(&self.block_tokens),
            format!("block_tokens is {}, not in 1..={TOKENS_MAX}", self.block_tokens),
        );
        fault(self.tenants.is_empty(), "tenant is empty; at least one is needed".to_owned());
        fault(
            self.arrivals.rate * seconds > ROWS_MAX,
            format!("arrivals.rate over duration_ms makes more than {ROWS_MAX} rows"),
        );
        faults.extend(self.arrivals.faults());
        for (place, recipe) in self.tenants.iter().enumerate() {
            let key = format!("tenant[{place}]");
            faults.extend(recipe.faults().into_iter().map(|text| format!("{key}.{text}")));
            if self.tenants.iter().take(place).any(|other| other.name == recipe.name) {
                faults.push(format!("{key}.name is {:?}, which is taken", recipe.name));
            }
        }
        faults
    }
}

impl TenantRecipe {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(text.to_owned());
            }
        };
        fault(self.name.is_empty(), "name is empty");
        fault(self.share == 0, "share is 0");
        fault(
            self.tokens_out_max.is_some_and(|max| !(1..=TOKENS_MAX).contains(&max)),
            "tokens_out_max is not in 1..=1000000000",
        );
        fault(self.limit == Some(0), "limit is 0");
        let embeds = self.kind == Kind::Embedding;
        fault(
            embeds && (self.tokens_out != Lengths::Fixed(0) || self.tokens_out_max.is_some()),
            "tokens_out is not { fixed = 0 }, or tokens_out_max is given, and an embedding has no answer",
        );
        fault(embeds && self.window_ms.is_some(), "window_ms is given, and an embedding has none");
        fault(self.deadline_ms == Some(Millis::default()), "deadline_ms is 0");
        fault(
            self.window_ms.is_some_and(|[from, until]| from >= until),
            "window_ms ends before it begins",
        );
        if let Some(prefixes) = &self.prefixes {
            fault(!(1..=1 << 16).contains(&prefixes.count), "prefixes.count is not in 1..=65536");
            fault(!(1..=1 << 12).contains(&prefixes.blocks), "prefixes.blocks is not in 1..=4096");
            fault(!(0.0..=8.0).contains(&prefixes.zipf), "prefixes.zipf is not in 0..=8");
        }
        if let Some(resend) = &self.resend {
            fault(resend.share_ppm > 1_000_000, "resend.share_ppm is more than 1000000");
        }
        faults.extend(self.tokens_in.faults("tokens_in", 1));
        faults.extend(self.tokens_out.faults("tokens_out", 0));
        faults
    }
}

/// Makes one tenant's orders.
struct TenantDraws<'a> {
    recipe: &'a TenantRecipe,
    blocks_before: u64,
    served: u64,
    tokens_in: Draws,
    tokens_out: Draws,
    prefix: Draws,
    resend: Draws,
    ranks: Option<Weights>,
}

impl TenantDraws<'_> {
    fn serve(&mut self, at: Micros, block_tokens: u64, rows: &mut Vec<Row>) {
        let recipe = self.recipe;
        self.served += 1;
        let blocks = self.blocks();
        let own = recipe.tokens_in.draw(&mut self.tokens_in);
        let shared = block_tokens.saturating_mul(blocks.len() as u64);
        let drawn = recipe.tokens_out.draw(&mut self.tokens_out);
        let usual = match recipe.kind {
            Kind::Embedding => Tokens::ZERO,
            _ => allowance(drawn),
        };
        let tokens_out_max = recipe.tokens_out_max.map_or(usual, Tokens);
        let mut row = Row {
            external: 0,
            at,
            tenant: recipe.name.clone(),
            model: recipe.model.clone(),
            class: recipe.class,
            kind: recipe.kind,
            origin: recipe.origin.clone(),
            tokens_in: Tokens(own.saturating_add(shared).min(TOKENS_MAX)),
            tokens_out: Tokens(drawn).min(tokens_out_max),
            tokens_out_max,
            deadline: recipe.deadline_ms.map(Millis::micros),
            limit: recipe.limit.unwrap_or(0),
            idempotency: None,
            blocks,
            window: recipe
                .window_ms
                .map(|[from, until]| Window { from: from.micros(), until: until.micros() }),
        };
        if let Some(resend) = &recipe.resend {
            row.idempotency = Some(Key::of(self.served));
            if self.resend.below(Ppm::ONE.0) < u64::from(resend.share_ppm) {
                // The same window, as it is counted from the later arrival.
                let after = resend.after_ms.micros();
                let window = row.window.as_ref();
                let window =
                    window.map(|w| Window { from: w.from - after, until: w.until - after });
                rows.push(Row { at: at + after, window, ..row.clone() });
            }
        }
        rows.push(row);
    }

    fn blocks(&mut self) -> Vec<u64> {
        let (Some(prefixes), Some(ranks)) = (&self.recipe.prefixes, &self.ranks) else {
            return Vec::new();
        };
        let blocks = u64::from(prefixes.blocks);
        let first = self.blocks_before + ranks.draw(&mut self.prefix) as u64 * blocks;
        (1..=blocks).map(|place| first + place).collect()
    }
}
