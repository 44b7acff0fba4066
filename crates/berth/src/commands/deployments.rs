//! `berth deployments`.

use clap::{Args, Subcommand};

use super::caller::Caller;
use crate::client::deployments::{self, Change, Deployment, NewDeployment};
use crate::output::{self, Table};

/// Deployments of a project: the names that requests call.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the deployments.
    List,
    /// Serve a version of a model under a name.
    Create {
        /// The name that requests call; else that of the model.
        #[arg(long)]
        name: Option<String>,
        /// The model.
        model: String,
        /// The version; else the newest one that is ready.
        #[arg(long)]
        version: Option<u64>,
    },
    /// Serve another version under a name.
    Update {
        /// The name of the deployment.
        name: String,
        /// The version.
        #[arg(long)]
        version: u64,
    },
    /// Stop serving under a name.
    Delete {
        /// The name of the deployment.
        name: String,
    },
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { action, caller } = arguments;
    let at = caller.in_project().await?;
    match action {
        Action::List => {
            let reply = deployments::list(&at).await?;
            output::show(caller.output, &reply.json, || table(&reply.body))?;
        }
        Action::Create { name, model, version } => {
            let name = name.unwrap_or_else(|| model.clone());
            let reply = deployments::create(&at, &NewDeployment { name, model, version }).await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
        Action::Update { name, version } => {
            let reply = deployments::update(&at, &name, &Change { version }).await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
        Action::Delete { name } => deployments::delete(&at, &name).await?,
    }
    Ok(())
}

fn table(deployments: &[Deployment]) -> Table {
    let mut table = Table::new(&["name", "model", "version", "created"]);
    for one in deployments {
        table.push(&[&one.name, &one.model, &one.version, &one.created_at]);
    }
    table
}
