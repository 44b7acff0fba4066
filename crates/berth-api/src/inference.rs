//! Calling models: one way for every protocol.

use std::time::Duration;

use actix_web::HttpResponse;
use berth_serving::inference::{Answer, Call, Operation};
use berth_telemetry::metrics::names;
use bytes::Bytes;

use crate::errors::Failure;
use crate::extract::Calling;
use crate::frame::Frame;
use crate::request::RequestContext;

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
}

/// Calls the model and sends its answer on as it is. When the client goes away, this is dropped, and the runner's work
/// with it.
pub(crate) async fn call(
    caller: &Calling,
    frame: &Frame,
    context: &RequestContext,
    wanted: Wanted<'_>,
) -> Result<HttpResponse, Failure> {
    let request_id = context.id().to_string();
    let timeout = frame.options().inference_timeout;
    let call = Call {
        operation: wanted.operation,
        model: wanted.model,
        version: wanted.version,
        body: wanted.body,
        header_bytes: None,
        timeout: timeout.saturating_sub(context.started().elapsed()),
        request_id: &request_id,
        traceparent: context.traceparent().unwrap_or_default(),
    };
    let answer = caller.inference.infer(frame.clock(), caller.key(), call).await?;
    context.note(|facts| facts.model = Some(wanted.model.to_owned()));
    measure(&answer, context);
    Ok(HttpResponse::Ok()
        .content_type(answer.content_type)
        .body(answer.body))
}

fn measure(answer: &Answer, context: &RequestContext) {
    let queued = Duration::from_micros(answer.queue_us);
    let computed = Duration::from_micros(answer.compute_us);
    let overhead = context.started().elapsed().saturating_sub(queued + computed);
    metrics::histogram!(names::QUEUE_WAIT_SECONDS).record(queued.as_secs_f64());
    metrics::histogram!(names::COMPUTE_SECONDS).record(computed.as_secs_f64());
    metrics::histogram!(names::GATEWAY_OVERHEAD_SECONDS).record(overhead.as_secs_f64());
}
