//! The ways of the latest requests: each API node remembers its own, and asks the others for those that it does not know.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_coordination::{Coordination, Event, Topic};
use berth_domain::trail::Trail;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How many a node remembers: some megabytes.
const MOST: usize = 4096;

/// Where a node that is asked puts what it knows.
const COLLECTION: &str = "trails";

/// How long it lies there.
const LIFETIME: Duration = Duration::from_secs(30);

/// How long the others are waited for, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long to wait before events are subscribed to again.
const AGAIN: Duration = Duration::from_secs(1);

/// The ways of the latest requests. Clones are the same.
#[derive(Debug, Clone)]
pub struct Trails {
    latest: Arc<Mutex<VecDeque<Trail>>>,
    coordination: Arc<dyn Coordination>,
}

impl Trails {
    /// None yet.
    pub fn new(coordination: Arc<dyn Coordination>) -> Self {
        Self {
            latest: Arc::default(),
            coordination,
        }
    }

    /// Remembers one, and forgets the oldest where there are too many.
    pub(crate) fn remember(&self, trail: Trail) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= MOST {
            latest.pop_front();
        }
        latest.push_back(trail);
    }

    fn known(&self, request: &str) -> Option<Trail> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // What is asked for has mostly just happened.
        latest
            .iter()
            .rev()
            .find(|trail| trail.request_id == request)
            .cloned()
    }

    /// The way of `request`, as this node or another remembers it. Fails when the others cannot be asked.
    pub async fn find(&self, request: &str) -> Result<Option<Trail>, berth_coordination::Error> {
        if let Some(trail) = self.known(request) {
            return Ok(Some(trail));
        }
        self.coordination.publish(Topic::Trails, request).await?;
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < PATIENCE {
            sleep(LOOK_EVERY).await;
            if let Some(text) = self.coordination.get(COLLECTION, request).await? {
                // A node of another release may tell it otherwise: that is as good as not knowing.
                return Ok(serde_json::from_str(&text).ok());
            }
        }
        Ok(None)
    }

    /// Tells other nodes what they ask for, until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.answer() => {}
        }
    }

    async fn answer(&self) {
        loop {
            match self.coordination.subscribe(&[Topic::Trails]).await {
                Ok(mut asked) => {
                    while let Some(event) = asked.next().await {
                        // Whoever asked while this node did not hear asks again.
                        if let Event::Message { payload, .. } = event {
                            self.tell(&payload).await;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "nobody can ask for the ways of requests"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn tell(&self, request: &str) {
        let Some(text) = self
            .known(request)
            .and_then(|trail| serde_json::to_string(&trail).ok())
        else {
            return;
        };
        let told = self
            .coordination
            .put(COLLECTION, request, text, Some(LIFETIME))
            .await;
        if let Err(error) = told {
            tracing::debug!(%error, "the way of a request could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_coordination::memory::Memory;
    use berth_domain::clock::{SystemClock, Timestamp};
    use berth_domain::id::{OrganizationId, ProjectId};
    use berth_domain::random::SystemRandom;

    use super::*;

    fn trail(request: &str) -> Trail {
        Trail {
            request_id: request.to_owned(),
            organization_id: OrganizationId::new(&SystemClock, &SystemRandom),
            project_id: ProjectId::new(&SystemClock, &SystemRandom),
            at: Timestamp::UNIX_EPOCH,
            node: "one".to_owned(),
            model: "m".to_owned(),
            version: Some(1),
            version_id: None,
            outcome: "ok".to_owned(),
            admit_us: 1,
            resolve_us: 2,
            attempts: Vec::new(),
            runner: None,
            total_us: 3,
        }
    }

    #[tokio::test]
    async fn what_another_node_remembers_is_found() {
        let coordination: Arc<dyn Coordination> = Arc::new(Memory::new());
        let (one, other) = (
            Trails::new(Arc::clone(&coordination)),
            Trails::new(Arc::clone(&coordination)),
        );
        let (known, stop) = (trail("req_1"), CancellationToken::new());
        one.remember(known.clone());
        let answering = one.clone();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { answering.run(stop).await }
        });
        let found = async {
            loop {
                // It may not have begun to listen.
                if let Some(found) = other.find("req_1").await.expect("memory answers") {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), found).await;
        assert_eq!(found.expect("in time"), known);
        assert_eq!(one.find("req_1").await.expect("memory answers"), Some(known));
        assert_eq!(other.find("req_2").await.expect("memory answers"), None);
        stop.cancel();
        task.await.expect("no panic");
    }

    #[tokio::test]
    async fn oldest_is_forgotten_beyond_the_bound() {
        let trails = Trails::new(Arc::new(Memory::new()));
        for number in 0..=MOST {
            trails.remember(trail(&number.to_string()));
        }
        assert_eq!(trails.known("0"), None);
        assert!(trails.known("1").is_some() && trails.known(&MOST.to_string()).is_some());
    }
}
