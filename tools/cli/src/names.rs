//! What a journal calls things, learned from its own events or from a state.

use std::collections::BTreeMap;

use tensorforge_engine::units::{ModelId, TenantId, VesselId};
use tensorforge_engine::{Event, State, models};

/// The names of tenants, models and vessels by their numbers.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) tenants: BTreeMap<u32, String>,
    pub(crate) models: BTreeMap<u32, String>,
    pub(crate) vessels: BTreeMap<u32, String>,
    /// What vessels would be lost with, those that would be with anything.
    pub(crate) domains: BTreeMap<u32, u32>,
}

impl Names {
    /// What a state calls them.
    pub(crate) fn of(state: &State) -> Self {
        let tables = &state.tables;
        Self {
            tenants: tables.tenants.iter().map(|(id, row)| (id.0, row.name.clone())).collect(),
            models: tables.models.iter().map(|(id, row)| (id.0, row.name.clone())).collect(),
            vessels: tables.vessels.iter().map(|(id, row)| (id.0, row.name.clone())).collect(),
            domains: tables
                .vessels
                .iter()
                .filter(|(_, row)| row.manifest.domain > 0)
                .map(|(id, row)| (id.0, row.manifest.domain))
                .collect(),
        }
    }

    pub(crate) fn learn(&mut self, event: &Event) {
        match event {
            Event::Models(models::Event::TenantRegistered { tenant, contract }) => {
                self.tenants.insert(tenant.0, contract.name.clone());
            }
            Event::Models(models::Event::ModelRegistered { model, name }) => {
                self.models.insert(model.0, name.clone());
            }
            Event::Models(
                models::Event::VesselRegistered { vessel, name, manifest, .. }
                | models::Event::VesselAnnounced { vessel, name, manifest, .. },
            ) => {
                self.vessels.insert(vessel.0, name.clone());
                match manifest.domain {
                    0 => self.domains.remove(&vessel.0),
                    domain => self.domains.insert(vessel.0, domain),
                };
            }
            _ => {}
        }
    }

    pub(crate) fn vessel(&self, id: VesselId) -> String {
        self.vessels.get(&id.0).cloned().unwrap_or_else(|| format!("vessel {id}"))
    }

    pub(crate) fn tenant(&self, id: TenantId) -> String {
        self.tenants.get(&id.0).cloned().unwrap_or_else(|| "an unknown tenant".to_owned())
    }

    pub(crate) fn model(&self, id: ModelId) -> String {
        self.models.get(&id.0).cloned().unwrap_or_default()
    }
}
