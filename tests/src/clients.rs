//! The command line and the Python clients, run as their users run them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use berth_test_support::{berth_program, python_program};
use serde_json::Value;
use tempfile::TempDir;

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Outcome {
    /// Its exit number; -1 when a signal ended it.
    pub fn number(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// The command line of one person, with a configuration folder of its own.
#[derive(Debug)]
pub struct CommandLine {
    home: TempDir,
}

impl CommandLine {
    /// Of a person who has never used it.
    pub fn new() -> Result<Self> {
        Ok(Self {
            home: tempfile::tempdir().context("making a folder")?,
        })
    }

    /// The file with the session.
    pub fn credentials(&self) -> PathBuf {
        self.home.path().join("berth/credentials.toml")
    }

    /// Runs a command; `input` is what the person types. Blocks the thread.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<Outcome> {
        let mut command = Command::new(berth_program()?);
        command.args(arguments).env("XDG_CONFIG_HOME", self.home.path());
        for name in [
            "BERTH_URL",
            "BERTH_API_KEY",
            "BERTH_ORGANIZATION",
            "BERTH_PROJECT",
        ] {
            command.env_remove(name);
        }
        run(&mut command, input)
    }

    /// Runs a command that must succeed, and reads its answer as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let outcome = self.run(&[arguments, &["--output", "json"]].concat(), "")?;
        ensure!(
            outcome.status.success(),
            "`berth {}` failed: {}",
            arguments.join(" "),
            outcome.errors
        );
        serde_json::from_str(&outcome.output).with_context(|| format!("reading `{}`", outcome.output))
    }
}

/// Runs a Python script of `tests/clients` that must succeed; returns what it printed as JSON. Blocks the thread.
pub fn python(script: &str, arguments: &[&str]) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let mut command = Command::new(python_program()?);
    command.arg(&path).args(arguments);
    let outcome = run(&mut command, "")?;
    ensure!(
        outcome.status.success(),
        "`{script}` failed:\n{}\n{}",
        outcome.output,
        outcome.errors
    );
    serde_json::from_str(&outcome.output)
        .with_context(|| format!("reading what `{script}` printed: {}", outcome.output))
}

/// Runs a program whose user types `input`. Blocks the thread.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<Outcome> {
    let program = format!("{}", command.get_program().display());
    let failed = || format!("running `{program}`");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read what is typed is no failure.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().with_context(failed)?;
    Ok(Outcome {
        status: done.status,
        output: String::from_utf8_lossy(&done.stdout).into_owned(),
        errors: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}
