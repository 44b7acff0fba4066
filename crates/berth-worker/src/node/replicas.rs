//! From what the node should hold to what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use berth_coordination::records::Assignment;
use berth_coordination::{Event, Fleet, Subscription, Topic};
use berth_domain::clock::SystemClock;
use berth_domain::id::{ReplicaId, VersionId, WorkerId};
use berth_domain::random::SystemRandom;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::replica::{Keeper, Replica};

/// How often the node looks without being told.
const LOOK: Duration = Duration::from_secs(2);

/// A version, and which copy of it is wanted.
type Key = (VersionId, u64);

/// The replicas of this node.
pub(super) struct Replicas {
    fleet: Fleet,
    worker: WorkerId,
    keeper: Arc<Keeper>,
    held: BTreeMap<Key, Held>,
    tasks: JoinSet<Key>,
}

struct Held {
    replica: ReplicaId,
    stop: CancellationToken,
}

impl Replicas {
    pub(super) fn new(fleet: Fleet, worker: WorkerId, keeper: Arc<Keeper>) -> Self {
        Self {
            fleet,
            worker,
            keeper,
            held: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Holds what the node is assigned, until `leaving`; then lets every replica drain.
    pub(super) async fn run(mut self, leaving: CancellationToken) {
        let mut events = None;
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.keeper.board.watch();
        loop {
            if events.is_none() {
                events = self.listen().await;
            }
            tokio::select! {
                () = leaving.cancelled() => break,
                _ = tick.tick() => {}
                event = next(&mut events) => match event {
                    Some(event) if !self.concerns(&event) => continue,
                    Some(_) => {}
                    None => {
                        events = None;
                        continue;
                    }
                },
                // A fresh copy that is ready lets the old one go.
                changed = changes.changed() => if changed.is_err() { break },
                Some(ended) = self.tasks.join_next() => {
                    self.forget(ended);
                    continue;
                }
            }
            match self.fleet.assignments(self.worker).await {
                Ok(Some(assignments)) => self.hold(assignments),
                // Nobody has said anything: what is held stays.
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the assignments of this node cannot be read; it keeps what it has");
                }
            }
        }
        for held in self.held.values() {
            held.stop.cancel();
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.forget(ended);
        }
    }

    async fn listen(&self) -> Option<Subscription> {
        let subscribed = self.fleet.coordination().subscribe(&[Topic::Assignments]).await;
        subscribed
            .inspect_err(|error| tracing::debug!(%error, "the node hears no events and looks by the clock"))
            .ok()
    }

    fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::Message { payload, .. } => *payload == self.worker.to_string(),
            Event::Gap => true,
        }
    }

    /// Starts what is missing and stops what is too much. An old copy of a version stays until the fresh one is ready.
    fn hold(&mut self, assignments: Vec<Assignment>) {
        let wanted: BTreeMap<VersionId, Assignment> = assignments
            .into_iter()
            .map(|assignment| (assignment.version, assignment))
            .collect();
        for (&(version, generation), held) in &self.held {
            let replaced_by = wanted
                .get(&version)
                .filter(|wanted| wanted.generation != generation)
                .map(|wanted| self.held.get(&(version, wanted.generation)));
            let keep = match replaced_by {
                None => wanted.contains_key(&version),
                Some(fresh) => !fresh.is_some_and(|fresh| self.keeper.board.is_ready(fresh.replica)),
            };
            if !keep && !held.stop.is_cancelled() {
                tracing::info!(replica.id = %held.replica, version.id = %version, "a replica is taken off this node");
                held.stop.cancel();
            }
        }
        for (version, assignment) in wanted {
            let key = (version, assignment.generation);
            // One that is being stopped is started again when it is gone; nothing is held twice.
            if !self.held.contains_key(&key) {
                self.start(key, assignment);
            }
        }
    }

    fn start(&mut self, key: Key, assignment: Assignment) {
        let replica = ReplicaId::new(&SystemClock, &SystemRandom);
        let stop = CancellationToken::new();
        let task = Replica::new(Arc::clone(&self.keeper), replica, assignment).run(stop.clone());
        self.tasks.spawn(async move {
            task.await;
            key
        });
        self.held.insert(key, Held { replica, stop });
    }

    fn forget(&mut self, ended: Result<Key, tokio::task::JoinError>) {
        match ended {
            Ok(key) => {
                self.held.remove(&key);
            }
            // Its entry stays on the list as stopped: a defect is told, and does not repeat itself for ever.
            Err(error) => tracing::error!(%error, "the task of a replica failed"),
        }
    }
}

/// The next event; never, while there is no subscription.
async fn next(events: &mut Option<Subscription>) -> Option<Event> {
    match events {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}
