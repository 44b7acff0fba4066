//! Uploads: a raw body that streams through, with a name and perhaps a digest.

use std::future::{Ready, ready};
use std::io;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use berth_domain::digest::Sha256;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use utoipa::IntoParams;

use crate::errors::{Code, Failure};
use crate::extract::body::{declared_length, refuse_encoding, too_large};
use crate::extract::caller::Recheck;
use crate::extract::{json, query};
use crate::frame::Frame;

/// The name of an uploaded file.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadQuery {
    /// The name of the file, such as `model.onnx`, `model.zip` or `model.tar.gz`; or give it in `content-disposition`.
    #[param(nullable = false)]
    filename: Option<String>,
}

/// A body that is on its way.
pub(crate) struct Upload {
    /// The name of the file, if it was given.
    pub(crate) file_name: Option<String>,
    /// What the bytes must have as their digest, if it was given.
    pub(crate) digest: Option<Sha256>,
    /// The most bytes that are taken.
    pub(crate) limit: u64,
    /// The check of the caller, to be made once more when the bytes are there.
    pub(crate) recheck: Recheck,
    payload: Payload,
    stall: Duration,
    whole: Duration,
}

impl Upload {
    /// The bytes. Ends with an error when the body stands still, takes too long, breaks off, or is larger than the limit.
    pub(crate) fn bytes(self) -> impl Stream<Item = io::Result<Bytes>> {
        in_time(self.payload, self.limit, self.stall, self.whole)
    }

    fn new(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Failure> {
        let options = Frame::of(request)?.options();
        let headers = request.headers();
        refuse_encoding(headers)?;
        accept_raw(headers)?;
        let limit = options.body_limits.upload;
        if declared_length(headers).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let UploadQuery { filename } = query::parse(request.query_string())?;
        Ok(Self {
            file_name: filename.or_else(|| disposition_name(headers)),
            digest: digest(headers)?,
            limit,
            recheck: Recheck::of(request),
            payload: payload.take(),
            stall: options.upload_stall_timeout,
            whole: options.upload_timeout,
        })
    }
}

/// What `payload` brings, up to `limit` bytes, with pauses of `stall` at most, within `whole`.
fn in_time(
    payload: Payload,
    limit: u64,
    stall: Duration,
    whole: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let until = Instant::now() + whole;
    stream::try_unfold((payload, 0), move |(mut payload, seen)| async move {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let chunk = match timeout(left.min(stall), payload.next()).await {
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(None) => return Ok(None),
            Ok(Some(chunk)) => chunk.map_err(|error| cut_off(&error))?,
        };
        let seen = seen + chunk.len() as u64;
        if seen > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some((chunk, (payload, seen))))
    })
}

fn cut_off(error: &actix_web::error::PayloadError) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string())
}

impl FromRequest for Upload {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Self::new(request, payload))
    }
}

/// Uploads are raw bodies; a form or JSON is a misunderstanding that should not end in a strange refusal of the file.
fn accept_raw(headers: &HeaderMap) -> Result<(), Failure> {
    match json::media_type(headers) {
        Some(kind)
            if kind.starts_with("multipart/") || kind.starts_with("text/") || kind == "application/json" =>
        {
            Err(Failure::new(
                Code::ContentTypeUnsupported,
                "An upload is the file itself, with `content-type: application/octet-stream`.",
            ))
        }
        _ => Ok(()),
    }
}

/// The `filename` of the header `content-disposition` (RFC 6266), without its extended form.
fn disposition_name(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_DISPOSITION)?.to_str().ok()?;
    text.split(';').find_map(|part| {
        let value = part.trim().strip_prefix("filename=")?.trim();
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some(inner.unwrap_or(value).to_owned())
    })
}

/// The SHA-256 in `repr-digest` or `content-digest` (RFC 9530); other algorithms are passed over.
fn digest(headers: &HeaderMap) -> Result<Option<Sha256>, Failure> {
    let entries = ["repr-digest", "content-digest"]
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for entry in entries {
        if let Some(value) = entry.trim().strip_prefix("sha-256=") {
            return sha256(value).map(Some).ok_or_else(|| {
                Failure::new(
                    Code::HeaderInvalid,
                    "A digest has the form `sha-256=:…:`, with the 32 bytes in base64.",
                )
            });
        }
    }
    Ok(None)
}

fn sha256(value: &str) -> Option<Sha256> {
    let inner = value.trim().strip_prefix(':')?.strip_suffix(':')?;
    let bytes = BASE64_STANDARD.decode(inner).ok()?;
    bytes.try_into().ok().map(Sha256::from_bytes)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("a header"),
        );
        headers
    }

    /// The kind of error that `body` ends with.
    async fn ending(
        body: impl Stream<Item = Result<Bytes, actix_web::error::PayloadError>> + 'static,
        limit: u64,
        stall: Duration,
        whole: Duration,
    ) -> Option<io::ErrorKind> {
        let payload = Payload::Stream {
            payload: body.boxed_local(),
        };
        let mut bytes = std::pin::pin!(in_time(payload, limit, stall, whole));
        loop {
            match bytes.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(error.kind()),
                None => return None,
            }
        }
    }

    #[actix_web::test]
    async fn upload_that_comes_slowly_and_without_end_is_cut_off() {
        const SOON: Duration = Duration::from_millis(50);
        const LATE: Duration = Duration::from_hours(1);
        // Never still, and never at its end.
        let endless = || {
            stream::repeat_with(|| Ok(Bytes::from_static(b"drip"))).then(|chunk| async {
                tokio::task::yield_now().await;
                chunk
            })
        };
        let whole = ending(endless(), u64::MAX, LATE, SOON).await;
        assert_eq!(whole, Some(io::ErrorKind::TimedOut));
        let still = ending(stream::pending(), u64::MAX, SOON, LATE).await;
        assert_eq!(still, Some(io::ErrorKind::TimedOut));
        let large = ending(endless(), 1_000, LATE, LATE).await;
        assert_eq!(large, Some(io::ErrorKind::FileTooLarge));
        assert_eq!(ending(endless().take(3), 12, LATE, LATE).await, None);
    }

    #[test]
    fn digest_is_read_among_others() {
        // RFC 9530, appendix D: the digest of `{"hello": "world"}` and a line feed.
        let value = "sha-512=:AAAA:, sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        for name in ["repr-digest", "content-digest"] {
            assert_eq!(
                digest(&headers(name, value)).expect("read"),
                Some(Sha256::of(b"{\"hello\": \"world\"}\n"))
            );
        }
        assert_eq!(digest(&HeaderMap::new()).expect("read"), None);
        for bad in ["sha-256=RK/0", "sha-256=:RK/0:", "sha-256=::", "sha-256=:***:"] {
            let refused = digest(&headers("repr-digest", bad)).expect_err(bad);
            assert_eq!(refused.code(), Code::HeaderInvalid);
        }
    }

    #[test]
    fn name_of_the_file_is_read_with_and_without_quotes() {
        for (value, name) in [
            (r#"attachment; filename="model.onnx""#, Some("model.onnx")),
            ("attachment; filename=model.zip", Some("model.zip")),
            ("attachment", None),
        ] {
            assert_eq!(
                disposition_name(&headers("content-disposition", value)).as_deref(),
                name
            );
        }
    }

    #[test]
    fn forms_and_json_are_no_uploads() {
        for (kind, taken) in [
            ("application/octet-stream", true),
            ("application/zip", true),
            ("multipart/form-data; boundary=x", false),
            ("application/json", false),
        ] {
            assert_eq!(
                accept_raw(&headers("content-type", kind)).is_ok(),
                taken,
                "{kind}"
            );
        }
    }
}
