//! When rows want to be woken, and who holds what: what only decisions ask for.

use alloc::vec::Vec;

use crate::jobs::rows::Wait;
use crate::kernel::table::{Breach, Only};
use crate::kernel::units::{BerthId, JobSlot, Micros, OrderId, VesselId};
use crate::kernel::wheel::{Due, Timer};
use crate::models::rows::{VesselStatus, capacity_legs};
use crate::resilience::rows::Breaker;
use crate::state::State;
use crate::state::index::Deciding;
use crate::state::tables::Tables;
use crate::workflow::index::{Keys, Stops};

/// Timers that may be held whatever the number of rows.
const TIMERS_MIN: usize = 4_096;

impl State {
    /// When the exchange has to be told that time has passed; `None` if nothing is due ever.
    ///
    /// Looks at every row where nothing has been decided yet since the state was folded or restored.
    pub fn next_deadline(&self) -> Option<Micros> {
        match &self.index.deciding {
            Some(deciding) => deciding.wheel.first().map(|timer| timer.at),
            None => self.timers().map(|timer| timer.at).min(),
        }
    }

    /// The earliest timer, if it is due. It remains so until its row wants to be woken at another time.
    pub(crate) fn next_due(&mut self) -> Option<Due> {
        self.prune();
        let first = self.index.deciding.as_ref()?.wheel.first()?;
        (first.at <= self.now).then_some(first.due)
    }

    /// Drops the timers before the earliest one that a row still wants.
    pub(crate) fn prune(&mut self) {
        let tables = &self.tables;
        if let Some(Deciding { wheel, .. }) = &mut self.index.deciding {
            wheel.prune(|timer| confirmed(tables, timer));
            let rows = tables.orders.len().saturating_add(tables.loads.len()) as usize;
            let most = rows.saturating_mul(4).saturating_add(TIMERS_MIN);
            wheel.sweep(most, |timer| confirmed(tables, timer));
        }
    }

    /// Sets when an order is to be looked at again.
    pub(crate) fn wake_order(&mut self, id: OrderId, at: Micros) -> Result<(), Breach> {
        let order = self.edit_order(id)?;
        let at = at.min(order.deadline);
        if order.wake != at {
            order.wake = at;
            self.set_timer(at, Due::Order(id));
        }
        Ok(())
    }

    /// Sets when a vessel is to be looked at again: silent for three heartbeats, not come in time, its breaker or
    /// its pause due, or gone with orders aboard; or its maintenance begins or ends.
    pub(crate) fn wake_vessel(&mut self, id: VesselId) -> Result<(), Breach> {
        let now = self.now;
        let maintenance = self.maintenance(id).map_or(Micros::MAX, |(at, _)| at);
        let (status, heartbeat, joins) = self
            .tables
            .vessels
            .get(id)
            .map_or((VesselStatus::Drained, Micros::ZERO, Micros::ZERO), |vessel| {
                (vessel.status, vessel.manifest.heartbeat, vessel.joins)
            });
        let load = self.tables.loads.edit(id, &mut self.writer)?;
        let breaker = if load.breaker == Breaker::Open { load.retry_at } else { Micros::MAX };
        let paused = if load.paused == Micros::ZERO { Micros::MAX } else { load.paused };
        let due = breaker.min(paused);
        let at = match status {
            VesselStatus::Restarting => load.wake.min(now),
            VesselStatus::Lost if load.used > 0 => load.wake.min(now),
            VesselStatus::Lost | VesselStatus::Retired => Micros::MAX,
            VesselStatus::Joining => joins,
            // Nobody waits for one that has been sent away.
            VesselStatus::Drained => due,
            VesselStatus::Up | VesselStatus::Draining if heartbeat == Micros::ZERO => due,
            VesselStatus::Up | VesselStatus::Draining => {
                (load.seen + heartbeat + heartbeat + heartbeat).min(due)
            }
        };
        let at = at.min(maintenance);
        if load.wake != at {
            load.wake = at;
            self.set_timer(at, Due::Vessel(id));
        }
        Ok(())
    }

    /// Sets when a job is to be looked at again.
    pub(crate) fn wake_job(&mut self, slot: JobSlot, at: Micros) -> Result<(), Breach> {
        let job = self.tables.jobs.edit(slot, &mut self.writer)?;
        if job.wake != at {
            job.wake = at;
            self.set_timer(at, Due::Job(slot));
        }
        Ok(())
    }

    /// Has the job of a vessel looked at, to which something has happened, and every one that waits until fewer
    /// vessels are out.
    pub(crate) fn wake_jobs_of(&mut self, vessel: VesselId) -> Result<(), Breach> {
        if self.tables.jobs.is_empty() {
            return Ok(());
        }
        if let Some(slot) = self.index.jobs.get(&vessel).copied() {
            self.wake_job(slot, self.now)?;
        }
        self.wake_jobs_for(Wait::Room)
    }

    /// Has every job looked at that waits for this.
    pub(crate) fn wake_jobs_for(&mut self, wait: Wait) -> Result<(), Breach> {
        let jobs = self.tables.jobs.iter().filter(|(_, job)| job.waits == wait);
        let jobs: Vec<JobSlot> = jobs.map(|(slot, _)| slot).collect();
        jobs.into_iter().try_for_each(|slot| self.wake_job(slot, self.now))
    }

    /// The maintenance of a vessel that begins or ends first, and when that is.
    pub(crate) fn maintenance(&self, id: VesselId) -> Option<(Micros, BerthId)> {
        let berths = self.index.berths.get(&id)?.iter();
        berths.filter_map(|id| Some((self.tables.berths.get(*id)?.due()?, *id))).min()
    }

    pub(crate) fn set_timer(&mut self, at: Micros, due: Due) {
        if let Some(Deciding { wheel, .. }) = &mut self.index.deciding {
            wheel.insert(Timer { at, due });
        }
    }

    /// Has ready what decisions ask for, for who is about to decide.
    pub(crate) fn wind(&mut self) {
        if self.index.deciding.is_some() {
            return;
        }
        let mut deciding = Deciding::default();
        self.timers().for_each(|timer| deciding.wheel.insert(timer));
        for (slot, order) in self.tables.orders.iter() {
            capacity_legs(order.held()).for_each(|leg| deciding.aboard.join(slot, leg.vessel));
        }
        deciding.keys = Keys::of(&self.tables.keys);
        deciding.stops = Stops::of(&self.tables.stops);
        self.index.deciding = Some(deciding);
        self.prune();
    }

    /// Lets it be, for who only folds: rows say all that it does.
    pub(crate) fn unwind(&mut self) {
        self.index.deciding = None;
    }

    /// When rows want to be woken.
    fn timers(&self) -> impl Iterator<Item = Timer> {
        let review = self.stance().map(|stance| (stance.review_at, Due::Review));
        let review = review.filter(|(at, _)| *at != Micros::ZERO);
        let queue = self.waiting().map(|waiting| (waiting.serve_at, Due::Queue));
        let lines = self.tables.lines.iter().map(|(id, line)| (line.ripe_at, Due::Line(id)));
        let loads = self.tables.loads.iter().map(|(id, load)| (load.wake, Due::Vessel(id)));
        let orders = self.tables.orders.iter().map(|(_, order)| (order.wake, Due::Order(order.id)));
        let stops = self.tables.stops.iter().map(|(slot, stop)| (stop.until, Due::Stop(slot)));
        let jobs = self.tables.jobs.iter().map(|(slot, job)| (job.wake, Due::Job(slot)));
        let wakes = review.into_iter().chain(queue).chain(loads).chain(orders).chain(stops);
        let wakes = wakes.chain(jobs).chain(lines);
        wakes.filter(|(at, _)| *at != Micros::MAX).map(|(at, due)| Timer { at, due })
    }
}

/// Whether the row that a timer is about still wants to be woken then.
fn confirmed(tables: &Tables, timer: &Timer) -> bool {
    let wake = match timer.due {
        Due::Review => tables.stance.get(Only).map(|stance| stance.review_at),
        Due::Queue => tables.waiting.get(Only).map(|waiting| waiting.serve_at),
        Due::Line(id) => tables.lines.get(id).map(|line| line.ripe_at),
        Due::Vessel(id) => tables.loads.get(id).map(|load| load.wake),
        Due::Stop(slot) => tables.stops.get(slot).map(|stop| stop.until),
        Due::Job(slot) => tables.jobs.get(slot).map(|job| job.wake),
        Due::Order(id) => {
            tables.orders.get(id.slot()).filter(|order| order.id == id).map(|order| order.wake)
        }
    };
    wake == Some(timer.at)
}
