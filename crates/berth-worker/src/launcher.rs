//! Starting a runner, waiting until its model is ready, and ending it.

mod house;
mod process;
mod shared;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_domain::deployment::{Batching, DeviceKind};
use berth_domain::manifest::Manifest;
use tokio::sync::oneshot;

use self::house::{Guest, House};
use crate::measure::{self, Load, Purpose};
use crate::runner::{Ready, SandboxMode, Settings};

pub(crate) use house::{Ended, Part};
pub(crate) use shared::Shared;

/// Variables of the environment that a runner needs; all others stay with the node, secrets among them.
const ENVIRONMENT: [&str; 4] = [
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "RUST_BACKTRACE",
];

/// What the library wants to find in the environment: it must not report to its maker.
pub(crate) const LIBRARY_ENVIRONMENT: [(&str, &str); 1] = [("ORT_DISABLE_TELEMETRY", "1")];

/// How the allocator of a runner works: one heap for all threads, which keeps what was freed until the runner has been quiet for
/// a while and gives it back itself. Tensors come and go with every run; were their pages returned each time, the system would
/// clear them anew for the next run, which takes up to half as long as the run.
const ALLOCATOR_ENVIRONMENT: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
];

/// What of the environment a runner is given.
pub(crate) fn runner_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ENVIRONMENT
        .iter()
        .filter_map(|&name| Some((name, std::env::var_os(name)?)))
}

/// A runner may take so many times what its version took when it was measured, and some slack: it was proved on one or two rows,
/// and serves batches.
const MEASURED_TIMES: u64 = 3;

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
    /// What the runner's socket is called, if it is the model's own.
    pub(crate) name: &'a str,
    /// What requests call the model; nothing where they name none.
    pub(crate) replica: &'a str,
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

/// A model that answers requests. Dropping it takes it off at once; a runner that holds no other is killed.
#[derive(Debug)]
pub(crate) struct Running {
    guest: Guest,
    ready: Ready,
    loaded_in: Duration,
    /// Taken when it was heard.
    ended: Option<oneshot::Receiver<Ended>>,
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
    /// A runner that it would have shared came to such an end while it was loaded: perhaps that was the model's doing.
    #[error("{0}")]
    Suspected(Box<Error>),
    /// The runner that it would have shared ended before its turn came.
    #[error("The runner ended before the model was loaded.")]
    Disturbed,
}

impl Launcher {
    /// Starts a runner for this model alone and waits until it is ready. Dropping the future kills it.
    pub(crate) async fn start(&self, order: Order<'_>) -> Result<Running, Error> {
        counted(order.purpose, self.start_alone(order).await)
    }

    async fn start_alone(&self, order: Order<'_>) -> Result<Running, Error> {
        let settings = self.settings(order, order.folder, false)?;
        let house = House::open(self, order.name, &settings, order.purpose)?;
        let slot = house
            .reserve(order.measured_bytes, None)
            .ok_or(Error::Disturbed)?;
        house.enter(slot, order).await
    }

    /// What a runner may run its models on. A device that is demanded comes first, which the runner obeys or fails.
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

    /// The most memory that a runner of versions of this size may take.
    fn ceiling(&self, measured_bytes: u64) -> Option<u64> {
        if measured_bytes == 0 {
            return self.memory_bytes;
        }
        let own = measured_bytes
            .saturating_mul(MEASURED_TIMES)
            .saturating_add(self.slack_bytes);
        Some(self.memory_bytes.map_or(own, |most| most.min(own)))
    }

    /// How many threads compute one request, where so many are asked for.
    fn threads(&self, asked: Option<u32>) -> usize {
        let asked = asked.map(|threads| usize::try_from(threads).unwrap_or(usize::MAX));
        asked.map_or(self.threads, |threads| threads.clamp(1, self.most_threads))
    }

    /// How a runner is set up that may read `folder`, for this model alone or for others too.
    fn settings(&self, order: Order<'_>, folder: &Path, shared: bool) -> Result<Settings, Error> {
        let threads = self.threads(order.threads);
        Ok(Settings {
            folder: folder.to_owned(),
            shared,
            library: self.library.clone(),
            providers: self.providers(order.device)?,
            threads,
            runs: if shared {
                (self.most_threads / threads).max(1)
            } else {
                1
            },
            queue_requests: self.queue_requests,
            sandbox: self.sandbox,
            memory_bytes: self.ceiling(order.measured_bytes),
            // Without a ceiling for all it may be raised without end.
            memory_most_bytes: shared.then(|| self.memory_bytes.unwrap_or(u64::MAX)),
            log_filter: self.log_filter.clone(),
            log_as_json: self.log_as_json,
        })
    }
}

impl Running {
    /// Where it answers: `unix:` and a path.
    pub(crate) fn address(&self) -> String {
        self.guest.house.address()
    }

    /// What its runner said of it.
    pub(crate) const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// How long it took from the start of its runner, or from when its turn came there, until it was ready.
    pub(crate) const fn loaded_in(&self) -> Duration {
        self.loaded_in
    }

    /// The process id of its runner, while that lives.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.guest.house.pid()
    }

    /// Whether other models may be in the same runner.
    pub(crate) fn is_shared(&self) -> bool {
        self.guest.house.is_shared()
    }

    /// Waits until its runner ends by itself, and says in words how.
    pub(crate) async fn ended(&mut self) -> String {
        self.end().await.how
    }

    /// The same, and what part the model had in it.
    pub(crate) async fn end(&mut self) -> Ended {
        if let Some(ended) = &mut self.ended {
            let heard = ended.await;
            self.ended = None;
            if let Ok(heard) = heard {
                return heard;
            }
        }
        Ended {
            how: "has ended".to_owned(),
            part: Part::Bystander,
        }
    }

    /// Lets it finish what it has, for at most `patience`, and ends it.
    pub(crate) async fn stop(self, patience: Duration) {
        self.guest.leave(patience).await;
    }
}

/// Counts how an attempt to load a model ended.
fn counted(purpose: Purpose, started: Result<Running, Error>) -> Result<Running, Error> {
    let load = match &started {
        Ok(_) => Load::Loaded,
        Err(Error::Launch { .. }) => Load::NotStarted,
        Err(Error::Refused(_)) => Load::Refused,
        Err(Error::Ended(_)) => Load::Crashed,
        Err(Error::TooLong(_)) => Load::Timeout,
        Err(Error::Suspected(_) | Error::Disturbed) => Load::Disturbed,
    };
    measure::loaded(purpose, load);
    started
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_LIMIT_BYTES {
        reason.truncate(reason.floor_char_boundary(REASON_LIMIT_BYTES));
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
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
        for (asked, given) in [(None, 3), (Some(1), 1), (Some(8), 8), (Some(u32::MAX), 8)] {
            assert_eq!(launcher.threads(asked), given, "{asked:?}");
        }
    }

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        let cut = shortened("ü".repeat(2000));
        assert!(cut.len() <= REASON_LIMIT_BYTES + 3 && cut.ends_with('…'));
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
