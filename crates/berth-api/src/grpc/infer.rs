//! Running models: one request, or one after the other. The message goes to the runner as it came; only where it wants to go is
//! read here.

use std::sync::{Arc, Mutex, PoisonError};

use berth_domain::access::can;
use berth_serving::inference::Operation;
use berth_wire::oip::grpc::Routing;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::Response;
use hyper::body::Incoming;
use prost::encoding::{self, WireType};
use tokio_util::sync::CancellationToken;

use super::answers::{self, Body};
use super::call::Call;
use super::caller::Allowed;
use super::messages::Messages;
use super::methods::{Context, version};
use super::status::trailers;
use crate::errors::{Code, Failure};
use crate::frame::Frame;
use crate::inference::{Request, Wanted, run};
use crate::state::State;

/// How many requests of one stream are under way at a time. Their answers come in the order of the requests.
const AT_ONCE: usize = 8;

/// Runs a model on a `ModelInferRequest`; the answer is a `ModelInferResponse`.
pub(super) async fn one(
    context: &Context<'_>,
    caller: &Allowed<'_, can::InferenceRun>,
    message: Bytes,
) -> Result<Bytes, Failure> {
    let routing = Routing::of(&message)
        .map_err(|why| Failure::new(Code::InvalidValue, format!("The message cannot be read: {why}.")))?;
    context.call.calls(routing.model_name);
    let request = Request {
        id: context.call.id,
        started: context.call.started,
        patience: context.call.patience,
        trace: &context.call.trace,
        wait: std::time::Duration::ZERO,
    };
    let wanted = Wanted {
        operation: Operation::OipGrpcInfer,
        model: routing.model_name,
        version: version(routing.model_name, routing.model_version)?,
        body: message.clone(),
        header_bytes: None,
    };
    let inference = &caller.services.inference;
    let answer = run(inference, context.frame, &caller.key, &request, wanted).await?;
    Ok(answer.body)
}

/// What a stream works with for as long as it lasts.
#[derive(Clone)]
struct Streaming {
    frame: Frame,
    state: State,
    call: Arc<Call>,
    stop: CancellationToken,
    /// Why it ended, unless the caller had no more.
    why: Arc<Mutex<Option<Failure>>>,
}

/// Answers a stream of requests, each as if it had come alone, until the caller has no more or `stop`. Fails when the caller may
/// not call; what is wrong with one request is told in its answer.
pub(super) async fn stream_of(
    context: &Context<'_>,
    call: &Arc<Call>,
    body: Incoming,
    stop: CancellationToken,
) -> Result<Response<Body>, Failure> {
    Allowed::<can::InferenceRun>::check(context.state, context.call).await?;
    let messages = context.messages(body, context.frame.options().body_limits.inference);
    let streaming = Streaming {
        frame: context.frame.clone(),
        state: context.state.clone(),
        call: Arc::clone(call),
        stop,
        why: Arc::default(),
    };
    let ending = streaming.clone();
    let answers = requests(messages, streaming.clone())
        .map(move |message| streaming.clone().answer(message))
        .buffered(AT_ONCE);
    let end = async move {
        let why = ending.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        ending.call.end(why.as_ref());
        trailers(why.as_ref())
    };
    Ok(answers::stream(answers, end))
}

/// The requests of a stream.
fn requests(messages: Messages, streaming: Streaming) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((messages, streaming), |(mut messages, streaming)| async move {
        let next = tokio::select! {
            biased;
            () = streaming.stop.cancelled() => {
                Err(Failure::new(Code::Overloaded, "This server ends; call again, and another one answers."))
            }
            next = messages.next() => next,
        };
        match next {
            Ok(message) => message.map(|message| (message, (messages, streaming))),
            Err(failure) => {
                *streaming.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                None
            }
        }
    })
}

impl Streaming {
    /// The `ModelStreamInferResponse` to one request.
    async fn answer(self, message: Bytes) -> Bytes {
        let call = self.call.part(&self.frame);
        let context = Context {
            frame: &self.frame,
            state: &self.state,
            call: &call,
        };
        let answered = async {
            // The key may have been revoked since the stream began.
            let caller = Allowed::check(&self.state, &call).await?;
            one(&context, &caller, message.clone()).await
        };
        match answered.await {
            Ok(answer) => {
                call.end(None);
                wrapped(2, &answer)
            }
            Err(failure) => {
                call.end(Some(&failure));
                let id = Routing::of(&message).map_or("", |routing| routing.id);
                let mut answer = wrapped(1, failure.detail().as_bytes()).to_vec();
                // Which request it was.
                answer.extend_from_slice(&wrapped(2, &wrapped(3, id.as_bytes())));
                answer.into()
            }
        }
    }
}

/// A message with this one field.
fn wrapped(number: u32, bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    encoding::encode_key(number, WireType::LengthDelimited, &mut out);
    encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out.into()
}

#[cfg(test)]
mod tests {
    use berth_wire::oip::grpc::inference::{ModelInferResponse, ModelStreamInferResponse};
    use prost::Message as _;

    use super::*;

    #[test]
    fn answers_of_a_stream_are_messages() {
        let answer = ModelInferResponse {
            id: "r".to_owned(),
            ..ModelInferResponse::default()
        };
        let read = ModelStreamInferResponse::decode(wrapped(2, &answer.encode_to_vec())).expect("a message");
        assert_eq!(read.infer_response, Some(answer));
        let read = ModelStreamInferResponse::decode(wrapped(1, b"no")).expect("a message");
        assert_eq!(read.error_message, "no");
    }
}
