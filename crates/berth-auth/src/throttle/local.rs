//! Attempts as one node counts them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use berth_domain::clock::{Clock, Timestamp};
use chrono::TimeDelta;
use moka::sync::Cache;

use super::{Exceeded, Limit};

/// The most counters that are kept: beyond it the least used are forgotten.
const COUNTERS: u64 = 100_000;

/// Counters of attempts in this process.
pub(crate) struct Local {
    clock: Arc<dyn Clock>,
    counters: Cache<String, Arc<Mutex<Window>>>,
}

#[derive(Debug)]
struct Window {
    used: u32,
    ends_at: Timestamp,
}

impl fmt::Debug for Local {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Local").finish_non_exhaustive()
    }
}

impl Local {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            counters: Cache::new(COUNTERS),
        }
    }

    /// Counts one attempt. A refused one does not prolong the window.
    pub(crate) fn hit(&self, counter: &str, limit: Limit) -> Result<(), Exceeded> {
        let now = self.clock.now();
        let fresh = || Window {
            used: 0,
            ends_at: TimeDelta::from_std(limit.window)
                .ok()
                .and_then(|window| now.checked_add_signed(window))
                .unwrap_or(Timestamp::MAX_UTC),
        };
        let window = self
            .counters
            .get_with_by_ref(counter, || Arc::new(Mutex::new(fresh())));
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.ends_at <= now {
            *window = fresh();
        }
        if window.used >= limit.attempts {
            return Err(Exceeded {
                retry_after: (window.ends_at - now).to_std().unwrap_or_default(),
            });
        }
        window.used += 1;
        Ok(())
    }

    /// How long until another attempt is allowed, if none is now. Counts nothing.
    pub(crate) fn check(&self, counter: &str, limit: Limit) -> Result<(), Exceeded> {
        let Some(window) = self.counters.get(counter) else {
            return Ok(());
        };
        let window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if window.ends_at > now && window.used >= limit.attempts {
            return Err(Exceeded {
                retry_after: (window.ends_at - now).to_std().unwrap_or_default(),
            });
        }
        Ok(())
    }

    pub(crate) fn clear(&self, counter: &str) {
        self.counters.invalidate(counter);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use berth_domain::clock::ManualClock;

    use super::*;

    const LIMIT: Limit = Limit {
        attempts: 2,
        window: Duration::from_mins(1),
    };

    #[test]
    fn attempts_are_allowed_again_when_the_window_ends() {
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let local = Local::new(Arc::new(clock.clone()));
        assert_eq!(local.check("a", LIMIT), Ok(()));
        assert_eq!(local.hit("a", LIMIT), Ok(()));
        clock.advance(TimeDelta::seconds(20));
        assert_eq!(local.hit("a", LIMIT), Ok(()));
        let exceeded = Err(Exceeded {
            retry_after: Duration::from_secs(40),
        });
        assert_eq!(local.hit("a", LIMIT), exceeded);
        assert_eq!(local.check("a", LIMIT), exceeded);
        assert_eq!(local.hit("b", LIMIT), Ok(()));
        clock.advance(TimeDelta::seconds(40));
        assert_eq!(local.check("a", LIMIT), Ok(()));
        assert_eq!(local.hit("a", LIMIT), Ok(()));
    }

    #[test]
    fn cleared_counter_starts_anew() {
        let local = Local::new(Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH)));
        assert!(local.hit("a", LIMIT).is_ok() && local.hit("a", LIMIT).is_ok());
        local.clear("a");
        assert_eq!(local.hit("a", LIMIT), Ok(()));
    }
}
