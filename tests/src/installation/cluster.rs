//! Two APIs, tasks and a worker over the real servers.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use berth_test_support::{Process, TestBroker, TestDatabase, wait_until};

use super::LIMIT;
use super::lines::{Lines, lasting_address};
use super::settings::Settings;
use crate::clients::{self, Outcome};
use crate::tenant::http;

/// A process of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// The first API.
    ApiA,
    /// The second API.
    ApiB,
    /// The background work.
    Tasks,
    /// The worker.
    Worker,
    /// The second worker of a fleet.
    SecondWorker,
}

impl Member {
    /// All of a cluster with one worker.
    pub const ALL: [Self; 4] = [Self::ApiA, Self::ApiB, Self::Tasks, Self::Worker];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiA => "api A",
            Self::ApiB => "api B",
            Self::Tasks => "tasks",
            Self::Worker => "worker",
            Self::SecondWorker => "second worker",
        }
    }
}

/// Two APIs, tasks and a worker, over a database, a key prefix and a queue prefix of their own.
#[derive(Debug)]
pub struct Cluster {
    /// The worker. It stands before the others, so that it is ended first and can say good-bye.
    pub worker: Process,
    /// The second worker, where there is one.
    pub second_worker: Option<Process>,
    /// The background work.
    pub tasks: Process,
    /// The APIs with their addresses.
    pub apis: [(Process, String); 2],
    lines: Option<Arc<Lines>>,
    settings: Settings,
}

impl Cluster {
    /// Starts everything and waits until both APIs are ready.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with settings for every process.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        Self::assemble(Settings::new(settings).await?, None).await
    }

    /// The same with two workers. No process uses the sockets of another: requests go from machine to machine, as far as the processes
    /// know.
    pub async fn start_fleet(settings: &[(&str, &str)]) -> Result<Self> {
        let mut own = vec![
            ("BERTH_PEERS__LOCAL_SOCKETS", "false"),
            ("BERTH_PEERS__LISTEN", "127.0.0.1:0"),
            ("BERTH_PEERS__ADDRESS", "127.0.0.1"),
        ];
        own.extend(settings);
        let settings = Settings::new(&own).await?;
        let (first, second) = (lasting_address()?, lasting_address()?);
        let mut cluster = Self::assemble_at(settings, None, [Some(first), Some(second)]).await?;
        let (worker, _) = launch(&cluster.settings, None, Member::SecondWorker, None).await?;
        cluster.second_worker = Some(worker);
        Ok(cluster)
    }

    /// The same, with a line from each process to each server that it uses.
    pub async fn start_behind_lines(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = Settings::new(settings).await?;
        let lines = Lines::lay(&settings).await?;
        Self::assemble(settings, Some(Arc::new(lines))).await
    }

    async fn assemble(settings: Settings, lines: Option<Arc<Lines>>) -> Result<Self> {
        let address = || lines.as_ref().map(|_| lasting_address()).transpose();
        let addresses = [address()?, address()?];
        Self::assemble_at(settings, lines, addresses).await
    }

    async fn assemble_at(
        settings: Settings,
        lines: Option<Arc<Lines>>,
        [first, second]: [Option<String>; 2],
    ) -> Result<Self> {
        let launch = async |member, address| launch(&settings, lines.as_deref(), member, address).await;
        let (first, second, (tasks, _), (worker, _)) = tokio::try_join!(
            launch(Member::ApiA, first),
            launch(Member::ApiB, second),
            launch(Member::Tasks, None),
            launch(Member::Worker, None),
        )?;
        let cluster = Self {
            worker,
            second_worker: None,
            tasks,
            apis: [first, second],
            lines,
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

    /// The lines of a cluster that was started behind them.
    pub fn lines(&self) -> Option<&Arc<Lines>> {
        self.lines.as_ref()
    }

    /// One of the processes. Where there is no second worker, that is the only one.
    pub fn process(&mut self, member: Member) -> &mut Process {
        match member {
            Member::ApiA => &mut self.apis[0].0,
            Member::ApiB => &mut self.apis[1].0,
            Member::Tasks => &mut self.tasks,
            Member::Worker => &mut self.worker,
            Member::SecondWorker => self.second_worker.as_mut().unwrap_or(&mut self.worker),
        }
    }

    /// Starts a process that has ended once more, with the same settings, an API at the same address. Returns when it
    /// has begun its work, with the process that had ended.
    ///
    /// Fails, with what it wrote, when it ends first or takes too long.
    pub async fn start_again(&mut self, member: Member) -> Result<Process> {
        let address = match member {
            Member::ApiA => Some(&self.apis[0].1),
            Member::ApiB => Some(&self.apis[1].1),
            Member::Tasks | Member::Worker | Member::SecondWorker => None,
        };
        let address = address.map(|address| address.trim_start_matches("http://").to_owned());
        let (fresh, _) = launch(&self.settings, self.lines.as_deref(), member, address).await?;
        Ok(std::mem::replace(self.process(member), fresh))
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
    /// The corner of the broker.
    pub fn broker(&self) -> &TestBroker {
        &self.settings.broker
    }
}

/// Starts a process and waits until it says that it works; gives its address, where it has one.
async fn launch(
    settings: &Settings,
    lines: Option<&Lines>,
    member: Member,
    address: Option<String>,
) -> Result<(Process, String)> {
    let mut command = match member {
        Member::ApiA | Member::ApiB => settings.command("api")?,
        Member::Tasks => settings.command("tasks")?,
        Member::Worker => settings.worker("worker")?,
        Member::SecondWorker => settings.worker("second")?,
    };
    if let Some(lines) = lines {
        lines.lead(member, &mut command);
    }
    if let Some(address) = address {
        command.env("BERTH_HTTP__LISTEN", address);
    }
    if member == Member::Tasks {
        let mut process = Process::spawn(member.name(), &mut command)?;
        // As text, or as JSON.
        let works = |line: &str| {
            let said = line.ends_with(": working") || line.contains("\"message\":\"working\"");
            said.then_some(())
        };
        process.wait_for_line(LIMIT, works).await?;
        return Ok((process, String::new()));
    }
    Process::listen(member.name(), &mut command).await
}
