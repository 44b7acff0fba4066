//! Which process the settings are for.

use std::fmt;

/// A process that reads settings. It decides which settings must be there and which secrets are read at all: a worker
/// never opens the file of a database password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Process {
    /// `berth api`.
    Api,
    /// `berth tasks`.
    Tasks,
    /// `berth dev`: API and background work in one process, without Redis and RabbitMQ.
    Dev,
    /// `berth migrate`.
    Migrate,
    /// `berth admin`.
    Admin,
    /// `berth-worker node`.
    Worker,
}

impl Process {
    /// Every process.
    pub const ALL: [Self; 6] = [
        Self::Api,
        Self::Tasks,
        Self::Dev,
        Self::Migrate,
        Self::Admin,
        Self::Worker,
    ];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Tasks => "tasks",
            Self::Dev => "dev",
            Self::Migrate => "migrate",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    /// Whether it answers HTTP requests.
    pub(crate) const fn serves_http(self) -> bool {
        matches!(self, Self::Api | Self::Dev)
    }

    /// Whether it does background work.
    pub(crate) const fn does_tasks(self) -> bool {
        matches!(self, Self::Tasks | Self::Dev)
    }

    /// Whether it is part of the control plane, and so reads the database.
    pub(crate) const fn uses_database(self) -> bool {
        !matches!(self, Self::Worker)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::str::FromStr for Process {
    type Err = UnknownProcess;

    fn from_str(text: &str) -> Result<Self, UnknownProcess> {
        Self::ALL
            .into_iter()
            .find(|process| process.as_str() == text)
            .ok_or(UnknownProcess)
    }
}

/// A text that names no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a process is one of api, tasks, dev, migrate, admin, worker")]
pub struct UnknownProcess;
