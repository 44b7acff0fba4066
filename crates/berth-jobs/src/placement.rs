//! The planner's loop: compares what deployments want with what workers are told to hold, and tells them anew where it
//! differs. One process does it at a time, under a leader lease; any other takes over when that one is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState, WorkerRecord};
use berth_coordination::{Event, Fleet, Subscription, Topic};
use berth_domain::id::{VersionId, WorkerId};
use berth_serving::planner::{self, Failed, Plan, Seat, Short, Wanted};
use berth_store::Store;
use berth_store::system::placements::WantedVersion;
use berth_telemetry::metrics::names;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

const LEASE: &str = "placement";

/// How the loop runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who holds the leader lease: a name of this process alone.
    pub holder: String,
    /// How often it looks without being told that something changed.
    pub every: Duration,
    /// How long the leader lease lasts; another process takes over so long after this one was lost.
    pub lease: Duration,
    /// After coordination was lost, how long workers have to announce themselves again before anything is moved.
    pub settle: Duration,
    /// For how long a worker on which a version failed again and again is passed over while another has room for it.
    pub avoid: Duration,
}

impl Options {
    /// The usual times for a process called `holder`.
    pub fn new(holder: String) -> Self {
        Self {
            holder,
            every: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            settle: Duration::from_secs(3),
            avoid: Duration::from_mins(10),
        }
    }
}

/// Why a round changed nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is wanted cannot be read.
    #[error("the deployments cannot be read")]
    Store(#[from] berth_store::Error),
    /// What there is cannot be read or told.
    #[error("the fleet cannot be reached")]
    Coordination(#[from] berth_coordination::Error),
}

/// The planner's loop.
#[derive(Debug)]
pub struct Placement {
    store: Store,
    fleet: Fleet,
    options: Options,
    /// What had no place when it was last logged.
    short: Mutex<Vec<Short>>,
    /// Where versions have failed, and when that was last seen. A replica that is moved away is forgotten by its worker, and
    /// would be moved back and forth.
    failed: Mutex<HashMap<(WorkerId, VersionId), Instant>>,
}

impl Placement {
    /// A loop over these.
    pub fn new(store: Store, fleet: Fleet, options: Options) -> Self {
        Self {
            store,
            fleet,
            options,
            short: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Runs until `shutdown`, then gives the leader lease back.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.forever() => {}
        }
        if let Err(error) = self
            .fleet
            .coordination()
            .release(LEASE, &self.options.holder)
            .await
        {
            tracing::warn!(%error, "the leader lease of placement is left to run out");
        }
    }

    async fn forever(&self) {
        let mut tick = interval(self.options.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = None;
        loop {
            if events.is_none() {
                events = self.listen().await;
            }
            tokio::select! {
                _ = tick.tick() => {}
                event = next(&mut events) => match event {
                    Some(Event::Message { .. }) => {}
                    Some(Event::Gap) => sleep_until(Instant::now() + self.options.settle).await,
                    None => events = None,
                },
            }
            if let Err(error) = self.round().await {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "placement is left as it is");
            }
        }
    }

    async fn listen(&self) -> Option<Subscription> {
        self.fleet
            .coordination()
            .subscribe(&[Topic::Deployments, Topic::Routes])
            .await
            .inspect_err(|error| tracing::warn!(%error, "placement hears no events and looks by the clock"))
            .ok()
    }

    /// Compares once and tells what differs; does nothing while another process leads. Tells how many workers were told
    /// something new.
    pub async fn round(&self) -> Result<usize, Error> {
        if !self
            .fleet
            .coordination()
            .acquire(LEASE, &self.options.holder, self.options.lease)
            .await?
        {
            return Ok(0);
        }
        let workers = self.fleet.workers().await?;
        let told = self.fleet.all_assignments().await?;
        let wanted = self.wanted().await?;
        let failed = self.failed(&self.fleet.replicas().await?);

        let seats: Vec<Seat> = workers.iter().map(seat).collect();
        let current: BTreeMap<WorkerId, Vec<Assignment>> = told
            .iter()
            .filter_map(|(worker, held)| Some((*worker, held.clone()?)))
            .collect();
        let plan = planner::plan(&seats, &current, &wanted, &failed);
        self.report(&plan);
        self.tell(&plan, &current, told.iter().map(|(worker, _)| *worker))
            .await
    }

    /// Counts what has no place, and logs it when it differs from the last time.
    fn report(&self, plan: &Plan) {
        let missing: u32 = plan.short.iter().map(|short| short.missing).sum();
        metrics::gauge!(names::REPLICAS_UNPLACED).set(missing);
        let mut logged = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == plan.short {
            return;
        }
        for short in plan.short.iter().filter(|short| !logged.contains(short)) {
            tracing::warn!(
                version.id = %short.version,
                missing = short.missing,
                resident_bytes = short.resident_bytes,
                "no worker has room for a replica"
            );
        }
        logged.clone_from(&plan.short);
    }

    /// Where versions have failed lately.
    fn failed(&self, replicas: &[ReplicaRecord]) -> Failed {
        let now = Instant::now();
        let mut seen = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        for replica in replicas {
            let place = (replica.worker, replica.version);
            match replica.state {
                ReplicaState::Failed { .. } => {
                    seen.insert(place, now);
                }
                ReplicaState::Ready => {
                    seen.remove(&place);
                }
                _ => {}
            }
        }
        seen.retain(|_, at| now.duration_since(*at) < self.options.avoid);
        seen.keys().copied().collect()
    }

    async fn wanted(&self) -> Result<Vec<Wanted>, Error> {
        let mut tx = self.store.system().await?;
        Ok(tx.placements().wanted().await?.into_iter().map(wanted).collect())
    }

    async fn tell(
        &self,
        plan: &Plan,
        current: &BTreeMap<WorkerId, Vec<Assignment>>,
        told: impl Iterator<Item = WorkerId>,
    ) -> Result<usize, Error> {
        let mut changed = 0;
        for (worker, assignments) in &plan.assignments {
            if current.get(worker) != Some(assignments) {
                self.fleet.assign(*worker, assignments).await?;
                changed += 1;
            }
        }
        let alive: BTreeSet<&WorkerId> = plan.assignments.keys().collect();
        for gone in told.filter(|worker| !alive.contains(worker)) {
            self.fleet.forget_assignments(gone).await?;
        }
        Ok(changed)
    }
}

/// The next event; never, while there is no subscription.
async fn next(events: &mut Option<Subscription>) -> Option<Event> {
    match events {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

fn seat(worker: &WorkerRecord) -> Seat {
    Seat {
        worker: worker.id,
        memory_bytes: worker.memory_bytes,
        draining: worker.draining,
    }
}

/// A version that several deployments want has as many copies, and as many threads, as the one that wants most.
fn wanted(version: WantedVersion) -> Wanted {
    let settings = || version.wanted_by.iter().map(|wish| &wish.settings);
    let replicas = settings().map(|settings| settings.replicas.min).max();
    let threads = settings().filter_map(|settings| settings.threads).max();
    Wanted {
        replicas: replicas.unwrap_or(1),
        threads,
        organization: version.organization,
        version: version.version,
        manifest: version.manifest,
        files: version.files,
        resident_bytes: version.measured.resident_bytes,
    }
}
