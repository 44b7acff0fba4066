//! A private S3 server (SeaweedFS), for tests.
//!
//! One process is everything that SeaweedFS consists of: master, volume server, filer and the S3 gateway in front of them,
//! each with two ports. A bucket is made by the first object that is put into it.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Readiness, ServerProcess};
use crate::{Error, logs, ports};

/// The access key that may do everything.
pub const ACCESS_KEY_ID: &str = "berth-test";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "kept-by-nobody";

const START_LIMIT: Duration = Duration::from_mins(1);
const PORT_TRIES: u32 = 5;

/// What a private server should be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `weed`.
    pub program: PathBuf,
    /// The folder for everything of this server; made when missing, used again when it holds a server's files.
    pub data_dir: PathBuf,
    /// The port of S3, or a free one.
    pub port: Option<u16>,
}

impl Options {
    /// A server on a free port.
    pub fn new(program: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            data_dir: data_dir.into(),
            port: None,
        }
    }
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    process: ServerProcess,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts a server; returns when objects can be put, which takes about four seconds.
    ///
    /// Fails when the program is not there or does not start.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let folder =
            &std::path::absolute(&options.data_dir).map_err(Error::file("finding", &options.data_dir))?;
        fs::create_dir_all(folder).map_err(Error::file("making", folder))?;
        let identities = folder.join("identities.json");
        fs::write(&identities, identities_json()).map_err(Error::file("writing", &identities))?;
        let path = folder.join("seaweedfs.log");
        let mut tries = 0;
        loop {
            let ports = Ports::choose(options.port)?;
            let (log, begin) = logs::open(&path)?;
            let mut command = server_command(&options.program, folder, &identities, &ports);
            let mut process = ServerProcess::spawn(&mut command, &log, Signal::KILL)?;
            let ready = || takes_objects(&ports);
            let readiness = process.wait_until_ready(START_LIMIT, ready)?;
            tries += 1;
            match readiness {
                Readiness::Ready => {
                    tracing::debug!(port = ports.s3, pid = process.pid(), "private SeaweedFS started");
                    return Ok(Self {
                        process,
                        port: ports.s3,
                        log: path,
                    });
                }
                Readiness::Ended(status) => {
                    let text = logs::tail(&path, begin);
                    let port_was_taken = text.contains("already in use");
                    if !(port_was_taken && options.port.is_none() && tries < PORT_TRIES) {
                        return Err(Error::Ended {
                            server: "SeaweedFS",
                            status,
                            log: text,
                        });
                    }
                }
                Readiness::TooLate => {
                    return Err(Error::NotReady {
                        server: "SeaweedFS",
                        limit: START_LIMIT,
                        log: logs::tail(&path, begin),
                    });
                }
            }
        }
    }

    /// The port of S3 on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of S3.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Kills the server as a crash would (`kill -9`); its files stay. Returns when it is gone.
    pub fn kill(mut self) -> Result<(), Error> {
        self.process.stop(&[])
    }
}

/// The ports of a server: of each part one for HTTP and one for gRPC.
struct Ports {
    s3: u16,
    s3_grpc: u16,
    master: u16,
    master_grpc: u16,
    volume: u16,
    volume_grpc: u16,
    filer: u16,
    filer_grpc: u16,
}

impl Ports {
    fn choose(s3: Option<u16>) -> Result<Self, Error> {
        let free = ports::free_port;
        Ok(Self {
            s3: s3.map_or_else(free, Ok)?,
            s3_grpc: free()?,
            master: free()?,
            master_grpc: free()?,
            volume: free()?,
            volume_grpc: free()?,
            filer: free()?,
            filer_grpc: free()?,
        })
    }
}

fn identities_json() -> String {
    format!(
        r#"{{"identities": [{{"name": "tests", "credentials": [{{"accessKey": "{ACCESS_KEY_ID}", "secretKey": "{SECRET_ACCESS_KEY}"}}], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}}]}}"#
    )
}

fn server_command(program: &Path, folder: &Path, identities: &Path, ports: &Ports) -> Command {
    let mut command = Command::new(program);
    command
        // Neither settings nor credentials of whoever runs the tests are the server's business.
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"])
        .args([
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ])
        // Volumes are made seven at a time for a bucket; small ones cost nothing until they are filled.
        .args([
            "-master.volumeSizeLimitMB=64",
            "-volume.max=40",
            "-volume.minFreeSpace=1",
        ]);
    for (name, port) in [
        ("s3.port", ports.s3),
        ("s3.port.grpc", ports.s3_grpc),
        ("master.port", ports.master),
        ("master.port.grpc", ports.master_grpc),
        ("volume.port", ports.volume),
        ("volume.port.grpc", ports.volume_grpc),
        ("filer.port", ports.filer),
        ("filer.port.grpc", ports.filer_grpc),
    ] {
        command.arg(format!("-{name}={port}"));
    }
    for (name, path) in [
        ("dir", folder.to_owned()),
        ("s3.config", identities.to_owned()),
        // Else they would lie in `/tmp` and stay there.
        ("s3.localSocket", folder.join("s3.sock")),
        ("filer.localSocket", folder.join("filer.sock")),
    ] {
        command.arg(format!("-{name}={}", path.display()));
    }
    command
}

/// Whether the S3 gateway answers, and the master knows a volume server that has room.
fn takes_objects(ports: &Ports) -> bool {
    let gateway = get(ports.s3, "/").is_some_and(|answer| answer.starts_with("HTTP/"));
    gateway && get(ports.master, "/dir/assign").is_some_and(|answer| answer.contains("\"fid\""))
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = ports::connect(port)?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
