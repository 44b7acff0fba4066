//! Answers as gRPC writes them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

use super::messages::framed;
use super::status::trailers;
use crate::errors::Failure;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

fn with_head(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
        .headers_mut()
        .insert(ACCEPTED, HeaderValue::from_static("identity"));
    response
}

/// One message.
pub(super) fn message(message: Bytes) -> Response<Body> {
    let data = stream::iter(framed(message).map(|piece| Ok(Frame::data(piece))));
    let end = stream::iter([Ok(Frame::trailers(trailers(None)))]);
    with_head(BodyExt::boxed_unsync(StreamBody::new(data.chain(end))))
}

/// No message: the head tells why.
pub(super) fn refusal(failure: &Failure) -> Response<Body> {
    let mut response = with_head(Empty::new().boxed_unsync());
    response.headers_mut().extend(trailers(Some(failure)));
    response
}

/// Messages as they come, and what `end` gives when there are no more.
pub(super) fn stream(
    messages: impl Stream<Item = Bytes> + Send + 'static,
    end: impl Future<Output = HeaderMap> + Send + 'static,
) -> Response<Body> {
    let data = messages.flat_map(|message| stream::iter(framed(message).map(|piece| Ok(Frame::data(piece)))));
    let end = stream::once(async move { Ok(Frame::trailers(end.await)) });
    with_head(BodyExt::boxed_unsync(StreamBody::new(data.chain(end))))
}

/// To somebody who does not speak gRPC.
pub(super) fn foreign(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = status;
    response
}
