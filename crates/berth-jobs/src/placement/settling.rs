//! When the fleet can be believed. After coordination was away, or was emptied, workers need some time to announce themselves
//! again; who plans before that takes models away from where they are served.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_domain::id::WorkerId;
use tokio::time::Instant;

/// What a round sees.
pub(super) struct Sight<'a> {
    /// The workers that are alive.
    pub(super) alive: &'a BTreeSet<WorkerId>,
    /// The workers for which coordination keeps what they are told, those that are gone included.
    pub(super) told: &'a BTreeSet<WorkerId>,
    /// The workers that hold something by their own word.
    pub(super) holding: &'a BTreeSet<WorkerId>,
}

/// Whether the fleet can be believed.
#[derive(Debug, Default)]
pub(super) struct Settling(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Who was told something after the last round of this process; `None` before it had one.
    told: Option<BTreeSet<WorkerId>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    #[default]
    Settled,
    /// Coordination does not answer.
    Away,
    /// It answers since then.
    Since(Instant),
}

impl Settling {
    /// Coordination did not answer.
    pub(super) fn away(&self) {
        self.state().phase = Phase::Away;
    }

    /// Events were missed: coordination may have been away.
    pub(super) fn gap(&self) {
        self.state().phase = Phase::Since(Instant::now());
    }

    /// Another process plans: what was told is no more known.
    pub(super) fn follow(&self) {
        self.state().told = None;
    }

    /// Whether a round may go by what it sees, `settle` after it saw first that something is lost.
    pub(super) fn may_plan(&self, sight: &Sight<'_>, settle: Duration) -> bool {
        let mut state = self.state();
        let since = match state.phase {
            Phase::Since(since) => since,
            Phase::Settled if !state.misses(sight) => return true,
            Phase::Settled | Phase::Away => Instant::now(),
        };
        state.phase = Phase::Since(since);
        since.elapsed() >= settle
    }

    /// A round has told these workers what to hold.
    pub(super) fn planned(&self, told: BTreeSet<WorkerId>) {
        *self.state() = State {
            phase: Phase::Settled,
            told: Some(told),
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment; a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether something was told that is told no more. A worker that has just started holds nothing, and is told nothing where
    /// others are: nothing is lost then.
    fn misses(&self, sight: &Sight<'_>) -> bool {
        let forgotten = match &self.told {
            Some(told) => !told.is_subset(sight.told),
            None => sight.told.is_empty() && !sight.alive.is_empty(),
        };
        forgotten
            || sight
                .alive
                .difference(sight.told)
                .any(|worker| sight.holding.contains(worker))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(3);

    fn workers(numbers: &[u128]) -> BTreeSet<WorkerId> {
        numbers
            .iter()
            .map(|number| WorkerId::from_uuid(Uuid::from_u128(*number)))
            .collect()
    }

    fn may_plan(settling: &Settling, alive: &[u128], told: &[u128], holding: &[u128]) -> bool {
        let (alive, told, holding) = (workers(alive), workers(told), workers(holding));
        let sight = Sight {
            alive: &alive,
            told: &told,
            holding: &holding,
        };
        settling.may_plan(&sight, SETTLE)
    }

    #[tokio::test(start_paused = true)]
    async fn emptied_coordination_is_waited_out_once() {
        let settling = Settling::default();
        settling.planned(workers(&[1, 2]));
        assert!(may_plan(&settling, &[1, 2], &[1, 2], &[1]));
        assert!(!may_plan(&settling, &[], &[], &[]), "nobody is there yet");
        tokio::time::advance(SETTLE / 2).await;
        assert!(!may_plan(&settling, &[2], &[], &[]), "one of two is there");
        tokio::time::advance(SETTLE / 2).await;
        assert!(may_plan(&settling, &[1, 2], &[], &[1]));
        settling.planned(workers(&[1, 2]));
        assert!(may_plan(&settling, &[1, 2], &[1, 2], &[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn process_that_begins_to_plan_waits_where_nobody_is_told_anything() {
        let settling = Settling::default();
        assert!(!may_plan(&settling, &[1], &[], &[]));
        let settling = Settling::default();
        assert!(!may_plan(&settling, &[1, 2], &[2], &[1]), "it holds something");
        let settling = Settling::default();
        assert!(may_plan(&settling, &[1, 2], &[2], &[2]), "it has just joined");
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_worker_in_place_of_the_only_one_waits_for_nothing() {
        let settling = Settling::default();
        settling.planned(workers(&[]));
        assert!(may_plan(&settling, &[2], &[], &[]));
    }

    #[tokio::test(start_paused = true)]
    async fn coordination_that_was_away_is_believed_later() {
        for lose in [Settling::away, Settling::gap] {
            let settling = Settling::default();
            settling.planned(workers(&[1]));
            lose(&settling);
            assert!(!may_plan(&settling, &[1], &[1], &[1]));
            tokio::time::advance(SETTLE).await;
            assert!(may_plan(&settling, &[1], &[1], &[1]));
        }
    }
}
