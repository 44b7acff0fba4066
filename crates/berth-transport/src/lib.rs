#![doc = include_str!("../README.md")]

mod channel;
mod connection;
mod error;
mod frame;
pub mod node;
mod peers;
mod runner;
mod server;

pub use channel::Channel;
pub use connection::Reply;
pub use error::Error;
pub use peers::{Admission, Location, Peers, Security, Stream, TlsError, TlsFiles, this_machine};
pub use runner::{NotHeld, Runner, RunnerClient, serve_runner};
pub use server::{Fault, Service, serve};
