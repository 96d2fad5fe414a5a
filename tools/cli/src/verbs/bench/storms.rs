//! Much at one moment: what a fleet that is lost, a wave that expires and idle vessels cost, and how that
//! grows. What is decided about ten times as much should take ten times as long.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, VesselId};
use tensorforge_engine::{models, workflow};
use tensorforge_journal::{Journal, Ledger, Mode, Replay};

use super::load::Load;
use super::{Bench, Work, unsynced};
use crate::failure::Result;
use crate::output::grouped;

const RECORDED: &[Work] = &[
    Work::Decide,
    Work::Fold,
    Work::Digest,
    Work::Tag,
    Work::Root,
    Work::Encode,
    Work::Hash,
    Work::Write,
];
const AGAIN: &[Work] = &[Work::Hash, Work::Decode, Work::Decide, Work::Fold, Work::Digest];

/// After the moment: attempts that failed in it have been made again by then.
const AFTERMATH: Micros = Micros(60_000_000);

impl Bench {
    pub(super) fn storms(&mut self, scratch: &Path) -> Result<()> {
        self.storm(
            scratch,
            self.scaled(100_000),
            |orders| {
                format!(
                    "{} vessels lost at once, {} orders aboard",
                    grouped(orders / 10),
                    grouped(orders)
                )
            },
            |storm, orders| {
                let vessels = (orders / 10) as u32;
                storm.prepare(Load::new(vessels), orders)?;
                storm.measure(|storm| {
                    for vessel in (0..vessels).map(VesselId) {
                        storm.command(&Command::Models(models::Command::Lose { vessel }))?;
                    }
                    storm.pass(AFTERMATH)
                })
            },
        )?;
        self.storm(
            scratch,
            self.scaled(400_000),
            |orders| format!("{} orders that expire at once", grouped(orders)),
            |storm, orders| {
                let deadline = Micros(1_000_000_000);
                storm.prepare(Load::new(1).with_deadline(deadline), orders)?;
                storm.measure(|storm| storm.pass(deadline))
            },
        )?;
        // So many rounds that there are as many signs of life among few as among many.
        let beats = self.scaled(400_000);
        self.storm(
            scratch,
            self.scaled(8_000),
            |vessels| {
                format!("{} signs of life of {} idle vessels", grouped(beats), grouped(vessels))
            },
            |storm, vessels| {
                let interval = Micros(1_000_000);
                storm.prepare(Load::new(vessels as u32).with_heartbeat(interval), 0)?;
                storm.measure(|storm| {
                    for _ in 0..beats / vessels {
                        for vessel in (0..vessels as u32).map(VesselId) {
                            storm.command(&Command::Models(models::Command::Heartbeat {
                                vessel,
                                start: 0,
                            }))?;
                        }
                        storm.pass(interval)?;
                    }
                    Ok(())
                })?;
                // The work is the same among few, so it counts as if it were of as much.
                storm.of = beats;
                Ok(())
            },
        )
    }

    /// Measures a storm of some size and one of a tenth of it.
    fn storm(
        &mut self,
        scratch: &Path,
        size: u64,
        what: impl Fn(u64) -> String,
        raise: impl Fn(&mut Storm, u64) -> Result<()>,
    ) -> Result<()> {
        let mut storms = Vec::new();
        for size in [size / 10, size] {
            let dir = scratch.join(format!("storm-{size}.tfj"));
            let mut storm = Storm::begin(&dir, size)?;
            raise(&mut storm, size)?;
            storms.push(storm.end(&dir)?);
            // Each is as large as memory allows.
            let _ = std::fs::remove_dir_all(&dir);
        }
        let [small, large] = storms.as_slice() else { return Ok(()) };
        let what = what(size);
        self.line(
            &what,
            (large.seconds, "s"),
            RECORDED,
            None,
            format!(
                "{} records, {} events, not synced",
                grouped(large.records),
                grouped(large.events)
            ),
        );
        self.line(
            "  decided again",
            (large.again, "s"),
            AGAIN,
            None,
            "nothing is compared; what came before is not timed".into(),
        );
        let growth = |time: fn(&Storm) -> f64| {
            (time(large) / large.of as f64) / (time(small) / small.of as f64).max(1e-12)
        };
        self.line(
            "  growth: against a tenth of it, for each",
            (growth(|storm| storm.seconds), "x time"),
            RECORDED,
            None,
            format!("decided again {:.2} x", growth(|storm| storm.again)),
        );
        Ok(())
    }
}

/// Something that happens at one moment, and what it took.
struct Storm {
    ledger: Option<Ledger>,
    now: Micros,
    /// Records before it.
    before: u64,
    /// How much there was of it.
    of: u64,
    records: u64,
    events: u64,
    seconds: f64,
    again: f64,
}

impl Storm {
    fn begin(dir: &Path, of: u64) -> Result<Self> {
        let ledger = Some(Ledger::create(dir, JournalId([6; 16]), unsynced())?);
        let (now, before, records, events) = (Micros::ZERO, 0, 0, 0);
        Ok(Self { ledger, now, before, of, records, events, seconds: 0.0, again: 0.0 })
    }

    /// Registers everything, and submits so many orders.
    fn prepare(&mut self, mut load: Load, orders: u64) -> Result<()> {
        let mut record = |time, source, command: &Command| {
            self.now = time;
            match &mut self.ledger {
                Some(ledger) => Ok(ledger.record(time, source, command)?.to_vec()),
                None => Ok(Vec::new()),
            }
        };
        load.begin(&mut record)?;
        load.fill(orders, &mut record)
    }

    fn measure(&mut self, rage: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.before = self.ledger.as_ref().map_or(0, Ledger::records);
        let started = Instant::now();
        rage(self)?;
        if let Some(ledger) = &mut self.ledger {
            ledger.flush()?;
            self.records = ledger.records() - self.before;
        }
        self.seconds = started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Whatever is due is decided first, as a capture does it.
    fn command(&mut self, command: &Command) -> Result<()> {
        self.pass(Micros::ZERO)?;
        self.record(command)
    }

    /// Lets time pass, and whatever falls due by then be decided when it does.
    fn pass(&mut self, span: Micros) -> Result<()> {
        let end = self.now + span;
        let due =
            |storm: &Self| storm.ledger.as_ref().and_then(|ledger| ledger.state().next_deadline());
        while let Some(at) = due(self).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.record(&Command::Workflow(workflow::Command::Advance))?;
        }
        self.now = end;
        Ok(())
    }

    fn record(&mut self, command: &Command) -> Result<()> {
        if let Some(ledger) = &mut self.ledger {
            self.events += ledger.record(self.now, Source::OPERATOR, command)?.len() as u64;
        }
        Ok(())
    }

    /// Closes the journal and decides again what was measured.
    fn end(mut self, dir: &Path) -> Result<Self> {
        if let Some(ledger) = self.ledger.take() {
            ledger.close()?;
        }
        let journal = Journal::open(dir)?;
        let mut replay = Replay::from_genesis(&journal, Mode::Decide);
        replay.run(self.before, |_| ControlFlow::Continue(()))?;
        let started = Instant::now();
        replay.run(journal.next_seq(), |_| ControlFlow::Continue(()))?;
        self.again = started.elapsed().as_secs_f64();
        Ok(self)
    }
}
