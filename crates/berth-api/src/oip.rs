//! The Open Inference Protocol v2 under `/v2`.

pub(crate) mod models;
pub(crate) mod server;
