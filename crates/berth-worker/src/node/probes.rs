//! Metrics of this node, and the listener that shows them beside its signs of life.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use berth_artifacts::ArtifactStore;
use berth_config::Config;
use berth_coordination::Coordination;
use berth_telemetry::metrics::{self, Build, Rendering};
use berth_telemetry::probes::{Part, Probes};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Entry};
use crate::{measure, resident};

/// How often the memory of the runners is looked at, which costs the system a walk over their pages.
const LOOK: Duration = Duration::from_secs(5);

/// Begins to count.
pub(super) fn count() -> anyhow::Result<Rendering> {
    let rendering = metrics::install(Build {
        program: "berth-worker",
        version: env!("CARGO_PKG_VERSION"),
    });
    let rendering = rendering.context("counting cannot start")?;
    measure::begin();
    Ok(rendering)
}

/// Listens where the settings say, if they do, until `gone`; says where on the standard output.
pub(super) async fn listen(
    config: &Config,
    rendering: &Rendering,
    coordination: Arc<dyn Coordination>,
    artifacts: ArtifactStore,
    gone: CancellationToken,
) -> anyhow::Result<()> {
    let Some(listen) = config.worker.listen else {
        return Ok(());
    };
    let parts = vec![
        Part::new("coordination", move || {
            let coordination = Arc::clone(&coordination);
            async move { coordination.check().await }
        }),
        Part::new("artifacts", move || {
            let artifacts = artifacts.clone();
            async move { artifacts.check().await }
        }),
    ];
    let probes = Probes::bind(listen, rendering.clone(), parts).await?;
    writeln!(io::stdout(), "metrics on http://{}", probes.address()).context("nobody reads the address")?;
    tokio::spawn(probes.run(gone.cancelled_owned()));
    Ok(())
}

/// Measures what the runners take, until `gone`.
pub(super) async fn watch(board: Board, rendering: Rendering, gone: CancellationToken) {
    let mut changes = board.watch();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gone.cancelled() => return,
            _ = tick.tick() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        // Models that share a runner are in one process.
        let runners: BTreeMap<u32, u64> = board.entries().iter().filter_map(said_of).collect();
        let measured = tokio::task::spawn_blocking(move || runners.into_iter().map(taken_by).sum::<u64>());
        match measured.await {
            Ok(bytes) => measure::resident_bytes(bytes),
            Err(error) => tracing::error!(%error, "the memory of the runners was not measured"),
        }
        rendering.tidy();
    }
}

/// The process of a replica's runner, and what it said that it takes.
fn said_of(entry: &Entry) -> Option<(u32, u64)> {
    Some((entry.pid?, entry.record.resident_bytes))
}

/// What a runner takes now. When the system does not tell, because the runner has just ended or belongs to another user, what
/// it said itself when it was ready.
fn taken_by((pid, said): (u32, u64)) -> u64 {
    resident::of(pid).unwrap_or(said)
}
