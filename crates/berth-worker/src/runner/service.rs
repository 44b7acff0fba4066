//! Requests over the inherited socket.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use berth_domain::tensor::TensorSpec;
use berth_protocol::PROTOCOL_VERSION;
use berth_protocol::runner::{
    DescribeRequest, DescribeResponse, Failure, InferRequest, InferResponse, ProveRequest, ProveResponse,
    Tensor,
};
use berth_runtime::{Code, Runtime};
use berth_transport::{NotHeld, Runner};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Ready;

/// A model that answers requests.
pub(super) struct Held {
    pub(super) runtime: Runtime,
    pub(super) ready: Ready,
    /// Those who ask.
    pub(super) visits: TaskTracker,
    /// They are answered no more.
    pub(super) cut: CancellationToken,
}

/// The models of this process, by what requests call them. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Models(Arc<RwLock<HashMap<String, Arc<Held>>>>);

impl Models {
    /// Adds a model.
    pub(super) fn add(&self, replica: String, runtime: Runtime, ready: Ready) {
        let held = Held {
            runtime,
            ready,
            visits: TaskTracker::new(),
            cut: CancellationToken::new(),
        };
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        models.insert(replica, Arc::new(held));
    }

    /// Takes a model away: it gets no new requests, and goes when the last one is answered.
    pub(super) fn take(&self, slot: u64) -> Option<Arc<Held>> {
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let replica = models
            .iter()
            .find(|(_, held)| held.ready.slot == slot)
            .map(|(replica, _)| replica.clone())?;
        models.remove(&replica)
    }

    /// The model that a request names; the only one where it names none.
    fn named(&self, replica: &str) -> Result<Arc<Held>, NotHeld> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let held = if replica.is_empty() {
            models.values().next().filter(|_| models.len() == 1)
        } else {
            models.get(replica)
        };
        held.cloned().ok_or(NotHeld)
    }
}

impl Runner for Models {
    async fn infer(&self, request: InferRequest) -> Result<InferResponse, NotHeld> {
        let held = self.named(&request.replica)?;
        let _visit = held.visits.token();
        tokio::select! {
            biased;
            answer = held.runtime.infer(request) => Ok(answer),
            () = held.cut.cancelled() => Ok(InferResponse {
                failure: Some(Failure {
                    kind: Code::Internal.kind().into(),
                    code: Code::Internal.as_str().to_owned(),
                    message: "The model was taken away before the request was answered.".to_owned(),
                    param: String::new(),
                }),
                ..InferResponse::default()
            }),
        }
    }

    fn describe(&self, request: &DescribeRequest) -> Result<DescribeResponse, NotHeld> {
        let held = self.named(&request.replica)?;
        Ok(DescribeResponse {
            inputs: held.runtime.inputs().iter().map(tensor).collect(),
            outputs: held.runtime.outputs().iter().map(tensor).collect(),
            library_version: held.ready.library_version.clone(),
            execution_providers: held.ready.providers.clone(),
            resident_bytes: held.ready.resident_bytes,
            load_us: held.ready.load_us,
            protocol: PROTOCOL_VERSION,
        })
    }

    async fn prove(&self, request: ProveRequest) -> Result<ProveResponse, NotHeld> {
        let held = self.named(&request.replica)?;
        let _visit = held.visits.token();
        let proof = held.runtime.prove().await;
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
