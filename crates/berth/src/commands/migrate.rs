//! `berth migrate`: the schema of the database.

use berth_config::Process;
use berth_domain::random::SystemRandom;
use clap::Args;

use crate::node::options;
use crate::node::start::Settings;
use crate::output;

/// Bring the database to the schema of this release, and let the roles of the other processes log in.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.settings.load(Process::Migrate)?;
    berth_store::migrate(&options::migrations(&config)?, &SystemRandom).await?;
    output::line("the database has the schema of this release")?;
    Ok(())
}
