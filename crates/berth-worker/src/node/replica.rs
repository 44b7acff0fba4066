//! One replica: its files, its runner, and what happens when the runner ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_artifacts::Cache;
use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState};
use berth_domain::id::ReplicaId;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Entry};
use crate::launcher::{Launcher, Running};
use crate::measure::Purpose;

/// After so many runners in a row that failed or crashed, no further one is started.
const TRIES: u32 = 3;

/// A runner that answered for so long has not failed: what happens then is counted anew.
const PROVEN: Duration = Duration::from_mins(1);

/// The wait before the next try, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// After a replica is said to drain, routers need so long to hear of it.
const NEWS_TRAVEL: Duration = Duration::from_millis(500);

/// What all replicas share.
pub(super) struct Keeper {
    pub(super) launcher: Launcher,
    pub(super) cache: Cache,
    pub(super) board: Board,
    /// How long requests may take to end when a replica is taken off.
    pub(super) drain_timeout: Duration,
}

/// How an attempt to hold the replica ended.
enum End {
    /// The node is told not to hold it any more, and it is gone.
    Stopped,
    /// Its files could not be fetched: no fault of the model, so it is tried for ever.
    Unfetched(String),
    /// Its runner failed or crashed, after it had answered for so long.
    Failed { reason: String, answered: Duration },
}

/// A replica that is held.
pub(super) struct Replica {
    keeper: Arc<Keeper>,
    assignment: Assignment,
    entry: Entry,
}

impl Replica {
    pub(super) fn new(keeper: Arc<Keeper>, id: ReplicaId, assignment: Assignment) -> Self {
        let record = ReplicaRecord {
            id,
            worker: keeper.board.worker(),
            organization: assignment.organization,
            version: assignment.version,
            state: ReplicaState::Fetching,
            address: None,
            resident_bytes: 0,
            load_ms: 0,
        };
        Self {
            keeper,
            assignment,
            entry: Entry {
                record,
                pid: None,
                starts: 0,
            },
        }
    }

    /// Holds it until `stop`: fetches, starts a runner, watches it, and starts another when it ends by itself.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        let mut fetches = 0;
        loop {
            let wait = match self.attempt(&stop).await {
                End::Stopped => break,
                End::Unfetched(reason) => {
                    self.show(ReplicaState::Failed { reason });
                    fetches += 1;
                    wait_after(fetches)
                }
                End::Failed { reason, answered } => {
                    fetches = 0;
                    failures = if answered >= PROVEN { 1 } else { failures + 1 };
                    tracing::warn!(
                        replica.id = %self.entry.record.id,
                        version.id = %self.assignment.version,
                        failures,
                        reason,
                        "a runner failed"
                    );
                    if failures >= TRIES {
                        self.show(ReplicaState::Failed { reason });
                        stop.cancelled().await;
                        break;
                    }
                    self.show(ReplicaState::Loading);
                    wait_after(failures)
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
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(version.id = %self.assignment.version, error, "a model's files could not be fetched");
                return End::Unfetched(format!("The model's files could not be fetched: {error}."));
            }
        };
        self.entry.starts += 1;
        self.show(ReplicaState::Loading);
        let name = format!("{}-{}", short(self.entry.record.id), self.entry.starts);
        let started = tokio::select! {
            () = stop.cancelled() => return End::Stopped,
            started = keeper.launcher.start(&name, folder.path(), &self.assignment.manifest, Purpose::Serving) => started,
        };
        match started {
            // The folder stays as long as the runner may read it.
            Ok(running) => self.watch(running, stop).await,
            Err(error) => End::Failed {
                reason: format!("{:#}", anyhow::Error::new(error)),
                answered: Duration::ZERO,
            },
        }
    }

    async fn watch(&mut self, mut running: Running, stop: &CancellationToken) -> End {
        let ready = running.ready();
        self.entry.record.resident_bytes = ready.resident_bytes;
        self.entry.record.load_ms = u64::try_from(running.loaded_in().as_millis()).unwrap_or(u64::MAX);
        self.entry.record.address = Some(running.address());
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
        self.show(ReplicaState::Ready);
        let since = Instant::now();
        let end = tokio::select! {
            () = stop.cancelled() => {
                self.show(ReplicaState::Draining);
                tokio::time::sleep(NEWS_TRAVEL).await;
                running.stop(self.keeper.drain_timeout).await;
                End::Stopped
            }
            ended = running.ended() => End::Failed {
                reason: format!("The runner {ended}."),
                answered: since.elapsed(),
            },
        };
        self.entry.record.address = None;
        self.entry.pid = None;
        end
    }

    fn show(&mut self, state: ReplicaState) {
        self.entry.record.state = state;
        self.keeper.board.show(&self.entry);
    }
}

fn wait_after(failures: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_WAIT)
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
        let waits: Vec<u64> = (1..8).map(|failures| wait_after(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
