//! What is told of models, over REST and over gRPC.

use berth_domain::access::KeyIdentity;
use berth_serving::inference::{Inference, Standing};
use berth_serving::statistics::Total;
use berth_wire::oip::{
    Duration, EXTENSIONS, InferStatistics, ModelConfig, ModelMetadata, ModelStatistics, ServerMetadata,
    Statistics, TensorConfig, TensorMetadata,
};

use crate::errors::Failure;

/// What the server is.
pub(crate) fn server() -> ServerMetadata {
    ServerMetadata {
        name: "berth".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).into(),
    }
}

/// What a model takes and gives.
pub(crate) async fn metadata(
    inference: &Inference,
    key: &KeyIdentity,
    model: &str,
    version: Option<u32>,
) -> Result<ModelMetadata, Failure> {
    let found = inference.describe(key, model, version).await?;
    Ok(ModelMetadata {
        name: model.to_owned(),
        versions: found.versions.iter().map(ToString::to_string).collect(),
        platform: "onnx_onnxv1".to_owned(),
        inputs: found.manifest.inputs.iter().map(TensorMetadata::from).collect(),
        outputs: found.manifest.outputs.iter().map(TensorMetadata::from).collect(),
    })
}

/// How a model is set up.
pub(crate) async fn config(
    inference: &Inference,
    key: &KeyIdentity,
    model: &str,
    version: Option<u32>,
) -> Result<ModelConfig, Failure> {
    let found = inference.describe(key, model, version).await?;
    Ok(ModelConfig {
        name: model.to_owned(),
        platform: "onnxruntime_onnx".to_owned(),
        backend: "onnxruntime".to_owned(),
        max_batch_size: 0,
        input: found.manifest.inputs.iter().map(TensorConfig::from).collect(),
        output: found.manifest.outputs.iter().map(TensorConfig::from).collect(),
        default_model_filename: found.manifest.graph,
    })
}

/// How often and for how long versions ran: of one model, or of all.
pub(crate) async fn statistics(
    inference: &Inference,
    key: &KeyIdentity,
    model: Option<(&str, Option<u32>)>,
) -> Result<Statistics, Failure> {
    let standings = inference.statistics(key, model).await?;
    Ok(Statistics {
        model_stats: standings.into_iter().map(counted).collect(),
    })
}

fn counted(standing: Standing) -> ModelStatistics {
    let counts = standing.counts;
    let last = counts.last.map(|last| last.timestamp_millis());
    ModelStatistics {
        name: standing.model,
        version: standing.version.to_string(),
        last_inference: last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0),
        inference_count: counts.rows,
        execution_count: counts.success.count,
        inference_stats: InferStatistics {
            success: duration(counts.success),
            fail: duration(counts.fail),
            queue: duration(counts.queue),
            compute_input: Duration::default(),
            compute_infer: duration(counts.compute),
            compute_output: Duration::default(),
        },
    }
}

fn duration(total: Total) -> Duration {
    Duration {
        count: total.count,
        ns: total.ns,
    }
}
