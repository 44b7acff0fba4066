//! Tensors in, tensors out: the JSON form of the Open Inference Protocol's `infer`.

mod answer;
mod data;
mod request;

pub(crate) use answer::{Names, answer};
pub(crate) use request::Request;
