//! What the world has to do: a function of events, performed live and only once they are durable.

use alloc::boxed::Box;

use crate::allocator;
use crate::event::Event;
use crate::jobs::rows::Task;
use crate::jobs::words as jobs;
use crate::kernel::units::{JobId, Micros, OrderId, Seq, VesselId};
use crate::models::rows::{End, LegKind, Manifest};
use crate::telemetry::rows::{Concern, Notice, Severity};
use crate::telemetry::words as telemetry;
use crate::workflow::words;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Have a vessel begin anew with a manifest, and register it.
    Install {
        /// For which job.
        job: JobId,
        /// Which step of it.
        step: u16,
        /// In which attempt.
        attempt: u16,
        /// Which vessel.
        vessel: VesselId,
        /// What it has to carry.
        manifest: Box<Manifest>,
    },
    /// Have a vessel write a checkpoint of an order, and report whether it did.
    Checkpoint {
        /// For which job.
        job: JobId,
        /// Which step of it.
        step: u16,
        /// In which attempt.
        attempt: u16,
        /// Of which order.
        order: OrderId,
        /// Which vessel.
        vessel: VesselId,
    },
    /// Tell whoever is on call of an outage: that it began, that it is worse than he was told, or that it is over.
    Notify {
        /// Which outage: the record that raised the first incident of it.
        group: Seq,
        /// What is wrong, or was last.
        concern: Concern,
        /// How severe that is; nothing where the outage is over.
        severity: Option<Severity>,
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
        Event::Jobs(event) => return [effect_of_job(event), None],
        Event::Telemetry(event) => return [effect_of_incident(event), None],
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

fn effect_of_job(event: &jobs::Event) -> Option<Effect> {
    let jobs::Event::StepBegan { job, step, task, attempt, vessel, order, manifest, .. } = event
    else {
        return None;
    };
    let (job, step, attempt, vessel) = (*job, *step, *attempt, *vessel);
    match (task, order, manifest) {
        (Task::Checkpoint, Some(order), _) => {
            Some(Effect::Checkpoint { job, step, attempt, order: *order, vessel })
        }
        (Task::Install | Task::Restore, _, Some(manifest)) => {
            Some(Effect::Install { job, step, attempt, vessel, manifest: manifest.clone() })
        }
        _ => None,
    }
}

fn effect_of_incident(event: &telemetry::Event) -> Option<Effect> {
    let (concern, severity, group, notice) = match *event {
        telemetry::Event::IncidentRaised { concern, severity, group, notice, .. } => {
            (concern, Some(severity), group, notice)
        }
        telemetry::Event::IncidentResolved { concern, group, notice, .. } => {
            (concern, None, group, notice)
        }
        telemetry::Event::SilenceEnded { concern, severity, group, notice } => {
            (concern, severity, group, notice)
        }
        _ => return None,
    };
    (notice == Notice::Told).then_some(Effect::Notify { group, concern, severity })
}
