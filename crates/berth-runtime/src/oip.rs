//! Tensors in, tensors out: the Open Inference Protocol's `infer`, as JSON, with tensors in binary, and as messages of gRPC.

mod answer;
mod binary;
mod data;
mod fit;
mod grpc;
mod hoist;
mod numbers;
mod request;

pub(crate) use answer::Written;
pub(crate) use request::Request;
