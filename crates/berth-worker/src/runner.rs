//! The process that holds one model.

mod confinement;
mod messages;
mod service;

use std::io::{self, Read as _, Write as _};
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use berth_domain::clock::SystemClock;
use berth_inference::Provider;
use berth_inference::onnx_runtime::{Library, OnnxRuntime};
use berth_runtime::{LoadError, Options, Runtime};
use berth_sandbox::inherited;
use berth_telemetry::logging;

use crate::resident;

pub(crate) use confinement::Confinement;
pub(crate) use messages::{Event, Ready, SandboxMode, Settings};

/// How many threads parse and render large bodies.
const BLOCKING_THREADS: usize = 2;

/// What the node hands over.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Number of the listening socket.
    #[arg(long)]
    socket: RawFd,
    /// Number of the lifeline.
    #[arg(long)]
    lifeline: RawFd,
}

/// Runs until the node ends it. What goes wrong before it is ready is told to the node, in words for the model's owner.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let (runtime, ready, listener) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(error) => {
            // If nobody listens, nobody is left to tell.
            let reason = format!("{error:#}");
            let _ = say(&Event::Failed { reason });
            return ExitCode::FAILURE;
        }
    };
    match service::serve(runtime, ready, listener, BLOCKING_THREADS) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the runner ends");
            ExitCode::FAILURE
        }
    }
}

fn prepare(arguments: &Arguments) -> anyhow::Result<(Runtime, Ready, UnixListener)> {
    // First, before any file is opened: its number must be the one that was handed over.
    let listener = inherited::listener(arguments.socket).context("the runner got no socket")?;
    let settings = read_settings()?;
    logging::init(&settings.logging()).context("the runner cannot log")?;
    let library = Library::load(&settings.library)?;
    let confinement = Confinement {
        folder: Some(&settings.folder),
        library: &settings.library,
        gpu: settings.providers.iter().any(|provider| provider != "cpu"),
        memory_bytes: settings.memory_bytes,
        mode: settings.sandbox,
    };
    let applied = confinement.enter().context("the runner cannot be shut in")?;
    let library = library.start()?;
    inherited::end_with_lifeline(arguments.lifeline).context("the runner got no lifeline")?;
    let begun = Instant::now();
    let runtime = load(&library, &settings).map_err(in_words)?;
    let load = begun.elapsed();
    let ready = Ready {
        library_version: library.library_version().to_owned(),
        providers: runtime.providers().to_vec(),
        resident_bytes: resident::of_this_process().context("the runner's memory cannot be measured")?,
        load_us: u64::try_from(load.as_micros()).unwrap_or(u64::MAX),
        sandbox: applied.to_string(),
    };
    Ok((runtime, ready, listener))
}

fn read_settings() -> anyhow::Result<Settings> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("the runner got no settings")?;
    serde_json::from_str(&text).context("the runner's settings are malformed")
}

fn load(library: &OnnxRuntime, settings: &Settings) -> anyhow::Result<Runtime> {
    let providers = settings
        .providers
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Provider>, _>>()?;
    if providers.is_empty() {
        bail!("no execution provider is configured");
    }
    let (batching, usual) = (settings.batching, Options::default());
    let count = |asked: Option<u32>, usual: usize| {
        asked.map_or(usual, |asked| usize::try_from(asked).unwrap_or(usual).max(1))
    };
    let options = Options {
        inference: berth_inference::Options {
            providers,
            threads: settings.threads,
            ..berth_inference::Options::default()
        },
        queue_requests: settings.queue_requests,
        batch_rows: count(batching.max_rows, usual.batch_rows),
        batch_tokens: count(batching.max_tokens, usual.batch_tokens),
        batch_delay: batching
            .max_delay_us
            .map_or(usual.batch_delay, |asked| Duration::from_micros(asked.into())),
        ..usual
    };
    let clock = Arc::new(SystemClock);
    Ok(Runtime::load(
        library,
        &settings.folder,
        &settings.manifest,
        &options,
        clock,
    )?)
}

/// The backend's own words say best why a model cannot be loaded; what stands above them is no news.
fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<LoadError>() {
        Ok(LoadError::Backend(error)) => anyhow::Error::msg(error.to_string()),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// Tells the node.
fn say(event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(event).context("the event cannot be written")?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .context("the node does not listen")
}

/// How long a drained runner may take to finish what it has; the node ends it earlier where it must.
const FINISH_LIMIT: Duration = Duration::from_mins(10);
