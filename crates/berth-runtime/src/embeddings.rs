//! Texts into vectors: the task behind `POST /v1/embeddings`.

mod answer;
mod batches;
mod plan;
mod request;
mod tokens;

pub(crate) use answer::answer;
pub(crate) use batches::of as groups;
pub(crate) use plan::{Plan, Unfit};
pub(crate) use request::{Input, Request};
pub(crate) use tokens::{TokenizerError, Tokens};

/// The token ids of one text, special tokens included.
pub(crate) type Row = Box<[u32]>;
