//! One replica: its files, its runner, and what happens when the runner ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_artifacts::Cache;
use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState};
use berth_domain::id::ReplicaId;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Entry};
use crate::launcher::{Ended, Error, Launcher, Order, Part, Running, Shared};
use crate::measure::Purpose;

/// What a tenant is told when the artifact store does not give the files.
pub(super) const UNFETCHED: &str = "The model's files could not be fetched from the artifact store.";

/// After so many runners in a row that failed or crashed, the replica is said to have failed until it answers again.
const SAID_AFTER: u32 = 3;

/// A runner that answered for so long has not failed: what happens then is counted anew.
const PROVEN: Duration = Duration::from_mins(1);

/// After a replica is said to drain, routers need so long to hear of it.
const NEWS_TRAVEL: Duration = Duration::from_millis(500);

/// What all replicas share.
pub(super) struct Keeper {
    pub(super) launcher: Launcher,
    pub(super) shared: Shared,
    pub(super) cache: Cache,
    pub(super) board: Board,
    pub(super) waits: Waits,
    /// How long requests may take to end when a replica is taken off.
    pub(super) drain_timeout: Duration,
}

/// How long the node waits after a runner or a fetch that failed, before it tries again. It never gives up: one caller
/// whose requests crash a model must not take it from all others for good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// After the first; doubled each time.
    pub(super) first: Duration,
    /// The longest.
    pub(super) longest: Duration,
}

impl Waits {
    fn after(self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.longest)
    }
}

/// How an attempt to hold the replica ended.
enum End {
    /// The node is told not to hold it any more, and it is gone.
    Stopped,
    /// Its files could not be fetched this time: no fault of the model.
    Unfetched,
    /// The runner that it shared ended while it was computed or loaded, which may have been the doing of another.
    Suspected { reason: String },
    /// The runner that it shared ended, through no doing of its own, after it had answered for so long.
    Disturbed { answered: Duration },
    /// Its files cannot be had, or its runner failed or crashed, after it had answered for so long.
    Failed {
        reason: String,
        answered: Duration,
        /// It is the model's doing, as far as can be seen from here.
        crashed: bool,
    },
}

impl End {
    /// An attempt that failed before anything was answered.
    fn failed(reason: impl Into<String>, crashed: bool) -> Self {
        Self::Failed {
            reason: reason.into(),
            answered: Duration::ZERO,
            crashed,
        }
    }
}

/// A replica that is held.
pub(super) struct Replica {
    keeper: Arc<Keeper>,
    assignment: Assignment,
    entry: Entry,
    /// Why the last attempt came to nothing.
    trouble: Option<String>,
    /// Whether that happened several times in a row.
    failed: bool,
    /// It is suspected to crash its runner, and shares none any more.
    apart: bool,
}

impl Replica {
    pub(super) fn new(keeper: Arc<Keeper>, id: ReplicaId, assignment: Assignment) -> Self {
        let record = ReplicaRecord {
            id,
            worker: keeper.board.worker(),
            organization: assignment.organization,
            version: assignment.version,
            state: ReplicaState::Fetching,
            trouble: None,
            address: None,
            crashes: 0,
            providers: Vec::new(),
            resident_bytes: 0,
            load_ms: 0,
            generation: assignment.generation,
            threads: assignment.threads,
            shared: false,
        };
        Self {
            keeper,
            assignment,
            entry: Entry {
                record,
                pid: None,
                starts: 0,
            },
            trouble: None,
            failed: false,
            apart: false,
        }
    }

    /// Holds it until `stop`: fetches, starts a runner, watches it, and starts another when it ends by itself.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        let mut fetches = 0;
        let mut disturbances = 0;
        loop {
            let wait = match self.attempt(&stop).await {
                End::Stopped => break,
                End::Unfetched => {
                    self.trouble = Some(UNFETCHED.to_owned());
                    self.show(ReplicaState::Fetching);
                    fetches += 1;
                    self.keeper.waits.after(fetches)
                }
                End::Suspected { reason } => {
                    tracing::warn!(
                        replica.id = %self.entry.record.id,
                        version.id = %self.assignment.version,
                        reason,
                        "a runner that is shared ended, perhaps by this model: it gets a runner of its own"
                    );
                    self.apart = true;
                    self.trouble = Some(reason);
                    self.show(ReplicaState::Loading);
                    continue;
                }
                End::Disturbed { answered } => {
                    self.show(ReplicaState::Loading);
                    disturbances = if answered >= PROVEN { 0 } else { disturbances + 1 };
                    match disturbances {
                        0 | 1 => continue,
                        again => self.keeper.waits.after(again - 1),
                    }
                }
                End::Failed {
                    reason,
                    answered,
                    crashed,
                } => {
                    fetches = 0;
                    let crashes = &mut self.entry.record.crashes;
                    *crashes = if answered >= PROVEN { 0 } else { *crashes } + u32::from(crashed);
                    failures = if answered >= PROVEN { 1 } else { failures + 1 };
                    let wait = self.keeper.waits.after(failures);
                    tracing::warn!(
                        replica.id = %self.entry.record.id,
                        version.id = %self.assignment.version,
                        failures,
                        reason,
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "a runner failed"
                    );
                    self.trouble = Some(reason);
                    self.failed = failures >= SAID_AFTER;
                    self.show(ReplicaState::Loading);
                    wait
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.keeper.board.remove(self.entry.record.id);
    }

    async fn attempt(&mut self, stop: &CancellationToken) -> End {
        let keeper = Arc::clone(&self.keeper);
        self.show(ReplicaState::Fetching);
        let folder = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            folder = keeper.cache.materialize(self.assignment.organization, &self.assignment.files) => folder,
        };
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => {
                let lasting = !error.is_transient();
                // The words name places of the installation, which are none of the tenant's business.
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(version.id = %self.assignment.version, error, "a model's files could not be fetched");
                return if lasting {
                    End::failed(UNFETCHED, false)
                } else {
                    End::Unfetched
                };
            }
        };
        self.entry.starts += 1;
        self.show(ReplicaState::Loading);
        let name = format!("{}-{}", short(self.entry.record.id), self.entry.starts);
        let replica = self.entry.record.id.to_string();
        let order = Order {
            name: &name,
            replica: &replica,
            folder: folder.path(),
            manifest: &self.assignment.manifest,
            threads: self.assignment.threads,
            batching: self.assignment.batching,
            device: self.assignment.device,
            measured_bytes: self.assignment.resident_bytes,
            purpose: Purpose::Serving,
        };
        let started = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            started = self.start(order, folder.organization_path()) => started,
        };
        match started {
            // The folder stays as long as the runner may read it.
            Ok(running) => self.watch(running, stop).await,
            Err(error @ Error::Launch { .. }) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(version.id = %self.assignment.version, error, "a runner could not be started");
                End::failed("The worker could not start a process for the model.", false)
            }
            Err(Error::Suspected(reason)) => End::Suspected {
                reason: reason.to_string(),
            },
            Err(Error::Disturbed) => End::Disturbed {
                answered: Duration::ZERO,
            },
            Err(error) => End::failed(format!("{:#}", anyhow::Error::new(error)), true),
        }
    }

    /// Starts a runner, or enters one that is shared and may read the folder `models`.
    async fn start(&self, order: Order<'_>, models: &Path) -> Result<Running, Error> {
        let Keeper { launcher, shared, .. } = &*self.keeper;
        if self.apart || !shared.takes(&self.assignment) {
            return launcher.start(order).await;
        }
        shared.start(self.assignment.organization, models, order).await
    }

    async fn watch(&mut self, mut running: Running, stop: &CancellationToken) -> End {
        let ready = running.ready();
        self.entry.record.resident_bytes = ready.resident_bytes;
        self.entry.record.providers.clone_from(&ready.providers);
        self.entry.record.load_ms = u64::try_from(running.loaded_in().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        self.entry.record.address = Some(running.address());
        self.entry.record.shared = running.is_shared();
        self.entry.pid = running.pid();
        tracing::info!(
            replica.id = %self.entry.record.id,
            version.id = %self.assignment.version,
            load_ms = self.entry.record.load_ms,
            resident_bytes = ready.resident_bytes,
            providers = ready.providers.join(","),
            sandbox = %ready.sandbox,
            "a model is ready"
        );
        self.trouble = None;
        self.failed = false;
        self.show(ReplicaState::Ready);
        let since = Instant::now();
        let end = tokio::select! {
            () = stop.cancelled() => {
                self.show(ReplicaState::Draining);
                tokio::time::sleep(NEWS_TRAVEL).await;
                running.stop(self.keeper.drain_timeout).await;
                End::Stopped
            }
            Ended { how, part } = running.end() => {
                let (reason, answered) = (format!("The runner {how}."), since.elapsed());
                match part {
                    Part::Alone => End::Failed { reason, answered, crashed: true },
                    Part::Suspect => End::Suspected { reason },
                    Part::Bystander => End::Disturbed { answered },
                }
            }
        };
        self.entry.record.address = None;
        self.entry.record.providers.clear();
        self.entry.pid = None;
        end
    }

    /// What failed again and again is said to have failed, and not to be coming, until it answers.
    fn show(&mut self, state: ReplicaState) {
        let record = &mut self.entry.record;
        (record.state, record.trouble) = match (state, &self.trouble) {
            (ReplicaState::Fetching | ReplicaState::Loading, Some(reason)) if self.failed => {
                let reason = reason.clone();
                (ReplicaState::Failed { reason }, None)
            }
            (state, trouble) => (state, trouble.clone()),
        };
        self.keeper.board.show(&self.entry);
    }
}

/// The random end of an id: a whole one would make the path of a socket too long.
fn short(id: ReplicaId) -> String {
    let id = id.to_string();
    id[id.len() - 10..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits = Waits {
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
        };
        let after: Vec<u64> = (1..9).map(|failures| waits.after(failures).as_secs()).collect();
        assert_eq!(after, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits.after(u32::MAX), waits.longest);
    }
}
