//! How nodes on several machines reach each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Process;
use crate::check::Check;
use crate::sections::Section;

/// Shortest secret: what 32 random characters are worth.
const SHORTEST_SECRET: usize = 32;

/// How API and background work reach workers on other machines. On one machine nothing of it is needed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Where a worker listens for API and background work on other machines; port 0 takes a free one. Without it only those on
    /// its own machine reach it. Needs `peers.tls` or `peers.secret`.
    #[schemars(with = "Option<String>", example = "0.0.0.0:7420")]
    pub listen: Option<SocketAddr>,
    /// The host, or `host:port`, by which others reach this worker; without a port, that of `peers.listen`. Without it, the name of the
    /// machine.
    #[schemars(example = "gpu-node-3.internal:7420")]
    pub address: Option<String>,
    /// Whether workers on the same machine are reached by their Unix sockets, which is faster. Turned off, they are reached as
    /// those on other machines are.
    pub local_sockets: bool,
    /// Certificates by which nodes know each other. Every node has one.
    pub tls: Option<PeerTls>,
    /// A secret that all nodes share, in place of `peers.tls`: callers prove that they know it, and nothing is encrypted. Only for
    /// networks that nobody else can listen to. At least 32 characters.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub secret: Option<Secret>,
    /// File that holds `secret`.
    #[schemars(example = "/run/secrets/berth/peers_secret")]
    pub secret_file: Option<PathBuf>,
}

/// Mutual TLS between nodes. The files are PEM, and read again when they change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeerTls {
    /// The authority that signs the certificates of all nodes. It should sign nothing else: whom it signs is let in.
    #[schemars(example = "/etc/berth/peers/ca.crt")]
    pub authority_file: Option<PathBuf>,
    /// This node's certificate, good for servers and for clients.
    #[schemars(example = "/etc/berth/peers/tls.crt")]
    pub certificate_file: Option<PathBuf>,
    /// Its private key.
    #[schemars(example = "/etc/berth/peers/tls.key")]
    pub key_file: Option<PathBuf>,
    /// The name that workers' certificates are made out to, where it is one for all. Without it, the host in a worker's address.
    #[schemars(example = "worker.berth.internal")]
    pub server_name: Option<String>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            listen: None,
            address: None,
            local_sockets: true,
            tls: None,
            secret: None,
            secret_file: None,
        }
    }
}

impl Section for Peers {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !matches!(check.process, Process::Api | Process::Tasks | Process::Worker) {
            return;
        }
        check.secret("secret", &mut self.secret, self.secret_file.as_deref());
        if let Some(secret) = &self.secret
            && secret.expose().len() < SHORTEST_SECRET
        {
            check.problem("secret", "must have at least 32 characters");
        }
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        match &self.tls {
            Some(_) if has_secret => {
                check.problem(
                    "secret",
                    "`peers.tls` is set as well: nodes know each other by one of both",
                );
            }
            Some(tls) => tls.settle(&mut check.inner("tls")),
            None => {}
        }
        if check.process == Process::Worker && self.listen.is_some() && self.tls.is_none() && !has_secret {
            check.problem(
                "listen",
                "needs `peers.tls` or `peers.secret`: else anybody could call every model",
            );
        }
        if let Some(address) = &self.address
            && !is_address(address)
        {
            check.problem(
                "address",
                "must be a host, with or without a port, such as `gpu-node-3.internal:7420`",
            );
        }
    }
}

/// Whether a text is a host with or without a port; an IPv6 address stands in brackets.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_fits = if host.contains(':') {
        host.starts_with('[') && host.ends_with(']')
    } else {
        !host.is_empty()
    };
    host_fits && !host.contains('/') && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

impl PeerTls {
    fn settle(&self, check: &mut Check<'_>) {
        for (field, file) in [
            ("authority_file", &self.authority_file),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_or_without_a_port() {
        for address in [
            "worker",
            "worker:7420",
            "10.0.0.1",
            "10.0.0.1:1",
            "[::1]",
            "[::1]:7420",
        ] {
            assert!(is_address(address), "{address}");
        }
        for address in [
            "",
            ":1",
            "worker:",
            "worker:x",
            "worker:70000",
            "::1",
            "http://worker",
        ] {
            assert!(!is_address(address), "{address}");
        }
    }
}
