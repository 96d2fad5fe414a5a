//! What a client is told that is not served.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use tensorforge_engine::refusal::Refusal as Any;
use tensorforge_engine::units::Micros;
use tensorforge_engine::{config, models, policy, queue, telemetry};
use tensorforge_wire::{Dialect, Failure, Kind};

/// What a client is told that is not served.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    kind: Kind,
    message: String,
    /// The field of the request that is at fault.
    field: Option<String>,
    /// In how many seconds it is worth trying again, where that is known.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, retry_after: None }
    }

    pub(crate) fn about(self, field: Option<&str>) -> Self {
        Self { field: field.map(str::to_owned), ..self }
    }

    /// A refusal of the exchange. When it is worth trying again is said where it is known, and is true then: in whole seconds,
    /// rounded up.
    pub(crate) fn of(refusal: &Any, now: Micros) -> Self {
        let (kind, retry_at) = match refusal {
            Any::Queue(
                queue::Refusal::RateLimited { retry_at }
                | queue::Refusal::TokensLimited { retry_at },
            ) => (Kind::RateLimited, Some(*retry_at)),
            Any::Telemetry(telemetry::Refusal::BudgetSpent { renewed_at, .. }) => {
                (Kind::RateLimited, Some(*renewed_at).filter(|at| *at < Micros::MAX))
            }
            Any::Config(config::Refusal::Full { .. })
            | Any::Policy(policy::Refusal::LevelForbids { .. })
            | Any::Models(models::Refusal::NoVessel)
            | Any::Allocator(_) => (Kind::Overloaded, None),
            _ => (Kind::Invalid, None),
        };
        let retry_after = retry_at.map(|at| (at - now).0.div_ceil(1_000_000).max(1));
        Self { retry_after, ..Self::new(kind, refusal.to_string()) }
    }

    /// As an answer of its own.
    pub(crate) fn whole(&self, dialect: Dialect) -> (StatusCode, HeaderMap, String) {
        let status = StatusCode::from_u16(self.kind.status(dialect));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let body = self.failure().body(dialect);
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body)
    }

    /// As the end of a stream that had so many events before.
    pub(crate) fn event(&self, dialect: Dialect, events: u64) -> String {
        self.failure().event(dialect, events)
    }

    fn failure(&self) -> Failure<'_> {
        Failure { param: self.field.as_deref(), ..Failure::new(self.kind, &self.message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who obeys what is said finds it true: half a second is said to be one.
    #[test]
    fn when_to_try_again_is_rounded_up() {
        let refusal = Any::Queue(queue::Refusal::RateLimited { retry_at: Micros(3_500_000) });
        let after = |now: u64| {
            let (status, headers, _) = Refusal::of(&refusal, Micros(now)).whole(Dialect::Chat);
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            headers.get(header::RETRY_AFTER).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!([0, 2_500_000, 3_400_000, 9_000_000].map(after), ["4", "1", "1", "1"]);
        // A budget that is never renewed has no time.
        let never = telemetry::Refusal::BudgetSpent {
            asked: tensorforge_engine::units::MicroUsd(2),
            left: tensorforge_engine::units::MicroUsd(1),
            renewed_at: Micros::MAX,
        };
        let (status, headers, _) =
            Refusal::of(&Any::Telemetry(never), Micros(1)).whole(Dialect::Messages);
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert!(headers.get(header::RETRY_AFTER).is_none());
    }
}
