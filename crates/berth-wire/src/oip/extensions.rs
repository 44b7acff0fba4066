//! What Triton adds to the protocol: how models are set up, how often they ran, and which there are.

use berth_domain::tensor::{Datatype, TensorSpec};
use serde::{Deserialize, Serialize};

use super::{Parameters, grpc};

/// `GET /v2/models/{model}/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipModelConfig)]
pub struct ModelConfig {
    /// The model, as it was asked for.
    pub name: String,
    /// The format of the model.
    #[schema(example = "onnxruntime_onnx")]
    pub platform: String,
    /// What runs it.
    #[schema(example = "onnxruntime")]
    pub backend: String,
    /// Always 0: the shapes are whole, with the dimension of the batch where there is one.
    pub max_batch_size: i32,
    /// The tensors that a request brings.
    pub input: Vec<TensorConfig>,
    /// The tensors that an answer holds.
    pub output: Vec<TensorConfig>,
    /// The file of the graph.
    pub default_model_filename: String,
}

/// An input or output as the model is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipTensorConfig)]
pub struct TensorConfig {
    /// The name.
    pub name: String,
    /// The element type: `TYPE_` and the protocol's name, `TYPE_STRING` for `BYTES`.
    #[schema(example = "TYPE_FP32")]
    pub data_type: String,
    /// The shape; `-1` for an extent that a request may choose.
    pub dims: Vec<i64>,
}

impl From<&TensorSpec> for TensorConfig {
    fn from(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            data_type: data_type(spec.datatype).as_str_name().to_owned(),
            dims: spec
                .shape
                .iter()
                .map(berth_domain::tensor::Dimension::wire)
                .collect(),
        }
    }
}

fn data_type(datatype: Datatype) -> grpc::inference::DataType {
    datatype.into()
}

/// `GET /v2/models/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipStatistics)]
pub struct Statistics {
    /// Each version that can be called.
    pub model_stats: Vec<ModelStatistics>,
}

/// How often and for how long a version ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipModelStatistics)]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// The number of the version.
    pub version: String,
    /// When the last answer was there, in milliseconds since 1970; 0 for never.
    pub last_inference: u64,
    /// Rows that were computed.
    pub inference_count: u64,
    /// Requests that were answered.
    pub execution_count: u64,
    /// What happened how often, and how long it took.
    pub inference_stats: InferStatistics,
}

/// What happened how often, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipInferStatistics)]
pub struct InferStatistics {
    /// Requests that were answered.
    pub success: Duration,
    /// Requests that were refused or failed.
    pub fail: Duration,
    /// What answered requests waited for their turn.
    pub queue: Duration,
    /// Always 0: it is part of the whole time of a request.
    pub compute_input: Duration,
    /// What the model took for answered requests.
    pub compute_infer: Duration,
    /// Always 0: it is part of the whole time of a request.
    pub compute_output: Duration,
}

/// How often something happened, and how long it took altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipDuration)]
pub struct Duration {
    /// How often.
    pub count: u64,
    /// How long, in nanoseconds.
    pub ns: u64,
}

/// `POST /v2/repository/index`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = OipIndexRequest)]
pub struct IndexRequest {
    /// Whether only models that answer now are wanted.
    pub ready: bool,
}

/// A version that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipIndexEntry)]
pub struct IndexEntry {
    /// The model.
    pub name: String,
    /// The number of the version.
    pub version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    pub state: String,
    /// Why it does not answer, in words; may be empty.
    pub reason: String,
}

/// `POST /v2/repository/models/{model}/load` and `…/unload`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = OipRepositoryRequest)]
pub struct RepositoryRequest {
    /// Parameters of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub parameters: Option<Parameters>,
}

/// The answer of `load` and `unload`: an empty object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipRepositoryAnswer)]
pub struct RepositoryAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datatypes_are_named_as_tritons_configurations_name_them() {
        let named: Vec<_> = Datatype::ALL
            .iter()
            .map(|&datatype| data_type(datatype).as_str_name())
            .collect();
        for (datatype, name) in Datatype::ALL.iter().zip(&named) {
            let expected = match datatype {
                Datatype::Bytes => "TYPE_STRING".to_owned(),
                other => format!("TYPE_{}", other.as_str()),
            };
            assert_eq!(*name, expected);
        }
    }
}
