//! The way to one runner: multiplexed gRPC connections that are made when first used and made again when they were lost.

use std::error::Error as _;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use berth_protocol::runner::runner_client::RunnerClient;
use berth_protocol::runner::{InferRequest, InferResponse};
use berth_protocol::transport::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES, MESSAGE_LIMIT_BYTES, STREAM_WINDOW_BYTES,
};
use tokio::runtime::{self, Handle};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long connecting to a socket of this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a runner gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address in the replica's record is not one.
    #[error("the replica's address is not usable")]
    Address,
    /// No connection: the request has surely not started, so another replica may be asked.
    #[error("the runner cannot be reached")]
    Unreachable(#[source] Status),
    /// The connection ended in the middle: nobody knows how far the request was.
    #[error("the runner ended while it worked on the request")]
    Lost(#[source] Status),
    /// The deadline passed.
    #[error("the runner did not answer in time")]
    Deadline,
    /// The runner answered against the protocol.
    #[error("the runner gave an answer that is not understood")]
    Protocol(#[source] Status),
}

/// The way to one runner. Each Tokio runtime that asks has a connection of its own, made when it first asks: an answer then
/// comes in on the thread that waits for it, where a shared connection would wake another thread on each way.
#[derive(Debug)]
pub struct RunnerConnection {
    endpoint: Option<Endpoint>,
    // As many as the process has threads that serve, so looking through them is the fastest.
    clients: RwLock<Vec<(runtime::Id, RunnerClient<Channel>)>>,
}

impl RunnerConnection {
    /// The way to `address` (`unix:` and a path).
    pub fn new(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned()).ok().map(|endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_frame_size(FRAME_BYTES)
        });
        Self {
            endpoint,
            clients: RwLock::default(),
        }
    }

    /// Runs one request, for at most `timeout`. Dropping the future cancels the request in the runner. Needs a running Tokio
    /// runtime.
    pub async fn infer(&self, request: InferRequest, timeout: Duration) -> Result<InferResponse, Error> {
        let mut client = self.client().ok_or(Error::Address)?;
        match tokio::time::timeout(timeout, client.infer(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(classify(status)),
            Err(_) => Err(Error::Deadline),
        }
    }

    /// The connection of this runtime; `None` when the address is not usable.
    fn client(&self) -> Option<RunnerClient<Channel>> {
        let here = Handle::current().id();
        let of_this_runtime = |clients: &[(runtime::Id, RunnerClient<Channel>)]| {
            let found = clients.iter().find(|(runtime, _)| *runtime == here);
            found.map(|(_, client)| client.clone())
        };
        let known = of_this_runtime(&self.clients.read().unwrap_or_else(PoisonError::into_inner));
        if known.is_some() {
            return known;
        }
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread of this runtime may have been quicker.
        if let Some(known) = of_this_runtime(&clients) {
            return Some(known);
        }
        let client = RunnerClient::new(self.endpoint.as_ref()?.connect_lazy())
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        clients.push((here, client.clone()));
        Some(client)
    }
}

fn classify(status: Status) -> Error {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return Error::Unreachable(status);
        }
        cause = error.source();
    }
    match status.code() {
        Code::DeadlineExceeded => Error::Deadline,
        // A connection that breaks shows as one of these, depending on which side notices first.
        Code::Unavailable | Code::Cancelled | Code::Unknown => Error::Lost(status),
        // What h2 makes of a stream that ends without its trailers, as when the process was killed.
        Code::Internal if status.source().is_some() => Error::Lost(status),
        _ => Error::Protocol(status),
    }
}
