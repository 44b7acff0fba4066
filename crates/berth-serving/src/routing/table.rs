//! Which replicas hold which version, and how busy each is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use berth_coordination::records::{ReplicaRecord, ReplicaState};
use berth_domain::id::{ReplicaId, VersionId};
use tokio::time::Instant;

use super::dice::Dice;
use crate::runner_client::RunnerConnection;

/// How long a replica that refused or dropped a connection is passed over while another can be had.
const AVOIDED_FOR: Duration = Duration::from_millis(500);

/// A replica that answers, as this node sees it.
#[derive(Debug)]
pub struct Route {
    replica: ReplicaId,
    address: String,
    connection: RunnerConnection,
    outstanding: AtomicUsize,
    /// Milliseconds from the table's epoch until which the replica is avoided.
    avoided_until_ms: AtomicU64,
    epoch: Instant,
}

impl Route {
    /// The way to its runner.
    pub fn connection(&self) -> &RunnerConnection {
        &self.connection
    }

    /// The replica.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Passes the replica over for a moment: it has just failed.
    pub fn avoid(&self) {
        let until = self.epoch.elapsed() + AVOIDED_FOR;
        self.avoided_until_ms.store(
            u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn is_avoided(&self) -> bool {
        u128::from(self.avoided_until_ms.load(Ordering::Relaxed)) > self.epoch.elapsed().as_millis()
    }
}

/// A route with one more request on it, for as long as this lives.
#[derive(Debug)]
pub struct Outstanding(Arc<Route>);

impl Outstanding {
    fn new(route: Arc<Route>) -> Self {
        route.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(route)
    }
}

impl std::ops::Deref for Outstanding {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.0
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of a version's replicas.
#[derive(Debug, Default)]
struct Replicas {
    ready: Vec<Arc<Route>>,
    coming: usize,
    load_ms: u64,
    failure: Option<String>,
}

/// Why no replica can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// When to try again, from how long loading took elsewhere; a second where nobody knows.
    pub retry_after: Duration,
    /// Whether a replica is being loaded.
    pub coming: bool,
    /// Why the last one failed, in words.
    pub failure: Option<String>,
}

/// The replicas of all versions at one moment.
#[derive(Debug)]
pub(super) struct Table {
    versions: HashMap<VersionId, Replicas>,
    epoch: Instant,
}

impl Table {
    /// A table of nothing.
    pub(super) fn empty() -> Self {
        Self {
            versions: HashMap::new(),
            epoch: Instant::now(),
        }
    }

    /// The table of `records`. Routes that `self` has already are carried over with their connections and counts.
    pub(super) fn renewed(&self, records: Vec<ReplicaRecord>) -> Self {
        let known: HashMap<ReplicaId, &Arc<Route>> = self
            .versions
            .values()
            .flat_map(|replicas| &replicas.ready)
            .map(|route| (route.replica, route))
            .collect();
        let mut versions: HashMap<VersionId, Replicas> = HashMap::new();
        for record in records {
            let replicas = versions.entry(record.version).or_default();
            replicas.load_ms = replicas.load_ms.max(record.load_ms);
            match (record.state, record.address) {
                (ReplicaState::Ready, Some(address)) => {
                    let route = match known.get(&record.id) {
                        Some(route) if route.address == address => Arc::clone(route),
                        _ => self.route(record.id, address),
                    };
                    replicas.ready.push(route);
                }
                (ReplicaState::Fetching | ReplicaState::Loading, _) => replicas.coming += 1,
                (ReplicaState::Failed { reason }, _) => replicas.failure = Some(reason),
                (ReplicaState::Draining | ReplicaState::Ready, _) => {}
            }
        }
        Self {
            versions,
            epoch: self.epoch,
        }
    }

    fn route(&self, replica: ReplicaId, address: String) -> Arc<Route> {
        Arc::new(Route {
            replica,
            connection: RunnerConnection::new(&address),
            address,
            outstanding: AtomicUsize::new(0),
            avoided_until_ms: AtomicU64::new(0),
            epoch: self.epoch,
        })
    }

    /// Whether a replica of `version` answers.
    pub(super) fn is_ready(&self, version: VersionId) -> bool {
        self.versions
            .get(&version)
            .is_some_and(|replicas| !replicas.ready.is_empty())
    }

    /// A replica of `version`: of two random ones the one with fewer requests, leaving out `tried` and, where another can
    /// be had, those that have just failed.
    pub(super) fn choose(
        &self,
        version: VersionId,
        tried: &[ReplicaId],
        dice: &Dice,
    ) -> Result<Outstanding, Absence> {
        let replicas = self.versions.get(&version);
        let ready = replicas
            .map(|replicas| replicas.ready.as_slice())
            .unwrap_or_default();
        // The common case allocates nothing.
        if let ([route], []) = (ready, tried) {
            return Ok(Outstanding::new(Arc::clone(route)));
        }
        let untried: Vec<&Arc<Route>> = ready
            .iter()
            .filter(|route| !tried.contains(&route.replica))
            .collect();
        let sound: Vec<&Arc<Route>> = untried
            .iter()
            .copied()
            .filter(|route| !route.is_avoided())
            .collect();
        let candidates = if sound.is_empty() { &untried } else { &sound };
        if candidates.is_empty() {
            return Err(absence(replicas));
        }
        let first = dice.below(candidates.len());
        let second = (first + 1 + dice.below((candidates.len() - 1).max(1))) % candidates.len();
        let busy = |index: usize| candidates[index].outstanding.load(Ordering::Relaxed);
        let best = if busy(second) < busy(first) { second } else { first };
        Ok(Outstanding::new(Arc::clone(candidates[best])))
    }
}

fn absence(replicas: Option<&Replicas>) -> Absence {
    let load_ms = replicas.map_or(0, |replicas| replicas.load_ms);
    Absence {
        retry_after: Duration::from_millis(load_ms.clamp(1_000, 60_000)),
        coming: replicas.is_some_and(|replicas| replicas.coming > 0),
        failure: replicas.and_then(|replicas| replicas.failure.clone()),
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::id::{OrganizationId, WorkerId};
    use berth_domain::random::SeededRandom;
    use uuid::Uuid;

    use super::*;

    fn record(number: u128, state: ReplicaState) -> ReplicaRecord {
        ReplicaRecord {
            id: ReplicaId::from_uuid(Uuid::from_u128(number)),
            worker: WorkerId::from_uuid(Uuid::from_u128(1)),
            organization: OrganizationId::from_uuid(Uuid::from_u128(1)),
            version: version(),
            state,
            address: Some(format!("unix:/run/{number}.sock")),
            resident_bytes: 0,
            load_ms: 2_500,
        }
    }

    fn version() -> VersionId {
        VersionId::from_uuid(Uuid::from_u128(9))
    }

    fn dice() -> Dice {
        Dice::new(&SeededRandom::new(1))
    }

    #[tokio::test]
    async fn less_busy_replica_is_taken() {
        let table = Table::empty().renewed(vec![
            record(1, ReplicaState::Ready),
            record(2, ReplicaState::Ready),
        ]);
        let dice = dice();
        let held: Vec<_> = (0..20)
            .map(|_| table.choose(version(), &[], &dice).expect("a replica"))
            .collect();
        let first = held
            .iter()
            .filter(|route| route.replica() == held[0].replica())
            .count();
        assert_eq!(first, 10);
    }

    #[tokio::test]
    async fn counts_and_connections_survive_a_renewal() {
        let table = Table::empty().renewed(vec![record(1, ReplicaState::Ready)]);
        let held = table.choose(version(), &[], &dice()).expect("a replica");
        let table = table.renewed(vec![
            record(1, ReplicaState::Ready),
            record(2, ReplicaState::Ready),
        ]);
        let other = table.choose(version(), &[], &dice()).expect("a replica");
        assert_ne!(other.replica(), held.replica());
    }

    #[tokio::test]
    async fn replica_that_failed_is_avoided_while_another_can_be_had() {
        let table = Table::empty().renewed(vec![
            record(1, ReplicaState::Ready),
            record(2, ReplicaState::Ready),
        ]);
        let dice = dice();
        let failed = table.choose(version(), &[], &dice).expect("a replica");
        failed.avoid();
        let failed_id = failed.replica();
        drop(failed);
        for _ in 0..10 {
            assert_ne!(
                table.choose(version(), &[], &dice).expect("a replica").replica(),
                failed_id
            );
        }
        let table = table.renewed(vec![record(1, ReplicaState::Ready)]);
        assert!(table.choose(version(), &[], &dice).is_ok());
    }

    #[tokio::test]
    async fn absence_tells_when_to_come_back_and_what_went_wrong() {
        let failed = ReplicaState::Failed {
            reason: "out of memory".to_owned(),
        };
        let table = Table::empty().renewed(vec![record(1, ReplicaState::Loading), record(2, failed)]);
        let absence = table
            .choose(version(), &[], &dice())
            .expect_err("nothing is ready");
        assert_eq!(absence.retry_after, Duration::from_millis(2_500));
        assert!(absence.coming);
        assert_eq!(absence.failure.as_deref(), Some("out of memory"));
    }
}
