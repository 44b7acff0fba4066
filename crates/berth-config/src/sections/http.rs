//! The HTTP listener.

use std::net::SocketAddr;
use std::path::PathBuf;

use berth_domain::address::AddressList;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Size, Span};

/// The HTTP listener of `berth api`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port to listen on. Port 0 takes a free one. An address other than loopback without `http.tls` sends
    /// keys in the clear: put a proxy that speaks TLS in front.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The URL under which people and clients reach Berth; it stands in mails and in the API description. Without it,
    /// the address that is listened on.
    #[schemars(example = "https://berth.example.com")]
    pub public_url: Option<String>,
    /// Threads that serve requests; 0 is one for each core. More than the cores only costs memory.
    pub threads: u16,
    /// Connections at the same time, over all threads. Each costs some 20 kB; further ones wait in the system's queue.
    pub max_connections: u32,
    /// How long a client may take to send the head of a request. Short times shake off clients that hold connections
    /// open on purpose; long ones help those on bad lines.
    pub head_timeout: Span,
    /// How long an idle connection is kept for the next request. Proxies in front should close first.
    pub keep_alive: Span,
    /// How long a request body may come in, uploads aside.
    pub body_timeout: Span,
    /// How long an upload may stand still.
    pub upload_stall_timeout: Span,
    /// How long an upload may take altogether. Models are large and lines are slow; the largest upload in this time is the
    /// slowest line that is served.
    pub upload_timeout: Span,
    /// The longest that one inference request may take; it gets 504 afterwards and its work is stopped.
    pub inference_timeout: Span,
    /// How long requests are still taken after SIGTERM, while `/readyz` says no and each answer over HTTP/1.1 closes its connection:
    /// so that whatever balances the load has time to look elsewhere. At least as long as it needs to notice.
    pub drain_delay: Span,
    /// How long running requests may take to end after that; afterwards they are cut.
    pub shutdown_timeout: Span,
    /// Whether answers are compressed for clients that ask for it. Costs processor time, saves network.
    pub compression: bool,
    /// Whether the API's description is served at `/openapi.json` and its pages at `/docs`.
    pub documentation: bool,
    /// Networks of proxies whose `X-Forwarded-For` is believed. Leave it empty when clients connect directly: else a client
    /// could claim any address. The scheme that clients see is that of `http.public_url`; `X-Forwarded-Proto` is not read.
    #[schemars(with = "Vec<String>", example = ["10.0.0.0/8"])]
    pub trusted_proxies: Vec<IpNet>,
    /// Networks from which `/metrics` may be read; an empty list admits everyone. It names models, which tenants name. Behind
    /// a proxy that `http.trusted_proxies` does not name, nobody reads it.
    #[schemars(with = "Vec<String>")]
    pub metrics_readers: AddressList,
    /// Upper bounds on what clients send; more gets 413.
    pub body_limits: BodyLimits,
    /// Memory for the bodies of all requests together, uploads aside. A body for which there is none within a second gets 503
    /// and may be sent again. At least the largest body.
    pub body_memory: Size,
    /// Requests that one connection may have under way; more get 503. Over HTTP/1 it is one anyway. A proxy that speaks HTTP/2
    /// to Berth may need more.
    pub requests_per_connection: u32,
    /// Whether HTTP/2 without TLS is understood too, as proxies may speak it to Berth. Only where clients reach nothing but
    /// such a proxy: `http.head_timeout` does not count for a connection on which nothing was sent yet. With `http.tls`
    /// clients choose HTTP/2 as they connect, and this says nothing.
    pub h2c: bool,
    /// Which web pages of other origins may call this API from a browser.
    pub cors: Cors,
    /// TLS on this listener. Without this table it speaks plain HTTP.
    pub tls: Option<Tls>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            threads: 0,
            max_connections: 10_000,
            head_timeout: Span::seconds(10),
            keep_alive: Span::seconds(75),
            body_timeout: Span::seconds(60),
            upload_stall_timeout: Span::seconds(60),
            upload_timeout: Span::hours(6),
            inference_timeout: Span::seconds(60),
            drain_delay: Span::seconds(1),
            shutdown_timeout: Span::seconds(30),
            compression: true,
            documentation: true,
            trusted_proxies: Vec::new(),
            metrics_readers: loopback(),
            body_limits: BodyLimits::default(),
            body_memory: Size::mib(512),
            requests_per_connection: 256,
            h2c: false,
            cors: Cors::default(),
            tls: None,
        }
    }
}

/// This machine alone.
fn loopback() -> AddressList {
    let networks = ["127.0.0.0/8", "::1/128"];
    AddressList::new(
        networks
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
    )
}

impl Section for Http {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.serves_http() {
            return;
        }
        check.at_least_one("max_connections", self.max_connections);
        check.some_time("head_timeout", self.head_timeout);
        check.some_time("body_timeout", self.body_timeout);
        check.some_time("upload_stall_timeout", self.upload_stall_timeout);
        check.some_time("upload_timeout", self.upload_timeout);
        check.some_time("inference_timeout", self.inference_timeout);
        if let Some(url) = &self.public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            check.problem(
                "public_url",
                "must be a URL that begins with `http://` or `https://`",
            );
        }
        self.body_limits.settle(&mut check.inner("body_limits"));
        let largest = self.body_limits.control.max(self.body_limits.inference);
        if self.body_memory < largest {
            check.problem(
                "body_memory",
                format!("must be at least {largest}, for the largest body"),
            );
        }
        check.at_least_one("requests_per_connection", self.requests_per_connection);
        self.cors.settle(&mut check.inner("cors"));
        if let Some(tls) = &self.tls {
            tls.settle(&mut check.inner("tls"));
        }
    }
}

/// The largest that `http.body_limits.inference` can be. A body goes to its runner in one message, which has a limit of
/// 256 MiB; the rest is for what goes with it.
pub const LARGEST_INFERENCE_BODY: Size = Size::mib(255);

/// Upper bounds on request bodies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BodyLimits {
    /// Bodies on `/api`, other than uploads.
    pub control: Size,
    /// Bodies on `/v1` and `/v2`, at most 255MiB. Each is held in memory while its request runs.
    pub inference: Size,
    /// One uploaded model file or archive. It streams to disk: a large bound costs disk, not memory.
    pub upload: Size,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            control: Size::mib(1),
            inference: Size::mib(32),
            upload: Size::gib(8),
        }
    }
}

impl BodyLimits {
    fn settle(&self, check: &mut Check<'_>) {
        check.at_least_one("control", self.control.get());
        check.at_least_one("inference", self.inference.get());
        check.at_least_one("upload", self.upload.get());
        if self.inference > LARGEST_INFERENCE_BODY {
            check.problem(
                "inference",
                format!("must be at most {LARGEST_INFERENCE_BODY}: no larger body gets through to a model"),
            );
        }
    }
}

/// Which web pages of other origins may call this API.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins that may call everything, such as a console of your own. Projects name origins for inference themselves.
    #[schemars(example = ["https://console.example.com"])]
    pub allowed_origins: Vec<String>,
}

impl Cors {
    fn settle(&self, check: &mut Check<'_>) {
        for origin in &self.allowed_origins {
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                let message = format!("`{origin}` is no origin: it is a scheme and a host, without a path");
                check.problem("allowed_origins", message);
            }
        }
    }
}

/// TLS on the listener.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and those between it and the root. It is read again when it changes.
    #[schemars(example = "/etc/berth/tls/tls.crt")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the certificate's private key. It is read again when it changes.
    #[schemars(example = "/etc/berth/tls/tls.key")]
    pub key_file: Option<PathBuf>,
}

impl Tls {
    fn settle(&self, check: &mut Check<'_>) {
        for (field, file) in [
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            match file {
                None => check.problem(field, "is missing, and TLS needs it"),
                Some(file) => {
                    if let Err(error) = std::fs::File::open(file) {
                        check.problem(field, format!("`{}` cannot be read: {error}", file.display()));
                    }
                }
            }
        }
    }
}
