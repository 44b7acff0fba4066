//! `berth api`: the HTTP server.

use berth_config::Process;
use clap::Args;

use crate::node::api;
use crate::node::foundation::{self, Foundation};
use crate::node::shutdown::Shutdown;
use crate::node::start::{self, Settings};
use crate::output;

/// Serve the API: inference and control plane.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs until a signal asks it to end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.settings.load(Process::Api)?;
    let shutdown = Shutdown::on_signals()?;
    let metrics = start::count(&shutdown)?;
    let traces = start::trace(&config, "berth-api").await?;
    let foundation = Foundation::lay(&config, foundation::redis(&config)?).await?;
    let serving = api::begin(&config, &foundation, &metrics, &shutdown).await?;
    let address = serving.address;
    if let Some(grpc) = serving.grpc {
        output::line(format_args!("gRPC listening on {grpc}"))?;
    }
    output::line(format_args!("listening on {address}"))?;
    tracing::info!(address, "serving");
    let limit = config.http.drain_delay.get() + config.http.shutdown_timeout.get();
    let ended = shutdown.wait(limit).await;
    traces.finish().await;
    ended
}
