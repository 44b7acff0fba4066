//! The process that holds a model, or several small ones of one organization.

mod confinement;
mod holding;
mod messages;
mod notes;
mod service;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use berth_inference::Provider;
use berth_inference::onnx_runtime::Library;
use berth_runtime::{Compute, ComputeOptions};
use berth_sandbox::inherited;
use berth_telemetry::logging;
use berth_transport::serve_runner;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::holding::Holding;

pub(crate) use confinement::Confinement;
pub(crate) use messages::{Command, Event, Load, Ready, SandboxMode, Settings};

/// How many threads load models, and parse and render large bodies.
const BLOCKING_THREADS: usize = 3;

/// How long a drained runner may take to finish what it has; the node ends it earlier where it must.
const FINISH_LIMIT: Duration = Duration::from_mins(10);

/// The settings are one short line.
const SETTINGS_LIMIT_BYTES: u64 = 1 << 20;

/// What the node hands over.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Number of the listening socket.
    #[arg(long)]
    socket: RawFd,
    /// Number of the lifeline.
    #[arg(long)]
    lifeline: RawFd,
    /// Number of the page of notes.
    #[arg(long)]
    notes: RawFd,
}

/// Runs until the node ends it. What goes wrong before it answers is told to the node, in words for the model's owner.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let (holding, listener, commands) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(error) => {
            // If nobody listens, nobody is left to tell.
            let reason = format!("{error:#}");
            let _ = say(&Event::Failed { slot: None, reason });
            return ExitCode::FAILURE;
        }
    };
    match serve(&holding, listener, commands) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the runner ends");
            ExitCode::FAILURE
        }
    }
}

/// What is left of the standard input: bytes that were read already, and the pipe.
struct Commands(Vec<u8>, OwnedFd);

fn prepare(arguments: &Arguments) -> anyhow::Result<(Holding, UnixListener, Commands)> {
    // First, before any file is opened: their numbers must be those that were handed over.
    let listener = inherited::listener(arguments.socket).context("the runner got no socket")?;
    let page = inherited::notes(arguments.notes).context("the runner got no page for notes")?;
    let (settings, commands) = read_settings()?;
    logging::init(&settings.logging()).context("the runner cannot log")?;
    let library = Library::load(&settings.library)?;
    let confinement = Confinement {
        folder: Some(&settings.folder),
        library: &settings.library,
        gpu: settings.providers.iter().any(|provider| provider != "cpu"),
        memory_bytes: settings.memory_bytes,
        memory_most_bytes: settings.memory_most_bytes,
        mode: settings.sandbox,
    };
    let applied = confinement.enter().context("the runner cannot be shut in")?;
    let library = if settings.shared {
        library.start_sharing(settings.threads)?
    } else {
        library.start()?
    };
    inherited::end_with_lifeline(arguments.lifeline).context("the runner got no lifeline")?;
    let providers = settings
        .providers
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Provider>, _>>()?;
    if providers.is_empty() {
        bail!("no execution provider is configured");
    }
    let compute = Compute::start(ComputeOptions {
        threads: settings.runs,
        marks: std::sync::Arc::new(notes::Noted(page)),
        ..ComputeOptions::default()
    });
    let compute = compute.context("the compute threads could not be started")?;
    let holding = Holding::new(library, compute, settings, providers, applied.to_string());
    Ok((holding, listener, commands))
}

fn read_settings() -> anyhow::Result<(Settings, Commands)> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    let mut input = BufReader::new(File::from(input.context("the runner has no input")?));
    let mut line = String::new();
    input
        .by_ref()
        .take(SETTINGS_LIMIT_BYTES)
        .read_line(&mut line)
        .context("the runner got no settings")?;
    let settings = serde_json::from_str(&line).context("the runner's settings are malformed")?;
    let rest = input.buffer().to_vec();
    Ok((settings, Commands(rest, input.into_inner().into())))
}

/// Answers requests until SIGTERM, and then finishes those that it has.
fn serve(holding: &Holding, listener: UnixListener, commands: Commands) -> anyhow::Result<ExitCode> {
    // One thread moves bytes; computing has its own.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("the runner's event loop cannot start")?
        .block_on(async {
            listener
                .set_nonblocking(true)
                .context("the socket cannot be used")?;
            let listener =
                tokio::net::UnixListener::from_std(listener).context("the socket cannot be used")?;
            let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
            let Commands(first, rest) = commands;
            let rest = pipe::Receiver::from_owned_fd(rest).context("the input cannot be used")?;
            let commands = tokio::io::AsyncReadExt::chain(io::Cursor::new(first), rest);
            let draining = CancellationToken::new();
            let serving = serve_runner(listener, holding.models(), draining.clone());
            let told_to_end = async {
                terminate.recv().await;
                tracing::debug!("finishing what is there");
                draining.cancel();
                tokio::time::sleep(FINISH_LIMIT).await;
            };
            tokio::select! {
                () = serving => Ok(ExitCode::SUCCESS),
                () = told_to_end => Ok(ExitCode::SUCCESS),
                failed = holding.obey(tokio::io::BufReader::new(commands)) => failed.map(|()| ExitCode::FAILURE),
            }
        })
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
