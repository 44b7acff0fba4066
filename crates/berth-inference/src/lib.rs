#![doc = include_str!("../README.md")]

pub mod tensor;

mod backend;
mod check;
mod error;
mod interrupt;

pub mod fake;
pub mod memory;
pub mod onnx_runtime;

pub use backend::{Backend, Model, Optimization, Options, Provider, Session, UnknownProvider, Weights};
pub use error::Error;
pub use interrupt::{Armed, Interrupt};
pub use tensor::Tensor;
