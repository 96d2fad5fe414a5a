//! Calls to vessels.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tensorforge_engine::workflow::Fault;

/// The longest answer that is not streamed, in bytes.
const ANSWER_MOST: usize = 64 << 20;

/// Connections to the vessels, which are kept for the next call.
#[derive(Clone)]
pub(crate) struct Vessels {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a vessel has begun to say.
pub(crate) struct Begun {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
}

impl Vessels {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Asks a vessel; `None` where it cannot be reached or says nothing that is HTTP.
    pub(crate) async fn ask(&self, url: &str, headers: &HeaderMap, body: Bytes) -> Option<Begun> {
        let uri: Uri = url.parse().ok()?;
        let mut request = Request::post(uri).body(Full::new(body)).ok()?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        for (name, value) in headers {
            request.headers_mut().append(name, value.clone());
        }
        let (parts, body) = self.client.request(request).await.ok()?.into_parts();
        Some(Begun { status: parts.status, headers: parts.headers, body })
    }
}

impl Begun {
    /// The whole of it; `None` where it breaks off or is too long.
    pub(crate) async fn whole(self) -> Option<Bytes> {
        let body = Limited::new(self.body, ANSWER_MOST).collect().await.ok()?;
        Some(body.to_bytes())
    }

    /// What a status means that is no success: a client's fault would be one anywhere, and a vessel without room is left in
    /// peace for a while.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.status.as_u16() {
            200..=299 => None,
            429 | 503 | 529 => Some(Fault::Overloaded),
            400..=499 => Some(Fault::Rejected),
            _ => Some(Fault::Error),
        }
    }
}
