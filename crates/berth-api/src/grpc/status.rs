//! What gRPC tells of a call at its end.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::errors::{Code, Failure, Retry};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What gRPC's clients wait before they try again; below 0 they do not.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The code of `docs/errors.md`.
const CODE: HeaderName = HeaderName::from_static("berth-error-code");

/// What stays as it is in a message: visible ASCII but for the percent sign.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The longest message; a header has a limit.
const MESSAGE_LIMIT: usize = 2000;

/// A status of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// The status of a failure.
    pub(super) fn of(failure: &Failure) -> Self {
        match failure.code() {
            // What gRPC's own servers answer there.
            Code::RouteNotFound | Code::ContentEncodingUnsupported => Self::Unimplemented,
            Code::BodyTooLarge | Code::AnswerTooLarge => Self::ResourceExhausted,
            Code::BodyTimeout => Self::DeadlineExceeded,
            code => match code.status().as_u16() {
                401 => Self::Unauthenticated,
                403 => Self::PermissionDenied,
                404 => Self::NotFound,
                409 | 422 => Self::FailedPrecondition,
                429 => Self::ResourceExhausted,
                503 => Self::Unavailable,
                504 => Self::DeadlineExceeded,
                500.. => Self::Internal,
                _ => Self::InvalidArgument,
            },
        }
    }

    /// The status of HTTP that is nearest, for metrics.
    pub(super) fn http(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::FailedPrecondition => 409,
            Self::ResourceExhausted => 413,
            Self::Internal => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}

/// The trailers of a call that went well, or ended in `failure`.
pub(super) fn trailers(failure: Option<&Failure>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let Some(failure) = failure else {
        trailers.insert(STATUS, HeaderValue::from(Status::Ok as u16));
        return trailers;
    };
    trailers.insert(STATUS, HeaderValue::from(Status::of(failure) as u16));
    let message: String = failure.detail().chars().take(MESSAGE_LIMIT).collect();
    let message = utf8_percent_encode(&message, ESCAPED).to_string();
    if let Ok(message) = HeaderValue::from_str(&message) {
        trailers.insert(MESSAGE, message);
    }
    trailers.insert(CODE, HeaderValue::from_static(failure.code().as_str()));
    let pushback = match failure.code().retry() {
        Retry::Never => Some("-1".to_owned()),
        Retry::After(_) => failure.wait().map(|wait| wait.as_millis().to_string()),
        Retry::Perhaps => None,
    };
    if let Some(Ok(pushback)) = pushback.map(HeaderValue::try_from) {
        trailers.insert(PUSHBACK, pushback);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text<'t>(trailers: &'t HeaderMap, name: &str) -> Option<&'t str> {
        trailers.get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn failure_is_told_with_its_code_and_whether_to_try_again() {
        let gone = Failure::new(Code::ModelNotFound, "Nichts heißt 100 %.\n");
        let trailers = trailers(Some(&gone));
        assert_eq!(text(&trailers, "grpc-status"), Some("5"));
        assert_eq!(
            text(&trailers, "grpc-message"),
            Some("Nichts hei%C3%9Ft 100 %25.%0A")
        );
        assert_eq!(text(&trailers, "berth-error-code"), Some("model_not_found"));
        assert_eq!(text(&trailers, "grpc-retry-pushback-ms"), Some("-1"));
        let soon = Failure::of(Code::ModelNotReady).retry_after(Duration::from_millis(1500));
        let trailers = super::trailers(Some(&soon));
        assert_eq!(text(&trailers, "grpc-status"), Some("14"));
        assert_eq!(text(&trailers, "grpc-retry-pushback-ms"), Some("1500"));
        assert_eq!(text(&super::trailers(None), "grpc-status"), Some("0"));
    }

    #[test]
    fn every_code_has_a_status_of_its_kind() {
        for &code in Code::SECTIONS.iter().flat_map(|(_, codes)| *codes) {
            let status = Status::of(&Failure::of(code));
            assert_ne!(status, Status::Ok, "{}", code.as_str());
            assert_eq!(
                code.status().is_server_error() && code != Code::BodyTimeout,
                matches!(status.http(), 500 | 503 | 504) && code != Code::BodyTimeout,
                "{}",
                code.as_str()
            );
        }
    }
}
