//! Bodies: collected once, within a limit that holds before and while they arrive.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use berth_domain::digest::Sha256;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::errors::{Code, Failure};
use crate::extract::caller::Recheck;
use crate::extract::memory::BodyMemory;
use crate::extract::{json, query};
use crate::frame::Frame;

/// The most bytes of a body that a stranger may send, such as who signs in.
pub(crate) const STRANGERS_LIMIT: u64 = 16 * 1024;

/// A body that was not read yet. Handlers read it after the caller has been checked, so that strangers cannot make the
/// server hold their bytes; when it is there, the caller is checked once more.
pub(crate) struct Body {
    payload: Payload,
    declared: Option<u64>,
    limit: u64,
    timeout: Duration,
    memory: BodyMemory,
    recheck: Recheck,
}

impl Body {
    fn new(request: &HttpRequest, payload: &mut Payload, limit: u64) -> Result<Self, Failure> {
        refuse_encoding(request.headers())?;
        let frame = Frame::of(request)?;
        Ok(Self {
            payload: payload.take(),
            declared: declared_length(request.headers()),
            limit,
            timeout: frame.options().body_timeout,
            memory: frame.body_memory().clone(),
            recheck: Recheck::of(request),
        })
    }

    /// The whole body. Fails when its caller may not do any more what they might before it came in.
    pub(crate) async fn read(self) -> Result<Bytes, Failure> {
        let (timeout, recheck) = (self.timeout, self.recheck.clone());
        let Ok(collected) = tokio::time::timeout(timeout, self.collect()).await else {
            return Err(Failure::new(
                Code::BodyTimeout,
                format!("The body did not arrive within {} seconds.", timeout.as_secs()),
            ));
        };
        let body = collected?;
        recheck.run().await?;
        Ok(body)
    }

    async fn collect(mut self) -> Result<Bytes, Failure> {
        if self.declared.is_some_and(|length| length > self.limit) {
            return Err(too_large(self.limit));
        }
        let first = match self.payload.next().await {
            None => return Ok(Bytes::new()),
            Some(chunk) => chunk.map_err(|error| incomplete(&error))?,
        };
        let declared = self
            .declared
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(0);
        let mut share = self.memory.share();
        share.hold(first.len()).await?;
        if first.len() == declared {
            return Ok(share.with(first));
        }
        let mut body = BytesMut::with_capacity(declared.max(first.len()));
        let mut next = Some(Ok(first));
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|error| incomplete(&error))?;
            if body.len() as u64 + chunk.len() as u64 > self.limit {
                return Err(too_large(self.limit));
            }
            share.hold(body.len() + chunk.len()).await?;
            body.extend_from_slice(&chunk);
            next = self.payload.next().await;
        }
        Ok(share.with(body.freeze()))
    }
}

fn incomplete(source: &actix_web::error::PayloadError) -> Failure {
    Failure::of(Code::BodyIncomplete).source(source.to_string())
}

/// A body that is larger than `limit` bytes.
pub(crate) fn too_large(limit: u64) -> Failure {
    Failure::new(
        Code::BodyTooLarge,
        format!("The body is larger than the {limit} bytes that this address takes."),
    )
}

pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Compressed requests are not taken: what they unpack to could not be bounded before it is there.
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(()),
        Some(_) => Err(Failure::of(Code::ContentEncodingUnsupported)),
    }
}

/// The body of an inference request: bytes that the runner understands.
pub(crate) struct InferenceBody(Body);

impl InferenceBody {
    /// The whole body.
    pub(crate) async fn read(self) -> Result<Bytes, Failure> {
        self.0.read().await
    }
}

impl FromRequest for InferenceBody {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Frame::of(request).and_then(|frame| {
            json::accept_lenient(request.headers())?;
            Body::new(request, payload, frame.options().body_limits.inference).map(Self)
        }))
    }
}

/// A JSON body that becomes a `T`.
pub(crate) struct JsonBody<T> {
    body: Body,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonBody<T> {
    /// The body as a `T`; a field that does not fit is named.
    pub(crate) async fn read(self) -> Result<T, Failure> {
        json::parse_kept(&self.body.read().await?)
    }

    /// The same, with the digest of the bytes as they came, in hexadecimal digits.
    pub(crate) async fn read_with_digest(self) -> Result<(T, String), Failure> {
        let bytes = self.body.read().await?;
        Ok((json::parse_kept(&bytes)?, Sha256::of(&bytes).to_string()))
    }
}

impl<T> FromRequest for JsonBody<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Frame::of(request).and_then(|frame| {
            json::accept_strict(request.headers())?;
            let body = Body::new(request, payload, frame.options().body_limits.control)?;
            Ok(Self {
                body,
                kind: PhantomData,
            })
        }))
    }
}

/// A JSON body that becomes a `T`, from somebody who is not known yet: a short one.
pub(crate) struct StrangersBody<T>(JsonBody<T>);

impl<T: DeserializeOwned> StrangersBody<T> {
    /// The body as a `T`; a field that does not fit is named.
    pub(crate) async fn read(self) -> Result<T, Failure> {
        self.0.read().await
    }
}

impl<T> FromRequest for StrangersBody<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = JsonBody::from_request(request, payload).into_inner();
        ready(body.map(|mut json| {
            json.body.limit = json.body.limit.min(STRANGERS_LIMIT);
            Self(json)
        }))
    }
}

/// A form (`application/x-www-form-urlencoded`) that becomes a `T`, from somebody who is not known yet: a short one.
pub(crate) struct FormBody<T> {
    body: Body,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> FormBody<T> {
    /// The form as a `T`.
    pub(crate) async fn read(self) -> Result<T, Failure> {
        let bytes = self.body.read().await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::of(Code::InvalidJson))?;
        query::form(text)
    }
}

impl<T> FromRequest for FormBody<T> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Frame::of(request).and_then(|frame| {
            json::accept_form(request.headers())?;
            let limit = frame.options().body_limits.control.min(STRANGERS_LIMIT);
            let body = Body::new(request, payload, limit)?;
            Ok(Self {
                body,
                kind: PhantomData,
            })
        }))
    }
}
