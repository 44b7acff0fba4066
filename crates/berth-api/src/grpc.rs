//! The Open Inference Protocol v2 over gRPC, on a listener of its own: the same keys, limits, ids, logs and metrics as over HTTP.
//!
//! The framing is read here rather than by a library for gRPC servers: such a library collects a message before anybody can see
//! who sends it, and holds it where nobody counts it.

mod answers;
mod call;
mod caller;
mod connection;
mod infer;
mod listener;
mod messages;
mod methods;
mod status;

pub(crate) use listener::Listener;
