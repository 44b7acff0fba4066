//! The manifest of a model version (`berth.yaml`): what the model is for and how its files are used.
//!
//! The gate writes it from what it recognises in the folder; a `berth.yaml` in the folder overrides what it states.

use serde::{Deserialize, Serialize};

use crate::tensor::TensorSpec;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Text in, a vector per text out.
    TextEmbedding,
    /// Tensors in, tensors out: any graph, by the Open Inference Protocol.
    Tensors,
}

impl Task {
    /// The text form, as in JSON and YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextEmbedding => "text_embedding",
            Self::Tensors => "tensors",
        }
    }
}

/// How the vectors of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over tokens that the attention mask keeps.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The vector of the last token that the attention mask keeps.
    LastToken,
    /// The graph's output is already one vector per text.
    None,
}

/// How texts become vectors, for [`Task::TextEmbedding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextEmbedding {
    /// Path of the Hugging Face `tokenizer.json` in the folder.
    pub tokenizer: String,
    /// Name of the graph's output that is pooled.
    pub output: String,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Whether the vector is scaled to length 1 (L2).
    pub normalize: bool,
    /// Texts are cut after so many tokens, special tokens included.
    pub max_tokens: u32,
    /// Length of the vector.
    pub dimensions: u32,
}

/// How a model may be batched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Rows of different lengths may be padded to one batch, because a mask makes it safe.
    pub padding_is_safe: bool,
    /// Rows of one request depend on their neighbors (the gate found an operator that mixes them), so requests are
    /// never joined.
    pub rows_depend_on_neighbors: bool,
}

/// What a model version is: its task, its main graph, and how its files are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the model does.
    pub task: Task,
    /// Path of the main ONNX graph in the folder.
    pub graph: String,
    /// The graph's inputs.
    pub inputs: Vec<TensorSpec>,
    /// The graph's outputs.
    pub outputs: Vec<TensorSpec>,
    /// How texts become vectors; there exactly when the task is text embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_embedding: Option<TextEmbedding>,
    /// How requests may be joined.
    #[serde(default)]
    pub batching: Batching,
    /// SPDX expression or name of the licence, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Names of the fields that were guessed rather than stated by the folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guessed: Vec<String>,
}
