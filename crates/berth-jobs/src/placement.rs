//! The planner's loop: compares what deployments want with what workers are told to hold, and tells them anew where it
//! differs. One process does it at a time, under a leader lease; any other takes over when that one is gone.

mod settling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_coordination::records::{Assignment, ReplicaRecord, ReplicaState, WorkerRecord};
use berth_coordination::{Event, Fleet, Subscription, Topic};
use berth_domain::deployment::Batching;
use berth_domain::id::{DeploymentId, VersionId, WorkerId};
use berth_serving::planner::{self, Failed, Plan, Ready, Seat, Setup, Short, Wanted};
use berth_store::Store;
use berth_store::system::placements::{Unreadable, WantedVersion, Wanting};
use berth_telemetry::metrics::names;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::settling::{Settling, Sight};

const LEASE: &str = "placement";

/// How long workers usually need to announce themselves after coordination was lost: well more than a third of their lease.
pub const SETTLE: Duration = Duration::from_secs(3);

/// How the loop runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who holds the leader lease: a name of this process alone.
    pub holder: String,
    /// How often it looks without being told that something changed.
    pub every: Duration,
    /// How long the leader lease lasts; another process takes over so long after this one was lost.
    pub lease: Duration,
    /// After coordination was lost or emptied, how long workers have to announce themselves again before anything is moved.
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
            settle: SETTLE,
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
    /// What could not be read when it was last logged.
    unreadable: Mutex<BTreeSet<(DeploymentId, VersionId)>>,
    settling: Settling,
}

/// What workers are told to hold, or hold.
type Held = BTreeMap<WorkerId, Vec<Assignment>>;

impl Placement {
    /// A loop over these.
    pub fn new(store: Store, fleet: Fleet, options: Options) -> Self {
        Self {
            store,
            fleet,
            options,
            short: Mutex::default(),
            failed: Mutex::default(),
            unreadable: Mutex::default(),
            settling: Settling::default(),
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
                    Some(Event::Gap) => self.settling.gap(),
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

    /// Compares once and tells what differs; does nothing while another process leads, or while workers may still have to
    /// announce themselves again. Tells how many workers were told something new.
    pub async fn round(&self) -> Result<usize, Error> {
        let outcome = self.compare().await;
        if matches!(outcome, Err(Error::Coordination(_))) {
            self.settling.away();
        }
        outcome
    }

    async fn compare(&self) -> Result<usize, Error> {
        if !self
            .fleet
            .coordination()
            .acquire(LEASE, &self.options.holder, self.options.lease)
            .await?
        {
            self.settling.follow();
            return Ok(0);
        }
        let workers = self.fleet.workers().await?;
        let entries = self.fleet.all_assignments().await?;
        let replicas = self.fleet.replicas().await?;
        let Wanting { versions, unreadable } = self.wanting().await?;
        let mut wanted: Vec<Wanted> = versions.into_iter().map(wanted).collect();

        let known: BTreeSet<WorkerId> = entries.iter().map(|(worker, _)| *worker).collect();
        let told: Held = entries
            .into_iter()
            .filter_map(|(worker, held)| Some((worker, held?)))
            .collect();
        let sight = Sight {
            alive: &workers.iter().map(|worker| worker.id).collect(),
            told: &told.keys().copied().collect(),
            holding: &replicas.iter().map(|replica| replica.worker).collect(),
        };
        // Where nothing is wanted, nothing can be taken away.
        let idle = wanted.is_empty() && unreadable.is_empty();
        if !idle && !self.settling.may_plan(&sight, self.options.settle) {
            tracing::debug!(
                "workers may have to announce themselves again, and nothing is placed until then"
            );
            return Ok(0);
        }
        stay(&mut wanted, &unreadable, &told, &replicas);

        let seats: Vec<Seat> = workers.iter().map(seat).collect();
        let current = seeded(&told, &replicas, &wanted);
        let ready: Ready = replicas
            .iter()
            .filter(|replica| replica.state == ReplicaState::Ready)
            .map(|replica| (replica.worker, replica.version))
            .collect();
        let plan = planner::plan(&seats, &current, &wanted, &self.failed(&replicas), &ready);
        self.report(&plan, &unreadable);
        let changed = self.tell(&plan, &told, known).await?;
        self.settling.planned(plan.assignments.into_keys().collect());
        Ok(changed)
    }

    /// Counts what has no place, and logs it when it differs from the last time.
    fn report(&self, plan: &Plan, unreadable: &[Unreadable]) {
        self.complain(unreadable);
        let missing: u32 = plan.short.iter().map(|short| short.missing).sum();
        let left_out = u32::try_from(unreadable.len()).unwrap_or(u32::MAX);
        metrics::gauge!(names::REPLICAS_UNPLACED).set(missing.saturating_add(left_out));
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

    /// Logs what cannot be read, once.
    fn complain(&self, unreadable: &[Unreadable]) {
        let mut logged = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |row: &Unreadable| (row.deployment, row.version);
        for row in unreadable.iter().filter(|row| !logged.contains(&place(row))) {
            tracing::error!(
                organization.id = %row.organization,
                deployment.id = %row.deployment,
                version.id = %row.version,
                error = %row.error,
                source = ?std::error::Error::source(&row.error),
                "a deployment cannot be read, and is left out of placement"
            );
        }
        *logged = unreadable.iter().map(place).collect();
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

    async fn wanting(&self) -> Result<Wanting, Error> {
        let mut tx = self.store.system().await?;
        Ok(tx.placements().wanted().await?)
    }

    async fn tell(&self, plan: &Plan, told: &Held, known: BTreeSet<WorkerId>) -> Result<usize, Error> {
        let mut changed = 0;
        for (worker, assignments) in &plan.assignments {
            if told.get(worker) != Some(assignments) {
                self.fleet.assign(*worker, assignments).await?;
                changed += 1;
            }
        }
        for gone in known
            .into_iter()
            .filter(|worker| !plan.assignments.contains_key(worker))
        {
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

/// What each worker is to be taken to hold: what it is told, and where coordination has lost that, what it says it has. (A
/// version that nobody wants any more is none of it.)
fn seeded(told: &Held, replicas: &[ReplicaRecord], wanted: &[Wanted]) -> Held {
    let mut current = told.clone();
    for replica in replicas {
        if told.contains_key(&replica.worker) || replica.state == ReplicaState::Draining {
            continue;
        }
        let Some(wanted) = wanted.iter().find(|wanted| wanted.version == replica.version) else {
            continue;
        };
        let held = current.entry(replica.worker).or_default();
        let other = held.iter().position(|held| held.version == replica.version);
        // Of an old and a fresh copy the fresh one is what was asked for last.
        if let Some(place) = other {
            if held[place].generation >= replica.generation {
                continue;
            }
            held.swap_remove(place);
        }
        held.push(Assignment {
            organization: wanted.organization,
            version: wanted.version,
            manifest: wanted.manifest.clone(),
            files: wanted.files.clone(),
            threads: replica.threads,
            batching: wanted.setup.batching,
            device: wanted.setup.device,
            own_runner: wanted.setup.own_runner,
            generation: replica.generation,
        });
    }
    current
}

/// What cannot be read stays as it was told: neither is it placed anew, nor taken from those who are served by it.
fn stay(wanted: &mut Vec<Wanted>, unreadable: &[Unreadable], told: &Held, replicas: &[ReplicaRecord]) {
    for row in unreadable {
        let holders = || {
            told.values()
                .flatten()
                .filter(|assignment| assignment.version == row.version)
        };
        let Some(kept) = holders().next() else {
            continue;
        };
        let copies = u32::try_from(holders().count()).unwrap_or(u32::MAX);
        if let Some(readable) = wanted.iter_mut().find(|wanted| wanted.version == row.version) {
            readable.replicas = readable.replicas.max(copies);
            continue;
        }
        let resident_bytes = replicas
            .iter()
            .filter(|replica| replica.version == row.version)
            .map(|replica| replica.resident_bytes)
            .max();
        wanted.push(Wanted {
            organization: kept.organization,
            version: kept.version,
            manifest: kept.manifest.clone(),
            files: kept.files.clone(),
            replicas: copies,
            resident_bytes: resident_bytes.unwrap_or(0),
            setup: Setup::of(kept),
        });
    }
}

/// A version that several deployments want has as many copies, and as many threads, as the one that wants most.
fn wanted(version: WantedVersion) -> Wanted {
    let settings = || version.wanted_by.iter().map(|wish| &wish.settings);
    let replicas = settings().map(|settings| settings.replicas.min).max();
    let setup = Setup {
        threads: settings().filter_map(|settings| settings.threads).max(),
        batching: settings()
            .map(|settings| settings.batching)
            .fold(Batching::default(), Batching::tightest),
        device: settings()
            .map(|settings| settings.device.kind)
            .max()
            .unwrap_or_default(),
        own_runner: settings().any(|settings| settings.own_runner),
    };
    Wanted {
        replicas: replicas.unwrap_or(1),
        setup,
        organization: version.organization,
        version: version.version,
        manifest: version.manifest,
        files: version.files,
        resident_bytes: version.measured.resident_bytes,
    }
}
