//! The Postgres, Redis and RabbitMQ servers that tests run against.

pub(crate) mod install;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use berth_local_servers::{postgres, rabbitmq, redis};
use tempfile::TempDir;

use self::install::Need;
use crate::interrupt;

/// Leads tests to a Postgres superuser; each test makes its own database and never works as that user.
pub(crate) const DATABASE_URL: &str = "BERTH_TEST_DATABASE_URL";
/// Leads tests to a Redis server.
pub(crate) const REDIS_URL: &str = "BERTH_TEST_REDIS_URL";
/// Leads tests to a RabbitMQ virtual host.
pub(crate) const AMQP_URL: &str = "BERTH_TEST_AMQP_URL";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also write the variables into this file, to be read by `source`.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// `cargo xtask servers`.
pub(crate) fn serve(arguments: &Arguments) -> Result<()> {
    let servers = Servers::start(&[])?;
    let mut lines = String::new();
    for (name, value) in servers.variables() {
        writeln!(lines, "export {name}='{value}'")?;
    }
    print!("{lines}");
    if let Some(path) = &arguments.env_file {
        fs::write(path, lines).with_context(|| format!("writing `{}`", path.display()))?;
    }
    eprintln!("The servers run until Ctrl-C.");
    while !interrupt::requested() {
        thread::sleep(Duration::from_millis(100));
    }
    servers.stop()?;
    if let Some(path) = &arguments.env_file {
        fs::remove_file(path).with_context(|| format!("removing `{}`", path.display()))?;
    }
    Ok(())
}

/// Servers that the environment names, or private ones that end with this value.
pub(crate) struct Servers {
    postgres: Provided<postgres::Server>,
    redis: Provided<redis::Server>,
    rabbitmq: Provided<rabbitmq::Server>,
    // Removed after the servers are gone.
    _folder: TempDir,
}

enum Provided<S> {
    /// By the environment.
    Given(String),
    /// By this process; the URL is kept beside it.
    Started(String, S),
}

impl Servers {
    /// Starts what the environment does not name. What is missing of that, and of the `further` needs, is installed
    /// where that is possible.
    pub(crate) fn start(further: &[Need]) -> Result<Self> {
        let given = |name: &str| env::var(name).ok().filter(|url| !url.is_empty());
        let (database, cache, broker) = (given(DATABASE_URL), given(REDIS_URL), given(AMQP_URL));
        let mut needs = further.to_vec();
        needs.extend(database.is_none().then_some(Need::Postgres));
        needs.extend(cache.is_none().then_some(Need::Redis));
        needs.extend(broker.is_none().then_some(Need::RabbitMq));
        install::ensure(&needs)?;
        let folder = temporary_folder()?;
        let within = |name: &str| folder.path().join(name);
        thread::scope(|scope| {
            let postgres = scope.spawn(|| provide(database, || start_postgres(None, &within("postgres"))));
            let redis = scope.spawn(|| {
                provide(cache, || {
                    let server = redis::Server::start(&redis::Options::new(within("redis")))?;
                    Ok((server.url(), server))
                })
            });
            let rabbitmq = provide(broker, || {
                let server = rabbitmq::Server::start(&rabbitmq::Options::new(within("rabbitmq")))?;
                Ok((server.url(), server))
            });
            Ok((joined(postgres)?, joined(redis)?, rabbitmq?))
        })
        .map(|(postgres, redis, rabbitmq)| Self {
            postgres,
            redis,
            rabbitmq,
            _folder: folder,
        })
    }

    /// The variables that lead tests to the servers.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            (DATABASE_URL, self.postgres.url()),
            (REDIS_URL, self.redis.url()),
            (AMQP_URL, self.rabbitmq.url()),
        ]
    }

    /// Stops what was started, and says when something could not be.
    pub(crate) fn stop(self) -> Result<()> {
        thread::scope(|scope| {
            let postgres = scope.spawn(|| self.postgres.stop_with(postgres::Server::stop));
            let redis = scope.spawn(|| self.redis.stop_with(redis::Server::stop));
            // Its files go with the folder: there is nothing to close in order.
            let rabbitmq = self.rabbitmq.stop_with(rabbitmq::Server::kill);
            joined(postgres)?;
            joined(redis)?;
            rabbitmq
        })
    }
}

impl<S> Provided<S> {
    fn url(&self) -> String {
        match self {
            Self::Given(url) | Self::Started(url, _) => url.clone(),
        }
    }

    fn stop_with(self, stop: impl FnOnce(S) -> Result<(), berth_local_servers::Error>) -> Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Started(_, server) => Ok(stop(server)?),
        }
    }
}

/// A private Postgres for tests, from an installation or the one that is found.
pub(crate) fn start_postgres(binaries: Option<PathBuf>, folder: &Path) -> Result<(String, postgres::Server)> {
    let options = postgres::Options {
        binaries,
        fsync: false,
        max_connections: 400,
        ..postgres::Options::new(folder)
    };
    let server = postgres::Server::start(&options)?;
    Ok((server.superuser_url(), server))
}

/// A folder for private servers, which every account can pass through.
pub(crate) fn temporary_folder() -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix("berth-servers-")
        .permissions(fs::Permissions::from_mode(0o711))
        .tempdir()
        .context("making a temporary folder")
}

fn provide<S>(given: Option<String>, start: impl FnOnce() -> Result<(String, S)>) -> Result<Provided<S>> {
    match given {
        Some(url) => Ok(Provided::Given(url)),
        None => start().map(|(url, server)| Provided::Started(url, server)),
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a thread that handles a server panicked"))?
}
