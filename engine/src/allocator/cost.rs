//! What work takes and costs, as manifests declare it.

use crate::kernel::units::{MicroUsd, Micros, Millijoules, PicoUsd, Tokens, clamp, worth};
use crate::models::rows::{Leg, LegKind, Manifest, Order, Region};
use crate::state::State;

/// What a vessel has made of a prompt is not taken to be longer on its way than the largest order may last, so that the
/// work of all that is aboard is a sum that never sticks.
const TRANSFER_MAX: Micros = Micros(1 << 46);

/// The time for `tokens` prompt tokens, rounded up.
pub(crate) fn prefill_time(manifest: &Manifest, tokens: Tokens) -> Micros {
    Micros(per(tokens, manifest.prefill_per_kilotoken.0, 1_000))
}

/// The time for `tokens` generated tokens.
pub(crate) fn decode_time(manifest: &Manifest, tokens: Tokens) -> Micros {
    Micros(manifest.decode_per_token.0.saturating_mul(tokens.0))
}

/// The time for a prompt and an answer, where a thousand tokens of the one and a token of the other take so long.
pub(crate) fn work_time([prefill, decode]: [Micros; 2], prompt: Tokens, answer: Tokens) -> Micros {
    Micros(per(prompt, prefill.0, 1_000)) + Micros(decode.0.saturating_mul(answer.0))
}

/// The time that what a vessel has made of a prompt of `tokens` takes into a region from another; rounded up.
pub(crate) fn transfer_time(region: &Region, tokens: Tokens) -> Micros {
    Micros(per(tokens, region.transfer.0, 1_000)).min(TRANSFER_MAX)
}

/// How long an order's leg fetches what was made of its prompt: where that was worked in another region, all of it.
pub(crate) fn fetch_time(state: &State, order: &Order, leg: &Leg) -> Micros {
    let made = order.route.iter().find(|leg| leg.kind == LegKind::Prefill);
    let Some(made) = made.filter(|_| leg.kind == LegKind::Decode) else { return Micros::ZERO };
    let tables = &state.tables;
    let of = |leg: &Leg| tables.vessels.get(leg.vessel).map(|vessel| vessel.manifest.region);
    let (from, to) = (of(made), of(leg));
    let region = to.filter(|_| from != to).and_then(|region| tables.regions.get(region));
    // Since it was routed a vessel may have been registered elsewhere.
    region
        .map_or(Micros::ZERO, |region| transfer_time(region, order.demand.tokens_in).min(leg.work))
}

/// The price of a prompt of `tokens`, of which `cached` are in the prefix cache; rounded up.
pub(crate) fn price_in(manifest: &Manifest, tokens: Tokens, cached: Tokens) -> MicroUsd {
    let fresh = per(tokens - cached, manifest.price_in.0, 1_000_000);
    MicroUsd(fresh) + MicroUsd(per(cached, manifest.price_cached.0, 1_000_000))
}

/// The price of `tokens` generated; rounded up.
pub(crate) fn price_out(manifest: &Manifest, tokens: Tokens) -> MicroUsd {
    MicroUsd(per(tokens, manifest.price_out.0, 1_000_000))
}

/// The fuel for a prompt and an answer, rounded up.
pub(crate) fn fuel(manifest: &Manifest, fresh: Tokens, generated: Tokens) -> Millijoules {
    Millijoules(per(fresh, manifest.fuel_in.0, 1_000))
        + Millijoules(per(generated, manifest.fuel_out.0, 1_000))
}

/// `rate` for every `unit` tokens, rounded up.
fn per(tokens: Tokens, rate: u64, unit: u64) -> u64 {
    if let Some(amount) = tokens.0.checked_mul(rate) {
        return amount.div_ceil(unit.max(1));
    }
    clamp(u128::from(tokens.0).saturating_mul(u128::from(rate)).div_ceil(u128::from(unit.max(1))))
}

/// How long a leg should take that turned out to be so much work, had it been alone, and that had to fetch for so long.
pub(crate) fn leg_time(
    manifest: &Manifest,
    leg: &Leg,
    fetch: Micros,
    fresh: Tokens,
    generated: Tokens,
) -> Micros {
    match leg.kind {
        LegKind::Hop => leg.work,
        LegKind::Whole => prefill_time(manifest, fresh) + decode_time(manifest, generated),
        LegKind::Prefill => prefill_time(manifest, fresh),
        LegKind::Decode => fetch + decode_time(manifest, generated),
    }
}

/// What a completed leg is worth, exactly: prompt tokens where they were worked, generated ones likewise.
pub(crate) fn leg_cost(
    manifest: &Manifest,
    kind: LegKind,
    tokens_in: Tokens,
    cached: Tokens,
    tokens_out: Tokens,
) -> PicoUsd {
    let fresh = tokens_in - cached;
    let prompt = worth(fresh, manifest.price_in) + worth(cached, manifest.price_cached);
    let answer = worth(tokens_out, manifest.price_out);
    match kind {
        LegKind::Hop => PicoUsd::ZERO,
        LegKind::Whole => prompt + answer,
        LegKind::Prefill => prompt,
        LegKind::Decode => answer,
    }
}
