//! Embeddings.

pub(crate) mod create;
