//! Having a worker prove a version: load it in a runner and run it on made-up inputs.

use std::error::Error as _;
use std::time::{Duration, Instant};

use berth_coordination::Fleet;
use berth_coordination::records::WorkerRecord;
use berth_domain::clock::Clock;
use berth_domain::id::WorkerId;
use berth_domain::model::ModelFile;
use berth_domain::random::Random;
use berth_protocol::worker::worker_client::WorkerClient;
use berth_protocol::worker::{File, ProveVersionRequest, ProveVersionResponse};
use berth_store::system::versions::{FruitlessProof, NoVerdict, Outcome};
use berth_store::versions::{Measured, Version};
use berth_transport::Peers;
use hyper_util::rt::TokioIo;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::location;

/// How much longer than the worker's own limit its answer is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// A worker that cannot try is passed over for the next at once, as long as all of that took no longer. Else the next one is
/// asked another time, so that one call does not take several times as long as one proof may.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Why there is no verdict.
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
    /// The worker has trouble of its own that passes: it proves other versions, does not reach the artifact store, or cannot
    /// start a runner. It says nothing about the model.
    #[error("the worker is in trouble")]
    Trouble(#[source] Status),
    /// The worker gave no verdict. Once that may be chance, or the worker; again and again it is something that lasts.
    #[error("the worker {worker} gave no verdict")]
    NoVerdict {
        /// The worker.
        worker: WorkerId,
        /// How it ended.
        end: NoVerdict,
        /// What the worker, or the connection to it, said.
        #[source]
        status: Status,
    },
    /// The manifest cannot be written as JSON; a defect.
    #[error("the manifest cannot be sent")]
    Manifest(#[source] serde_json::Error),
}

impl Error {
    /// Whether the worker has not begun with the model: another may do so at once.
    fn is_before_the_model(&self) -> bool {
        matches!(
            self,
            Self::Trouble(_)
                | Self::Unreachable(_)
                | Self::NoVerdict {
                    end: NoVerdict::Unfetched,
                    ..
                }
        )
    }
}

/// Asks workers for proofs. Clones share the fleet.
#[derive(Debug, Clone)]
pub struct Prover {
    fleet: Fleet,
    peers: Peers,
    timeout: Duration,
}

impl Prover {
    /// A prover that gives a worker `timeout` for one version.
    pub fn new(fleet: Fleet, peers: Peers, timeout: Duration) -> Self {
        Self {
            fleet,
            peers,
            timeout,
        }
    }

    /// How long a worker is given for one version.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The verdict of a worker, any that takes work: that `version` runs, with what was measured, or why it does not. Workers
    /// that have `tried` it in vain come after the others.
    ///
    /// Where one worker can try again later, that is what this fails with, rather than with what lasts on another.
    pub async fn prove(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
        version: &Version,
        files: &[ModelFile],
        tried: &[FruitlessProof],
    ) -> Result<Outcome, Error> {
        let mut request = ProveVersionRequest {
            organization: version.organization.to_string(),
            version: version.id.to_string(),
            manifest_json: serde_json::to_string(&version.manifest).map_err(Error::Manifest)?,
            files: files.iter().map(file).collect(),
            deadline_unix_ms: 0,
        };
        let begun = Instant::now();
        let mut failure = Error::NoWorker;
        for worker in self.candidates(random, tried).await? {
            request.deadline_unix_ms =
                u64::try_from((clock.now() + self.timeout).timestamp_millis()).unwrap_or(0);
            match self.ask(&worker, request.clone()).await {
                Err(error) if error.is_before_the_model() => {
                    tracing::warn!(
                        %error,
                        source = ?std::error::Error::source(&error),
                        worker.id = %worker.id,
                        version.id = %version.id,
                        "worker is passed over for a proof"
                    );
                    let is_there = !matches!(error, Error::Unreachable(_));
                    if matches!(failure, Error::NoWorker | Error::NoVerdict { .. }) {
                        failure = error;
                    }
                    if is_there && begun.elapsed() > AT_ONCE {
                        break;
                    }
                }
                answered => return answered,
            }
        }
        Err(failure)
    }

    /// The workers that take work, in an order that spreads proofs over them, and those last that have tried most often.
    async fn candidates(
        &self,
        random: &dyn Random,
        tried: &[FruitlessProof],
    ) -> Result<Vec<WorkerRecord>, Error> {
        let mut workers = self.fleet.workers().await?;
        workers.retain(|worker| !worker.draining);
        if !workers.is_empty() {
            let mut start = [0; 8];
            random.fill(&mut start);
            let start = u64::from_le_bytes(start) % workers.len() as u64;
            workers.rotate_left(usize::try_from(start).unwrap_or(0));
            workers.sort_by_key(|worker| tried.iter().filter(|tried| tried.worker == worker.id).count());
        }
        Ok(workers)
    }

    async fn ask(&self, worker: &WorkerRecord, request: ProveVersionRequest) -> Result<Outcome, Error> {
        let mut client = self.connect(worker).await.map_err(Error::Unreachable)?;
        tracing::debug!(
            version.id = %request.version,
            organization.id = %request.organization,
            worker.id = %worker.id,
            "version is being proved"
        );
        match tokio::time::timeout(self.timeout + GRACE, client.prove(request)).await {
            Ok(Ok(response)) => Ok(outcome(response.into_inner())),
            Ok(Err(status)) => Err(without_verdict(worker.id, status)),
            Err(_) => Err(Error::NoVerdict {
                worker: worker.id,
                end: NoVerdict::Silent,
                status: Status::deadline_exceeded("the worker is silent"),
            }),
        }
    }

    async fn connect(
        &self,
        worker: &WorkerRecord,
    ) -> Result<WorkerClient<tonic::transport::Channel>, tonic::transport::Error> {
        let (peers, location) = (self.peers.clone(), location::of_control(worker));
        let connector = tower::service_fn(move |_| {
            let (peers, location) = (peers.clone(), location.clone());
            async move { peers.connect(&location).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static(CONTROL_HOST);
        Ok(WorkerClient::new(
            endpoint.connect_with_connector(connector).await?,
        ))
    }
}

/// HTTP/2 names a host, and the control service is asked by none.
const CONTROL_HOST: &str = "http://control";

/// What an answer without a verdict means.
fn without_verdict(worker: WorkerId, status: Status) -> Error {
    let end = match status.code() {
        // What the worker itself says has no cause; what the transport makes of a broken connection has one.
        _ if status.source().is_some() => NoVerdict::Interrupted,
        Code::Unavailable => return Error::Trouble(status),
        Code::FailedPrecondition => NoVerdict::Unfetched,
        Code::DeadlineExceeded => NoVerdict::Late,
        _ => NoVerdict::Refused,
    };
    Error::NoVerdict { worker, end, status }
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
    use berth_domain::random::SystemRandom;

    use super::*;

    #[test]
    fn what_a_worker_says_is_told_from_a_connection_that_broke() {
        let worker = WorkerId::new(&berth_domain::clock::SystemClock, &SystemRandom);
        let end = |status: Status| match without_verdict(worker, status) {
            Error::NoVerdict { end, .. } => Some(end),
            _ => None,
        };
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            end(Status::from_error(Box::new(broken))),
            Some(NoVerdict::Interrupted)
        );
        assert_eq!(end(Status::unavailable("it proves others")), None);
        assert_eq!(
            end(Status::failed_precondition("no files")),
            Some(NoVerdict::Unfetched)
        );
        assert_eq!(end(Status::deadline_exceeded("too slow")), Some(NoVerdict::Late));
        assert_eq!(end(Status::internal("fell over")), Some(NoVerdict::Refused));
    }

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
