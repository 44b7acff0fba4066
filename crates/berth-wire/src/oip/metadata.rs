//! What a server and its models say of themselves.

use berth_domain::tensor::{Datatype, TensorSpec};
use serde::{Deserialize, Serialize};

/// `GET /v2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipServerMetadata)]
pub struct ServerMetadata {
    /// The name of the server.
    #[schema(example = "berth")]
    pub name: String,
    /// Its version.
    pub version: String,
    /// The extensions of the protocol that it speaks.
    pub extensions: Vec<String>,
}

/// `GET /v2/health/live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipServerLive)]
pub struct ServerLive {
    /// Whether the server runs.
    pub live: bool,
}

/// `GET /v2/health/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipServerReady)]
pub struct ServerReady {
    /// Whether the server takes requests.
    pub ready: bool,
}

/// `GET /v2/models/{model}/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipModelReady)]
pub struct ModelReady {
    /// The model, as it was asked for.
    pub name: String,
    /// Whether a loaded copy takes requests now.
    pub ready: bool,
}

/// `GET /v2/models/{model}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipModelMetadata)]
pub struct ModelMetadata {
    /// The model, as it was asked for.
    pub name: String,
    /// The versions that can be asked for.
    #[serde(default)]
    pub versions: Vec<String>,
    /// The format of the model.
    #[schema(example = "onnx_onnxv1")]
    pub platform: String,
    /// The tensors that a request brings.
    pub inputs: Vec<TensorMetadata>,
    /// The tensors that an answer holds.
    pub outputs: Vec<TensorMetadata>,
}

/// The name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipTensorMetadata)]
pub struct TensorMetadata {
    /// The name.
    pub name: String,
    /// The element type.
    pub datatype: Datatype,
    /// The shape; `-1` for an extent that a request may choose.
    pub shape: Vec<i64>,
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            datatype: spec.datatype,
            shape: spec
                .shape
                .iter()
                .map(berth_domain::tensor::Dimension::wire)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::tensor::Dimension;

    use super::*;

    #[test]
    fn open_extents_are_minus_one() {
        let spec = TensorSpec {
            name: "input_ids".to_owned(),
            datatype: Datatype::Int64,
            shape: vec![
                Dimension::Symbolic("batch".to_owned()),
                Dimension::Fixed(3),
                Dimension::OPEN,
            ],
        };
        assert_eq!(
            serde_json::to_string(&TensorMetadata::from(&spec)).expect("serializes"),
            r#"{"name":"input_ids","datatype":"INT64","shape":[-1,3,-1]}"#
        );
    }
}
