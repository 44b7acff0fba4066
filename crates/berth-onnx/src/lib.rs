#![doc = include_str!("../README.md")]

pub mod inspect;
pub mod rewrite;
pub mod summary;

pub mod error;
pub mod limits;
pub mod operators;

mod external;
mod function;
mod graph;
mod node;
mod ranks;
mod rows;
mod tensor;
mod value;
mod wire;

pub use error::Error;
pub use inspect::inspect;
pub use limits::Limits;
pub use summary::GraphSummary;
