//! Logging, metrics and traces: how a process sets them up, and the names that all crates use.
//!
//! - [`logging`]: log lines to the standard error stream; panics become log lines too.
//! - [`metrics`]: the recorder behind the facade of the crate `metrics`, and the table of names.
//! - [`probes`]: signs of life and metrics over HTTP, for processes that serve no API.
//! - [`traces`]: parts of requests, exported to a collector.
//!
//! The standard output stream is never written to: it belongs to what a command answers, such as the one line
//! `listening on http://…` of a server.

pub mod logging;
pub mod metrics;
pub mod probes;
pub mod traces;
