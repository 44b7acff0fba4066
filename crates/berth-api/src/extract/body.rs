//! Bodies: collected once, within a limit that holds before and while they arrive.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::errors::{Code, Failure};
use crate::extract::{json, query};
use crate::frame::Frame;

/// A body that was not read yet. Handlers read it after the caller has been checked, so that strangers cannot make the
/// server hold their bytes.
pub(crate) struct Body {
    payload: Payload,
    declared: Option<u64>,
    limit: u64,
    timeout: Duration,
}

impl Body {
    fn new(request: &HttpRequest, payload: &mut Payload, limit: u64) -> Result<Self, Failure> {
        refuse_encoding(request.headers())?;
        Ok(Self {
            payload: payload.take(),
            declared: declared_length(request.headers()),
            limit,
            timeout: Frame::of(request)?.options().body_timeout,
        })
    }

    /// The whole body.
    pub(crate) async fn read(self) -> Result<Bytes, Failure> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.collect()).await {
            Ok(body) => body,
            Err(_) => Err(Failure::new(
                Code::BodyTimeout,
                format!("The body did not arrive within {} seconds.", timeout.as_secs()),
            )),
        }
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
        if first.len() == declared {
            return Ok(first);
        }
        let mut body = BytesMut::with_capacity(declared.max(first.len()));
        let mut next = Some(Ok(first));
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|error| incomplete(&error))?;
            if body.len() as u64 + chunk.len() as u64 > self.limit {
                return Err(too_large(self.limit));
            }
            body.extend_from_slice(&chunk);
            next = self.payload.next().await;
        }
        Ok(body.freeze())
    }
}

fn incomplete(source: &actix_web::error::PayloadError) -> Failure {
    Failure::of(Code::BodyIncomplete).source(source.to_string())
}

pub(super) fn too_large(limit: u64) -> Failure {
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
        json::parse(&self.body.read().await?)
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

/// A form (`application/x-www-form-urlencoded`) that becomes a `T`.
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
            let body = Body::new(request, payload, frame.options().body_limits.control)?;
            Ok(Self {
                body,
                kind: PhantomData,
            })
        }))
    }
}
