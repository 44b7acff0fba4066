//! Browsers of other origins (the Fetch standard's CORS protocol).
//!
//! A project lists the web origins from which its keys may be used on `/v1` and `/v2`; the operator lists origins that
//! may call everything. A preflight carries no key, so it is answered for every origin that any project lists; the real
//! request is then held to the origins of its own project. Cookies are never used, so credentials are never allowed.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};
use berth_auth::authenticator::LookUpError;

use crate::errors::Audience;
use crate::frame::Frame;
use crate::request::RequestContext;
use crate::state::State;

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const EXPOSED: &str = "x-request-id, openai-processing-ms, retry-after, retry-after-ms, x-should-retry, \
    idempotency-replayed, inference-header-content-length";
/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Runs the request inside; see the module.
pub(crate) async fn cors(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.call(request).await;
    };
    let frame = Frame::of(request.request())?.clone();
    let state = State::of(request.request()).ok().cloned();
    let context = RequestContext::of(request.request())?;
    let inference = Audience::of(request.path()) != Audience::Native;
    let text = origin.to_str().unwrap_or_default().to_owned();

    if is_preflight(&request) {
        let admitted = by_operator(&frame, &text) || (inference && by_any_project(state, &text).await);
        let answer = preflight(request.headers(), admitted.then_some(&origin));
        return Ok(request.into_response(answer));
    }
    let mut response = next.call(request).await?;
    let facts = context.facts();
    let admitted = by_operator(&frame, &text)
        || (inference
            && match facts.key {
                Some(_) => listed(&facts.origins, &text),
                // Nobody's key was recognized: the page should be able to read why.
                None => by_any_project(state, &text).await,
            });
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if admitted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
    Ok(response)
}

fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn by_operator(frame: &Frame, origin: &str) -> bool {
    listed(&frame.options().allowed_origins, origin)
}

fn listed(origins: &[String], origin: &str) -> bool {
    origins.iter().any(|listed| listed == "*" || listed == origin)
}

fn preflight(request: &HeaderMap, admitted: Option<&HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::NO_CONTENT);
    response.insert_header((
        header::VARY,
        "origin, access-control-request-method, access-control-request-headers",
    ));
    if let Some(origin) = admitted {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS));
        response.insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
        }
    }
    response.finish()
}

/// Whether any project of any organization lists `origin`. When that cannot be told, the page is kept out.
async fn by_any_project(state: Option<State>, origin: &str) -> bool {
    let Some(state) = state else { return false };
    match state.services().authenticator.origin_is_listed(origin).await {
        Ok(listed) => listed,
        // Strangers can bring this about as often as they like.
        Err(LookUpError::Busy) => false,
        Err(error) => {
            tracing::warn!(%error, "whether a web origin is listed cannot be told");
            false
        }
    }
}
