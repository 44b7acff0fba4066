//! `berth organizations`.

use clap::Args;

use super::caller::Caller;
use crate::client::organizations;
use crate::output::{self, Table};

/// List the organizations that you belong to.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    caller: Caller,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let reply = organizations::list(&arguments.caller.client()?).await?;
    output::show(arguments.caller.output, &reply.json, || {
        let mut table = Table::new(&["name", "title", "status", "id"]);
        for one in &reply.body {
            table.push(&[&one.name, &one.title, &one.status, &one.id]);
        }
        table
    })?;
    Ok(())
}
