//! Requests over the inherited socket.

use std::os::unix::net::UnixListener;

use anyhow::Context as _;
use berth_domain::tensor::TensorSpec;
use berth_protocol::PROTOCOL_VERSION;
use berth_protocol::runner::{
    DescribeRequest, DescribeResponse, InferRequest, InferResponse, ProveRequest, ProveResponse, Tensor,
};
use berth_runtime::Runtime;
use berth_transport::{NotHeld, Runner, serve_runner};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
            say(&Event::Ready(ready.clone()))?;
            let draining = CancellationToken::new();
            let serving = serve_runner(listener, Service { runtime, ready }, draining.clone());
            let told_to_end = async {
                terminate.recv().await;
                tracing::debug!("finishing what is there");
                draining.cancel();
                tokio::time::sleep(FINISH_LIMIT).await;
            };
            tokio::select! {
                () = serving => {}
                () = told_to_end => {}
            }
            Ok(())
        })
}

impl Runner for Service {
    async fn infer(&self, request: InferRequest) -> Result<InferResponse, NotHeld> {
        Ok(self.runtime.infer(request).await)
    }

    fn describe(&self, _: &DescribeRequest) -> Result<DescribeResponse, NotHeld> {
        Ok(DescribeResponse {
            inputs: self.runtime.inputs().iter().map(tensor).collect(),
            outputs: self.runtime.outputs().iter().map(tensor).collect(),
            library_version: self.ready.library_version.clone(),
            execution_providers: self.ready.providers.clone(),
            resident_bytes: self.ready.resident_bytes,
            load_us: self.ready.load_us,
            protocol: PROTOCOL_VERSION,
        })
    }

    async fn prove(&self, _: ProveRequest) -> Result<ProveResponse, NotHeld> {
        let proof = self.runtime.prove().await;
        Ok(ProveResponse {
            ok: proof.failed.is_none(),
            reason: proof.failed.unwrap_or_default(),
            warnings: proof.warnings,
            run_us: u64::try_from(proof.computed.as_micros()).unwrap_or(u64::MAX),
        })
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
