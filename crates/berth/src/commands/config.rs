//! `berth config`: the settings themselves.

use std::path::PathBuf;

use anyhow::Context as _;
use berth_config::{Process, Source};
use clap::{Args, Subcommand};

use crate::output;

/// Settings: their default file, their schema, and whether yours fit.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a settings file with every field, its meaning and its default.
    Default,
    /// Print the JSON schema of the settings file.
    Schema,
    /// Read the settings and tell everything that is wrong with them.
    Check(Which),
    /// Print the settings that are in force, secrets left out.
    Show(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The settings file.
    #[arg(long, env = "BERTH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The process that the settings are for: api, tasks, dev, migrate, admin or worker. Can be given several times.
    #[arg(long = "for", value_name = "PROCESS", default_values = ["api", "tasks"])]
    processes: Vec<Process>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Default => output::text(&berth_config::default_document())?,
        Action::Schema => output::line(format_args!("{:#}", berth_config::schema_document()))?,
        Action::Check(which) => {
            let mut outcome = Ok(());
            for &process in &which.processes {
                match load(which, process) {
                    Ok(_) => output::line(format_args!("the settings fit `{process}`"))?,
                    Err(error) => {
                        // The last one ends the command, and is told there.
                        if let Err(earlier) = std::mem::replace(&mut outcome, Err(error)) {
                            output::note(format_args!("berth: {earlier:#}"));
                        }
                    }
                }
            }
            outcome?;
        }
        Action::Show(which) => {
            let process = which.processes.first().copied().unwrap_or(Process::Api);
            let config = load(which, process)?;
            output::text(&toml::to_string(&config).context("writing the settings as TOML")?)?;
        }
    }
    Ok(())
}

fn load(which: &Which, process: Process) -> anyhow::Result<berth_config::Config> {
    let source = Source::from_process(which.config.clone());
    berth_config::load(&source, process).with_context(|| format!("the settings for `{process}`"))
}
