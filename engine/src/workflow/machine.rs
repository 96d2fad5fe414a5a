//! The life of an order as one table: where it may stand, what may be said of it there, and where it stands after that.
//!
//! Nothing is decided or folded by it. The rules are spread over the modules; a judge holds whatever they say of an
//! order against this table.

use crate::event::Event;
use crate::kernel::units::OrderId;
use crate::models::rows::{End, Stage};
use crate::{allocator, queue, resilience, routing, telemetry, workflow};

/// Where an order stands between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has not come yet.
    New,
    /// It is live.
    Live(Stage),
    /// It has ended.
    Ended,
}

/// What one word may be said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The event, by its module and name; of an order's end, with how it ended.
    pub word: &'static str,
    /// Where the order stands before.
    pub from: &'static [Standing],
    /// Where it stands then; `None` where it stays.
    pub to: Option<Standing>,
    /// By which rule.
    pub by: &'static str,
}

const NEW: Standing = Standing::New;
const QUEUED: Standing = Standing::Live(Stage::Queued);
const BERTHED: Standing = Standing::Live(Stage::Berthed);
const RUNNING: Standing = Standing::Live(Stage::Running);
const BACKOFF: Standing = Standing::Live(Stage::Backoff);
const ENDED: Standing = Standing::Ended;

const fn row(
    word: &'static str,
    from: &'static [Standing],
    to: Option<Standing>,
    by: &'static str,
) -> Transition {
    Transition { word, from, to, by }
}

/// Every transition of an order, in the order of a life. An order that is admitted is in backoff until the end of its record at
/// most, which routes, queues, berths or holds it back.
pub const TABLE: &[Transition] = &[
    row("workflow.order_refused", &[NEW], Some(ENDED), "A rule of admission stands in its way."),
    row("workflow.order_admitted", &[NEW], Some(BACKOFF), "No rule of admission does."),
    row(
        "workflow.order_deduplicated",
        &[QUEUED, BERTHED, RUNNING, BACKOFF, ENDED],
        None,
        "The same is asked for under the same key, which is remembered.",
    ),
    row(
        "allocator.order_berthed",
        &[BACKOFF],
        Some(BERTHED),
        "It asks for a window, and a vessel has a slot left all the while.",
    ),
    row(
        "allocator.berth_opened",
        &[BERTHED],
        None,
        "Its window begins, and no slot is free: the next one is kept for it.",
    ),
    row("allocator.berth_released", &[BERTHED], None, "It begins, goes elsewhere, or ends."),
    row(
        "queue.order_queued",
        &[BERTHED, BACKOFF],
        Some(QUEUED),
        "There is no room for it, or there is for others first, or it gathers with others.",
    ),
    row(
        "queue.order_chosen",
        &[QUEUED],
        None,
        "There is room, and its class and tenant were served least for their shares, or of its class it may cost most.",
    ),
    row(
        "queue.order_overdue",
        &[QUEUED, BACKOFF],
        None,
        "It is its turn, or a vessel is kept for it, and it would not be done by its deadline, while others wait.",
    ),
    row(
        "allocator.order_held_back",
        &[QUEUED, BERTHED, BACKOFF],
        Some(BACKOFF),
        "Wherever there is room it would last into a berth that is promised.",
    ),
    row(
        "allocator.order_too_dear",
        &[QUEUED, BERTHED, BACKOFF],
        Some(BACKOFF),
        "Wherever there is room it is expected to cost more than it may.",
    ),
    row(
        "allocator.order_crowded_out",
        &[QUEUED, BERTHED, BACKOFF],
        Some(BACKOFF),
        "Wherever there is a slot too little memory is left, and a vessel is kept for it until there is enough.",
    ),
    row(
        "routing.order_routed",
        &[QUEUED, BERTHED, BACKOFF],
        Some(RUNNING),
        "There is room, and of the routes that were considered one is the best.",
    ),
    row("workflow.leg_dispatched", &[RUNNING], None, "It is routed, or the leg before is done."),
    row(
        "workflow.first_token_seen",
        &[RUNNING],
        None,
        "A vessel reports that the first token of its answer is on its way.",
    ),
    row(
        "workflow.leg_hedged",
        &[RUNNING],
        None,
        "Nothing has been heard of its leg for too long, and another vessel may work it as well.",
    ),
    row(
        "workflow.hedge_withheld",
        &[RUNNING],
        None,
        "Nothing has been heard of its leg for too long, and no other vessel may.",
    ),
    row(
        "workflow.leg_dropped",
        &[RUNNING],
        None,
        "One of the two vessels that worked its leg was first, or has failed.",
    ),
    row("workflow.leg_completed", &[RUNNING], None, "A vessel reports that the leg is done."),
    row(
        "allocator.order_preempted",
        &[RUNNING],
        Some(BACKOFF),
        "An interactive order finds no room, and nothing of its answer is there yet.",
    ),
    row(
        "workflow.stop_awaited",
        &[RUNNING],
        None,
        "Its leg is out of time, or it ends while one is worked.",
    ),
    row(
        "workflow.leg_failed",
        &[RUNNING],
        Some(BACKOFF),
        "A vessel reports so, is out of time, or is lost.",
    ),
    row(
        "resilience.retry_scheduled",
        &[BACKOFF],
        None,
        "Its leg has failed, and it has attempts and time left.",
    ),
    row(
        "resilience.retry_postponed",
        &[BACKOFF],
        None,
        "Its wait is over, and too many are tried again already.",
    ),
    row(
        "telemetry.order_settled",
        &[QUEUED, RUNNING, BACKOFF],
        None,
        "It ends, and was served or has legs behind it that were done.",
    ),
    row("workflow.order_ended completed", &[RUNNING], Some(ENDED), "Its last leg is done."),
    row(
        "workflow.order_ended failed",
        &[BACKOFF],
        Some(ENDED),
        "Its leg has failed, and it has no attempt or no time left, or is at fault itself.",
    ),
    row(
        "workflow.order_ended expired",
        &[QUEUED, BERTHED, RUNNING, BACKOFF],
        Some(ENDED),
        "Its deadline has passed.",
    ),
    row(
        "workflow.order_ended cancelled",
        &[QUEUED, BERTHED, RUNNING, BACKOFF],
        Some(ENDED),
        "Its tenant, or an operator, withdraws it.",
    ),
    row(
        "workflow.stop_settled",
        &[QUEUED, RUNNING, BACKOFF, ENDED],
        None,
        "The vessel of a leg that was told to stop has answered, or did not in time.",
    ),
    row(
        "workflow.key_forgotten",
        &[ENDED],
        None,
        "It was served, and the place of its key is needed for another one.",
    ),
];

/// The order that an event is about, and the word of it.
pub fn word(event: &Event) -> Option<(OrderId, &'static str)> {
    use {
        allocator::words::Event as Allocator, queue::words::Event as Queue,
        resilience::words::Event as Resilience, routing::words::Event as Routing,
        telemetry::words::Event as Telemetry, workflow::words::Event as Workflow,
    };
    let (order, word) = match event {
        Event::Workflow(event) => match event {
            Workflow::OrderRefused { order, .. } => (order, "workflow.order_refused"),
            Workflow::OrderAdmitted { order, .. } => (order, "workflow.order_admitted"),
            Workflow::OrderDeduplicated { order, .. } => (order, "workflow.order_deduplicated"),
            Workflow::LegDispatched { order, .. } => (order, "workflow.leg_dispatched"),
            Workflow::LegCompleted { order, .. } => (order, "workflow.leg_completed"),
            Workflow::LegFailed { order, .. } => (order, "workflow.leg_failed"),
            Workflow::OrderEnded { order, end, .. } => (order, ended(*end)),
            Workflow::StopAwaited { awaited, .. } => (&awaited.order, "workflow.stop_awaited"),
            Workflow::StopSettled { order, .. } => (order, "workflow.stop_settled"),
            Workflow::KeyForgotten { order, .. } => (order, "workflow.key_forgotten"),
            Workflow::FirstTokenSeen { order, .. } => (order, "workflow.first_token_seen"),
            Workflow::LegHedged { order, .. } => (order, "workflow.leg_hedged"),
            Workflow::HedgeWithheld { order, .. } => (order, "workflow.hedge_withheld"),
            Workflow::LegDropped { order, .. } => (order, "workflow.leg_dropped"),
            Workflow::CommandRefused { .. } => return None,
        },
        Event::Queue(Queue::OrderQueued { order, .. }) => (order, "queue.order_queued"),
        Event::Queue(Queue::OrderChosen { order, .. }) => (order, "queue.order_chosen"),
        Event::Queue(Queue::OrderOverdue { order, .. }) => (order, "queue.order_overdue"),
        Event::Allocator(event) => match event {
            Allocator::OrderBerthed { order, .. } => (order, "allocator.order_berthed"),
            Allocator::BerthReleased { order, .. } => (order, "allocator.berth_released"),
            Allocator::BerthOpened { order, .. } => (order.as_ref()?, "allocator.berth_opened"),
            Allocator::OrderHeldBack { order, .. } => (order, "allocator.order_held_back"),
            Allocator::OrderTooDear { order, .. } => (order, "allocator.order_too_dear"),
            Allocator::OrderCrowdedOut { order, .. } => (order, "allocator.order_crowded_out"),
            Allocator::OrderPreempted { order, .. } => (order, "allocator.order_preempted"),
            _ => return None,
        },
        Event::Routing(Routing::OrderRouted { order, .. }) => (order, "routing.order_routed"),
        Event::Resilience(Resilience::RetryScheduled { order, .. }) => {
            (order, "resilience.retry_scheduled")
        }
        Event::Resilience(Resilience::RetryPostponed { order, .. }) => {
            (order, "resilience.retry_postponed")
        }
        Event::Telemetry(Telemetry::OrderSettled { order, .. }) => {
            (order, "telemetry.order_settled")
        }
        _ => return None,
    };
    Some((*order, word))
}

fn ended(end: End) -> &'static str {
    match end {
        End::Completed => "workflow.order_ended completed",
        End::Failed => "workflow.order_ended failed",
        End::Expired => "workflow.order_ended expired",
        End::Cancelled => "workflow.order_ended cancelled",
        // It never was admitted: there is no such transition.
        End::Refused => "workflow.order_ended refused",
    }
}

/// Where an order that stands here stands after a word; `None` if there is no such transition.
pub fn next(from: Standing, word: &str) -> Option<Standing> {
    let found = TABLE.iter().find(|row| row.word == word && row.from.contains(&from))?;
    Some(found.to.unwrap_or(from))
}

/// Whether an event may be about an order that stands here.
pub fn allowed(from: Standing, event: &Event) -> bool {
    word(event).is_some_and(|(_, word)| next(from, word).is_some())
}
