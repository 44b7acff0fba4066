//! What can go wrong when a private server is started or stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a private server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL of the wanted age was found; each place that was looked at comes with what was there.
    #[error("no PostgreSQL {minimum} or later was found; looked at {}", looked_at.join(", "))]
    PostgresNotFound {
        /// The oldest major version that would do.
        minimum: u32,
        /// Places and what was wrong with each.
        looked_at: Vec<String>,
    },
    /// A program is not installed.
    #[error("`{program}` is not installed (Debian: `apt-get install {package}`)")]
    NotInstalled {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program is there but could not be started, or its end could not be awaited.
    #[error("running `{}`", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program that prepares a server said no.
    #[error("`{}` failed ({status}): {output}", program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        output: String,
    },
    /// A file or folder of the server could not be read or written.
    #[error("{action} `{}`", path.display())]
    File {
        /// What was attempted, as a gerund.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no port.
    #[error("choosing a free loopback port")]
    Port(#[source] io::Error),
    /// The server ended while it was expected to become ready.
    #[error("{server} ended while starting ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server did not become ready in time and was stopped.
    #[error("{server} was not ready within {} s; the end of its log:\n{log}", limit.as_secs())]
    NotReady {
        /// Which server.
        server: &'static str,
        /// How long it was given.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The files were made by another major version of the server.
    #[error("`{}` was made by Postgres {made_by}, but Postgres {installed} is installed: install Postgres {made_by} \
         beside it, or begin with an empty folder", path.display())]
    OtherVersion {
        /// The folder of the cluster.
        path: PathBuf,
        /// The major version that made it.
        made_by: String,
        /// The major version that was found.
        installed: u32,
    },
    /// Another server runs over the same files.
    #[error("process {pid} already runs a server over `{}`", path.display())]
    AlreadyRunning {
        /// The process that holds the files.
        pid: u32,
        /// The folder of the server.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn run(program: &Path) -> impl FnOnce(io::Error) -> Self {
        let program = program.to_owned();
        move |source| Self::Run { program, source }
    }
}
