//! `berth gate inspect`: the process that judges one upload. `berth api` starts it; nobody else needs to.

use std::io;

use berth_sandbox::{Mode, Sandbox};
use berth_serving::gate::{Task, child};
use clap::Subcommand;

/// Judge an upload in a sandbox (started by `berth api`).
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read a task as JSON from standard input, and write the verdict as one line of JSON to standard output.
    Inspect,
}

/// Judges one upload. To be called before any thread is started: threads would stay outside the sandbox.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::Inspect => child::serve(io::stdin().lock(), io::stdout().lock(), enter)?,
    }
    Ok(())
}

fn enter(task: &Task) -> Result<(), berth_sandbox::Error> {
    let sandbox = Sandbox {
        read_only: vec![task.input.clone()],
        read_write: vec![task.output.clone()],
        memory_data_bytes: Some(task.limits.memory_bytes),
        memory_data_most_bytes: None,
        cpu_seconds: Some(task.limits.cpu_seconds),
        file_size_bytes: Some(task.limits.unpack.file_bytes.saturating_add(1)),
        open_files: Some(32),
        devices: Vec::new(),
        mode: if task.best_effort {
            Mode::BestEffort
        } else {
            Mode::Required
        },
    };
    sandbox.enter().map(drop)
}
