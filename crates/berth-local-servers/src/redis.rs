//! A private Redis server without persistence, for tests.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Readiness, ServerProcess};
use crate::{Error, find_program, logs, ports};

const START_LIMIT: Duration = Duration::from_secs(30);
const PORT_TRIES: u32 = 5;

/// What a private server should be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// `redis-server`, or the one in `PATH`.
    pub program: Option<PathBuf>,
    /// The folder for its log and work files; made when missing.
    pub data_dir: PathBuf,
    /// The port, or a free one.
    pub port: Option<u16>,
}

impl Options {
    /// The installed Redis on a free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            program: None,
            data_dir: data_dir.into(),
            port: None,
        }
    }
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    process: ServerProcess,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts an empty server; returns when it answers.
    ///
    /// Fails when Redis is not installed or does not start.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let program = options
            .program
            .clone()
            .or_else(|| find_program("redis-server"))
            .ok_or(Error::NotInstalled {
                program: "redis-server",
                package: "redis-server",
            })?;
        let folder = &options.data_dir;
        fs::create_dir_all(folder).map_err(Error::file("making", folder))?;
        let path = folder.join("redis.log");
        let mut tries = 0;
        loop {
            let port = match options.port {
                Some(port) => port,
                None => ports::free_port()?,
            };
            let (log, begin) = logs::open(&path)?;
            let mut command = server_command(&program, folder, port);
            let mut process = ServerProcess::spawn(&mut command, &log, Signal::KILL)?;
            let readiness = process.wait_until_ready(START_LIMIT, || answers(port))?;
            let text = logs::tail(&path, begin);
            tries += 1;
            match readiness {
                Readiness::Ready => {
                    tracing::debug!(port, pid = process.pid(), "private Redis started");
                    return Ok(Self {
                        process,
                        port,
                        log: path,
                    });
                }
                Readiness::Ended(_)
                    if options.port.is_none() && tries < PORT_TRIES && text.contains("already in use") => {}
                Readiness::Ended(status) => {
                    return Err(Error::Ended {
                        server: "Redis",
                        status,
                        log: text,
                    });
                }
                Readiness::TooLate => {
                    return Err(Error::NotReady {
                        server: "Redis",
                        limit: START_LIMIT,
                        log: text,
                    });
                }
            }
        }
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Stops the server and returns when it is gone. What it held is lost.
    pub fn stop(mut self) -> Result<(), Error> {
        self.process.stop(&[(Signal::TERM, Duration::from_secs(5))])
    }
}

fn server_command(program: &Path, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
        ])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .current_dir(folder);
    command
}

fn answers(port: u16) -> bool {
    let Some(mut stream) = ports::connect(port) else {
        return false;
    };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"+PONG"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_answers_and_stops() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&Options::new(folder.path())).expect("the server starts");
        assert!(answers(server.port()));
        let port = server.port();
        server.stop().expect("the server stops");
        assert!(!answers(port));
    }

    #[test]
    fn a_server_starts_again_on_the_same_port() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&Options::new(folder.path())).expect("the server starts");
        let port = server.port();
        server.stop().expect("the server stops");
        let options = Options {
            port: Some(port),
            ..Options::new(folder.path())
        };
        let server = Server::start(&options).expect("the server starts again");
        assert_eq!(server.port(), port);
    }

    #[test]
    fn a_port_in_use_is_an_error_that_shows_the_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("is bound").port();
        let options = Options {
            port: Some(port),
            ..Options::new(folder.path())
        };
        let error = Server::start(&options).expect_err("the port is taken");
        assert!(error.to_string().contains("already in use"), "{error}");
    }
}
