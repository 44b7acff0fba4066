//! `berth models`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::caller::Caller;
use crate::client::Reply;
use crate::client::models::{self, Model, Version};
use crate::client::packing::Package;
use crate::client::projects::InProject;
use crate::output::{self, Table};

/// How often a version that is being proved is looked at again.
const PAUSE: Duration = Duration::from_millis(500);

/// Models of a project.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Upload a model: an `.onnx` file, a `.zip` or `.tar.gz`, or a folder.
    Push {
        /// The file or folder.
        path: PathBuf,
        /// The name of the model; else made of the name of the file or folder.
        #[arg(long)]
        name: Option<String>,
        /// Wait until the version is ready; end with an error when it fails.
        #[arg(long)]
        wait: bool,
    },
    /// List the models.
    List,
    /// Show a model and its versions.
    Show {
        /// The name of the model.
        name: String,
    },
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { action, caller } = arguments;
    match action {
        Action::Push { path, name, wait } => {
            let package = Package::of(&path)?;
            let name = match name {
                Some(name) => name,
                None => package
                    .suggested_name()
                    .context("give the model a name with --name")?,
            };
            let at = caller.in_project().await?;
            let progress = progress_bar(package.size_bytes);
            let mut reply = models::push(&at, &name, package, progress.clone()).await?;
            progress.finish_and_clear();
            if wait {
                reply = wait_until_proved(&at, &name, reply).await?;
            }
            output::show(caller.output, &reply.json, || {
                versions_table(&name, std::slice::from_ref(&reply.body))
            })?;
            let version = &reply.body;
            if wait && version.state != "ready" {
                let reason = version.reason.as_deref().unwrap_or("no reason is known");
                bail!(
                    "version {} of `{name}` is {}: {reason}",
                    version.number,
                    version.state
                );
            }
        }
        Action::List => {
            let reply = models::list(&caller.in_project().await?).await?;
            output::show(caller.output, &reply.json, || models_table(&reply.body))?;
        }
        Action::Show { name } => {
            let at = caller.in_project().await?;
            let model = models::show(&at, &name).await?;
            let versions = models::versions(&at, &name).await?;
            let json = serde_json::json!({ "model": model.json, "versions": versions.json });
            output::show(caller.output, &json, || versions_table(&name, &versions.body))?;
        }
    }
    Ok(())
}

async fn wait_until_proved(
    at: &InProject,
    name: &str,
    pushed: Reply<Version>,
) -> anyhow::Result<Reply<Version>> {
    let number = pushed.body.number;
    let spinner = ProgressBar::new_spinner().with_message(format!("version {number} is being proved"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let mut reply = pushed;
    while reply.body.is_checking() {
        tokio::time::sleep(PAUSE).await;
        reply = models::version(at, name, number).await?;
    }
    spinner.finish_and_clear();
    Ok(reply)
}

/// A bar on the standard error stream, if that is a terminal.
fn progress_bar(size_bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(size_bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn models_table(models: &[Model]) -> Table {
    let mut table = Table::new(&["name", "visible to", "created"]);
    for model in models {
        table.push(&[&model.name, &model.visibility, &model.created_at]);
    }
    table
}

fn versions_table(name: &str, versions: &[Version]) -> Table {
    let mut table = Table::new(&["model", "version", "state", "size", "created", "remarks"]);
    for version in versions {
        let remarks: Vec<_> = version
            .reason
            .iter()
            .chain(&version.warnings)
            .map(String::as_str)
            .collect();
        let size = indicatif::BinaryBytes(version.size_bytes);
        table.push(&[
            &name,
            &version.number,
            &version.state,
            &size,
            &version.created_at,
            &remarks.join("; "),
        ]);
    }
    table
}
