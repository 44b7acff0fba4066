//! `berth tasks`: the background work.

use berth_config::Process;
use berth_jobs::placement::SETTLE;
use clap::Args;

use crate::node::foundation::{self, Foundation};
use crate::node::shutdown::Shutdown;
use crate::node::start::{self, Settings};
use crate::node::{probes, tasks};

/// Do the background work: relay accepted work, check models, place them on workers, send mail, tidy up.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs until a signal asks it to end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.settings.load(Process::Tasks)?;
    let shutdown = Shutdown::on_signals()?;
    let metrics = start::count(&shutdown)?;
    let traces = start::trace(&config, "berth-tasks").await?;
    let foundation = Foundation::lay(&config, foundation::redis(&config)?).await?;
    let queue = tasks::amqp(&config)?;
    tasks::begin(&config, &foundation, &queue, SETTLE, &shutdown)?;
    probes::begin(&config, &metrics, &foundation, &queue, &shutdown).await?;
    tracing::info!("working");
    let ended = shutdown.wait(config.tasks.shutdown_timeout.get()).await;
    traces.finish().await;
    ended
}
