//! `GET /api/v1/workers`

use std::collections::BTreeMap;

use actix_web::get;
use actix_web::web::Json;
use berth_coordination::Fleet;
use berth_coordination::records::{ReplicaRecord, ReplicaState, WorkerRecord};
use berth_domain::id::{OrganizationId, ReplicaId, VersionId, WorkerId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Operating;

/// The workers that are alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// One for each.
    data: Vec<Worker>,
}

/// A worker that is alive.
#[derive(Debug, Serialize, ToSchema)]
struct Worker {
    /// Its id.
    worker_id: WorkerId,
    /// What its machine is called.
    hostname: String,
    /// The kind of node that measurements are kept by.
    node_kind: String,
    /// What it can compute on.
    devices: Vec<WorkerDevice>,
    /// The execution providers that it uses, the preferred first.
    providers: Vec<String>,
    /// What its operator calls it by.
    labels: BTreeMap<String, String>,
    /// Memory that its replicas may use together.
    memory_bytes: u64,
    /// Memory that its replicas were seen to use.
    resident_bytes: u64,
    /// The release of the ONNX Runtime library that it loaded.
    library_version: String,
    /// It takes nothing new and will leave.
    draining: bool,
    /// When it started.
    started_at: DateTime<Utc>,
    /// What it holds.
    replicas: Vec<Replica>,
}

/// A device of a worker.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerDevice {
    /// `cpu`, `cuda`, …
    kind: String,
    /// What the maker calls it.
    name: String,
    /// Its memory.
    memory_bytes: u64,
}

/// A copy of a version on a worker.
#[derive(Debug, Serialize, ToSchema)]
struct Replica {
    /// Its id.
    replica_id: ReplicaId,
    /// Whose version it is.
    organization_id: OrganizationId,
    /// The version.
    version_id: VersionId,
    /// `fetching`, `loading`, `ready`, `draining` or `failed`.
    state: &'static str,
    /// Why it is no further, in words; null where there is nothing to say.
    #[schema(required)]
    reason: Option<String>,
    /// Memory that it was seen to use; 0 before it was measured.
    resident_bytes: u64,
    /// How long loading it took; 0 before it was loaded.
    load_ms: u64,
    /// How often in a row its runner ended by its own doing.
    crashes: u32,
}

impl From<ReplicaRecord> for Replica {
    fn from(record: ReplicaRecord) -> Self {
        let (state, reason) = match record.state {
            ReplicaState::Fetching => ("fetching", record.trouble),
            ReplicaState::Loading => ("loading", record.trouble),
            ReplicaState::Ready => ("ready", None),
            ReplicaState::Draining => ("draining", None),
            ReplicaState::Failed { reason } => ("failed", Some(reason)),
        };
        Self {
            replica_id: record.id,
            organization_id: record.organization,
            version_id: record.version,
            state,
            reason,
            resident_bytes: record.resident_bytes,
            load_ms: record.load_ms,
            crashes: record.crashes,
        }
    }
}

impl Worker {
    fn new(record: WorkerRecord, replicas: Vec<ReplicaRecord>) -> Self {
        let devices = record.devices.iter().map(|device| WorkerDevice {
            kind: device.kind.clone(),
            name: device.name.clone(),
            memory_bytes: device.memory_bytes,
        });
        Self {
            worker_id: record.id,
            node_kind: record.node_kind(),
            devices: devices.collect(),
            hostname: record.hostname,
            providers: record.providers,
            labels: record.labels,
            memory_bytes: record.memory_bytes,
            resident_bytes: replicas.iter().map(|replica| replica.resident_bytes).sum(),
            library_version: record.library_version,
            draining: record.draining,
            started_at: record.started_at,
            replicas: replicas.into_iter().map(Replica::from).collect(),
        }
    }
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR]);

/// List the workers
///
/// Those that are alive, with what each holds.
#[utoipa::path(
    operation_id = "workers_list",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    responses((status = 200, description = "The workers.", body = WorkerList), Errors)
)]
#[get("/api/v1/workers")]
pub(crate) async fn workers(caller: Operating) -> Result<Json<WorkerList>, Failure> {
    let fleet = Fleet::new(caller.coordination.clone());
    let unreachable = |error| Failure::of(crate::errors::Code::Unavailable).source(error);
    let workers = fleet.workers().await.map_err(unreachable)?;
    let mut by_worker: BTreeMap<WorkerId, Vec<ReplicaRecord>> = BTreeMap::new();
    for replica in fleet.replicas().await.map_err(unreachable)? {
        by_worker.entry(replica.worker).or_default().push(replica);
    }
    let workers = workers.into_iter().map(|worker| {
        let replicas = by_worker.remove(&worker.id).unwrap_or_default();
        Worker::new(worker, replicas)
    });
    Ok(Json(WorkerList {
        data: workers.collect(),
    }))
}
