//! Two APIs, tasks and a worker over the real servers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use berth_test_support::{Process, TestDatabase, wait_until};

use super::LIMIT;
use super::settings::Settings;
use crate::clients::{self, Outcome};
use crate::tenant::http;

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

impl Cluster {
    /// Starts everything and waits until both APIs are ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with settings for every process.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = Settings::new(settings).await?;
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
