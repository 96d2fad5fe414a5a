//! How the risk is reviewed, and the level moved.

use super::*;
use tensorforge_engine::policy::{DriftRule, Signal, Signals};

impl Model {
    pub(super) fn review(&mut self) -> Decided<()> {
        if self.held_until.is_some_and(|until| until <= self.now) {
            return self.end_override(OverrideEnd::Expired);
        }
        let risks = self.look()?;
        if self.held_until.is_none() {
            self.move_level(risks)?;
        }
        self.review_promises()?;
        self.review_incidents()
    }

    /// When the risk is reviewed next, every so often.
    pub(super) fn review_by(&self, every: u64) -> u64 {
        (self.now + every).min(self.held_until.unwrap_or(u64::MAX))
    }

    pub(super) fn hold_level(&mut self, level: PolicyLevel, until: u64) -> Decided<()> {
        let (_, policy) = self.policy()?;
        if until <= self.now {
            return Err(policy::Refusal::Invalid { fault: "told".into() }.into());
        }
        let (asked, max) = (Micros(until - self.now), policy.escalation.override_max);
        if asked > max {
            return Err(policy::Refusal::OverrideTooLong { asked, max }.into());
        }
        let from = LEVELS[usize::from(self.level)];
        self.held_until = Some(until);
        self.review_at = self.review_at.min(until);
        self.put_level(level as u8);
        self.expect(policy::Event::LevelOverridden { from, level, until: Micros(until) })
    }

    /// The level is where the risk is, wherever it was held.
    pub(super) fn end_override(&mut self, reason: OverrideEnd) -> Decided<()> {
        self.held_until = None;
        let risks = self.look()?;
        let from = LEVELS[usize::from(self.level)];
        let reached = risks.reached();
        self.put_level(reached as u8);
        self.expect(policy::Event::OverrideEnded { from, level: LEVELS[reached], reason })?;
        self.review_promises()?;
        self.review_incidents()
    }

    fn put_level(&mut self, level: u8) {
        if self.level != level {
            (self.level, self.level_since) = (level, self.now);
            self.stir_all();
        }
    }

    fn look(&mut self) -> Decided<Risks> {
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
        let worst = late.into_iter().max().unwrap_or(0);
        let drift = rules::share(self.drift.sum as u64, escalation.drift.threshold.0);
        self.signals = [failing, pressure, worst, cut_off, drift];
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
        let risks = Risks {
            parts: [1, 1, 2, 3].map(of),
            begins: [0, escalation.elevated.0, escalation.restricted.0, escalation.halted.0],
        };
        (self.risk, self.review_at) = (risks.of(1), self.review_by(escalation.review.0));
        self.reviews += 1;
        self.expect(policy::Event::RiskReviewed {
            risk: Ppm(self.risk),
            failing: Ppm(failing),
            pressure: Ppm(pressure),
            late: late.map(Ppm),
            cut_off: Ppm(cut_off),
            drift: self.drift.row(),
            next: Micros(self.review_at),
        })?;
        Ok(risks)
    }

    fn move_level(&mut self, risks: Risks) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let rule = policy.escalation;
        let ends = [0, rule.elevated_below.0, rule.restricted_below.0, rule.halted_below.0];
        let (from, reached) = (usize::from(self.level), risks.reached());
        let held = self.now - self.level_since;
        let (to, about, reasons) = if reached > from {
            (reached, reached, risks.reasons(reached))
        } else if risks.of(from) < ends[from] && held >= rule.dwell.0 {
            (from - 1, from, Signals::new())
        } else {
            return Ok(());
        };
        self.put_level(to as u8);
        let (from, to, risk) = (LEVELS[from], LEVELS[to], Ppm(risks.of(about)));
        self.expect(policy::Event::LevelChanged { from, to, risk, reasons })
    }

    /// Millionths of all slots of vessels that are up, of those whose breakers are open.
    fn cut_off(&self) -> u64 {
        let up = || self.ships.values().filter(|ship| ship.status == VesselStatus::Up);
        let slots = |ship: &Ship| u64::from(ship.manifest.slots);
        let open = up().filter(|ship| ship.breaker == Breaker::Open);
        rules::share(open.map(slots).sum(), up().map(slots).sum())
    }
}

/// What each signal adds to the risk of each level, and where the level begins.
struct Risks {
    parts: [[(u64, Signal); 5]; 4],
    begins: [u64; 4],
}

impl Risks {
    fn of(&self, level: usize) -> u64 {
        self.parts[level].iter().map(|(part, _)| part).sum::<u64>().min(1_000_000)
    }

    fn reached(&self) -> usize {
        (1..=3).rev().find(|level| self.of(*level) >= self.begins[*level]).unwrap_or(0)
    }

    /// As many as it takes, the greatest first; of equal ones the first.
    fn reasons(&self, level: usize) -> Signals {
        let (mut left, mut sum, mut reasons) = (self.parts[level].to_vec(), 0, Signals::new());
        while sum < self.begins[level] {
            let most = left.iter().map(|(part, _)| *part).max().unwrap_or(0);
            let place = left.iter().position(|(part, _)| *part == most).unwrap_or(0);
            let (part, signal) = left.remove(place);
            sum += part;
            reasons.push(signal);
        }
        reasons
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
