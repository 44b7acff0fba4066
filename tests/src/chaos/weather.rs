//! Which APIs are meant to be there: only one that is not may leave a caller without an answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is down on purpose.
#[derive(Debug, Default)]
pub(super) struct Weather([Api; 2]);

#[derive(Debug, Default)]
struct Api {
    is_down: AtomicBool,
    downs: AtomicU64,
}

/// What it was like when somebody looked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    was_down: bool,
    downs: u64,
}

impl Weather {
    /// Says that an API is about to be stopped.
    pub(super) fn down(&self, api: usize) {
        self.0[api].downs.fetch_add(1, Ordering::SeqCst);
        self.0[api].is_down.store(true, Ordering::SeqCst);
    }

    /// Says that an API is back.
    pub(super) fn up(&self, api: usize) {
        self.0[api].is_down.store(false, Ordering::SeqCst);
    }

    /// Looks at an API.
    pub(super) fn look(&self, api: usize) -> Look {
        Look {
            was_down: self.0[api].is_down.load(Ordering::SeqCst),
            downs: self.0[api].downs.load(Ordering::SeqCst),
        }
    }

    /// Whether an API was there all the time since somebody looked.
    pub(super) fn held_since(&self, api: usize, then: Look) -> bool {
        !then.was_down && self.0[api].downs.load(Ordering::SeqCst) == then.downs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_that_was_away_in_between_did_not_hold() {
        let weather = Weather::default();
        let look = weather.look(1);
        assert!(weather.held_since(1, look));
        weather.down(1);
        assert!(!weather.held_since(1, look) && !weather.held_since(1, weather.look(1)));
        weather.up(1);
        assert!(!weather.held_since(1, look) && weather.held_since(1, weather.look(1)));
        assert!(weather.held_since(0, weather.look(0)));
    }
}
