//! How the risk is reviewed, and the level moved.

use super::*;
use tensorforge_engine::policy::{DriftRule, Signal, Signals};

impl Model {
    pub(super) fn review(&mut self) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let escalation = policy.escalation;
        let queued = u64::from(self.limits.as_ref().map_or(1, |limits| limits.queued));
        let (window, least) = (escalation.window.0, escalation.calls);
        let failing = self.legs.share(self.now, window, least, [FAILED, CALLS]);
        let pressure = rules::share(self.queue_length(), queued);
        let late = [0, 1, 2].map(|c| self.flow.share(self.now, window, least, [c + 3, c]));
        let cut_off = self.cut_off();
        let enough = self.legs.sum(self.now, window)[CALLS] >= u64::from(least);
        self.drift.review(&escalation.drift, enough.then_some(failing));
        // Each level looks at the classes that it leaves, and at the one that it turns away.
        let late_of = |level: usize| late[..4 - level].iter().copied().max().unwrap_or(0);
        let drifts = if self.drift.alarm { 1_000_000 } else { 0 };
        let of = |level: usize| {
            let weights = &escalation.weights;
            [
                (Signal::Failing, failing, weights.failing.0),
                (Signal::Pressure, pressure, weights.pressure.0),
                (Signal::Late, late_of(level), weights.late.0),
                (Signal::CutOff, cut_off, weights.cut_off.0),
                (Signal::Drift, drifts, weights.drift.0),
            ]
            .map(|(signal, input, weight)| (input * weight / 1_000_000, signal))
        };
        let risk_of =
            |level: usize| of(level).iter().map(|(part, _)| part).sum::<u64>().min(1_000_000);
        let next = self.now + escalation.review.0;
        (self.risk, self.review_at) = (risk_of(1), next);
        self.expect(policy::Event::RiskReviewed {
            risk: Ppm(self.risk),
            failing: Ppm(failing),
            pressure: Ppm(pressure),
            late: late.map(Ppm),
            cut_off: Ppm(cut_off),
            drift: self.drift.row(),
            next: Micros(next),
        })?;
        let begins = [0, escalation.elevated.0, escalation.restricted.0, escalation.halted.0];
        let ends =
            [escalation.elevated_below.0, escalation.restricted_below.0, escalation.halted_below.0];
        let from = usize::from(self.level);
        let reached = (1..=3).rev().find(|level| risk_of(*level) >= begins[*level]).unwrap_or(0);
        let held = self.now - self.level_since;
        let mut reasons = Signals::new();
        let (to, about) = if reached > from {
            let mut left = of(reached).to_vec();
            let mut sum = 0;
            while sum < begins[reached] {
                // The greatest that is left; of equal ones the first.
                let most = left.iter().map(|(part, _)| *part).max().unwrap_or(0);
                let place = left.iter().position(|(part, _)| *part == most).unwrap_or(0);
                let (part, signal) = left.remove(place);
                sum += part;
                reasons.push(signal);
            }
            (reached, reached)
        } else if from > 0 && risk_of(from) < ends[from - 1] && held >= escalation.dwell.0 {
            (from - 1, from)
        } else {
            return Ok(());
        };
        (self.level, self.level_since) = (to as u8, self.now);
        let risk = Ppm(risk_of(about));
        self.expect(policy::Event::LevelChanged {
            from: LEVELS[from],
            to: LEVELS[to],
            risk,
            reasons,
        })
    }

    /// Millionths of all slots of vessels that are up, of those whose breakers are open.
    fn cut_off(&self) -> u64 {
        let up = || self.ships.values().filter(|ship| ship.status == VesselStatus::Up);
        let slots = |ship: &Ship| u64::from(ship.manifest.slots);
        let open = up().filter(|ship| ship.breaker == Breaker::Open);
        rules::share(open.map(slots).sum(), up().map(slots).sum())
    }
}

/// Whether more legs fail than usually do.
#[derive(Default)]
pub(super) struct Drift {
    usual: i64,
    sum: i64,
    reviews: u32,
    alarm: bool,
}

impl Drift {
    fn review(&mut self, rule: &DriftRule, failing: Option<u64>) {
        let usual = if self.reviews == 0 { failing.unwrap_or(0) as i64 } else { self.usual };
        let more = failing.map_or(0, |failing| failing as i64 - usual) - rule.slack.0 as i64;
        self.sum = (self.sum + more).clamp(0, 2 * rule.threshold.0 as i64);
        self.alarm = self.sum as u64 >= rule.threshold.0;
        if let Some(failing) = failing {
            self.reviews = (self.reviews + 1).min(rule.reviews);
            self.usual = usual + (failing as i64 - usual) / i64::from(self.reviews);
        }
    }

    pub(super) fn row(&self) -> policy::Drift {
        let (usual, sum) = (Ppm(self.usual as u64), Ppm(self.sum as u64));
        policy::Drift { usual, sum, reviews: self.reviews, alarm: self.alarm }
    }
}
