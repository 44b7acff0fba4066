//! Asking one runner within the time that a caller has.

use std::sync::Arc;
use std::time::Duration;

use berth_domain::id::ReplicaId;
use berth_protocol::runner::{InferRequest, InferResponse};
use berth_transport::RunnerClient;

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

/// The way to one replica; replicas that share a runner share its client.
#[derive(Debug)]
pub struct RunnerConnection {
    client: Arc<RunnerClient>,
    replica: String,
}

impl RunnerConnection {
    /// The way to `replica`, whose runner is asked by `client`.
    pub fn new(client: Arc<RunnerClient>, replica: ReplicaId) -> Self {
        Self {
            client,
            replica: replica.to_string(),
        }
    }

    /// What asks its runner.
    pub(crate) fn client(&self) -> &Arc<RunnerClient> {
        &self.client
    }

    /// Runs one request, for at most `timeout`. Dropping the future cancels the request in the runner. Needs a running Tokio
    /// runtime.
    pub async fn infer(&self, mut request: InferRequest, timeout: Duration) -> Result<InferResponse, Error> {
        request.replica.clone_from(&self.replica);
        match tokio::time::timeout(timeout, self.client.infer(request)).await {
            Ok(answered) => answered.map_err(Error::Transport),
            Err(_) => Err(Error::Deadline),
        }
    }
}
