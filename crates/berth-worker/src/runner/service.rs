//! Requests over the inherited socket.

use std::os::unix::net::UnixListener;

use anyhow::Context as _;
use berth_domain::tensor::TensorSpec;
use berth_protocol::PROTOCOL_VERSION;
use berth_protocol::runner::runner_server::{Runner, RunnerServer};
use berth_protocol::runner::{
    DescribeRequest, DescribeResponse, InferRequest, InferResponse, ProveRequest, ProveResponse, Tensor,
};
use berth_protocol::transport::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES, MESSAGE_LIMIT_BYTES, STREAM_WINDOW_BYTES,
};
use berth_runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Event, FINISH_LIMIT, Ready, say};

struct Service {
    runtime: Runtime,
    ready: Ready,
}

/// Answers requests until SIGTERM, and then finishes those that it has.
pub(super) fn serve(
    runtime: Runtime,
    ready: Ready,
    listener: UnixListener,
    blocking_threads: usize,
) -> anyhow::Result<()> {
    // One thread moves bytes; computing has its own.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads)
        .build()
        .context("the runner's event loop cannot start")?
        .block_on(async {
            listener
                .set_nonblocking(true)
                .context("the socket cannot be used")?;
            let listener =
                tokio::net::UnixListener::from_std(listener).context("the socket cannot be used")?;
            let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
            let event = Event::Ready(ready.clone());
            let service = RunnerServer::new(Service { runtime, ready })
                .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
                .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
            say(&event)?;
            let (draining, drained) = tokio::sync::oneshot::channel();
            let serving = Server::builder()
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_frame_size(FRAME_BYTES)
                .serve_with_incoming_shutdown(service, UnixListenerStream::new(listener), async move {
                    terminate.recv().await;
                    tracing::debug!("finishing what is there");
                    // Nobody waits for it when serving has ended by itself.
                    let _ = draining.send(());
                });
            let too_long = async {
                match drained.await {
                    Ok(()) => tokio::time::sleep(FINISH_LIMIT).await,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                served = serving => served.context("the runner can serve no longer"),
                () = too_long => Ok(()),
            }
        })
}

#[tonic::async_trait]
impl Runner for Service {
    async fn infer(&self, request: Request<InferRequest>) -> Result<Response<InferResponse>, Status> {
        Ok(Response::new(self.runtime.infer(request.into_inner()).await))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(DescribeResponse {
            inputs: self.runtime.inputs().iter().map(tensor).collect(),
            outputs: self.runtime.outputs().iter().map(tensor).collect(),
            library_version: self.ready.library_version.clone(),
            execution_providers: self.ready.providers.clone(),
            resident_bytes: self.ready.resident_bytes,
            load_us: self.ready.load_us,
            protocol: PROTOCOL_VERSION,
        }))
    }

    async fn prove(&self, _: Request<ProveRequest>) -> Result<Response<ProveResponse>, Status> {
        let proof = self.runtime.prove().await;
        Ok(Response::new(ProveResponse {
            ok: proof.failed.is_none(),
            reason: proof.failed.unwrap_or_default(),
            warnings: proof.warnings,
            run_us: u64::try_from(proof.computed.as_micros()).unwrap_or(u64::MAX),
        }))
    }
}

fn tensor(spec: &TensorSpec) -> Tensor {
    Tensor {
        name: spec.name.clone(),
        datatype: spec.datatype.as_str().to_owned(),
        dims: spec
            .shape
            .iter()
            .map(berth_domain::tensor::Dimension::wire)
            .collect(),
    }
}
