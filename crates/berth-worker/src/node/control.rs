//! What the control plane can ask this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use berth_artifacts::Cache;
use berth_coordination::records::ReplicaState;
use berth_domain::clock::Clock;
use berth_domain::id::OrganizationId;
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;
use berth_protocol::PROTOCOL_VERSION;
use berth_protocol::runner::runner_client::RunnerClient;
use berth_protocol::runner::{ProveRequest, ProveResponse};
use berth_protocol::transport::MESSAGE_LIMIT_BYTES;
use berth_protocol::worker::worker_server::{Worker, WorkerServer};
use berth_protocol::worker::{
    File, ProveVersionRequest, ProveVersionResponse, Replica, StatusRequest, StatusResponse,
};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

use super::board::{Board, Entry};
use crate::launcher::{Error, Launcher, Order, Running};
use crate::measure::Purpose;

/// Proofs at once: each holds a whole model beside those that serve.
const PROOFS_AT_ONCE: usize = 1;

/// How long a proof may run when its caller names no deadline.
const LONGEST_PROOF: Duration = Duration::from_mins(10);

/// How long a runner may take to end after a proof; it has nothing left to do.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// The control service.
pub(super) struct Control {
    launcher: Launcher,
    cache: Cache,
    board: Board,
    clock: Arc<dyn Clock>,
    proofs: Semaphore,
    names: AtomicU64,
}

impl Control {
    pub(super) fn new(launcher: Launcher, cache: Cache, board: Board, clock: Arc<dyn Clock>) -> Self {
        Self {
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

    async fn prove_version(&self, asked: Asked) -> Result<ProveVersionResponse, Status> {
        let folder = self
            .cache
            .materialize(asked.organization, &asked.files)
            .await
            .map_err(|error| unavailable("the model's files could not be fetched", error))?;
        let name = format!("proof-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let order = Order {
            name: &name,
            folder: folder.path(),
            manifest: &asked.manifest,
            threads: None,
            purpose: Purpose::Proof,
        };
        let running = match self.launcher.start(order).await {
            Ok(running) => running,
            // The node's own trouble says nothing about the model: whoever asks tries again, here or elsewhere.
            Err(error @ Error::Launch { .. }) => {
                return Err(unavailable("no runner could be started", error));
            }
            Err(error) => return Ok(refusal(error.to_string())),
        };
        let answer = prove(running).await;
        drop(folder);
        answer
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
        let proof = async {
            let _turn = self.proofs.acquire().await;
            self.prove_version(asked).await
        };
        let answer = tokio::time::timeout(patience, proof).await;
        let answer =
            answer.map_err(|_| Status::deadline_exceeded("the version was not proved in time"))??;
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

/// Lets the runner prove its model and ends it. A runner that crashes has answered too: the model is not usable.
async fn prove(mut running: Running) -> Result<ProveVersionResponse, Status> {
    let asked = ask(running.address());
    tokio::select! {
        // What the runner says counts, even when it ends right after.
        biased;
        answered = asked => match answered {
            Ok(proof) => {
                let ready = running.ready().clone();
                running.stop(STOP_PATIENCE).await;
                Ok(ProveVersionResponse {
                    ok: proof.ok,
                    reason: proof.reason,
                    warnings: proof.warnings,
                    resident_bytes: ready.resident_bytes,
                    load_us: ready.load_us,
                    run_us: proof.run_us,
                })
            }
            Err(error) => {
                // Most likely it has crashed; if it has not, the connection broke, which is not the model's fault.
                match tokio::time::timeout(STOP_PATIENCE, running.ended()).await {
                    Ok(ended) => Ok(crashed(&ended)),
                    Err(_) => Err(error),
                }
            }
        },
        ended = wait(&mut running) => Ok(crashed(&ended)),
    }
}

async fn wait(running: &mut Running) -> String {
    running.ended().await
}

async fn ask(address: String) -> Result<ProveResponse, Status> {
    let endpoint = Endpoint::from_shared(address).map_err(|error| Status::internal(error.to_string()))?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(RunnerClient::new(channel)
        .prove(ProveRequest {})
        .await?
        .into_inner())
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
