//! All layers together, around endpoints made for the purpose.

use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::dev::Service as _;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, HttpResponse, web};
use berth_domain::clock::SystemClock;
use berth_domain::random::SystemRandom;
use bytes::Bytes;

use crate::extract::{InferenceBody, JsonBody};
use crate::frame::Frame;
use crate::options::{BodyLimits, Options};
use crate::server::layered;

async fn panics() -> HttpResponse {
    let parts: Vec<u8> = Vec::new();
    assert!(!parts.is_empty(), "a secret of the server");
    HttpResponse::Ok().finish()
}

async fn large() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body("7".repeat(100_000))
}

async fn count(body: InferenceBody) -> Result<String, crate::errors::Failure> {
    Ok(body.read().await?.len().to_string())
}

async fn object(
    body: JsonBody<serde_json::Map<String, serde_json::Value>>,
) -> Result<String, crate::errors::Failure> {
    Ok(body.read().await?.len().to_string())
}

fn frame() -> Frame {
    let options = Options {
        body_limits: BodyLimits {
            control: 100,
            inference: 1000,
            upload: 1000,
        },
        ..Options::default()
    };
    Frame::new(
        options,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        Bytes::from_static(b"{}"),
    )
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn ask(request: TestRequest) -> Answer {
    let endpoints = App::new()
        .route("/panics", web::get().to(panics))
        .route("/v1/panics", web::get().to(panics))
        .route("/large", web::get().to(large))
        .route("/v1/count", web::post().to(count))
        .route("/object", web::post().to(object))
        .route("/healthz", web::get().to(HttpResponse::Ok));
    let service = init_service(layered(endpoints, frame())).await;
    let response = match service.call(request.to_request()).await {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: to_bytes(response.into_body()).await.expect("a body"),
    }
}

#[actix_web::test]
async fn panic_becomes_an_error_that_tells_nothing() {
    for path in ["/panics", "/v1/panics"] {
        let answer = ask(TestRequest::get().uri(path)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains("internal") && !text.contains("secret"), "{text}");
        assert!(
            answer
                .header("x-request-id")
                .is_some_and(|id| id.starts_with("req_"))
        );
    }
}

#[actix_web::test]
async fn unknown_address_and_method_are_told_apart() {
    let unknown = ask(TestRequest::get().uri("/nothing")).await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].clone()),
        (StatusCode::NOT_FOUND, "route_not_found".into())
    );
    let method = ask(TestRequest::delete().uri("/healthz")).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.header("allow"), Some("GET, HEAD"));
    assert_eq!(method.header("content-type"), Some("application/problem+json"));
}

#[actix_web::test]
async fn error_has_the_form_of_the_surface() {
    let openai = ask(TestRequest::get().uri("/v1/nothing")).await;
    assert_eq!(openai.json()["error"]["code"], "route_not_found");
    assert!(openai.header("openai-processing-ms").is_some());
    let oip = ask(TestRequest::get().uri("/v2/nothing")).await;
    assert!(oip.json()["error"].is_string());
    assert!(oip.header("openai-processing-ms").is_none());
}

#[actix_web::test]
async fn time_is_told_by_the_surface_whatever_form_errors_have() {
    for (path, told) in [
        ("/v1/nothing", true),
        ("/v1/panics", true),
        ("/v2/nothing", false),
        ("/nothing", false),
    ] {
        let request = TestRequest::get().uri(path);
        let answer = ask(request.insert_header((header::ACCEPT, "application/problem+json"))).await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.header("openai-processing-ms").is_some(), told, "{path}");
    }
}

#[actix_web::test]
async fn id_of_the_caller_is_not_taken_over() {
    let answer = ask(TestRequest::get()
        .uri("/healthz")
        .insert_header(("x-request-id", "mine")))
    .await;
    assert_ne!(answer.header("x-request-id"), Some("mine"));
}

#[actix_web::test]
async fn head_is_answered_like_get() {
    let answer = ask(TestRequest::default().method(Method::HEAD).uri("/healthz")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[actix_web::test]
async fn large_answer_is_packed_for_those_who_take_it() {
    let plain = ask(TestRequest::get().uri("/large")).await;
    assert_eq!(
        (plain.body.len(), plain.header("content-encoding")),
        (100_000, None)
    );
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let packed = ask(TestRequest::get()
        .uri("/large")
        .insert_header((header::ACCEPT_ENCODING, "gzip")))
    .await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 1_000);
}

#[actix_web::test]
async fn body_over_the_limit_is_refused_by_its_declared_length_and_by_its_bytes() {
    let declared = TestRequest::post()
        .uri("/v1/count")
        .insert_header((header::CONTENT_LENGTH, "1001"));
    let answer = ask(declared).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["error"]["code"], "body_too_large");
    let sent = ask(TestRequest::post().uri("/v1/count").set_payload(vec![b'x'; 1001])).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    let whole = ask(TestRequest::post().uri("/v1/count").set_payload(vec![b'x'; 1000])).await;
    assert_eq!(
        (whole.status, whole.body),
        (StatusCode::OK, Bytes::from_static(b"1000"))
    );
}

#[actix_web::test]
async fn bad_bodies_are_told_apart() {
    let json = || (header::CONTENT_TYPE, "application/json");
    for (body, headers, status, code) in [
        (&b"{}"[..], vec![json()], 200, ""),
        (b"{", vec![json()], 400, "invalid_json"),
        (b"[]", vec![json()], 400, "invalid_type"),
        (b"\xff", vec![json()], 400, "invalid_json"),
        (b"{}", vec![], 415, "content_type_unsupported"),
        (
            b"{}",
            vec![(header::CONTENT_TYPE, "text/plain")],
            415,
            "content_type_unsupported",
        ),
        (
            b"{}",
            vec![json(), (header::CONTENT_ENCODING, "gzip")],
            415,
            "content_encoding_unsupported",
        ),
        (&[b' '; 101], vec![json()], 413, "body_too_large"),
    ] {
        let mut request = TestRequest::post().uri("/object").set_payload(body.to_vec());
        for header in headers {
            request = request.append_header(header);
        }
        let answer = ask(request).await;
        assert_eq!(answer.status.as_u16(), status, "{body:?}");
        if status != 200 {
            assert_eq!(answer.json()["code"], code, "{body:?}");
        }
    }
}
