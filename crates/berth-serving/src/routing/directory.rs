//! What each project can call, kept in memory until something changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use berth_domain::id::{OrganizationId, ProjectId};
use berth_store::Store;
use berth_store::callables::Callable;
use tokio::time::{Instant, timeout};

/// How many projects are remembered.
const CAPACITY: u64 = 100_000;

/// How long reading may take where something older is remembered.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// How long a request waits for another one that is reading, where something older is remembered.
const TURN_LIMIT: Duration = Duration::from_millis(100);

/// How long nothing is read after the store has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What one project can call: by name, the nearest of each.
#[derive(Debug)]
pub(super) struct Directory {
    /// The moment from which on it was read.
    moment: u64,
    by_name: HashMap<String, Arc<Callable>>,
}

impl Directory {
    fn new(moment: u64, callables: Vec<Callable>) -> Self {
        let mut by_name = HashMap::new();
        for callable in callables {
            // The store tells the nearest first; what stands further away under the same name is hidden by it.
            by_name
                .entry(callable.name.to_string())
                .or_insert_with(|| Arc::new(callable));
        }
        Self { moment, by_name }
    }

    /// What is called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<Callable>> {
        self.by_name.get(name)
    }

    /// Everything, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Callable>> {
        self.by_name.values()
    }
}

#[derive(Debug, Default)]
struct Entry {
    directory: ArcSwapOption<Directory>,
    /// Held while the entry is read from the store, so that of many requests only one reads.
    reading: tokio::sync::Mutex<()>,
    /// After a failure that concerns this project alone.
    pause: Pause,
}

/// When something changed last. A moment is the number of changes before it.
#[derive(Debug)]
struct Changes {
    now: AtomicU64,
    everywhere: AtomicU64,
    /// By a hash of the organization: two that share a place are both read again when one changes.
    organizations: Box<[AtomicU64]>,
}

impl Changes {
    const PLACES: usize = 4096;

    fn new() -> Self {
        Self {
            now: AtomicU64::new(0),
            everywhere: AtomicU64::new(0),
            organizations: (0..Self::PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    fn note_everywhere(&self) {
        let moment = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.everywhere.fetch_max(moment, Ordering::AcqRel);
    }

    fn note(&self, organization: OrganizationId) {
        let moment = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.place(organization).fetch_max(moment, Ordering::AcqRel);
    }

    /// The moment of the last change that concerns `organization`.
    fn last(&self, organization: OrganizationId) -> u64 {
        let here = self.place(organization).load(Ordering::Acquire);
        here.max(self.everywhere.load(Ordering::Acquire))
    }

    fn place(&self, organization: OrganizationId) -> &AtomicU64 {
        // The last bits of an id are random.
        let bits = organization.as_uuid().as_u128() % Self::PLACES as u128;
        &self.organizations[usize::try_from(bits).unwrap_or(0)]
    }
}

/// A time in which the store is not asked, because it has just failed.
#[derive(Debug, Default)]
struct Pause(std::sync::Mutex<Option<Instant>>);

impl Pause {
    fn begin(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    }

    /// When it began, while it lasts.
    fn since(&self) -> Option<Instant> {
        let begun = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        begun.filter(|begun| begun.elapsed() < PAUSE)
    }
}

/// The directories of all projects that have called lately.
#[derive(Debug)]
pub(super) struct Directories {
    entries: moka::sync::Cache<(OrganizationId, ProjectId), Arc<Entry>>,
    changes: Changes,
    /// After a failure that concerns every project: the store is away.
    outage: Pause,
}

impl Directories {
    pub(super) fn new() -> Self {
        Self {
            entries: moka::sync::Cache::new(CAPACITY),
            changes: Changes::new(),
            outage: Pause::default(),
        }
    }

    /// Something changed in `organization`: what is remembered of it has to be read again before it is used.
    pub(super) fn invalidate(&self, organization: OrganizationId) {
        self.changes.note(organization);
    }

    /// Something changed: whatever is remembered has to be read again before it is used.
    pub(super) fn invalidate_all(&self) {
        self.changes.note_everywhere();
    }

    /// The directory of `project`. From memory, as long as nothing changed. When the store cannot be read, what was
    /// remembered is better than nothing: deployments change rarely, and an outage of the database must not stop calls, nor
    /// delay each of them.
    pub(super) async fn of(
        &self,
        store: &Store,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Arc<Directory>, berth_store::Error> {
        let entry = self.entries.get_with((organization, project), Arc::default);
        if let Some(directory) = self.current(&entry, organization) {
            return Ok(directory);
        }
        let begun = Instant::now();
        let Some(old) = entry.directory.load_full() else {
            let _reading = entry.reading.lock().await;
            if let Some(directory) = self.current(&entry, organization) {
                return Ok(directory);
            }
            // Who waited while the store failed for another need not find out the same, one after the other.
            if self.outage.since().is_some_and(|since| since >= begun) {
                return Err(berth_store::Error::unavailable());
            }
            return self.read(&entry, store, organization, project).await;
        };
        if self.pauses(&entry) {
            return Ok(old);
        }
        let Ok(_reading) = timeout(TURN_LIMIT, entry.reading.lock()).await else {
            return Ok(old);
        };
        if let Some(directory) = self.current(&entry, organization) {
            return Ok(directory);
        }
        if self.pauses(&entry) {
            return Ok(old);
        }
        match timeout(READ_LIMIT, self.read(&entry, store, organization, project)).await {
            Ok(Ok(directory)) => return Ok(directory),
            Ok(Err(error)) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "deployments are used as they were last read");
            }
            Err(_) => {
                self.outage.begin();
                tracing::warn!("deployments are used as they were last read: the database takes too long");
            }
        }
        Ok(old)
    }

    /// Reads and remembers. After a failure there is a pause.
    async fn read(
        &self,
        entry: &Entry,
        store: &Store,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Arc<Directory>, berth_store::Error> {
        // Taken before reading: a change that happens meanwhile makes what is read old at once.
        let moment = self.changes.now();
        match list(store, organization, project).await {
            Ok(callables) => {
                let directory = Arc::new(Directory::new(moment, callables));
                entry.directory.store(Some(Arc::clone(&directory)));
                Ok(directory)
            }
            Err(error) => {
                if error.is_transient() {
                    self.outage.begin();
                } else {
                    entry.pause.begin();
                }
                Err(error)
            }
        }
    }

    fn current(&self, entry: &Entry, organization: OrganizationId) -> Option<Arc<Directory>> {
        let directory = entry.directory.load_full()?;
        (directory.moment >= self.changes.last(organization)).then_some(directory)
    }

    fn pauses(&self, entry: &Entry) -> bool {
        self.outage.since().is_some() || entry.pause.since().is_some()
    }
}

async fn list(
    store: &Store,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Vec<Callable>, berth_store::Error> {
    let mut tx = store.tenant(organization).await?;
    tx.callables().list(organization, project, None).await
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::SystemClock;
    use berth_domain::random::SystemRandom;
    use berth_domain::secret::Secret;
    use berth_store::Options;
    use berth_test_support::{Line, TestDatabase, wait_until};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Directories over a database that can be cut off, whose pool waits for it much longer than a test does.
    struct Scene {
        directories: Directories,
        store: Store,
        line: Line,
        _database: TestDatabase,
    }

    type Place = (OrganizationId, ProjectId);

    fn place() -> Place {
        (
            OrganizationId::new(&SystemClock, &SystemRandom),
            ProjectId::new(&SystemClock, &SystemRandom),
        )
    }

    impl Scene {
        async fn new(acquire_timeout: Duration) -> Self {
            let database = TestDatabase::create().await.expect("a database");
            let (line, app_url) = Line::to_url(&database.app_url()).await.expect("is laid");
            let options = Options {
                acquire_timeout,
                ..Options::new(Secret::new(app_url), Secret::new(database.system_url()))
            };
            Self {
                directories: Directories::new(),
                store: Store::connect(&options).await.expect("the database is there"),
                line,
                _database: database,
            }
        }

        async fn of(&self, (organization, project): Place) -> Result<Arc<Directory>, berth_store::Error> {
            timeout(LIMIT, self.directories.of(&self.store, organization, project))
                .await
                .expect("nobody waits for the pool")
        }

        async fn read(&self, place: Place) -> Arc<Directory> {
            self.of(place).await.expect("is read")
        }
    }

    #[tokio::test]
    async fn change_of_one_organization_leaves_the_others_alone() {
        let scene = Scene::new(Duration::from_secs(5)).await;
        let (one, other) = (place(), place());
        let (first, second) = (scene.read(one).await, scene.read(other).await);
        assert!(Arc::ptr_eq(&first, &scene.read(one).await), "from memory");

        scene.directories.invalidate(one.0);
        let again = scene.read(one).await;
        assert!(!Arc::ptr_eq(&first, &again), "it is read again");
        assert!(Arc::ptr_eq(&again, &scene.read(one).await), "once");
        assert!(Arc::ptr_eq(&second, &scene.read(other).await));

        scene.directories.invalidate_all();
        assert!(!Arc::ptr_eq(&again, &scene.read(one).await));
        assert!(!Arc::ptr_eq(&second, &scene.read(other).await));
    }

    #[tokio::test]
    async fn change_while_reading_makes_what_is_read_old() {
        let scene = Scene::new(Duration::from_secs(5)).await;
        let one = place();
        let moment = scene.directories.changes.now();
        scene.directories.invalidate(one.0);
        let entry = scene.directories.entries.get_with(one, Arc::default);
        entry
            .directory
            .store(Some(Arc::new(Directory::new(moment, Vec::new()))));
        assert!(scene.directories.current(&entry, one.0).is_none());
    }

    #[tokio::test]
    async fn outage_delays_nobody_who_was_here_before() {
        let scene = Scene::new(Duration::from_hours(1)).await;
        let places: Vec<Place> = (0..40).map(|_| place()).collect();
        let mut before = Vec::new();
        for &place in &places {
            before.push(scene.read(place).await);
        }
        scene.line.cut();
        scene.directories.invalidate_all();
        // One after the other: each would have waited by itself.
        for (place, before) in places.iter().zip(&before) {
            assert!(Arc::ptr_eq(before, &scene.read(*place).await));
        }
        scene.line.mend();
        wait_until(LIMIT, || async {
            !Arc::ptr_eq(&before[0], &scene.read(places[0]).await)
        })
        .await
        .expect("what is new is seen when the database is back");
    }

    #[tokio::test]
    async fn outage_is_found_out_once_by_those_who_wait_together() {
        let scene = Scene::new(Duration::from_millis(500)).await;
        scene.line.cut();
        let one = place();
        // Each alone would wait for the pool's own limit, and all of them one after the other for longer than ours.
        let all = (0..100).map(|_| scene.of(one));
        for answer in futures_util::future::join_all(all).await {
            let error = answer.expect_err("nothing is known");
            assert!(error.is_transient(), "{error:?}");
        }
    }
}
