//! Calling models: one way for every protocol.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use berth_domain::access::KeyIdentity;
use berth_domain::id::RequestId;
use berth_serving::inference::{Answer, Call, Inference, Operation};
use berth_telemetry::metrics::names;
use berth_wire::oip::HEADER_LENGTH;
use bytes::Bytes;

use crate::errors::Failure;
use crate::extract::Calling;
use crate::frame::Frame;
use crate::request::{RequestContext, Trace};

/// What a caller wants of which model.
pub(crate) struct Wanted<'a> {
    /// The protocol of the body.
    pub(crate) operation: Operation,
    /// The model, as the caller named it.
    pub(crate) model: &'a str,
    /// The number of the version, where the protocol has a place of its own for it.
    pub(crate) version: Option<u32>,
    /// The body as it came.
    pub(crate) body: Bytes,
    /// How many of its first bytes are JSON, where tensors follow in binary.
    pub(crate) header_bytes: Option<u64>,
}

/// Calls the model and sends its answer on as it is. When the client goes away, this is dropped, and the runner's work
/// with it.
pub(crate) async fn call(
    caller: &Calling,
    frame: &Frame,
    context: &RequestContext,
    wanted: Wanted<'_>,
) -> Result<HttpResponse, Failure> {
    let model = wanted.model;
    let request = Request {
        id: context.id(),
        started: context.started(),
        patience: frame.options().inference_timeout,
        trace: context.trace(),
        wait: context.wait().unwrap_or_default(),
    };
    let answer = run(&caller.inference, frame, caller.key(), &request, wanted).await?;
    context.note(|facts| facts.model = Some(model.to_owned()));
    let mut response = HttpResponse::Ok();
    if let Some(wait) = context.wait() {
        response.insert_header(("preference-applied", format!("wait={}", wait.as_secs())));
    }
    if let Some(bytes) = answer.header_bytes {
        response.insert_header((HEADER_LENGTH, bytes));
    }
    Ok(response.content_type(answer.content_type).body(answer.body))
}

/// What the runner is told of a request, whatever brought it.
pub(crate) struct Request<'a> {
    pub(crate) id: RequestId,
    /// When it arrived.
    pub(crate) started: Instant,
    /// How long it may take from then on.
    pub(crate) patience: Duration,
    pub(crate) trace: &'a Trace,
    /// How long it may be held until the model is loaded.
    pub(crate) wait: Duration,
}

/// Calls the model, and measures how that went.
pub(crate) async fn run(
    inference: &Inference,
    frame: &Frame,
    key: &KeyIdentity,
    request: &Request<'_>,
    wanted: Wanted<'_>,
) -> Result<Answer, Failure> {
    let request_id = request.id.to_string();
    let call = Call {
        operation: wanted.operation,
        model: wanted.model,
        version: wanted.version,
        body: wanted.body,
        header_bytes: wanted.header_bytes,
        timeout: request.patience.saturating_sub(request.started.elapsed()),
        admitted_in: request.started.elapsed(),
        request_id: &request_id,
        traceparent: request.trace.parent().unwrap_or_default(),
        span: request.trace.span(),
        wait: request.wait,
    };
    let answer = inference.infer(frame.clock(), key, call).await?;
    measure(&answer, request.started);
    Ok(answer)
}

fn measure(answer: &Answer, started: Instant) {
    let stages = answer.stages;
    let in_runner = [
        (names::PREPARE_SECONDS, stages.prepare_us),
        (names::QUEUE_WAIT_SECONDS, stages.queue_us),
        (names::BATCH_WAIT_SECONDS, stages.batch_wait_us),
        (names::COMPUTE_SECONDS, stages.compute_us),
        (names::POST_SECONDS, stages.post_us),
    ];
    let mut inside = Duration::ZERO;
    for (name, took) in in_runner {
        let took = Duration::from_micros(took);
        inside += took;
        metrics::histogram!(name).record(took.as_secs_f64());
    }
    let outside = started.elapsed().saturating_sub(inside);
    metrics::histogram!(names::GATEWAY_OVERHEAD_SECONDS).record(outside.as_secs_f64());
    metrics::histogram!(names::BATCH_REQUESTS).record(f64::from(stages.batch_requests));
}
