//! The way to one runner: a multiplexed gRPC connection that is made when first used and made again when it was lost.

use std::error::Error as _;
use std::time::Duration;

use berth_protocol::runner::runner_client::RunnerClient;
use berth_protocol::runner::{InferRequest, InferResponse};
use berth_protocol::transport::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES, MESSAGE_LIMIT_BYTES, STREAM_WINDOW_BYTES,
};
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

/// A connection to a runner. Clones share it.
#[derive(Debug, Clone)]
pub struct RunnerConnection {
    client: Option<RunnerClient<Channel>>,
}

impl RunnerConnection {
    /// The way to `address` (`unix:` and a path). Connects when first used. Needs a running Tokio runtime.
    pub fn new(address: &str) -> Self {
        let client = Endpoint::from_shared(address.to_owned()).ok().map(|endpoint| {
            let channel = endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_frame_size(FRAME_BYTES)
                .connect_lazy();
            RunnerClient::new(channel)
                .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
                .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
        });
        Self { client }
    }

    /// Runs one request, for at most `timeout`. Dropping the future cancels the request in the runner.
    pub async fn infer(&self, request: InferRequest, timeout: Duration) -> Result<InferResponse, Error> {
        let mut client = self.client.clone().ok_or(Error::Address)?;
        match tokio::time::timeout(timeout, client.infer(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(classify(status)),
            Err(_) => Err(Error::Deadline),
        }
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
