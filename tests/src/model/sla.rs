//! What became of the orders of tenants that were promised something: every order, one by one.

use super::*;
use tensorforge_engine::policy::{BurnAlert, BurnWindow};

const MINUTE: u64 = 60_000_000;
/// Five minutes, thirty, an hour, six, and three days.
const WINDOWS: [u64; 5] = [5 * MINUTE, 30 * MINUTE, 60 * MINUTE, 360 * MINUTE, 4_320 * MINUTE];
/// Each alert, and its long and its short window.
const ALERTS: [(BurnWindow, usize, usize); 3] =
    [(BurnWindow::Hour, 2, 0), (BurnWindow::SixHours, 3, 1), (BurnWindow::ThreeDays, 4, 3)];

/// What became of a tenant's orders.
#[derive(Default)]
pub(super) struct Sla {
    /// When each ended, and whether it was good.
    orders: Vec<(u64, bool)>,
    /// Since when each alert is, and whether it was told.
    alerts: [Option<(u64, bool)>; 3],
}

impl Sla {
    /// Good ones and bad ones.
    fn of(&self, counts: impl Fn(u64) -> bool) -> [u64; 2] {
        [true, false].map(|good| {
            let orders = self.orders.iter().filter(|(at, was)| *was == good && counts(*at));
            orders.count() as u64
        })
    }

    pub(super) fn all(&self) -> [u64; 2] {
        self.of(|_| true)
    }

    /// Those of the present fourth of a window, and of the four before it.
    pub(super) fn counts(&self, now: u64) -> [[u64; 2]; 5] {
        WINDOWS.map(|window| {
            let fourth = |at: u64| at / (window / 4);
            self.of(|at| fourth(at) + 4 >= fourth(now))
        })
    }

    pub(super) fn alerts(&self) -> [BurnAlert; 3] {
        self.alerts.map(|alert| match alert {
            Some((since, raised)) => BurnAlert { since: Micros(since), raised },
            None => BurnAlert { since: Micros(u64::MAX), raised: false },
        })
    }
}

/// Errors in millionths of those that are allowed.
fn burn([good, bad]: [u64; 2], objective: u64) -> u64 {
    let allowed = u128::from(good + bad) * u128::from(1_000_000 - objective);
    let errors = u128::from(bad) * 1_000_000 * 1_000_000;
    errors.checked_div(allowed).map_or(0, rules::narrow)
}

impl Model {
    /// An order of a tenant was good, or was not.
    pub(super) fn count_order(&mut self, tenant: u32, good: bool) {
        let now = self.now;
        if let Some(row) = self.sla.get_mut(&tenant) {
            row.orders.push((now, good));
        }
    }

    pub(super) fn count_end(&mut self, tenant: u32, end: End, [first_token, latency]: [u64; 2]) {
        let promise = self.tenants[tenant as usize].0.sla.clone();
        let slow = |took: u64, most: u64| most > 0 && took > most;
        let in_time =
            !slow(first_token, promise.first_token.0) && !slow(latency, promise.latency.0);
        match end {
            End::Cancelled => {}
            End::Completed => self.count_order(tenant, in_time),
            _ => self.count_order(tenant, false),
        }
    }

    /// Thirty-two tenants a review, one after the other.
    pub(super) fn review_promises(&mut self) -> Decided<()> {
        let all: Vec<u32> = self.sla.keys().copied().collect();
        let count = all.len() as u64;
        for turn in 0..count.min(32) {
            let place = (self.reviews * 32 + turn) % count;
            let tenant = all[place as usize];
            for (alert, _) in ALERTS.iter().enumerate() {
                self.review_promise(tenant, alert)?;
            }
        }
        Ok(())
    }

    fn review_promise(&mut self, tenant: u32, alert: usize) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let (rule, now) = (policy.sla, self.now);
        let objective = self.tenants[tenant as usize].0.sla.objective.0;
        let (window, long, short) = ALERTS[alert];
        let row = &self.sla[&tenant];
        let counts = row.counts(now);
        let [slow, quick, most] = [long, short, 4].map(|place| burn(counts[place], objective));
        let at = rule.burns[alert].0;
        let known = counts[long].iter().sum::<u64>() >= u64::from(rule.orders);
        let high = known && slow >= at && quick >= at;
        let low = u128::from(quick) < u128::from(at) * u128::from(rule.clear.0) / 1_000_000;
        let (tenant_id, burn) = (TenantId(tenant), Ppm(slow));
        let raised = policy::Event::BurnRaised {
            tenant: tenant_id,
            window,
            burn,
            budget_left: Ppm(1_000_000u64.saturating_sub(most)),
        };
        let cleared =
            |raised| policy::Event::BurnCleared { tenant: tenant_id, window, burn, raised };
        let (next, event) = match row.alerts[alert] {
            None if high && rule.hold.0 == 0 => (Some((now, true)), raised),
            None if high => {
                let seen = policy::Event::BurnSeen { tenant: tenant_id, window, burn };
                (Some((now, false)), seen)
            }
            Some((since, false)) if high && now - since >= rule.hold.0 => {
                (Some((since, true)), raised)
            }
            Some((_, false)) if !high => (None, cleared(false)),
            Some((_, true)) if low => (None, cleared(true)),
            _ => return Ok(()),
        };
        if let Some(row) = self.sla.get_mut(&tenant) {
            row.alerts[alert] = next;
        }
        self.expect(event)
    }
}
