//! A worker's control service without a worker behind it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use berth_protocol::worker::worker_server::{Worker, WorkerServer};
use berth_protocol::worker::{StatusRequest, StatusResponse};
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response};

pub use berth_protocol::worker::{ProveVersionRequest, ProveVersionResponse};
pub use tonic::Status;

type Answer = dyn Fn(&ProveVersionRequest) -> Result<ProveVersionResponse, Status> + Send + Sync;

/// Answers requests for proofs on a socket of its own, as a test says. Has to be made inside a runtime; it ends with this
/// value.
#[derive(Debug)]
pub struct TestWorker {
    address: String,
    asked: Arc<Mutex<Vec<ProveVersionRequest>>>,
    task: AbortHandle,
    _folder: tempfile::TempDir,
}

struct Control {
    answer: Box<Answer>,
    asked: Arc<Mutex<Vec<ProveVersionRequest>>>,
}

impl TestWorker {
    /// A worker that answers every request with what `answer` makes of it.
    pub fn start(
        answer: impl Fn(&ProveVersionRequest) -> Result<ProveVersionResponse, Status> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let path = folder.path().join("worker.sock");
        let listener = UnixListener::bind(&path).context("binding a socket")?;
        let asked = Arc::default();
        let control = Control {
            answer: Box::new(answer),
            asked: Arc::clone(&asked),
        };
        let server = Server::builder()
            .serve_with_incoming(WorkerServer::new(control), UnixListenerStream::new(listener));
        Ok(Self {
            address: format!("unix:{}", path.display()),
            asked,
            task: tokio::spawn(server).abort_handle(),
            _folder: folder,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<ProveVersionRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl Worker for Control {
    async fn prove(
        &self,
        request: Request<ProveVersionRequest>,
    ) -> Result<Response<ProveVersionResponse>, Status> {
        let request = request.into_inner();
        let answer = (self.answer)(&request);
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        answer.map(Response::new)
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("a test's worker has no status"))
    }
}
