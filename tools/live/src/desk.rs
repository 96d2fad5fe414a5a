//! Where the effects of all records meet the tasks that serve orders.
//!
//! An order that waited is routed by the report of another one, so effects go to the order that they are about, whoever's
//! command led to them. Each order that is let in gets a list of what is to be done about it, which its task claims once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tensorforge_engine::models::{End, LegKind};
use tensorforge_engine::units::{OrderId, VesselId};
use tensorforge_engine::{Effect, Event, workflow};
use tensorforge_journal::sequencer::{Answer, Desk};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// What is to be done about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Have a vessel work a leg.
    Call { attempt: u16, leg: u8, kind: LegKind, vessel: VesselId },
    /// Have its vessel stop.
    Stop,
    /// Tell how it ended.
    Ended { end: End },
}

/// What is to be done about an order, in turn.
pub(crate) type Tasks = UnboundedReceiver<Task>;

struct Place {
    told: UnboundedSender<Task>,
    /// Until its task has claimed it.
    tasks: Option<Tasks>,
    ended: bool,
}

/// The orders that somebody serves, or is about to.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Orders>);

#[derive(Default)]
struct Orders {
    places: Mutex<HashMap<OrderId, Place>>,
    /// Whether nobody will tell anything any more.
    stopped: watch::Sender<bool>,
}

/// Tells the board, on the thread of the sequencer. Once it is gone, however that came, everybody who waits is let go.
pub(crate) struct Teller(Board);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.0.stopped.send_replace(true);
        self.0.places().clear();
    }
}

impl Board {
    /// What is to be done about an order; `None` if it was never let in, or was claimed.
    pub(crate) fn claim(&self, order: OrderId) -> Option<Tasks> {
        let mut places = self.places();
        let place = places.get_mut(&order)?;
        let tasks = place.tasks.take();
        if place.ended {
            places.remove(&order);
        }
        tasks
    }

    pub(crate) fn teller(&self) -> Teller {
        Teller(self.clone())
    }

    /// Whether the sequencer has stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        *self.0.stopped.borrow()
    }

    /// Ends once it has.
    pub(crate) async fn stopped(&self) {
        let mut stopped = self.0.stopped.subscribe();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// How many orders there are.
    pub(crate) fn len(&self) -> usize {
        self.places().len()
    }

    fn open(&self, order: OrderId) {
        let (told, tasks) = unbounded_channel();
        self.places().insert(order, Place { told, tasks: Some(tasks), ended: false });
    }

    fn tell(&self, order: OrderId, task: Task) {
        let mut places = self.places();
        // One that was let in by an earlier run has nobody who waits for it.
        let Some(place) = places.get_mut(&order) else { return };
        place.ended = matches!(task, Task::Ended { .. });
        // Whoever has gone away is told by its end in the journal.
        let _ = place.told.send(task);
        if place.ended && place.tasks.is_none() {
            places.remove(&order);
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<OrderId, Place>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk for Teller {
    fn durable(&mut self, answer: &Answer) {
        let board = &self.0;
        for event in &answer.events {
            if let Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) = event {
                board.open(*order);
            }
        }
        for effect in &answer.effects {
            match *effect {
                Effect::Call { order, attempt, leg, kind, vessel, .. } => {
                    board.tell(order, Task::Call { attempt, leg, kind, vessel });
                }
                Effect::Stop { order, .. } => board.tell(order, Task::Stop),
                Effect::Answer { order, end, .. } => {
                    board.tell(order, Task::Ended { end });
                }
                Effect::Install { .. } | Effect::Checkpoint { .. } | Effect::Notify { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensorforge_engine::units::OrderSlot;

    fn order(number: u64) -> OrderId {
        OrderId::new(number, OrderSlot(0))
    }

    const ENDED: Task = Task::Ended { end: End::Completed };

    /// What came before it was claimed is there, and whoever has ended and was claimed takes no place any more.
    #[test]
    fn tasks_wait_until_they_are_claimed() {
        let board = Board::default();
        board.open(order(1));
        board.tell(order(1), Task::Stop);
        let mut tasks = board.claim(order(1)).unwrap();
        assert_eq!(tasks.try_recv(), Ok(Task::Stop));
        assert!(board.claim(order(1)).is_none());
        board.tell(order(1), ENDED);
        assert_eq!(tasks.try_recv(), Ok(ENDED));
        assert_eq!(board.len(), 0);
    }

    #[test]
    fn one_that_ends_at_once_is_told_so() {
        let board = Board::default();
        board.open(order(1));
        board.tell(order(1), ENDED);
        assert_eq!(board.len(), 1);
        assert_eq!(board.claim(order(1)).unwrap().try_recv(), Ok(ENDED));
        assert_eq!(board.len(), 0);
    }

    /// Whoever waits hears that nobody will say anything any more.
    #[test]
    fn everybody_is_let_go_once_the_sequencer_is_gone() {
        let board = Board::default();
        let teller = board.teller();
        board.open(order(1));
        let mut tasks = board.claim(order(1)).unwrap();
        assert!(!board.has_stopped());
        drop(teller);
        assert!(board.has_stopped());
        assert_eq!(tasks.blocking_recv(), None);
    }

    /// The slot of an order is used again: its number tells them apart.
    #[test]
    fn nobody_is_told_of_another_order() {
        let board = Board::default();
        board.open(order(2));
        board.tell(order(1), Task::Stop);
        assert!(board.claim(order(1)).is_none());
        assert!(board.claim(order(2)).unwrap().try_recv().is_err());
    }
}
