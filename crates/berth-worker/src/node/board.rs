//! What this node holds, for the fleet and for the control service.

use std::collections::BTreeMap;

use berth_coordination::records::{ReplicaRecord, ReplicaState};
use berth_domain::id::{ReplicaId, WorkerId};
use tokio::sync::watch;

/// A replica and its runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) record: ReplicaRecord,
    /// Process id of the runner, while there is one.
    pub(super) pid: Option<u32>,
    /// How often a runner was started.
    pub(super) starts: u32,
}

/// The replicas of this node. Clones show the same.
#[derive(Debug, Clone)]
pub(super) struct Board {
    worker: WorkerId,
    entries: watch::Sender<BTreeMap<ReplicaId, Entry>>,
}

impl Board {
    /// An empty board of the node `worker`.
    pub(super) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            entries: watch::Sender::new(BTreeMap::new()),
        }
    }

    /// The node.
    pub(super) const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Puts a replica on the board, or changes it.
    pub(super) fn show(&self, entry: &Entry) {
        self.entries.send_if_modified(|entries| {
            if entries.get(&entry.record.id) == Some(entry) {
                return false;
            }
            entries.insert(entry.record.id, entry.clone());
            true
        });
    }

    /// Takes a replica off the board.
    pub(super) fn remove(&self, replica: ReplicaId) {
        self.entries
            .send_if_modified(|entries| entries.remove(&replica).is_some());
    }

    /// All replicas now.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().values().cloned().collect()
    }

    /// All records now.
    pub(super) fn records(&self) -> Vec<ReplicaRecord> {
        let entries = self.entries.borrow();
        entries.values().map(|entry| entry.record.clone()).collect()
    }

    /// Where the runner of this replica answers, while it does.
    pub(super) fn address(&self, replica: ReplicaId) -> Option<String> {
        let entries = self.entries.borrow();
        entries.get(&replica)?.record.address.clone()
    }

    /// Whether this replica answers.
    pub(super) fn is_ready(&self, replica: ReplicaId) -> bool {
        let entries = self.entries.borrow();
        entries
            .get(&replica)
            .is_some_and(|entry| entry.record.state == ReplicaState::Ready)
    }

    /// Tells of every change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<BTreeMap<ReplicaId, Entry>> {
        self.entries.subscribe()
    }
}
