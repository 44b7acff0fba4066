//! Having a worker prove a version: load it in a runner and run it on made-up inputs.

use std::error::Error as _;
use std::time::Duration;

use berth_coordination::Fleet;
use berth_coordination::records::WorkerRecord;
use berth_domain::clock::Clock;
use berth_domain::id::OrganizationId;
use berth_domain::model::ModelFile;
use berth_domain::random::Random;
use berth_protocol::worker::worker_client::WorkerClient;
use berth_protocol::worker::{File, ProveVersionRequest, ProveVersionResponse};
use berth_store::system::versions::Outcome;
use berth_store::versions::{Measured, Version};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

/// How long connecting to a worker of this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer than the worker's own limit its answer is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// Why there is no verdict. None of it says anything about the model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Who is there cannot be told.
    #[error("the fleet cannot be reached")]
    Coordination(#[from] berth_coordination::Error),
    /// No worker takes work.
    #[error("no worker is there that takes work")]
    NoWorker,
    /// None of the workers can be reached.
    #[error("no worker could be reached")]
    Unreachable(#[source] tonic::transport::Error),
    /// The worker has trouble of its own: it cannot fetch the files, or start a runner.
    #[error("the worker is in trouble")]
    Trouble(#[source] Status),
    /// The worker ended, or refused, in the middle.
    #[error("the worker gave no verdict")]
    Interrupted(#[source] Status),
    /// The manifest cannot be written as JSON; a defect.
    #[error("the manifest cannot be sent")]
    Manifest(#[source] serde_json::Error),
}

/// Asks workers for proofs. Clones share the fleet.
#[derive(Debug, Clone)]
pub struct Prover {
    fleet: Fleet,
    timeout: Duration,
}

impl Prover {
    /// A prover that gives a worker `timeout` for one version.
    pub fn new(fleet: Fleet, timeout: Duration) -> Self {
        Self { fleet, timeout }
    }

    /// The verdict of a worker, any that takes work: that `version` runs, with what was measured, or why it does not.
    pub async fn prove(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
        version: &Version,
        files: &[ModelFile],
    ) -> Result<Outcome, Error> {
        let request = ProveVersionRequest {
            organization: version.organization.to_string(),
            version: version.id.to_string(),
            manifest_json: serde_json::to_string(&version.manifest).map_err(Error::Manifest)?,
            files: files.iter().map(file).collect(),
            deadline_unix_ms: u64::try_from((clock.now() + self.timeout).timestamp_millis()).unwrap_or(0),
        };
        let mut failure = Error::NoWorker;
        for worker in self.candidates(random).await? {
            match connect(&worker).await {
                Ok(mut client) => return self.ask(&mut client, request, version.organization).await,
                Err(error) => {
                    tracing::warn!(%error, worker.id = %worker.id, "worker is passed over for a proof");
                    failure = Error::Unreachable(error);
                }
            }
        }
        Err(failure)
    }

    /// The workers that take work, in an order that spreads proofs over them.
    async fn candidates(&self, random: &dyn Random) -> Result<Vec<WorkerRecord>, Error> {
        let mut workers = self.fleet.workers().await?;
        workers.retain(|worker| !worker.draining);
        if !workers.is_empty() {
            let mut start = [0; 8];
            random.fill(&mut start);
            let start = u64::from_le_bytes(start) % workers.len() as u64;
            workers.rotate_left(usize::try_from(start).unwrap_or(0));
        }
        Ok(workers)
    }

    async fn ask(
        &self,
        client: &mut WorkerClient<tonic::transport::Channel>,
        request: ProveVersionRequest,
        organization: OrganizationId,
    ) -> Result<Outcome, Error> {
        tracing::debug!(version.id = %request.version, organization.id = %organization, "version is being proved");
        match tokio::time::timeout(self.timeout + GRACE, client.prove(request)).await {
            Ok(Ok(response)) => Ok(outcome(response.into_inner())),
            // What the worker itself says has no cause; what the transport makes of a broken connection has one.
            Ok(Err(status)) if status.code() == Code::Unavailable && status.source().is_none() => {
                Err(Error::Trouble(status))
            }
            Ok(Err(status)) => Err(Error::Interrupted(status)),
            Err(_) => Err(Error::Interrupted(Status::deadline_exceeded(
                "the worker is silent",
            ))),
        }
    }
}

async fn connect(
    worker: &WorkerRecord,
) -> Result<WorkerClient<tonic::transport::Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(worker.control_address.clone())?;
    Ok(WorkerClient::new(
        endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await?,
    ))
}

fn file(file: &ModelFile) -> File {
    File {
        path: file.path.clone(),
        digest: file.digest.to_string(),
        size_bytes: file.size_bytes,
    }
}

fn outcome(response: ProveVersionResponse) -> Outcome {
    let ProveVersionResponse {
        ok,
        reason,
        warnings,
        resident_bytes,
        load_us,
        run_us,
    } = response;
    // The words may quote the model's own files, which may hold anything; no database keeps a zero character.
    let storable = |text: String| text.replace('\0', "\u{fffd}");
    let reason = storable(reason);
    let warnings = warnings.into_iter().map(storable).collect();
    if ok {
        Outcome::Ready {
            measured: Measured {
                resident_bytes,
                load_us,
                run_us,
            },
            warnings,
        }
    } else {
        Outcome::Failed { reason, warnings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_characters_of_a_verdict_are_replaced() {
        let response = ProveVersionResponse {
            ok: false,
            reason: "no token `\0`".to_owned(),
            warnings: vec!["\0".to_owned()],
            ..ProveVersionResponse::default()
        };
        let Outcome::Failed { reason, warnings } = outcome(response) else {
            panic!("a failure stays one");
        };
        assert_eq!(
            (reason.as_str(), warnings),
            ("no token `\u{fffd}`", vec!["\u{fffd}".to_owned()])
        );
    }
}
