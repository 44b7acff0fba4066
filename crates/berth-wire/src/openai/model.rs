//! Models as the OpenAI API lists them.

use serde::{Deserialize, Serialize};

/// A model that the caller may name in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiModel)]
pub struct Model {
    /// What to write into the field `model`.
    #[schema(example = "all-minilm-l6-v2")]
    pub id: String,
    /// Always `model`.
    #[schema(pattern = "^model$", example = "model")]
    pub object: String,
    /// When it was deployed, in seconds since 1970.
    pub created: i64,
    /// Whose model it is.
    pub owned_by: String,
}

impl Model {
    /// The model called `id`.
    pub fn new(id: impl Into<String>, created: i64, owned_by: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            object: "model".to_owned(),
            created,
            owned_by: owned_by.into(),
        }
    }
}
