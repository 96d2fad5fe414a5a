//! What is said to and by those who take part: tenants, regions, models and vessels.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::kernel::image::{code, words};
use crate::kernel::units::{Micros, ModelId, RegionId, TenantId, Tokens, VesselId};
use crate::models::rows::{Manifest, Tenant};

/// Who takes part, and whether a vessel is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(rename = "models::Command")]
pub enum Command {
    /// Adds a tenant, or changes its contract.
    RegisterTenant(Tenant),
    /// Adds a region, or changes the way into it.
    RegisterRegion {
        /// Its name.
        name: String,
        /// The time that a hop into it takes.
        hop: Micros,
        /// The time that what a vessel has made of a thousand prompt tokens takes into it.
        transfer: Micros,
    },
    /// Adds a model.
    RegisterModel {
        /// Its name.
        name: String,
    },
    /// Adds a vessel, changes its manifest or brings it back, as a heartbeat does.
    RegisterVessel {
        /// Its name.
        name: String,
        /// What it carries.
        manifest: Manifest,
        /// The number of its start, as in a heartbeat.
        start: u64,
    },
    /// Reports that a vessel lives. A lost one takes work again, unless it had been sent away; it is
    /// refused until everything it had aboard has been failed over, which takes an `Advance` or two, due at
    /// once.
    Heartbeat {
        /// Which one.
        vessel: VesselId,
        /// A number that is greater each time that the vessel's process begins anew; zero if there is none.
        start: u64,
    },
    /// Lets a vessel finish what it has and gives it no more until it is registered anew.
    Drain {
        /// Which one.
        vessel: VesselId,
    },
    /// Reports that a vessel is gone.
    Lose {
        /// Which one.
        vessel: VesselId,
    },
    /// Takes a vessel that is lost or drained for gone for good, until it is registered anew.
    Retire {
        /// Which one.
        vessel: VesselId,
    },
    /// Announces a vessel that is on its way: orders for its models are let in, and it takes them once it has been
    /// heard of. It must not be there already.
    Announce {
        /// Its name.
        name: String,
        /// What it will carry.
        manifest: Manifest,
        /// How long it may take; if it has not been heard of by then it counts as lost.
        within: Micros,
    },
}

code! {
    /// Why a vessel counts as lost.
    pub enum LossCause {
        /// Somebody reported it.
        Reported = 0,
        /// It was silent for three heartbeats.
        Silent = 1,
        /// It had been announced, and did not come in time.
        NeverJoined = 2,
    }
}

words! {
    /// Who takes part from now on, and how.
    #[serde(rename = "models::Event")]
    pub enum Event {
        /// A tenant was added or its contract changed.
        TenantRegistered = 0 {
            /// Which one.
            tenant: TenantId,
            /// Its contract.
            contract: Box<Tenant>,
        },
        /// A region was added or the way into it changed.
        RegionRegistered = 1 {
            /// Which one.
            region: RegionId,
            /// Its name.
            name: String,
            /// The time that a hop into it takes.
            hop: Micros,
            /// The time that what a vessel has made of a thousand prompt tokens takes into it.
            transfer: Micros,
        },
        /// A model was added.
        ModelRegistered = 2 {
            /// Which one.
            model: ModelId,
            /// Its name.
            name: String,
        },
        /// A vessel was added, changed or brought back; it takes work.
        VesselRegistered = 3 {
            /// Which one.
            vessel: VesselId,
            /// Its name.
            name: String,
            /// What it carries.
            manifest: Box<Manifest>,
            /// The number of its start; zero where none was told.
            start: u64,
        },
        /// A vessel was heard of.
        VesselSeen = 4 {
            /// Which one.
            vessel: VesselId,
            /// The number of its start; zero where none was told.
            start: u64,
        },
        /// A vessel that was lost, or began anew, is back: it takes work, unless it had been sent away.
        VesselReturned = 5 {
            /// Which one.
            vessel: VesselId,
            /// The number of its start; zero where none was told.
            start: u64,
        },
        /// A vessel takes no more work.
        VesselDraining = 6 {
            /// Which one.
            vessel: VesselId,
        },
        /// A draining vessel has nothing left aboard.
        VesselDrained = 7 {
            /// Which one.
            vessel: VesselId,
        },
        /// A vessel is gone.
        VesselLost = 8 {
            /// Which one.
            vessel: VesselId,
            /// Why it counts as lost.
            cause: LossCause,
        },
        /// A vessel has begun anew, without whatever it had aboard or in its cache.
        VesselRestarted = 9 {
            /// Which one.
            vessel: VesselId,
            /// The number of its start.
            start: u64,
        },
        /// A vessel is gone for good.
        VesselRetired = 10 {
            /// Which one.
            vessel: VesselId,
        },
        /// A vessel is on its way.
        VesselAnnounced = 11 {
            /// Which one.
            vessel: VesselId,
            /// Its name.
            name: String,
            /// What it will carry.
            manifest: Box<Manifest>,
            /// By when it has to have been heard of.
            joins: Micros,
        },
        /// A vessel that was on its way has been heard of: it takes work.
        VesselJoined = 12 {
            /// Which one.
            vessel: VesselId,
            /// The number of its start; zero where none was told.
            start: u64,
        },
    }
}

code! {
    /// What a command named that is not there.
    pub enum Thing {
        /// A tenant.
        Tenant = 0,
        /// A region.
        Region = 1,
        /// A model.
        Model = 2,
        /// A vessel.
        Vessel = 3,
    }
}

words! {
    /// What about those who take part stood in the way.
    #[serde(rename = "models::Refusal")]
    pub enum Refusal {
        /// The command names something that is not there.
        Unknown = 0 {
            /// What.
            thing: Thing,
            /// Its number.
            id: u64,
        },
        /// A name, a contract or a manifest is outside of what it may be.
        Invalid = 1 {
            /// The field and what is wrong with it.
            fault: String,
        },
        /// The vessel is not in the state that the command needs.
        WrongStatus = 2,
        /// A lost vessel does not come back before everything it had aboard has been failed over.
        StillAboard = 3 {
            /// How many orders are left.
            orders: u32,
        },
        /// No vessel, and no pair of them, that serves the model is up.
        NoVessel = 4,
        /// No vessel that serves the model can hold the order.
        TooLarge = 5 {
            /// Tokens of prompt and answer.
            asked: Tokens,
            /// The most that any vessel takes.
            max: Tokens,
        },
        /// A later start of the vessel has been heard of.
        Superseded = 6 {
            /// Its number.
            start: u64,
        },
    }
}
