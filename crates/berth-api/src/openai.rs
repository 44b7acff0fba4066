//! The OpenAI API under `/v1`.

pub(crate) mod embeddings;
pub(crate) mod models;

mod routing;
