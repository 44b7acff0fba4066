//! What each project can call, kept in memory until something changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use berth_domain::id::{OrganizationId, ProjectId};
use berth_store::Store;
use berth_store::callables::Callable;

/// How many projects are remembered.
const CAPACITY: u64 = 100_000;

/// What one project can call: by name, the nearest of each.
#[derive(Debug)]
pub(super) struct Directory {
    generation: u64,
    by_name: HashMap<String, Arc<Callable>>,
}

impl Directory {
    fn new(generation: u64, callables: Vec<Callable>) -> Self {
        let mut by_name = HashMap::new();
        for callable in callables {
            // The store tells the nearest first; what stands further away under the same name is hidden by it.
            by_name
                .entry(callable.name.to_string())
                .or_insert_with(|| Arc::new(callable));
        }
        Self { generation, by_name }
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
}

/// The directories of all projects that have called lately.
#[derive(Debug)]
pub(super) struct Directories {
    entries: moka::sync::Cache<(OrganizationId, ProjectId), Arc<Entry>>,
    /// Grows whenever something may have changed; what was read before that is read again.
    generation: AtomicU64,
}

impl Directories {
    pub(super) fn new() -> Self {
        Self {
            entries: moka::sync::Cache::new(CAPACITY),
            generation: AtomicU64::new(0),
        }
    }

    /// Something changed: whatever is remembered has to be read again before it is used.
    pub(super) fn invalidate(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The directory of `project`. From memory, as long as nothing changed. When the store cannot be read, what was
    /// remembered is better than nothing: deployments change rarely, and an outage of the database must not stop calls.
    pub(super) async fn of(
        &self,
        store: &Store,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Arc<Directory>, berth_store::Error> {
        let entry = self.entries.get_with((organization, project), Arc::default);
        if let Some(directory) = self.current(&entry) {
            return Ok(directory);
        }
        let _reading = entry.reading.lock().await;
        if let Some(directory) = self.current(&entry) {
            return Ok(directory);
        }
        // Taken before reading: a change that happens meanwhile makes what is read stale at once.
        let generation = self.generation.load(Ordering::Acquire);
        match read(store, organization, project).await {
            Ok(callables) => {
                let directory = Arc::new(Directory::new(generation, callables));
                entry.directory.store(Some(Arc::clone(&directory)));
                Ok(directory)
            }
            Err(error) => match entry.directory.load_full() {
                Some(stale) => {
                    tracing::warn!(%error, source = ?std::error::Error::source(&error), "deployments are used as they were last read");
                    Ok(stale)
                }
                None => Err(error),
            },
        }
    }

    fn current(&self, entry: &Entry) -> Option<Arc<Directory>> {
        let directory = entry.directory.load_full()?;
        (directory.generation == self.generation.load(Ordering::Acquire)).then_some(directory)
    }
}

async fn read(
    store: &Store,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Vec<Callable>, berth_store::Error> {
    let mut tx = store.tenant(organization).await?;
    tx.callables().list(organization, project, None).await
}
