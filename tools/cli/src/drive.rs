//! The loop around one exchange: the simulated world speaks, the exchange decides, effects go back.

use std::ops::ControlFlow;

use tensorforge_engine::command::Command;
use tensorforge_engine::policy::Policy;
use tensorforge_engine::security::{Scope, Scopes, Source};
use tensorforge_engine::units::{Micros, TenantId};
use tensorforge_engine::{Event, effects, workflow};
use tensorforge_fleet::{Fleet, Sim, Trace};

use crate::failure::{Failure, Result};

/// Where commands become records: a ledger, or a bare exchange.
pub(crate) trait Recorder {
    /// Decides a command and records what was decided.
    fn record(&mut self, time: Micros, source: Source, command: &Command) -> Result<&[Event]>;

    /// When the exchange wants to be told that time has passed.
    fn next_deadline(&self) -> Option<Micros>;

    /// Asked between two records: whether to go on.
    fn go_on(&mut self, arrived: usize) -> ControlFlow<()>;
}

/// The exchange's own timer, which may let time pass and nothing else.
const CLOCK: Source =
    Source { tenant: TenantId::NONE, key: 0, scopes: Scopes(1 << Scope::Clock as u16) };

/// Everything that a capture is made of.
pub(crate) struct World {
    pub(crate) trace: Trace,
    pub(crate) fleet: Fleet,
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
}

impl World {
    /// Says what cannot be played, before anything is recorded: a trace that speaks of what the fleet
    /// has not, and a fleet, a tenant or a policy that the exchange refuses.
    pub(crate) fn check(&self) -> Result<()> {
        Sim::new(&self.fleet, &self.trace, self.seed).map_err(Failure::input)?;
        self.fleet.rehearse(&self.trace.tenants(), &self.policy).map_err(Failure::input)
    }
}

/// Plays the whole trace of a world that has been checked. Breaks off early if the recorder says so.
///
/// Time is the world's: at each moment the exchange's timers are decided first, then the world
/// speaks until it has nothing more to say at that moment.
pub(crate) fn drive(world: &World, recorder: &mut impl Recorder) -> Result<ControlFlow<()>> {
    let mut sim = Sim::new(&world.fleet, &world.trace, world.seed).map_err(Failure::input)?;
    for command in world.fleet.setup_commands(&world.trace, &world.policy) {
        recorder.record(Micros::ZERO, Source::OPERATOR, &command)?;
    }
    let mut arrived = 0;
    while !sim.over() {
        let (now, next) = match (sim.due(), recorder.next_deadline()) {
            (due, Some(at)) if due.is_none_or(|due| at <= due) => {
                (at, Some((CLOCK, Command::Workflow(workflow::Command::Advance))))
            }
            (Some(due), _) => (due, sim.pop(due)),
            (None, None) => {
                return Err(Failure::input("orders are left that nothing will ever end"));
            }
            (None, Some(at)) => (at, Some((CLOCK, Command::Workflow(workflow::Command::Advance)))),
        };
        // The world may have done something that it does not speak of.
        let Some((source, command)) = next else { continue };
        arrived += usize::from(matches!(command, Command::Workflow(workflow::Command::Submit(_))));
        let events = recorder.record(now, source, &command)?;
        sim.observe(events);
        effects(events).for_each(|effect| sim.perform(now, &effect));
        if recorder.go_on(arrived).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
