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
    },
    /// Reports that a vessel lives. A lost one is up again, whatever it was before; it is refused until
    /// everything it had aboard has been failed over, which takes an `Advance` or two, due at once.
    Heartbeat {
        /// Which one.
        vessel: VesselId,
    },
    /// Lets a vessel finish what it has and gives it no more.
    Drain {
        /// Which one.
        vessel: VesselId,
    },
    /// Reports that a vessel is gone.
    Lose {
        /// Which one.
        vessel: VesselId,
    },
}

code! {
    /// Why a vessel counts as lost.
    pub enum LossCause {
        /// Somebody reported it.
        Reported = 0,
        /// It was silent for three heartbeats.
        Silent = 1,
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
            contract: Tenant,
        },
        /// A region was added or the way into it changed.
        RegionRegistered = 1 {
            /// Which one.
            region: RegionId,
            /// Its name.
            name: String,
            /// The time that a hop into it takes.
            hop: Micros,
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
        },
        /// A vessel was heard of.
        VesselSeen = 4 {
            /// Which one.
            vessel: VesselId,
        },
        /// A lost vessel was heard of, and takes work again.
        VesselReturned = 5 {
            /// Which one.
            vessel: VesselId,
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
    }
}
