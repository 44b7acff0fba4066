//! The planner's loop: compares what deployments want with what workers are told to hold, and tells them anew where it
//! differs. One process does it at a time, under a leader lease; any other takes over when that one is gone.

mod lessons;
mod settling;
mod telling;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_coordination::records::{ReplicaRecord, ReplicaState};
use berth_coordination::{Event, Fleet, Subscription, Topic};
use berth_domain::clock::Clock;
use berth_domain::id::{DeploymentId, VersionId, WorkerId};
use berth_serving::planner::{self, Decision, History, Rules, Situation, Wanted};
use berth_store::Store;
use berth_store::system::placements::{Unreadable, Wanting};
use berth_telemetry::metrics::names;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::lessons::Lessons;
use self::settling::{Settling, Sight};
use self::telling::Telling;
use self::view::{Callers, Held};

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
    /// The numbers by which is planned.
    pub rules: Rules,
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
            rules: Rules::default(),
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
pub struct Placement {
    store: Store,
    fleet: Fleet,
    clock: Arc<dyn Clock>,
    options: Options,
    /// The beginning of the times that the planner is told.
    epoch: Instant,
    /// What the planner remembers while this process leads.
    history: Mutex<History>,
    telling: Telling,
    lessons: Lessons,
    /// Where versions have failed, and when that was last seen. A replica that is moved away is forgotten by its worker, and
    /// would be moved back and forth.
    failed: Mutex<HashMap<(WorkerId, VersionId), Instant>>,
    /// What could not be read when it was last logged.
    unreadable: Mutex<BTreeSet<(DeploymentId, VersionId)>>,
    settling: Settling,
}

impl std::fmt::Debug for Placement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Placement")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Times before the planner began can be told, too.
const BEFORE: Duration = Duration::from_hours(24 * 365);

impl Placement {
    /// A loop over these.
    pub fn new(store: Store, fleet: Fleet, clock: Arc<dyn Clock>, options: Options) -> Self {
        Self {
            store,
            fleet,
            clock,
            options,
            epoch: Instant::now(),
            history: Mutex::default(),
            telling: Telling::default(),
            lessons: Lessons::default(),
            failed: Mutex::default(),
            unreadable: Mutex::default(),
            settling: Settling::default(),
        }
    }

    /// Runs until `shutdown`, then gives the leader lease back.
    pub async fn run(self, shutdown: CancellationToken) {
        Telling::begin();
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
            .subscribe(&[Topic::Deployments, Topic::Routes, Topic::Demand])
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
            *self.history.lock().unwrap_or_else(PoisonError::into_inner) = History::default();
            self.telling.follow(self.fleet.placement().await?);
            return Ok(0);
        }
        let workers = self.fleet.workers().await?;
        let entries = self.fleet.all_assignments().await?;
        let replicas = self.fleet.replicas().await?;
        let demand = self.fleet.demand().await?;
        let Wanting { versions, unreadable } = self.wanting().await?;

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
        let idle = versions.is_empty() && unreadable.is_empty();
        if !idle && !self.settling.may_plan(&sight, self.options.settle) {
            tracing::debug!(
                "workers may have to announce themselves again, and nothing is placed until then"
            );
            return Ok(0);
        }
        let now_ms = self.now_ms();
        let callers = Callers::new(now_ms, &demand);
        let mut shown: Vec<planner::Version> = versions
            .iter()
            .map(|version| view::version(version, &callers, &replicas))
            .collect();
        let mut wanted: BTreeMap<VersionId, Wanted> = versions
            .iter()
            .map(|version| (version.version, view::wanted(version)))
            .collect();
        let current = view::seeded(&told, &replicas, &wanted);
        let copies = view::copies(&current, &replicas, &callers);
        lessons::mark(&mut shown, &versions, &copies);
        let learned = self.lessons.learn(&workers, &replicas, &versions, &copies);
        view::stay(&mut shown, &mut wanted, &unreadable, &told);
        let situation = Situation {
            seats: workers.iter().map(view::seat).collect(),
            versions: shown,
            copies,
            failed: self.failed(&replicas),
            blind: callers.blind,
        };
        let decision = self.decide(now_ms, &situation);
        self.report(&decision, &unreadable);
        let plan = assignments(&decision, &current, &wanted);
        let changed = self.tell(&plan, &told, known).await?;
        self.settling.planned(plan.into_keys().collect());
        if let Some(record) = self.telling.tell(&decision, self.clock.now()) {
            self.fleet.publish_placement(&record).await?;
        }
        if !learned.is_empty() {
            self.lessons
                .write(&self.store, &learned, self.clock.now())
                .await?;
        }
        Ok(changed)
    }

    fn decide(&self, now_ms: u64, situation: &Situation) -> Decision {
        let rules = &self.options.rules;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.observe(now_ms, situation, rules);
        planner::decide(now_ms, situation, &history, rules)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from((BEFORE + self.epoch.elapsed()).as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts what has no place.
    fn report(&self, decision: &Decision, unreadable: &[Unreadable]) {
        self.complain(unreadable);
        let missing: u32 = decision.short.iter().map(|short| short.missing).sum();
        let left_out = u32::try_from(unreadable.len()).unwrap_or(u32::MAX);
        metrics::gauge!(names::REPLICAS_UNPLACED).set(missing.saturating_add(left_out));
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
    fn failed(&self, replicas: &[ReplicaRecord]) -> BTreeSet<(WorkerId, VersionId)> {
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

    async fn tell(&self, plan: &Held, told: &Held, known: BTreeSet<WorkerId>) -> Result<usize, Error> {
        let mut changed = 0;
        for (worker, assignments) in plan {
            if told.get(worker) != Some(assignments) {
                self.fleet.assign(*worker, assignments).await?;
                changed += 1;
            }
        }
        for gone in known.into_iter().filter(|worker| !plan.contains_key(worker)) {
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

/// What each worker is told.
fn assignments(decision: &Decision, current: &Held, wanted: &BTreeMap<VersionId, Wanted>) -> Held {
    let told = |worker: &WorkerId, version: &VersionId| {
        let held = current.get(worker).into_iter().flatten();
        let before = held.into_iter().find(|held| held.version == *version);
        Some(planner::assignment(wanted.get(version)?, before))
    };
    let holdings = decision.holdings.iter();
    holdings
        .map(|(worker, versions)| {
            let assignments = versions.iter().filter_map(|version| told(worker, version));
            (*worker, assignments.collect())
        })
        .collect()
}
