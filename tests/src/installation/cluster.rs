//! Two APIs, tasks and a worker over the real servers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use berth_test_support::{
    Process, TestBroker, TestDatabase, TestRedis, berth_program, onnxruntime_library, wait_until,
    worker_program,
};
use tempfile::TempDir;

use super::{LIMIT, without_settings};
use crate::clients::{self, Outcome};
use crate::tenant::http;

const PEPPERS: &str = r#"[{ id = "1", secret = "0123456789abcdef0123456789abcdef" }]"#;

/// An Ed25519 key that exists for these tests alone.
const SIGNING_KEYS: &str = r#"[{ key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGdrv4TwfQt79iMguKdCHwV1+Dh2NEk/K4jGEJmrzQK3\n-----END PRIVATE KEY-----\n" }]"#;

/// Two APIs, tasks and a worker, over a database, a key prefix and a queue prefix of their own.
#[derive(Debug)]
pub struct Cluster {
    /// The worker. It stands before the others, so that it is ended first and can say good-bye.
    pub worker: Process,
    /// The background work.
    pub tasks: Process,
    /// The APIs with their addresses.
    pub apis: [(Process, String); 2],
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
    database: TestDatabase,
    redis: TestRedis,
    broker: TestBroker,
    folder: TempDir,
}

impl Cluster {
    /// Starts everything and waits until both APIs are ready.
    pub async fn start() -> Result<Self> {
        let settings = Settings {
            database: TestDatabase::create().await?,
            redis: TestRedis::new()?,
            broker: TestBroker::new()?,
            folder: tempfile::Builder::new()
                .prefix("berth-")
                .tempdir_in("/tmp")
                .context("making a folder")?,
        };
        let (first, second) = tokio::try_join!(settings.api("api A"), settings.api("api B"))?;
        let tasks = Process::spawn("tasks", &mut settings.command("tasks")?)?;
        let worker = Process::spawn("worker", &mut settings.worker()?)?;
        let cluster = Self {
            worker,
            tasks,
            apis: [first, second],
            settings,
        };
        let client = http();
        for (_, address) in &cluster.apis {
            let url = format!("{address}/readyz");
            wait_until(LIMIT, || async {
                client
                    .get(&url)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            })
            .await
            .with_context(|| format!("waiting for {url}"))?;
        }
        Ok(cluster)
    }

    /// The address of the first API.
    pub fn address(&self) -> &str {
        &self.apis[0].1
    }

    /// The folder of the artifacts.
    pub fn artifacts(&self) -> PathBuf {
        self.settings.folder.path().join("artifacts")
    }

    /// Runs a command of the control plane with the settings of the installation. Blocks the thread.
    pub fn command(&self, arguments: &[&str], input: &str) -> Result<Outcome> {
        clients::run(&mut self.prepare(arguments)?, input)
    }

    /// The same with other settings for some.
    pub fn command_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Result<Outcome> {
        clients::run(self.prepare(arguments)?.envs(settings.iter().copied()), "")
    }

    fn prepare(&self, arguments: &[&str]) -> Result<Command> {
        let Some((first, rest)) = arguments.split_first() else {
            bail!("a command has a name")
        };
        let mut command = self.settings.command(first)?;
        command
            .args(rest)
            .env("BERTH_DATABASE__OWNER_URL", self.settings.database.owner_url());
        Ok(command)
    }

    /// The database.
    pub fn database(&self) -> &TestDatabase {
        &self.settings.database
    }
}

impl Settings {
    async fn api(&self, name: &str) -> Result<(Process, String)> {
        Process::listen(name, &mut self.command("api")?).await
    }

    /// A command of the control plane with all its settings in the environment.
    fn command(&self, command: &str) -> Result<Command> {
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
        Ok(berth)
    }

    fn worker(&self) -> Result<Command> {
        let mut worker = Command::new(worker_program()?);
        self.common(&mut worker);
        worker
            .arg("node")
            .env("BERTH_WORKER__ONNXRUNTIME_LIBRARY", onnxruntime_library()?)
            .env("BERTH_WORKER__SOCKET_FOLDER", self.folder.path().join("worker"))
            .env("BERTH_WORKER__CACHE_FOLDER", self.folder.path().join("cache"));
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
}
