//! From a model's name to a runner: which deployment, which version of it, which replica. Warm, it does no input or output.

mod callers;
mod dice;
mod directory;
mod table;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use berth_coordination::{Applied, Event, Fleet, Topic};
use berth_domain::access::KeyIdentity;
use berth_domain::clock::Timestamp;
use berth_domain::id::{ReplicaId, VersionId};
use berth_domain::name::Handle;
use berth_domain::random::Random;
use berth_store::Store;
use berth_store::callables::{Callable, CallableVersion};
use berth_transport::Peers;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::callers::Callers;
use self::dice::Dice;
use self::directory::Directories;
use self::table::Table;
pub use self::table::{Absence, Outstanding, Route, Standing};
use crate::announcement::Announcement;

/// How often the route table is read again without being told to.
const ROUTES_EVERY: Duration = Duration::from_millis(250);

/// How often the counter of changes is asked, in case that an event was lost.
const CHANGES_EVERY: Duration = Duration::from_millis(500);

/// How often it is told what callers do.
const DEMAND_EVERY: Duration = Duration::from_secs(1);

/// How long that holds.
const DEMAND_HOLDS: Duration = Duration::from_secs(5);

/// The shortest and the longest time after which callers are told to come back.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many requests may be held at once until there is a copy.
const HELD_LIMIT: usize = 1_000;

/// How long a push may come after the counter that it tells of.
const PUSH_WAIT: Duration = Duration::from_millis(50);

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No deployment of that name can be called with this key, or it has no such version.
    #[error("there is no model `{0}` that this key can call")]
    NotFound(String),
    /// The deployments cannot be read, and were never read before.
    #[error("the deployments cannot be read")]
    Store(#[source] berth_store::Error),
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub struct Target {
    callable: Arc<Callable>,
    version: usize,
}

impl Target {
    /// The deployment.
    pub fn callable(&self) -> &Callable {
        &self.callable
    }

    /// The version that was drawn, or asked for; while it does not answer yet, one whose place it takes.
    pub fn version(&self) -> &CallableVersion {
        let Callable {
            versions, retiring, ..
        } = &*self.callable;
        if self.version < versions.len() {
            &versions[self.version]
        } else {
            &retiring[self.version - versions.len()]
        }
    }
}

/// Something a key can call, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What it is called by.
    pub name: Handle,
    /// When it was deployed.
    pub created_at: Timestamp,
    /// The organization that runs it.
    pub owned_by: Handle,
}

/// Knows the way. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    fleet: Fleet,
    directories: Directories,
    table: ArcSwap<Table>,
    dice: Dice,
    applied: Mutex<Applied>,
    callers: Callers,
    /// What this node is called among those that tell what callers do.
    node: String,
    /// The table was renewed.
    renewed: Notify,
    /// Requests that may be held besides.
    holds: Semaphore,
}

impl Router {
    /// A router that knows nothing yet; [`Router::run`] keeps it up to date.
    pub fn new(store: Store, fleet: Fleet, peers: Peers, random: &dyn Random) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                fleet,
                directories: Directories::new(),
                table: ArcSwap::from_pointee(Table::empty(peers)),
                dice: Dice::new(random),
                applied: Mutex::default(),
                callers: Callers::default(),
                node: fresh_name(random),
                renewed: Notify::new(),
                holds: Semaphore::new(HELD_LIMIT),
            }),
        }
    }

    /// Follows replicas and deployments until `shutdown`. While coordination or the store is away, what was known last
    /// is used.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow_events() => {}
            () = self.follow_routes() => {}
            () = self.follow_changes() => {}
            () = self.tell_demand() => {}
        }
    }

    /// What `model` (`name`, or `name@number` for one version) leads to for `key`; with `version`, that one. Two versions that
    /// differ lead nowhere.
    pub async fn resolve(
        &self,
        key: &KeyIdentity,
        model: &str,
        version: Option<u32>,
    ) -> Result<Target, Error> {
        let not_found = || Error::NotFound(model.to_owned());
        let (name, number) = match model.split_once('@') {
            Some((name, number)) => {
                let number = number.parse::<u32>().map_err(|_| not_found())?;
                if version.is_some_and(|version| version != number) {
                    return Err(not_found());
                }
                (name, Some(number))
            }
            None => (model, version),
        };
        if !key.admits_model(name) {
            return Err(not_found());
        }
        let directory = self.directory(key).await?;
        let callable = Arc::clone(directory.get(name).ok_or_else(not_found)?);
        let version = match number {
            Some(number) => callable
                .versions
                .iter()
                .position(|version| version.number == number),
            None => self
                .draw(&callable.versions)
                .map(|drawn| self.or_retiring(&callable, drawn)),
        };
        Ok(Target {
            callable,
            version: version.ok_or_else(not_found)?,
        })
    }

    /// A replica for `target`, other than those in `tried`.
    pub fn choose(&self, target: &Target, tried: &[ReplicaId]) -> Result<Outstanding, Absence> {
        self.shared
            .table
            .load()
            .choose(target.version().version, tried, &self.shared.dice)
            .map_err(|absence| self.known(target.version(), absence))
    }

    /// Waits up to `patience` until a replica of `target` answers, where one may be coming and not too many wait already. The
    /// planner hears of who waits, and of who is sent away: that is what has a version loaded that nobody called before.
    pub async fn wait(&self, target: &Target, patience: Duration) {
        let version = target.version().version;
        let turn = self.shared.holds.try_acquire();
        if patience.is_zero() || turn.is_err() {
            return;
        }
        let _held = self.shared.callers.hold(version);
        let answered = async {
            loop {
                let renewed = self.shared.renewed.notified();
                match self.absence(target) {
                    Some(Absence::Coming { .. }) => renewed.await,
                    Some(Absence::Failed { .. }) | None => return,
                }
            }
        };
        // Who asks next is told how it ended.
        timeout(patience, answered).await.unwrap_or_default();
    }

    /// A caller of `target` was sent away for `absence`, and may come back.
    pub fn sent_away(&self, target: &Target, absence: &Absence) {
        if let Absence::Coming { retry_after, .. } = absence {
            let version = target.version().version;
            self.shared.callers.refuse(version, *retry_after);
        }
    }

    /// Why no replica of `target` answers; `None` when one does.
    pub fn absence(&self, target: &Target) -> Option<Absence> {
        let absence = self.shared.table.load().absence(target.version().version)?;
        Some(self.known(target.version(), absence))
    }

    /// How a version stands on the workers, as far as is known here.
    pub fn standing(&self, version: VersionId) -> Standing {
        self.shared.table.load().standing(version)
    }

    /// Everything that `key` can call, by name.
    pub async fn callables(&self, key: &KeyIdentity) -> Result<Vec<Arc<Callable>>, Error> {
        let directory = self.directory(key).await?;
        let mut callables: Vec<_> = directory
            .iter()
            .filter(|callable| key.admits_model(callable.name.as_str()))
            .map(Arc::clone)
            .collect();
        callables.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(callables)
    }

    /// What `key` can call, by name.
    pub async fn list(&self, key: &KeyIdentity) -> Result<Vec<Listing>, Error> {
        let directory = self.directory(key).await?;
        let mut listings: Vec<Listing> = directory
            .iter()
            .filter(|callable| key.admits_model(callable.name.as_str()))
            .map(|callable| Listing {
                name: callable.name.clone(),
                created_at: callable.created_at,
                owned_by: callable.organization_name.clone(),
            })
            .collect();
        listings.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(listings)
    }

    /// An absence with what is known of the version besides: that it is loaded no more, and how long loading takes on the kinds of
    /// nodes that there are, or took when it was proved.
    fn known(&self, version: &CallableVersion, absence: Absence) -> Absence {
        if let Some(reason) = &version.quarantine {
            return Absence::Failed {
                reason: Some(reason.clone()),
            };
        }
        let Absence::Coming { retry_after, trouble } = absence else {
            return absence;
        };
        let table = self.shared.table.load();
        let kinds = table.node_kinds().iter();
        let here = kinds
            .filter_map(|kind| version.load_times.get(kind))
            .max()
            .copied();
        let elsewhere = version.load_times.values().max().copied();
        let proved = version.load_us.map(|load_us| load_us / 1000);
        let measured = here.or(elsewhere).or(proved).map(Duration::from_millis);
        Absence::Coming {
            retry_after: measured
                .unwrap_or(retry_after)
                .clamp(RETRY_AFTER.0, RETRY_AFTER.1),
            trouble,
        }
    }

    /// What was drawn if it answers, or else a version whose place it takes that does.
    fn or_retiring(&self, callable: &Callable, drawn: usize) -> usize {
        if callable.retiring.is_empty() {
            return drawn;
        }
        let table = self.shared.table.load();
        if table.absence(callable.versions[drawn].version).is_none() {
            return drawn;
        }
        let answers = |version: &CallableVersion| table.absence(version.version).is_none();
        let old = callable.retiring.iter().position(answers);
        old.map_or(drawn, |old| callable.versions.len() + old)
    }

    async fn directory(&self, key: &KeyIdentity) -> Result<Arc<directory::Directory>, Error> {
        let Shared {
            store, directories, ..
        } = &*self.shared;
        directories
            .of(store, key.organization, key.project)
            .await
            .map_err(Error::Store)
    }

    /// One of the versions, each as likely as its weight says.
    fn draw(&self, versions: &[CallableVersion]) -> Option<usize> {
        if let [version] = versions {
            return (version.weight > 0).then_some(0);
        }
        let total: usize = versions.iter().map(|version| version.weight as usize).sum();
        if total == 0 {
            return None;
        }
        let mut drawn = self.shared.dice.below(total);
        versions.iter().position(|version| {
            let weight = version.weight as usize;
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        })
    }

    async fn follow_events(&self) {
        loop {
            match self
                .shared
                .fleet
                .coordination()
                .subscribe(&[Topic::Routes, Topic::Deployments])
                .await
            {
                Ok(mut subscription) => {
                    // What was announced before the subscription began is unknown.
                    self.missed();
                    while let Some(event) = subscription.next().await {
                        self.hear(&event).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "events of routes cannot be heard"),
            }
            sleep(CHANGES_EVERY).await;
        }
    }

    async fn hear(&self, event: &Event) {
        match event {
            Event::Message {
                topic: Topic::Deployments,
                payload,
            } => match payload.parse() {
                Ok(announcement) => self.changed(announcement),
                Err(error) => {
                    tracing::warn!(%error, "all deployments are read again");
                    self.missed();
                }
            },
            Event::Message { .. } => self.renew_table().await,
            Event::Gap => {
                self.missed();
                self.renew_table().await;
            }
        }
    }

    fn changed(&self, announcement: Announcement) {
        // First what was remembered, then the value: a counter that is read in between must not find it followed.
        match announcement.organization {
            Some(organization) => self.shared.directories.invalidate(organization),
            None => self.shared.directories.invalidate_all(),
        }
        self.applied().pushed(announcement.value);
    }

    fn missed(&self) {
        self.applied().missed();
        self.shared.directories.invalidate_all();
    }

    fn applied(&self) -> std::sync::MutexGuard<'_, Applied> {
        self.shared.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow_routes(&self) {
        let mut tick = interval(ROUTES_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.renew_table().await;
        }
    }

    async fn renew_table(&self) {
        let (workers, replicas) = tokio::join!(self.shared.fleet.workers(), self.shared.fleet.replicas());
        match (workers, replicas) {
            (Ok(workers), Ok(replicas)) => {
                self.shared.table.rcu(|table| table.renewed(&workers, &replicas));
                self.shared.renewed.notify_waiters();
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "routes are used as they were last read");
            }
        }
    }

    async fn tell_demand(&self) {
        let Shared {
            callers,
            fleet,
            table,
            node,
            ..
        } = &*self.shared;
        let mut tick = interval(DEMAND_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let urgent = tokio::select! {
                _ = tick.tick() => false,
                () = callers.missed.notified() => true,
            };
            let demand = callers.told(&table.load().counted());
            if let Err(error) = fleet.publish_demand(node, &demand, DEMAND_HOLDS, urgent).await {
                tracing::debug!(%error, "the planner does not hear what is called");
            }
        }
    }

    async fn follow_changes(&self) {
        let mut tick = interval(CHANGES_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let known = self.applied().value();
            let value = self
                .shared
                .store
                .change_value(berth_store::changes::Topic::Deployments)
                .await;
            match value {
                Ok(value) => {
                    if self.applied().value() < Some(value) {
                        // The push comes after the commit, and would tell whom the change concerns.
                        sleep(PUSH_WAIT).await;
                    }
                    if !self.applied().read(value, known) {
                        self.shared.directories.invalidate_all();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, source = ?std::error::Error::source(&error), "changes of deployments cannot be read");
                }
            }
        }
    }
}

/// A name that no other node has.
fn fresh_name(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    hex::encode(bytes)
}
