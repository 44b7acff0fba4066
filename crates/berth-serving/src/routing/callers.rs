//! What this node sees of those who call, for the planner.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_coordination::records::{DemandRecord, VersionDemand};
use berth_domain::id::{ReplicaId, VersionId};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long after its last call a version is told of.
const REMEMBERED: Duration = Duration::from_hours(2);

/// How much later than it was told somebody who was refused is still expected back.
const GRACE: Duration = Duration::from_secs(10);

/// What was seen of versions. Requests that find a copy are not counted here but on their routes.
#[derive(Debug, Default)]
pub(super) struct Callers {
    seen: Mutex<HashMap<VersionId, Seen>>,
    /// Somebody found no copy who was not waited for before.
    pub(super) missed: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    last_use: Option<Instant>,
    /// Requests that are held until there is a copy.
    held: u32,
    /// Until when those are expected back who were refused.
    refused_until: Option<Instant>,
    uses: u64,
    waited_us: u64,
}

/// What a version's routes have counted since they were made.
#[derive(Debug, Default, Clone)]
pub(super) struct Counted {
    pub(super) outstanding: u32,
    pub(super) uses: u64,
    pub(super) waited_us: u64,
    pub(super) busy: Vec<ReplicaId>,
}

impl Callers {
    /// A request found no copy and is held.
    pub(super) fn hold(&self, version: VersionId) -> Held<'_> {
        self.note(version, |seen| seen.held += 1);
        Held {
            callers: self,
            version,
        }
    }

    /// A request found no copy, and was told to come back after `retry_after`.
    pub(super) fn refuse(&self, version: VersionId, retry_after: Duration) {
        let until = Instant::now() + retry_after + GRACE;
        self.note(version, |seen| {
            seen.refused_until = seen.refused_until.max(Some(until));
        });
    }

    fn note(&self, version: VersionId, note: impl FnOnce(&mut Seen)) {
        let mut all = self.seen();
        let seen = all.entry(version).or_default();
        let new = seen.waiting(Instant::now()) == 0;
        note(seen);
        seen.last_use = Some(Instant::now());
        drop(all);
        if new {
            self.missed.notify_one();
        }
    }

    /// What is told, with what routes have `counted` of versions; and whether somebody waits.
    pub(super) fn told(&self, counted: &HashMap<VersionId, Counted>) -> DemandRecord {
        let now = Instant::now();
        let mut all = self.seen();
        let nothing = Counted::default();
        for version in counted.keys() {
            all.entry(*version).or_default();
        }
        let mut versions = Vec::new();
        for (version, seen) in all.iter_mut() {
            let counted = counted.get(version).unwrap_or(&nothing);
            // Routes begin to count anew when they are made anew.
            let uses = counted.uses.checked_sub(seen.uses).unwrap_or(counted.uses);
            let waited_us = counted.waited_us.saturating_sub(seen.waited_us);
            if uses > 0 || counted.outstanding > 0 || seen.held > 0 {
                seen.last_use = Some(now);
            }
            (seen.uses, seen.waited_us) = (counted.uses, counted.waited_us);
            let Some(last_use) = seen.last_use else {
                continue;
            };
            let idle = now.saturating_duration_since(last_use);
            versions.push(VersionDemand {
                version: *version,
                idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
                outstanding: counted.outstanding,
                waiting: seen.waiting(now),
                queue_wait_us: waited_us.checked_div(uses).unwrap_or(0),
                busy: counted.busy.clone(),
            });
        }
        all.retain(|version, seen| {
            counted.contains_key(version)
                || seen.held > 0
                || seen
                    .last_use
                    .is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
        });
        versions.sort_unstable_by_key(|version| version.version);
        DemandRecord { versions }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<VersionId, Seen>> {
        // Each change is whole; a panic elsewhere does not spoil it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn waiting(&self, now: Instant) -> u32 {
        self.held + u32::from(self.refused_until.is_some_and(|until| until > now))
    }
}

/// A request that is held, for as long as this lives.
pub(super) struct Held<'c> {
    callers: &'c Callers,
    version: VersionId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(seen) = self.callers.seen().get_mut(&self.version) {
            seen.held = seen.held.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn version(number: u128) -> VersionId {
        VersionId::from_uuid(Uuid::from_u128(number))
    }

    fn counted(uses: u64, waited_us: u64, outstanding: u32) -> HashMap<VersionId, Counted> {
        let counted = Counted {
            outstanding,
            uses,
            waited_us,
            busy: vec![],
        };
        HashMap::from([(version(1), counted)])
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_told_by_how_long_ago_they_were() {
        let callers = Callers::default();
        assert!(
            callers.told(&counted(0, 0, 0)).versions.is_empty(),
            "it was never called"
        );
        let told = callers.told(&counted(4, 4_000, 1)).versions.remove(0);
        assert_eq!(
            (told.idle_ms, told.outstanding, told.queue_wait_us),
            (0, 1, 1_000)
        );
        tokio::time::advance(Duration::from_secs(3)).await;
        let told = callers.told(&counted(4, 4_000, 0)).versions.remove(0);
        assert_eq!(
            (told.idle_ms, told.outstanding, told.queue_wait_us),
            (3_000, 0, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_copy_counts_as_long_as_held_or_expected_back() {
        let callers = Callers::default();
        let none = HashMap::new();
        let held = callers.hold(version(1));
        callers.missed.notified().await;
        callers.refuse(version(1), Duration::from_secs(5));
        assert_eq!(callers.told(&none).versions[0].waiting, 2);
        drop(held);
        assert_eq!(callers.told(&none).versions[0].waiting, 1);
        tokio::time::advance(Duration::from_secs(5) + GRACE).await;
        assert_eq!(callers.told(&none).versions[0].waiting, 0);
    }
}
