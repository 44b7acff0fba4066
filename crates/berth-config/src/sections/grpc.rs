//! Inference over gRPC.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Section;
use crate::Span;
use crate::check::Check;

/// Inference over gRPC (the Open Inference Protocol), on a listener of its own in `berth api`. TLS, limits on bodies, their memory,
/// time limits and trusted proxies are those of `http`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Address and port to listen on. Without it, gRPC is not served; `berth dev` takes the port after that of HTTP.
    #[schemars(example = "0.0.0.0:8081")]
    pub listen: Option<SocketAddr>,
    /// Connections at the same time; further ones wait in the system's queue. One connection carries as many calls at a time as
    /// `http.requests_per_connection` says, and clients need few.
    pub max_connections: u32,
    /// How long nothing may come over a connection before its client is asked whether it is there. Clients that are gone without a
    /// word are found out by this.
    pub keep_alive_interval: Span,
    /// How long a client may take to answer that.
    pub keep_alive_timeout: Span,
    /// How long a connection without calls is kept. Clients connect anew by themselves.
    pub idle_timeout: Span,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: None,
            max_connections: 1_000,
            keep_alive_interval: Span::seconds(60),
            keep_alive_timeout: Span::seconds(20),
            idle_timeout: Span::seconds(300),
        }
    }
}

impl Section for Grpc {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.serves_http() || self.listen.is_none() {
            return;
        }
        check.at_least_one("max_connections", self.max_connections);
        check.some_time("keep_alive_interval", self.keep_alive_interval);
        check.some_time("keep_alive_timeout", self.keep_alive_timeout);
        check.some_time("idle_timeout", self.idle_timeout);
    }
}
