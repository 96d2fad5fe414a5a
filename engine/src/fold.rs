//! Which module folds which event. The only place where state changes, but for the time of a record.

use crate::event::Event;
use crate::kernel::table::Breach;
use crate::state::State;
use crate::{
    allocator, config, jobs, models, policy, queue, resilience, routing, telemetry, workflow,
};

/// Folds one event.
pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    match event {
        Event::Config(event) => config::fold::fold(state, event),
        Event::Models(event) => models::fold::fold(state, event),
        Event::Queue(event) => queue::fold::fold(state, event),
        Event::Allocator(event) => allocator::fold::fold(state, event),
        Event::Routing(event) => routing::fold::fold(state, event),
        Event::Policy(event) => policy::fold::fold(state, event),
        Event::Resilience(event) => resilience::fold::fold(state, event),
        Event::Workflow(event) => workflow::fold::fold(state, event),
        Event::Telemetry(event) => telemetry::fold::fold(state, event),
        Event::Jobs(event) => jobs::fold::fold(state, event),
    }
}
