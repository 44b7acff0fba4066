#![doc = include_str!("../README.md")]

pub mod openapi;
pub mod options;
pub mod tls;

mod answer;
mod control;
mod doorstep;
mod errors;
mod extract;
mod fallback;
mod frame;
mod grpc;
mod inference;
mod layers;
mod list;
mod metrics;
mod oip;
mod openai;
mod operations;
mod readiness;
mod repeats;
mod request;
mod routes;
mod server;
mod services;
mod state;

pub use options::Options;
pub use server::{Error, Server};
pub use services::Services;
