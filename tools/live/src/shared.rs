//! What all requests have in common.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tensorforge_engine::command::Command;
use tensorforge_engine::security::Source;
use tensorforge_engine::units::{
    JournalId, Micros, ModelId, OrderId, Seq, TenantId, Tokens, VesselId,
};
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
    /// The time that each takes for a thousand prompt tokens, and for a generated one.
    pub(crate) paces: Vec<[Micros; 2]>,
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

    /// What a vessel has worked of a prompt, and of an answer, in so long a time if it works at the pace that it declares.
    pub(crate) fn worked(&self, vessel: VesselId, prompt: Tokens, elapsed: Micros) -> [Tokens; 2] {
        let Some([prefill, decode]) = self.paces.get(vessel.0 as usize) else {
            return [prompt, Tokens::ZERO];
        };
        let reading = Micros(prefill.0.saturating_mul(prompt.0) / 1_000);
        if elapsed < reading {
            let read = u128::from(prompt.0) * u128::from(elapsed.0) / u128::from(reading.0.max(1));
            return [Tokens(u64::try_from(read).unwrap_or(u64::MAX)).min(prompt), Tokens::ZERO];
        }
        [prompt, Tokens((elapsed - reading).0.checked_div(decode.0).unwrap_or(0))]
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
    /// None where it stands.
    since: Option<Instant>,
}

impl Clock {
    pub(crate) fn not_before(journal: Micros) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self { begun: wall.max(journal), since: Some(Instant::now()) }
    }

    pub(crate) fn standing(at: Micros) -> Self {
        Self { begun: at, since: None }
    }

    pub(crate) fn now(self) -> Micros {
        let passed = self.since.map_or(0, |since| since.elapsed().as_micros());
        self.begun + Micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
