//! The process that joins the fleet and holds runners.

mod board;
mod control;
mod door;
mod membership;
mod options;
mod probes;
mod replica;
mod replicas;
mod sockets;

use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use berth_artifacts::{ArtifactStore, Cache};
use berth_config::Config;
use berth_coordination::redis::Redis;
use berth_coordination::remote::Remote;
use berth_coordination::{Coordination, Fleet};
use berth_domain::clock::{Clock, SystemClock};
use berth_domain::id::WorkerId;
use berth_domain::random::SystemRandom;
use berth_telemetry::logging;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::control::Control;
use self::door::Door;
use self::membership::Membership;
use self::replica::Keeper;
use self::replicas::Replicas;
use self::sockets::Sockets;
use crate::doctor;
use crate::launcher::{LIBRARY_ENVIRONMENT, Shared};

/// How long callers of the control service have to let go of their connections when the node ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the settings are.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Settings file; `BERTH_CONFIG` names another way.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of an inherited lifeline: the node ends when its other end is closed.
    #[arg(long, hide = true)]
    lifeline: Option<RawFd>,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub(crate) fn main(arguments: Arguments) -> anyhow::Result<()> {
    let config = crate::settings(arguments.config)?;
    logging::init(&options::logging(&config)).context("logging cannot start")?;
    if let Some(lifeline) = arguments.lifeline {
        berth_sandbox::inherited::end_with_lifeline(lifeline).context("the lifeline cannot be taken")?;
    }
    // Redis and S3 find their TLS provider here.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed already");
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the event loop cannot start")?
        .block_on(run(&config))
}

async fn run(config: &Config) -> anyhow::Result<()> {
    let metrics = probes::count()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let id = WorkerId::new(&clock, &SystemRandom);
    let program = std::env::current_exe().context("this program does not find itself")?;
    let report = examine(&program, config).await?;
    let sockets =
        Sockets::make(&config.worker.socket_folder, id).context("the folder of sockets cannot be used")?;
    let artifacts = options::artifacts(config)?;
    let store = ArtifactStore::open(&artifacts).await;
    let store = store.context("the artifact store cannot be opened")?;
    let cache = Cache::open(options::cache(config), store.clone(), Arc::clone(&clock));
    let cache = cache.await.context("the cache cannot be opened")?;
    let fleet = Fleet::new(coordination(config)?);
    let launcher = options::launcher(config, &report, program, sockets.folder());
    let board = Board::new(id);
    let keeper = Arc::new(Keeper {
        launcher: launcher.clone(),
        shared: Shared::new(launcher.clone(), config.worker.shared_runner_model.get()),
        cache: cache.clone(),
        board: board.clone(),
        waits: options::waits(config),
        drain_timeout: config.worker.drain_timeout.get(),
    });
    let proof_timeout = config.worker.proof_timeout.get();
    let control = Control::new(launcher, cache, board.clone(), Arc::clone(&clock), proof_timeout);
    let mut record = options::worker_record(config, id, &report, sockets.control_address(), clock.now());
    let door = match config.peers.listen {
        None => None,
        Some(address) => {
            let peers = options::peers(config)?;
            let door = Door::open(address, peers, board.clone(), sockets.control_address()).await;
            let door = door.with_context(|| format!("`{address}` cannot be listened on"))?;
            record.endpoint = Some(options::endpoint(config, door.address()?));
            Some(door)
        }
    };
    tracing::info!(worker.id = %id, library = %report.library_version, sandbox = %report.sandbox, "joining the fleet");

    let leaving = CancellationToken::new();
    let gone = CancellationToken::new();
    let coordination = Arc::clone(fleet.coordination());
    probes::listen(config, &metrics, coordination, store, gone.clone()).await?;
    tokio::spawn(probes::watch(board.clone(), metrics, gone.clone()));
    let serving = tokio::spawn(control.serve(sockets.listen()?, gone.clone()));
    if let Some(door) = door {
        tracing::info!(address = record.endpoint, "peers on other machines are let in");
        tokio::spawn(door.run(gone.clone()));
    }
    let membership = Membership::new(fleet.clone(), record, board.clone(), config.worker.lease.get());
    let membership = tokio::spawn(membership.run(leaving.clone(), gone.clone()));
    let replicas = Replicas::new(fleet.clone(), id, keeper);
    let replicas = tokio::spawn(replicas.run(leaving.clone()));
    writeln!(io::stdout(), "listening on {}", sockets.control_address())
        .context("nobody reads the address")?;

    stopped().await?;
    tracing::info!(worker.id = %id, "draining");
    leaving.cancel();
    tokio::select! {
        drained = replicas => drained.context("the replicas could not be drained")?,
        again = stopped() => {
            again?;
            tracing::warn!(worker.id = %id, "told to end a second time: running requests are lost");
        }
    }
    gone.cancel();
    membership.await.context("the node could not leave")?;
    // A caller that no longer moves its end of a connection must not hold the node.
    if let Ok(served) = tokio::time::timeout(FAREWELL, serving).await {
        served.context("the control service could not end")??;
    }
    tracing::info!(worker.id = %id, "left the fleet");
    Ok(())
}

/// Lets a child look at the library and the machine: this process never loads the library.
async fn examine(program: &std::path::Path, config: &Config) -> anyhow::Result<doctor::Report> {
    let library = config.worker.onnxruntime_library.as_ref();
    let library = library.context("no ONNX Runtime library is configured")?;
    let output = tokio::process::Command::new(program)
        .args(["doctor", "--output", "json", "--library"])
        .arg(library)
        .envs(LIBRARY_ENVIRONMENT)
        .kill_on_drop(true)
        .output()
        .await
        .context("the machine cannot be examined")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        anyhow::bail!("{}", said.strip_prefix("berth-worker: ").unwrap_or(said));
    }
    serde_json::from_slice(&output.stdout).context("the examination of the machine cannot be read")
}

fn coordination(config: &Config) -> anyhow::Result<Arc<dyn Coordination>> {
    if let Some(socket) = &config.coordination.socket {
        let options = berth_coordination::remote::Options::new(socket);
        return Ok(Arc::new(Remote::connect(options)));
    }
    let redis = Redis::connect(options::redis(config)?);
    Ok(Arc::new(redis.context("the address of Redis cannot be used")?))
}

/// Waits for SIGTERM or SIGINT.
async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
