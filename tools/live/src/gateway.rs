//! Where clients are heard.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tensorforge_engine::models::{Class, Demand, Kind as DemandKind, MARKS_MAX, Mark};
use tensorforge_engine::units::{Micros, RegionId, Tokens};
use tensorforge_wire::{Dialect, Kind, Model, Request, Vessel, list};
use tokio::sync::{mpsc, oneshot};

use crate::body::Chunks;
use crate::refusal::Refusal;
use crate::shared::{BLOCK_TOKENS, Shared};
use crate::worker::{Asked, Worker};

/// The longest body of a request, in bytes.
const BODY_MOST: usize = 32 << 20;

/// Pieces of an answer that may wait for a client; a vessel is read no further then.
const PIECES_AHEAD: usize = 8;

/// What says how urgent a request is.
const CLASS: &str = "x-tensorforge-class";

/// The routes of the gateway.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let dialects = Dialect::ALL.into_iter().fold(Router::new(), |routes, dialect| {
        let serve = move |State(shared): State<Arc<Shared>>,
                          headers: HeaderMap,
                          body: Result<Bytes, BytesRejection>| async move {
            match body {
                Ok(body) => serve(shared, dialect, &headers, &body).await,
                Err(error) => {
                    let long = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
                    let kind = if long { Kind::TooLarge } else { Kind::Invalid };
                    told(dialect, &Refusal::new(kind, error.body_text()))
                }
            }
        };
        routes.route(dialect.path(), post(serve))
    });
    dialects
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::max(BODY_MOST))
        .with_state(shared)
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    let model = |id| Model { id, created: 0, owned_by: "tensorforge" };
    let models: Vec<Model<'_>> = shared.models.iter().map(String::as_str).map(model).collect();
    let body = list(&models);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.board.has_stopped() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the journal is written no more\n")
            .into_response();
    }
    format!("ready, {} requests under way\n", shared.board.len()).into_response()
}

async fn serve(
    shared: Arc<Shared>,
    dialect: Dialect,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let asked = match read(&shared, dialect, headers, body) {
        Ok(asked) => asked,
        Err(refusal) => return told(dialect, &refusal),
    };
    let (head, begun) = oneshot::channel();
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    // It goes on without the client, until what was worked for it is settled.
    tokio::spawn(Worker::new(shared, asked, head, out).run());
    let Ok(head) = begun.await else {
        return told(dialect, &Refusal::new(Kind::Internal, "the exchange has stopped"));
    };
    let body = head.whole.map_or_else(|| Body::new(Chunks(pieces)), Body::from);
    (head.status, head.headers, body).into_response()
}

/// Reads a request and measures its prompt.
fn read(
    shared: &Shared,
    dialect: Dialect,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Asked, Refusal> {
    let request = Request::read(dialect, body, &shared.measure)
        .map_err(|error| Refusal::new(Kind::Invalid, error.to_string()).about(error.field()))?;
    let model = shared.model(&request.model).ok_or_else(|| {
        let name = &request.model;
        let message = format!("`{name}` is not served here; GET /v1/models lists what is");
        Refusal::new(Kind::UnknownModel, message).about(Some("model"))
    })?;
    let class = match headers.get(CLASS).map(HeaderValue::as_bytes) {
        None | Some(b"interactive") => Class::Interactive,
        Some(b"standard") => Class::Standard,
        Some(b"batch") => Class::Batch,
        Some(_) => {
            let message = format!("{CLASS} is neither interactive nor standard nor batch");
            return Err(Refusal::new(Kind::Invalid, message));
        }
    };
    let embeds = dialect == Dialect::Embeddings;
    let most = request.tokens_out_max.unwrap_or(shared.usual_tokens);
    let demand = Demand {
        external: 0,
        tokens_in: Tokens(request.prompt.tokens.max(1)),
        tokens_out_max: if embeds {
            Tokens::ZERO
        } else {
            Tokens(most.saturating_mul(request.answers))
        },
        deadline: Micros::ZERO,
        limit: 0,
        idempotency: 0,
        model,
        origin: RegionId(0),
        kind: if embeds { DemandKind::Embedding } else { DemandKind::Inference },
        class,
        window: None,
        prefix: marks(&request.prompt.blocks),
    };
    let forward = request.forward(Vessel::default());
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("anthropic-"));
    let headers = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Asked { dialect, streams: request.stream, demand, forward, headers })
}

/// The beginnings of a prompt that are remembered: of 1, 2, 4 and so on blocks, which are the same ones however much follows.
fn marks(blocks: &[u64]) -> Vec<Mark> {
    let powers = (0..MARKS_MAX as u32).map(|power| 1usize << power);
    let mark = |count: usize| {
        let hash = *blocks.get(count.saturating_sub(1))?;
        Some(Mark { hash, tokens: Tokens(BLOCK_TOKENS.saturating_mul(count as u64)) })
    };
    powers.map_while(mark).collect()
}

/// A failure as the answer to a request of which the exchange has not heard.
fn told(dialect: Dialect, refusal: &Refusal) -> Response {
    refusal.whole(dialect).into_response()
}
