//! The error body in the form that the caller's protocol expects.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use berth_domain::id::RequestId;
use berth_wire::{oip, openai, problem};

use crate::errors::{Audience, Failure, Retry};

/// The form of an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The OpenAI API's.
    OpenAi,
    /// The Open Inference Protocol's.
    Oip,
    /// Problem details.
    Problem,
}

impl Form {
    /// The form that a request on `path` with `headers` expects.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        match Audience::of(path) {
            _ if wants_problem(headers) => Self::Problem,
            Audience::OpenAi => Self::OpenAi,
            Audience::Oip => Self::Oip,
            Audience::Native => Self::Problem,
        }
    }
}

/// The answer to a request that ended in `failure`.
pub(crate) fn render(failure: &Failure, form: Form, request: RequestId) -> HttpResponse {
    let code = failure.code();
    let mut response = HttpResponseBuilder::new(code.status());
    if let Some(wait) = failure.wait() {
        response.insert_header((header::RETRY_AFTER, whole_seconds(wait)));
        response.insert_header(("retry-after-ms", wait.as_millis().to_string()));
    }
    match code.retry() {
        Retry::After(_) => drop(response.insert_header(("x-should-retry", "true"))),
        Retry::Never => drop(response.insert_header(("x-should-retry", "false"))),
        Retry::Perhaps => {}
    }
    if code.status() == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="berth""#));
    }
    if !failure.methods().is_empty() {
        let methods: Vec<_> = failure.methods().iter().map(Method::as_str).collect();
        response.insert_header((header::ALLOW, methods.join(", ")));
    }
    match form {
        Form::OpenAi => openai(failure, &mut response),
        Form::Oip => response.json(oip::ErrorBody {
            error: failure.detail().to_owned(),
        }),
        Form::Problem => problem(failure, request, &mut response),
    }
}

/// Whether the caller asks for problem details by name.
fn wants_problem(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .filter_map(|accept| accept.to_str().ok())
        .flat_map(|accept| accept.split(','))
        .filter_map(|media| media.split(';').next())
        .any(|media| media.trim().eq_ignore_ascii_case(problem::CONTENT_TYPE))
}

/// At least one second, rounded up, so that nobody comes too early.
fn whole_seconds(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.max(1).to_string()
}

fn openai(failure: &Failure, response: &mut HttpResponseBuilder) -> HttpResponse {
    let code = failure.code();
    response.json(openai::ErrorBody {
        error: openai::ErrorObject {
            message: failure.detail().to_owned(),
            kind: code.openai_type().to_owned(),
            param: failure.fields().first().map(|field| dotted(&field.pointer)),
            code: Some(code.as_str().to_owned()),
        },
    })
}

fn problem(failure: &Failure, request: RequestId, response: &mut HttpResponseBuilder) -> HttpResponse {
    let code = failure.code();
    let body = response.json(problem::Problem {
        kind: format!("/errors/{}", code.as_str()),
        title: code.title().to_owned(),
        status: code.status().as_u16(),
        detail: failure.detail().to_owned(),
        instance: request.to_string(),
        code: code.as_str().to_owned(),
        errors: failure.fields().to_vec(),
        retry_after_ms: failure
            .wait()
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    });
    with_content_type(body, problem::CONTENT_TYPE)
}

fn with_content_type(mut response: HttpResponse, content_type: &'static str) -> HttpResponse {
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON pointer as the OpenAI API writes it: `/input/2/name` is `input[2].name`.
fn dotted(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .fold(String::new(), |mut path, part| {
            if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
                path.push('[');
                path.push_str(&part);
                path.push(']');
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&part);
            }
            path
        })
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use berth_domain::clock::SystemClock;
    use berth_domain::random::SeededRandom;

    use super::*;
    use crate::errors::Code;

    fn request() -> RequestId {
        RequestId::new(&SystemClock, &SeededRandom::new(1))
    }

    async fn body(failure: &Failure, path: &str, headers: &HeaderMap) -> serde_json::Value {
        let response = render(failure, Form::of(path, headers), request());
        let bytes = to_bytes(response.into_body()).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[actix_web::test]
    async fn each_protocol_gets_its_own_body() {
        let failure = Failure::new(Code::InvalidValue, "No.").field("/input/2", "not a text");
        let none = HeaderMap::new();
        let openai = body(&failure, "/v1/embeddings", &none).await;
        assert_eq!(openai["error"]["code"], "invalid_value");
        assert_eq!(openai["error"]["param"], "input[2]");
        assert_eq!(openai["error"]["type"], "invalid_request_error");
        let oip = body(&failure, "/v2/models/m/infer", &none).await;
        assert_eq!(oip, serde_json::json!({"error": "No."}));
        let native = body(&failure, "/api/v1/auth/sign-in", &none).await;
        assert_eq!(native["errors"][0]["pointer"], "/input/2");
        assert_eq!(native["status"], 400);
        assert_eq!(native["type"], "/errors/invalid_value");
    }

    #[actix_web::test]
    async fn problem_details_are_given_everywhere_when_asked_for() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, Application/Problem+JSON;q=0.9"),
        );
        for path in ["/v1/models", "/v2/models/m/infer", "/elsewhere"] {
            let body = body(&Failure::of(Code::NotFound), path, &headers).await;
            assert_eq!(body["code"], "not_found", "{path}");
        }
    }

    #[test]
    fn waits_are_told_in_whole_seconds_and_in_milliseconds() {
        let failure = Failure::of(Code::Unavailable).retry_after(Duration::from_millis(1200));
        let response = render(&failure, Form::OpenAi, request());
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("retry-after"), Some("2"));
        assert_eq!(header("retry-after-ms"), Some("1200"));
        assert_eq!(header("x-should-retry"), Some("true"));
    }

    #[test]
    fn hopeless_requests_are_not_to_be_repeated() {
        let response = render(&Failure::of(Code::NotFound), Form::OpenAi, request());
        assert_eq!(
            response
                .headers()
                .get("x-should-retry")
                .map(HeaderValue::as_bytes),
            Some(b"false".as_slice())
        );
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn pointers_become_dotted_paths() {
        assert_eq!(dotted("/inputs/0/shape/1"), "inputs[0].shape[1]");
        assert_eq!(dotted("/a~1b/c~0d"), "a/b.c~d");
        assert_eq!(dotted(""), "");
    }
}
