//! The outermost layer: gives each request its id, survives its panic, drops it when its client has gone, and writes its log
//! line and metrics.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError};
use berth_domain::id::RequestId;
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::errors::{Audience, Failure, Form};
use crate::frame::Frame;
use crate::layers::departure::Departure;
use crate::layers::failures::render_error;
use crate::layers::record::Record;
use crate::request::{RequestContext, Trace, client_address, wait};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

/// Runs the request inside; see the module.
pub(crate) async fn observe(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let context = context(&request)?;
    let record = Record::begin(&request, context.clone());
    // By the path alone: whoever asks for problem details has come to the same surface.
    let openai = Audience::of(request.path()) == Audience::OpenAi;
    request.extensions_mut().insert(context.clone());
    answer_head_like_get(&mut request);

    let departure = Departure::watch(&mut request);
    let span = tracing::info_span!("request", request.id = %context.id());
    let answering = AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .instrument(span.clone());
    let outcome = tokio::select! {
        biased;
        outcome = answering => outcome,
        // The record goes with the rest, and tells so. Nobody reads what is answered.
        () = departure.happens() => return Err(Ready(RefCell::default(), StatusCode::BAD_REQUEST).into()),
    };
    let _entered = span.enter();

    let mut response = match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(ready(render_error(&error, &context), &context, openai, record)),
        Err(panic) => return Err(panicked(panic.as_ref(), &context, openai, record)),
    };
    tag(response.headers_mut(), &context, openai);
    record.end(response.status(), response.request().match_pattern().as_deref());
    Ok(response)
}

fn context(request: &ServiceRequest) -> Result<RequestContext, Failure> {
    let frame = Frame::of(request.request())?;
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    Ok(RequestContext::new(
        RequestId::new(frame.clock(), frame.random()),
        client_address(
            peer,
            request
                .headers()
                .get_all("x-forwarded-for")
                .map(HeaderValue::as_bytes),
            &frame.options().trusted_proxies,
        ),
        Trace::begin(|name| request.headers().get(name).and_then(|value| value.to_str().ok())),
        wait(
            request
                .headers()
                .get_all("prefer")
                .filter_map(|value| value.to_str().ok()),
        ),
        Form::of(request.path(), request.headers()),
    ))
}

/// Every address that answers GET answers HEAD: the same head, and the connection leaves out the body.
fn answer_head_like_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
}

fn tag(headers: &mut HeaderMap, context: &RequestContext, openai: bool) {
    if let Ok(id) = HeaderValue::from_str(&context.id().to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    if openai {
        let elapsed = context.started().elapsed().as_millis();
        headers.insert(
            PROCESSING_MS,
            HeaderValue::from(u64::try_from(elapsed).unwrap_or(u64::MAX)),
        );
    }
}

/// An answer that is ready although the request is gone.
struct Ready(RefCell<Option<HttpResponse>>, StatusCode);

impl fmt::Debug for Ready {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an answer with status {}", self.1)
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, out)
    }
}

impl ResponseError for Ready {
    fn status_code(&self) -> StatusCode {
        self.1
    }

    fn error_response(&self) -> HttpResponse {
        self.0.take().unwrap_or_else(|| HttpResponse::new(self.1))
    }
}

fn ready(mut response: HttpResponse, context: &RequestContext, openai: bool, record: Record) -> Error {
    tag(response.headers_mut(), context, openai);
    let status = response.status();
    record.end(status, None);
    Ready(RefCell::new(Some(response)), status).into()
}

/// A panic is a bug: it is logged, and the caller learns that something went wrong and nothing else.
fn panicked(panic: &(dyn Any + Send), context: &RequestContext, openai: bool, record: Record) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    let failure = Failure::internal(format!("a handler panicked: {message}")).into();
    ready(render_error(&failure, context), context, openai, record)
}
