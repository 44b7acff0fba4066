//! `berth deployments`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::caller::Caller;
use crate::client::deployments::{self, Change, Deployment, NewDeployment, Share};
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
        /// A version to serve, else the newest one that is ready; `--version 3=9 --version 4=1` splits the traffic nine to
        /// one.
        #[arg(long = "version", value_name = "NUMBER[=WEIGHT]")]
        versions: Vec<Share>,
    },
    /// Serve another version under a name.
    Update {
        /// The name of the deployment.
        name: String,
        /// A version to serve; `--version 3=9 --version 4=1` splits the traffic nine to one.
        #[arg(long = "version", value_name = "NUMBER[=WEIGHT]", required = true)]
        versions: Vec<Share>,
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
        Action::Create {
            name,
            model,
            versions,
        } => {
            let name = name.unwrap_or_else(|| model.clone());
            let reply = deployments::create(
                &at,
                &NewDeployment {
                    name,
                    model,
                    versions,
                },
            )
            .await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
        Action::Update { name, versions } => {
            let reply = deployments::update(&at, &name, &Change { versions }).await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
        Action::Delete { name } => {
            deployments::delete(&at, &name).await?;
            let json = json!({ "name": name, "deleted": true });
            output::tell(caller.output, &json, format_args!("`{name}` is no longer served"))?;
        }
    }
    Ok(())
}

fn table(deployments: &[Deployment]) -> Table {
    let mut table = Table::new(&["name", "model", "versions", "created", "state", "reason"]);
    for one in deployments {
        table.push(&[
            &one.name,
            &one.model,
            &shares(&one.versions),
            &one.created_at,
            &one.state,
            &one.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

fn shares(versions: &[Share]) -> String {
    match versions {
        [only] => only.number.to_string(),
        several => {
            let shown: Vec<_> = several
                .iter()
                .map(|share| format!("{}={}", share.number, share.weight))
                .collect();
            shown.join(" ")
        }
    }
}
