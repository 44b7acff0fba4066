//! A release build of `berth dev` on core 0.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use berth_local_servers::process::ServerProcess;
use rustix::process::Signal;
use serde_json::Value;

use crate::{dev, interrupt};

/// How long the first start may take: it makes a database and proves a model.
const START_LIMIT: Duration = Duration::from_mins(5);

/// A `berth dev` that has answered, with all its processes on core 0.
pub(super) struct Running {
    pub(super) process: ServerProcess,
    pub(super) address: String,
    pub(super) api_key: String,
    pub(super) organization: String,
    pub(super) project: String,
    pub(super) model: String,
}

impl Running {
    /// Starts it and waits for the line that it writes once its demo model has answered.
    /// `settings` are variables of its environment.
    pub(super) fn start(
        release: &Path,
        state: &Path,
        settings: &[(&str, String)],
    ) -> Result<(Self, Duration)> {
        let path = state.join("output");
        let log = File::create(&path).context("making a file for the output")?;
        let begin = Instant::now();
        // What `taskset` starts inherits the core; it becomes the program, so the process id is Berth's.
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(release.join("berth"));
        dev::add_arguments(&mut command, state, 0, &release.join("berth-worker"))?;
        command
            .arg("--json")
            .envs(settings.iter().map(|(name, value)| (name, value)));
        let mut process = ServerProcess::spawn(&mut command, &log, Signal::TERM)?;
        loop {
            interrupt::check()?;
            let status = process.exit_status()?;
            let output = fs::read_to_string(&path).context("reading the output")?;
            if let Some(line) = output
                .lines()
                .find_map(|line| serde_json::from_str::<Value>(line).ok())
            {
                let took = begin.elapsed();
                let names = ["address", "api_key", "organization_id", "project_id", "model"];
                let [address, api_key, organization, project, model] = names.map(|name| text(&line, name));
                return Ok((
                    Self {
                        process,
                        address: address?,
                        api_key: api_key?,
                        organization: organization?,
                        project: project?,
                        model: model?,
                    },
                    took,
                ));
            }
            if let Some(status) = status {
                bail!("`berth dev` ended ({status}); it wrote:\n{output}");
            }
            if begin.elapsed() > START_LIMIT {
                bail!(
                    "`berth dev` did not answer within {} s; it wrote:\n{output}",
                    START_LIMIT.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn stop(mut self) -> Result<()> {
        Ok(self.process.stop(&[(Signal::INT, Duration::from_secs(30))])?)
    }
}

fn text(line: &Value, name: &str) -> Result<String> {
    let value = line.get(name).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .with_context(|| format!("the line of `berth dev` has no text `{name}`"))
}
