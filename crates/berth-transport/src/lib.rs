#![doc = include_str!("../README.md")]

mod channel;
mod connection;
mod error;
mod frame;
mod runner;
mod server;

pub use channel::Channel;
pub use connection::Reply;
pub use error::Error;
pub use runner::{Runner, RunnerClient, serve_runner};
pub use server::{Service, serve};
