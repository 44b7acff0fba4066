//! Starting a runner, waiting until it is ready, and ending it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::manifest::Manifest;
use berth_sandbox::launch::{Launch, Lifeline};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::measure::{self, Exit, Lives, Load, Purpose};
use crate::runner::{Event, Ready, SandboxMode, Settings};

/// Variables of the environment that a runner needs; all others stay with the node, secrets among them.
const ENVIRONMENT: [&str; 4] = [
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "RUST_BACKTRACE",
];

/// What the library wants to find in the environment: it must not report to its maker.
pub(crate) const LIBRARY_ENVIRONMENT: [(&str, &str); 1] = [("ORT_DISABLE_TELEMETRY", "1")];

/// What of the environment a runner is given.
pub(crate) fn runner_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ENVIRONMENT
        .iter()
        .filter_map(|&name| Some((name, std::env::var_os(name)?)))
}

/// A runner may take so many times what its version took when it was measured, and some slack: it was proved on one or two rows,
/// and serves batches.
const MEASURED_TIMES: u64 = 3;

/// What a runner says of itself is short. It holds an uploaded model, so it is not believed to say little.
const EVENT_LIMIT_BYTES: u64 = 64 << 10;

/// A runner's reason is cut after so many bytes: it ends up in tables and answers.
const REASON_LIMIT_BYTES: usize = 2000;

/// How runners are started.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    /// This very program.
    pub(crate) program: PathBuf,
    /// The folder of the sockets.
    pub(crate) sockets: PathBuf,
    pub(crate) library: PathBuf,
    /// What models may run on, the preferred first.
    pub(crate) providers: Vec<String>,
    /// The one GPU that runners see, by its place on the bus.
    pub(crate) gpu: Option<u16>,
    /// How many threads compute one request where nobody asks for another number.
    pub(crate) threads: usize,
    /// How many the machine has.
    pub(crate) most_threads: usize,
    pub(crate) queue_requests: usize,
    pub(crate) sandbox: SandboxMode,
    /// The most memory that a runner may take.
    pub(crate) memory_bytes: Option<u64>,
    /// What a runner may take beyond three times what its version took when it was measured.
    pub(crate) slack_bytes: u64,
    pub(crate) load_timeout: Duration,
    pub(crate) log_filter: String,
    pub(crate) log_as_json: bool,
}

/// A model that a runner is to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// What the runner's socket is called.
    pub(crate) name: &'a str,
    /// The folder with the model's files.
    pub(crate) folder: &'a Path,
    pub(crate) manifest: &'a Manifest,
    /// How many threads compute one request; more than the machine has are not taken.
    pub(crate) threads: Option<u32>,
    /// How requests are joined to batches.
    pub(crate) batching: Batching,
    /// What it must be computed on.
    pub(crate) device: DeviceKind,
    /// What the version took when it was measured; 0 where that is not known.
    pub(crate) measured_bytes: u64,
    pub(crate) purpose: Purpose,
}

/// A runner that answers requests. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    socket: Socket,
    ready: Ready,
    loaded_in: Duration,
    lives: Lives,
    _lifeline: Lifeline,
}

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The node could not start it: the model is not at fault.
    #[error("{attempt}")]
    Launch {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It says itself why it cannot serve the model.
    #[error("{0}")]
    Refused(String),
    /// It ended without a word.
    #[error("The runner {0} while it loaded the model.")]
    Ended(String),
    /// It took too long.
    #[error("The model was not loaded within {} s.", .0.as_secs())]
    TooLong(Duration),
}

impl Launcher {
    /// Starts a runner and waits until it is ready. Dropping the future kills it.
    pub(crate) async fn start(&self, order: Order<'_>) -> Result<Running, Error> {
        let started = self.load(order).await;
        let load = match &started {
            Ok(_) => Load::Loaded,
            Err(Error::Launch { .. }) => Load::NotStarted,
            Err(Error::Refused(_)) => Load::Refused,
            Err(Error::Ended(_)) => Load::Crashed,
            Err(Error::TooLong(_)) => Load::Timeout,
        };
        measure::loaded(order.purpose, load);
        started
    }

    async fn load(&self, order: Order<'_>) -> Result<Running, Error> {
        let begun = Instant::now();
        let settings = serde_json::to_vec(&self.settings(order)?);
        let settings = settings.map_err(|error| launch("writing the runner's settings")(error.into()))?;
        let socket = Socket(self.sockets.join(format!("{}.sock", order.name)));
        let (mut child, lifeline) = self.spawn(&socket)?;
        let mut lives = Lives::begin(order.purpose);
        // One bound on everything: a runner that closes its output and stays is no better than one that says nothing.
        let told = tokio::time::timeout(self.load_timeout, async {
            match announced(&mut child, &settings).await? {
                Some(event) => Ok(event),
                None => Err(Error::Ended(ending(&mut child, &mut lives).await)),
            }
        });
        let ready = match told.await {
            Err(_) => {
                lives.end(Exit::LoadTimeout);
                return Err(Error::TooLong(self.load_timeout));
            }
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Event::Ready(ready))) => ready,
            Ok(Ok(Event::Failed { reason })) => {
                lives.end(Exit::Refused);
                return Err(Error::Refused(shortened(reason)));
            }
        };
        Ok(Running {
            child,
            socket,
            ready,
            loaded_in: begun.elapsed(),
            lives,
            _lifeline: lifeline,
        })
    }

    /// What a runner may run its model on. A device that is demanded comes first, which the runner obeys or fails.
    fn providers(&self, demanded: DeviceKind) -> Result<Vec<String>, Error> {
        let Some(demanded) = demanded.provider() else {
            return Ok(self.providers.clone());
        };
        let place = self.providers.iter().position(|provider| provider == demanded);
        // The processor is always there: it runs what others leave.
        let place = place.or((demanded == "cpu").then_some(self.providers.len()));
        let Some(place) = place else {
            let offered = self.providers.join(", ");
            return Err(Error::Refused(format!(
                "The deployment demands `{demanded}`, and this worker computes on {offered} alone."
            )));
        };
        let after = self.providers.iter().skip(place + 1).cloned();
        Ok(std::iter::once(demanded.to_owned()).chain(after).collect())
    }

    /// The most memory that a runner of a version of this size may take.
    fn ceiling(&self, measured_bytes: u64) -> Option<u64> {
        if measured_bytes == 0 {
            return self.memory_bytes;
        }
        let own = measured_bytes
            .saturating_mul(MEASURED_TIMES)
            .saturating_add(self.slack_bytes);
        Some(self.memory_bytes.map_or(own, |most| most.min(own)))
    }

    fn settings(&self, order: Order<'_>) -> Result<Settings, Error> {
        let asked = order
            .threads
            .map(|threads| usize::try_from(threads).unwrap_or(usize::MAX));
        Ok(Settings {
            folder: order.folder.to_owned(),
            manifest: order.manifest.clone(),
            library: self.library.clone(),
            providers: self.providers(order.device)?,
            threads: asked.map_or(self.threads, |threads| threads.clamp(1, self.most_threads)),
            queue_requests: self.queue_requests,
            batching: order.batching,
            sandbox: self.sandbox,
            memory_bytes: self.ceiling(order.measured_bytes),
            log_filter: self.log_filter.clone(),
            log_as_json: self.log_as_json,
        })
    }

    /// The child alone holds the listening socket: when it is gone, connecting is refused at once.
    fn spawn(&self, socket: &Socket) -> Result<(Child, Lifeline), Error> {
        let mut hand_over = Launch::new();
        let listener = UnixListener::bind(&socket.0).map_err(launch("making the runner's socket"))?;
        let listener = hand_over.hand_over(listener);
        let (lifeline, lifeline_number) = hand_over
            .lifeline()
            .map_err(launch("making the runner's lifeline"))?;
        let mut command = std::process::Command::new(&self.program);
        command
            .arg("runner")
            .args([
                "--socket",
                &listener.to_string(),
                "--lifeline",
                &lifeline_number.to_string(),
            ])
            .env_clear()
            .envs(runner_environment())
            .envs(LIBRARY_ENVIRONMENT)
            .envs(self.gpu.into_iter().flat_map(seeing))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the node, which then ends its runners in order.
            .process_group(0);
        hand_over.prepare(&mut command);
        let mut command = Command::from(command);
        let child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(launch("starting the runner"))?;
        // When memory runs out, a model goes before the node and everything else on the machine.
        if let Some(pid) = child.id()
            && let Err(error) = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")
        {
            tracing::warn!(%error, pid, "a runner is not the first to go when memory runs out");
        }
        Ok((child, lifeline))
    }
}

impl Running {
    /// Where it answers: `unix:` and a path.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.socket.0.display())
    }

    /// What it said of itself.
    pub(crate) const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// How long it took from its start until it was ready.
    pub(crate) const fn loaded_in(&self) -> Duration {
        self.loaded_in
    }

    /// Its process id, while it lives.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself, and says in words how.
    pub(crate) async fn ended(&mut self) -> String {
        ending(&mut self.child, &mut self.lives).await
    }

    /// Lets it finish what it has, for at most `patience`, and ends it.
    pub(crate) async fn stop(mut self, patience: Duration) {
        if let Some(pid) = self.child.id()
            && let Err(error) = terminate(pid)
        {
            tracing::warn!(%error, pid, "a runner could not be asked to end");
        }
        if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
            self.lives.end(Exit::Stopped);
        } else {
            self.lives.end(Exit::DrainTimeout);
            tracing::warn!(
                pid = self.child.id(),
                "a runner did not finish in time and is killed"
            );
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "a runner could not be killed");
            }
        }
    }
}

/// The environment in which CUDA sees this GPU alone, counted as the bus counts.
fn seeing(gpu: u16) -> [(&'static str, String); 2] {
    [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES", gpu.to_string()),
    ]
}

/// The path of a socket, removed when it is no longer used.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a socket could not be removed");
        }
    }
}

/// Gives the child its settings and waits for its one line; `None` when it ends without.
async fn announced(child: &mut Child, settings: &[u8]) -> Result<Option<Event>, Error> {
    if let Some(mut input) = child.stdin.take() {
        // A child that ended already is told of by its missing line.
        let _ = input.write_all(settings).await;
    }
    let Some(output) = child.stdout.take() else {
        return Ok(None);
    };
    let mut line = String::new();
    let mut output = BufReader::new(output.take(EVENT_LIMIT_BYTES));
    let read = output.read_line(&mut line).await;
    read.map_err(launch("reading what the runner says"))?;
    Ok(serde_json::from_str(&line).ok())
}

async fn ending(child: &mut Child, lives: &mut Lives) -> String {
    match child.wait().await {
        Ok(status) => {
            lives.end(Exit::of(status));
            in_words(status)
        }
        Err(error) => format!("ended, and nobody knows how ({error})"),
    }
}

fn in_words(status: ExitStatus) -> String {
    match status.signal() {
        Some(4) => "crashed (illegal instruction: is this processor too old for the library?)".to_owned(),
        Some(6) => "was aborted by its library".to_owned(),
        Some(7) => "crashed (bus error)".to_owned(),
        Some(8) => "crashed (arithmetic error)".to_owned(),
        Some(9) => "was killed, perhaps because memory ran out".to_owned(),
        Some(11) => "crashed (memory fault)".to_owned(),
        Some(31) => "was killed for a system call that the sandbox forbids".to_owned(),
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended with code {}", status.code().unwrap_or(-1)),
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_LIMIT_BYTES {
        reason.truncate(reason.floor_char_boundary(REASON_LIMIT_BYTES));
        reason.push('…');
    }
    reason
}

fn launch(attempt: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Launch { attempt, source }
}

/// Sends SIGTERM.
fn terminate(pid: u32) -> io::Result<()> {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
}

#[cfg(test)]
mod tests {
    use berth_domain::deployment;
    use berth_domain::manifest::{Batching, Task};

    use super::*;

    fn launcher(providers: &[&str]) -> Launcher {
        Launcher {
            program: PathBuf::new(),
            sockets: PathBuf::new(),
            library: PathBuf::new(),
            providers: providers.iter().map(|&provider| provider.to_owned()).collect(),
            gpu: None,
            threads: 3,
            most_threads: 8,
            queue_requests: 1,
            sandbox: SandboxMode::Required,
            memory_bytes: Some(1000),
            slack_bytes: 100,
            load_timeout: Duration::ZERO,
            log_filter: String::new(),
            log_as_json: false,
        }
    }

    #[test]
    fn demanded_device_comes_first_or_the_runner_is_not_started() {
        let all = launcher(&["tensorrt", "cuda", "cpu"]);
        for (demanded, given) in [
            (DeviceKind::Any, &["tensorrt", "cuda", "cpu"][..]),
            (DeviceKind::Tensorrt, &["tensorrt", "cuda", "cpu"]),
            (DeviceKind::Cuda, &["cuda", "cpu"]),
            (DeviceKind::Cpu, &["cpu"]),
        ] {
            assert_eq!(
                all.providers(demanded).expect("is offered"),
                given,
                "{demanded:?}"
            );
        }
        assert_eq!(
            launcher(&["cuda"]).providers(DeviceKind::Cpu).expect("always"),
            ["cpu"]
        );
        let refused = launcher(&["cpu"]).providers(DeviceKind::Cuda);
        assert_eq!(
            refused.expect_err("is not offered").to_string(),
            "The deployment demands `cuda`, and this worker computes on cpu alone."
        );
    }

    #[test]
    fn ceiling_follows_what_was_measured_and_stays_below_the_one_for_all() {
        let launcher = launcher(&["cpu"]);
        for (measured, ceiling) in [(0, 1000), (50, 250), (299, 997), (400, 1000), (u64::MAX, 1000)] {
            assert_eq!(launcher.ceiling(measured), Some(ceiling), "{measured}");
        }
        assert_eq!(
            Launcher {
                memory_bytes: None,
                ..launcher
            }
            .ceiling(50),
            Some(250)
        );
    }

    #[test]
    fn threads_are_those_asked_for_as_far_as_the_machine_has_them() {
        let launcher = launcher(&["cpu"]);
        let manifest = Manifest {
            task: Task::Tensors,
            graph: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            text_embedding: None,
            batching: Batching::default(),
            license: None,
            guessed: Vec::new(),
        };
        for (asked, given) in [(None, 3), (Some(1), 1), (Some(8), 8), (Some(u32::MAX), 8)] {
            let order = Order {
                name: "n",
                folder: Path::new("/"),
                manifest: &manifest,
                threads: asked,
                batching: deployment::Batching::default(),
                device: DeviceKind::Any,
                measured_bytes: 0,
                purpose: Purpose::Serving,
            };
            let settings = launcher.settings(order).expect("any device will do");
            assert_eq!(settings.threads, given, "{asked:?}");
        }
    }

    #[test]
    fn endings_are_told_in_words() {
        assert_eq!(in_words(ExitStatus::from_raw(11)), "crashed (memory fault)");
        assert_eq!(in_words(ExitStatus::from_raw(3 << 8)), "ended with code 3");
        assert_eq!(in_words(ExitStatus::from_raw(50)), "was ended by signal 50");
    }

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        let cut = shortened("ü".repeat(2000));
        assert!(cut.len() <= REASON_LIMIT_BYTES + 3 && cut.ends_with('…'));
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
