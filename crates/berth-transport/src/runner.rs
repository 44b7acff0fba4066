//! What a runner is asked, typed.

use std::sync::Arc;

use berth_protocol::runner::{
    DescribeRequest, DescribeResponse, InferRequest, InferResponse, ProveRequest, ProveResponse,
};
use bytes::Bytes;
use prost::Message;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::connection::Reply;
use crate::error::Error;
use crate::peers::{Location, Peers};
use crate::server::{Fault, Service, serve};

const INFER: u8 = 1;
const DESCRIBE: u8 = 2;
const PROVE: u8 = 3;

/// The replica that is asked is not in this runner, or not any more. Nothing was begun: another may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the runner does not hold this replica")]
pub struct NotHeld;

/// Answers what a runner is asked. Requests name a replica, or none where there is one alone.
pub trait Runner: Send + Sync + 'static {
    /// Runs one request. Dropped when its caller is gone.
    fn infer(&self, request: InferRequest) -> impl Future<Output = Result<InferResponse, NotHeld>> + Send;

    /// Tells what is loaded.
    fn describe(&self, request: &DescribeRequest) -> Result<DescribeResponse, NotHeld>;

    /// Runs the model on made-up inputs.
    fn prove(&self, request: ProveRequest) -> impl Future<Output = Result<ProveResponse, NotHeld>> + Send;
}

/// Asks one runner. Bodies travel behind the messages and are not copied.
#[derive(Debug)]
pub struct RunnerClient {
    channel: Channel,
}

impl RunnerClient {
    /// A client of the runner at `location`. Nothing is connected yet.
    pub fn new(peers: Peers, location: Location) -> Self {
        Self {
            channel: Channel::new(peers, location),
        }
    }

    /// Runs one request. Dropping the future cancels it in the runner. Needs a running Tokio runtime.
    pub async fn infer(&self, mut request: InferRequest) -> Result<InferResponse, Error> {
        let body = std::mem::take(&mut request.body);
        let reply = self.channel.call(INFER, encoded(&request), body).await?;
        let mut response: InferResponse = decoded(reply.message).map_err(Error::Protocol)?;
        response.body = reply.body;
        Ok(response)
    }

    /// What is loaded.
    pub async fn describe(&self) -> Result<DescribeResponse, Error> {
        self.ask(DESCRIBE, &DescribeRequest::default()).await
    }

    /// Lets the model run on made-up inputs.
    pub async fn prove(&self) -> Result<ProveResponse, Error> {
        self.ask(PROVE, &ProveRequest::default()).await
    }

    async fn ask<T: Message + Default>(&self, method: u8, request: &impl Message) -> Result<T, Error> {
        let reply = self.channel.call(method, encoded(request), Bytes::new()).await?;
        decoded(reply.message).map_err(Error::Protocol)
    }
}

/// Lets `runner` answer on every connection to `listener` until `draining`; then refuses new requests, and returns when those that
/// it has are finished. Dropping the future ends them.
pub async fn serve_runner(listener: UnixListener, runner: impl Runner, draining: CancellationToken) {
    serve(listener, Arc::new(Typed(runner)), draining).await;
}

struct Typed<R>(R);

impl<R: Runner> Service for Typed<R> {
    async fn call(&self, method: u8, message: Bytes, body: Bytes) -> Result<Reply, Fault> {
        match method {
            INFER => {
                let mut request: InferRequest = understood(message)?;
                request.body = body;
                let mut response = self.0.infer(request).await.map_err(refused)?;
                let body = std::mem::take(&mut response.body);
                Ok(Reply {
                    message: encoded(&response),
                    body,
                })
            }
            DESCRIBE => {
                let described = self.0.describe(&understood(message)?);
                Ok(message_only(&described.map_err(refused)?))
            }
            PROVE => {
                let proved = self.0.prove(understood(message)?).await;
                Ok(message_only(&proved.map_err(refused)?))
            }
            unknown => Err(Fault::Misunderstood(format!("a runner has no method {unknown}"))),
        }
    }
}

fn message_only(message: &impl Message) -> Reply {
    Reply {
        message: encoded(message),
        body: Bytes::new(),
    }
}

fn understood<T: Message + Default>(message: Bytes) -> Result<T, Fault> {
    decoded(message).map_err(Fault::Misunderstood)
}

fn refused(NotHeld: NotHeld) -> Fault {
    Fault::Refused
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn decoded<T: Message + Default>(message: Bytes) -> Result<T, String> {
    T::decode(message).map_err(|error| format!("a message is malformed: {error}"))
}
