//! The OpenAI API, as its public clients speak it.

mod embeddings;
mod error;
mod list;
mod model;

pub use embeddings::{
    Embedding, EmbeddingInput, EmbeddingUsage, EmbeddingsRequest, EmbeddingsResponse, EncodingFormat, Vector,
};
pub use error::{ErrorBody, ErrorObject};
pub use list::List;
pub use model::Model;
