//! One call: what is known of it, its log line and its metrics. A call that is dropped before its end tells that the client went
//! away.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_domain::access::Caller;
use berth_domain::id::RequestId;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::status::Status;
use crate::errors::Failure;
use crate::extract::caller::credential;
use crate::frame::Frame;
use crate::metrics;
use crate::request::{Facts, Trace, client_address, client_request_id};

/// The status in the log when nobody waited for the answer; not a status of HTTP.
const CLIENT_GONE: u16 = 499;

/// What travels with a call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: RequestId,
    pub(super) started: Instant,
    /// How long it may take.
    pub(super) patience: Duration,
    pub(super) address: IpAddr,
    pub(super) trace: Trace,
    credential: Result<String, Failure>,
    client_id: Option<String>,
    route: &'static str,
    facts: Mutex<Facts>,
    ended: Mutex<bool>,
}

impl Call {
    /// A call of `route` that arrives now from `peer`.
    pub(super) fn begin(frame: &Frame, route: &'static str, headers: &HeaderMap, peer: IpAddr) -> Arc<Self> {
        metrics::request_began();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let options = frame.options();
        let forwarded = headers
            .get_all("x-forwarded-for")
            .iter()
            .map(hyper::header::HeaderValue::as_bytes);
        let own = header("grpc-timeout").and_then(timeout);
        Arc::new(Self {
            id: RequestId::new(frame.clock(), frame.random()),
            started: Instant::now(),
            patience: own.map_or(options.inference_timeout, |own| {
                own.min(options.inference_timeout)
            }),
            address: client_address(peer, forwarded, &options.trusted_proxies),
            trace: Trace::begin(header),
            credential: credential(
                headers
                    .get(AUTHORIZATION)
                    .map(hyper::header::HeaderValue::as_bytes),
            )
            .map(str::to_owned),
            client_id: client_request_id(header),
            route,
            facts: Mutex::default(),
            ended: Mutex::new(false),
        })
    }

    /// A request inside this call, with an id and a time of its own.
    pub(super) fn part(&self, frame: &Frame) -> Arc<Self> {
        metrics::request_began();
        Arc::new(Self {
            id: RequestId::new(frame.clock(), frame.random()),
            started: Instant::now(),
            patience: frame.options().inference_timeout,
            address: self.address,
            trace: self.trace.inside(),
            credential: self.credential().map(str::to_owned),
            client_id: self.client_id.clone(),
            route: self.route,
            facts: Mutex::default(),
            ended: Mutex::new(false),
        })
    }

    /// The key or token that came with it. Fails when there is none.
    pub(super) fn credential(&self) -> Result<&str, Failure> {
        self.credential
            .as_deref()
            .map_err(|failure| Failure::new(failure.code(), failure.detail().to_owned()))
    }

    /// How long it may still take.
    pub(super) fn left(&self) -> Duration {
        self.patience.saturating_sub(self.started.elapsed())
    }

    /// Notes who calls.
    pub(super) fn called_by(&self, caller: &Caller) {
        self.facts().called_by(caller);
    }

    /// Notes what is called.
    pub(super) fn calls(&self, model: &str) {
        self.facts().model = Some(model.to_owned());
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer is ready, or there is none.
    pub(super) fn end(&self, failure: Option<&Failure>) {
        if std::mem::replace(
            &mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner),
            true,
        ) {
            return;
        }
        if let Some(failure) = failure {
            log(self.id, failure);
        }
        let status = failure.map_or(Status::Ok, Status::of);
        self.tell(status.http(), Some(status));
    }

    fn tell(&self, http: u16, status: Option<Status>) {
        let elapsed = self.started.elapsed();
        let facts = self.facts().clone();
        tracing::info!(
            request.id = %self.id,
            request.client_id = self.client_id.as_deref(),
            rpc.method = self.route,
            rpc.grpc.status = status.map(|status| status as u16),
            http.status = http,
            duration_ms = elapsed.as_secs_f64() * 1000.0,
            organization.id = facts.organization.map(tracing::field::display),
            project.id = facts.project.map(tracing::field::display),
            key.id = facts.key.map(tracing::field::display),
            user.id = facts.user.map(tracing::field::display),
            model = facts.model.as_deref(),
            "request answered"
        );
        if let Some(span) = self.trace.span() {
            span.tell("berth.request.id", self.id.to_string());
            if let Some(status) = status {
                span.tell("rpc.response.status_code", i64::from(status as u16));
            }
        }
        self.trace.end(self.route.to_owned(), self.route, http, &facts);
        metrics::request_ended(self.route, facts.model.as_deref(), http, elapsed);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !*self.ended.get_mut().unwrap_or_else(PoisonError::into_inner) {
            self.tell(CLIENT_GONE, None);
        }
    }
}

/// What has a cause on this side is logged with it, once, here.
fn log(request: RequestId, failure: &Failure) {
    let Some(source) = failure.source() else { return };
    let mut causes = source.to_string();
    let mut cause = source.source();
    while let Some(error) = cause {
        causes = format!("{causes}: {error}");
        cause = error.source();
    }
    let code = failure.code();
    match Status::of(failure) {
        Status::Internal => {
            tracing::error!(request.id = %request, error.code = code.as_str(), error.causes = causes, "request failed");
        }
        Status::Unavailable => {
            tracing::warn!(request.id = %request, error.code = code.as_str(), error.causes = causes, "request could not be answered");
        }
        _ => {}
    }
}

/// The value of `grpc-timeout`: at most eight digits, and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_a_unit() {
        assert_eq!(timeout("20S"), Some(Duration::from_secs(20)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("5m"), Some(Duration::from_millis(5)));
        for none in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "5ß"] {
            assert_eq!(timeout(none), None, "{none}");
        }
    }
}
