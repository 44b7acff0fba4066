//! What is answered to whom.

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::part::Part;
use crate::metrics::Rendering;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Everything that answers are made of.
pub(super) struct Answers {
    metrics: Rendering,
    parts: Vec<Part>,
}

impl Answers {
    pub(super) fn new(metrics: Rendering, parts: Vec<Part>) -> Self {
        Self { metrics, parts }
    }

    /// The answer to `request`, whose body is not read.
    pub(super) async fn to<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = response(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "only GET and HEAD are answered\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/healthz" => response(StatusCode::OK, JSON, json!({ "status": "ok" }).to_string()),
            "/readyz" => {
                let (ready, body) = self.readiness().await;
                let status = if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                response(status, JSON, body.to_string())
            }
            "/metrics" => response(StatusCode::OK, EXPOSITION, self.metrics.render()),
            _ => response(
                StatusCode::NOT_FOUND,
                TEXT,
                "/healthz, /readyz and /metrics are answered\n",
            ),
        }
    }

    /// Whether every part is there, and which are.
    pub(super) async fn readiness(&self) -> (bool, Value) {
        let asked = self
            .parts
            .iter()
            .map(|part| async { (part.name(), part.is_ready().await) });
        let parts = join_all(asked).await;
        let all = parts.iter().all(|(_, ready)| *ready);
        let parts: Vec<_> = parts
            .into_iter()
            .map(|(name, ready)| json!({ "name": name, "ready": ready }))
            .collect();
        (all, json!({ "ready": all, "parts": parts }))
    }
}

fn response(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
