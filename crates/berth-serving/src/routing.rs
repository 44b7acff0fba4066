//! From a model's name to a runner: which deployment, which version of it, which replica. Warm, it does no input or output.

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
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::dice::Dice;
use self::directory::Directories;
use self::table::Table;
pub use self::table::{Absence, Outstanding, Route, Standing};
use crate::announcement::Announcement;

/// How often the route table is read again without being told to.
const ROUTES_EVERY: Duration = Duration::from_millis(250);

/// How often the counter of changes is asked, in case that an event was lost.
const CHANGES_EVERY: Duration = Duration::from_millis(500);

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

    /// The version that was drawn, or asked for.
    pub fn version(&self) -> &CallableVersion {
        &self.callable.versions[self.version]
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
            None => self.draw(&callable.versions),
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
    }

    /// Why no replica of `target` answers; `None` when one does.
    pub fn absence(&self, target: &Target) -> Option<Absence> {
        self.shared.table.load().absence(target.version().version)
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
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "routes are used as they were last read");
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
