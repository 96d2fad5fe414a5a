//! How well vessels, models and the exchange are, from 0 to 100, and what of it each thing takes.
//!
//! A rule to look by: nothing is decided by it. Each input is found somewhere between as it should be, which takes
//! nothing, and as bad as it gets, which takes its whole weight, and takes a part of that as it lies between them. What
//! is left of 100 is rounded down, so that 100 says that nothing is amiss. Shares are of the time that the policy in
//! force has calls and orders count for, and of as many as it asks for: without a policy, and of fewer, there are none.

use alloc::vec::Vec;

use crate::kernel::fixed::Fixed;
use crate::kernel::units::{Micros, ModelId, Ppm, VesselId};
use crate::models::rows::{Class, Vessel, VesselStatus};
use crate::resilience::rows::Breaker;
use crate::state::State;
use crate::statistics::{mean, weighted_mean};
use crate::telemetry::decide::pace;

/// What an input is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One thing, or steps of it.
    Count,
    /// Millionths.
    Ppm,
    /// Hundredths.
    Percent,
    /// Microseconds.
    Micros,
}

/// One thing that health is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// What people call it.
    pub name: &'static str,
    /// How it was found; nothing is as it should be.
    pub found: u64,
    /// From here on it is as bad as it gets; where this is nothing, it never is bad.
    pub worst: u64,
    /// What both are counted in.
    pub unit: Unit,
    /// The points that it takes at its worst.
    pub weight: u32,
}

/// How well something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// From 0 to 100.
    pub points: u32,
    /// What it is made of.
    pub inputs: Vec<Input>,
}

/// A share of calls that fail, or of orders that are late, from which on it is as bad as it gets.
const SHARE_WORST: u64 = 250_000;
/// So much longer than a vessel should take, in percent, is as bad as it gets: four times as long.
const PACE_WORST: u64 = 300;
/// After so many silent periods a vessel counts as lost.
const PERIODS_WORST: u64 = 3;
/// Points of what nothing is amiss with.
const ALL: u64 = 100;

impl Input {
    const fn new(name: &'static str, weight: u32, unit: Unit, (found, worst): (u64, u64)) -> Self {
        Self { name, found, worst, unit, weight }
    }

    /// What it takes, in millionths of a point, to the nearest.
    pub fn taken(&self) -> u64 {
        let whole = Fixed::from(u64::from(self.weight).saturating_mul(Ppm::ONE.0));
        if self.worst == 0 {
            0
        } else {
            whole.scaled(self.found.min(self.worst), self.worst).rounded()
        }
    }
}

impl Health {
    fn of(inputs: Vec<Input>) -> Self {
        let taken = inputs.iter().fold(0u64, |sum, input| sum.saturating_add(input.taken()));
        let left = ALL.saturating_mul(Ppm::ONE.0).saturating_sub(taken) / 1_000_000;
        Self { points: left as u32, inputs }
    }
}

/// The health of a vessel; none of one that is not known, is still on its way or was retired.
///
/// All 100 points go with it when it is lost; 40 when a quarter of its calls fail, 25 when its breaker is open and half
/// of them while that is probing, 20 when its legs take four times as long as they should, 10 when it is silent for so long
/// that it counts as lost (of which the first of three periods is as it should be), 5 while it is left in peace for having no room.
pub fn vessel(state: &State, id: VesselId) -> Option<Health> {
    let (vessel, load) = (state.tables.vessels.get(id)?, state.tables.loads.get(id)?);
    if matches!(vessel.status, VesselStatus::Retired | VesselStatus::Joining) {
        return None;
    }
    let rule = state.policy().map(|(_, policy)| &policy.breaker);
    let failing = rule.map(|rule| load.outcomes.failing(state.now(), rule.window, rule.calls));
    let breaker = match load.breaker {
        Breaker::Closed => 0,
        Breaker::Probing => 1,
        Breaker::Open => 2,
    };
    let slower = u64::from(pace(state, load)).saturating_sub(100);
    let period = vessel.manifest.heartbeat;
    let silent = (state.now() - load.seen - period).0;
    let longest = period.0.saturating_mul(PERIODS_WORST.saturating_sub(1));
    let lost = u64::from(vessel.status.is_gone());
    let full = u64::from(load.paused != Micros::ZERO);
    Some(Health::of(Vec::from([
        Input::new("lost", 100, Unit::Count, (lost, 1)),
        Input::new("failing", 40, Unit::Ppm, (failing.unwrap_or_default().0, SHARE_WORST)),
        Input::new("breaker", 25, Unit::Count, (breaker, 2)),
        Input::new("slower", 20, Unit::Percent, (slower, PACE_WORST)),
        Input::new("silent", 10, Unit::Micros, (silent, longest)),
        Input::new("full", 5, Unit::Count, (full, 1)),
    ])))
}

/// The health of a model; none of one that is not known.
///
/// 50 points go with its vessels, as far as these lack any on the mean, weighed by their slots; 30 with the slots that
/// no work is given to at this moment, of all; 20 when as many orders wait for it as there are other slots, or none are. A
/// vessel that was sent away is no vessel of it, and all of its points go with the last one.
pub fn model(state: &State, id: ModelId) -> Option<Health> {
    state.tables.models.get(id)?;
    let serving = |vessel: &Vessel| {
        let here = matches!(vessel.status, VesselStatus::Up) || vessel.status.is_gone();
        here && !vessel.held && vessel.manifest.models.contains(&id)
    };
    let (mut points, mut slots, mut open) = (Vec::new(), 0u64, 0u64);
    for (key, row) in state.tables.vessels.iter().filter(|(_, row)| serving(row)) {
        let (Some(health), Some(load)) = (vessel(state, key), state.tables.loads.get(key)) else {
            continue;
        };
        let own = u64::from(row.manifest.slots);
        points.push((u64::from(health.points), own));
        slots = slots.saturating_add(own);
        open = open.saturating_add(u64::from(row.slots(load)));
    }
    let lacking = lacking(weighted_mean(&points).unwrap_or_default());
    let queued = state.tables.lines.get(id).map_or(0, |line| {
        line.queued.iter().fold(0u64, |sum, queued| sum.saturating_add(u64::from(*queued)))
    });
    let of = |found: u64, whole: u64| if whole == 0 { (1, 1) } else { (found, whole) };
    Some(Health::of(Vec::from([
        Input::new("vessels", 50, Unit::Ppm, (lacking, Ppm::ONE.0)),
        Input::new("slots", 30, Unit::Count, of(slots.saturating_sub(open), slots)),
        Input::new("waiting", 20, Unit::Count, of(queued, open)),
    ])))
}

/// The health of the exchange.
///
/// 25 points go with its models, as far as these lack any on the mean; 20 when a quarter of all calls fail; 15 when the
/// queue is full; 12, 8 and 5 when a quarter of the interactive, standard and batch orders wait for too much of their
/// time; 15 when the level is halted, and a third of them for each level on the way.
pub fn exchange(state: &State) -> Health {
    let models = state.tables.models.iter();
    let points = models.filter_map(|(id, _)| model(state, id));
    let points: Vec<Fixed> = points.map(|health| Fixed::from(u64::from(health.points))).collect();
    let lacking = mean(&points).map_or(0, lacking);
    let rule = state.policy().map(|(_, policy)| &policy.escalation);
    let failing = state
        .calls()
        .zip(rule)
        .map_or(Ppm::ZERO, |(calls, rule)| calls.failing(state.now(), rule.window, rule.calls));
    let late = |class| {
        let flow = state.flow().zip(rule);
        let share =
            flow.map(|(flow, rule)| flow.at(state.now(), rule.window).late(class, rule.calls).0);
        (share.unwrap_or(0), SHARE_WORST)
    };
    let queued = state.waiting().map_or(0, |waiting| waiting.queued);
    let most = state.limits().map_or(0, |limits| u64::from(limits.queued));
    let level = state.stance().map_or(0, |stance| stance.level as u64);
    Health::of(Vec::from([
        Input::new("models", 25, Unit::Ppm, (lacking, Ppm::ONE.0)),
        Input::new("failing", 20, Unit::Ppm, (failing.0, SHARE_WORST)),
        Input::new("queue", 15, Unit::Count, (queued, most)),
        Input::new("late interactive", 12, Unit::Ppm, late(Class::Interactive)),
        Input::new("late standard", 8, Unit::Ppm, late(Class::Standard)),
        Input::new("late batch", 5, Unit::Ppm, late(Class::Batch)),
        Input::new("level", 15, Unit::Count, (level, 3)),
    ]))
}

/// What so many points lack of all, in millionths of them.
fn lacking(points: Fixed) -> u64 {
    let lacking = (Fixed::from(ALL) - points).in_parts(10_000);
    u64::try_from(lacking).unwrap_or(0)
}
