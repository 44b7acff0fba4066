//! `berth projects`.

use clap::{Args, Subcommand};

use super::caller::Caller;
use crate::client::projects::{self, Project};
use crate::output::{self, Table};

/// Projects of an organization.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the projects.
    List,
    /// Make a project.
    Create {
        /// Its name: small letters, digits, `-`, `_`, `.`.
        name: String,
        /// Its title for people; else the name.
        #[arg(long)]
        title: Option<String>,
    },
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { action, caller } = arguments;
    let (client, organization) = caller.in_organization().await?;
    match action {
        Action::List => {
            let reply = projects::list(&client, &organization).await?;
            output::show(caller.output, &reply.json, || table(&reply.body))?;
        }
        Action::Create { name, title } => {
            let title = title.unwrap_or_else(|| name.clone());
            let reply = projects::create(&client, &organization, &name, &title).await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
    }
    Ok(())
}

fn table(projects: &[Project]) -> Table {
    let mut table = Table::new(&["name", "title", "status", "id"]);
    for one in projects {
        table.push(&[&one.name, &one.title, &one.status, &one.id]);
    }
    table
}
