//! `cargo xtask dev`: everything on one machine, with a model that answers.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use berth_local_servers::postgres::{self, Installation};

use crate::{build, downloads, repository};

/// Everything that `berth dev` keeps.
const STATE: &str = ".berth";

/// The folder of its Postgres in there.
pub(crate) const DATABASE: &str = "postgres";

/// What the demo model is called, here and in the README.
const DEMO_MODEL: &str = "all-minilm-l6-v2";

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
    let programs = build::programs()?;
    let mut command = Command::new(&programs.berth);
    add_arguments(&mut command, &state, arguments.port, &programs.worker)?;
    command.args(&arguments.further);
    // In its place, so that Ctrl-C and the exit status are its own.
    Err(command.exec()).with_context(|| format!("starting `{}`", programs.berth.display()))
}

/// Adds the arguments of `berth dev`, downloading what they name where that is missing.
pub(crate) fn add_arguments(command: &mut Command, state: &Path, port: u16, worker: &Path) -> Result<()> {
    command
        .arg("dev")
        .arg("--state")
        .arg(state)
        .args(["--port", &port.to_string()])
        .arg("--onnxruntime")
        .arg(downloads::onnxruntime()?)
        .arg("--postgres")
        .arg(postgres_programs(&state.join(DATABASE))?)
        .arg("--worker")
        .arg(worker)
        .arg("--demo-model")
        .arg(downloads::minilm()?)
        .args(["--demo-name", DEMO_MODEL]);
    Ok(())
}

/// The programs of the installed PostgreSQL, or of the pinned one where none is installed. Files that are there already
/// decide: only the version that made them can serve them, and another one may have been installed since.
fn postgres_programs(data: &Path) -> Result<PathBuf> {
    // A named one that does not serve is an error, not a reason to take another.
    if env::var_os(downloads::POSTGRES).is_some() {
        return Ok(Installation::find(None)?.bin);
    }
    let made_by = postgres::made_by(data);
    let fits = |found: &Installation| made_by.is_none_or(|version| version == found.version);
    if let Some(installed) = Installation::find_for(data, None).ok().filter(fits) {
        return Ok(installed.bin);
    }
    let pinned = Installation::find(Some(&downloads::postgres()?))?;
    if !fits(&pinned) {
        bail!(
            "`{}` was made by Postgres {}, which is not installed; install it, or forget everything with \
             `cargo xtask dev --reset`",
            data.display(),
            made_by.unwrap_or_default()
        );
    }
    Ok(pinned.bin)
}

fn reset(state: &Path) -> Result<()> {
    // The server's files may lie elsewhere when root runs it as another user.
    postgres::remove(&state.join(DATABASE)).context("removing the database")?;
    if state.exists() {
        fs::remove_dir_all(state).with_context(|| format!("removing `{}`", state.display()))?;
    }
    Ok(())
}
