//! A private RabbitMQ node, for tests.
//!
//! It runs the package's own `rabbitmq-server`: the wrapper in `PATH` of Debian insists on the user `rabbitmq`.
//! Erlang nodes find each other through `epmd`, a daemon that the first node would start and leave behind for the
//! whole machine; a private node gets one of its own in the foreground, on its own port, and takes it along when it
//! ends.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Readiness, ServerProcess};
use crate::programs::is_program;
use crate::{Error, find_program, logs, ports};

const START_LIMIT: Duration = Duration::from_mins(2);
const PORT_TRIES: u32 = 3;

/// Folders with one folder `rabbitmq_server-<version>` per version.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/rabbitmq/lib",
    "/usr/local/lib/rabbitmq/lib",
    "/opt/rabbitmq/lib",
];

/// What a private node should be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the installation, which has `sbin/rabbitmq-server`; without it the usual places are searched.
    pub installation: Option<PathBuf>,
    /// The folder for everything of this node; made when missing, used again when it holds a node's files.
    pub data_dir: PathBuf,
    /// The AMQP port, or a free one.
    pub port: Option<u16>,
}

impl Options {
    /// The installed RabbitMQ on a free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            installation: None,
            data_dir: data_dir.into(),
            port: None,
        }
    }
}

/// A running node; dropping it ends it without a goodbye.
#[derive(Debug)]
pub struct Server {
    // The node goes before its `epmd`.
    node: ServerProcess,
    epmd: ServerProcess,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts a node; returns when it speaks AMQP, which takes about eight seconds.
    ///
    /// Fails when RabbitMQ is not installed or does not start.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let program = find_server(options.installation.as_deref()).ok_or(Error::NotInstalled {
            program: "rabbitmq-server",
            package: "rabbitmq-server",
        })?;
        let epmd_program = find_program("epmd").ok_or(Error::NotInstalled {
            program: "epmd",
            package: "erlang-base",
        })?;
        let folder =
            &std::path::absolute(&options.data_dir).map_err(Error::file("finding", &options.data_dir))?;
        fs::create_dir_all(folder).map_err(Error::file("making", folder))?;
        let plugins = folder.join("enabled_plugins");
        fs::write(&plugins, "[].\n").map_err(Error::file("writing", &plugins))?;
        let path = folder.join("rabbitmq.log");
        let mut tries = 0;
        loop {
            let ports = Ports::choose(options.port)?;
            let (log, begin) = logs::open(&path)?;
            let mut epmd =
                ServerProcess::spawn(&mut epmd_command(&epmd_program, &ports), &log, Signal::KILL)?;
            let epmd_readiness =
                epmd.wait_until_ready(START_LIMIT, || ports::connect(ports.epmd).is_some())?;
            let (server, readiness) = if epmd_readiness == Readiness::Ready {
                let mut command = node_command(&program, folder, &ports);
                let mut node = ServerProcess::spawn(&mut command, &log, Signal::KILL)?;
                let readiness = node.wait_until_ready(START_LIMIT, || speaks_amqp(ports.amqp))?;
                (
                    Some(Self {
                        node,
                        epmd,
                        port: ports.amqp,
                        log: path.clone(),
                    }),
                    readiness,
                )
            } else {
                (None, epmd_readiness)
            };
            tries += 1;
            match (server, readiness) {
                (Some(server), Readiness::Ready) => {
                    tracing::debug!(
                        port = server.port,
                        pid = server.node.pid(),
                        "private RabbitMQ started"
                    );
                    return Ok(server);
                }
                (server, Readiness::Ended(status)) => {
                    drop(server);
                    let text = logs::tail(&path, begin);
                    let port_was_taken = text.contains("eaddrinuse") || text.contains("in use");
                    if !(port_was_taken && options.port.is_none() && tries < PORT_TRIES) {
                        return Err(Error::Ended {
                            server: "RabbitMQ",
                            status,
                            log: text,
                        });
                    }
                }
                (server, _) => {
                    drop(server);
                    let log = logs::tail(&path, begin);
                    return Err(Error::NotReady {
                        server: "RabbitMQ",
                        limit: START_LIMIT,
                        log,
                    });
                }
            }
        }
    }

    /// The AMQP port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the node's default virtual host.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// The process id of the node's starting script; signals for the node go to its process group.
    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Lets the node close its queues, then ends it and its `epmd`; its files stay. Returns when both are gone.
    pub fn stop(mut self) -> Result<(), Error> {
        self.node.stop(&[(Signal::TERM, Duration::from_secs(30))])?;
        self.epmd.stop(&[])
    }

    /// Kills the node as a crash would (`kill -9`); its files stay.
    pub fn kill(mut self) -> Result<(), Error> {
        self.node.stop(&[])?;
        self.epmd.stop(&[])
    }
}

/// Whether RabbitMQ and what it needs are installed in the usual places.
pub fn is_installed() -> bool {
    find_server(None).is_some() && find_program("epmd").is_some()
}

/// The three ports of a node.
struct Ports {
    amqp: u16,
    distribution: u16,
    epmd: u16,
}

impl Ports {
    fn choose(amqp: Option<u16>) -> Result<Self, Error> {
        let amqp = match amqp {
            Some(port) => port,
            None => ports::free_port()?,
        };
        Ok(Self {
            amqp,
            distribution: ports::free_port()?,
            epmd: ports::free_port()?,
        })
    }
}

fn find_server(installation: Option<&Path>) -> Option<PathBuf> {
    let installations = match installation {
        Some(folder) => vec![folder.to_owned()],
        None => installed(),
    };
    installations
        .into_iter()
        .map(|folder| folder.join("sbin/rabbitmq-server"))
        .find(|program| is_program(program))
}

fn installed() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = LIBRARIES
        .iter()
        .filter_map(|library| fs::read_dir(library).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("rabbitmq_server-"))
        })
        .collect();
    folders.sort();
    folders.reverse();
    folders
}

fn epmd_command(program: &Path, ports: &Ports) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-port", &ports.epmd.to_string(), "-address", "127.0.0.1"])
        .current_dir("/");
    command
}

fn node_command(program: &Path, folder: &Path, ports: &Ports) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RABBITMQ_")) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        // The cookie is made in the home folder.
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", format!("berth-{}@localhost", ports.amqp))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced"))
        // Loopback for the distribution too, and no spinning of idle schedulers beside the tests.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        )
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env_remove("NOTIFY_SOCKET");
    command
}

/// Whether the broker answers the opening of AMQP 0-9-1 with a method frame, its `connection.start`.
fn speaks_amqp(port: u16) -> bool {
    const METHOD_FRAME: u8 = 1;
    let Some(mut stream) = ports::connect(port) else {
        return false;
    };
    let mut first = [0];
    stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
        && first[0] == METHOD_FRAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_starts_speaks_and_ends_with_its_epmd() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&Options::new(folder.path())).expect("the node starts");
        assert!(speaks_amqp(server.port()));
        let port = server.port();
        server.stop().expect("the node stops");
        assert!(!speaks_amqp(port));
        let here = folder.path().as_os_str().as_encoded_bytes();
        for process in fs::read_dir("/proc").expect("is mounted").flatten() {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            let left = environment.windows(here.len()).any(|window| window == here);
            assert!(!left, "{} was left behind", process.path().display());
        }
    }

    #[test]
    fn a_killed_node_starts_again_over_its_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&Options::new(folder.path())).expect("the node starts");
        let options = Options {
            port: Some(server.port()),
            ..Options::new(folder.path())
        };
        server.kill().expect("the node is killed");
        let server = Server::start(&options).expect("the node starts again");
        assert!(speaks_amqp(server.port()));
    }
}
