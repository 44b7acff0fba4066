#![doc = include_str!("../README.md")]

mod runtime;

mod compute;
mod marks;
mod turns;

mod embeddings;
mod oip;

mod engine;
mod offload;
mod prove;
mod work;

mod failure;
mod json;
mod numbers;

pub use compute::{Compute, ComputeOptions};
pub use failure::{Code, Failure};
pub use marks::{Marks, Unmarked};
pub use prove::Proof;
pub use runtime::{LoadError, Options, Runtime, Stats};
pub use turns::{Always, Turns};
