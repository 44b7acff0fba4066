//! How often and for how long models ran, as the Open Inference Protocol's statistics tell it: since this process began, and
//! of the calls of one project alone, so that nobody learns what others do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_domain::clock::Timestamp;
use berth_domain::id::{DeploymentId, ProjectId, VersionId};

use crate::inference::{Answer, Error};

/// How many are counted at most; beyond it, the one that was called longest ago is forgotten.
const MOST: usize = 10_000;

/// What happened how often, and how long it took altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long, in nanoseconds.
    pub ns: u64,
}

impl Total {
    fn add(&mut self, duration: Duration) {
        self.count += 1;
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.ns = self.ns.saturating_add(ns);
    }
}

/// What is known of the calls of one version behind a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// When the last answer was there.
    pub last: Option<Timestamp>,
    /// Rows that were computed.
    pub rows: u64,
    /// Calls that were answered, with all their time.
    pub success: Total,
    /// Calls that were refused or failed, with all their time.
    pub fail: Total,
    /// Time that answered calls waited for their turn.
    pub queue: Total,
    /// Time that the model spent on them.
    pub compute: Total,
}

/// Whose calls of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The project whose keys call.
    pub caller: ProjectId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The version behind it.
    pub version: VersionId,
}

/// The counts of a process.
#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<HashMap<Place, Counts>>);

impl Statistics {
    /// Counts a call that ended `at` this moment.
    pub(crate) fn note(&self, place: Place, at: Timestamp, took: Duration, outcome: &Result<Answer, Error>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&place) {
            let oldest = all.iter().min_by_key(|(_, counts)| counts.last);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                all.remove(&oldest);
            }
        }
        let counts = all.entry(place).or_default();
        match outcome {
            Ok(answer) => {
                counts.last = Some(at);
                counts.rows = counts.rows.saturating_add(answer.units.rows);
                counts.success.add(took);
                counts.queue.add(Duration::from_micros(answer.stages.queue_us));
                counts
                    .compute
                    .add(Duration::from_micros(answer.stages.compute_us));
            }
            Err(_) => counts.fail.add(took),
        }
    }

    /// What is known of `place`; nothing but zeros when it was never called.
    pub(crate) fn of(&self, place: Place) -> Counts {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::{Clock as _, SystemClock};
    use berth_domain::random::SystemRandom;
    use berth_domain::trail::Stages;
    use bytes::Bytes;

    use super::*;
    use crate::inference::Units;

    fn place() -> Place {
        Place {
            caller: ProjectId::new(&SystemClock, &SystemRandom),
            deployment: DeploymentId::new(&SystemClock, &SystemRandom),
            version: VersionId::new(&SystemClock, &SystemRandom),
        }
    }

    fn answer() -> Answer {
        Answer {
            body: Bytes::new(),
            content_type: String::new(),
            header_bytes: None,
            units: Units {
                rows: 3,
                ..Units::default()
            },
            stages: Stages {
                compute_us: 20,
                queue_us: 5,
                ..Stages::default()
            },
        }
    }

    #[test]
    fn calls_are_counted_by_caller_and_version() {
        let (statistics, now) = (Statistics::default(), SystemClock.now());
        let (one, other) = (place(), place());
        let took = Duration::from_micros(30);
        statistics.note(one, now, took, &Ok(answer()));
        statistics.note(one, now, took, &Ok(answer()));
        statistics.note(one, now, took, &Err(Error::Deadline));
        let counts = statistics.of(one);
        assert_eq!((counts.rows, counts.last), (6, Some(now)));
        assert_eq!(counts.success, Total { count: 2, ns: 60_000 });
        assert_eq!(counts.fail, Total { count: 1, ns: 30_000 });
        assert_eq!(counts.queue, Total { count: 2, ns: 10_000 });
        assert_eq!(counts.compute, Total { count: 2, ns: 40_000 });
        assert_eq!(statistics.of(other), Counts::default());
    }

    #[test]
    fn oldest_is_forgotten_beyond_the_bound() {
        let (statistics, now) = (Statistics::default(), SystemClock.now());
        let first = place();
        statistics.note(first, now, Duration::ZERO, &Ok(answer()));
        let later = now + Duration::from_secs(1);
        for _ in 0..MOST {
            statistics.note(place(), later, Duration::ZERO, &Ok(answer()));
        }
        assert_eq!(statistics.of(first), Counts::default());
        assert_eq!(statistics.0.lock().expect("whole").len(), MOST);
    }
}
