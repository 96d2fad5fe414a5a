//! What all requests have in common.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, ModelId, OrderId, Seq, TenantId, VesselId};
use tensorforge_engine::workflow;
use tensorforge_journal::Client;
use tensorforge_journal::sequencer::{CallError, Caller, Urgency};
use tensorforge_wire::Measure;

use crate::desk::Board;
use crate::vessel::Vessels;

/// Estimated tokens of a block whose beginning is remembered.
pub(crate) const BLOCK_TOKENS: u64 = 64;

/// What all requests have in common.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) board: Board,
    pub(crate) clock: Clock,
    pub(crate) vessels: Vessels,
    /// Where each vessel is heard, by its number.
    pub(crate) addresses: Vec<String>,
    /// The names of the models, by their numbers.
    pub(crate) models: Vec<String>,
    pub(crate) tenant: TenantId,
    pub(crate) journal: JournalId,
    /// How prompts are measured and their beginnings recognised.
    pub(crate) measure: Measure,
    /// The most tokens of an answer where the client does not say.
    pub(crate) usual_tokens: u64,
}

impl Shared {
    /// Says something about orders to the exchange; refused at once where its queue is full.
    pub(crate) fn offer(
        &self,
        command: workflow::Command,
        urgency: Urgency,
        caller: Box<dyn Caller>,
    ) -> Result<(), CallError> {
        let source = match command {
            workflow::Command::Submit(_) => Source::tenant(self.tenant),
            _ => Source::OPERATOR,
        };
        self.client.offer(self.clock.now(), source, Command::Workflow(command), urgency, caller)
    }

    pub(crate) fn address(&self, vessel: VesselId) -> Option<&str> {
        self.addresses.get(vessel.0 as usize).map(String::as_str)
    }

    pub(crate) fn model(&self, name: &str) -> Option<ModelId> {
        let place = self.models.iter().position(|model| model == name)?;
        u32::try_from(place).ok().map(ModelId)
    }

    /// Says where an answer is found in the journal.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, order: OrderId, seq: Seq) {
        let journal = tensorforge_journal::hex(&self.journal.0);
        let number = order.number();
        let said = [
            ("x-request-id", format!("{journal}-{}", seq.0)),
            ("x-tensorforge-journal", journal),
            ("x-tensorforge-seq", seq.0.to_string()),
            ("x-tensorforge-order", number.to_string()),
        ];
        for (name, value) in said {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Microseconds since 1970. It is asked for once, and never before what a journal holds; then time passes as it does, whatever
/// somebody sets the clock of the machine to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: Micros,
    since: Instant,
}

impl Clock {
    pub(crate) fn not_before(journal: Micros) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self { begun: wall.max(journal), since: Instant::now() }
    }

    pub(crate) fn now(self) -> Micros {
        let passed = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.begun + Micros(passed)
    }
}
