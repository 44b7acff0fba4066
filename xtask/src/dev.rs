//! `cargo xtask dev`: everything on one machine, with a model that answers.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use berth_local_servers::postgres::{self, Installation};

use crate::{build, downloads, repository};

/// Everything that `berth dev` keeps.
const STATE: &str = ".berth";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Forget everything from earlier runs first.
    #[arg(long)]
    reset: bool,
    /// The port of the API and the console.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Further arguments for `berth dev`.
    #[arg(last = true)]
    further: Vec<String>,
}

/// Gets what is missing, builds, and becomes `berth dev`. Returns only when something failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let state = repository::root().join(STATE);
    if arguments.reset {
        reset(&state)?;
    }
    let onnxruntime = downloads::onnxruntime()?;
    let model = downloads::minilm()?;
    let postgres = match Installation::find(None) {
        Ok(installation) => installation.bin,
        Err(_) if env::var_os(downloads::POSTGRES).is_none() => downloads::postgres()?.join("bin"),
        Err(error) => return Err(error.into()),
    };
    let programs = build::programs()?;
    let mut command = Command::new(&programs.berth);
    command
        .arg("dev")
        .arg("--state")
        .arg(&state)
        .args(["--port", &arguments.port.to_string()])
        .arg("--onnxruntime")
        .arg(onnxruntime)
        .arg("--postgres")
        .arg(postgres)
        .arg("--worker")
        .arg(&programs.worker)
        .arg("--demo-model")
        .arg(model)
        .args(&arguments.further);
    // In its place, so that Ctrl-C and the exit status are its own.
    Err(command.exec()).with_context(|| format!("starting `{}`", programs.berth.display()))
}

fn reset(state: &Path) -> Result<()> {
    // The server's files may lie elsewhere when root runs it as another user.
    postgres::remove(&state.join("postgres")).context("removing the database")?;
    if state.exists() {
        fs::remove_dir_all(state).with_context(|| format!("removing `{}`", state.display()))?;
    }
    Ok(())
}
