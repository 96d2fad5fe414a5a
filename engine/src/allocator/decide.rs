//! Which berth an order gets.

use alloc::vec::Vec;

use crate::allocator::words::Refusal as Allocator;
use crate::config::rows::Bound;
use crate::config::words::Refusal as Config;
use crate::kernel::draw::{Draw, Purpose};
use crate::kernel::units::{BerthId, ModelId, OrderId, Tokens, VesselId};
use crate::models::rows::{Role, Window};
use crate::models::words::Refusal as Models;
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::Transaction;

/// Vessels asked for a berth, at most.
const BERTH_CANDIDATES: u32 = 16;

/// Finds a berth for `window` on a vessel that serves `model` and can hold `size` tokens: of those
/// drawn, the one with the fewest berths that overlap the window; of equal ones, the first drawn.
pub(crate) fn find_berth(
    tx: &Transaction,
    order: OrderId,
    model: ModelId,
    size: Tokens,
    window: &Window,
) -> Result<(BerthId, VesselId, u32), Refusal> {
    let state = tx.state();
    let max = state.limits().map_or(0, |limits| limits.berths);
    if state.tables.berths.len() >= max {
        return Err(Config::Full { bound: Bound::Berths, max: u64::from(max) }.into());
    }
    let serving = state.index.parties.serving.get(model.0 as usize).ok_or(Models::NoVessel)?;
    let draw = Draw::new(state.journal(), tx.stamp().seq, order, Purpose::Berth);
    let mut ranks = Vec::new();
    draw.sample(BERTH_CANDIDATES, serving.up.count(), &mut ranks);
    let drawn = ranks.iter().filter_map(|rank| serving.up.select(*rank)).map(VesselId);
    let fitting = drawn.filter_map(|id| {
        let manifest = &state.tables.vessels.get(id)?.manifest;
        let overlapping = overlapping(state, id, window);
        let fits = manifest.role == Role::Whole
            && manifest.context_max >= size
            && overlapping < manifest.slots;
        fits.then_some((overlapping, id))
    });
    let (overlapping, vessel) =
        fitting.min_by_key(|(overlapping, _)| *overlapping).ok_or(Allocator::NoBerth)?;
    Ok((state.tables.berths.vacancy(), vessel, overlapping))
}

/// How many berths of a vessel overlap a window.
fn overlapping(state: &State, vessel: VesselId, window: &Window) -> u32 {
    let berths = state.index.berths.get(&vessel).map_or(&[][..], Vec::as_slice);
    let overlaps = berths
        .iter()
        .filter_map(|id| state.tables.berths.get(*id))
        .filter(|berth| berth.window.from < window.until && window.from < berth.window.until);
    u32::try_from(overlaps.count()).unwrap_or(u32::MAX)
}
