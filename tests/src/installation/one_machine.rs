//! `berth dev`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use berth_test_support::{Process, berth_program, minilm_folder, onnxruntime_library, worker_program};
use serde_json::Value;
use tempfile::TempDir;

use super::{LIMIT, without_settings};

/// A running `berth dev`.
#[derive(Debug)]
pub struct OneMachine {
    /// The process.
    pub process: Process,
    /// What it told when everything was up.
    pub summary: Value,
}

impl OneMachine {
    /// Starts it over a state folder, with the demo model or without, and waits until everything is up.
    pub async fn start(state: &Path, with_model: bool) -> Result<Self> {
        Self::start_with(state, with_model, &[]).await
    }

    /// The same, with settings in the environment.
    pub async fn start_with(state: &Path, with_model: bool, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = command(state, with_model)?;
        command.arg("--json").envs(settings.iter().copied());
        let mut process = Process::spawn("berth dev", &mut command)?;
        let summary = process
            .wait_for_line(LIMIT * 3, |line| serde_json::from_str(line).ok())
            .await?;
        Ok(Self { process, summary })
    }

    /// Starts it as people do, with the demo model: it tells them what they can do next. Waits for nothing.
    pub fn start_for_people(state: &Path) -> Result<Process> {
        Process::spawn("berth dev", &mut command(state, true)?)
    }

    /// A state folder. Its path is short, as that of a server's socket must be.
    pub fn state() -> Result<TempDir> {
        tempfile::tempdir().context("making a state folder")
    }

    /// A text of the summary.
    pub fn told(&self, name: &str) -> Result<&str> {
        self.summary[name]
            .as_str()
            .with_context(|| format!("`{name}` is told in {}", self.summary))
    }
}

fn command(state: &Path, with_model: bool) -> Result<Command> {
    let mut command = Command::new(berth_program()?);
    without_settings(&mut command);
    command
        .args(["dev", "--port", "0", "--state"])
        .arg(state)
        .arg("--onnxruntime")
        .arg(onnxruntime_library()?)
        .arg("--worker")
        .arg(worker_program()?);
    if with_model {
        command
            .arg("--demo-model")
            .arg(minilm_folder()?)
            .args(["--demo-name", "all-minilm-l6-v2"]);
    }
    Ok(command)
}
