//! What the server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use berth_domain::address::AddressList;
use ipnet::IpNet;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The URL under which clients reach the server, for the API description. Without it, wherever it was fetched from.
    pub public_url: Option<String>,
    /// Threads that serve requests; 0 is one for each core.
    pub threads: usize,
    /// Connections at the same time, over all threads.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request.
    pub head_timeout: Duration,
    /// How long a client may take to send a body that is held in memory.
    pub body_timeout: Duration,
    /// How long an upload may stand still.
    pub upload_stall_timeout: Duration,
    /// How long an upload may take altogether.
    pub upload_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// The longest that one inference request may take.
    pub inference_timeout: Duration,
    /// How long requests are still taken once the server is to stop, while it sends clients away.
    pub drain_delay: Duration,
    /// How long running requests may take to end after that.
    pub shutdown_timeout: Duration,
    /// Whether large answers are compressed for clients that ask for it.
    pub compression: bool,
    /// Whether `/openapi.json` and `/docs` are served.
    pub documentation: bool,
    /// Networks of proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may read `/metrics`; an empty list admits everyone.
    pub metrics_readers: AddressList,
    /// Upper bounds on bodies.
    pub body_limits: BodyLimits,
    /// Memory for the bodies of all requests together, uploads aside, in bytes. At least the largest body.
    pub body_memory: u64,
    /// Requests that one connection may have under way. Over HTTP/1 it is one anyway.
    pub requests_per_connection: usize,
    /// Whether HTTP/2 without TLS is understood too. Such a listener closes no connection on which nothing was sent yet.
    pub h2c: bool,
    /// Web origins that may call everything. Projects list origins for inference themselves.
    pub allowed_origins: Vec<String>,
    /// TLS on the listeners; without it, plain HTTP.
    pub tls: Option<Tls>,
    /// Inference over gRPC, on a listener of its own.
    pub grpc: Option<Grpc>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            threads: 0,
            max_connections: 10_000,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_mins(1),
            upload_stall_timeout: Duration::from_mins(1),
            upload_timeout: Duration::from_hours(6),
            keep_alive: Duration::from_secs(75),
            inference_timeout: Duration::from_mins(1),
            drain_delay: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(30),
            compression: true,
            documentation: true,
            trusted_proxies: Vec::new(),
            metrics_readers: AddressList::default(),
            body_limits: BodyLimits::default(),
            body_memory: 512 << 20,
            requests_per_connection: 256,
            h2c: false,
            allowed_origins: Vec::new(),
            tls: None,
            grpc: None,
        }
    }
}

/// How to serve gRPC. What is not here is as over HTTP: TLS, limits, time limits.
#[derive(Debug, Clone)]
pub struct Grpc {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at the same time.
    pub max_connections: usize,
    /// How long nothing may come over a connection before its client is asked whether it is there.
    pub keep_alive_interval: Duration,
    /// How long the client may take to answer that.
    pub keep_alive_timeout: Duration,
    /// How long a connection without calls is kept.
    pub idle_timeout: Duration,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections: 1_000,
            keep_alive_interval: Duration::from_mins(1),
            keep_alive_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_mins(5),
        }
    }
}

/// Upper bounds on bodies, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bodies on `/api`, other than uploads.
    pub control: u64,
    /// Bodies on `/v1` and `/v2`.
    pub inference: u64,
    /// One uploaded model file or archive.
    pub upload: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            control: 1 << 20,
            inference: 32 << 20,
            upload: 8 << 30,
        }
    }
}

/// Where the certificate is. Both files are read again when they change, and on SIGHUP.
#[derive(Debug, Clone)]
pub struct Tls {
    /// PEM file with the certificate and those between it and the root.
    pub certificate_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
}
