//! Notes down the way of a request while it goes.

use std::time::Duration;

use berth_domain::access::KeyIdentity;
use berth_domain::clock::Clock;
use berth_domain::trail::{Attempt, Stages, Trail};
use berth_protocol::runner::InferResponse;
use berth_store::callables::CallableVersion;
use berth_telemetry::traces::Span;
use tokio::time::Instant;

use super::{Call, Error, Inference, spans};
use crate::routing::{Absence, Route};
use crate::runner_client;

/// The outcome of a request whose client went away.
const CLIENT_GONE: &str = "client_gone";

/// The way of a request so far. It is remembered when this is dropped, however the request ended.
pub(super) struct Steps<'a> {
    inference: &'a Inference,
    clock: &'a dyn Clock,
    begun: Instant,
    trail: Option<Trail>,
    /// When each attempt began, as long after `begun`.
    asked: Vec<Duration>,
    span: Option<Span>,
}

impl<'a> Steps<'a> {
    pub(super) fn begin(
        inference: &'a Inference,
        clock: &'a dyn Clock,
        key: &KeyIdentity,
        call: &Call<'_>,
        begun: Instant,
    ) -> Self {
        let trail = Trail {
            request_id: call.request_id.to_owned(),
            organization_id: key.organization,
            project_id: key.project,
            at: clock.now(),
            node: inference.node.to_string(),
            model: call.model.to_owned(),
            version: None,
            version_id: None,
            outcome: CLIENT_GONE.to_owned(),
            admit_us: microseconds(call.admitted_in),
            resolve_us: 0,
            attempts: Vec::new(),
            runner: None,
            total_us: 0,
        };
        Self {
            inference,
            clock,
            begun,
            trail: Some(trail),
            asked: Vec::new(),
            span: call.span.cloned(),
        }
    }

    /// The name leads to this version.
    pub(super) fn resolved(&mut self, version: &CallableVersion) {
        let took = microseconds(self.begun.elapsed());
        if let Some(trail) = &mut self.trail {
            trail.resolve_us = took;
            trail.version = Some(version.number);
            trail.version_id = Some(version.version);
        }
    }

    /// A runner was asked, and this came of it.
    pub(super) fn asked(
        &mut self,
        route: &Route,
        took: Duration,
        answered: &Result<InferResponse, runner_client::Error>,
    ) {
        use berth_transport::Error::{Lost, Protocol, Unreachable};
        let outcome = match answered {
            Ok(_) => "answered",
            Err(runner_client::Error::Deadline) => "late",
            Err(runner_client::Error::Transport(Unreachable(_))) => "unreachable",
            Err(runner_client::Error::Transport(Lost(_))) => "lost",
            Err(runner_client::Error::Transport(Protocol(_))) => "not_understood",
        };
        self.asked.push(self.begun.elapsed().saturating_sub(took));
        if let Some(trail) = &mut self.trail {
            trail.attempts.push(Attempt {
                replica_id: route.replica(),
                worker_id: route.worker(),
                way: route.way(),
                outcome: outcome.to_owned(),
                took_us: microseconds(took),
            });
        }
    }

    /// There is an answer.
    pub(super) fn answered(&mut self, stages: Stages) {
        if let Some(trail) = &mut self.trail {
            trail.runner = Some(stages);
            "ok".clone_into(&mut trail.outcome);
        }
    }

    /// There is none.
    pub(super) fn end(&mut self, error: &Error) {
        if let Some(trail) = &mut self.trail {
            code(error).clone_into(&mut trail.outcome);
        }
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        if let Some(mut trail) = self.trail.take() {
            trail.at = self.clock.now();
            trail.total_us = trail.admit_us.saturating_add(microseconds(self.begun.elapsed()));
            if let Some(span) = self.span.take() {
                spans::export(&span, &trail, &self.asked);
            }
            self.inference.trails.remember(trail);
        }
    }
}

/// The code that callers are told.
fn code(error: &Error) -> &str {
    match error {
        Error::ModelNotFound(_) => "model_not_found",
        Error::NotReady(Absence::Coming { .. }) => "model_not_ready",
        Error::NotReady(Absence::Failed { .. }) => "model_failed_to_load",
        Error::RunnerCrashed(_) => "runner_crashed",
        Error::Deadline => "deadline_exceeded",
        Error::Runner(failure) => &failure.code,
        Error::Store(_) => "unavailable",
        Error::Protocol(_) => "internal",
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
