//! What is said by the queue.

use crate::kernel::image::words;
use crate::kernel::units::{Micros, ModelId, OrderId, Tokens};

words! {
    /// Who waits.
    #[serde(rename = "queue::Event")]
    pub enum Event {
        /// An order waits for a vessel with room.
        OrderQueued = 0 {
            /// Which one.
            order: OrderId,
            /// Its place.
            ticket: u64,
            /// Orders waiting before it, of all classes and models.
            ahead: u64,
            /// Until when it gathers with others at most; zero where it does not, and waits for room.
            ripe_at: Micros,
        },
        /// There is room, but the record has no room for those who wait: they are served by another.
        ServiceDeferred = 1 {
            /// When: at once.
            at: Micros,
        },
        /// Those who wait are served, as far as there is room.
        ServiceResumed = 2,
        /// It is an order's turn, and it would take longer than it has left: it ends here, so that there is room for
        /// others who wait and may be done in time.
        OrderOverdue = 4 {
            /// Which one.
            order: OrderId,
            /// How long it would take, if its answer is as long as 95 of 100 are at most.
            needs: Micros,
            /// How long it has left.
            left: Micros,
        },
        /// Batch orders that gathered for a model wait for room from now on: they have come to so much, or one of them may
        /// not wait any longer. Whoever comes later gathers for the next time.
        BatchReleased = 5 {
            /// For which model.
            model: ModelId,
            /// The last ticket that has been given out.
            ticket: u64,
            /// How many there are.
            orders: u32,
            /// What they come to, prompts and longest answers together.
            tokens: Tokens,
        },
        /// It is an order's turn: of those who wait for its model and find room, its class has been served
        /// least for its share, and of that class its tenant; or of that class it may cost most.
        OrderChosen = 3 {
            /// Which one.
            order: OrderId,
            /// The tokens it is charged for: its prompt, and twice the longest answer.
            tokens: u64,
            /// The share of its class, and what that is lent while the order is overdue.
            share: u32,
            /// What its class had been served before, in tokens divided by its share, times 4 096.
            class_served: u64,
            /// What its tenant had been served before, in tokens.
            tenant_served: u64,
        },
    }
}

words! {
    /// Why an order was not let in.
    #[serde(rename = "queue::Refusal")]
    pub enum Refusal {
        /// The tenant submits faster than its contract allows.
        RateLimited = 0 {
            /// When the next order would pass.
            retry_at: Micros,
        },
        /// The tenant asks for tokens faster than its contract allows.
        TokensLimited = 1 {
            /// When so many would pass at the latest: sooner if others give back what they did not have.
            retry_at: Micros,
        },
    }
}
