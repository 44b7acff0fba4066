//! A `berth api` that serves nobody, for its memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use berth_local_servers::process::{Readiness, ServerProcess};
use berth_local_servers::{postgres, redis};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::servers::install::{self, Need};
use crate::{command, servers};

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Secrets that exist for this measurement alone.
const SECRETS: [(&str, &str); 2] = [
    (
        "BERTH_AUTH__PEPPERS",
        r#"[{ id = "1", secret = "0123456789abcdef0123456789abcdef" }]"#,
    ),
    (
        "BERTH_AUTH__SIGNING_KEYS",
        r#"[{ key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGdrv4TwfQt79iMguKdCHwV1+Dh2NEk/K4jGEJmrzQK3\n-----END PRIVATE KEY-----\n" }]"#,
    ),
];

/// A `berth api` with a Postgres and a Redis of its own.
pub(super) struct IdleApi {
    process: ServerProcess,
    redis: redis::Server,
    postgres: postgres::Server,
    // Removed after the servers are gone.
    _folder: TempDir,
}

impl IdleApi {
    /// Starts it and waits until it listens.
    pub(super) fn start(release: &Path) -> Result<Self> {
        install::ensure(&[Need::Postgres, Need::Redis])?;
        let folder = servers::temporary_folder()?;
        let within = |name: &str| folder.path().join(name);
        let (owner, postgres) = servers::start_postgres(None, &within("postgres"))?;
        let redis = redis::Server::start(&redis::Options::new(within("redis")))?;
        let berth = |subcommand: &str| {
            let mut command = Command::new(release.join("berth"));
            command
                .arg(subcommand)
                .env("BERTH_DATABASE__OWNER_URL", &owner)
                .env(
                    "BERTH_DATABASE__URL",
                    postgres.url("berth_app", "app", "postgres"),
                )
                .env(
                    "BERTH_DATABASE__SYSTEM_URL",
                    postgres.url("berth_system", "system", "postgres"),
                )
                .env("BERTH_REDIS__URL", redis.url())
                .env("BERTH_ARTIFACTS__FOLDER", within("artifacts"))
                .env("BERTH_HTTP__LISTEN", "127.0.0.1:0")
                .envs(SECRETS);
            command
        };
        command::run(&mut berth("migrate"))?;
        let output = within("output");
        let log = File::create(&output).context("making a file for the output")?;
        let mut process = ServerProcess::spawn(&mut berth("api"), &log, Signal::TERM)?;
        let listens = || fs::read_to_string(&output).is_ok_and(|text| text.contains("listening on "));
        let readiness = process.wait_until_ready(START_LIMIT, listens)?;
        if readiness != Readiness::Ready {
            let output = fs::read_to_string(&output).context("reading the output")?;
            bail!("`berth api` did not start ({readiness:?}); it wrote:\n{output}");
        }
        Ok(Self {
            process,
            redis,
            postgres,
            _folder: folder,
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it and its servers.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.stop(&[(Signal::TERM, Duration::from_secs(30))])?;
        self.redis.stop()?;
        Ok(self.postgres.stop()?)
    }
}
