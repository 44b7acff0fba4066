//! Settings of the processes over the real servers.

use std::process::Command;

use anyhow::{Context as _, Result};
use berth_test_support::{
    Process, TestBroker, TestDatabase, TestRedis, berth_program, onnxruntime_library, worker_program,
};
use tempfile::TempDir;

use super::without_settings;

const PEPPERS: &str = r#"[{ id = "1", secret = "0123456789abcdef0123456789abcdef" }]"#;

/// An Ed25519 key that exists for these tests alone.
const SIGNING_KEYS: &str = r#"[{ key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGdrv4TwfQt79iMguKdCHwV1+Dh2NEk/K4jGEJmrzQK3\n-----END PRIVATE KEY-----\n" }]"#;

/// What the processes of an installation have in common; dropping it removes the database and the folder.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) database: TestDatabase,
    pub(super) redis: TestRedis,
    pub(super) broker: TestBroker,
    pub(super) folder: TempDir,
    /// What the test sets, for every process.
    own: Vec<(String, String)>,
}

impl Settings {
    /// A database, a key prefix, a queue prefix and a folder of their own, and what the test sets beside them.
    pub(super) async fn new(own: &[(&str, &str)]) -> Result<Self> {
        Ok(Self {
            database: TestDatabase::create().await?,
            redis: TestRedis::new()?,
            broker: TestBroker::new()?,
            folder: tempfile::Builder::new()
                .prefix("berth-")
                .tempdir_in("/tmp")
                .context("making a folder")?,
            own: own
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }

    /// An API with its address.
    pub(super) async fn api(&self, name: &str) -> Result<(Process, String)> {
        Process::listen(name, &mut self.command("api")?).await
    }

    /// A command of the control plane with all its settings in the environment.
    pub(super) fn command(&self, command: &str) -> Result<Command> {
        let mut berth = Command::new(berth_program()?);
        self.common(&mut berth);
        berth
            .arg(command)
            .env("BERTH_DATABASE__URL", self.database.app_url())
            .env("BERTH_DATABASE__SYSTEM_URL", self.database.system_url())
            .env("BERTH_DATABASE__MAX_CONNECTIONS", "8")
            .env("BERTH_AMQP__URL", self.broker.url())
            .env("BERTH_AMQP__PREFIX", self.broker.prefix())
            .env("BERTH_HTTP__LISTEN", "127.0.0.1:0")
            .env("BERTH_HTTP__THREADS", "2")
            .env("BERTH_AUTH__PEPPERS", PEPPERS)
            .env("BERTH_AUTH__SIGNING_KEYS", SIGNING_KEYS)
            .env("BERTH_AUTH__SIGN_UP", "open");
        self.set_own(&mut berth);
        Ok(berth)
    }

    /// A worker; what is its own lies in folders of this name.
    pub(super) fn worker(&self, name: &str) -> Result<Command> {
        let mut worker = Command::new(worker_program()?);
        self.common(&mut worker);
        worker
            .arg("node")
            .env("BERTH_WORKER__ONNXRUNTIME_LIBRARY", onnxruntime_library()?)
            .env("BERTH_WORKER__SOCKET_FOLDER", self.folder.path().join(name))
            .env(
                "BERTH_WORKER__CACHE_FOLDER",
                self.folder.path().join(format!("{name}-cache")),
            );
        self.set_own(&mut worker);
        Ok(worker)
    }

    /// What every process of the installation needs.
    fn common(&self, command: &mut Command) {
        without_settings(command);
        command
            .env("BERTH_REDIS__URL", self.redis.url())
            .env("BERTH_REDIS__PREFIX", self.redis.prefix())
            .env("BERTH_ARTIFACTS__FOLDER", self.folder.path().join("artifacts"))
            .env("BERTH_TELEMETRY__LOG_LEVEL", "info");
    }

    /// What the test sets; an empty value takes a setting away.
    fn set_own(&self, command: &mut Command) {
        for (name, value) in &self.own {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
    }
}
