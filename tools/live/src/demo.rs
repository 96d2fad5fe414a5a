//! Vessels that are built in: behind real HTTP, with the pace of a simulated fleet and answers that mean nothing.
//!
//! They speak enough of the API for a client to be tried: chat and text completions, streamed or not, and embeddings. Their
//! words come from a list, as many as were asked for at most; a prompt is counted as one token for four bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::body::Chunks;

/// What an answer is made of, over and over.
const WORDS: [&str; 12] = [
    "the ", "tide ", "turns ", "and ", "every ", "boat ", "in ", "the ", "harbour ", "swings ",
    "round ", "again. ",
];

/// Tokens of an answer whose length nobody has bounded.
const USUAL: u64 = 24;

/// How fast a vessel works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The time for a thousand tokens of a prompt.
    pub(crate) prefill_per_kilotoken: Duration,
    /// The time for each token of an answer.
    pub(crate) decode_per_token: Duration,
}

/// Starts a vessel on an address of its own; tells which.
pub(crate) async fn start(model: &str, pace: Pace) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let vessel = Arc::new(Vessel { model: model.to_owned(), pace });
    let routes = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(text))
        .route("/v1/embeddings", post(embed))
        .with_state(vessel);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

struct Vessel {
    model: String,
    pace: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chat,
    Text,
}

async fn chat(vessel: State<Arc<Vessel>>, body: Bytes) -> Response {
    generate(vessel, Kind::Chat, &body).await
}

async fn text(vessel: State<Arc<Vessel>>, body: Bytes) -> Response {
    generate(vessel, Kind::Text, &body).await
}

async fn generate(State(vessel): State<Arc<Vessel>>, kind: Kind, body: &Bytes) -> Response {
    let asked: Value = match serde_json::from_slice(body) {
        Ok(asked) => asked,
        Err(error) => return refused(&error.to_string()),
    };
    let prompt = if kind == Kind::Chat { &asked["messages"] } else { &asked["prompt"] };
    let tokens_in = (prompt.to_string().len() as u64).div_ceil(4);
    let most = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| asked[*key].as_u64());
    let tokens = most.unwrap_or(USUAL).min(4_096);
    sleep(vessel.pace.prefill(tokens_in)).await;
    let told = Told { vessel, kind, tokens_in, tokens };
    if asked["stream"] == json!(true) {
        let usage = asked["stream_options"]["include_usage"] == json!(true);
        return told.streamed(usage);
    }
    sleep(told.vessel.pace.decode_per_token * u32::try_from(tokens).unwrap_or(u32::MAX)).await;
    told.whole()
}

/// An answer that is being given.
struct Told {
    vessel: Arc<Vessel>,
    kind: Kind,
    tokens_in: u64,
    tokens: u64,
}

impl Told {
    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.tokens_in,
            "completion_tokens": self.tokens,
            "total_tokens": self.tokens_in.saturating_add(self.tokens),
            "prompt_tokens_details": { "cached_tokens": 0 },
        })
    }

    fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        WORDS.iter().copied().cycle().take(usize::try_from(self.tokens).unwrap_or(usize::MAX))
    }

    fn head(&self, whole: bool) -> Value {
        let object = match (self.kind, whole) {
            (Kind::Chat, true) => "chat.completion",
            (Kind::Chat, false) => "chat.completion.chunk",
            (Kind::Text, _) => "text_completion",
        };
        json!({ "id": "demo", "object": object, "created": 0, "model": self.vessel.model })
    }

    fn whole(&self) -> Response {
        let content: String = self.words().collect();
        let mut answer = self.head(true);
        let choice = match self.kind {
            Kind::Chat => json!({
                "index": 0,
                "message": { "role": "assistant", "content": content },
                "finish_reason": "length",
            }),
            Kind::Text => json!({ "index": 0, "text": content, "finish_reason": "length" }),
        };
        answer["choices"] = json!([choice]);
        answer["usage"] = self.usage();
        json_of(StatusCode::OK, &answer)
    }

    fn chunk(&self, word: &str, finish: Option<&str>) -> Bytes {
        let mut chunk = self.head(false);
        let choice = match self.kind {
            Kind::Chat => {
                json!({ "index": 0, "delta": { "content": word }, "finish_reason": finish })
            }
            Kind::Text => json!({ "index": 0, "text": word, "finish_reason": finish }),
        };
        chunk["choices"] = json!([choice]);
        event(&chunk.to_string())
    }

    fn streamed(self, usage: bool) -> Response {
        let (sender, chunks) = mpsc::channel(8);
        tokio::spawn(async move {
            for word in self.words() {
                sleep(self.vessel.pace.decode_per_token).await;
                // Whoever has hung up is told nothing more, and the work ends.
                if sender.send(self.chunk(word, None)).await.is_err() {
                    return;
                }
            }
            let mut last = vec![self.chunk("", Some("length"))];
            if usage {
                let mut chunk = self.head(false);
                chunk["choices"] = json!([]);
                chunk["usage"] = self.usage();
                last.push(event(&chunk.to_string()));
            }
            last.push(event("[DONE]"));
            for chunk in last {
                let _ = sender.send(chunk).await;
            }
        });
        let head = [(header::CONTENT_TYPE, "text/event-stream")];
        (head, Body::new(Chunks(chunks))).into_response()
    }
}

async fn embed(State(vessel): State<Arc<Vessel>>, body: Bytes) -> Response {
    let asked: Value = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return refused(&error.to_string()),
    };
    let inputs = match &asked["input"] {
        Value::Array(inputs) => inputs.iter().map(Value::to_string).collect(),
        input => vec![input.to_string()],
    };
    let tokens_in = inputs.iter().map(|input| (input.len() as u64).div_ceil(4)).sum();
    sleep(vessel.pace.prefill(tokens_in)).await;
    let data = inputs.iter().zip(0..).map(|(input, index): (&String, u64)| {
        // Of the lengths of what is asked, so that the same text is the same vector.
        let vector: Vec<f64> =
            (1..=8).map(|n| f64::from(input.len() as u32 % (n + 2)) / 8.0).collect();
        json!({ "object": "embedding", "index": index, "embedding": vector })
    });
    let answer = json!({
        "object": "list",
        "model": vessel.model,
        "data": data.collect::<Vec<Value>>(),
        "usage": { "prompt_tokens": tokens_in, "total_tokens": tokens_in },
    });
    json_of(StatusCode::OK, &answer)
}

impl Pace {
    fn prefill(self, tokens: u64) -> Duration {
        let micros = u64::try_from(self.prefill_per_kilotoken.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros.saturating_mul(tokens) / 1_000)
    }
}

fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

fn refused(why: &str) -> Response {
    let error = json!({ "error": { "message": why, "type": "invalid_request_error" } });
    json_of(StatusCode::BAD_REQUEST, &error)
}

fn json_of(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
