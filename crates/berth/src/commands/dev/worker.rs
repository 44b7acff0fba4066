//! The worker child: started, watched, started again when it crashes, ended in order.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use berth_config::Config;
use berth_sandbox::launch::{Launch, Lifeline};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::output;

/// How long to wait before a worker that crashed is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How long a worker may take to end its runners.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What a worker is given.
#[derive(Debug, Clone)]
pub(crate) struct WorkerOptions {
    /// The program.
    pub(crate) program: PathBuf,
    /// The ONNX Runtime library.
    pub(crate) onnxruntime: PathBuf,
    /// The socket of this process's coordination.
    pub(crate) coordination: PathBuf,
    /// The folder of sockets.
    pub(crate) sockets: PathBuf,
    /// The folder of cached model files.
    pub(crate) cache: PathBuf,
}

/// Keeps a worker running until `shutdown`.
///
/// Fails when the program cannot be started.
pub(crate) async fn keep_running(
    options: WorkerOptions,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let (mut child, lifeline) = start(&options, &config)?;
        let crashed = tokio::select! {
            status = child.wait() => Some(status?),
            () = shutdown.cancelled() => None,
        };
        let Some(status) = crashed else {
            return end(child, lifeline).await;
        };
        output::note(format_args!("the worker ended ({status}): starting it again"));
        if shutdown
            .run_until_cancelled(tokio::time::sleep(RESTART_PAUSE))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}

fn start(options: &WorkerOptions, config: &Config) -> anyhow::Result<(Child, Lifeline)> {
    let failed = || format!("starting the worker `{}`", options.program.display());
    let mut launch = Launch::new();
    let (lifeline, number) = launch.lifeline().with_context(failed)?;
    let mut command = std::process::Command::new(&options.program);
    command.args(["node", "--lifeline", &number.to_string()]);
    for (name, _) in std::env::vars_os() {
        // A worker of `berth dev` speaks to it alone, whatever the environment says for others.
        if name.to_string_lossy().starts_with("BERTH_REDIS__") {
            command.env_remove(name);
        }
    }
    let artifacts = config.artifacts.folder.as_deref().unwrap_or(Path::new(""));
    command
        .env("BERTH_COORDINATION__SOCKET", &options.coordination)
        .env("BERTH_ARTIFACTS__FOLDER", artifacts)
        .env("BERTH_WORKER__ONNXRUNTIME_LIBRARY", &options.onnxruntime)
        .env("BERTH_WORKER__SOCKET_FOLDER", &options.sockets)
        .env("BERTH_WORKER__CACHE_FOLDER", &options.cache)
        .env("BERTH_TELEMETRY__LOG_LEVEL", &config.telemetry.log_level)
        .stdin(Stdio::null())
        // The standard output belongs to this program's answer, and where the worker listens is of no interest here.
        .stdout(Stdio::null())
        // A Ctrl-C at the terminal goes to the whole foreground group; the worker is ended in its turn.
        .process_group(0);
    if std::env::var_os("BERTH_WORKER__SANDBOX").is_none() {
        command.env("BERTH_WORKER__SANDBOX", "best_effort");
    }
    launch.prepare(&mut command);
    let child = Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .with_context(failed)?;
    Ok((child, lifeline))
}

async fn end(mut child: Child, lifeline: Lifeline) -> anyhow::Result<()> {
    // Dropping the lifeline would end it at once; SIGTERM lets it finish what is running.
    let ended = match child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        Some(id) => {
            // An error means that it has just ended by itself.
            let _ = kill_process(id, Signal::TERM);
            tokio::time::timeout(END_LIMIT, child.wait()).await.is_ok()
        }
        None => true,
    };
    drop(lifeline);
    if !ended {
        child
            .kill()
            .await
            .context("killing the worker, which did not end by itself")?;
    }
    Ok(())
}
