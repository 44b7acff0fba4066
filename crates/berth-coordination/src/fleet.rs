//! Workers, what each should hold, and what each holds.

use std::sync::Arc;
use std::time::Duration;

use berth_domain::id::WorkerId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::coordination::Coordination;
use crate::error::Error;
use crate::event::Topic;
use crate::records::{Assignment, DemandRecord, PlacementRecord, ReplicaRecord, WorkerRecord};

const WORKERS: &str = "workers";
const ASSIGNMENTS: &str = "assignments";
const REPLICAS: &str = "replicas";
const DEMAND: &str = "demand";
const PLACEMENT: &str = "placement";

/// The one entry of [`PLACEMENT`].
const LAST: &str = "last";

/// The fleet as coordination knows it. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Fleet {
    coordination: Arc<dyn Coordination>,
}

impl Fleet {
    /// The fleet in `coordination`.
    pub fn new(coordination: Arc<dyn Coordination>) -> Self {
        Self { coordination }
    }

    /// The coordination below.
    pub fn coordination(&self) -> &Arc<dyn Coordination> {
        &self.coordination
    }

    /// Says that `worker` is alive, for `ttl`; the worker says it again well before that. Subscribers of
    /// [`Topic::Routes`] are told when the record is new or differs.
    pub async fn announce_worker(&self, worker: &WorkerRecord, ttl: Duration) -> Result<(), Error> {
        let changed = self.write(WORKERS, worker.id, worker, Some(ttl)).await?;
        self.tell_if(changed, Topic::Routes, worker.id).await
    }

    /// The workers that are alive.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, Error> {
        self.read_all(WORKERS).await
    }

    /// Takes `worker` and its replicas off the list at once: it leaves in order.
    pub async fn remove_worker(&self, worker: WorkerId) -> Result<(), Error> {
        let id = worker.to_string();
        let announced = self.coordination.remove(WORKERS, &id).await?;
        let held = self.coordination.remove(REPLICAS, &id).await?;
        self.tell_if(announced || held, Topic::Routes, worker).await
    }

    /// Says what `worker` should hold: exactly these. Subscribers of [`Topic::Assignments`] are told when it differs
    /// from what was said before. It stands until said otherwise, so a planner that is away changes nothing.
    pub async fn assign(&self, worker: WorkerId, assignments: &[Assignment]) -> Result<(), Error> {
        let changed = self.write(ASSIGNMENTS, worker, assignments, None).await?;
        self.tell_if(changed, Topic::Assignments, worker).await
    }

    /// What `worker` should hold. `None` when nobody has said anything (coordination was lost, or no planner has run
    /// yet): then the worker keeps what it has.
    pub async fn assignments(&self, worker: WorkerId) -> Result<Option<Vec<Assignment>>, Error> {
        let id = worker.to_string();
        match self.coordination.get(ASSIGNMENTS, &id).await? {
            Some(text) => parse(ASSIGNMENTS, &id, &text).map(Some),
            None => Ok(None),
        }
    }

    /// What every worker should hold, workers that are gone included. What cannot be read counts as nothing said.
    pub async fn all_assignments(&self) -> Result<Vec<(WorkerId, Option<Vec<Assignment>>)>, Error> {
        let mut all = Vec::new();
        for (id, text) in self.coordination.list(ASSIGNMENTS).await? {
            let Ok(worker) = id.parse() else {
                tracing::warn!(entry = %id, "assignments of something that is not a worker are ignored");
                continue;
            };
            let assignments = parse(ASSIGNMENTS, &id, &text)
                .inspect_err(|error| tracing::warn!(%error, source = ?std::error::Error::source(error), "assignments are ignored"))
                .ok();
            all.push((worker, assignments));
        }
        Ok(all)
    }

    /// Forgets what `worker` should hold: it is gone for good.
    pub async fn forget_assignments(&self, worker: WorkerId) -> Result<(), Error> {
        self.coordination
            .remove(ASSIGNMENTS, &worker.to_string())
            .await
            .map(drop)
    }

    /// Says what `worker` holds: exactly these, for `ttl`; the worker says it again well before that. Subscribers of
    /// [`Topic::Routes`] are told when it differs from what was said before.
    pub async fn publish_replicas(
        &self,
        worker: WorkerId,
        replicas: &[ReplicaRecord],
        ttl: Duration,
    ) -> Result<(), Error> {
        let changed = self.write(REPLICAS, worker, replicas, Some(ttl)).await?;
        self.tell_if(changed, Topic::Routes, worker).await
    }

    /// What all workers hold.
    pub async fn replicas(&self) -> Result<Vec<ReplicaRecord>, Error> {
        let by_worker: Vec<Vec<ReplicaRecord>> = self.read_all(REPLICAS).await?;
        Ok(by_worker.into_iter().flatten().collect())
    }

    /// Says what `node` sees of those who call, for `ttl`; the node says it again well before that, even when nobody calls:
    /// where no node says anything, nothing is unloaded for want of calls. With `urgent`, subscribers of [`Topic::Demand`] are
    /// told: callers found no copy.
    pub async fn publish_demand(
        &self,
        node: &str,
        demand: &DemandRecord,
        ttl: Duration,
        urgent: bool,
    ) -> Result<(), Error> {
        let text = text(DEMAND, demand)?;
        self.coordination.put(DEMAND, node, text, Some(ttl)).await?;
        if urgent {
            self.coordination.publish(Topic::Demand, node).await?;
        }
        Ok(())
    }

    /// What all nodes see of those who call; empty when none says anything.
    pub async fn demand(&self) -> Result<Vec<DemandRecord>, Error> {
        self.read_all(DEMAND).await
    }

    /// Says what the planner did last. It stands until it is said otherwise.
    pub async fn publish_placement(&self, placement: &PlacementRecord) -> Result<(), Error> {
        let text = text(PLACEMENT, placement)?;
        self.coordination.put(PLACEMENT, LAST, text, None).await.map(drop)
    }

    /// What the planner did last; nothing when that is not known, or cannot be read.
    pub async fn placement(&self) -> Result<PlacementRecord, Error> {
        let last: Vec<PlacementRecord> = self.read_all(PLACEMENT).await?;
        Ok(last.into_iter().next().unwrap_or_default())
    }

    async fn write<T: Serialize + ?Sized>(
        &self,
        collection: &'static str,
        worker: WorkerId,
        record: &T,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        let text = text(collection, record)?;
        self.coordination
            .put(collection, &worker.to_string(), text, ttl)
            .await
    }

    /// The entries of a collection. One that cannot be read is left out and logged, because one worker of another
    /// version must not take the others out of service.
    async fn read_all<T: DeserializeOwned>(&self, collection: &str) -> Result<Vec<T>, Error> {
        let entries = self.coordination.list(collection).await?;
        let read = entries.iter().filter_map(|(id, text)| {
            parse(collection, id, text)
                .inspect_err(|error| tracing::warn!(%error, source = ?std::error::Error::source(error), "entry is left out"))
                .ok()
        });
        Ok(read.collect())
    }

    async fn tell_if(&self, changed: bool, topic: Topic, worker: WorkerId) -> Result<(), Error> {
        if changed {
            self.coordination.publish(topic, &worker.to_string()).await?;
        }
        Ok(())
    }
}

fn text<T: Serialize + ?Sized>(collection: &'static str, record: &T) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|source| Error::Unwritable { collection, source })
}

fn parse<T: DeserializeOwned>(collection: &str, id: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Malformed {
        collection: collection.to_owned(),
        id: id.to_owned(),
        source,
    })
}
