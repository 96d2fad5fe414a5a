//! A row of a trace as the exchange hears of it: names become ids, spans become moments.

use std::collections::BTreeMap;

use tensorforge_engine::command::ANYWHERE;
use tensorforge_engine::models::{Demand, Window};
use tensorforge_engine::units::{Micros, ModelId, RegionId, TenantId};
use thiserror::Error;

use crate::document::listed;
use crate::fleet::Fleet;
use crate::trace::{Key, Row, Trace, marks};

/// Why a trace cannot be played with a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SimError {
    /// A row names something that the fleet does not have.
    #[error(
        "trace {trace:?}, row {row}: {field} is {found:?}, but fleet {fleet:?} has only {known}"
    )]
    Unknown {
        /// Which trace.
        trace: String,
        /// The row's number.
        row: u64,
        /// `model` or `origin`.
        field: &'static str,
        /// What it names.
        found: String,
        /// Which fleet.
        fleet: String,
        /// What there is.
        known: String,
    },
}

/// What the names in a row stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) tenant: TenantId,
    pub(super) model: ModelId,
    pub(super) origin: RegionId,
}

/// What a row asks for.
pub(super) fn demand(row: &Row, sender: Sender, block_tokens: u64) -> Demand {
    let moment = |span: Micros| row.at + span;
    Demand {
        external: row.external,
        model: sender.model,
        origin: sender.origin,
        kind: row.kind,
        class: row.class,
        tokens_in: row.tokens_in,
        tokens_out_max: row.tokens_out_max,
        deadline: row.deadline.map_or(Micros::ZERO, moment),
        limit: row.limit,
        idempotency: row.idempotency.as_ref().map_or(0, Key::number),
        prefix: marks(&row.blocks, block_tokens, row.tokens_in),
        window: row
            .window
            .as_ref()
            .map(|w| Window { from: moment(w.from), until: moment(w.until) }.into()),
    }
}

/// The ids behind the names of every row.
pub(super) fn senders(fleet: &Fleet, trace: &Trace) -> Result<Vec<Sender>, SimError> {
    let tenants: BTreeMap<&str, u32> = trace.tenants().into_iter().zip(0..).collect();
    let models: BTreeMap<&str, u32> = fleet.models.iter().map(String::as_str).zip(0..).collect();
    let regions: BTreeMap<&str, u32> =
        fleet.regions.iter().map(|region| region.name.as_str()).zip(0..).collect();
    let place = |row: &Row, field, known: &BTreeMap<&str, u32>, name: &str| {
        known.get(name).copied().ok_or_else(|| SimError::Unknown {
            trace: trace.name.clone(),
            row: row.external,
            field,
            found: name.to_owned(),
            fleet: fleet.name.clone(),
            known: listed(known.keys().copied()),
        })
    };
    let sender = |row: &Row| {
        let model =
            row.model.as_ref().map(|name| place(row, "model", &models, name)).transpose()?;
        let origin =
            row.origin.as_ref().map(|name| place(row, "origin", &regions, name)).transpose()?;
        Ok(Sender {
            tenant: tenants.get(row.tenant.as_str()).map_or(TenantId::NONE, |id| TenantId(*id)),
            model: ModelId(model.unwrap_or(0)),
            origin: origin.map_or(ANYWHERE, RegionId),
        })
    };
    trace.rows.iter().map(sender).collect()
}
