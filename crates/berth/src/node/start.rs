//! The first steps of a server process: settings, logs, metrics, traces.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use berth_config::{Config, Process, Source};
use berth_telemetry::metrics::{self, Build, Rendering};
use berth_telemetry::traces;
use clap::Args;

use super::options;
use super::shutdown::Shutdown;

/// How often samples are moved into their histograms.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Where the settings are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// The settings file; variables BERTH_SECTION__FIELD win over it.
    #[arg(long, env = "BERTH_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
}

impl Settings {
    /// Reads and checks the settings for `process`, and begins to log.
    pub(crate) fn load(&self, process: Process) -> anyhow::Result<Config> {
        load(&Source::from_process(self.config.clone()), process)
    }

    /// Reads and checks the settings for `process`, without logging.
    pub(crate) fn read(&self, process: Process) -> Result<Config, berth_config::Error> {
        berth_config::load(&Source::from_process(self.config.clone()), process)
    }
}

/// Reads and checks the settings of `source` for `process`, and begins to log.
pub(crate) fn load(source: &Source, process: Process) -> anyhow::Result<Config> {
    let config = berth_config::load(source, process)?;
    berth_telemetry::logging::init(&options::logging(&config)).context("setting up logs")?;
    Ok(config)
}

/// Begins to count, until `shutdown`.
pub(crate) fn count(shutdown: &Shutdown) -> anyhow::Result<Rendering> {
    let rendering = metrics::install(Build {
        program: "berth",
        version: env!("CARGO_PKG_VERSION"),
    })?;
    let (token, tidied) = (shutdown.token(), rendering.clone());
    shutdown.run("metrics", async move {
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        while token.run_until_cancelled(ticks.tick()).await.is_some() {
            tidied.tidy();
        }
        anyhow::Ok(())
    });
    Ok(rendering)
}

/// What this machine is called.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// What exports traces, if the settings ask for it.
#[derive(Debug)]
pub(crate) struct Tracing(Option<traces::Export>);

/// Begins to export traces as `service`, if the settings ask for it.
pub(crate) async fn trace(config: &Config, service: &'static str) -> anyhow::Result<Tracing> {
    let Some(url) = config.telemetry.traces_url.clone() else {
        return Ok(Tracing(None));
    };
    let options = traces::Options {
        url,
        ratio: config.telemetry.traces_ratio,
        service,
        version: env!("CARGO_PKG_VERSION"),
        instance: hostname(),
    };
    let installed = tokio::task::spawn_blocking(move || traces::install(&options)).await;
    let export = installed.context("the thread that begins to export traces failed")?;
    Ok(Tracing(Some(export?)))
}

impl Tracing {
    /// Exports what is left.
    pub(crate) async fn finish(self) {
        if let Some(export) = self.0
            && let Err(error) = tokio::task::spawn_blocking(|| export.finish()).await
        {
            tracing::error!(%error, "the last spans were not exported");
        }
    }
}
