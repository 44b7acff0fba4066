//! The way of one request, as those may see it whose request it is.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{OrganizationId, ProjectId, ReplicaId, VersionId, WorkerId};

/// The way of one inference request through an API node and the runners that it asked. Times are in µs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RequestTrail)]
pub struct Trail {
    /// The request's id, as its answer told.
    pub request_id: String,
    /// Whose key asked.
    pub organization_id: OrganizationId,
    /// The project of the key.
    pub project_id: ProjectId,
    /// When it was answered.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The machine of the API node that answered.
    pub node: String,
    /// The model as the caller named it.
    pub model: String,
    /// The number of the version that the name led to; absent where it led nowhere.
    pub version: Option<u32>,
    /// That version's id.
    pub version_id: Option<VersionId>,
    /// What came of it: `ok`, or the code of the error.
    pub outcome: String,
    /// From the arrival of its head until the key was checked and the body was there.
    pub admit_us: u64,
    /// Finding deployment and version.
    pub resolve_us: u64,
    /// The runners that were asked, in order.
    pub attempts: Vec<Attempt>,
    /// What the runner that answered did.
    pub runner: Option<Stages>,
    /// From the arrival of its head until the answer was there.
    pub total_us: u64,
}

/// One runner that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RequestAttempt)]
pub struct Attempt {
    /// The replica.
    pub replica_id: ReplicaId,
    /// The worker that holds it.
    pub worker_id: WorkerId,
    /// How it was reached.
    pub way: Way,
    /// `answered`, `unreachable` (it had surely not begun, so another was asked), `lost` or `late`.
    pub outcome: String,
    /// How long that took.
    pub took_us: u64,
}

/// How a runner is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RequestWay)]
pub enum Way {
    /// By its socket, on the same machine.
    Socket,
    /// Through its worker, from another machine.
    Worker,
}

/// What a runner did for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RequestStages)]
pub struct Stages {
    /// Reading the request.
    pub prepare_us: u64,
    /// Waiting for its turn.
    pub queue_us: u64,
    /// Waiting for others to share a run with.
    pub batch_wait_us: u64,
    /// Running the model.
    pub compute_us: u64,
    /// Writing the answer.
    pub post_us: u64,
    /// How many requests shared the run.
    pub batch_requests: u32,
    /// What the run weighed: rows, or tokens with padding where texts are embedded.
    pub batch_weight: u64,
}
