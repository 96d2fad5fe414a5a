//! Whether a sender may.

use crate::security::rows::{Scope, Source};
use crate::security::words::Refusal;

/// Refuses unless the sender holds `scope`.
pub(crate) fn require(source: Source, scope: Scope) -> Result<(), Refusal> {
    if source.scopes.has(scope) { Ok(()) } else { Err(Refusal::Forbidden { scope }) }
}
