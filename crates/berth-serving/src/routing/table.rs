//! Which replicas hold which version, and how busy each is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use berth_coordination::records::{ReplicaRecord, ReplicaState, WorkerRecord};
use berth_domain::deployment::State;
use berth_domain::id::{ReplicaId, VersionId, WorkerId};
use berth_domain::trail::Way;
use berth_transport::{Location, Peers, RunnerClient};
use tokio::time::Instant;

use super::callers::Counted;
use super::dice::Dice;
use crate::location;
use crate::runner_client::RunnerConnection;

/// How long a replica that refused or dropped a connection is passed over while another can be had.
const AVOIDED_FOR: Duration = Duration::from_millis(500);

/// A replica that answers, as this node sees it.
#[derive(Debug)]
pub struct Route {
    replica: ReplicaId,
    worker: WorkerId,
    way: Way,
    location: Location,
    connection: RunnerConnection,
    outstanding: AtomicUsize,
    /// How often it was taken.
    uses: AtomicU64,
    /// How long requests waited in its runner, together.
    waited_us: AtomicU64,
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

    /// The worker that holds it.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// How it is reached.
    pub fn way(&self) -> Way {
        self.way
    }

    /// A request waited so long in its runner.
    pub(crate) fn waited(&self, queue_us: u64) {
        self.waited_us.fetch_add(queue_us, Ordering::Relaxed);
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
        route.uses.fetch_add(1, Ordering::Relaxed);
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
    /// Why the last attempt at one that is coming came to nothing.
    trouble: Option<String>,
    /// Why one failed again and again.
    failure: Option<String>,
}

impl Replicas {
    /// Whether none answers and none is coming, because all there are have failed.
    const fn have_failed(&self) -> bool {
        self.ready.is_empty() && self.coming == 0 && self.failure.is_some()
    }
}

/// Why no replica can be had. The reasons are for those who may know what the model is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// None answers yet, or none at this moment.
    Coming {
        /// When to try again, from how long loading took elsewhere; a second where nobody knows.
        retry_after: Duration,
        /// Why the last attempt to load it came to nothing, in words.
        trouble: Option<String>,
    },
    /// All have failed again and again; they are tried ever more rarely.
    Failed {
        /// Why the last one failed, in words.
        reason: Option<String>,
    },
}

impl Absence {
    /// The same without reasons.
    #[must_use]
    pub fn without_reasons(self) -> Self {
        match self {
            Self::Coming { retry_after, .. } => Self::Coming {
                retry_after,
                trouble: None,
            },
            Self::Failed { .. } => Self::Failed { reason: None },
        }
    }
}

/// How a version stands on the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub state: State,
    /// Why it is no further, in words, where there is something to say.
    pub reason: Option<String>,
}

/// The replicas of all versions at one moment.
#[derive(Debug)]
pub(super) struct Table {
    versions: HashMap<VersionId, Replicas>,
    /// How many workers there are.
    workers: usize,
    node_kinds: Vec<String>,
    peers: Peers,
    epoch: Instant,
}

impl Table {
    /// A table of nothing.
    pub(super) fn empty(peers: Peers) -> Self {
        Self {
            versions: HashMap::new(),
            workers: 0,
            node_kinds: Vec::new(),
            peers,
            epoch: Instant::now(),
        }
    }

    /// The table of `records` on `workers`: what others hold is not asked, even if what they said of it lives a moment longer.
    /// Routes that `self` has already are carried over with their connections and counts.
    pub(super) fn renewed(&self, workers: &[WorkerRecord], records: &[ReplicaRecord]) -> Self {
        let known: HashMap<ReplicaId, &Arc<Route>> = self
            .versions
            .values()
            .flat_map(|replicas| &replicas.ready)
            .map(|route| (route.replica, route))
            .collect();
        // Replicas that share a runner share the connections to it.
        let mut clients: HashMap<Location, Arc<RunnerClient>> = known
            .values()
            .map(|route| (self.way(&route.location), Arc::clone(route.connection.client())))
            .collect();
        let mut versions: HashMap<VersionId, Replicas> = HashMap::new();
        let alive: HashMap<WorkerId, &WorkerRecord> =
            workers.iter().map(|worker| (worker.id, worker)).collect();
        for record in records {
            let Some(worker) = alive.get(&record.worker) else {
                continue;
            };
            let replicas = versions.entry(record.version).or_default();
            replicas.load_ms = replicas.load_ms.max(record.load_ms);
            match (&record.state, location::of_runner(worker, record)) {
                (ReplicaState::Ready, Some(location)) => {
                    let route = match known.get(&record.id) {
                        Some(route) if route.location == location => Arc::clone(route),
                        _ => self.route(record, location, &mut clients),
                    };
                    replicas.ready.push(route);
                }
                (ReplicaState::Fetching | ReplicaState::Loading, _) => {
                    replicas.coming += 1;
                    replicas.trouble = record.trouble.clone().or_else(|| replicas.trouble.take());
                }
                (ReplicaState::Failed { reason }, _) => replicas.failure = Some(reason.clone()),
                (ReplicaState::Draining | ReplicaState::Ready, _) => {}
            }
        }
        Self {
            versions,
            workers: workers.len(),
            node_kinds: workers.iter().map(WorkerRecord::node_kind).collect(),
            peers: self.peers.clone(),
            epoch: self.epoch,
        }
    }

    fn route(
        &self,
        record: &ReplicaRecord,
        location: Location,
        clients: &mut HashMap<Location, Arc<RunnerClient>>,
    ) -> Arc<Route> {
        let client = clients
            .entry(self.way(&location))
            .or_insert_with(|| Arc::new(RunnerClient::new(self.peers.clone(), location.clone())));
        Arc::new(Route {
            replica: record.id,
            worker: record.worker,
            way: if self.peers.is_local(&location) {
                Way::Socket
            } else {
                Way::Worker
            },
            connection: RunnerConnection::new(Arc::clone(client), record.id),
            location,
            outstanding: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            avoided_until_ms: AtomicU64::new(0),
            epoch: self.epoch,
        })
    }

    /// What tells one way to a runner from another: on this machine its socket, elsewhere also what it is called there.
    fn way(&self, location: &Location) -> Location {
        let mut way = location.clone();
        if self.peers.is_local(location) {
            way.target.clear();
        }
        way
    }

    /// What was counted of the versions that answer.
    pub(super) fn counted(&self) -> HashMap<VersionId, Counted> {
        let of = |replicas: &Replicas| {
            let mut counted = Counted::default();
            for route in &replicas.ready {
                let outstanding = route.outstanding.load(Ordering::Relaxed);
                counted.outstanding += u32::try_from(outstanding).unwrap_or(u32::MAX);
                counted.uses += route.uses.load(Ordering::Relaxed);
                counted.waited_us += route.waited_us.load(Ordering::Relaxed);
                if outstanding > 0 {
                    counted.busy.push(route.replica);
                }
            }
            counted
        };
        let versions = self.versions.iter();
        let ready = versions.filter(|(_, replicas)| !replicas.ready.is_empty());
        ready
            .map(|(version, replicas)| (*version, of(replicas)))
            .collect()
    }

    /// The kinds of the nodes that there are.
    pub(super) fn node_kinds(&self) -> &[String] {
        &self.node_kinds
    }

    /// Why no replica of `version` answers; `None` when one does.
    pub(super) fn absence(&self, version: VersionId) -> Option<Absence> {
        let replicas = self.versions.get(&version);
        let ready = replicas.is_some_and(|replicas| !replicas.ready.is_empty());
        (!ready).then(|| absence(replicas))
    }

    /// How `version` stands.
    pub(super) fn standing(&self, version: VersionId) -> Standing {
        let of = |state, reason| Standing { state, reason };
        match self.versions.get(&version) {
            Some(replicas) if !replicas.ready.is_empty() => of(State::Ready, None),
            Some(replicas) if replicas.coming > 0 => of(State::Loading, replicas.trouble.clone()),
            Some(replicas) if replicas.have_failed() => of(State::Failed, replicas.failure.clone()),
            _ if self.workers == 0 => of(State::Pending, Some("There is no worker.".to_owned())),
            _ => {
                let reason = "No worker holds it yet; perhaps none has room for it.";
                of(State::Pending, Some(reason.to_owned()))
            }
        }
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
    if let Some(replicas) = replicas
        && replicas.have_failed()
    {
        return Absence::Failed {
            reason: replicas.failure.clone(),
        };
    }
    let load_ms = replicas.map_or(0, |replicas| replicas.load_ms);
    Absence::Coming {
        retry_after: Duration::from_millis(load_ms.clamp(1_000, 60_000)),
        trouble: replicas.and_then(|replicas| replicas.trouble.clone()),
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::Timestamp;
    use berth_domain::id::OrganizationId;
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
            trouble: None,
            address: Some(format!("unix:/run/{number}.sock")),
            crashes: 0,
            providers: Vec::new(),
            resident_bytes: 0,
            load_ms: 2_500,
            generation: 0,
            threads: None,
            shared: false,
        }
    }

    /// As many workers, numbered from one.
    fn workers(count: usize) -> Vec<WorkerRecord> {
        let worker = |number: usize| WorkerRecord {
            id: WorkerId::from_uuid(Uuid::from_u128(number as u128)),
            control_address: String::new(),
            machine: None,
            endpoint: None,
            hostname: String::new(),
            devices: Vec::new(),
            memory_bytes: 0,
            providers: vec![],
            labels: std::collections::BTreeMap::new(),
            library_version: String::new(),
            protocol: 1,
            draining: false,
            started_at: Timestamp::UNIX_EPOCH,
        };
        (1..=count).map(worker).collect()
    }

    fn renewed(table: &Table, count: usize, records: impl IntoIterator<Item = ReplicaRecord>) -> Table {
        let records: Vec<_> = records.into_iter().collect();
        table.renewed(&workers(count), &records)
    }

    fn version() -> VersionId {
        VersionId::from_uuid(Uuid::from_u128(9))
    }

    fn dice() -> Dice {
        Dice::new(&SeededRandom::new(1))
    }

    #[tokio::test]
    async fn less_busy_replica_is_taken() {
        let table = renewed(
            &Table::empty(Peers::here()),
            1,
            vec![record(1, ReplicaState::Ready), record(2, ReplicaState::Ready)],
        );
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
        let table = renewed(
            &Table::empty(Peers::here()),
            1,
            vec![record(1, ReplicaState::Ready)],
        );
        let held = table.choose(version(), &[], &dice()).expect("a replica");
        let table = renewed(
            &table,
            1,
            vec![record(1, ReplicaState::Ready), record(2, ReplicaState::Ready)],
        );
        let other = table.choose(version(), &[], &dice()).expect("a replica");
        assert_ne!(other.replica(), held.replica());
    }

    #[tokio::test]
    async fn replica_that_failed_is_avoided_while_another_can_be_had() {
        let table = renewed(
            &Table::empty(Peers::here()),
            1,
            vec![record(1, ReplicaState::Ready), record(2, ReplicaState::Ready)],
        );
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
        let table = renewed(&table, 1, vec![record(1, ReplicaState::Ready)]);
        assert!(table.choose(version(), &[], &dice).is_ok());
    }

    #[tokio::test]
    async fn replica_of_a_worker_that_is_gone_is_not_asked() {
        let table = renewed(
            &Table::empty(Peers::here()),
            0,
            vec![record(1, ReplicaState::Ready)],
        );
        assert!(table.choose(version(), &[], &dice()).is_err());
    }

    fn failed(reason: &str) -> ReplicaState {
        ReplicaState::Failed {
            reason: reason.to_owned(),
        }
    }

    #[tokio::test]
    async fn absence_tells_when_to_come_back_while_one_is_coming() {
        let mut loading = record(1, ReplicaState::Loading);
        loading.trouble = Some("it was killed".to_owned());
        let table = renewed(
            &Table::empty(Peers::here()),
            1,
            vec![loading, record(2, failed("out of memory"))],
        );
        let absence = table
            .choose(version(), &[], &dice())
            .expect_err("nothing is ready");
        let coming = Absence::Coming {
            retry_after: Duration::from_millis(2_500),
            trouble: Some("it was killed".to_owned()),
        };
        assert_eq!(absence, coming);
        assert_eq!(table.absence(version()), Some(coming.clone()));
        assert_eq!(
            coming.without_reasons(),
            Absence::Coming {
                retry_after: Duration::from_millis(2_500),
                trouble: None
            }
        );
    }

    #[tokio::test]
    async fn absence_tells_what_went_wrong_when_all_have_failed() {
        let table = renewed(
            &Table::empty(Peers::here()),
            1,
            vec![record(1, failed("out of memory"))],
        );
        let absence = table
            .choose(version(), &[], &dice())
            .expect_err("nothing is ready");
        let reason = Some("out of memory".to_owned());
        assert_eq!(absence, Absence::Failed { reason });
        assert_eq!(absence.without_reasons(), Absence::Failed { reason: None });
        // One that answers makes good for one that failed.
        let table = renewed(
            &table,
            1,
            vec![record(1, failed("no")), record(2, ReplicaState::Ready)],
        );
        assert_eq!(table.absence(version()), None);
    }

    #[tokio::test]
    async fn standing_is_the_best_of_the_replicas() {
        let standing =
            |workers, records| renewed(&Table::empty(Peers::here()), workers, records).standing(version());
        let state = |workers, records| standing(workers, records).state;
        assert_eq!(
            state(2, vec![record(1, failed("no")), record(2, ReplicaState::Ready)]),
            State::Ready
        );
        assert_eq!(
            state(
                2,
                vec![record(1, failed("no")), record(2, ReplicaState::Fetching)]
            ),
            State::Loading
        );
        assert_eq!(
            standing(1, vec![record(1, failed("no"))]),
            Standing {
                state: State::Failed,
                reason: Some("no".to_owned())
            }
        );
        assert_eq!(state(1, vec![record(1, ReplicaState::Draining)]), State::Pending);
        let reason = |workers| standing(workers, vec![]).reason.unwrap_or_default();
        assert_eq!(reason(0), "There is no worker.");
        assert!(reason(1).contains("room"));
    }
}
