//! What is said to and by the allocator.

use serde::{Deserialize, Serialize};

use crate::kernel::image::words;
use crate::kernel::units::{BerthId, MicroUsd, Micros, OrderId, Tokens, VesselId};
use crate::models::rows::Window;

/// When a vessel is to be left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "allocator::Command")]
pub enum Command {
    /// Plans maintenance of a vessel: it gets no work that would last into the window, and none within it.
    Maintain {
        /// Which one.
        vessel: VesselId,
        /// When.
        window: Window,
    },
    /// Ends the maintenance that a vessel is in; where it is in none, its next one is called off.
    EndMaintenance {
        /// Which one.
        vessel: VesselId,
    },
}

words! {
    /// What capacity was reserved, and given back.
    #[serde(rename = "allocator::Event")]
    pub enum Event {
        /// An order holds capacity for its window.
        OrderBerthed = 0 {
            /// Which one.
            order: OrderId,
            /// What it holds.
            berth: BerthId,
            /// On which vessel.
            vessel: VesselId,
            /// For which window.
            window: Window,
            /// Berths of that vessel that overlap the window, this one not counted.
            overlapping: u32,
        },
        /// An order's berth was given back: it begins, it has ended, or its vessel cannot have it.
        BerthReleased = 1 {
            /// Whose.
            order: OrderId,
            /// Which one.
            berth: BerthId,
        },
        /// All slots of a vessel are reserved for its maintenance.
        MaintenancePlanned = 2 {
            /// What is held.
            berth: BerthId,
            /// Of which vessel.
            vessel: VesselId,
            /// For which window.
            window: Window,
        },
        /// The window of a berth has begun: its slots are kept from now on, and get no other work.
        BerthOpened = 3 {
            /// Which one.
            berth: BerthId,
            /// Of which vessel.
            vessel: VesselId,
            /// For whom; nobody where it is for maintenance.
            order: Option<OrderId>,
            /// How many.
            slots: u32,
            /// When it is looked at again: maintenance ends then, an order goes elsewhere that found no slot free.
            until: Micros,
        },
        /// A vessel's maintenance has ended, or was called off.
        MaintenanceEnded = 4 {
            /// What was held.
            berth: BerthId,
            /// Of which vessel.
            vessel: VesselId,
        },
        /// An order gives up its place aboard to a more urgent one that finds none, before anything of its answer is there.
        /// It waits again, and is not charged for what was burnt: the answer to the stop tells that.
        OrderPreempted = 6 {
            /// Which one.
            order: OrderId,
            /// In which attempt.
            attempt: u16,
            /// On which leg.
            leg: u8,
            /// Where.
            vessel: VesselId,
            /// For whom.
            by: OrderId,
        },
        /// An order would last into a berth on every vessel that has room for it: it is looked at again later.
        OrderHeldBack = 5 {
            /// Which one.
            order: OrderId,
            /// When the first of these berths begins.
            berthed_at: Micros,
            /// When it is looked at again.
            at: Micros,
        },
        /// Wherever there is room an order is expected to cost more than it may: it is looked at again later.
        OrderTooDear = 7 {
            /// Which one.
            order: OrderId,
            /// What it is expected to cost on the cheapest route that was considered.
            least: MicroUsd,
            /// When it is looked at again.
            at: Micros,
        },
        /// Wherever an order finds a slot there is too little memory left for it. One such vessel takes nobody else until
        /// it has room for this one, which meanwhile is not among those who wait.
        OrderCrowdedOut = 8 {
            /// Which one.
            order: OrderId,
            /// Where its prompt is to be worked, and its answer, unless that is done elsewhere.
            vessel: VesselId,
            /// Where the answer is to be generated, if elsewhere; that vessel is kept for it as well.
            decode: VesselId,
            /// How many tokens have to go there before it has room.
            needs: Tokens,
            /// When it is looked at again at the latest.
            at: Micros,
        },
    }
}

words! {
    /// What capacity is missing.
    #[serde(rename = "allocator::Refusal")]
    pub enum Refusal {
        /// No vessel has a berth left for the window.
        NoBerth = 0 {
            /// The earliest moment, not before the window, from which one of those that were asked has a berth for as
            /// long; without end if none has any.
            earliest: Micros,
        },
        /// Maintenance would overlap what is promised already.
        Promised = 1 {
            /// The berth that it overlaps.
            berth: BerthId,
        },
        /// A vessel has no maintenance planned.
        NoMaintenance = 2,
        /// The order may cost less than its prompt alone does.
        LimitTooLow = 3 {
            /// The most that it may cost.
            limit: MicroUsd,
            /// What its prompt costs at the lowest prices of the vessels that are up or on their way, as much of it
            /// found in a cache as may be.
            least: MicroUsd,
        },
    }
}
