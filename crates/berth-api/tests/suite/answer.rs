//! An answer, and what the OpenAPI document says of it.

use std::fmt;
use std::sync::LazyLock;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

/// The document, as JSON.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(berth_api::openapi::document(None)).expect("serializes"));

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a body").to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is no JSON: {error}", String::from_utf8_lossy(&self.body)))
    }

    /// The stable code of a refusal, in whichever form it came. The Open Inference Protocol has none.
    pub(crate) fn code(&self) -> Option<String> {
        let body = self.json();
        let code = body.pointer("/error/code").or_else(|| body.get("code"));
        code.and_then(Value::as_str).map(str::to_owned)
    }

    /// The answer, if it is this refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), self.code().as_deref()),
            (status, Some(code)),
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// The JSON of the answer, if it is a success.
    #[track_caller]
    pub(crate) fn succeeded(self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!(self.status.as_u16(), status, "{text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Checks what every answer has, and that a refusal is one that the operation declares.
    #[track_caller]
    pub(crate) fn check(&self, method: &Method, template: &str) {
        let place = format!("{method} {template}");
        assert!(
            self.header("x-request-id")
                .is_some_and(|id| id.starts_with("req_")),
            "{place} has no request id"
        );
        let status = self.status.as_u16();
        if status < 400 {
            return;
        }
        assert_ne!(status, 500, "{place}: {}", String::from_utf8_lossy(&self.body));
        let pointer = format!(
            "/paths/{}/{}/responses/{status}",
            template.replace('~', "~0").replace('/', "~1"),
            method.as_str().to_lowercase()
        );
        let declared = DOCUMENT.pointer(&pointer).unwrap_or_else(|| {
            panic!(
                "{place} does not declare {status}: {}",
                String::from_utf8_lossy(&self.body)
            )
        });
        if let Some(code) = self.code() {
            let description = declared["description"].as_str().unwrap_or_default();
            assert!(
                description.contains(&format!("`{code}`")),
                "{place} does not declare `{code}`"
            );
        }
    }
}
