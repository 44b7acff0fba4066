//! The Open Inference Protocol v2, over REST and over gRPC.

pub mod grpc;

mod extensions;
mod infer;
mod metadata;

pub use extensions::{
    Duration, IndexEntry, IndexRequest, InferStatistics, ModelConfig, ModelStatistics, RepositoryAnswer,
    RepositoryRequest, Statistics, TensorConfig,
};
pub use infer::{InferInput, InferOutput, InferRequest, InferRequestedOutput, InferResponse, Parameters};
pub use metadata::{ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, TensorMetadata};

use serde::{Deserialize, Serialize};

/// The extensions of the protocol that are spoken, as the server's metadata names them.
pub const EXTENSIONS: [&str; 4] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
];

/// The header of a request or answer whose tensors follow the JSON in binary: how many bytes the JSON has.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// An error as the Open Inference Protocol tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OipError)]
pub struct ErrorBody {
    /// What happened, in words.
    pub error: String,
}
