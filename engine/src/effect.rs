//! What the world has to do: a function of events, performed live and only once they are durable.

use crate::allocator;
use crate::event::Event;
use crate::kernel::units::{Micros, OrderId, VesselId};
use crate::models::rows::{End, LegKind};
use crate::workflow::words;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have a vessel work a leg, and report what becomes of it.
    Call {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// What is to be done.
        kind: LegKind,
        /// Where.
        vessel: VesselId,
        /// When the exchange gives up on it.
        timeout: Micros,
    },
    /// Have a vessel stop working on an order.
    Stop {
        /// Which order.
        order: OrderId,
        /// Which vessel.
        vessel: VesselId,
    },
    /// Tell the tenant how its order ended.
    Answer {
        /// Which order.
        order: OrderId,
        /// The submitter's own number for it.
        external: u64,
        /// How it ended.
        end: End,
    },
}

/// The effects of these events, in their order.
pub fn effects(events: &[Event]) -> impl Iterator<Item = Effect> + '_ {
    events.iter().flat_map(|event| effects_of(event).into_iter().flatten())
}

fn effects_of(event: &Event) -> [Option<Effect>; 2] {
    let event = match event {
        Event::Workflow(event) => event,
        Event::Allocator(allocator::words::Event::OrderPreempted { order, vessel, .. }) => {
            return [Some(Effect::Stop { order: *order, vessel: *vessel }), None];
        }
        _ => return [None, None],
    };
    match *event {
        words::Event::LegDispatched { order, attempt, leg, kind, vessel, timeout, .. } => {
            [Some(Effect::Call { order, attempt, leg, kind, vessel, timeout }), None]
        }
        words::Event::LegHedged { order, attempt, leg, vessel, timeout, .. } => {
            let kind = LegKind::Whole;
            [Some(Effect::Call { order, attempt, leg, kind, vessel, timeout }), None]
        }
        words::Event::LegFailed { order, vessel, .. }
        | words::Event::LegDropped { order, vessel, .. } => {
            [Some(Effect::Stop { order, vessel }), None]
        }
        words::Event::OrderEnded { order, external, end, stop, .. } => {
            let stop = (stop != VesselId::NONE).then_some(Effect::Stop { order, vessel: stop });
            [stop, Some(Effect::Answer { order, external, end })]
        }
        words::Event::OrderRefused { order, external, .. } => {
            [Some(Effect::Answer { order, external, end: End::Refused }), None]
        }
        _ => [None, None],
    }
}
