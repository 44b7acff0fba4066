//! Asking one runner within the time that a caller has.

use std::time::Duration;

use berth_protocol::runner::{InferRequest, InferResponse};
use berth_transport::{Location, Peers, RunnerClient};

/// Why a runner gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call did not come through.
    #[error(transparent)]
    Transport(berth_transport::Error),
    /// The deadline passed.
    #[error("the runner did not answer in time")]
    Deadline,
}

/// The way to one runner.
#[derive(Debug)]
pub struct RunnerConnection(RunnerClient);

impl RunnerConnection {
    /// The way to `location`.
    pub fn new(peers: Peers, location: Location) -> Self {
        Self(RunnerClient::new(peers, location))
    }

    /// Runs one request, for at most `timeout`. Dropping the future cancels the request in the runner. Needs a running Tokio
    /// runtime.
    pub async fn infer(&self, request: InferRequest, timeout: Duration) -> Result<InferResponse, Error> {
        match tokio::time::timeout(timeout, self.0.infer(request)).await {
            Ok(answered) => answered.map_err(Error::Transport),
            Err(_) => Err(Error::Deadline),
        }
    }
}
