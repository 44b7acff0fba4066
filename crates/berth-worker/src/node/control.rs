//! What the control plane can ask this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use berth_artifacts::Cache;
use berth_coordination::records::ReplicaState;
use berth_domain::clock::Clock;
use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::id::OrganizationId;
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;
use berth_protocol::PROTOCOL_VERSION;
use berth_protocol::runner::ProveResponse;
use berth_protocol::transport::MESSAGE_LIMIT_BYTES;
use berth_protocol::worker::worker_server::{Worker, WorkerServer};
use berth_protocol::worker::{
    File, ProveVersionRequest, ProveVersionResponse, Replica, StatusRequest, StatusResponse,
};
use berth_transport::{Location, Peers, RunnerClient};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::board::{Board, Entry};
use super::replica::UNFETCHED;
use crate::launcher::{Error, Launcher, Order, Running};
use crate::measure::Purpose;
use crate::resident;

/// Proofs at once: each holds a whole model beside those that serve.
const PROOFS_AT_ONCE: usize = 1;

/// How long a proof may run when its caller names no deadline.
const LONGEST_PROOF: Duration = Duration::from_mins(10);

/// Which part of its caller's patience a proof waits for its turn.
const WAITING_SHARE: u32 = 3;

/// What a tenant is told when the node could never hold the files.
const TOO_LARGE: &str = "The model's files do not fit into the cache of the worker.";

/// How long a runner may take to end after a proof; it has nothing left to do.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The control service.
pub(super) struct Control {
    launcher: Launcher,
    cache: Cache,
    board: Board,
    clock: Arc<dyn Clock>,
    proofs: Semaphore,
    /// How long a model may run on made-up inputs.
    proof_timeout: Duration,
    names: AtomicU64,
}

impl Control {
    pub(super) fn new(
        launcher: Launcher,
        cache: Cache,
        board: Board,
        clock: Arc<dyn Clock>,
        proof_timeout: Duration,
    ) -> Self {
        Self {
            proof_timeout,
            launcher,
            cache,
            board,
            clock,
            proofs: Semaphore::new(PROOFS_AT_ONCE),
            names: AtomicU64::new(0),
        }
    }

    /// Answers until `gone`.
    pub(super) async fn serve(
        self,
        listener: tokio::net::UnixListener,
        gone: CancellationToken,
    ) -> anyhow::Result<()> {
        let service = WorkerServer::new(self).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        Server::builder()
            .serve_with_incoming_shutdown(service, UnixListenerStream::new(listener), gone.cancelled_owned())
            .await
            .context("the control service can serve no longer")
    }

    /// Proves what is `asked` until `end`. What is the node's own trouble says nothing about the model: whoever asks tries
    /// again, here or elsewhere.
    async fn prove_version(&self, asked: Asked, end: Instant) -> Result<ProveVersionResponse, Status> {
        let fetched = self.cache.materialize(asked.organization, &asked.files);
        let folder = match tokio::time::timeout_at(end.into(), fetched).await {
            Ok(Ok(folder)) => folder,
            Ok(Err(error)) => return Err(unfetched(error)),
            Err(_) => return Err(Status::unavailable("the model's files were not fetched in time")),
        };
        let name = format!("proof-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let order = Order {
            name: &name,
            replica: "",
            folder: folder.path(),
            manifest: &asked.manifest,
            threads: None,
            batching: Batching::default(),
            device: DeviceKind::Any,
            measured_bytes: 0,
            purpose: Purpose::Proof,
        };
        let loaded_and_run = async {
            match self.launcher.start(order).await {
                Ok(running) => prove(running, self.proof_timeout).await,
                Err(error @ Error::Launch { .. }) => Err(unavailable("no runner could be started", error)),
                Err(error) => Ok(refusal(error.to_string())),
            }
        };
        let answer = tokio::time::timeout_at(end.into(), loaded_and_run).await;
        drop(folder);
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the version was not proved in time")))
    }

    /// How long the caller waits.
    fn patience(&self, deadline_unix_ms: u64) -> Duration {
        if deadline_unix_ms == 0 {
            return LONGEST_PROOF;
        }
        let now = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or(0);
        Duration::from_millis(deadline_unix_ms.saturating_sub(now)).min(LONGEST_PROOF)
    }
}

#[tonic::async_trait]
impl Worker for Control {
    async fn prove(
        &self,
        request: Request<ProveVersionRequest>,
    ) -> Result<Response<ProveVersionResponse>, Status> {
        let request = request.into_inner();
        let patience = self.patience(request.deadline_unix_ms);
        let version = request.version.clone();
        let asked = Asked::read(request).map_err(|error| Status::invalid_argument(format!("{error:#}")))?;
        let begun = Instant::now();
        // Waiting for others says nothing about this model, and must leave it time.
        let turn = tokio::time::timeout(patience / WAITING_SHARE, self.proofs.acquire());
        let Ok(Ok(_turn)) = turn.await else {
            return Err(Status::unavailable("the worker proves other versions"));
        };
        let answer = self.prove_version(asked, begun + patience).await?;
        tracing::info!(
            version.id = version,
            ok = answer.ok,
            reason = answer.reason,
            warnings = answer.warnings.len(),
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a version was proved"
        );
        Ok(Response::new(answer))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse {
            worker: self.board.worker().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            replicas: self.board.entries().into_iter().map(replica).collect(),
            protocol: PROTOCOL_VERSION,
        }))
    }
}

/// A proof that is asked for.
struct Asked {
    organization: OrganizationId,
    manifest: Manifest,
    files: Vec<ModelFile>,
}

impl Asked {
    fn read(request: ProveVersionRequest) -> anyhow::Result<Self> {
        Ok(Self {
            organization: request
                .organization
                .parse()
                .context("the organization is no id")?,
            manifest: serde_json::from_str(&request.manifest_json).context("the manifest is malformed")?,
            files: request.files.into_iter().map(file).collect::<Result<_, _>>()?,
        })
    }
}

fn file(file: File) -> anyhow::Result<ModelFile> {
    Ok(ModelFile {
        digest: file
            .digest
            .parse()
            .with_context(|| format!("the digest of `{}` is none", file.path))?,
        path: file.path,
        size_bytes: file.size_bytes,
    })
}

/// Lets the runner prove its model and ends it. A runner that crashes has answered too: the model is not usable. So has one
/// that does not come to an end.
async fn prove(mut running: Running, patience: Duration) -> Result<ProveVersionResponse, Status> {
    let asked = tokio::time::timeout(patience, ask(running.address()));
    tokio::select! {
        // What the runner says counts, even when it ends right after.
        biased;
        answered = asked => match answered {
            Ok(Ok(proof)) => {
                let ready = running.ready().clone();
                // What runs took is not given back at once; a model that answers takes it again.
                let after = running.pid().and_then(|pid| resident::of(pid).ok()).unwrap_or(0);
                running.stop(STOP_PATIENCE).await;
                Ok(ProveVersionResponse {
                    ok: proof.ok,
                    reason: proof.reason,
                    warnings: proof.warnings,
                    resident_bytes: ready.resident_bytes.max(after),
                    load_us: ready.load_us,
                    run_us: proof.run_us,
                })
            }
            Ok(Err(error)) => {
                // Most likely it has crashed; if it has not, the connection broke, which is not the model's fault.
                match tokio::time::timeout(STOP_PATIENCE, running.ended()).await {
                    Ok(ended) => Ok(crashed(&ended)),
                    Err(_) => Err(error),
                }
            }
            Err(_) => {
                running.stop(Duration::ZERO).await;
                let seconds = patience.as_secs();
                Ok(refusal(format!("The model did not come to an end on made-up inputs within {seconds} s.")))
            }
        },
        ended = wait(&mut running) => Ok(crashed(&ended)),
    }
}

async fn wait(running: &mut Running) -> String {
    running.ended().await
}

async fn ask(address: String) -> Result<ProveResponse, Status> {
    let socket = address.strip_prefix("unix:").unwrap_or(&address);
    let answered = RunnerClient::new(Peers::here(), Location::here(socket))
        .prove()
        .await;
    answered.map_err(|error| unavailable("the runner gave no answer", error))
}

fn crashed(ended: &str) -> ProveVersionResponse {
    refusal(format!("The runner {ended} while it ran the model."))
}

fn refusal(reason: String) -> ProveVersionResponse {
    ProveVersionResponse {
        ok: false,
        reason,
        ..ProveVersionResponse::default()
    }
}

/// What passes by itself is asked for again without end. What lasts is told in words that a tenant may read, should it turn out
/// to be so wherever it is tried.
fn unfetched(error: berth_artifacts::Error) -> Status {
    if error.is_transient() {
        return unavailable("the model's files could not be fetched", error);
    }
    let words = match error {
        berth_artifacts::Error::Full { .. } => TOO_LARGE,
        _ => UNFETCHED,
    };
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::warn!(error, "a version's files cannot be had");
    Status::failed_precondition(words)
}

fn unavailable(attempt: &str, error: impl std::error::Error + Send + Sync + 'static) -> Status {
    let error = format!("{:#}", anyhow::Error::new(error));
    tracing::warn!(error, "{attempt}");
    Status::unavailable(format!("{attempt}: {error}"))
}

fn replica(entry: Entry) -> Replica {
    let trouble = entry.record.trouble.unwrap_or_default();
    let (state, reason) = match entry.record.state {
        ReplicaState::Fetching => ("fetching", trouble),
        ReplicaState::Loading => ("loading", trouble),
        ReplicaState::Ready => ("ready", String::new()),
        ReplicaState::Draining => ("draining", String::new()),
        ReplicaState::Failed { reason } => ("failed", reason),
    };
    Replica {
        replica: entry.record.id.to_string(),
        version: entry.record.version.to_string(),
        state: state.to_owned(),
        reason,
        pid: entry.pid.unwrap_or(0),
        resident_bytes: entry.record.resident_bytes,
        starts: entry.starts,
    }
}
