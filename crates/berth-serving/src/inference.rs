//! Calling a model: from a name and a body to the runner's answer.

mod spans;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use berth_domain::access::KeyIdentity;
use berth_domain::clock::{Clock, Timestamp};
use berth_domain::manifest::Manifest;
use berth_domain::trail::Stages;
use berth_protocol::runner::{InferRequest, InferResponse};
use berth_store::callables::{Callable, CallableVersion};
use berth_telemetry::traces::Span;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

pub use berth_protocol::runner::{Failure, FailureKind, Operation, Units};

use self::steps::Steps;
use crate::routing::{self, Absence, Router, Target};
use crate::runner_client;
use crate::statistics::{self, Statistics};
use crate::trails::Trails;

/// What a caller wants.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Which protocol the body speaks.
    pub operation: Operation,
    /// The model's name as the caller wrote it.
    pub model: &'a str,
    /// The version, where the protocol names it apart from the model.
    pub version: Option<u32>,
    /// The body as it came.
    pub body: Bytes,
    /// How many of its first bytes are JSON, where tensors follow in binary.
    pub header_bytes: Option<u64>,
    /// How long the caller waits.
    pub timeout: Duration,
    /// How long ago its request arrived.
    pub admitted_in: Duration,
    /// The request's id, for logs.
    pub request_id: &'a str,
    /// W3C trace context that the runner is told; may be empty.
    pub traceparent: &'a str,
    /// The request's part of a trace that is exported.
    pub span: Option<&'a Span>,
    /// How long it may be held until a replica answers, within `timeout`.
    pub wait: Duration,
}

/// The runner's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The complete body in the caller's protocol.
    pub body: Bytes,
    /// Its media type.
    pub content_type: String,
    /// How many of its first bytes are JSON, where tensors follow in binary.
    pub header_bytes: Option<u64>,
    /// What was used, exactly.
    pub units: Units,
    /// What the runner did, and how long each part took.
    pub stages: Stages,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name leads nowhere; the caller can fix it.
    #[error("there is no model `{0}` that this key can call")]
    ModelNotFound(String),
    /// No replica answers at the moment.
    #[error("no replica of the model is ready")]
    NotReady(Absence),
    /// The runner ended in the middle, by a crash or because it was stopped; trying again is sensible.
    #[error("the model's runner ended while it worked on the request")]
    RunnerCrashed(#[source] berth_transport::Error),
    /// The caller's time is over.
    #[error("the model did not answer in time")]
    Deadline,
    /// The runner says why: bad input, overload, or a model that fails.
    #[error("the runner refused: {}", .0.message)]
    Runner(Failure),
    /// Deployments cannot be read; the operator's business.
    #[error("the deployments cannot be read")]
    Store(#[source] berth_store::Error),
    /// A runner speaks another language; a defect.
    #[error("the runner's answer is not understood")]
    Protocol(#[source] berth_transport::Error),
}

impl From<routing::Error> for Error {
    fn from(error: routing::Error) -> Self {
        match error {
            routing::Error::NotFound(model) => Self::ModelNotFound(model),
            routing::Error::Store(source) => Self::Store(source),
        }
    }
}

/// What is known of a model that a key can call.
#[derive(Debug, Clone)]
pub struct Description {
    /// Numbers of the versions that can be addressed.
    pub versions: Vec<u32>,
    /// The manifest of the version that the name leads to.
    pub manifest: Manifest,
    /// Why no replica of it answers; `None` when one does.
    pub absence: Option<Absence>,
}

/// How the calls of one version went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The model, as callers name it.
    pub model: String,
    /// The number of the version.
    pub version: u32,
    /// What was counted.
    pub counts: statistics::Counts,
}

/// Calls models through a [`Router`]. Clones share it.
#[derive(Debug, Clone)]
pub struct Inference {
    router: Router,
    statistics: Arc<Statistics>,
    trails: Trails,
    node: Arc<str>,
}

impl Inference {
    /// Calls through `router`, and remembers the ways of requests in `trails` as those of the machine `node`.
    pub fn new(router: Router, trails: Trails, node: &str) -> Self {
        Self {
            router,
            statistics: Arc::default(),
            trails,
            node: node.into(),
        }
    }

    /// The ways of the latest requests.
    pub fn trails(&self) -> &Trails {
        &self.trails
    }

    /// The router below.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Runs `call` for `key`. A replica that cannot be reached is passed over for another, because the request has surely
    /// not started there; after that nothing is tried again. Dropping the future cancels the work in the runner.
    pub async fn infer(&self, clock: &dyn Clock, key: &KeyIdentity, call: Call<'_>) -> Result<Answer, Error> {
        let deadline = clock.now() + call.timeout;
        // Finding the way counts: it may have to ask a database that is slow.
        let begun = Instant::now();
        let mut steps = Steps::begin(self, clock, key, &call, begun);
        let target = timeout(call.timeout, self.router.resolve(key, call.model, call.version)).await;
        let target = match target {
            Err(_) => Err(Error::Deadline),
            Ok(resolved) => resolved.map_err(Error::from),
        };
        let target = target.inspect_err(|error| steps.end(error))?;
        steps.resolved(target.version());
        let place = statistics::Place {
            caller: key.project,
            deployment: target.callable().deployment,
            version: target.version().version,
        };
        let outcome = self.run(key, &target, call, (begun, deadline), &mut steps).await;
        match &outcome {
            Ok(answer) => steps.answered(answer.stages),
            Err(error) => steps.end(error),
        }
        self.statistics
            .note(place, clock.now(), begun.elapsed(), &outcome);
        outcome
    }

    /// The same where it is known what the name leads to, since when, and until when the answer is wanted.
    async fn run(
        &self,
        key: &KeyIdentity,
        target: &Target,
        call: Call<'_>,
        (begun, deadline): (Instant, Timestamp),
        steps: &mut Steps<'_>,
    ) -> Result<Answer, Error> {
        use berth_transport::Error::{Lost, Protocol, Unreachable};
        let request = InferRequest {
            request_id: call.request_id.to_owned(),
            organization: key.organization.to_string(),
            project: key.project.to_string(),
            model: call.model.to_owned(),
            version: target.version().number.to_string(),
            operation: call.operation.into(),
            body: call.body,
            deadline_unix_ms: u64::try_from(deadline.timestamp_millis()).unwrap_or(0),
            traceparent: call.traceparent.to_owned(),
            header_bytes: call.header_bytes,
            // Named by the way that is taken.
            replica: String::new(),
        };
        let mut tried = Vec::new();
        let mut wait = Some(call.wait);
        loop {
            let route = match self.router.choose(target, &tried) {
                Ok(route) => route,
                Err(absence) => {
                    let left = call.timeout.saturating_sub(begun.elapsed());
                    if let Some(wait) = wait.take().filter(|wait| !wait.is_zero()) {
                        self.router.wait(target, wait.min(left)).await;
                        continue;
                    }
                    self.router.sent_away(target, &absence);
                    return Err(Error::NotReady(for_caller(key, target, absence)));
                }
            };
            let asked = begun.elapsed();
            let left = call.timeout.saturating_sub(asked);
            let answered = route.connection().infer(request.clone(), left).await;
            steps.asked(&route, begun.elapsed().saturating_sub(asked), &answered);
            match answered {
                Ok(response) => {
                    route.waited(response.queue_us);
                    return answer(response);
                }
                Err(runner_client::Error::Deadline) => return Err(Error::Deadline),
                Err(runner_client::Error::Transport(error)) => match error {
                    Unreachable(_) => {
                        tracing::warn!(%error, replica.id = %route.replica(), "replica is passed over");
                        route.avoid();
                        tried.push(route.replica());
                    }
                    Lost(_) => {
                        route.avoid();
                        return Err(Error::RunnerCrashed(error));
                    }
                    Protocol(_) => return Err(Error::Protocol(error)),
                },
            }
        }
    }

    /// How every version went that `key` can call: of `model`, with `version` of that one, or of all models. Counts the calls
    /// of the key's project in this process.
    pub async fn statistics(
        &self,
        key: &KeyIdentity,
        model: Option<(&str, Option<u32>)>,
    ) -> Result<Vec<Standing>, Error> {
        let Some((model, number)) = model else {
            let callables = self.router.callables(key).await?;
            let all = callables.iter().flat_map(|callable| {
                let versions = callable.versions.iter();
                versions.map(|version| self.count(key, callable.name.as_str(), callable, version))
            });
            return Ok(all.collect());
        };
        let target = self.router.resolve(key, model, number).await?;
        let callable = target.callable();
        let number = number.or_else(|| model.contains('@').then_some(target.version().number));
        let versions = callable.versions.iter();
        let wanted = versions.filter(|version| number.is_none_or(|number| version.number == number));
        Ok(wanted
            .map(|version| self.count(key, model, callable, version))
            .collect())
    }

    fn count(
        &self,
        key: &KeyIdentity,
        name: &str,
        callable: &Callable,
        version: &CallableVersion,
    ) -> Standing {
        Standing {
            model: name.to_owned(),
            version: version.number,
            counts: self.statistics.of(statistics::Place {
                caller: key.project,
                deployment: callable.deployment,
                version: version.version,
            }),
        }
    }

    /// What is known of `model`; with `version`, of that one.
    pub async fn describe(
        &self,
        key: &KeyIdentity,
        model: &str,
        version: Option<u32>,
    ) -> Result<Description, Error> {
        let target = self.router.resolve(key, model, version).await?;
        Ok(Description {
            versions: target
                .callable()
                .versions
                .iter()
                .map(|version| version.number)
                .collect(),
            manifest: target.version().manifest.clone(),
            absence: self
                .router
                .absence(&target)
                .map(|absence| for_caller(key, &target, absence)),
        })
    }
}

/// What a caller may know of why a model does not answer: whoever calls the published model of another organization learns
/// nothing of what it is made of.
fn for_caller(key: &KeyIdentity, target: &Target, absence: Absence) -> Absence {
    if target.callable().organization == key.organization {
        absence
    } else {
        absence.without_reasons()
    }
}

fn answer(response: InferResponse) -> Result<Answer, Error> {
    match response.failure {
        Some(failure) if failure.kind() == FailureKind::Deadline => Err(Error::Deadline),
        Some(failure) => Err(Error::Runner(failure)),
        None => Ok(Answer {
            body: response.body,
            content_type: response.content_type,
            header_bytes: response.header_bytes,
            units: response.units.unwrap_or_default(),
            stages: Stages {
                prepare_us: response.prepare_us,
                queue_us: response.queue_us,
                batch_wait_us: response.batch_wait_us,
                compute_us: response.compute_us,
                post_us: response.post_us,
                batch_requests: response.batch_requests,
                batch_weight: response.batch_weight,
            },
        }),
    }
}
