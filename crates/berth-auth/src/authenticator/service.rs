//! What keeps the authenticator informed: the counter, the push, and the uses that are written down.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_coordination::{Event, Subscription, Topic};
use berth_store::changes;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Shared;
use crate::announcement::{Announcement, Keys};

/// How long the last uses may take to be written at the end.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// How long to wait before asking for another subscription.
const RESUBSCRIBE: Duration = Duration::from_millis(500);

/// Heartbeats that have not come back; older ones are given up.
const HEARTBEATS: usize = 64;

/// Keeps an [`super::Authenticator`] informed for as long as it runs.
pub struct Service {
    shared: Arc<Shared>,
    heartbeats: Heartbeats,
}

/// The heartbeats of this node that are under way.
struct Heartbeats {
    /// Number of the next one; begins at a random place, so that another node's are not mistaken for ours.
    next: AtomicU64,
    sent: Mutex<BTreeMap<u64, Instant>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, first_heartbeat: u64) -> Self {
        Self {
            shared,
            heartbeats: Heartbeats {
                next: AtomicU64::new(first_heartbeat),
                sent: Mutex::new(BTreeMap::new()),
            },
        }
    }

    /// Runs until `shutdown`, then writes down the last uses.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.follow_counter() => {}
            () = self.follow_push() => {}
            () = self.send_heartbeats() => {}
            () = self.write_uses() => {}
        }
        if timeout(LAST_WRITE, self.write_uses_once()).await.is_err() {
            tracing::warn!(
                "the last uses of API keys were not written, because the database did not answer in time"
            );
        }
    }

    /// Reads the counter of the database over and over.
    async fn follow_counter(&self) {
        let shared = &*self.shared;
        let mut ticks = interval(shared.options.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let (asked, known) = (Instant::now(), shared.followed());
            let answer = timeout(
                shared.options.poll,
                shared.store.change_value(changes::Topic::Keys),
            )
            .await;
            let failure: Option<&dyn std::error::Error> = match &answer {
                Ok(Ok(value)) => {
                    shared.counter_read(*value, known, asked);
                    None
                }
                Ok(Err(error)) => Some(error),
                Err(elapsed) => Some(elapsed),
            };
            match failure {
                Some(error) if !failing => {
                    tracing::warn!(error, "changes to API keys cannot be read from the database");
                }
                None if failing => tracing::info!("changes to API keys can be read from the database again"),
                Some(_) | None => {}
            }
            failing = failure.is_some();
        }
    }

    /// Hears what other nodes, and this one, announce.
    async fn follow_push(&self) {
        loop {
            match self.shared.coordination.subscribe(&[Topic::Keys]).await {
                Ok(subscription) => self.follow(subscription).await,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "could not subscribe to changes of API keys");
                }
            }
            sleep(RESUBSCRIBE).await;
        }
    }

    async fn follow(&self, mut subscription: Subscription) {
        // What was announced before the subscription began is unknown.
        self.missed();
        while let Some(event) = subscription.next().await {
            let Event::Message { payload, .. } = event else {
                self.missed();
                continue;
            };
            match payload.parse() {
                Ok(Announcement::Changed { value, keys }) => self.changed(value, &keys),
                Ok(Announcement::Heartbeat(number)) => self.heartbeat(number),
                Err(unknown) => {
                    tracing::warn!(
                        error = &unknown as &dyn std::error::Error,
                        "every cached API key is dropped"
                    );
                    self.missed();
                }
            }
        }
    }

    fn changed(&self, value: i64, keys: &Keys) {
        let shared = &*self.shared;
        // First the keys, then the value: a counter that is read in between must not find the value followed.
        match keys {
            Keys::All => shared.records.invalidate_all(),
            Keys::These(ids) => shared.records.invalidate(ids),
        }
        shared
            .applied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pushed(value);
    }

    fn missed(&self) {
        let mut applied = self.shared.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.missed();
        self.shared.records.invalidate_all();
    }

    /// One of our heartbeats came back: we have heard everything that was announced before it was sent.
    fn heartbeat(&self, number: u64) {
        let mut sent = self
            .heartbeats
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(moment) = sent.remove(&number) {
            self.shared.freshness.heard_push(moment);
        }
    }

    /// Tests the push while the counter is silent; while it speaks, nothing needs to be sent.
    async fn send_heartbeats(&self) {
        let shared = &*self.shared;
        let silence = shared.options.poll + shared.options.poll / 10;
        let mut ticks = interval(shared.options.staleness / 5);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            if !shared.freshness.counter_is_older_than(silence, now) {
                continue;
            }
            let number = self.heartbeats.next.fetch_add(1, Ordering::Relaxed);
            {
                let mut sent = self
                    .heartbeats
                    .sent
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                sent.insert(number, now);
                while sent.len() > HEARTBEATS {
                    sent.pop_first();
                }
            }
            let payload = Announcement::Heartbeat(number).to_string();
            let publish = shared.coordination.publish(Topic::Keys, &payload);
            if let Ok(Err(error)) = timeout(shared.options.staleness, publish).await {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "a heartbeat could not be sent");
            }
        }
    }

    /// Writes down from time to time when keys were last used.
    async fn write_uses(&self) {
        let mut ticks = interval(self.shared.options.note_uses);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write_uses_once().await;
        }
    }

    async fn write_uses_once(&self) {
        let used = self.shared.records.take_used();
        if used.is_empty() {
            return;
        }
        if let Err(error) = self.shared.store.touch_api_keys(&used).await {
            // Only a display suffers, and the next use is written again.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                keys = used.len(),
                "the last uses of API keys were not written"
            );
        }
    }
}
