//! What is said to and about orders.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::kernel::image::{code, words};
use crate::kernel::units::{
    KeySlot, Micros, Millijoules, OrderId, PicoUsd, StopSlot, TenantId, Tokens, VesselId,
};
use crate::models::rows::{Demand, End, LegKind, Usage};
use crate::policy::rows::PolicyLevel;
use crate::refusal::Refusal;
use crate::routing::words::Candidates;
use crate::workflow::rows::Stop;

code! {
    /// Why a leg failed.
    pub enum Fault {
        /// The vessel answered with an error.
        Error = 0,
        /// The vessel had no room: it is left in peace for a while, and the order goes elsewhere.
        Overloaded = 1,
        /// There was no outcome in time.
        Timeout = 2,
        /// The vessel was lost.
        VesselLost = 3,
        /// The vessel found the request itself at fault: no other one would work it either.
        Rejected = 4,
    }
}

code! {
    /// Why no other vessel is asked to work a leg as well.
    pub enum Withheld {
        /// None has room for it that has not failed the order, or somebody waits who would find that room.
        NoRoom = 0,
        /// Too many attempts are made already because something went wrong.
        Budget = 1,
    }
}

/// What became of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was worked to its end.
    Done {
        /// Tokens generated on it.
        tokens_out: Tokens,
        /// Prompt tokens that the vessel found in its prefix cache.
        cached: Tokens,
        /// Time from its dispatch to its first token; zero where it generates none.
        first_token: Micros,
        /// What it burnt.
        energy: Millijoules,
    },
    /// It was not.
    Failed(Fault),
}

/// The most orders of a batch: its events have to find room in one record.
pub const BATCH_MAX: usize = 64;

/// What is asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "workflow::Command")]
pub enum Command {
    /// Submits an order for the tenant that sends it.
    Submit(Demand),
    /// Withdraws an order.
    Cancel {
        /// Which one.
        order: OrderId,
    },
    /// Ends an order's wait for its next attempt.
    Retry {
        /// Which one.
        order: OrderId,
    },
    /// Reports what became of a leg.
    ReportLeg {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// What became of it.
        outcome: Outcome,
    },
    /// Lets time pass: whatever is due is decided.
    Advance,
    /// Reports what a leg had worked that was told to stop.
    ReportStop {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// Which leg.
        leg: u8,
        /// What it had worked.
        usage: Usage,
    },
    /// Submits several orders of one tenant's.
    SubmitBatch {
        /// What is asked for, in this order; `BATCH_MAX` demands at most.
        demands: Vec<Demand>,
        /// Whether all of them are let in or none, the largest first; else as many as there is room for. If all ask for one
        /// and the same window all get berths in it or none.
        whole: bool,
    },
    /// Reports that the first token of an answer is on its way to who asked.
    ReportFirstToken {
        /// Of which order.
        order: OrderId,
        /// In which attempt.
        attempt: u16,
        /// On which leg.
        leg: u8,
    },
}

words! {
    /// The life of an order.
    #[serde(rename = "workflow::Event")]
    pub enum Event {
        /// A command was refused.
        CommandRefused = 0 {
            /// Why.
            refusal: Refusal,
        },
        /// An order was refused; it ends here.
        OrderRefused = 1 {
            /// Its name.
            order: OrderId,
            /// Who sent it; `NONE` if nobody who is known.
            tenant: TenantId,
            /// The submitter's own number for it.
            external: u64,
            /// Why.
            refusal: Refusal,
        },
        /// A demand named a key that is remembered; the order it stands for is the answer.
        OrderDeduplicated = 2 {
            /// The order that was opened under the key.
            order: OrderId,
            /// Who sent it.
            tenant: TenantId,
            /// The submitter's own number for it.
            external: u64,
        },
        /// An order was admitted.
        OrderAdmitted = 3 {
            /// Its name.
            order: OrderId,
            /// Who pays.
            tenant: TenantId,
            /// The level under which it was admitted.
            level: PolicyLevel,
            /// The tenant's next theoretical arrival time.
            arrival: Micros,
            /// The same of a token.
            token_arrival: Micros,
            /// When it expires.
            deadline: Micros,
            /// Where its key is remembered.
            key: KeySlot,
            /// What is set aside for it, where its tenant has a budget: it is never charged more.
            reserved: Option<PicoUsd>,
            /// What was asked for.
            demand: Box<Demand>,
        },
        /// A leg was handed to its vessel.
        LegDispatched = 4 {
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
            /// How long it is expected to be held up by what is aboard.
            queue: Micros,
            /// How long its prompt is expected to take; of a decode leg, to fetch what was made of it in another region.
            prompt: Micros,
            /// How long its answer is expected to take.
            answer: Micros,
            /// How long it should take at most, behind all that is aboard, one after the other, where its answer is as long as 95 of 100 are not;
            /// or as long as may be, where a call for the order has failed.
            within: Micros,
            /// When another vessel is asked to work it as well, if nothing has been heard of it by then; zero is never.
            hedge: Micros,
            /// When it counts as failed.
            timeout: Micros,
        },
        /// A leg was worked to its end.
        LegCompleted = 5 {
            /// Of which order.
            order: OrderId,
            /// Which leg.
            leg: u8,
            /// Where.
            vessel: VesselId,
            /// Tokens generated on it.
            tokens_out: Tokens,
            /// Prompt tokens found in the vessel's prefix cache.
            cached: Tokens,
            /// Time from submission to the first token; zero where it generated none.
            first_token: Micros,
            /// What it is worth at the vessel's prices.
            cost: PicoUsd,
            /// What it burnt.
            energy: Millijoules,
            /// How long it should have taken for what it turned out to be, had it been alone.
            predicted: Micros,
        },
        /// A leg failed, and with it the attempt; what the route still held is given back.
        LegFailed = 6 {
            /// Of which order.
            order: OrderId,
            /// In which attempt.
            attempt: u16,
            /// Which leg.
            leg: u8,
            /// Where.
            vessel: VesselId,
            /// Why.
            fault: Fault,
        },
        /// An order that had been admitted ended.
        OrderEnded = 7 {
            /// Which one.
            order: OrderId,
            /// Who paid.
            tenant: TenantId,
            /// The submitter's own number for it.
            external: u64,
            /// How.
            end: End,
            /// Attempts made.
            attempts: u16,
            /// The vessel that was working on it and has to stop; `NONE` if none was.
            stop: VesselId,
            /// Time from submission to the first token; zero if there was none.
            first_token: Micros,
            /// Time from submission to the end.
            latency: Micros,
        },
        /// A leg is told to stop: what it has worked is awaited, and its slot is taken until then.
        StopAwaited = 9 {
            /// Where that is noted.
            stop: StopSlot,
            /// What is awaited.
            awaited: Box<Stop>,
        },
        /// What a stopped leg had worked is settled: its vessel has said it, or did not in time.
        StopSettled = 10 {
            /// Where it was noted; `NONE` if there was no place for it.
            stop: StopSlot,
            /// Of which order.
            order: OrderId,
            /// Who pays.
            tenant: TenantId,
            /// What was worked.
            usage: Usage,
            /// What is charged for it.
            cost: PicoUsd,
            /// What it is worth.
            burnt: PicoUsd,
            /// Whether there was no answer: what was worked is an estimate, and nothing where the leg had failed.
            estimated: bool,
            /// Whether the order ended with it.
            ended: bool,
        },
        /// The first token of an answer is on its way: who is waiting for every token cannot be served anew from here on.
        FirstTokenSeen = 11 {
            /// Of which order.
            order: OrderId,
            /// On which leg.
            leg: u8,
            /// From where.
            vessel: VesselId,
            /// Time from submission to it.
            first_token: Micros,
            /// When the leg counts as failed.
            timeout: Micros,
        },
        /// Nothing has been heard of a leg for too long: another vessel works it as well, and the first answer counts.
        LegHedged = 12 {
            /// Of which order.
            order: OrderId,
            /// In which attempt.
            attempt: u16,
            /// Which leg the other one is.
            leg: u8,
            /// Where it is worked, and how long that should take.
            vessel: VesselId,
            /// How long its prompt is expected to take.
            prompt: Micros,
            /// How long all of it is.
            work: Micros,
            /// How long it should take at most, behind all that is aboard.
            within: Micros,
            /// When one of the two counts as failed.
            timeout: Micros,
            /// What was considered, the chosen one first, then in the order of their scores.
            candidates: Candidates,
        },
        /// Nothing has been heard of a leg for too long, and no other vessel is asked.
        HedgeWithheld = 13 {
            /// Of which order.
            order: OrderId,
            /// Which leg.
            leg: u8,
            /// Why.
            reason: Withheld,
            /// When the leg counts as failed.
            timeout: Micros,
        },
        /// One of the two vessels that worked a leg works it no more; the order is the other's.
        LegDropped = 14 {
            /// Of which order.
            order: OrderId,
            /// In which attempt.
            attempt: u16,
            /// Which leg.
            leg: u8,
            /// Where.
            vessel: VesselId,
            /// Why it failed; none if the other one was first, or nobody asks any more.
            fault: Option<Fault>,
            /// When the other leg counts as failed.
            timeout: Micros,
        },
        /// A key of an order that was served is remembered no more.
        KeyForgotten = 8 {
            /// Where it was.
            key: KeySlot,
            /// Whose it was.
            tenant: TenantId,
            /// The order that it stood for.
            order: OrderId,
        },
    }
}
