//! The log line and the metrics of a request. A record that is dropped before its end tells that the client went away.

use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, StatusCode};

use crate::metrics;
use crate::request::{RequestContext, client_request_id};

/// The status in the log when nobody waited for the answer; not a status of HTTP.
const CLIENT_GONE: u16 = 499;

/// A request that is being answered.
pub(super) struct Record {
    context: RequestContext,
    method: Method,
    client_request_id: Option<String>,
    ended: bool,
}

impl Record {
    /// Begins to count `request`.
    pub(super) fn begin(request: &ServiceRequest, context: RequestContext) -> Self {
        metrics::request_began();
        Self {
            context,
            method: request.method().clone(),
            client_request_id: client_request_id(|name| {
                request.headers().get(name).and_then(|value| value.to_str().ok())
            }),
            ended: false,
        }
    }

    /// The answer is ready.
    pub(super) fn end(mut self, status: StatusCode, route: Option<&str>) {
        self.ended = true;
        self.tell(status.as_u16(), route);
    }

    fn tell(&self, status: u16, route: Option<&str>) {
        let elapsed = self.context.started().elapsed();
        let facts = self.context.facts();
        let route = route.unwrap_or("none");
        tracing::info!(
            request.id = %self.context.id(),
            request.client_id = self.client_request_id.as_deref(),
            http.method = self.method.as_str(),
            http.route = route,
            http.status = status,
            duration_ms = elapsed.as_secs_f64() * 1000.0,
            organization.id = facts.organization.map(tracing::field::display),
            project.id = facts.project.map(tracing::field::display),
            key.id = facts.key.map(tracing::field::display),
            user.id = facts.user.map(tracing::field::display),
            model = facts.model.as_deref(),
            "request answered"
        );
        let trace = self.context.trace();
        if let Some(span) = trace.span() {
            span.tell("berth.request.id", self.context.id().to_string());
            span.tell("http.request.method", self.method.to_string());
        }
        trace.end(format!("{} {route}", self.method), route, status, &facts);
        metrics::request_ended(route, facts.model.as_deref(), status, elapsed);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(CLIENT_GONE, None);
        }
    }
}
