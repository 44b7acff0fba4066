//! `berth dev`: a whole installation on one machine, with nothing to install.
//!
//! API and background work run in this process, over an in-memory coordination and queue. Postgres and the worker are
//! children that end with it, however it ends. Everything that lasts lies in one folder, readable by its owner alone.

mod database;
mod demo;
mod settings;
mod state;
mod summary;
mod worker;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use berth_config::{Config, Process, Source};
use berth_coordination::memory::Memory;
use berth_coordination::remote;
use berth_telemetry::metrics::Rendering;
use clap::Args;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use self::database::Database;
use self::demo::{Demo, DemoModel};
use self::state::State;
use self::summary::Summary;
use self::worker::WorkerOptions;
use crate::node::foundation::Foundation;
use crate::node::shutdown::Shutdown;
use crate::node::start::{self, Settings};
use crate::node::{api, tasks};
use crate::output;

/// How long everything may take to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Start a whole installation on this machine: Postgres, API, background work and a worker, with a demo key.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder in which everything lies that lasts.
    #[arg(long, default_value = ".berth")]
    state: PathBuf,
    /// The port to listen on; 0 takes a free one. Else the one of the settings.
    #[arg(long)]
    port: Option<u16>,
    /// The ONNX Runtime library.
    #[arg(long, value_name = "LIBRARY")]
    onnxruntime: PathBuf,
    /// The folder of the Postgres programs; else an installed one is looked for.
    #[arg(long, value_name = "FOLDER")]
    postgres: Option<PathBuf>,
    /// The worker program; else the one beside this program.
    #[arg(long, value_name = "PROGRAM")]
    worker: Option<PathBuf>,
    /// A model to upload, deploy and call once: a file or folder.
    #[arg(long, value_name = "PATH")]
    demo_model: Option<PathBuf>,
    /// The name of that model; else made of the name of its file or folder.
    #[arg(long, value_name = "NAME", requires = "demo_model")]
    demo_name: Option<String>,
    /// Tell the address, the login and the key as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Runs until a signal asks it to end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let token = shutdown.token();
    let state = State::open(&arguments.state)?;
    output::note("starting Postgres …");
    let database = Database::start(&state, arguments.postgres.clone());
    let Some(database) = token.run_until_cancelled(database).await.transpose()? else {
        return Ok(());
    };
    let outcome = serve(&arguments, &state, &database, shutdown).await;
    let stopped = database.stop().await;
    outcome.and(stopped)
}

/// Serves over the database until a signal asks it to end.
async fn serve(
    arguments: &Arguments,
    state: &State,
    database: &Database,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let source = Source::from_process(arguments.settings.config.clone());
    let mut config = start::load(&settings::presets(source, state, &database.urls)?, Process::Dev)?;
    if let Some(port) = arguments.port {
        config.http.listen.set_port(port);
    }
    config.grpc.listen.get_or_insert(beside(config.http.listen));
    let metrics = start::count(&shutdown)?;
    let traces = start::trace(&config, "berth-dev").await?;
    let sockets = socket_folder(state)?;
    // The worker says good-bye through the coordination, which therefore ends last.
    let last = CancellationToken::new();
    let _end_last = last.clone().drop_guard();
    let memory = Memory::new();
    let coordination = listen(&sockets, memory.clone(), last)?;

    let outcome = tokio::select! {
        outcome = begin(arguments, state, &config, &metrics, &shutdown, memory, &sockets, coordination) => outcome,
        () = shutdown.token().cancelled_owned() => Ok(()),
    };
    if outcome.is_err() {
        shutdown.begin();
    }
    let ended = shutdown.wait(END_LIMIT).await;
    traces.finish().await;
    outcome.and(ended)
}

/// A folder for sockets: the path of a Unix socket must be short, and that of the state folder may be long. One that a
/// killed process left behind is removed.
fn socket_folder(state: &State) -> anyhow::Result<TempDir> {
    const PARENT: &str = "/tmp";
    const PREFIX: &str = "berth-";
    let note = state.path("sockets");
    if let Ok(left) = fs::read_to_string(&note) {
        let left = Path::new(&left);
        let is_ours = left.parent() == Some(Path::new(PARENT))
            && left
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if is_ours && left.exists() {
            fs::remove_dir_all(left).with_context(|| format!("removing `{}`", left.display()))?;
        }
    }
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(PARENT)
        .context("making a folder for sockets")?;
    state.write_private(&note, folder.path().as_os_str().as_encoded_bytes())?;
    Ok(folder)
}

/// Lets the worker share the coordination. Returns the path of the socket.
fn listen(sockets: &TempDir, memory: Memory, last: CancellationToken) -> anyhow::Result<PathBuf> {
    let path = sockets.path().join("coordination.sock");
    let listener = UnixListener::bind(&path).context("listening for the worker")?;
    tokio::spawn(remote::serve(memory, listener, last));
    Ok(path)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all parts of the machine meet"
)]
async fn begin(
    arguments: &Arguments,
    state: &State,
    config: &Config,
    metrics: &Rendering,
    shutdown: &Shutdown,
    memory: Memory,
    sockets: &TempDir,
    coordination: PathBuf,
) -> anyhow::Result<()> {
    let foundation = Foundation::lay(config, Arc::new(memory)).await?;
    // Coordination is lost with this process alone, and so are its workers: there is nothing to wait for.
    tasks::begin(
        config,
        &foundation,
        &tasks::memory_queue(),
        Duration::ZERO,
        shutdown,
    )?;
    let serving = api::begin(config, &foundation, metrics, shutdown).await?;
    let address = reachable(&serving.address, config.http.listen);
    let grpc = serving
        .grpc
        .map(|grpc| reachable(&grpc.to_string(), config.http.listen));
    if let Some(grpc) = &grpc {
        output::line(format_args!("gRPC listening on {grpc}"))?;
    }
    output::line(format_args!("listening on {address}"))?;

    let options = WorkerOptions {
        program: worker_program(arguments.worker.as_deref())?,
        onnxruntime: absolute(&arguments.onnxruntime)?,
        coordination,
        sockets: sockets.path().join("worker"),
        cache: state.folder("cache")?,
    };
    shutdown.run(
        "worker",
        worker::keep_running(options, config.clone(), shutdown.token()),
    );

    let demo = Demo::set_up(state, &serving.auth, &address)
        .await
        .context("setting up the demo")?;
    let model = match &arguments.demo_model {
        None => None,
        Some(path) => {
            let model = DemoModel::new(path.clone(), arguments.demo_name.clone())?;
            let answered = demo
                .serve(&address, &model)
                .await
                .context("serving the demo model")?;
            Some((model.name, answered))
        }
    };
    let summary = Summary::new(&address, grpc, &demo, model);
    if arguments.json {
        output::line(summary.json())?;
    } else {
        output::text(&summary.text())?;
    }
    shutdown.token().cancelled().await;
    Ok(())
}

/// The address of gRPC where none is set: the next port, or a free one if somebody has that.
fn beside(http: SocketAddr) -> SocketAddr {
    let next = http.port().checked_add(1).filter(|_| http.port() > 0);
    let next = SocketAddr::new(http.ip(), next.unwrap_or(0));
    match TcpListener::bind(next) {
        Ok(_) => next,
        Err(_) => SocketAddr::new(http.ip(), 0),
    }
}

/// The address by which this machine reaches the listener.
fn reachable(address: &str, listen: SocketAddr) -> String {
    match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.replacen("0.0.0.0", "127.0.0.1", 1),
        ip if ip.is_unspecified() => address.replacen("[::]", "[::1]", 1),
        _ => address.to_owned(),
    }
}

fn worker_program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(program) = given {
        return absolute(program);
    }
    let this = std::env::current_exe().context("finding this program")?;
    let beside = this.with_file_name("berth-worker");
    anyhow::ensure!(
        beside.is_file(),
        "there is no worker at `{}`: name it with --worker",
        beside.display()
    );
    Ok(beside)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("finding `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_every_interface_is_reached_by_loopback() {
        let reached = |address: &str, listen: &str| reachable(address, listen.parse().expect("an address"));
        assert_eq!(reached("http://0.0.0.0:80", "0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(reached("http://[::]:80", "[::]:80"), "http://[::1]:80");
        assert_eq!(
            reached("http://127.0.0.1:80", "127.0.0.1:0"),
            "http://127.0.0.1:80"
        );
    }
}
